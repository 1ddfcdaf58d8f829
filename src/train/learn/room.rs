//! Whether there is memory for the batches that are asked for, said in one line before any of it is taken.
//!
//! Two things can be too small: the largest buffer that a GPU's kernels see, and the memory of the machine, which the CPU,
//! the GPUs that have none of their own, and the batches that are made ahead of use live in.

use super::trainer::{frozen_layers, storage};
use crate::{
    device::{Compute, host},
    format::bytes,
    model::{ModelSpec, footprint, network::largest_batch},
    ops::{Implementation, Storage, cpu::pool},
    train::{
        batches::prefetch::BATCHES_AHEAD,
        recipe::{Freeze, Recipe},
    },
};
use std::{fmt, iter};

/// Memory beside what is counted: threads, the pieces that kernels work on, the files that are written.
const BESIDE: u64 = 64 << 20;
/// Bytes of a value.
const FLOAT: u64 = 4;
/// How many times burn's own operations and its graph take what ours do.
const REFERENCE: u64 = 2;
/// Sides that images are often trained with.
const SIDES: [usize; 7] = [512, 384, 256, 224, 128, 64, 32];

/// For what there is no room, or nothing to do. Each reads as one line that says what there is room for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its error is")]
pub enum RoomError {
    /// In one buffer of the device.
    #[error(
        "for {spec} this device takes at most {most} images of {}x{} pixels at once, not {batch}: lower batch_size or \
         image_size, or choose another device than {device}", size[0], size[1]
    )]
    Buffer { spec: Box<ModelSpec>, size: [usize; 2], batch: usize, most: usize, device: String },
    #[error("for {spec}, batches of {shortage}")]
    Training { spec: Box<ModelSpec>, shortage: Shortage },
    #[error("batches of {0}")]
    Batches(Shortage),
    #[error(
        "for {spec}, an image of {}x{} pixels needs about {} of memory, of which {} are free",
        size[0], size[1], bytes(*needed), bytes(*free)
    )]
    Image { spec: Box<ModelSpec>, size: [usize; 2], needed: u64, free: u64 },
    #[error(
        "{spec} is for images of at least {least}x{least} pixels, not {}x{}: set image_size to {least} or more, or choose \
         another model", size[0], size[1]
    )]
    Small { spec: Box<ModelSpec>, size: [usize; 2], least: usize },
}

/// A batch of images of `[height, width]` pixels that needs more bytes than are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    pub(crate) batch: usize,
    pub(crate) size: [usize; 2],
    pub(crate) needed: u64,
    pub(crate) free: u64,
    /// A smaller batch, and a smaller side, that would do.
    pub(crate) help: (Option<usize>, Option<usize>),
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { batch, size: [height, width], needed, free, help } = *self;
        let [needed, free] = [needed, free].map(bytes);
        write!(
            f,
            "{batch} images of {height}x{width} pixels need about {needed} of memory, of which {free} are free: "
        )?;
        match help {
            (Some(batch), Some(side)) => write!(f, "set batch_size to {batch}, or image_size to {side}"),
            (Some(batch), None) => write!(f, "set batch_size to {batch}"),
            (None, Some(side)) => write!(f, "set image_size to {side}"),
            (None, None) => f.write_str("lower batch_size and image_size, or choose a smaller model"),
        }
    }
}

/// Whether something of images of `[height, width]` pixels reaches the end of a network.
fn check_size(spec: &ModelSpec, size: [usize; 2]) -> Result<(), RoomError> {
    let least = spec.graph().smallest_side();
    match size.iter().all(|&side| side >= least) {
        true => Ok(()),
        false => Err(RoomError::Small { spec: Box::new(spec.clone()), size, least }),
    }
}

/// Whether a device takes the batches of a recipe, of at most `images` images of `[height, width]` pixels.
pub fn check_batch(
    spec: &ModelSpec,
    recipe: &Recipe,
    size: [usize; 2],
    images: usize,
    ops: Implementation,
    compute: &Compute,
) -> Result<(), RoomError> {
    check_size(spec, size)?;
    let (batch, spec_of) = (recipe.batch_size, || Box::new(spec.clone()));
    let most = largest_batch(&spec.graph(), size, storage(recipe, ops, compute), compute);
    if batch > most {
        let device = compute.description.clone();
        return Err(RoomError::Buffer { spec: spec_of(), size, batch, most, device });
    }
    let training = Training { spec, recipe, images, ops, compute };
    check(batch.min(images), size, free(), |batch, size| training.bytes(batch, size))
        .map_err(|shortage| RoomError::Training { spec: spec_of(), shortage })
}

