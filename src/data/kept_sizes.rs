//! At which sizes a folder's images are kept: a function of what sizes most of them have and of what is asked for, so
//! that one odd file among thousands changes nothing.
//!
//! Small images, as long as most of them agree, keep their size, and what the network wants is made of them batch by
//! batch. All others are brought to a square as they are read: photographs at their full size would fill any memory to
//! be scaled down anew for every batch. Those that validate are brought to the size that the network sees, by the
//! very steps of a prediction. Those to train on, where random crops are resized, are kept whole at a *working size*.
//!
//! That is by default √2 times the network's, 320 for 224: under torchvision's usual crops, of 8 to 100 % of the
//! picture, a crop then has about as many pixels as the network sees on average (0.54 · 320² = 235²). torchvision itself
//! crops from the file's full size, which it decodes anew every time; FFCV's ImageNet recipes keep the longer side at 400 to
//! 500 pixels, half of them as JPEG, 265 KB an image; a square of 320 is 307 KB. Pictures are squeezed to the square and
//! crops drawn in their own proportions, so that nothing is squeezed in what the network sees.

use super::LoadOptions;
use serde::{Deserialize, Serialize};

/// By which rule images come to the size that they are kept at. A run names it and keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SizeRules {
    /// Of runs that name none: images that all have one size keep it, however large; any others become squares of the
    /// network's size, or of 64 pixels.
    Legacy,
    /// That of this module.
    #[default]
    Typical,
}

impl SizeRules {
    /// What a run means that names no rule.
    pub(crate) fn unnamed() -> Self {
        SizeRules::Legacy
    }
}

/// Side of the squares that old runs made of mixed sizes when no size was asked for.
const LEGACY_SIDE: usize = 64;

/// Images up to this side keep their size if most of them share it.
const SMALL_SIDE: usize = 256;

/// Sides of working sizes are multiples of this.
const STEP: usize = 16;

/// The sizes at which images are kept, `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeptSizes {
    pub train: [usize; 2],
    pub validation: [usize; 2],
    /// Whether images are brought to what the network wants as they are read, rather than batch by batch.
    pub fitted: bool,
    /// Whether those to train on are whole pictures, squeezed.
    pub squeezed: bool,
}

impl KeptSizes {
    /// `sizes` are `([height, width], images)`, most frequent first.
    pub(super) fn choose(sizes: &[([usize; 2], usize)], options: &LoadOptions) -> Self {
        let kept = |size| Self { train: size, validation: size, fitted: false, squeezed: false };
        let fitted = |side: usize| Self { fitted: true, ..kept([side.max(1); 2]) };
        match (options.size_rules, sizes) {
            (SizeRules::Legacy, &[(size, _)]) => kept(size),
            (SizeRules::Legacy, _) => fitted(options.image_size.unwrap_or(LEGACY_SIDE)),
            (SizeRules::Typical, &[(size, images), ..])
                if images * 2 > count(sizes) && size.iter().all(|&side| side <= SMALL_SIDE) =>
            {
                kept(size)
            }
            (SizeRules::Typical, _) => {
                let [short, long] = typical_sides(sizes);
                let side = options.image_size.unwrap_or_else(|| options.photo_size.min(short)).max(1);
                if !options.random_crops {
                    return fitted(side);
                }
                // More pixels than the pictures have would be made up.
                let automatic = || working_side(side).min(long.next_multiple_of(STEP)).max(side);
                let working = options.working_size.unwrap_or_else(automatic);
                Self { train: [working; 2], squeezed: true, ..fitted(side) }
            }
        }
    }
}

fn count(sizes: &[([usize; 2], usize)]) -> usize {
    sizes.iter().map(|(_, images)| images).sum()
}

/// The side at which photographs are kept for a network that sees `side` pixels.
fn working_side(side: usize) -> usize {
    ((side as f64 * std::f64::consts::SQRT_2) as usize).next_multiple_of(STEP)
}

