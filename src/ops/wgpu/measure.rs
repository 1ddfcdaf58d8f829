//! How long each kernel of a training step takes on a device, beside what it must at least do.
//!
//! What is measured is a step that was [recorded](super::recorder): each of its launches is run by itself, on memory of the
//! sizes that it had there, often enough to be measured from the host.

use super::{
    client::Wgpu,
    gather::{self, Images},
    launch::{Cost, Gpu},
    recorder::Recorded,
};
use crate::{
    data::Normalisation,
    ops::{
        Storage,
        sample::{Rules, SampleParams},
    },
};
use cubecl::server::{Handle, ServerError};
use std::time::Instant;

/// The time that the launches of a kernel take in one operation.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// The operation, such as `conv 3x3/1 64→64 on 56x56, backward`.
    pub operation: String,
    /// How many such operations a step has.
    pub operations: usize,
    /// The shader.
    pub kernel: &'static str,
    /// Launches in one operation, which `seconds` is the sum of.
    pub launches: usize,
    pub seconds: f64,
    /// What these launches must at least do.
    pub cost: Cost,
}

impl Measured {
    pub(crate) fn gflops(&self) -> f64 {
        self.cost.flops as f64 * 1e-9 / self.seconds
    }

    pub(crate) fn gigabytes_per_second(&self) -> f64 {
        self.cost.bytes as f64 * 1e-9 / self.seconds
    }
}

/// The launches of a step by operation and role, in the order in which they first come: how many operations there are of
/// the name, and the launches of the first of them.
pub(crate) fn by_role(step: &[Recorded]) -> Vec<(usize, Vec<&Recorded>)> {
    let mut groups: Vec<(usize, Vec<&Recorded>)> = Vec::new();
    for recorded in step {
        let same = |first: &Recorded| {
            first.operation == recorded.operation
                && (first.launch.kernel.name, first.launch.cost.role)
                    == (recorded.launch.kernel.name, recorded.launch.cost.role)
        };
        match groups.iter_mut().find(|(_, group)| same(group[0])) {
            None => groups.push((1, vec![recorded])),
            Some((_, group)) if recorded.nth == group[0].nth => group.push(recorded),
            Some((operations, _)) => *operations = recorded.nth + 1,
        }
    }
    groups
}

/// What launches do together.
pub(crate) fn cost_of(launches: &[&Recorded]) -> Cost {
    let mut cost = launches[0].launch.cost;
    for Recorded { launch, .. } in &launches[1..] {
        (cost.flops, cost.bytes) = (cost.flops + launch.cost.flops, cost.bytes + launch.cost.bytes);
    }
    cost
}

/// Seconds of one run of something: the best of three batches of about ten milliseconds.
fn time(gpu: &Wgpu, run: impl Fn()) -> Result<f64, ServerError> {
    let wait = || cubecl::future::block_on(gpu.client.sync());
    let run = |times: u32| -> Result<f64, ServerError> {
        wait()?;
        let start = Instant::now();
        (0..times).for_each(|_| run());
        wait()?;
        Ok(start.elapsed().as_secs_f64() / f64::from(times))
    };
    let once = run(1)?.min(run(1)?);
    let times = (0.01 / once.max(1e-6)).clamp(1.0, 200.0) as u32;
    Ok(run(times)?.min(run(times)?).min(run(times)?))
}

/// Memory for the bindings of whatever is measured.
struct Scratch<'a> {
    gpu: &'a Wgpu,
    storage: Storage,
    /// One allocation for each place in a launch, as large as any launch wanted it.
    places: Vec<Handle>,
}

impl Scratch<'_> {
    fn new_place(&self, bytes: usize) -> Handle {
        // Values of ordinary size: denormal numbers are slow on some devices. Two halves are an ordinary float, too.
        let value = |i: usize| (i * 7919 % 1009) as f32 / 1009.0 - 0.5;
        let values: Vec<f32> = (0..bytes.div_ceil(self.storage.bytes())).map(value).collect();
        self.gpu.upload(&self.storage.to_bytes(&values))
    }

    /// Memory for the buffers of a launch; what was the same there is the same here.
    fn bindings(&mut self, recorded: &Recorded) -> Vec<Handle> {
        let mut ids = Vec::new();
        let mut bindings = Vec::new();
        for range in &recorded.buffers {
            let place = ids.iter().position(|id| *id == range.id).unwrap_or_else(|| {
                ids.push(range.id);
                ids.len() - 1
            });
            let bytes = range.bytes.max(16);
            match self.places.get(place) {
                Some(known) if known.size() >= bytes as u64 => {}
                Some(_) => self.places[place] = self.new_place(bytes),
                None => self.places.push(self.new_place(bytes)),
            }
            bindings.push(self.places[place].clone());
        }
        bindings
    }
}

/// Times every kernel of a step on batches of so many images of `[height, width, channels]`. The kernel that makes the batch
/// is timed with the sending of them: it reads where the samples tell it to, and so can't be run on any memory. Takes some
/// milliseconds a kernel; fails where the device does.
pub(crate) fn measure(
    gpu: &Wgpu,
    step: &[Recorded],
    batch: usize,
    image: [usize; 3],
    storage: Storage,
) -> Result<Vec<Measured>, ServerError> {
    let mut scratch = Scratch { gpu, storage, places: Vec::new() };
    let mut measured = Vec::new();
    for (operations, launches) in by_role(step) {
        let first = launches[0];
        let kernel = first.launch.kernel.name;
        let mut seconds = 0.0;
        for recorded in &launches {
            seconds += match kernel {
                "gather" => gather_time(gpu, batch, image, storage)?,
                _ => {
                    let bindings = scratch.bindings(recorded);
                    let bindings: Vec<&Handle> = bindings.iter().collect();
                    time(gpu, || gpu.dispatch(recorded.launch.clone(), &bindings))?
                }
            };
        }
        let (operation, cost) = (first.operation.clone(), cost_of(&launches));
        measured.push(Measured { operation, operations, kernel, launches: launches.len(), seconds, cost });
    }
    Ok(measured)
}

fn gather_time(gpu: &Wgpu, batch: usize, [h, w, channels]: [usize; 3], storage: Storage) -> Result<f64, ServerError> {
    let bytes: Vec<u8> = (0..batch * h * w * channels).map(|i| (i * 7919 % 251) as u8).collect();
    let samples: Vec<_> = (0..batch as u32).map(|image| SampleParams::plain(image, 0)).collect();
    let images = Images::send(gpu, &bytes, [h, w], channels);
    let rules = Rules::new([h, w], false, Normalisation::identity(channels), channels);
    time(gpu, || drop(gather::gather(gpu, &images, &samples, &rules, storage)))
}