/// Whether a run takes more memory under the second recipe than under the first, which it has the memory for. Where it
/// does not, nothing needs to be free for the change.
pub(crate) fn takes_more(
    spec: &ModelSpec,
    recipes: [&Recipe; 2],
    size: [usize; 2],
    images: usize,
    ops: Implementation,
    compute: &Compute,
) -> bool {
    let [before, after] = recipes.map(|recipe| {
        let tensor = recipe.batch_size * storage(recipe, ops, compute).bytes();
        (tensor, Training { spec, recipe, images, ops, compute }.bytes(recipe.batch_size.min(images), size))
    });
    after.0 > before.0 || after.1 > before.1
}

/// Whether there is memory for batches of a recipe alone, made ahead of use, of images of `[height, width]` pixels.
pub(crate) fn check_batches(
    recipe: &Recipe,
    channels: usize,
    size: [usize; 2],
    images: usize,
) -> Result<(), RoomError> {
    check(recipe.batch_size.min(images), size, free(), |batch, size| FLOAT * made_ahead(batch, size, channels))
        .map_err(RoomError::Batches)
}

/// Whether there is memory for a network to look at one image of `[height, width]` pixels.
pub(crate) fn check_image(spec: &ModelSpec, size: [usize; 2], compute: &Compute) -> Result<(), RoomError> {
    check_size(spec, size)?;
    let (needed, free) = (BESIDE + inferred(spec, size, Storage::F32), free());
    match needed <= free || !compute.shares_host_memory() {
        true => Ok(()),
        false => Err(RoomError::Image { spec: Box::new(spec.clone()), size, needed, free }),
    }
}

/// Images of `[height, width]` pixels that there is memory for a network to look at together, using half of it. What
/// training has put aside is not counted: it lies in buffers of other sizes.
pub(crate) fn images_at_once(spec: &ModelSpec, size: [usize; 2]) -> usize {
    let images = host::free().map(|free| free / 2 / inferred(spec, size, Storage::F32));
    images.and_then(|images| usize::try_from(images).ok()).unwrap_or(usize::MAX)
}

/// What is free, with what this process keeps to use again; all there could be where the system does not say.
fn free() -> u64 {
    host::free().map_or(u64::MAX, |free| free.saturating_add(pool::statistics().0 as u64))
}

/// Compares what `needed` says that a batch needs with what is free.
fn check(
    batch: usize,
    size @ [height, width]: [usize; 2],
    free: u64,
    needed: impl Fn(usize, [usize; 2]) -> u64,
) -> Result<(), Shortage> {
    let needs = needed(batch, size);
    if needs <= free {
        return Ok(());
    }
    let halves = iter::successors(Some(batch / 2), |batch| Some(batch / 2)).take_while(|&batch| batch > 0);
    let batches = halves.map(|batch| 1 << batch.ilog2()).find(|&batch| needed(batch, size) <= free);
    let mut sides = SIDES.into_iter().filter(|&side| side < height.max(width));
    let side = sides.find(|&side| needed(batch, [side; 2]) <= free);
    Err(Shortage { batch, size, needed: needs, free, help: (batches, side) })
}

/// Values of batches: those that wait, the one being made, the one in use and its copy on the device.
pub(super) fn made_ahead(batch: usize, [height, width]: [usize; 2], channels: usize) -> u64 {
    (BATCHES_AHEAD as u64 + 3) * batch as u64 * (height * width * channels) as u64
}

fn inferred(spec: &ModelSpec, size @ [height, width]: [usize; 2], storage: Storage) -> u64 {
    let pixels = (height * width * spec.channels) as u64;
    // Its bytes, and the floats that become a tensor.
    5 * pixels + storage.bytes() as u64 * footprint::inference(&spec.graph(), size)
}

/// A run as far as its memory goes.
struct Training<'a> {
    spec: &'a ModelSpec,
    recipe: &'a Recipe,
    images: usize,
    ops: Implementation,
    compute: &'a Compute,
}

