//! `kindling bench kernels`: every kernel of a network's convolutions by itself, beside what the adapter can do.

use super::{rounded, significant, wgsl};
use crate::{
    cli::{
        model::{DeviceArgs, one_of},
        output, table,
    },
    device::{self, Kind},
    format,
    model::{ModelSpec, Stem, network, record},
    ops::wgpu::{
        Wgpu,
        launch::{Adapter, Gpu},
        measure::{self, Measured},
        peak::{self, Peak},
        recorder::Recorded,
        tune,
    },
    text,
    train::{Precision, Recipe, trainer},
};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Images that a software adapter gets by default, and a GPU: the one of the table in the documentation.
const BATCH: [u32; 2] = [4, 128];

/// Measure each kernel on a GPU
///
/// Times every kernel of a training step, shape by shape, and prints how much it computes and how much memory it moves,
/// beside the most that the adapter computes and moves. Speeds count the least that a kernel must do; a kernel that reads
/// something twice moves more, and one whose tensors stay in caches may do more than memory allows. What bounds each
/// kernel is in the documentation of `ops::wgpu`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Kernels {
    /// Network whose shapes are measured, as in `kindling train`
    #[arg(long, default_value = "resnet18")]
    model: String,

    /// Layers before the first stage [default: the model's own]
    #[arg(long, value_parser = one_of::<Stem>())]
    stem: Option<Stem>,

    /// Images in a step [default: 128, on a software adapter 4]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: Option<u32>,

    /// Height and width of the images [default: 224, for a cifar stem 32]
    #[arg(long, value_parser = clap::value_parser!(u32).range(8..=1024))]
    side: Option<u32>,

    /// What activations and their gradients are kept as: f32 or f16
    #[arg(long, default_value = "f32", value_parser = one_of::<Precision>())]
    precision: Precision,

    /// Measure nothing: write each kernel as the WGSL that is compiled into a file of this folder
    #[arg(long, value_name = "DIR", conflicts_with = "json")]
    wgsl: Option<PathBuf>,

    /// Which adapter the kernels that are written are planned for
    #[arg(long, value_enum, default_value_t, requires = "wgsl")]
    plan: PlannedFor,

    #[command(flatten)]
    device: DeviceArgs,

    /// Print one JSON object a kernel and shape
    #[arg(long)]
    json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, Default)]
enum PlannedFor {
    /// A GPU with WebGPU's default limits, whatever is here
    #[default]
    Gpu,
    /// The adapter that --device names
    Adapter,
}

