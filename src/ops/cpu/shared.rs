//! Memory that threads write together, each a part of its own: what borrowing can't say of parts that interleave.

/// Memory that several tasks write, each its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared<E = f32>(*mut E, usize);
// SAFETY: whoever writes through it keeps to parts that no other task touches.
unsafe impl<E> Send for Shared<E> {}
// SAFETY: as above.
unsafe impl<E> Sync for Shared<E> {}

impl<E> Shared<E> {
    /// Shares a slice for as long as the caller keeps it borrowed.
    pub(crate) fn new(memory: &mut [E]) -> Shared<E> {
        Shared(memory.as_mut_ptr(), memory.len())
    }
    /// The address of value `at`, and how many there are from there on.
    pub(crate) fn from(&self, at: usize) -> (*mut E, usize) {
        assert!(at <= self.1);
        // SAFETY: inside the slice, or one past it.
        (unsafe { self.0.add(at) }, self.1 - at)
    }
    /// The part `[at, at + len)` as a slice.
    ///
    /// # Safety
    /// No other task reads or writes the part meanwhile.
    #[expect(clippy::mut_from_ref, reason = "that the parts are apart is what the caller promises")]
    pub(crate) unsafe fn part(&self, at: usize, len: usize) -> &mut [E] {
        assert!(at + len <= self.1);
        // SAFETY: inside the memory, as asserted, and nobody else's meanwhile, as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(at), len) }
    }
}
