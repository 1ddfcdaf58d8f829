//! Splitmix64: random numbers as a function of a counter.
//!
//! Order, augmentation and the division of a data set must be the same on every machine and reachable at any position,
//! so they come from a generator whose `n`-th number is a pure function of its key and `n`.
//! Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014.

/// A stream of random numbers. Two streams with different keys are unrelated.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// A stream keyed by any number of integers, such as `[seed, epoch, sample]`. The order of the parts matters.
    pub fn new(key: &[u64]) -> Self {
        let mut state = 0x243f_6a88_85a3_08d3;
        for &part in key {
            state = mix(state ^ mix(part.wrapping_add(GOLDEN)));
        }
        Rng { state }
    }

    /// The stream whose next number is that of splitmix64 in this state.
    pub(crate) fn at(state: u64) -> Self {
        Rng { state }
    }

    /// This stream after so many numbers.
    pub(crate) fn after(&self, numbers: u64) -> Self {
        Rng { state: self.state.wrapping_add(GOLDEN.wrapping_mul(numbers)) }
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform in `0..bound`, without bias beyond 2⁻⁶⁴·bound.
    ///
    /// # Panics
    /// If `bound` is 0: there is nothing to choose from.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "a random number below 0 was asked for");
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// Uniform in `[0, 1)` with 24 bits, the same on every machine.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Uniform in `[0, 1)` with 53 bits.
    pub(crate) fn unit_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Fisher-Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// 2⁶⁴ divided by the golden ratio, odd: splitmix64's increment.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Splitmix64's finaliser: a bijection that spreads every bit over all others.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_splitmix64s() {
        // The published generator's first numbers from state 1234567.
        let mut rng = Rng { state: 1234567 };
        assert_eq!(rng.next_u64(), 6457827717110365317);
        assert_eq!(rng.next_u64(), 3203168211198807973);
        assert_eq!(Rng { state: 1234567 }.after(1).next_u64(), 3203168211198807973);
    }

    #[test]
    fn keys_differ_by_value_and_by_order() {
        let first = |key: &[u64]| Rng::new(key).next_u64();
        assert_eq!(first(&[1, 2]), first(&[1, 2]));
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
        assert_ne!(first(&[1]), first(&[1, 0]));
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_even() {
        let mut counts = [[0u32; 4]; 4];
        for seed in 0..8000 {
            let mut items = [0, 1, 2, 3];
            Rng::new(&[seed]).shuffle(&mut items);
            for (place, item) in items.into_iter().enumerate() {
                counts[place][item] += 1;
            }
        }
        assert!(counts.iter().flatten().all(|&n| (1850..2150).contains(&n)), "{counts:?}");
    }

    #[test]
    fn unit_numbers_fill_the_interval() {
        let mut rng = Rng::new(&[7]);
        let numbers: Vec<f32> = (0..10_000).map(|_| rng.unit()).collect();
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)));
        let mean = numbers.iter().sum::<f32>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01);
    }
}
