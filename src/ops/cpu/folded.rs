//! Weights are folded and packed for evaluation once, not once a batch: it is a pass over all of them.
//!
//! What was made of a layer's tensors is found by the memory that they lie in, and holds for as long as that is the same and
//! was not written: a weak reference keeps both its address from being used again and whoever writes to it from doing so
//! in place ([`Memory::values_mut`](super::memory::Memory::values_mut)). An update forgets all first, and so copies nothing.

use super::{ConvBnInput, Folded, Geometry, Level, element::Element, memory::Array, pool::Buffer};
use crate::ops::{LayerTensors, Storage};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// By the address of the layer's memory and the place of its weights there.
#[derive(Default)]
pub(crate) struct FoldedLayers(Mutex<HashMap<(usize, usize), Kept>>);

struct Kept {
    /// Of weights and running statistics.
    memory: [Weak<Buffer>; 2],
    /// But for the number of images.
    geometry: Geometry,
    storage: Storage,
    eps: f32,
    folded: Arc<Folded>,
}

impl FoldedLayers {
    /// What is to be known of a layer for an input of this shape.
    pub(super) fn of<E: Element>(&self, input: &ConvBnInput<E>, layer: &LayerTensors<Array>, eps: f32) -> Arc<Folded> {
        let ((weights, start), (statistics, _)) = (layer.weight.place(), layer.mean.place());
        let place = (Arc::as_ptr(weights) as usize, start);
        let [_, h, w, c] = input.geometry.input;
        let geometry = Geometry { input: [0, h, w, c], ..input.geometry };
        let is = |weak: &Weak<Buffer>, memory: &Arc<Buffer>| std::ptr::eq(weak.as_ptr(), Arc::as_ptr(memory));
        let holds = |kept: &&Kept| {
            is(&kept.memory[0], weights)
                && is(&kept.memory[1], statistics)
                && (kept.geometry, kept.storage, kept.eps) == (geometry, E::STORAGE, eps)
        };
        if let Some(kept) = self.lock().get(&place).filter(holds) {
            return kept.folded.clone();
        }
        let folded = Arc::new(Folded::new(Level::best(), input, [&layer.mean, &layer.var], eps));
        let memory = [weights, statistics].map(Arc::downgrade);
        let kept = Kept { memory, geometry, storage: E::STORAGE, eps, folded: folded.clone() };
        let mut all = self.lock();
        all.retain(|_, kept| kept.memory.iter().all(|memory| memory.strong_count() > 0));
        all.insert(place, kept);
        folded
    }

    /// Forgets all: weights are about to change.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(usize, usize), Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