/// The medians of the shorter and of the longer sides.
fn typical_sides(sizes: &[([usize; 2], usize)]) -> [usize; 2] {
    let median = |side: fn([usize; 2]) -> usize| {
        let mut sides: Vec<(usize, usize)> = sizes.iter().map(|&(size, images)| (side(size), images)).collect();
        sides.sort_unstable();
        let mut left = count(sizes) / 2;
        for (side, images) in sides {
            if left < images {
                return side;
            }
            left -= images;
        }
        1
    };
    [median(|[height, width]| height.min(width)), median(|[height, width]| height.max(width))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(sizes: &[([usize; 2], usize)], options: &LoadOptions) -> ([usize; 2], [usize; 2], bool) {
        let KeptSizes { train, validation, fitted, squeezed } = KeptSizes::choose(sizes, options);
        assert_eq!(squeezed, fitted && options.random_crops && options.size_rules == SizeRules::Typical);
        (train, validation, fitted)
    }

    fn wanted(image_size: usize) -> LoadOptions {
        LoadOptions { image_size: Some(image_size), ..LoadOptions::default() }
    }

    #[test]
    fn an_odd_file_among_many_changes_nothing() {
        for image_size in [None, Some(48), Some(224)] {
            for random_crops in [false, true] {
                let options = LoadOptions { image_size, random_crops, ..LoadOptions::default() };
                for size in [[32, 32], [28, 31], [375, 500], [3024, 4032]] {
                    let alone = choose(&[(size, 1000)], &options);
                    assert_eq!(choose(&[(size, 999), ([777, 33], 1)], &options), alone, "{size:?}");
                    assert_eq!(choose(&[(size, 501), ([777, 33], 300), ([4, 4], 199)], &options), alone, "{size:?}");
                }
            }
        }
    }

    #[test]
    fn small_images_keep_their_size_and_photographs_never_do() {
        let options = LoadOptions { random_crops: true, ..wanted(224) };
        assert_eq!(choose(&[([32, 32], 9)], &options), ([32, 32], [32, 32], false));
        assert_eq!(choose(&[([3024, 4032], 9)], &options), ([320; 2], [224; 2], true));
        assert_eq!(choose(&[([3024, 4032], 9)], &wanted(224)), ([224; 2], [224; 2], true));
        let unset = LoadOptions { photo_size: 224, ..LoadOptions::default() };
        assert_eq!(choose(&[([3024, 4032], 9)], &unset), ([224; 2], [224; 2], true));
        assert_eq!(choose(&[([100, 300], 9)], &unset), ([100; 2], [100; 2], true));
        assert_eq!(choose(&[([20, 21], 3), ([40, 21], 3)], &unset), ([21; 2], [21; 2], true));
    }

    #[test]
    fn the_working_size_has_twice_the_networks_pixels_or_what_is_asked_for_and_makes_none_up() {
        let photos = [([3024, 4032], 9)];
        let options = |image_size, working_size| LoadOptions { working_size, random_crops: true, ..wanted(image_size) };
        for (image_size, side) in [(64, 96), (128, 192), (224, 320), (512, 736)] {
            assert_eq!(choose(&photos, &options(image_size, None)).0, [side; 2]);
        }
        assert_eq!(choose(&photos, &options(224, Some(256))).0, [256; 2]);
        assert_eq!(choose(&[([230, 260], 9)], &options(224, None)).0, [272; 2]);
        assert_eq!(choose(&[([150, 260], 9)], &options(300, None)).0, [300; 2]);
    }

    #[test]
    fn runs_of_old_keep_the_sizes_that_they_had() {
        let legacy = |options: LoadOptions| LoadOptions { size_rules: SizeRules::Legacy, ..options };
        let unset = legacy(LoadOptions { random_crops: true, photo_size: 224, ..LoadOptions::default() });
        assert_eq!(choose(&[([375, 500], 9)], &unset), ([375, 500], [375, 500], false));
        assert_eq!(choose(&[([375, 500], 9), ([9, 9], 1)], &unset), ([64; 2], [64; 2], true));
        assert_eq!(choose(&[([32, 32], 9), ([9, 9], 1)], &legacy(wanted(48))), ([48; 2], [48; 2], true));
    }
}
