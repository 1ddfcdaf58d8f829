//! `kindling bench kernels`: every kernel of a network's convolutions by itself, beside what the adapter can do.

use super::{rounded, significant};
use crate::{
    cli::{format, model::DeviceArgs, output},
    device::{self, Kind},
    model::{ModelSpec, Stem, spec::ConvInfo},
    ops::{
        Implementation, Storage, Window, fast,
        wgpu::{
            conv::Conv,
            measure::{self, Measured},
            peak::{self, Peak},
        },
    },
    train::{Precision, Recipe, SampleParams, trainer},
};
use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

/// Images that a software adapter gets by default, and a GPU: the one of the table in the documentation.
const BATCH: [u32; 2] = [4, 128];

/// Measure each kernel on a GPU
///
/// Times every kernel of a training step, shape by shape, and prints how much it computes and how much memory it moves,
/// beside the most that the adapter computes and moves. Speeds count the least that a kernel must do; a kernel that reads
/// something twice moves more, and one whose tensors stay in caches may do more than memory allows. What bounds each
/// kernel is in the documentation of `ops::wgpu`.
#[derive(Args, Clone, Debug)]
pub struct Kernels {
    /// Network whose shapes are measured, as in `kindling train`
    #[arg(long, default_value = "resnet18")]
    model: String,

    /// Layers before the first stage: imagenet or cifar [default: the model's own]
    #[arg(long)]
    stem: Option<Stem>,

    /// Images in a step [default: 128, on a software adapter 4]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: Option<u32>,

    /// Height and width of the images [default: 224, for a cifar stem 32]
    #[arg(long, value_parser = clap::value_parser!(u32).range(8..=1024))]
    side: Option<u32>,

    /// What activations and their gradients are kept as: f32 or f16
    #[arg(long, default_value = "f32", value_parser = super::precision)]
    precision: Precision,

    #[command(flatten)]
    device: DeviceArgs,

    /// Print one JSON object a kernel and shape
    #[arg(long)]
    json: bool,
}

/// A convolution with its normalisation, and how often the network has it.
#[derive(Clone, Debug, PartialEq)]
struct Shape {
    name: String,
    conv: Conv,
    residual: bool,
    layers: usize,
}