impl Training<'_> {
    fn bytes(&self, batch: usize, size: [usize; 2]) -> u64 {
        let Self { spec, recipe, images, ops, compute } = *self;
        // A GPU makes batches of bytes, of images that keep their size.
        let each = if compute.adapter.is_some() && recipe.image_size == 0 { 1 } else { FLOAT };
        let ahead = each * made_ahead(batch, size, spec.channels);
        if !compute.shares_host_memory() {
            return BESIDE + ahead;
        }
        // Some time or other, all that will ever learn does.
        let freeze = if recipe.unfreeze_epoch > 0 { Freeze::None } else { recipe.freeze };
        let values = footprint::training(&spec.graph(), size, frozen_layers(freeze));
        // The last batch of an epoch finds memory in what the others leave free, unless it would waste half of it.
        let last = Some(images % batch.max(1)).filter(|last| 2 * last <= batch).unwrap_or(0);
        let activations = (batch + last) as u64 * values * storage(recipe, ops, compute).bytes() as u64;
        let times = if ops == Implementation::Reference { REFERENCE } else { 1 };
        BESIDE + ahead + times * activations + FLOAT * self.copies() * spec.parameters() as u64
    }

    /// Of the parameters: themselves, a copy that somebody looks at, their gradients and moments, and all of it once more as
    /// it is saved.
    fn copies(&self) -> u64 {
        let moments = self.recipe.rule().states() as u64;
        let average = u64::from(self.recipe.ema_decay > 0.0);
        3 + 2 * (1 + moments + average)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ModelSpec {
        ModelSpec::named("cifar_resnet8", None, 3, 10).expect("a model")
    }

    fn line(recipe: &[&str], size: [usize; 2], images: usize) -> Result<(), RoomError> {
        let mut all = Recipe::default();
        recipe.iter().for_each(|setting| all.set_text(setting).expect("a setting"));
        check_batch(&spec(), &all, size, images, Implementation::Fast, &Compute::cpu())
    }

    #[test]
    fn batches_beyond_the_memory_are_refused_in_one_line_that_says_what_to_set() {
        let text =
            line(&["batch_size=65536"], [1024; 2], 1_000_000).expect_err("1,500 GB for the input alone").to_string();
        assert!(text.contains("65536 images of 1024x1024") && text.contains("batch_size to"), "{text}");
        assert!(text.contains("TB of memory") && !text.contains('\n'), "{text}");
        line(&["batch_size=32"], [32; 2], 1_000_000).expect("a small one");
    }

    #[test]
    fn images_of_which_nothing_is_left_are_refused() {
        let chain = ModelSpec::named("cifar_vgg11_bn", None, 1, 10).expect("a model");
        let text = check_image(&chain, [32, 28], &Compute::cpu()).expect_err("too small").to_string();
        assert!(text.contains("at least 32x32 pixels, not 32x28: set image_size to 32"), "{text}");
        check_image(&chain, [32; 2], &Compute::cpu()).expect("as small as can be");
        check_image(&spec(), [1; 2], &Compute::cpu()).expect("a residual network takes any");
    }

    #[test]
    fn a_batch_is_no_larger_than_the_data_set() {
        line(&["batch_size=65536"], [32; 2], 100).expect("a hundred images");
    }

    #[test]
    fn what_is_proposed_fits() {
        let needed = |batch: usize, [height, width]: [usize; 2]| (batch * height * width) as u64;
        let help = |batch, size, free| check(batch, size, free, needed).expect_err("too much").to_string();
        assert!(help(100, [300; 2], 64 * 90_000).ends_with("set batch_size to 32, or image_size to 224"));
        assert!(help(100, [300; 2], 16 * 90_000).ends_with("set batch_size to 16, or image_size to 64"));
        assert!(help(100, [16; 2], 512).ends_with("set batch_size to 2"));
        assert!(help(2, [3000; 2], 200_000).ends_with("set image_size to 256"));
        assert!(help(1000, [3000; 2], 2000).ends_with("lower batch_size and image_size, or choose a smaller model"));
        assert_eq!(check(100, [300; 2], 9_000_000, needed), Ok(()));
    }

    #[test]
    fn a_network_that_is_trained_in_part_takes_less() {
        let (spec, compute) = (spec(), Compute::cpu());
        let bytes = |set: &[&str]| {
            let mut recipe = Recipe::default();
            set.iter().for_each(|setting| recipe.set_text(setting).expect("a setting"));
            let ops = Implementation::Fast;
            Training { spec: &spec, recipe: &recipe, images: 5120, ops, compute: &compute }.bytes(1024, [32; 2])
        };
        let all = bytes(&[]);
        let more = |set: &str| {
            let (before, mut after) = (Recipe::default(), Recipe::default());
            after.set_text(set).expect("a setting");
            takes_more(&spec, [&before, &after], [32; 2], 5120, Implementation::Fast, &compute)
        };
        assert!(more("batch_size=129") && more("optimizer=adamw"));
        assert!(!more("batch_size=64") && !more("lr=0.3") && !more("freeze=stem"));
        assert!(bytes(&["freeze=all-but-head"]) < all / 2);
        assert_eq!(bytes(&["freeze=all-but-head", "unfreeze_epoch=3"]), all);
        assert!(bytes(&["optimizer=adamw"]) > all);
    }
}
