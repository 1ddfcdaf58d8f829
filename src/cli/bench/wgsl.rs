//! `kindling bench kernels --wgsl`: the kernels of a step as files, for a GPU's compiler to be asked about them where there
//! is no such GPU.

use crate::{
    ops::wgpu::{launch::Kernel, recorder::Recorded},
    text,
};
use anyhow::Context;
use std::{fmt::Write, fs, path::Path};

/// Writes each kernel of a step to a file of its own, as the WGSL that is compiled, under its name and a number for each
/// set of its constants; on top stand these, and what the step has it do. Returns how many there are.
pub(super) fn write(folder: &Path, step: &[Recorded]) -> anyhow::Result<usize> {
    let failed = |path: &Path| format!("{} can't be written", text::path(path));
    fs::create_dir_all(folder).with_context(|| failed(folder))?;
    let kernels = with_uses(step);
    for (at, (kernel, uses)) in kernels.iter().enumerate() {
        let number = kernels[..at].iter().filter(|(other, _)| other.name == kernel.name).count() + 1;
        let path = folder.join(format!("{}-{number}.wgsl", kernel.name));
        fs::write(&path, head(kernel, uses) + &kernel.source()).with_context(|| failed(&path))?;
    }
    Ok(kernels.len())
}

/// Each kernel once, with the operations that launch it, each once.
fn with_uses(step: &[Recorded]) -> Vec<(&Kernel, Vec<String>)> {
    let mut kernels: Vec<(&Kernel, Vec<String>)> = Vec::new();
    for Recorded { operation, launch, .. } in step {
        let at = kernels.iter().position(|(kernel, _)| **kernel == launch.kernel).unwrap_or_else(|| {
            kernels.push((&launch.kernel, Vec::new()));
            kernels.len() - 1
        });
        let (uses, [x, y, z]) = (&mut kernels[at].1, launch.groups);
        let what = format!("{}: {operation} ({x} x {y} x {z} workgroups)", launch.cost.role);
        if !uses.contains(&what) {
            uses.push(what);
        }
    }
    kernels
}

fn head(kernel: &Kernel, uses: &[String]) -> String {
    let mut head = String::from("//");
    for (name, value) in &kernel.constants {
        let _ = write!(head, " {name}={value}");
    }
    uses.iter().fold(head + "\n", |head, what| head + "// " + what + "\n")
}
