//! What the CPU's operations read and write: tensors in recycled memory, and the arenas of a network's.

use super::{
    element::{Element, Values},
    pool::{self, Buffer},
};
use crate::ops::{
    Storage,
    layout::{Arena, Slots},
};
use std::{
    ops::{Deref, Range},
    sync::Arc,
};

/// Values in memory, and their shape: all of a buffer, or floats of an arena.
#[derive(Clone)]
pub struct Array {
    data: Arc<Buffer>,
    start: usize,
    pub(super) shape: [usize; 4],
    pub(super) storage: Storage,
}

impl Array {
    pub(super) fn new<E: Element>(values: Values<E>, shape: [usize; 4]) -> Self {
        Self { data: Arc::new(values.into_words()), start: 0, shape, storage: E::STORAGE }
    }

    /// A tensor of an arena, which begins at float `start` of its memory.
    pub(super) fn of_arena(data: Arc<Buffer>, start: usize, shape: [usize; 4]) -> Self {
        Self { data, start, shape, storage: Storage::F32 }
    }

    pub(super) fn vector(values: Values<f32>) -> Self {
        let shape = [1, 1, 1, values.len()];
        Self::new(values, shape)
    }

    /// The memory, and which of its floats is the first.
    pub(super) fn place(&self) -> (&Arc<Buffer>, usize) {
        (&self.data, self.start)
    }

    /// # Panics
    /// If they are of another kind.
    pub(super) fn values<E: Element>(&self) -> &[E] {
        assert_eq!(self.storage, E::STORAGE, "values of another kind");
        &bytemuck::cast_slice(&self.data[self.start..])[..self.shape.iter().product()]
    }
}

impl Deref for Array {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        self.values()
    }
}

/// Runs an expression with the type of a tensor's values.
macro_rules! with_values_of {
    ($tensor:expr, $element:ident => $run:expr) => {
        match $tensor.storage {
            Storage::F32 => {
                type $element = f32;
                $run
            }
            Storage::Bf16 => {
                type $element = $crate::ops::cpu::element::Bf16;
                $run
            }
            Storage::F16 => unreachable!("only a GPU has 16-bit floats of this kind"),
        }
    };
}
pub(super) use with_values_of;

/// The values of an arena from `start` on.
#[derive(Clone)]
pub struct Memory {
    pub(super) data: Arc<Buffer>,
    pub(super) start: usize,
}

impl Memory {
    /// Its values, for writing: a copy of them, where somebody else looks at these.
    pub(super) fn values_mut(&mut self) -> &mut Buffer {
        if Arc::get_mut(&mut self.data).is_none() {
            let mut copy = pool::take(self.data.len());
            copy.copy_from_slice(&self.data);
            self.data = Arc::new(copy);
        }
        match Arc::get_mut(&mut self.data) {
            Some(buffer) => buffer,
            None => unreachable!("nobody else has this memory"),
        }
    }
}

/// Where a tensor lies within the memory of its arena.
pub(super) fn within(arena: &Arena<Memory>, tensor: usize) -> Range<usize> {
    let range = arena.layout.parts[tensor].range();
    range.start - arena.memory.start..range.end - arena.memory.start
}

pub(super) fn slots<'a, const N: usize>(slots: &'a mut Slots<Memory>) -> [&'a mut [f32]; N] {
    let ranges: [_; N] = std::array::from_fn(|i| within(slots.arena, slots.at + i));
    match slots.arena.memory.values_mut().get_disjoint_mut(ranges) {
        Ok(slices) => slices,
        Err(_) => unreachable!("tensors of a layout do not overlap"),
    }
}

/// Every tensor of an arena from the `first` on, for writing.
pub(super) fn tensors_mut(arena: &mut Arena<Memory>, first: usize) -> impl Iterator<Item = &mut [f32]> {
    let mut at = arena.memory.start;
    let mut rest: &mut [f32] = arena.memory.values_mut();
    arena.layout.parts[first..].iter().map(move |part| {
        let (_, from) = std::mem::take(&mut rest).split_at_mut(part.start - at);
        let (tensor, behind) = from.split_at_mut(part.count());
        (at, rest) = (part.range().end, behind);
        tensor
    })
}
