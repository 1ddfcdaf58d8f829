//! `kindling bench step`: whole training steps on made-up images, as the PyTorch peer measures its own.

use super::{median, peak, rounded};
use crate::{
    cli::{
        model::{DeviceArgs, one_of},
        output, table,
    },
    device, format,
    model::{ModelSpec, Stem},
    ops::{Counts, Implementation, Profile, Timed, wgpu},
    train::{Precision, synthetic::SyntheticTrainer},
};
use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use std::{collections::HashMap, hint::black_box, time::Instant};

/// Steps that are made before the clock counts, as in the peer.
const WARM_UP: usize = 2;
/// A GPU's steps are queued in groups, as in a run, so that the wait for each is not what is measured.
const GPU_GROUP: usize = 4;

/// Measure training steps
///
/// A step is: the batch goes to the device, forward, loss, backward, update. Images are made up, and rendered
/// beforehand; a GPU makes the batch of bytes within the step. The time of a step is the median; the first step counts
/// from the opening of the device.
#[derive(Args, Clone, Debug)]
pub(crate) struct Step {
    /// Network, as in `kindling train`
    #[arg(long, default_value = "cifar_resnet20")]
    model: String,

    /// Layers before the first stage [default: the model's own]
    #[arg(long, value_parser = one_of::<Stem>())]
    stem: Option<Stem>,

    /// Images in a step
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,

    /// Height and width of the images
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(8..=1024))]
    side: u32,

    /// Steps that are timed
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: u32,

    #[command(flatten)]
    device: DeviceArgs,

    /// What activations and their gradients are kept as: f32, f16 (GPUs) or bf16 (processors that multiply it)
    #[arg(long, default_value = "f32", value_parser = one_of::<Precision>())]
    precision: Precision,

    /// Send the images to the GPU step by step, as those of a data set that has no room on it
    #[arg(long)]
    streamed: bool,

    /// Measure inference instead: forward only, by the running statistics
    #[arg(long)]
    eval: bool,

    /// Also print where the time goes, operation by operation (CPU), or what is launched, kernel by kernel (GPU)
    #[arg(long)]
    profile: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

struct Times {
    first_s: f64,
    /// Launches and host waits of the timed steps.
    counts: Counts,
    /// Seconds a step, one for each group of steps.
    steps_s: Vec<f64>,
}

impl Step {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let spec = ModelSpec::named(&self.model, self.stem, 3, 10)?;
        let began = Instant::now();
        let compute = device::open(self.device.device)?;
        let on_cpu = compute.adapter.is_none();
        let (description, gpu) = (compute.description.clone(), wgpu::Wgpu::of(&compute));
        let profile = compute.shared::<Profile>();
        let (side, batch) = (self.side as usize, self.batch as usize);
        let narrow = self.precision != Precision::Single;
        if narrow && (self.eval && self.precision == Precision::Half || self.device.ops == Implementation::Reference) {
            bail!("--precision {} is for training steps with --ops fast", <&str>::from(self.precision))
        }
        super::check_precision(self.precision, &compute)?;
        let room = if self.streamed { 0 } else { u64::MAX };
        let mut trainer = SyntheticTrainer::new(&spec, side, batch, self.device.ops, self.precision, compute, room)?;
        let group = if on_cpu || self.eval { 1 } else { GPU_GROUP };
        let times = self.measure(&mut trainer, &profile, began, group);
        let reserved = gpu.as_ref().map(wgpu::Wgpu::bytes_reserved);
        drop(trainer);
        let steps = times.steps_s.len() as f64 * group as f64;

