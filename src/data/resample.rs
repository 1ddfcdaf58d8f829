//! Resizing byte for byte as Pillow does, and with it torchvision's `Resize` of a PIL image: a network that was trained on
//! such pixels meets the same ones here.
//!
//! Pillow's `Image.resize` (`src/libImaging/Resample.c`) makes two passes, one along rows and one along columns. Each
//! output value is a weighted sum of input values under a filter that is as wide as the image shrinks; weights are fixed-point
//! numbers of 22 bits, and the values between the passes are bytes. The order of the passes and every rounding show in
//! the result, so they are kept; how the sums are computed is not Pillow's. Pillow 13 takes columns first where that
//! drops more than twice as many rows as columns; older ones always begin with the rows, and there single bytes of images
//! that are more than twice as high as wide differ by one.

mod resampler;
mod sums;
mod weights;

use image::imageops;
pub(crate) use resampler::{Part, Resampler};
use serde::{Deserialize, Serialize};

/// How pixels are weighed when an image is resized. All but `Nearest` widen their support when they shrink, so that
/// fine detail does not alias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::EnumIter)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    Nearest,
    /// A triangle, as Pillow's and torchvision's `bilinear` with antialiasing.
    #[default]
    Bilinear,
    /// Catmull-Rom, Pillow's `bicubic`.
    Bicubic,
    Lanczos3,
}

impl From<Filter> for imageops::FilterType {
    fn from(filter: Filter) -> Self {
        match filter {
            Filter::Nearest => imageops::FilterType::Nearest,
            Filter::Bilinear => imageops::FilterType::Triangle,
            Filter::Bicubic => imageops::FilterType::CatmullRom,
            Filter::Lanczos3 => imageops::FilterType::Lanczos3,
        }
    }
}

/// Resizes `[height, width, channels]` bytes of size `from` to size `to`. Sides are at least 1.
///
/// # Panics
/// If `pixels` has another length than `from` and `channels` say.
pub(crate) fn resample(pixels: &[u8], from: [usize; 2], to: [usize; 2], channels: usize, filter: Filter) -> Vec<u8> {
    assert_eq!(pixels.len(), from[0] * from[1] * channels, "the pixels of an image of {from:?}x{channels}");
    if filter == Filter::Nearest {
        return nearest(pixels, from, to, channels);
    }
    let mut out = Vec::with_capacity(to[0] * to[1] * channels);
    let mut resampler = Resampler::new(from, to, &Part::whole(to), channels, filter);
    for row in pixels.chunks_exact(from[1] * channels) {
        resampler.push(row, &mut |row| out.extend_from_slice(row));
    }
    out
}

