//! The most that the cores can do, on all threads at once: fused multiply-adds on registers, and copying.

use std::{hint::black_box, sync::Barrier, thread, time::Instant};

/// How long one attempt lasts, about.
const SECONDS: f64 = 0.03;
/// The best of these counts: what else the machine does only slows things down.
const ATTEMPTS: usize = 12;
/// Values in all accumulators of the widest variant: enough to hide the latency of a multiply-add.
const LANES: usize = 16 * 12;
/// What a value is multiplied by and what is added: from 0 it goes to 1 and stays there, far from what is slow.
const FACTOR: f32 = 0.999;
const SUMMAND: f32 = 0.001;

/// Floating-point operations a second in float32 that all threads of this process reach together, measured.
pub(crate) fn cpu() -> f64 {
    let threads = rayon::current_num_threads();
    let kernel = kernel();
    // So many rounds as take about SECONDS on one thread.
    let mut rounds = 1000u64;
    while time(kernel, rounds) < SECONDS / 2.0 && rounds < 1 << 40 {
        rounds *= 4;
    }
    (0..ATTEMPTS).map(|_| together(kernel, rounds, threads)).fold(0.0, f64::max)
}

/// Bytes a second that all threads of this process read and write together while they copy, measured.
pub(crate) fn copy() -> f64 {
    // Far more than caches hold, a part for each thread.
    const BYTES: usize = 64 << 20;
    let threads = rayon::current_num_threads();
    let from: Vec<u64> = (0..(BYTES * threads / 8) as u64).collect();
    let mut to = vec![0; from.len()];
    let mut attempt = || {
        let start = Instant::now();
        thread::scope(|scope| {
            let parts = to.chunks_mut(BYTES / 8).zip(from.chunks(BYTES / 8));
            parts.for_each(|(to, from)| drop(scope.spawn(|| black_box(to).copy_from_slice(from))));
        });
        2.0 * (BYTES * threads) as f64 / start.elapsed().as_secs_f64()
    };
    (0..ATTEMPTS).map(|_| attempt()).fold(0.0, f64::max)
}

/// Does `rounds` multiply-adds on each accumulator; returns how many values the accumulators hold, and their sum.
type Kernel = fn(u64) -> (usize, f32);

fn time(kernel: Kernel, rounds: u64) -> f64 {
    let start = Instant::now();
    black_box(kernel(black_box(rounds)));
    start.elapsed().as_secs_f64()
}

fn together(kernel: Kernel, rounds: u64, threads: usize) -> f64 {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let work = || {
            barrier.wait();
            let start = Instant::now();
            let (lanes, _) = black_box(kernel(black_box(rounds)));
            2.0 * lanes as f64 * rounds as f64 / start.elapsed().as_secs_f64()
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(0.0)).sum()
    })
}

fn kernel() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512.
            return |rounds| (LANES, unsafe { avx512(rounds) });
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA.
            return |rounds| (LANES / 2, unsafe { avx2(rounds) });
        }
    }
    |rounds| (LANES / 4, portable(rounds))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(rounds: u64) -> f32 {
    use std::arch::x86_64::{_mm512_add_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    let (a, b) = (_mm512_set1_ps(black_box(FACTOR)), _mm512_set1_ps(black_box(SUMMAND)));
    let mut sums = [_mm512_set1_ps(0.0); LANES / 16];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, a, b);
        }
    }
    _mm512_reduce_add_ps(sums.into_iter().fold(_mm512_set1_ps(0.0), |x, y| _mm512_add_ps(x, y)))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(rounds: u64) -> f32 {
    use std::arch::x86_64::{
        _mm_add_ps, _mm_cvtss_f32, _mm_hadd_ps, _mm256_add_ps, _mm256_castps256_ps128, _mm256_extractf128_ps,
        _mm256_fmadd_ps, _mm256_set1_ps,
    };
    let (a, b) = (_mm256_set1_ps(black_box(FACTOR)), _mm256_set1_ps(black_box(SUMMAND)));
    let mut sums = [_mm256_set1_ps(0.0); LANES / 16];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, a, b);
        }
    }
    let sum = sums.into_iter().fold(_mm256_set1_ps(0.0), |x, y| _mm256_add_ps(x, y));
    let half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let pairs = _mm_hadd_ps(half, half);
    _mm_cvtss_f32(_mm_hadd_ps(pairs, pairs))
}

/// Whatever vectors the compiler takes for this target; on AArch64 these are fused multiply-adds.
fn portable(rounds: u64) -> f32 {
    let (a, b) = (black_box(FACTOR), black_box(SUMMAND));
    let mut sums = [0.0f32; LANES / 4];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = if cfg!(target_arch = "aarch64") { sum.mul_add(a, b) } else { *sum * a + b };
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_operations_are_done_as_are_counted() {
        let portable: Kernel = |rounds| (LANES / 4, portable(rounds));
        for kernel in [kernel(), portable] {
            for rounds in [1, 100, 1000] {
                let (values, sum) = kernel(rounds);
                // After so many multiply-adds each of the values is 1 - FACTOR ^ rounds.
                let expected = values as f64 * (1.0 - f64::from(FACTOR).powi(rounds as i32));
                assert!((f64::from(sum) - expected).abs() < 1e-4 * expected, "{sum}, not {expected}");
            }
        }
    }
}
