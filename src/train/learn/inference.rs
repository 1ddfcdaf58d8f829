//! What a network makes of images, as many at a time as there is memory for.

use super::room;
use crate::{
    data::Preprocessing,
    model::{Network, network::largest_batch},
    ops::{self, Storage},
    train::batches::{Batch, BatchPlan, Feed, Pixels, ranges},
};
use std::ops::Range;

/// What inference keeps activations as, whatever training does.
const STORAGE: Storage = Storage::F32;

/// Bytes of prepared images that are held for a network at a time.
const PREPARED: usize = 64 << 20;

/// Images to prepare at a time, at most `most`: together they stay small beside what a network makes of them.
pub(crate) fn images_at_once(preprocessing: &Preprocessing, most: usize) -> usize {
    let &Preprocessing { height, width, channels, .. } = preprocessing;
    (PREPARED / (height * width * channels).max(1)).clamp(1, most)
}

/// Logits of prepared images, one row after the other. Waits for the device.
pub(crate) fn logits(network: &Network, preprocessing: &Preprocessing, images: &[Vec<u8>]) -> Vec<f32> {
    rows(network, preprocessing, images, Network::infer)
}

/// What a network makes of prepared images, one row after the other. Waits for the device.
pub(super) fn rows(
    network: &Network,
    preprocessing: &Preprocessing,
    images: &[Vec<u8>],
    of: impl Fn(&Network, &ops::Batch, Storage) -> Vec<f32>,
) -> Vec<f32> {
    let shape @ [height, width, _] = [preprocessing.height, preprocessing.width, preprocessing.channels];
    // A folder of photos must not need memory for all of them at once.
    let at_once = at_once(network, [height, width]).min(64);
    let rows = |images: &[Vec<u8>]| {
        let plan = BatchPlan::plain((0..).zip(images).map(|(index, _)| (index, 0)));
        let pixels = Pixels::prepared(images, preprocessing, network.compute());
        let batch = Batch { plan, shape, pixels, class_weights: None };
        batch.with_input(|input| of(network, input, STORAGE))
    };
    images.chunks(at_once).flat_map(rows).collect()
}

/// Logits of validation images `range`, one row after the other. Waits for the device.
pub fn validate(network: &Network, feed: &Feed, range: Range<usize>) -> Vec<f32> {
    let pieces = ranges(range.len(), at_once(network, feed.transform().output()));
    let pieces = pieces.map(|piece| range.start + piece.start..range.start + piece.end);
    let infer = |batch: Batch| batch.with_input(|input| network.infer(input, STORAGE));
    pieces.flat_map(|piece| infer(feed.validation(piece))).collect()
}

/// Images of `[height, width]` pixels that the network's device takes in one pass.
fn at_once(network: &Network, size: [usize; 2]) -> usize {
    let most = largest_batch(network.graph(), size, STORAGE, network.compute());
    most.min(room::images_at_once(network.spec(), size)).max(1)
}
