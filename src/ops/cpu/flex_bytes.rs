//! A pool's [`Buffer`] as the [`Bytes`] of a tensor: no copy on the way in, and back to the pool when the last tensor
//! that shares it goes.

use super::pool::{self, Buffer};
use cubecl_common::bytes::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};
use std::mem::MaybeUninit;

/// Buffers are better aligned than this, but a clone of `Bytes` cannot be: 16 is the most that it supports.
const ALIGNMENT: usize = 16;

struct Pooled(Buffer);

impl Pooled {
    fn bytes(&self) -> usize {
        self.0.len() * size_of::<f32>()
    }
}

impl AllocationController for Pooled {
    fn alloc_align(&self) -> usize {
        ALIGNMENT
    }

    fn property(&self) -> AllocationProperty {
        // Not `Native`: the memory belongs to the pool and cannot become a `Vec`.
        AllocationProperty::Other
    }

    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes = self.bytes();
        // SAFETY: the buffer's floats are as many bytes, and the caller writes only initialised ones.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), bytes) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        // SAFETY: the buffer's floats are as many bytes.
        Ok(unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.bytes()) })
    }

    fn duplicate(&self) -> Option<Box<dyn AllocationController>> {
        let mut copy = pool::take(self.0.len());
        copy.copy_from_slice(&self.0);
        Some(Box::new(Pooled(copy)))
    }
}

impl From<Buffer> for Bytes {
    fn from(buffer: Buffer) -> Bytes {
        let bytes = buffer.len() * size_of::<f32>();
        // SAFETY: all floats of a buffer are initialised.
        unsafe { Bytes::from_controller(Box::new(Pooled(buffer)), bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_hold_the_buffer_itself_and_give_it_back() {
        let mut buffer = pool::take(1_234_567);
        buffer.fill(1.5);
        let at = buffer.as_ptr();
        let bytes = Bytes::from(buffer);
        assert_eq!(bytes.as_ptr().cast(), at);
        let copy = bytes.clone();
        assert!(copy == bytes && copy.as_ptr() != bytes.as_ptr());
        drop(bytes);
        assert_eq!(pool::take(1_234_567).as_ptr(), at);
    }
}