/// The pixel at the centre of each output pixel (`ImagingScaleAffine` in Pillow's `Geometry.c`).
fn nearest(pixels: &[u8], from: [usize; 2], to: [usize; 2], channels: usize) -> Vec<u8> {
    let places = |from: usize, to: usize| {
        // Added up, not multiplied: a place that falls on a border is a matter of the last bit.
        let scale = from as f64 / to as f64;
        let centres = std::iter::successors(Some(scale * 0.5), move |centre| Some(centre + scale));
        centres.take(to).map(move |centre| (centre as usize).min(from - 1)).collect::<Vec<_>>()
    };
    let (rows, columns) = (places(from[0], to[0]), places(from[1], to[1]));
    let mut out = Vec::with_capacity(to[0] * to[1] * channels);
    for row in rows {
        for column in &columns {
            let at = (row * from[1] + column) * channels;
            out.extend_from_slice(&pixels[at..at + channels]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::IntoEnumIterator;

    /// Bytes that look random.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 1u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    }

    type Case = ([usize; 2], [usize; 2], usize, [u32; 4]);

    /// Size before, size after, channels, and what Pillow 13 made of [`noise`]: the CRC-32 of `Image.resize` by nearest,
    /// bilinear, bicubic and Lanczos' filter.
    #[rustfmt::skip]
    const PILLOW: &[Case] = &[
        ([7, 5], [3, 3], 1, [0xc5f61814, 0xbeb51b80, 0x3264e81d, 0xdc5cb590]),
        ([7, 5], [3, 3], 3, [0x8561d682, 0xde7fdf46, 0x83071bcd, 0x0dc53e4a]),
        ([7, 5], [20, 31], 1, [0x90b362b2, 0xd10770fe, 0x152924c9, 0x975f426b]),
        ([7, 5], [20, 31], 3, [0xa505d0e7, 0x8e8da077, 0xf4a07604, 0x0bebaa7e]),
        ([1, 1], [4, 6], 1, [0xa6a7faa5, 0xa6a7faa5, 0xa6a7faa5, 0xa6a7faa5]),
        ([1, 1], [4, 6], 3, [0x66efe0c1, 0x66efe0c1, 0x66efe0c1, 0x66efe0c1]),
        ([64, 64], [64, 10], 1, [0xbfa0d918, 0x64331a5d, 0x5f897e9b, 0x7210d430]),
        ([64, 64], [64, 10], 3, [0x53ff96a9, 0x92faebb8, 0x9b312a6e, 0x9b3a8c19]),
        ([64, 64], [10, 64], 1, [0x24841918, 0x34d76063, 0x7aecc264, 0xbb7e26b7]),
        ([64, 64], [10, 64], 3, [0x6c75b574, 0x7add7d8c, 0xfc37312c, 0x48f8682e]),
        ([33, 97], [32, 32], 1, [0xdfe68170, 0x0c4aaf50, 0x052e5bb8, 0x1833884c]),
        ([33, 97], [32, 32], 3, [0xf49e7b7e, 0x520e1b42, 0xf5675986, 0x9741631d]),
        ([97, 33], [24, 71], 1, [0xa1dad0c3, 0x2d2ee000, 0x0e3f48c3, 0x2b335671]),
        ([97, 33], [24, 71], 3, [0xe493f36d, 0x413a640c, 0xb78ddffe, 0x831b8403]),
        ([100, 3], [1, 1], 1, [0x330c7795, 0x12b88320, 0x65bfb3b6, 0x65bfb3b6]),
        ([100, 3], [1, 1], 3, [0x5cbb806d, 0xc5d2cb53, 0xb31791f2, 0xb31791f2]),
        ([3, 100], [5, 2], 1, [0x110bb364, 0x8ae30493, 0xd5f7209b, 0x4498875e]),
        ([3, 100], [5, 2], 3, [0x653265a0, 0xbd0c9594, 0x772b60bc, 0xd203e06d]),
        ([2, 2], [3, 3], 1, [0x42011240, 0x78c9b455, 0xb1d9b48a, 0x89201765]),
        ([2, 2], [3, 3], 3, [0xbac7448e, 0x93fc0911, 0x47359ddc, 0xeb185424]),
        ([107, 128], [3, 97], 1, [0xd15be7ce, 0xcf492f04, 0x202fd16f, 0x9702430c]),
        ([107, 128], [3, 97], 3, [0x3458ee36, 0xdb12008c, 0x189ecdf8, 0xe6ae701f]),
        ([75, 82], [75, 35], 1, [0xa1d0820d, 0x8b31b218, 0x1127231f, 0xdafc6654]),
        ([75, 82], [75, 35], 3, [0xb52a6c1f, 0xa2d34510, 0x2a29f686, 0x8df85943]),
        ([156, 9], [34, 46], 1, [0x0255d9f2, 0x6f115b09, 0xee427e26, 0x4aab726a]),
        ([156, 9], [34, 46], 3, [0x2b93f07c, 0xc319a809, 0x7e0c28b4, 0x0483c333]),
        ([91, 65], [16, 6], 1, [0xae40aee2, 0xad530089, 0xed5114a2, 0xa787bd4f]),
        ([91, 65], [16, 6], 3, [0xda38d879, 0xb6ad01f8, 0x901a9c16, 0xb5251a0e]),
        ([1, 8], [18, 119], 1, [0x7933cd16, 0xff134466, 0x3c1f61ea, 0x7fa9861d]),
        ([1, 8], [18, 119], 3, [0xa490442a, 0xda10fdae, 0x122c9e42, 0x69d5493a]),
        ([31, 104], [90, 28], 1, [0x0dc2e27f, 0x2e141058, 0x84c15380, 0x09ff1449]),
        ([31, 104], [90, 28], 3, [0xb94c645d, 0x7c33f9f0, 0xfd75456c, 0xd1140c40]),
        ([45, 70], [32, 116], 1, [0xafa859fb, 0x0659b952, 0x2802c250, 0xa7f39d5e]),
        ([45, 70], [32, 116], 3, [0x1c6075d7, 0x656eb9f3, 0xf2bd64a5, 0xdf4cb824]),
        ([29, 143], [95, 101], 1, [0x61df4c65, 0x10c06934, 0x549ffd5c, 0x58233a35]),
        ([29, 143], [95, 101], 3, [0x06c60a76, 0x518c3010, 0xbafbd80a, 0xebde5c41]),
        ([19, 63], [75, 59], 1, [0x980fe9db, 0x0646664a, 0x73997c5a, 0xdac0342c]),
        ([19, 63], [75, 59], 3, [0x2cf84bc0, 0x84408c4e, 0x393022af, 0xcd0d03e3]),
        ([106, 108], [79, 8], 1, [0x1c14c1fe, 0x9c0c08bc, 0x94a7100a, 0x995dbc9f]),
        ([106, 108], [79, 8], 3, [0xc3f1cb52, 0x72bd0c49, 0xc816a3a2, 0x147248a9]),
        ([153, 89], [108, 33], 1, [0xd1f23123, 0x3198690f, 0x17f8ca3f, 0x0ccdf23d]),
        ([153, 89], [108, 33], 3, [0xbedac51d, 0xca3cadcd, 0xf5a95f6a, 0x79923812]),
        ([58, 140], [23, 8], 1, [0xd1fb8d04, 0x65fa352c, 0xb5e82202, 0x7867b2fc]),
        ([58, 140], [23, 8], 3, [0xfdda2642, 0xc9f67859, 0x22d547a0, 0xd74ad3c2]),
        ([60, 108], [15, 104], 1, [0x20cac553, 0x6461a53f, 0x95dc139b, 0xc2d35520]),
        ([60, 108], [15, 104], 3, [0xc3a9b57d, 0xf5cd7412, 0xb361b701, 0x05c82499]),
        ([55, 37], [65, 107], 1, [0xae46cd6c, 0xfe7c9ed5, 0x629fe188, 0x7f2a9759]),
        ([55, 37], [65, 107], 3, [0xb3f21685, 0x0ca682cf, 0xb1459d2a, 0x642caea3]),
    ];

    #[test]
    fn every_byte_is_pillows() {
        for &(from, to, channels, expected) in PILLOW {
            let pixels = noise(from[0] * from[1] * channels);
            let found: Vec<u32> =
                Filter::iter().map(|filter| crc(&resample(&pixels, from, to, channels, filter))).collect();
            assert_eq!(found, expected, "{from:?} to {to:?}, {channels} channels");
        }
    }

    #[test]
    fn a_plain_colour_stays_that_colour() {
        for filter in Filter::iter() {
            let plain = [[9, 200, 255]; 35].concat();
            let resized = resample(&plain, [7, 5], [13, 4], 3, filter);
            assert!(resized.chunks_exact(3).all(|pixel| pixel == [9, 200, 255]), "{filter:?}");
        }
    }
}