        let step_s = median(&times.steps_s);
        let images_per_s = f64::from(self.batch) / step_s;
        // The gradients of input and weights cost as much as the forward pass each.
        let passes = if self.eval { 1.0 } else { 3.0 };
        let flops = passes * spec.graph().flops(side) as f64 * images_per_s;
        let peak = match &gpu {
            Some(gpu) => wgpu::peak::flops(gpu).context("the adapter's peak was not measured")?,
            None => peak::cpu(),
        };
        let mut values = json!({
            "model": self.model,
            "stem": spec.stem().map(|stem| stem.to_string()),
            "batch": self.batch,
            "side": self.side,
            "device": if on_cpu { "cpu".to_owned() } else { description.clone() },
            "ops": <&str>::from(self.device.ops),
            "precision": <&str>::from(self.precision),
            "pass": if self.eval { "eval" } else { "train" },
            "steps": self.steps,
            "step_s": rounded(step_s, 5),
            "first_step_s": rounded(times.first_s, 4),
            "images_per_s": rounded(images_per_s, 1),
            "gflops": rounded(flops / 1e9, 1),
            "peak_gflops": rounded(peak / 1e9, 0),
            "peak_share": rounded(flops / peak, 3),
        });
        if let Some(reserved) = reserved {
            values["streamed"] = json!(self.streamed);
            values["bytes_allocated"] = json!(reserved);
            values["launches_per_step"] = json!(rounded(times.counts.launches as f64 / steps, 1));
            values["host_waits_per_step"] = json!(rounded(times.counts.waits as f64 / steps, 2));
        }
        // What a GPU is asked to do takes no time; how often it is asked is what there is to know.
        let times_of = if self.profile && on_cpu { profile.take_times() } else { Vec::new() };
        let kernels = profile.take_launches();
        if self.json {
            if self.profile {
                values["profile"] = times_of.iter().map(|(name, timed)| as_json(name, timed, steps)).collect();
                values["kernels"] =
                    kernels.iter().map(|(name, count)| ((*name).to_owned(), json!(*count as f64 / steps))).collect();
            }
            output::json(&values)?;
        } else {
            output::line(self.text(&values, &description))?;
            if !times_of.is_empty() {
                output::line("")?;
                let traffic = spec.graph().traffic([side; 2], batch);
                output::line(as_table(&times_of, steps, &traffic))?;
            }
            if !kernels.is_empty() {
                output::line("")?;
                output::line(launches(&kernels, steps))?;
            }
        }
        Ok(())
    }

    fn measure(&self, trainer: &mut SyntheticTrainer, profile: &Profile, began: Instant, group: usize) -> Times {
        profile.time_operations(self.profile);
        let times = match self.eval {
            true => self.infer(trainer, profile, began),
            false => self.train(trainer, profile, began, group),
        };
        profile.time_operations(false);
        times
    }

    fn train(&self, trainer: &mut SyntheticTrainer, profile: &Profile, began: Instant, group: usize) -> Times {
        trainer.step();
        trainer.wait();
        let first_s = began.elapsed().as_secs_f64();
        for _ in 1..WARM_UP {
            trainer.step();
        }
        trainer.wait();
        // The warm-up is not what the profile is about.
        profile.take_times();
        profile.take_launches();
        let before = profile.counts();
        let groups = (self.steps as usize).div_ceil(group);
        let steps_s = (0..groups)
            .map(|_| {
                let start = Instant::now();
                (0..group).for_each(|_| trainer.step());
                black_box(trainer.wait());
                start.elapsed().as_secs_f64() / group as f64
            })
            .collect();
        Times { first_s, steps_s, counts: profile.counts().since(before) }
    }

    fn infer(&self, trainer: &SyntheticTrainer, profile: &Profile, began: Instant) -> Times {
        black_box(trainer.infer());
        let first_s = began.elapsed().as_secs_f64();
        for _ in 1..WARM_UP {
            black_box(trainer.infer());
        }
        profile.take_times();
        profile.take_launches();
        let before = profile.counts();
        let steps_s = (0..self.steps)
            .map(|_| {
                let start = Instant::now();
                black_box(trainer.infer());
                start.elapsed().as_secs_f64()
            })
            .collect();
        Times { first_s, steps_s, counts: profile.counts().since(before) }
    }

    fn text(&self, values: &Value, description: &str) -> String {
        let number = |key: &str| values[key].as_f64().unwrap_or_default();
        let mut lines = vec![
            format!(
                "{} ({} stem), batch {} of {}x{}, on {description}{}",
                self.model,
                values["stem"].as_str().unwrap_or_default(),
                self.batch,
                self.side,
                self.side,
                match (self.device.ops, self.precision) {
                    (Implementation::Reference, _) => ", reference operations",
                    (Implementation::Fast, Precision::Half) => ", in 16 bits",
                    (Implementation::Fast, Precision::Brain) => ", in bfloat16",
                    (Implementation::Fast, Precision::Single) => "",
                }
            ),
            format!(
                "{}  a {} {:.1} ms  the first {:.2} s",
                format::pace(number("images_per_s") as f32),
                if self.eval { "batch" } else { "step" },
                number("step_s") * 1e3,
                number("first_step_s")
            ),
        ];
        lines.push(format!(
            "{:.0} GFLOP/s, {:.0} % of the {:.0} measured here in fused multiply-adds",
            number("gflops"),
            number("peak_share") * 100.0,
            number("peak_gflops")
        ));
        if let Some(reserved) = values["bytes_allocated"].as_u64() {
            let (launches, waits) = (number("launches_per_step"), number("host_waits_per_step"));
            let reserved = format::bytes(reserved);
            lines.push(format!("{launches:.0} launches and {waits:.2} host waits a step, {reserved} allocated"));
        }
        lines.join("\n")
    }
}

fn as_json(name: &str, timed: &Timed, steps: f64) -> Value {
    let seconds = timed.time.as_secs_f64() / steps;
    json!({ "operation": name, "calls_per_step": rounded(timed.calls as f64 / steps, 1), "s_per_step": rounded(seconds, 6) })
}

fn launches(kernels: &[(&str, u64)], steps: f64) -> String {
    let mut rows = vec![["kernel", "launches a step"].map(str::to_owned).to_vec()];
    rows.extend(kernels.iter().map(|(name, count)| vec![(*name).to_owned(), format!("{:.2}", *count as f64 / steps)]));
    table::aligned(&rows)
}

/// Where the time goes, and of convolutions how much of what copying moves they move at least.
fn as_table(profile: &[(String, Timed)], steps: f64, traffic: &HashMap<String, u64>) -> String {
    let bandwidth = peak::copy();
    let all: f64 = profile.iter().map(|(_, timed)| timed.time.as_secs_f64()).sum();
    let mut rows = vec![["operation", "calls a step", "ms a step", "share", "memory"].map(str::to_owned).to_vec()];
    for (name, timed) in profile {
        let seconds = timed.time.as_secs_f64();
        rows.push(vec![
            name.clone(),
            format!("{:.0}", timed.calls as f64 / steps),
            format!("{:.2}", seconds / steps * 1e3),
            format!("{:.1} %", seconds / all * 100.0),
            match traffic.get(name) {
                Some(bytes) => {
                    format!("{:.0} %", *bytes as f64 * timed.calls as f64 / seconds / bandwidth * 100.0)
                }
                None => String::new(),
            },
        ]);
    }
    let note = format!("memory: the least that is moved, of the {:.1} GB/s that copying moves here", bandwidth / 1e9);
    format!("{}\n{note}", table::aligned(&rows))
}
