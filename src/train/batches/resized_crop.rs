//! Which part of an image is scaled to the network's size: torchvision's `RandomResizedCrop`.
//!
//! Nothing here touches a pixel. The share of the area is uniform from the smallest to all of it, the ratio of width to
//! height uniform on a logarithmic scale; what does not fit is drawn again, ten times at most, and then the centre is
//! taken. Two numbers say it all: torchvision's upper share is 1 in every recipe of its own, and its ratios are each
//! other's inverse.

use crate::{
    data::{Fit, rng::Rng},
    train::recipe::Recipe,
};

/// What a recipe says about resized crops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ResizedCrop {
    /// Smallest share of the image's area, above 0.
    pub smallest: f64,
    /// Smallest ratio of the shorter side to the longer, above 0 and up to 1.
    pub ratio: f64,
}

/// A part of an image, within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Left, then top.
    pub corner: [i32; 2],
    /// Width, then height.
    pub size: [u32; 2],
}

impl Window {
    /// The part of an image of `[height, width]` that fits a square: the centre, or all of it. Where it should be padded,
    /// it is squeezed: a window lies within its image.
    pub(crate) fn fitting(fit: Fit, [height, width]: [usize; 2]) -> Self {
        let [h, w] = match fit {
            Fit::CropCentre => [height.min(width); 2],
            Fit::Squash | Fit::Pad => [height, width],
        };
        Self { corner: [(width - w) / 2, (height - h) / 2].map(|n| n as i32), size: [w as u32, h as u32] }
    }

    /// The same part of the image where it is kept at `kept`, having been of `original`, both `[height, width]`: to the
    /// nearest pixel.
    pub(crate) fn within(self, original: [usize; 2], kept: [usize; 2]) -> Self {
        if original == kept {
            return self;
        }
        let along = |axis: usize, corner: i32, size: u32| {
            let (from, to) = (original[axis].max(1) as u64, kept[axis] as u64);
            let place = |at: u64| (2 * at * to + from) / (2 * from);
            let begin = place(corner as u64).min(to.saturating_sub(1));
            let end = place(corner as u64 + u64::from(size)).clamp(begin + 1, to.max(begin + 1));
            (begin as i32, (end - begin) as u32)
        };
        let ((left, width), (top, height)) =
            (along(1, self.corner[0], self.size[0]), along(0, self.corner[1], self.size[1]));
        Self { corner: [left, top], size: [width, height] }
    }
}

impl ResizedCrop {
    /// How often a part is drawn that does not fit.
    const TRIES: usize = 10;

    /// `None` where a recipe takes none.
    pub(crate) fn of(recipe: &Recipe) -> Option<Self> {
        let (smallest, ratio) = (recipe.resized_crop, recipe.crop_ratio);
        (smallest > 0.0).then_some(Self { smallest, ratio })
    }

    /// A part of an image of `[height, width]`, which is below 2³¹.
    pub(crate) fn draw(&self, rng: &mut Rng, [height, width]: [usize; 2]) -> Window {
        let window = |[left, top]: [usize; 2], [width, height]: [usize; 2]| Window {
            corner: [left as i32, top as i32],
            size: [width as u32, height as u32],
        };
        let area = (height * width) as f64;
        for _ in 0..Self::TRIES {
            let share = self.smallest + (1.0 - self.smallest) * rng.unit_f64();
            let ratio = self.ratio.powf(2.0 * rng.unit_f64() - 1.0);
            let [w, h] = sides(area * share, ratio);
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let top = rng.below(height - h + 1);
                return window([rng.below(width - w + 1), top], [w, h]);
            }
        }
        // The most of the image whose ratio is allowed.
        let longest = |side: usize| (side as f64 / self.ratio).round_ties_even() as usize;
        let (w, h) = (width.min(longest(height)), height.min(longest(width)));
        window([(width - w) / 2, (height - h) / 2], [w, h])
    }
}

