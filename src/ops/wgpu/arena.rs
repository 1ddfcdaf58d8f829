//! Parameters of a network side by side in one allocation, and their gradients likewise, so that one launch updates all.
//!
//! Nobody declares an arena. The first update finds its parameters scattered, copies them into one allocation, and hands
//! out views of it; from then on the lists that come back are recognised by their memory. The allocation's identity is
//! noted here with its layout, and when the backward pass wants to write the gradient of a tensor that lies in it, it
//! gets the place of the same offset in the arena of the gradients. A gradient that was written elsewhere all the same
//! (a second backward pass before an update, say) is copied.
//!
//! Updates never write into the parameters that they read: whoever holds a clone of a tensor keeps its values.

use super::{
    client::{Wgpu, memory_of, part},
    launch::Gpu,
    update::{self, BLOCK, Layout},
};
use crate::ops::kernels::Factors;
use burn::backend::TensorMetadata;
use burn_cubecl::tensor::CubeTensor;
use cubecl::server::Handle;
use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

/// An arena in use, whose counterpart (gradients, new running statistics) is being filled.
struct Open {
    /// Of the allocation: unique in the process and never reused.
    id: usize,
    layout: Arc<Layout>,
    counterpart: Option<Handle>,
    /// Which places were given out.
    taken: Vec<bool>,
    table: Option<(Vec<Factors>, Handle)>,
}

/// The latest arenas, newest last. A network that is dropped leaves its entry; a few are kept, older ones forgotten,
/// which only costs a copy should they come back.
static OPEN: Mutex<Vec<Open>> = Mutex::new(Vec::new());
const KEPT: usize = 24;

fn id(handle: &Handle) -> usize {
    handle.memory.clone().binding().id().value
}

pub fn count(tensor: &CubeTensor) -> usize {
    tensor.shape().num_elements()
}

/// The place for what belongs to `tensor` (or to its `next`-th neighbour, of `values` values), if it lies in an arena.
pub fn place(gpu: &Wgpu, tensor: &CubeTensor, next: usize, values: usize) -> Option<Handle> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = id(&tensor.handle);
    let arena = open.iter_mut().rev().find(|arena| arena.id == wanted)?;
    let start = tensor.handle.offset_start.unwrap_or(0) as usize / 4;
    let index = arena.layout.parts.binary_search_by_key(&start, |part| part.0).ok()? + next;
    let (start, there) = *arena.layout.parts.get(index)?;
    if there != values || std::mem::replace(arena.taken.get_mut(index)?, true) {
        return None;
    }
    let total = arena.layout.total;
    let whole = arena.counterpart.get_or_insert_with(|| gpu.empty(4 * total));
    Some(part(whole, start, values))
}

/// [`place`], or memory of its own.
pub fn place_or_new(gpu: &Wgpu, tensor: &CubeTensor, next: usize, values: usize) -> Handle {
    place(gpu, tensor, next, values).unwrap_or_else(|| gpu.empty(4 * values))
}

/// The layout that tensors have in an arena.
pub fn layout(tensors: &[CubeTensor]) -> Layout {
    Layout::new(tensors.iter().map(count))
}

/// Runs of tensors that share an arena of at most `most` values, each as long as it can be: one, unless the network is
/// large or the device's bindings are small.
pub fn groups(counts: impl IntoIterator<Item = usize>, most: usize) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut filled = 0;
    for (i, count) in counts.into_iter().enumerate() {
        let padded = count.next_multiple_of(BLOCK);
        match groups.last_mut() {
            Some(group) if filled + padded <= most => group.end = i + 1,
            _ => {
                groups.push(i..i + 1);
                filled = 0;
            }
        }
        filled += padded;
    }
    groups
}

/// All of `tensors` in one allocation, `offset` values from its start: theirs, if they lie so, else a copy.
fn gather(gpu: &Wgpu, layout: &Layout, tensors: &[CubeTensor]) -> Handle {
    if let Some(whole) = lies(layout, tensors, 0, layout.total) {
        return whole;
    }
    let whole = gpu.empty(4 * layout.total);
    copy_into(gpu, layout, tensors, &whole, 0);
    whole
}

/// The allocation in which `tensors` lie `offset` values from the start, if they do.
fn lies(layout: &Layout, tensors: &[CubeTensor], offset: usize, total: usize) -> Option<Handle> {
    let first = tensors.first()?;
    let wanted = id(&first.handle);
    let together = tensors.len() == layout.parts.len()
        && first.handle.size() >= 4 * total as u64
        && tensors.iter().zip(&layout.parts).all(|(tensor, &(start, count_))| {
            id(&tensor.handle) == wanted
                && tensor.handle.offset_start.unwrap_or(0) == 4 * (offset + start) as u64
                && count(tensor) == count_
                && tensor.is_contiguous()
        });
    together.then(|| {
        let mut whole = first.handle.clone();
        (whole.offset_start, whole.offset_end) = (None, None);
        whole
    })
}

