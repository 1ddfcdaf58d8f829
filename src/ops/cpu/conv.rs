//! The forward convolution over a whole batch: cut into blocks that fit a core's cache, run by the thread pool.
//!
//! A block is some whole images or some rows of one; its padded copy and its result stay in cache while the weights
//! pass. Where the weights themselves are larger than the cache they are cut into groups of panels, and a thread keeps
//! to one group for as long as it can. Blocks depend on the shape alone, never on the number of threads.

use super::bn::Finish;
use super::element::{Element, as_words};
use super::geometry::Geometry;
use super::pack::Packed;
use super::pool::{self, Buffer};
use super::shared::Shared;
use super::simd::Level;
use super::stencil::{Apply, Stencil};
use super::winograd::{self, Correlate, Grid, Images};
use super::winograd_weights::Spectrum;
use rayon::prelude::*;
use std::sync::Arc;

/// Words of source and result that a block may have: half of a megabyte of second-level cache.
const BLOCK_FLOATS: usize = 96 << 10;
/// Words of weights that a task goes through for each block.
const GROUP_FLOATS: usize = 128 << 10;

/// Some whole images, or some output rows of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The first image.
    pub image: usize,
    /// How many.
    pub images: usize,
    /// The first output row of each.
    pub row: usize,
    /// How many rows of each.
    pub rows: usize,
}

/// Cuts a batch into blocks, which follow one another in memory.
pub(crate) fn blocks<E: Element>(geometry: &Geometry) -> Vec<Block> {
    let [n, oh, ow, co] = geometry.output();
    let image = geometry.padded_words::<E>().len() + (oh * ow * co).div_ceil(E::PER_WORD);
    if oh == 0 || n == 0 {
        return Vec::new();
    }
    let mut blocks = Vec::new();
    if image <= BLOCK_FLOATS {
        // At least sixteen blocks, so that several threads share a small batch.
        let images = (BLOCK_FLOATS / image.max(1)).clamp(1, n.div_ceil(16));
        blocks.extend((0..n).step_by(images).map(|image| Block {
            image,
            images: images.min(n - image),
            row: 0,
            rows: oh,
        }));
    } else {
        // Even, for tiles of two rows.
        let rows = oh.div_ceil(image.div_ceil(BLOCK_FLOATS)).next_multiple_of(2);
        for image in 0..n {
            blocks.extend((0..oh).step_by(rows).map(|row| Block { image, images: 1, row, rows: rows.min(oh - row) }));
        }
    }
    blocks
}

/// The stencil of a forward convolution with these packed weights, for blocks as large as the first of `blocks`.
fn forward_stencil<E: Element>(geometry: &Geometry, weights: Arc<Packed>, blocks: &[Block]) -> Stencil {
    let [_, _, ow, co] = geometry.output();
    let padded = geometry.padded_words::<E>();
    let [sh, sw] = geometry.window.stride;
    let (mut source, mut target) = (Vec::new(), Vec::new());
    if let Some(block) = blocks.first() {
        for image in 0..block.images {
            for y in 0..block.rows {
                for x in 0..ow {
                    source.push(image * padded.len() + y * sh * padded.pitch() + x * sw * padded.c);
                    target.push(target.len() * co);
                }
            }
        }
    }
    Stencil {
        rows: geometry.window.kernel[0],
        run: geometry.window.kernel[1] * padded.c,
        pitch: padded.pitch(),
        source,
        target,
        weights,
    }
}

/// Output channels that a task computes at once, for panels of `width` channels: whole panels, within the cache.
pub(crate) fn group_channels<E: Element>(geometry: &Geometry, width: usize) -> usize {
    let depth = (geometry.weight_len() / geometry.co.max(1)).div_ceil(E::PER_WORD);
    if geometry.is_depthwise() || by_winograd::<E>(geometry) {
        return geometry.co.div_ceil(width).max(1) * width;
    }
    (GROUP_FLOATS / (depth * width).max(1)).clamp(1, geometry.co.div_ceil(width).max(1)) * width
}

