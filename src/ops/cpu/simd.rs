//! What the kernels ask of a processor: one vector type with a dozen operations, and the choice of it at run time.
//!
//! A kernel is written once, as a [`Task`] generic over [`Vector`]; [`Level::run`] compiles it anew inside a function
//! that has the instruction set switched on. Everything on the way from there to an intrinsic is `#[inline(always)]`,
//! because a function that is not inlined would be compiled without the instruction set.

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

/// A few `f32` lanes in one register.
///
/// # Safety
/// Values of an implementing type exist only where the processor has its instruction set: the constructors are unsafe,
/// arithmetic on existing values is safe.
pub(crate) unsafe trait Vector: Copy {
    /// Lanes in a vector.
    const LANES: usize;
    /// Vector registers that a kernel can use.
    const REGISTERS: usize;

    /// All lanes `value`.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn splat(value: f32) -> Self;
    /// `LANES` floats from `from`, of any alignment.
    ///
    /// # Safety
    /// The processor has the instruction set, and the floats are readable.
    unsafe fn load(from: *const f32) -> Self;
    /// The first `count < LANES` floats, zeros after them.
    ///
    /// # Safety
    /// As [`Vector::load`], of `count` floats.
    unsafe fn load_some(from: *const f32, count: usize) -> Self;
    /// Writes all lanes.
    ///
    /// # Safety
    /// `LANES` floats at `to` are writable.
    unsafe fn store(self, to: *mut f32);
    /// Writes the first `count < LANES` lanes.
    ///
    /// # Safety
    /// `count` floats at `to` are writable.
    unsafe fn store_some(self, to: *mut f32, count: usize);
    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self - other`.
    fn sub(self, other: Self) -> Self;
    /// `self * factor + addend`, fused where the processor can.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// `max(self, 0)`, and NaN stays NaN as in PyTorch.
    fn relu(self) -> Self;
    /// `min(self, most)`, and NaN stays NaN.
    fn at_most(self, most: Self) -> Self;
    /// `self` in the lanes where `mask > 0`, else 0.
    fn where_positive(self, mask: Self) -> Self;

    /// `LANES` floats of which only the upper halves are in memory, from `from`: bfloat16.
    ///
    /// # Safety
    /// As [`Vector::load`], of as many halves.
    #[inline(always)]
    unsafe fn load_upper(from: *const u16) -> Self {
        // SAFETY: as the caller vouches.
        unsafe { Self::load_some_upper(from, Self::LANES) }
    }
    /// The first `count` of them, zeros after them.
    ///
    /// # Safety
    /// As [`Vector::load_upper`], of `count` halves.
    #[inline(always)]
    unsafe fn load_some_upper(from: *const u16, count: usize) -> Self {
        let mut lanes = [0.0; MOST_LANES];
        // SAFETY: as the caller vouches; there are as many lanes on the stack.
        unsafe {
            for (i, lane) in lanes.iter_mut().take(count.min(Self::LANES)).enumerate() {
                *lane = widened(from.add(i).read_unaligned());
            }
            Self::load(lanes.as_ptr())
        }
    }
    /// Writes all lanes, rounded to their upper halves.
    ///
    /// # Safety
    /// As [`Vector::store`], of as many halves.
    #[inline(always)]
    unsafe fn store_upper(self, to: *mut u16) {
        // SAFETY: as the caller vouches.
        unsafe { self.store_some_upper(to, Self::LANES) }
    }
    /// The first `count` of them.
    ///
    /// # Safety
    /// As [`Vector::store_upper`], of `count` halves.
    #[inline(always)]
    unsafe fn store_some_upper(self, to: *mut u16, count: usize) {
        let mut lanes = [0.0; MOST_LANES];
        // SAFETY: as the caller vouches; there are as many lanes on the stack.
        unsafe {
            self.store(lanes.as_mut_ptr());
            for (i, lane) in lanes.iter().take(count.min(Self::LANES)).enumerate() {
                to.add(i).write_unaligned(rounded(*lane));
            }
        }
    }
    /// `sums` and of each lane the products of two halves: lanes here are pairs of bfloat16.
    #[inline(always)]
    fn pair_mul_add(self, factors: Self, sums: Self) -> Self {
        let mut lanes = [[0.0f32; MOST_LANES]; 3];
        // SAFETY: a value exists, so the processor has the set; there are as many lanes on the stack.
        unsafe {
            self.store(lanes[0].as_mut_ptr());
            factors.store(lanes[1].as_mut_ptr());
            sums.store(lanes[2].as_mut_ptr());
            let [a, b, sums] = &mut lanes;
            for ((a, b), sum) in a.iter().zip(&*b).zip(sums).take(Self::LANES) {
                let [a, b] = [a, b].map(|word| [word.to_bits() as u16, (word.to_bits() >> 16) as u16].map(widened));
                *sum += b[0] * a[0] + b[1] * a[1];
            }
            Self::load(lanes[2].as_ptr())
        }
    }
}

/// The float whose upper bits these are.
#[inline(always)]
pub(super) fn widened(upper: u16) -> f32 {
    f32::from_bits(u32::from(upper) << 16)
}

/// The upper bits of the nearest float that has no others, of two equally near that with an even last bit. NaN stays one.
#[inline(always)]
pub(super) fn rounded(value: f32) -> u16 {
    let bits = value.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    (if value.is_nan() { bits | 0x40_0000 } else { nearest } >> 16) as u16
}

/// Lanes of the widest vector.
const MOST_LANES: usize = 16;

/// Loads a full vector, or the first `count` lanes of one.
///
/// # Safety
/// As [`Vector::load`], of `min(count, LANES)` floats.
#[inline(always)]
pub(crate) unsafe fn load_up_to<V: Vector>(from: *const f32, count: usize) -> V {
    // SAFETY: as many floats as are loaded are readable.
    unsafe { if count >= V::LANES { V::load(from) } else { V::load_some(from, count) } }
}

/// Stores a full vector, or its first `count` lanes.
///
/// # Safety
/// As [`Vector::store`], of `min(count, LANES)` floats.
#[inline(always)]
pub(crate) unsafe fn store_up_to<V: Vector>(value: V, to: *mut f32, count: usize) {
    // SAFETY: as many floats as are stored are writable.
    unsafe { if count >= V::LANES { value.store(to) } else { value.store_some(to, count) } }
}

/// Asks for what will be read soon. Any address will do.
#[inline(always)]
pub(crate) fn fetch<T>(from: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it reads nothing that anybody could see.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(from.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}

/// Asks for what will be written soon. Any address will do.
#[inline(always)]
pub(crate) fn fetch_to_write<T>(to: *mut T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it writes nothing.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_ET0 }>(to.cast_const().cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = to;
}

/// A kernel that is compiled for each instruction set.
pub(crate) trait Task {
    /// What it returns.
    type Output;
    /// Does the work. Implementations are `#[inline(always)]`.
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    unsafe fn run<V: Vector>(self) -> Self::Output;
}

