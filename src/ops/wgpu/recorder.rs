//! A device that runs nothing and keeps every launch: what a step is to whoever compiles its kernels ahead, measures them, or
//! says what they cost, without there being a network or a GPU.

use super::launch::{Adapter, Gpu, Launch};
use crate::ops::Timer;
use std::cell::{Cell, RefCell};

/// A range of memory that isn't there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// Of the allocation.
    pub id: usize,
    pub bytes: usize,
}

/// A launch of a step.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// The operation that it belongs to, such as `conv 3x3/1 64→64 on 56x56, backward`.
    pub operation: String,
    /// Which of the operations of that name, counted from 0.
    pub nth: usize,
    pub launch: Launch,
    pub buffers: Vec<Range>,
}

/// Keeps what it is asked to do.
pub(crate) struct Recorder {
    adapter: Adapter,
    allocations: Cell<usize>,
    /// In the order in which they began.
    operations: RefCell<Vec<String>>,
    recorded: RefCell<Vec<Recorded>>,
}

impl Recorder {
    /// As if on this adapter.
    pub(crate) fn new(adapter: Adapter) -> Self {
        Self { adapter, allocations: Cell::new(0), operations: RefCell::default(), recorded: RefCell::default() }
    }

    /// Everything since the last time.
    pub(crate) fn take(&self) -> Vec<Recorded> {
        self.operations.take();
        self.recorded.take()
    }
}

impl Gpu for Recorder {
    type Buffer = Range;

    fn adapter(&self) -> Adapter {
        self.adapter
    }

    fn empty(&self, bytes: usize) -> Range {
        let id = self.allocations.get();
        self.allocations.set(id + 1);
        Range { id, bytes }
    }

    fn upload(&self, bytes: &[u8]) -> Range {
        self.empty(bytes.len())
    }

    fn zeros(&self, bytes: usize) -> Range {
        self.empty(bytes)
    }

    fn part(&self, whole: &Range, _: usize, count: usize) -> Range {
        Range { bytes: 4 * count, ..*whole }
    }

    fn span(&self, name: &dyn Fn() -> String) -> Option<Timer<'_>> {
        self.operations.borrow_mut().push(name());
        None
    }

    fn dispatch(&self, launch: Launch, buffers: &[&Range]) {
        let operations = self.operations.borrow();
        let operation = operations.last().cloned().unwrap_or_default();
        let nth = operations.iter().filter(|other| **other == operation).count().saturating_sub(1);
        let buffers = buffers.iter().map(|&&buffer| buffer).collect();
        self.recorded.borrow_mut().push(Recorded { operation, nth, launch, buffers });
    }
}