fn copy_into(gpu: &Wgpu, layout: &Layout, tensors: &[CubeTensor], whole: &Handle, offset: usize) {
    for (tensor, &(start, count)) in tensors.iter().zip(&layout.parts) {
        update::copy(gpu, count, &memory_of(tensor), &part(whole, offset + start, count));
    }
}

/// Parameters or running statistics in an arena.
pub fn parameters(gpu: &Wgpu, layout: &Layout, tensors: &[CubeTensor]) -> Handle {
    gather(gpu, layout, tensors)
}

/// Moments: the first ones, and behind them as many second ones where `sections` is 2. A list that is empty is zeros.
pub fn moments(gpu: &Wgpu, layout: &Layout, first: &[CubeTensor], second: &[CubeTensor], sections: usize) -> Handle {
    let total = layout.total * sections;
    let whole = lies(layout, first, 0, total);
    match (whole, sections) {
        (Some(whole), 1) => return whole,
        (Some(whole), 2) if lies(layout, second, layout.total, total).is_some_and(|other| id(&other) == id(&whole)) => {
            return whole;
        }
        _ => {}
    }
    let whole = gpu.client.create_from_slice(&vec![0; 4 * total]);
    copy_into(gpu, layout, first, &whole, 0);
    if sections == 2 {
        copy_into(gpu, layout, second, &whole, layout.total);
    }
    whole
}

/// What belongs to the parameters (or running statistics) in `owner`: gradients, or new statistics. Closes the arena.
pub fn counterparts(gpu: &Wgpu, layout: &Layout, owner: &Handle, tensors: &[CubeTensor]) -> Handle {
    let open = {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = id(owner);
        open.iter_mut().rev().find(|arena| arena.id == wanted).and_then(|arena| arena.counterpart.take())
    };
    let Some(whole) = open else {
        return gather(gpu, layout, tensors);
    };
    let own = id(&whole);
    for (tensor, &(start, count)) in tensors.iter().zip(&layout.parts) {
        let there = id(&tensor.handle) == own && tensor.handle.offset_start.unwrap_or(0) == 4 * start as u64;
        if !there {
            update::copy(gpu, count, &memory_of(tensor), &part(&whole, start, count));
        }
    }
    whole
}

/// The shaders' table of factors for the arena `owner`, uploaded when they change.
pub fn table(gpu: &Wgpu, layout: &Layout, owner: &Handle, factors: &[Factors]) -> Handle {
    let kept = {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = id(owner);
        open.iter_mut().rev().find(|arena| arena.id == wanted).and_then(|arena| arena.table.take())
    };
    match kept {
        Some((old, handle)) if old == factors => handle,
        _ => {
            let rows = layout.table(factors);
            gpu.client.create_from_slice(bytemuck::cast_slice(&rows))
        }
    }
}

/// Notes that `fresh` replaces the arena `old`, and gives the views of its tensors, shaped like `like`.
pub fn hand_out(
    gpu: &Wgpu,
    layout: &Arc<Layout>,
    old: &Handle,
    fresh: &Handle,
    table: Option<(Vec<Factors>, Handle)>,
    like: &[CubeTensor],
) -> Vec<CubeTensor> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let (gone, new) = (id(old), id(fresh));
    open.retain(|arena| arena.id != gone && arena.id != new);
    let excess = (open.len() + 1).saturating_sub(KEPT);
    open.drain(..excess);
    let taken = vec![false; layout.parts.len()];
    open.push(Open { id: new, layout: Arc::clone(layout), counterpart: None, taken, table });
    drop(open);
    views(gpu, layout, fresh, 0, like)
}

/// Views of an arena, `offset` values from its start.
pub fn views(gpu: &Wgpu, layout: &Layout, whole: &Handle, offset: usize, like: &[CubeTensor]) -> Vec<CubeTensor> {
    let parts = layout.parts.iter().zip(like);
    parts.map(|(&(start, count), like)| gpu.tensor(part(whole, offset + start, count), like.shape())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_runs_that_fit() {
        assert!(groups([7, 64, 100, 1], 1 << 20).into_iter().eq(std::iter::once(0..4)));
        // 64, 64, 128 and 64 values with their padding.
        assert_eq!(groups([7, 64, 100, 1], 192), [0..2, 2..4]);
        assert_eq!(groups([7, 64, 100, 1], 100), [0..1, 1..2, 2..3, 3..4]);
        assert!(groups([], 100).is_empty());
    }
}
