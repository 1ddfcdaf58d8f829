//! What activations and their gradients are in memory: 32-bit floats, or 16-bit ones with the range of those (bfloat16:
//! Wang and Kanwar, 2019, <https://cloud.google.com/blog/products/ai-machine-learning/bfloat16-the-secret-to-high-performance-on-cloud-tpus>).
//!
//! A kernel is written once for both. What it loads is widened to 32 bits and what it stores is rounded; only the
//! products of convolutions take 16-bit values as they are. They go through memory by *words* of 32 bits, each a float or
//! a pair of neighbours: a broadcast of a word times a vector of words, added to a vector of 32-bit sums, is one
//! instruction either way ([`Element::multiply`]).

use super::{
    pool::{self, Buffer},
    simd::{Vector, load_up_to, rounded, store_up_to, widened},
};
use crate::ops::Storage;
use bytemuck::{Pod, Zeroable, cast_slice, cast_slice_mut};
use rayon::prelude::*;
use std::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

/// Values of a task that is element by element: what stays in a core's cache.
pub(super) const PIECE: usize = 32 << 10;

/// A value in memory.
pub(crate) trait Element: Pod + Send + Sync {
    /// Which of the two.
    const STORAGE: Storage;
    /// Values in a word.
    const PER_WORD: usize;

    /// The first `count` values at `from`, at most a vector, and zeros after them.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`, and `min(count, LANES)` values are readable.
    unsafe fn load<V: Vector>(from: *const Self, count: usize) -> V;

    /// Writes the first `count` lanes, or all.
    ///
    /// # Safety
    /// `min(count, LANES)` values are writable.
    unsafe fn store<V: Vector>(value: V, to: *mut Self, count: usize);

    /// `sums` and the products of two vectors of words.
    fn multiply<V: Vector>(words: V, others: V, sums: V) -> V;

    /// As a float.
    fn widen(self) -> f32;

    /// The nearest value to a float.
    fn narrow(value: f32) -> Self;

    /// The word of as many of these as it has values.
    fn word(first: f32, second: f32) -> f32;

    /// Images of `len` values each as words of the values of [`PER_WORD`](Element::PER_WORD) images at the same place, in
    /// `copy` where they are more than one; with zeros where images run out.
    fn abreast<'a>(images: &'a [Self], len: usize, copy: &'a mut [f32]) -> &'a [f32];

    /// Values that are floats already.
    fn floats(values: &[Self]) -> Option<&[f32]>;
}

impl Element for f32 {
    const STORAGE: Storage = Storage::F32;
    const PER_WORD: usize = 1;

    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const f32, count: usize) -> V {
        // SAFETY: as the caller vouches.
        unsafe { load_up_to(from, count) }
    }
    #[inline(always)]
    unsafe fn store<V: Vector>(value: V, to: *mut f32, count: usize) {
        // SAFETY: as the caller vouches.
        unsafe { store_up_to(value, to, count) }
    }
    #[inline(always)]
    fn multiply<V: Vector>(words: V, others: V, sums: V) -> V {
        words.mul_add(others, sums)
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
    #[inline(always)]
    fn narrow(value: f32) -> f32 {
        value
    }
    #[inline(always)]
    fn word(first: f32, _: f32) -> f32 {
        first
    }
    fn abreast<'a>(images: &'a [f32], _: usize, _: &'a mut [f32]) -> &'a [f32] {
        images
    }
    fn floats(values: &[f32]) -> Option<&[f32]> {
        Some(values)
    }
}

/// The upper half of a float's bits.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Bf16(u16);