/// Weights as a convolution reads them.
pub(crate) enum Weights {
    Panels(Arc<Packed>),
    /// For Winograd's way.
    Spectrum(Spectrum),
}

impl Weights {
    /// Of `[kh, kw, ci, co]`, each output channel times `scale` if given.
    pub(crate) fn new<E: Element>(
        level: Level,
        geometry: &Geometry,
        weights: &[f32],
        scale: Option<&[f32]>,
    ) -> Weights {
        assert_eq!(weights.len(), geometry.weight_len(), "weights do not have the convolution's shape");
        let (ci, co) = (geometry.input[3], geometry.co);
        if !by_winograd::<E>(geometry) {
            return Weights::Panels(Arc::new(Packed::rows::<E>(level, weights, [ci, co], scale)));
        }
        Weights::Spectrum(match scale {
            None => Spectrum::new(level, weights, (ci, co), false),
            Some(scale) => Spectrum::new(level, &scaled(weights, scale), (ci, co), false),
        })
    }
}

/// Convolves a batch. `finish` is what is done to each sum before it is written; `done` is called by the writing thread
/// for each part while the part is still in cache.
pub(crate) fn convolve<E: Element>(
    level: Level,
    geometry: &Geometry,
    x: &[E],
    weights: &Weights,
    out: &mut [E],
    finish: Option<&Finish<E>>,
    done: impl Fn(Written<E>) + Sync,
) {
    geometry.assert_fits(x, out);
    assert_eq!(geometry.groups, 1, "groups are convolved elsewhere");
    match weights {
        Weights::Panels(weights) => {
            let mut copy = None;
            let words = as_words(x, geometry.input[3], &mut copy);
            by_stencil(level, geometry, words, weights, out, finish, done);
        }
        Weights::Spectrum(spectrum) => correlate(level, geometry, spectrum, x, out, finish, done),
    }
}

/// Weights, each output channel times its scale.
pub(super) fn scaled(weights: &[f32], scale: &[f32]) -> Buffer {
    let mut scaled = pool::take(weights.len());
    for (to, from) in scaled.chunks_exact_mut(scale.len()).zip(weights.chunks_exact(scale.len())) {
        to.iter_mut().zip(from).zip(scale).for_each(|((to, w), s)| *to = w * s);
    }
    scaled
}

/// [`convolve`] by way of Winograd, with transformed weights.
///
/// # Panics
/// If the values are not floats, of which [`by_winograd`] never holds.
pub(crate) fn correlate<E: Element>(
    level: Level,
    geometry: &Geometry,
    spectrum: &Spectrum,
    x: &[E],
    out: &mut [E],
    finish: Option<&Finish<E>>,
    done: impl Fn(Written<E>) + Sync,
) {
    let Some(x) = E::floats(x) else { unreachable!("transforms are of 32-bit floats") };
    let finish = finish.map(|&Finish { offset, residual, activation }| Finish {
        offset,
        residual: residual.and_then(E::floats),
        activation,
    });
    let [_, h, w, ci] = geometry.input;
    let [_, oh, ow, co] = geometry.output();
    let window = geometry.window;
    let corner = [-(window.pad[0][0] as isize), -(window.pad[1][0] as isize)];
    let shared = Shared::new(out);
    blocks::<E>(geometry).par_iter().enumerate().for_each(|(index, block)| {
        let mut scratch = pool::take(Correlate::scratch(spectrum));
        let (target, _) = shared.from(block.image * oh * ow * co);
        let target = target.cast();
        level.run(Correlate {
            spectrum,
            source: Images { data: x, h, w, c: ci },
            image: block.image,
            row: block.row,
            corner,
            grid: Grid { images: block.images, rows: block.rows.div_ceil(2), columns: ow.div_ceil(2) },
            target,
            size: [oh, ow],
            finish: finish.as_ref().map(|finish| (finish, block.image * oh * ow * co)),
            scratch: &mut scratch,
        });
        let offset = (block.image * oh + block.row) * ow * co;
        let (at, _) = shared.from(offset);
        done(Written { block: index, at, offset, pixels: block.images * block.rows * ow, first: 0, channels: co });
    });
}

