//! Weights and images from a formula, for tests: the values that the reference logits belong to, without a weight
//! file.
//!
//! Every value is a hash of its tensor's name and its index in row-major order (PyTorch's layout: OIHW, NCHW),
//! computed in float64 and rounded to float32:
//!
//! ```text
//! u(name, i)     mix32(fnv1a32(name) + i) / 2^32 - 0.5
//! conv weight    u * sqrt(12) * sqrt(2 / (out_channels * kh * kw))
//! fc weight      u * sqrt(12) / sqrt(in_features)
//! bn weight      1 + 0.1 u        running_var    1 + 0.5 u
//! biases, running_mean   0.1 u
//! images         2 u("images", i)
//! labels         mix32(fnv1a32("labels") + i) % classes
//! ```
//!
//! It uses nothing of the crate, so that tests outside it can include the file by its path.
#![allow(dead_code, reason = "each of them uses a part")]

/// `u("name", 0), u("name", 1), …` in [-0.5, 0.5).
pub(crate) fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let seed = fnv1a32(name);
    (0..count).map(move |i| f64::from(mix32(seed.wrapping_add(i as u32))) / 4_294_967_296.0 - 0.5)
}

fn fnv1a32(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn mix32(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// The tensor of this name (torchvision's) and shape (PyTorch's layout), row-major.
pub(crate) fn tensor(name: &str, shape: &[usize]) -> Vec<f32> {
    let root12 = 12f64.sqrt();
    // The order of operations is the reference's: the values agree to the last bit.
    let value = |u: f64| match *shape {
        [output, _, height, width] => u * root12 * (2.0 / (output * height * width) as f64).sqrt(),
        [_, input] => u * root12 / (input as f64).sqrt(),
        _ if name.ends_with(".bias") || name.ends_with("running_mean") => 0.1 * u,
        _ if name.ends_with("running_var") => 1.0 + 0.5 * u,
        _ => 1.0 + 0.1 * u,
    };
    uniform(name, shape.iter().product()).map(|u| value(u) as f32).collect()
}

/// `count` images `[N, C, H, W]`.
pub(crate) fn images(count: usize, channels: usize, side: usize) -> Vec<f32> {
    uniform("images", count * channels * side * side).map(|u| (2.0 * u) as f32).collect()
}

/// `count` labels below `classes`.
pub(crate) fn labels(count: usize, classes: u32) -> Vec<u32> {
    (0..count).map(|i| mix32(fnv1a32("labels").wrapping_add(i as u32)) % classes).collect()
}
