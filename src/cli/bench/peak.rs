//! The most that the cores can do: fused multiply-adds on registers, on all threads at once.

use std::{hint::black_box, sync::Barrier, thread, time::Instant};

/// How long one attempt lasts, about.
const SECONDS: f64 = 0.03;
/// The best of these counts: what else the machine does only slows things down.
const ATTEMPTS: usize = 12;
/// Values in all accumulators of the widest variant: enough to hide the latency of a multiply-add.
const LANES: usize = 16 * 12;

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

/// Does `rounds` multiply-adds on each accumulator; returns how many values the accumulators hold, and something that
/// depends on them all.
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
    let (a, b) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(0.001)));
    let mut sums = [_mm512_set1_ps(1.0); LANES / 16];
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
    use std::arch::x86_64::{_mm256_add_ps, _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps};
    let (a, b) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(0.001)));
    let mut sums = [_mm256_set1_ps(1.0); LANES / 16];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, a, b);
        }
    }
    _mm256_cvtss_f32(sums.into_iter().fold(_mm256_set1_ps(0.0), |x, y| _mm256_add_ps(x, y)))
}

/// Whatever vectors the compiler takes for this target; on AArch64 these are fused multiply-adds.
fn portable(rounds: u64) -> f32 {
    let (a, b) = (black_box(0.999f32), black_box(0.001f32));
    let mut sums = [1.0f32; LANES / 4];
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
    fn a_core_does_more_than_a_hundred_million_operations_a_second() {
        let peak = cpu();
        assert!(peak > 1e8 && peak < 1e15, "{peak}");
    }
}