/// An instruction set that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Level(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Level {
    /// Plain Rust, which every processor runs.
    pub(crate) const PORTABLE: Level = Level(Kind::Portable);

    /// The best instruction set of this processor.
    pub(crate) fn best() -> Level {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| *Level::available().last().unwrap_or(&Level::PORTABLE))
    }

    /// The instruction sets of this processor, the best one last.
    pub(crate) fn available() -> Vec<Level> {
        #[allow(unused_mut, reason = "on some processors there is no other set")]
        let mut levels = vec![Level::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                levels.push(Level(Kind::Avx2));
                if is_x86_feature_detected!("avx512f") {
                    levels.push(Level(Kind::Avx512));
                    if is_x86_feature_detected!("avx512bf16") {
                        levels.push(Level(Kind::Avx512Bf16));
                    }
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            levels.push(Level(Kind::Neon));
        }
        levels
    }

    /// Whether it multiplies 16-bit floats.
    pub(crate) fn has_bf16(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self.0 == Kind::Avx512Bf16;
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Its name, for logs and benchmarks.
    #[cfg(test)]
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Bf16 => "avx512-bf16",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
        }
    }

    /// `(lanes, registers)` of its vectors.
    pub(crate) fn vectors(self) -> (usize, usize) {
        match self.0 {
            Kind::Portable => (Portable::LANES, Portable::REGISTERS),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => (x86::Avx2::LANES, x86::Avx2::REGISTERS),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 | Kind::Avx512Bf16 => (16, 32),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => (neon::Neon::LANES, neon::Neon::REGISTERS),
        }
    }

    /// Runs a kernel with this instruction set.
    #[inline]
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        // SAFETY: a `Level` other than the portable one comes only from `available`, which asked the processor.
        unsafe {
            match self.0 {
                Kind::Portable => task.run::<Portable>(),
                #[cfg(target_arch = "x86_64")]
                Kind::Avx2 => x86::run_avx2(task),
                #[cfg(target_arch = "x86_64")]
                Kind::Avx512 => x86::run_avx512(task),
                #[cfg(target_arch = "x86_64")]
                Kind::Avx512Bf16 => x86::run_avx512_bf16(task),
                #[cfg(target_arch = "aarch64")]
                Kind::Neon => neon::run_neon(task),
            }
        }
    }
}

/// Eight lanes in plain Rust: what runs where nothing better is detected, and the check of the others.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 8]);

impl Portable {
    #[inline(always)]
    fn map2(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Portable(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

#[expect(clippy::undocumented_unsafe_blocks, reason = "each moves the floats that the trait demands, eight at most")]
// SAFETY: every processor runs it.
unsafe impl Vector for Portable {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Portable([value; 8])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Portable(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_some(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; 8];
        unsafe { std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count.min(8)) };
        Portable(lanes)
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, count: usize) {
        unsafe { std::ptr::copy_nonoverlapping(self.0.as_ptr(), to, count.min(8)) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.map2(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.map2(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // Not f32::mul_add: without the instruction that is a slow library call for each lane.
        Portable(std::array::from_fn(|i| self.0[i] * factor.0[i] + addend.0[i]))
    }
    #[inline(always)]
    fn relu(self) -> Self {
        self.map2(self, |a, _| if a < 0.0 { 0.0 } else { a })
    }
    #[inline(always)]
    fn at_most(self, most: Self) -> Self {
        self.map2(most, |a, b| if a > b { b } else { a })
    }
    #[inline(always)]
    fn where_positive(self, mask: Self) -> Self {
        self.map2(mask, |a, m| if m > 0.0 { a } else { 0.0 })
    }
}
