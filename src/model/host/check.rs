//! What a stranger's batch has to be like before a kernel sees it: kernels look where they are told to.

use crate::model::remote::request::{Batch, Images, Pixels};
use crate::{
    model::{Graph, ModelSpec},
    ops::sample::SampleParams,
};

/// Pixels a side that images may have.
const LARGEST_SIDE: usize = 1 << 14;

/// Where a batch's images are, and how many.
pub(super) struct Stored {
    pub count: usize,
    pub size: [usize; 2],
}

/// The images that the bytes are, `[count, height, width, channels]`.
pub(super) fn stored(bytes: usize, size @ [h, w]: [usize; 2], channels: usize) -> Result<Stored, String> {
    let sound = |side: usize| (1..=LARGEST_SIDE).contains(&side);
    if !sound(h) || !sound(w) || !matches!(channels, 1 | 3) {
        return Err(format!("there are no images of {h}x{w}x{channels}"));
    }
    let image = h * w * channels;
    match bytes / image {
        count if count > 0 && count * image == bytes => Ok(Stored { count, size }),
        _ => Err(format!("{bytes} bytes are no images of {h}x{w}x{channels}")),
    }
}

/// Height and width of what the network sees, where a batch is one that it takes. `kept` says how many bytes those images
/// are that the server has.
pub(super) fn batch(
    batch: &Batch,
    spec: &ModelSpec,
    graph: &Graph,
    kept: impl FnOnce(&Images) -> Result<usize, String>,
) -> Result<[usize; 2], String> {
    let n = batch.samples.len();
    let (size, stored) = match &batch.pixels {
        Pixels::Values(values, [count, h, w, c]) => {
            let wanted = [*h, *w, *c].iter().try_fold(n, |product, side| product.checked_mul(*side));
            if *count != n || *c != spec.channels || wanted != Some(values.0.len()) {
                return Err(format!("{} values are no {n} images of {h}x{w}x{c}", values.0.len()));
            }
            ([*h, *w], None)
        }
        Pixels::Made { images, size, channels, rules } => {
            if *channels != spec.channels {
                return Err(format!("the network is for {} channels", spec.channels));
            }
            (rules.output, Some(stored(kept(images)?, *size, *channels)?))
        }
    };
    let least = graph.smallest_side();
    if n == 0 || size.iter().any(|side| *side < least || *side > LARGEST_SIDE) {
        return Err(format!("there are no batches of {n} images of {}x{}", size[0], size[1]));
    }
    match batch.samples.iter().position(|sample| !is_sound(sample, n, spec.classes, size, stored.as_ref())) {
        None => Ok(size),
        Some(at) => Err(format!("image {at} of the batch is out of bounds")),
    }
}

fn is_sound(sample: &SampleParams, n: usize, classes: usize, [h, w]: [usize; 2], stored: Option<&Stored>) -> bool {
    let of_classes = |label: u32| (label as usize) < classes;
    let within = |[x0, y0, x1, y1]: [u32; 4]| x0 <= x1 && y0 <= y1 && x1 as usize <= w && y1 as usize <= h;
    let boxes = [sample.cut, sample.mix_box, sample.erased].into_iter().all(within);
    let floats = [sample.gain, sample.offset, sample.saturation, sample.lambda].into_iter().all(f32::is_finite);
    let labels = of_classes(sample.label) && of_classes(sample.partner_label) && (sample.partner as usize) < n;
    let near = |offset: i32| offset.unsigned_abs() as usize <= 2 * LARGEST_SIDE;
    let places = stored.is_none_or(|Stored { count, size: [rows, columns] }| {
        let part = |start: i32, length: u32, all: usize| start >= 0 && start as usize + length as usize <= all;
        let crop = !sample.resizes()
            || sample.resized.iter().all(|side| *side > 0)
                && part(sample.dx, sample.resized[0], *columns)
                && part(sample.dy, sample.resized[1], *rows);
        // What is not resized has to be as large as what the network sees.
        let fits = sample.resizes() || [h, w] == [*rows, *columns];
        (sample.index as usize) < *count && crop && fits
    });
    boxes && floats && labels && near(sample.dx) && near(sample.dy) && sample.flip <= 1 && places
}