/// Whether the forward pass of this convolution goes by way of Winograd.
pub(crate) fn by_winograd<E: Element>(geometry: &Geometry) -> bool {
    let [_, oh, ow, co] = geometry.output();
    // Products of 16-bit values are twice as fast, and a transform would cost them bits that they do not have.
    // Tiles are 2x2: a single row or column would waste half of them.
    let floats = E::PER_WORD == 1 && winograd::suits(&geometry.window, geometry.input[3], co);
    floats && oh > 1 && ow > 1 && geometry.weight_len() <= 9 << 16
}

/// What a task has just written: pixels of a block, for one group of channels.
pub(crate) struct Written<E> {
    /// Index of the block.
    pub block: usize,
    /// The first of its pixels' group of channels.
    pub at: *mut E,
    /// Where that is in the whole output.
    pub offset: usize,
    /// Pixels in the block.
    pub pixels: usize,
    /// Channels before the group.
    pub first: usize,
    /// Channels in the group.
    pub channels: usize,
}

/// `x` in words.
fn by_stencil<E: Element>(
    level: Level,
    geometry: &Geometry,
    x: &[f32],
    weights: &Arc<Packed>,
    out: &mut [E],
    finish: Option<&Finish<E>>,
    done: impl Fn(Written<E>) + Sync,
) {
    let blocks = blocks::<E>(geometry);
    let stencil = forward_stencil::<E>(geometry, weights.clone(), &blocks);
    let [_, oh, ow, co] = geometry.output();
    let padded = geometry.padded_words::<E>();
    let (sh, kh) = (geometry.window.stride[0], geometry.window.kernel[0]);
    let weights = &stencil.weights;
    let group = group_channels::<E>(geometry, weights.width) / weights.width;
    let groups = weights.panels().div_ceil(group);
    let shared = Shared::new(out);
    (0..groups * blocks.len()).into_par_iter().for_each(|task| {
        let (g, b) = (task / blocks.len(), task % blocks.len());
        let block = blocks[b];
        let image = |i: usize| &x[(block.image + i) * padded.bare_len()..][..padded.bare_len()];
        let (first, rows) = (block.row * sh, (block.rows - 1) * sh + kh);
        let copy;
        let source: &[f32] = if padded.is_bare() {
            let from = block.image * padded.len() + first * padded.pitch();
            &x[from..(block.image + block.images) * padded.len()]
        } else if block.rows == oh {
            let mut images = pool::take(block.images * padded.len());
            for (i, to) in images.chunks_exact_mut(padded.len()).enumerate() {
                padded.copy_rows(image(i), 0, padded.rows(), to);
            }
            copy = images;
            &copy
        } else {
            let mut strip = pool::take(rows * padded.pitch());
            padded.copy_rows(image(0), first, rows, &mut strip);
            copy = strip;
            &copy
        };
        let pixels = block.images * block.rows * ow;
        let offset = ((block.image * oh + block.row) * ow) * co;
        let (target, _) = shared.from(offset);
        let panels = g * group..((g + 1) * group).min(weights.panels());
        let first = panels.start * weights.width;
        let channels = co.min(panels.end * weights.width) - first;
        let finish = finish.map(|finish| (finish, offset));
        level.run(Apply { stencil: &stencil, source, target, target_len: pixels * co, pixels, panels, finish });
        // SAFETY: the group's first channel of the block's first pixel, which exists.
        let at = unsafe { target.add(first) };
        done(Written { block: b, at, offset: offset + first, pixels, first, channels });
    });
}
