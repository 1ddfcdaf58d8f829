//! [`Vector`] for NEON: 4 lanes, 32 registers.

use super::{Task, Vector};
use std::arch::aarch64::*;

/// Runs a task compiled for NEON.
///
/// # Safety
/// The processor has NEON.
#[target_feature(enable = "neon")]
pub(crate) unsafe fn run_neon<T: Task>(task: T) -> T::Output {
    // SAFETY: the processor has NEON.
    unsafe { task.run::<Neon>() }
}

/// Four lanes.
#[derive(Clone, Copy)]
pub struct Neon(float32x4_t);

#[expect(clippy::undocumented_unsafe_blocks, reason = "each is one instruction of the set, on what the trait demands")]
// SAFETY: the constructors require NEON, so the arithmetic on their results may use it.
unsafe impl Vector for Neon {
    const LANES: usize = 4;
    const REGISTERS: usize = 32;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Neon(unsafe { vdupq_n_f32(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Neon(unsafe { vld1q_f32(from) })
    }
    #[inline(always)]
    unsafe fn load_some(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0f32; 4];
        unsafe {
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count.min(4));
            Self::load(lanes.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { vst1q_f32(to, self.0) }
    }
    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, count: usize) {
        let mut lanes = [0.0f32; 4];
        unsafe {
            self.store(lanes.as_mut_ptr());
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count.min(4));
        }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Neon(unsafe { vaddq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Neon(unsafe { vsubq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Neon(unsafe { vfmaq_f32(addend.0, self.0, factor.0) })
    }
    #[inline(always)]
    fn relu(self) -> Self {
        Neon(unsafe { vmaxq_f32(self.0, vdupq_n_f32(0.0)) })
    }
    #[inline(always)]
    fn at_most(self, most: Self) -> Self {
        Neon(unsafe { vminq_f32(self.0, most.0) })
    }
    #[inline(always)]
    fn where_positive(self, mask: Self) -> Self {
        unsafe {
            let positive = vcgtq_f32(mask.0, vdupq_n_f32(0.0));
            Neon(vreinterpretq_f32_u32(vandq_u32(positive, vreinterpretq_u32_f32(self.0))))
        }
    }
}