impl Kernels {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let spec = ModelSpec::named(&self.model, self.stem, 3, 10)?;
        if let Some(folder) = &self.wgsl {
            return self.write(&spec, folder);
        }
        let compute = device::open(self.device.device)?;
        let (Some(adapter), Some(gpu)) = (&compute.adapter, Wgpu::of(&compute)) else {
            bail!("the CPU has no kernels of this kind; name a GPU with --device gpu, or use `kindling bench step`")
        };
        super::check_precision(self.precision, &compute)?;
        let storage = self.precision.storage();
        let [slow, quick] = BATCH;
        let batch = self.batch.unwrap_or(if adapter.kind == Kind::Software { slow } else { quick }) as usize;
        let side = self.side(&spec);
        let most = network::largest_batch(&spec.graph(), [side; 2], storage, &compute);
        if batch > most {
            bail!("{} sees at most {} at once: use --batch {most}", adapter.name, format::bytes(adapter.max_binding));
        }
        tune::ready(&compute);
        let peak = peak::measure(&gpu).context("what the adapter can do was not measured")?;
        if self.json {
            output::json(&json!({
                "device": compute.description,
                "precision": <&str>::from(self.precision),
                "peak_gflops": rounded(peak.flops / 1e9, 0),
                "peak_gigabytes_per_s": rounded(peak.bytes / 1e9, 1),
            }))?;
        } else {
            output::line(format_args!(
                "{} (batch {batch} of {side}x{side}), on {}, which does {:.0} GFLOP/s in fused multiply-adds and moves \
                 {:.1} GB/s",
                self.model,
                compute.description,
                peak.flops / 1e9,
                peak.bytes / 1e9
            ))?;
        }
        let step = self.step(&spec, batch, gpu.adapter());
        let measured = measure::measure(&gpu, &step, batch, [side, side, spec.channels], storage);
        let measured = measured.context("a kernel was not measured")?;
        for of_one in measured.chunk_by(|a, b| a.operation == b.operation) {
            self.print(batch, of_one, peak)?;
        }
        Ok(())
    }

    /// Height and width of the images.
    fn side(&self, spec: &ModelSpec) -> usize {
        self.side.unwrap_or(if spec.is_for_photographs() { 224 } else { 32 }) as usize
    }

    /// The launches of a step on batches of so many images.
    fn step(&self, spec: &ModelSpec, batch: usize, adapter: Adapter) -> Vec<Recorded> {
        let recipe = Recipe { batch_size: batch, precision: self.precision, ..Recipe::default() };
        let plan = trainer::step_plan(&recipe, [self.side(spec); 2], self.precision.storage());
        record(spec, &plan, adapter)
    }

    /// Writes the kernels of a step instead of measuring them.
    fn write(&self, spec: &ModelSpec, folder: &Path) -> anyhow::Result<()> {
        let adapter = match self.plan {
            PlannedFor::Gpu => Adapter::DEFAULT,
            PlannedFor::Adapter => {
                let compute = device::open(self.device.device)?;
                tune::ready(&compute);
                Wgpu::of(&compute)
                    .context("the CPU has no kernels of this kind; name a GPU with --device gpu")?
                    .adapter()
            }
        };
        let [slow, quick] = BATCH;
        let batch = self.batch.unwrap_or(if adapter.software { slow } else { quick }) as usize;
        let count = wgsl::write(folder, &self.step(spec, batch, adapter))?;
        Ok(output::line(format_args!("{count} kernels are in {}", text::path(folder)))?)
    }

    fn print(&self, batch: usize, measured: &[Measured], peak: Peak) -> anyhow::Result<()> {
        if self.json {
            for kernel in measured {
                output::json(&as_json(batch, kernel, peak))?;
            }
            return Ok(());
        }
        let mut rows = vec![headings()];
        rows.extend(measured.iter().map(|kernel| row(kernel, peak)));
        let Measured { operation, operations, .. } = &measured[0];
        let times = if *operations == 1 { String::new() } else { format!(" ({operations} times)") };
        output::line(format_args!("\n{operation}{times}"))?;
        Ok(output::line(table::aligned(&rows))?)
    }
}

fn headings() -> Vec<String> {
    ["kernel", "what it does", "launches", "ms", "GFLOP/s", "GB/s", "of what is possible"].map(str::to_owned).to_vec()
}

/// The least time in which the adapter could do it, as a share of the time that it took.
fn share(Measured { cost, seconds, .. }: &Measured, peak: Peak) -> f64 {
    peak.seconds(cost.flops, cost.bytes) / seconds
}

fn row(kernel: &Measured, peak: Peak) -> Vec<String> {
    vec![
        kernel.kernel.to_owned(),
        kernel.cost.role.to_owned(),
        kernel.launches.to_string(),
        format!("{:.3}", kernel.seconds * 1e3),
        format!("{:.1}", kernel.gflops()),
        format!("{:.1}", kernel.gigabytes_per_second()),
        format!("{:.0} %", share(kernel, peak) * 100.0),
    ]
}

fn as_json(batch: usize, kernel: &Measured, peak: Peak) -> serde_json::Value {
    json!({
        "operation": kernel.operation,
        "operations": kernel.operations,
        "batch": batch,
        "kernel": kernel.kernel,
        "role": kernel.cost.role,
        "launches": kernel.launches,
        "seconds": kernel.seconds,
        "gflop": kernel.cost.flops as f64 / 1e9,
        "megabytes": kernel.cost.bytes as f64 / 1e6,
        "gflops": significant(kernel.gflops()),
        "gigabytes_per_s": significant(kernel.gigabytes_per_second()),
        "possible_share": significant(share(kernel, peak)),
    })
}