impl Element for Bf16 {
    const STORAGE: Storage = Storage::Bf16;
    const PER_WORD: usize = 2;

    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const Bf16, count: usize) -> V {
        // SAFETY: as the caller vouches.
        unsafe { if count >= V::LANES { V::load_upper(from.cast()) } else { V::load_some_upper(from.cast(), count) } }
    }
    #[inline(always)]
    unsafe fn store<V: Vector>(value: V, to: *mut Bf16, count: usize) {
        // SAFETY: as the caller vouches.
        unsafe {
            if count >= V::LANES { value.store_upper(to.cast()) } else { value.store_some_upper(to.cast(), count) }
        }
    }
    #[inline(always)]
    fn multiply<V: Vector>(words: V, others: V, sums: V) -> V {
        words.pair_mul_add(others, sums)
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        widened(self.0)
    }
    #[inline(always)]
    fn narrow(value: f32) -> Bf16 {
        Bf16(rounded(value))
    }
    #[inline(always)]
    fn word(first: f32, second: f32) -> f32 {
        pair([first, second].map(rounded))
    }
    fn abreast<'a>(images: &'a [Bf16], len: usize, copy: &'a mut [f32]) -> &'a [f32] {
        copy.par_chunks_mut(len.max(1)).zip(images.par_chunks((2 * len).max(1))).for_each(|(words, two)| {
            let (first, second) = two.split_at(len);
            match second.is_empty() {
                true => words.iter_mut().zip(first).for_each(|(word, first)| *word = pair([first.0, 0])),
                false => words.iter_mut().zip(first.iter().zip(second)).for_each(|(word, (first, second))| {
                    *word = pair([first.0, second.0]);
                }),
            }
        });
        copy
    }
    fn floats(_: &[Bf16]) -> Option<&[f32]> {
        None
    }
}

/// A word of these two.
#[inline(always)]
fn pair([first, second]: [u16; 2]) -> f32 {
    f32::from_bits(u32::from(first) | u32::from(second) << 16)
}

/// Recycled memory for values.
pub(crate) struct Values<E> {
    words: Buffer,
    len: usize,
    of: PhantomData<E>,
}

/// Memory for `len` values, with arbitrary ones in it.
pub(crate) fn take<E: Element>(len: usize) -> Values<E> {
    Values { words: pool::take(len.div_ceil(E::PER_WORD)), len, of: PhantomData }
}

impl<E> Values<E> {
    /// The memory, of which the last word may be half of no value.
    pub(crate) fn into_words(self) -> Buffer {
        self.words
    }
}

impl<E: Element> Deref for Values<E> {
    type Target = [E];
    fn deref(&self) -> &[E] {
        &cast_slice(&self.words)[..self.len]
    }
}

impl<E: Element> DerefMut for Values<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        &mut cast_slice_mut(&mut self.words)[..self.len]
    }
}

/// Words of a pixel of so many channels.
pub(crate) fn words_of<E: Element>(channels: usize) -> usize {
    channels.div_ceil(E::PER_WORD)
}

/// Pixels of `channels` channels as words, [`words_of`] each. An odd channel gets a zero beside it, in a copy.
pub(crate) fn as_words<'a, E: Element>(values: &'a [E], channels: usize, copy: &'a mut Option<Buffer>) -> &'a [f32] {
    if channels.is_multiple_of(E::PER_WORD) {
        return cast_slice(values);
    }
    let words = words_of::<E>(channels);
    let copy = copy.insert(pool::zeros(values.len() / channels * words));
    let piece = (PIECE / words).max(1);
    copy.par_chunks_mut(piece * words).zip(values.par_chunks(piece * channels)).for_each(|(to, from)| {
        let to: &mut [E] = cast_slice_mut(to);
        for (to, from) in to.chunks_exact_mut(words * E::PER_WORD).zip(from.chunks_exact(channels)) {
            to[..channels].copy_from_slice(from);
        }
    });
    copy
}

/// Values of one kind as those of another.
pub(crate) fn converted<A: Element, B: Element>(from: &[A]) -> Values<B> {
    let mut to = take::<B>(from.len());
    to.par_chunks_mut(PIECE).zip(from.par_chunks(PIECE)).for_each(|(to, from)| {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = B::narrow(from.widen()));
    });
    to
}
