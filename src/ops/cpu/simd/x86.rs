//! [`Vector`] for AVX-512F (16 lanes, 32 registers), without and with AVX512_BF16, and for AVX2 with FMA (8 lanes, 16
//! registers).

use super::{Task, Vector};
use std::arch::x86_64::*;

/// Runs a task compiled for AVX-512F.
///
/// # Safety
/// The processor has AVX-512F, AVX2 and FMA.
#[target_feature(enable = "avx512f,avx2,fma")]
pub(crate) unsafe fn run_avx512<T: Task>(task: T) -> T::Output {
    // SAFETY: the processor has AVX-512F, AVX2 and FMA.
    unsafe { task.run::<Avx512<false>>() }
}

/// Runs a task compiled for AVX-512F with AVX512_BF16.
///
/// # Safety
/// The processor has AVX512_BF16, AVX-512F, AVX2 and FMA.
#[target_feature(enable = "avx512bf16,avx512f,avx2,fma")]
pub(crate) unsafe fn run_avx512_bf16<T: Task>(task: T) -> T::Output {
    // SAFETY: the processor has them.
    unsafe { task.run::<Avx512<true>>() }
}

/// Runs a task compiled for AVX2 and FMA.
///
/// # Safety
/// The processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn run_avx2<T: Task>(task: T) -> T::Output {
    // SAFETY: the processor has AVX2 and FMA.
    unsafe { task.run::<Avx2>() }
}

/// Sixteen lanes; `BF16` where the processor has AVX512_BF16 too.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const BF16: bool>(__m512);

impl<const BF16: bool> Avx512<BF16> {
    /// As bfloat16, of which the instruction takes what is too small for a normal float for zero.
    #[inline(always)]
    fn rounded(self) -> __m256i {
        // SAFETY: a value exists, so the processor has the set.
        unsafe {
            if BF16 {
                return std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(self.0));
            }
            let bits = _mm512_castps_si512(self.0);
            let even = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let nearest = _mm512_add_epi32(_mm512_add_epi32(bits, even), _mm512_set1_epi32(0x7fff));
            let nan = _mm512_or_si512(bits, _mm512_set1_epi32(0x40_0000));
            let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
            let bits = _mm512_mask_mov_epi32(nearest, is_nan, nan);
            _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(bits))
        }
    }
}

/// Floats of their upper halves.
///
/// # Safety
/// The processor has AVX-512F.
#[inline(always)]
unsafe fn widened(halves: __m256i) -> __m512 {
    // SAFETY: as the caller vouches.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves))) }
}

#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1u32 << count.min(16)) - 1) as __mmask16
}

#[expect(clippy::undocumented_unsafe_blocks, reason = "each is one instruction of the set, on what the trait demands")]
// SAFETY: the constructors require AVX-512F, so the arithmetic on their results may use it.
unsafe impl<const BF16: bool> Vector for Avx512<BF16> {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Avx512(unsafe { _mm512_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Avx512(unsafe { _mm512_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn load_some(from: *const f32, count: usize) -> Self {
        Avx512(unsafe { _mm512_maskz_loadu_ps(first(count), from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, count: usize) {
        unsafe { _mm512_mask_storeu_ps(to, first(count), self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Avx512(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Avx512(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Avx512(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
    }
    #[inline(always)]
    fn relu(self) -> Self {
        // The maximum returns its second operand where one is NaN.
        Avx512(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
    }
    #[inline(always)]
    fn at_most(self, most: Self) -> Self {
        // The minimum returns its second operand where one is NaN.
        Avx512(unsafe { _mm512_min_ps(most.0, self.0) })
    }
    #[inline(always)]
    fn where_positive(self, mask: Self) -> Self {
        unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(mask.0, _mm512_setzero_ps());
            Avx512(_mm512_maskz_mov_ps(positive, self.0))
        }
    }
    #[inline(always)]
    unsafe fn load_upper(from: *const u16) -> Self {
        Avx512(unsafe { widened(_mm256_loadu_si256(from.cast())) })
    }
    #[inline(always)]
    unsafe fn load_some_upper(from: *const u16, count: usize) -> Self {
        let mut lanes = [0u16; 16];
        unsafe {
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count.min(16));
            Self::load_upper(lanes.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store_upper(self, to: *mut u16) {
        unsafe { _mm256_storeu_si256(to.cast(), self.rounded()) }
    }
    #[inline(always)]
    unsafe fn store_some_upper(self, to: *mut u16, count: usize) {
        let mut lanes = [0u16; 16];
        unsafe {
            self.store_upper(lanes.as_mut_ptr());
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count.min(16));
        }
    }
    #[inline(always)]
    fn pair_mul_add(self, factors: Self, sums: Self) -> Self {
        if BF16 {
            let pairs = |words: Self| unsafe { std::mem::transmute::<__m512, __m512bh>(words.0) };
            Avx512(unsafe { _mm512_dpbf16_ps(sums.0, pairs(self), pairs(factors)) })
        } else {
            let split = |words: Self| unsafe {
                let bits = _mm512_castps_si512(words.0);
                let upper = _mm512_and_si512(bits, _mm512_set1_epi32(0xffff_0000u32 as i32));
                [_mm512_slli_epi32::<16>(bits), upper].map(|bits| Avx512(_mm512_castsi512_ps(bits)))
            };
            let ([a, b], [c, d]) = (split(self), split(factors));
            b.mul_add(d, a.mul_add(c, sums))
        }
    }
}

/// Eight lanes.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256);

/// A sliding window over this gives the mask of any number of first lanes.
static FIRST: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

#[inline(always)]
unsafe fn first_lanes(count: usize) -> __m256i {
    // SAFETY: the window starts at 0..=8 of 16 and is 8 long.
    unsafe { _mm256_loadu_si256(FIRST.as_ptr().add(8 - count.min(8)).cast()) }
}

#[expect(clippy::undocumented_unsafe_blocks, reason = "each is one instruction of the set, on what the trait demands")]
// SAFETY: the constructors require AVX2 and FMA, so the arithmetic on their results may use them.
unsafe impl Vector for Avx2 {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Avx2(unsafe { _mm256_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Avx2(unsafe { _mm256_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn load_some(from: *const f32, count: usize) -> Self {
        Avx2(unsafe { _mm256_maskload_ps(from, first_lanes(count)) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, count: usize) {
        unsafe { _mm256_maskstore_ps(to, first_lanes(count), self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Avx2(unsafe { _mm256_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Avx2(unsafe { _mm256_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Avx2(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
    }
    #[inline(always)]
    fn relu(self) -> Self {
        Avx2(unsafe { _mm256_max_ps(_mm256_setzero_ps(), self.0) })
    }
    #[inline(always)]
    fn at_most(self, most: Self) -> Self {
        // The minimum returns its second operand where one is NaN.
        Avx2(unsafe { _mm256_min_ps(most.0, self.0) })
    }
    #[inline(always)]
    fn where_positive(self, mask: Self) -> Self {
        unsafe { Avx2(_mm256_and_ps(self.0, _mm256_cmp_ps::<_CMP_GT_OQ>(mask.0, _mm256_setzero_ps()))) }
    }
}