/// The sides of a rectangle of that area, the first so many times the second, in whole pixels as torchvision rounds.
pub(super) fn sides(area: f64, ratio: f64) -> [usize; 2] {
    [area * ratio, area / ratio].map(|square| square.sqrt().round_ties_even() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, proptest};

    /// `RandomResizedCrop.get_params` of torchvision 0.29 on 200,000 draws, scale up to 1: the size of the image,
    /// smallest share, smallest ratio, and the quantiles at 5, 25, 50, 75 and 95 % of the share of the area, the
    /// logarithm of width over height, and the centre's place from left to right and from top to bottom.
    type Reference = ([usize; 2], f64, f64, [[f64; 5]; 4]);
    const TORCHVISION: [Reference; 3] = [
        (
            [375, 500],
            0.08,
            0.75,
            [
                [0.114, 0.251, 0.423, 0.594, 0.814],
                [-0.247, -0.105, 0.046, 0.174, 0.266],
                [0.273, 0.406, 0.5, 0.594, 0.726],
                [0.329, 0.452, 0.5, 0.548, 0.672],
            ],
        ),
        // Most draws do not fit into this one.
        (
            [60, 200],
            0.08,
            0.75,
            [
                [0.092, 0.14, 0.201, 0.267, 0.4],
                [-0.243, -0.087, 0.069, 0.201, 0.288],
                [0.163, 0.325, 0.5, 0.677, 0.838],
                [0.367, 0.458, 0.5, 0.533, 0.633],
            ],
        ),
        (
            [224, 224],
            0.25,
            0.5,
            [
                [0.274, 0.369, 0.488, 0.627, 0.829],
                [-0.576, -0.259, 0.0, 0.257, 0.576],
                [0.333, 0.444, 0.5, 0.556, 0.667],
                [0.333, 0.446, 0.5, 0.556, 0.667],
            ],
        ),
    ];

    #[test]
    fn ten_thousand_draws_are_distributed_as_torchvisions() {
        for (size @ [height, width], smallest, ratio, expected) in TORCHVISION {
            let draws = (0..10_000).map(|i| {
                let Window { corner, size: [w, h] } =
                    ResizedCrop { smallest, ratio }.draw(&mut Rng::new(&[1, i]), size);
                let ([left, top], [w, h]) = (corner.map(f64::from), [w, h].map(f64::from));
                let (height, width) = (height as f64, width as f64);
                [w * h / (height * width), (w / h).ln(), (left + w / 2.0) / width, (top + h / 2.0) / height]
            });
            let draws: Vec<[f64; 4]> = draws.collect();
            for (of, expected) in expected.iter().enumerate() {
                let mut values: Vec<f64> = draws.iter().map(|draw| draw[of]).collect();
                values.sort_by(f64::total_cmp);
                for (share, expected) in [0.05, 0.25, 0.5, 0.75, 0.95].into_iter().zip(expected) {
                    let found = values[(share * 10_000.0) as usize];
                    assert!((found - expected).abs() < 0.025, "{size:?}, {of} at {share}: {found}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn where_nothing_fits_the_centre_is_taken_at_the_nearest_ratio() {
        // Of `get_params` for scale (1, 1): (i, j, h, w).
        for (size, [top, left], [height, width]) in [
            ([40, 200], [0, 73], [40, 53]),
            ([200, 40], [73, 0], [53, 40]),
            ([3, 400], [0, 198], [3, 4]),
            ([1, 1], [0, 0], [1, 1]),
        ] {
            let whole = ResizedCrop { smallest: 1.0, ratio: 0.75 };
            let window = whole.draw(&mut Rng::new(&[7]), size);
            assert_eq!(window, Window { corner: [left, top], size: [width, height] }, "{size:?}");
        }
    }

    #[test]
    fn a_part_of_a_squeezed_image_is_the_same_part_of_the_picture() {
        let window = Window { corner: [1008, 756], size: [2016, 1512] };
        let expected = Window { corner: [80, 80], size: [160, 160] };
        assert_eq!(window.within([3024, 4032], [320, 320]), expected);
        assert_eq!(window.within([3024, 4032], [3024, 4032]), window);
        let all = Window::fitting(Fit::Squash, [3024, 4032]).within([3024, 4032], [320, 320]);
        assert_eq!(all, Window { corner: [0, 0], size: [320, 320] });
        let centre = Window::fitting(Fit::CropCentre, [3024, 4032]).within([3024, 4032], [320, 320]);
        assert_eq!(centre, Window { corner: [40, 0], size: [240, 320] });
    }

    proptest! {
        #[test]
        fn a_part_of_a_squeezed_image_lies_within_it(
            seed in any::<u64>(), h in 1usize..300, w in 1usize..300, kept_h in 1usize..99, kept_w in 1usize..99,
        ) {
            let window = ResizedCrop { smallest: 0.01, ratio: 0.5 }.draw(&mut Rng::new(&[seed]), [h, w]);
            let Window { corner: [x, y], size } = window.within([h, w], [kept_h, kept_w]);
            let [width, height] = size.map(|n| n as i32);
            prop_assert!(x >= 0 && y >= 0 && width > 0 && height > 0);
            prop_assert!(x + width <= kept_w as i32 && y + height <= kept_h as i32);
        }

        #[test]
        fn a_part_lies_within_its_image(
            seed in any::<u64>(), h in 1usize..300, w in 1usize..300, smallest in 1e-6f64..1.0, ratio in 0.01f64..1.0,
        ) {
            let Window { corner: [x, y], size } = ResizedCrop { smallest, ratio }.draw(&mut Rng::new(&[seed]), [h, w]);
            let [width, height] = size.map(|n| n as i32);
            prop_assert!(x >= 0 && y >= 0 && width > 0 && height > 0);
            prop_assert!(x + width <= w as i32 && y + height <= h as i32);
        }
    }
}
