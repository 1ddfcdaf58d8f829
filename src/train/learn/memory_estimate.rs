//! What a run will take of memory, for people to plan with: within a seventh of what the process was seen to take.
//!
//! [`super::room`] says whether a batch can be had at all, and leaves out what is not there at the same time; here the whole
//! process counts, validation too, whose batches may be larger than those of training.

use super::{room::made_ahead, trainer::frozen_layers};
use crate::{
    device::Compute,
    model::{
        ModelSpec,
        footprint::{self, Tensors},
    },
    ops::{Storage, cpu::pool},
    train::recipe::{Freeze, Recipe},
};

/// Bytes of the process before anything is trained: the program, its threads and what they work on.
const PROCESS: u64 = 40 << 20;
/// With the driver of a GPU, whose compiler stays.
const PROCESS_WITH_DRIVER: u64 = 132 << 20;
/// What decoding photographs leaves behind.
const DECODING: u64 = 52 << 20;
/// Bytes of a value.
const FLOAT: u64 = 4;

/// Whose memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The process's; the processor computes.
    Cpu,
    /// The process's; a GPU without memory of its own computes.
    Shared,
    /// A GPU's own.
    Gpu,
}

/// The images of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Images {
    pub size: [usize; 2],
    pub training: usize,
    pub validation: usize,
    /// Whether they are decoded from files of many sizes.
    pub photographs: bool,
}

/// Bytes that a run of a recipe takes at its height, beside the images as they were loaded.
pub(crate) fn memory_estimate(spec: &ModelSpec, recipe: &Recipe, images: Images, place: Place) -> u64 {
    let Images { size, training, validation, photographs } = images;
    let (graph, storage) = (spec.graph(), recipe.precision.storage());
    let batch = recipe.batch_size.min(training).max(1) as u64;
    let evaluated = recipe.eval_batch.min(validation) as u64;
    // Some time or other, all that will ever learn does.
    let freeze = if recipe.unfreeze_epoch > 0 { Freeze::None } else { recipe.freeze };
    let trained = footprint::training_tensors(&graph, size, frozen_layers(freeze));
    let seen = footprint::inference_tensors(&graph, size);
    let activations = match place {
        Place::Cpu => {
            let last = training as u64 % batch;
            // The memory is of floats, each of which is room for one value or two; validation is in 32 bits.
            let values = FLOAT / if storage.is_on(&Compute::cpu()) { storage_bytes(storage) } else { FLOAT };
            let of = |images: u64, tensors: &Tensors, values: u64| {
                tensors.iter().map(|(n, count)| ((n * images).div_ceil(values), *count)).collect()
            };
            FLOAT * pool::foresee([of(batch, &trained, values), of(last, &trained, values), of(evaluated, &seen, 1)])
        }
        Place::Shared | Place::Gpu => {
            let bytes = |images: u64, tensors: &Tensors| {
                let values: u64 = tensors.iter().map(|(values, count)| values * count).sum();
                images * values * if storage == Storage::F16 { storage_bytes(storage) } else { FLOAT }
            };
            // A GPU's allocator cuts what is free to the size that is asked for.
            let spare = bytes(batch, &footprint::at_work_tensors(&graph, size)) / 4;
            (bytes(batch, &trained) - spare).max(bytes(evaluated, &seen))
        }
    };
    let moments = recipe.rule().states() as u64 + u64::from(recipe.ema_decay > 0.0);
    // The parameters, their gradients, a copy that is looked at, and what is written of them.
    let own = FLOAT * spec.parameters() as u64 * (5 + moments);
    let decoding = if photographs { DECODING } else { 0 };
    let process = match place {
        Place::Cpu => decoding + PROCESS + FLOAT * made_ahead(batch as usize, size, spec.channels),
        Place::Shared => decoding + PROCESS_WITH_DRIVER,
        Place::Gpu => 0,
    };
    process + activations + own
}

fn storage_bytes(storage: Storage) -> u64 {
    storage.bytes() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Stem;

    /// A network, its images' side and their number in a batch; kB on the CPU and on a software adapter.
    type Measured = (&'static str, Option<Stem>, usize, usize, u64, u64);

    /// Greatest resident size in kB of `kindling train --epochs 1` with 229 photographs to train on and 27 to validate, as
    /// `/usr/bin/time -v` has it, on the CPU and on a software adapter.
    const PHOTOGRAPHS: [Measured; 8] = [
        ("cifar_resnet8", None, 32, 128, 223_348, 320_344),
        ("cifar_resnet20", None, 32, 128, 345_616, 439_436),
        ("resnet18", Some(Stem::Cifar), 32, 64, 771_948, 803_584),
        ("resnet50", Some(Stem::Cifar), 32, 32, 1_620_996, 1_704_596),
        ("cifar_resnet8", None, 224, 16, 1_397_708, 899_472),
        ("resnet18", Some(Stem::Imagenet), 224, 32, 1_503_184, 1_275_384),
        ("resnet50", Some(Stem::Imagenet), 224, 16, 2_651_248, 2_291_176),
        ("resnet50", Some(Stem::Imagenet), 224, 4, 1_324_256, 1_154_644),
    ];

    /// The same with as many images that are stored at the size at which they are learned.
    const SMALL_IMAGES: [Measured; 3] = [
        ("cifar_resnet8", None, 32, 128, 172_268, 261_968),
        ("cifar_resnet20", None, 32, 128, 293_100, 385_404),
        ("resnet18", Some(Stem::Cifar), 32, 64, 716_392, 743_948),
    ];

    #[test]
    fn the_estimate_is_within_fifteen_percent_of_what_runs_took() {
        let photographs = PHOTOGRAPHS.map(|measured| (measured, true)).into_iter();
        let all = photographs.chain(SMALL_IMAGES.map(|measured| (measured, false)));
        for ((name, stem, side, batch_size, cpu, shared), photographs) in all {
            let spec = ModelSpec::named(name, stem, 3, 2).unwrap();
            let recipe = Recipe { batch_size, ..Recipe::default() };
            let images = Images { size: [side; 2], training: 229, validation: 27, photographs };
            for (place, measured) in [(Place::Cpu, cpu), (Place::Shared, shared)] {
                let estimate = memory_estimate(&spec, &recipe, images, place) as f64;
                let ratio = estimate / (measured * 1024) as f64;
                println!("{name} {side} {batch_size} {place:?}: {ratio:.3}");
                assert!((0.85..1.15).contains(&ratio), "{name} at {side}, {batch_size} images, {place:?}: {ratio:.3}");
            }
        }
    }

    #[test]
    fn large_batches_of_validation_count() {
        let spec = ModelSpec::named("resnet50", Some(Stem::Imagenet), 3, 2).unwrap();
        let of = |validation: usize, place| {
            let recipe = Recipe { batch_size: 4, eval_batch: 256, ..Recipe::default() };
            memory_estimate(
                &spec,
                &recipe,
                Images { size: [224; 2], training: 229, validation, photographs: true },
                place,
            )
        };
        for place in [Place::Cpu, Place::Shared, Place::Gpu] {
            assert!(of(256, place) > of(4, place) + (1 << 30), "{place:?}");
            assert_eq!(of(256, place), of(100_000, place));
        }
        assert!(of(4, Place::Gpu) < of(4, Place::Shared));
    }
}