impl Kernels {
    pub fn run(self) -> anyhow::Result<()> {
        let spec = ModelSpec::named(&self.model, self.stem, 3, 10)?;
        let compute = device::open(self.device.device)?;
        let (Some(adapter), Some(gpu)) = (&compute.adapter, fast::gpu(&compute.device)) else {
            bail!("the CPU has no kernels of this kind; name a GPU with --device gpu, or use `kindling bench step`")
        };
        super::check_precision(self.precision, &compute)?;
        let storage = self.precision.storage();
        let [slow, quick] = BATCH;
        let batch = self.batch.unwrap_or(if adapter.kind == Kind::Software { slow } else { quick }) as usize;
        let side = self.side.unwrap_or(if spec.stem == Stem::Cifar { 32 } else { 224 }) as usize;
        let most = adapter.max_binding as usize / storage.bytes() / spec.largest_activation([side; 2]);
        if batch > most {
            bail!("{} sees at most {} at once: use --batch {most}", adapter.name, format::bytes(adapter.max_binding));
        }
        fast::ready(&compute);
        let peak = peak::measure(&gpu).context("what the adapter can do was not measured")?;
        if self.json {
            output::json(&json!({
                "device": compute.description,
                "precision": self.precision.name(),
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
        for shape in shapes(&spec, side, batch, storage) {
            let measured = measure::unit(&gpu, &shape.conv, shape.residual)
                .with_context(|| format!("{} was not measured", shape.name))?;
            self.print(&shape.name, batch, shape.layers, &measured, peak)?;
        }
        let recipe = Recipe { batch_size: batch, precision: self.precision, ..Recipe::default() };
        let samples: Vec<_> = (0..batch as u32).map(|image| SampleParams::plain(image, 0)).collect();
        let step = trainer::step(&spec, &recipe, [side; 2], Implementation::Fast, &compute);
        let measured =
            measure::rest(&gpu, &step, [side, side, 3], &samples).context("the rest of a step was not measured")?;
        self.print("the rest of a step", batch, 1, &measured, peak)
    }

    fn print(&self, of: &str, batch: usize, times: usize, measured: &[Measured], peak: Peak) -> anyhow::Result<()> {
        if self.json {
            for kernel in measured {
                output::json(&as_json(of, batch, times, kernel, peak))?;
            }
            return Ok(());
        }
        let mut rows = vec![headings()];
        rows.extend(measured.iter().map(|kernel| row(kernel, peak)));
        let layers = if times == 1 { String::new() } else { format!(" ({times} layers)") };
        output::line(format_args!("\n{of}{layers}"))?;
        Ok(output::line(format::table(&rows))?)
    }
}

fn headings() -> Vec<String> {
    ["kernel", "pass", "dispatches", "ms", "GFLOP/s", "GB/s", "of what is possible"].map(str::to_owned).to_vec()
}

fn pass(kernel: &Measured) -> &'static str {
    if kernel.forward { "forward" } else { "backward" }
}

/// The least time in which the adapter could do it, as a share of the time that it took.
fn share(kernel: &Measured, peak: Peak) -> Option<f64> {
    kernel.cost.map(|cost| peak.seconds(cost.flops, cost.bytes) / kernel.seconds)
}

fn row(kernel: &Measured, peak: Peak) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.1}"));
    vec![
        kernel.kernel.to_owned(),
        pass(kernel).to_owned(),
        kernel.dispatches.to_string(),
        format!("{:.3}", kernel.seconds * 1e3),
        number(kernel.gflops()),
        number(kernel.gigabytes_per_second()),
        share(kernel, peak).map_or_else(String::new, |share| format!("{:.0} %", share * 100.0)),
    ]
}

fn as_json(of: &str, batch: usize, times: usize, kernel: &Measured, peak: Peak) -> serde_json::Value {
    json!({
        "shape": of,
        "batch": batch,
        "layers": times,
        "kernel": kernel.kernel,
        "pass": pass(kernel),
        "dispatches": kernel.dispatches,
        "seconds": kernel.seconds,
        "gflop": kernel.cost.map(|cost| cost.flops as f64 / 1e9),
        "megabytes": kernel.cost.map(|cost| cost.bytes as f64 / 1e6),
        "gflops": kernel.gflops().map(significant),
        "gigabytes_per_s": kernel.gigabytes_per_second().map(significant),
        "possible_share": share(kernel, peak).map(significant),
    })
}

/// The different convolutions of a network, in the order in which it first has them.
fn shapes(spec: &ModelSpec, side: usize, batch: usize, storage: Storage) -> Vec<Shape> {
    let mut shapes: Vec<Shape> = Vec::new();
    let mut add = |info: &ConvInfo, side: usize, residual: bool| {
        let window = Window::convolution(info.kernel, info.stride, spec.padding, [side; 2]);
        let conv = Conv { batch, input: [side; 2], ci: info.input, co: info.output, window, storage };
        if let Some(known) = shapes.iter_mut().find(|known| known.conv == conv && known.residual == residual) {
            known.layers += 1;
            return;
        }
        let (k, stride) = (info.kernel, if info.stride == 1 { String::new() } else { format!("/{}", info.stride) });
        let behind = if residual { ", residual" } else { "" };
        let name = format!("{k}x{k}{stride}, {}→{}, {side}²{behind}", info.input, info.output);
        shapes.push(Shape { name, conv, residual, layers: 1 });
    };
    add(&spec.stem_conv(), side, false);
    let mut side = spec.sides(side)[0];
    for block in spec.blocks() {
        let input = side;
        for (i, conv) in block.convs.iter().enumerate() {
            add(conv, side, i + 1 == block.convs.len());
            side = side.div_ceil(conv.stride);
        }
        block.projection.iter().for_each(|projection| add(projection, input, false));
    }
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resnet18_has_eleven_shapes_and_twenty_layers() {
        let spec = ModelSpec::named("resnet18", Some(Stem::Imagenet), 3, 10).unwrap();
        let shapes = shapes(&spec, 224, 128, Storage::F32);
        assert_eq!(shapes.iter().map(|shape| shape.layers).sum::<usize>(), spec.convs().len());
        let flops: u64 = shapes.iter().map(|shape| shape.conv.flops() * shape.layers as u64).sum();
        assert_eq!(flops + 128 * 2 * 512 * 10, 128 * spec.flops(224));
        assert!(shapes.iter().any(|shape| shape.name == "3x3/2, 64→128, 56²" && shape.layers == 1), "{shapes:#?}");
        assert!(shapes.iter().any(|shape| shape.name == "3x3, 512→512, 7², residual" && shape.layers == 2));
    }

    #[test]
    fn the_largest_activation_is_that_of_some_layer() {
        for (model, stem, side) in [("resnet50", Stem::Imagenet, 224), ("resnet18", Stem::Cifar, 32)] {
            let spec = ModelSpec::named(model, Some(stem), 3, 10).unwrap();
            let outputs = shapes(&spec, side, 1, Storage::F32).into_iter().map(|Shape { conv, .. }| {
                let [h, w] = conv.output();
                h * w * conv.co
            });
            assert_eq!(spec.largest_activation([side; 2]), outputs.max().unwrap(), "{model}");
        }
    }
}
