//! Recycled memory: after the first step a training step takes every buffer from here and asks the system for nothing.
//!
//! Fresh pages are dear (each costs a fault and its zeroing, 0.1–0.25 µs a kilobyte), and a training step asks for the
//! same sizes again and again. Free buffers wait in one list for each size class; a class is at most a quarter larger
//! than what it serves. Where a class has none, the next larger ones are asked, up to twice the size: the last batch of
//! an epoch, which is smaller, and those of validation then need no memory of their own. What a buffer held before stays in it: [`take`] promises initialised floats, not zeros.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes to which a buffer is aligned: a cache line, and the widest vector.
pub(crate) const ALIGNMENT: usize = 64;
/// The smallest class, in floats.
const SMALLEST: usize = 64;
/// Classes that serve a request: its own and those that are less than twice as large.
const SERVING: usize = 4;
/// Four classes for each power of two, up to 2^47 floats.
const CLASSES: usize = 4 * 42;

static FREE: [Mutex<Vec<Block>>; CLASSES] = [const { Mutex::new(Vec::new()) }; CLASSES];
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Block(NonNull<f32>);
// SAFETY: a block is owned memory without any tie to a thread.
unsafe impl Send for Block {}

/// Floats of a size class: 64, 80, 96, 112, 128, 160, …
fn class_floats(class: usize) -> usize {
    (SMALLEST + SMALLEST / 4 * (class % 4)) << (class / 4)
}

fn class_of(floats: usize) -> usize {
    let floats = floats.max(SMALLEST);
    let octave = (floats / SMALLEST).ilog2() as usize;
    let quarter = (floats - (SMALLEST << octave)).div_ceil((SMALLEST / 4) << octave);
    octave * 4 + quarter
}

fn layout(class: usize) -> Layout {
    // A class whose size does not fit an address could not have been requested: `take` names the failure.
    Layout::from_size_align(class_floats(class) * 4, ALIGNMENT)
        .unwrap_or_else(|_| panic!("a buffer of {} floats does not fit this machine's addresses", class_floats(class)))
}

/// A run of floats, aligned to [`ALIGNMENT`] bytes, that returns to the pool when it is dropped.
pub(crate) struct Buffer {
    block: NonNull<f32>,
    len: usize,
    class: usize,
}

// SAFETY: a buffer owns its memory exclusively; `&Buffer` gives only `&[f32]`.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

/// A buffer of `len` floats with arbitrary contents.
pub(crate) fn take(len: usize) -> Buffer {
    let class = class_of(len);
    let free = |class: usize| {
        let block = FREE[class].lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop()?;
        Some((class, block))
    };
    let (class, block) = match (class..CLASSES.min(class + SERVING)).find_map(free) {
        Some((class, Block(block))) => (class, block),
        None => {
            let layout = layout(class);
            ALLOCATED.fetch_add(layout.size(), Relaxed);
            ALLOCATIONS.fetch_add(1, Relaxed);
            // SAFETY: the layout is not empty, as the smallest class has 64 floats.
            let memory = unsafe { alloc_zeroed(layout) };
            (class, NonNull::new(memory.cast()).unwrap_or_else(|| handle_alloc_error(layout)))
        }
    };
    Buffer { block, len, class }
}

/// A buffer of `len` zeros.
pub(crate) fn zeros(len: usize) -> Buffer {
    let mut buffer = take(len);
    buffer.fill(0.0);
    buffer
}

/// What the pool has asked of the system: `(bytes held, allocations so far)`. Constant once training is warm.
pub(crate) fn statistics() -> (usize, usize) {
    (ALLOCATED.load(Relaxed), ALLOCATIONS.load(Relaxed))
}

/// Floats that an empty pool would come to have in use: each occasion asks for so many buffers of so many floats at once,
/// and gives them back before the next. Pages of a buffer that nobody reaches take no memory.
pub(crate) fn foresee(occasions: [Vec<(u64, u64)>; 3]) -> u64 {
    // Of each buffer its class, and the most that was in it.
    let mut buffers: Vec<(usize, u64)> = Vec::new();
    for occasion in occasions {
        let mut free = vec![true; buffers.len()];
        for (floats, count) in occasion {
            let class = class_of(floats as usize);
            for _ in 0..count {
                let serves = |(own, _): &(usize, u64)| (class..class + SERVING).contains(own);
                let found =
                    (0..free.len()).filter(|&at| free[at] && serves(&buffers[at])).min_by_key(|&at| buffers[at].0);
                match found {
                    Some(at) => (buffers[at].1, free[at]) = (buffers[at].1.max(floats), false),
                    None => buffers.push((class, floats)),
                }
            }
        }
    }
    buffers.into_iter().map(|(_, floats)| floats).sum()
}

/// Returns all waiting buffers to the system: at the end of a run, or when its batches change their size.
pub(crate) fn trim() {
    for (class, free) in FREE.iter().enumerate() {
        let blocks = std::mem::take(&mut *free.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        for Block(block) in blocks {
            ALLOCATED.fetch_sub(layout(class).size(), Relaxed);
            // SAFETY: the block came from the allocator with this layout, and nobody else holds it.
            unsafe { dealloc(block.as_ptr().cast(), layout(class)) }
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: the block has at least `len` floats, all initialised (zeroed when allocated).
        unsafe { std::slice::from_raw_parts(self.block.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as for `deref`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.block.as_ptr(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        FREE[self.class].lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(Block(self.block));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_pool_will_hold_is_foreseen() {
        // Two of a size, then one a little smaller, which one of them serves, then one that is far larger.
        assert_eq!(foresee([vec![(1000, 2)], vec![(900, 1)], vec![(5000, 1), (10, 1)]]), 2 * 1000 + 5000 + 10);
        assert_eq!(foresee([vec![], vec![], vec![]]), 0);
    }

    #[test]
    fn a_class_holds_what_it_serves_and_wastes_at_most_a_quarter() {
        for len in (0..5000).chain([1 << 20, (1 << 20) + 1, 123_456_789]) {
            let floats = class_floats(class_of(len));
            assert!(floats >= len && (floats * 4 <= len * 5 + 4 * SMALLEST), "{len} in {floats}");
        }
    }

    #[test]
    fn a_dropped_buffer_is_used_again_and_is_aligned() {
        // Lengths that no other test asks for, since the pool is shared by all of them. Nobody touches their pages.
        let used_again = || {
            let first = take(97_654_321).as_ptr();
            let second = take(97_654_321);
            assert_eq!(second.as_ptr() as usize % ALIGNMENT, 0);
            let again = first == second.as_ptr();
            drop(second);
            // Of a smaller one too, but not of one that would waste half of it.
            again && take(60_000_000).as_ptr() == first && take(30_000_000).as_ptr() != first
        };
        // Another test may end a session, which empties the pool.
        assert!((0..20).any(|_| used_again()));
        assert_eq!(zeros(77).iter().sum::<f32>(), 0.0);
    }
}
