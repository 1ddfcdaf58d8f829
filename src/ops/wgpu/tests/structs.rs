//! What Rust writes for a shader is what the shader reads: each struct against the WGSL, as naga understands it.

use super::costs::{ADAMW, SGD, plan};
use crate::{
    data::Normalisation,
    model::{Block, ModelSpec, Nonlinearity, Stem, record},
    ops::{
        Storage, Window,
        sample::{Rules, SampleParams},
        wgpu::{
            conv::{self, Conv},
            gather::{self, Bindings},
            launch::{Adapter, Gpu, Launch},
            peak,
            recorder::Recorder,
            update::copy,
            variant::Variant,
            weight_gradient,
        },
        wgsl_type::{Kind, WgslType},
    },
};
use std::collections::{BTreeSet, HashSet};
use wgpu::naga::{
    AddressSpace, ArraySize, Handle, Module, Scalar, ScalarKind, StructMember, Type, TypeInner, front::wgsl,
};

/// A struct as text, with the types and offsets of its members.
fn text(name: &str, members: impl Iterator<Item = (String, String, usize)>) -> String {
    let members = members.map(|(name, kind, offset)| format!("  {name}: {kind} at {offset}\n"));
    format!("{name} {{\n{}}}", members.collect::<String>())
}

/// A type as Rust has it.
fn written(kind: Kind) -> String {
    match kind {
        Kind::Plain(name) => name.to_owned(),
        Kind::Struct { name, members } => {
            text(name, members.iter().map(|member| (member.name.to_owned(), written(member.kind), member.offset)))
        }
    }
}

/// A type as WGSL has it.
fn declared(module: &Module, of: Handle<Type>) -> String {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    match &module.types[of].inner {
        TypeInner::Scalar(Scalar { kind: ScalarKind::Uint, width: 4 }) => "u32".into(),
        TypeInner::Scalar(Scalar { kind: ScalarKind::Sint, width: 4 }) => "i32".into(),
        TypeInner::Scalar(Scalar { kind: ScalarKind::Float, width: 4 }) => "f32".into(),
        TypeInner::Array { base, size: ArraySize::Constant(count), .. } => {
            format!("array<{}, {count}>", declared(module, *base))
        }
        TypeInner::Struct { members, .. } => {
            let member =
                |member: &StructMember| (name(&member.name), declared(module, member.ty), member.offset as usize);
            text(&name(&module.types[of].name), members.iter().map(member))
        }
        other => format!("{other:?}"),
    }
}

/// The struct of a shader's uniform, and those that its storage buffers are lists of.
fn structs(source: &str) -> (String, Vec<String>) {
    let module = wgsl::parse_str(source).unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)));
    let (mut uniform, mut lists) = (String::new(), Vec::new());
    for (_, variable) in module.global_variables.iter() {
        match (variable.space, &module.types[variable.ty].inner) {
            (AddressSpace::Uniform, _) => uniform = declared(&module, variable.ty),
            (AddressSpace::Storage { .. }, &TypeInner::Array { base, .. }) => {
                let list = matches!(module.types[base].inner, TypeInner::Struct { .. });
                lists.extend(list.then(|| declared(&module, base)));
            }
            _ => {}
        }
    }
    (uniform, lists)
}

/// Launches of every shader, in most of their variants.
fn launches() -> Vec<Launch> {
    let software = [4, 8, 16].map(|subgroup| Adapter { software: true, subgroup, ..Adapter::DEFAULT });
    let recorder = Recorder::new(Adapter::DEFAULT);
    let memory = recorder.empty(4000);
    copy(&recorder, 10, &memory, &memory);
    let window = Window { kernel: [3, 3], stride: [1, 1], pad: [[1; 2]; 2] };
    let conv = Conv { batch: 1, input: [4; 2], ci: 4, co: 4, window, groups: 1, storage: Storage::F32 };
    conv::forward(&recorder, &conv, &memory, &memory, Variant::Plain);
    conv::input_gradient(&recorder, &conv, &memory, &memory, Some(&memory), Variant::Plain);
    weight_gradient::run(&recorder, &conv, &memory, &memory, &memory, Variant::Plain);
    let mut all: Vec<Launch> = recorder.take().into_iter().map(|recorded| recorded.launch).collect();
    all.push(peak::multiply_adds(8, 64, 2));
    for (adapter, storage, rule) in software
        .into_iter()
        .chain([Adapter::DEFAULT])
        .flat_map(|adapter| [(adapter, Storage::F32, SGD), (adapter, Storage::F16, ADAMW)])
    {
        for width in [16, 5, 40] {
            let spec = ModelSpec::custom(Block::Basic, Stem::Imagenet, vec![1, 1], vec![width, 2 * width], 3, 10);
            let mut plan = plan(4, 32, storage, rule);
            plan.learning.update.ema_decay = 0.9;
            let step = record(&spec.expect("a model"), &plan, adapter);
            all.extend(step.into_iter().map(|recorded| recorded.launch));
        }
        // Depthwise convolutions, those in groups of several channels, averages, and SiLU.
        for name in ["mobilenet_v2", "resnext50_32x4d", "resnet18d"] {
            let spec = ModelSpec::named(name, None, 3, 10).expect("a model").with_nonlinearity(Nonlinearity::Silu);
            let step = record(&spec, &plan(2, 32, storage, rule), adapter);
            all.extend(step.into_iter().map(|recorded| recorded.launch));
        }
        for (channels, parts, resized) in [(1, 1, [0; 2]), (3, 3, [4; 2])] {
            let images = Bindings { size: [8; 2], channels, per_part: 5, parts };
            let samples = [SampleParams { resized, ..SampleParams::plain(1, 2) }; 2];
            let rules = Rules::new([8; 2], true, Normalisation::identity(channels), channels);
            all.push(gather::launch(adapter.threads(), &images, &samples, &rules, storage));
        }
    }
    all
}

#[test]
fn every_struct_is_the_one_that_its_shader_declares() {
    let launches = launches();
    let mut seen = HashSet::new();
    for Launch { kernel, uniform, .. } in &launches {
        if !seen.insert(kernel) {
            continue;
        }
        let (of_uniform, of_lists) = structs(&kernel.source());
        assert_eq!(of_uniform, written(uniform.kind), "{}", kernel.name);
        let sample = (kernel.name == "gather").then(|| written(SampleParams::KIND));
        assert_eq!(of_lists, Vec::from_iter(sample), "{}", kernel.name);
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let files = std::fs::read_dir(folder).expect("the sources are here").map(|entry| {
        let name = entry.expect("a readable folder").file_name();
        name.to_str().and_then(|name| name.strip_suffix(".wgsl")).expect("a shader").to_owned()
    });
    let planned: BTreeSet<String> = launches.iter().map(|launch| launch.kernel.name.to_owned()).collect();
    assert_eq!(planned, files.collect::<BTreeSet<_>>());
}
