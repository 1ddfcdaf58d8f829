use super::*;
use proptest::prelude::{any, prop_assert, proptest};

const PLAIN: Augmentation = Augmentation {
    crop_padding: 0,
    resized_crop: None,
    fit: Fit::CropCentre,
    flip: false,
    cutout: 0,
    random_erasing: 0.0,
    brightness: 0.0,
    contrast: 0.0,
    saturation: 0.0,
    mixup: 0.0,
    cutmix: 0.0,
};

fn sample(augmentation: Augmentation, index: u32) -> SampleParams {
    let pixels = vec![100; 3 * (index as usize + 1)];
    let labels = vec![3; index as usize + 1];
    let split =
        Split { height: 1, width: 1, channels: 3, pixels: pixels.into(), labels, sources: None, contents: None };
    augmentation.sample(1, 0, &split, index, [8, 8])
}

#[test]
fn an_order_is_a_permutation_that_differs_by_seed_and_epoch() {
    let order = epoch_order(1, 0, 100);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    assert_eq!(order, epoch_order(1, 0, 100));
    assert_ne!(order, epoch_order(1, 1, 100));
    assert_ne!(order, epoch_order(2, 0, 100));
}

#[test]
fn nothing_switched_on_does_nothing() {
    assert_eq!(sample(PLAIN, 5), SampleParams::plain(5, 3));
    assert_eq!(PLAIN.batch_mix(1, 2, 3, [8, 8]).mix, Mix::None);
}

#[test]
fn one_switch_leaves_the_others_as_they_were() {
    let crop = Augmentation { crop_padding: 4, ..PLAIN };
    let both = Augmentation { flip: true, cutout: 3, brightness: 0.5, ..crop };
    let resized = Augmentation { resized_crop: Some(ResizedCrop { smallest: 0.5, ratio: 0.7 }), ..both };
    let erasing = Augmentation { random_erasing: 1.0, ..both };
    for index in 0..100 {
        let (a, b, c) = (sample(crop, index), sample(both, index), sample(resized, index));
        assert_eq!((a.dx, a.dy), (b.dx, b.dy));
        // It takes the crop's place and leaves the rest.
        assert_eq!(c, SampleParams { dx: 0, dy: 0, resized: [1, 1], ..b });
        let d = sample(erasing, index);
        assert!(d != b && b == SampleParams { erased: [0; 4], noise: 0, ..d });
    }
}

#[test]
fn crops_and_flips_are_even() {
    let all = Augmentation { crop_padding: 2, flip: true, ..PLAIN };
    let mut counts = [[0u32; 5]; 2];
    let mut flips = 0;
    for index in 0..10_000u32 {
        let params = sample(all, index);
        counts[0][(params.dx + 2) as usize] += 1;
        counts[1][(params.dy + 2) as usize] += 1;
        flips += params.flip;
    }
    assert!(counts.iter().flatten().all(|n| (1850..2150).contains(n)), "{counts:?}");
    assert!((4800..5200).contains(&flips), "{flips}");
}

/// `RandomErasing.get_params` of torchvision 0.29 on 60,000 draws: the image's size, how many of a hundred are left as
/// they are, and the quantiles at 5, 25, 50, 75 and 95 % of the share of the area, the logarithm of height over width,
/// and the centre's place from left to right and from top to bottom.
type Reference = ([usize; 2], f64, [[f64; 5]; 4]);
const TORCHVISION: [Reference; 3] = [
    (
        [224, 224],
        0.0,
        [
            [0.035, 0.097, 0.175, 0.252, 0.313],
            [-1.081, -0.601, 0.0, 0.594, 1.072],
            [0.205, 0.368, 0.498, 0.627, 0.792],
            [0.205, 0.371, 0.5, 0.629, 0.792],
        ],
    ),
    (
        [60, 200],
        0.0,
        [
            [0.032, 0.078, 0.141, 0.222, 0.306],
            [-1.115, -0.761, -0.31, 0.172, 0.868],
            [0.15, 0.315, 0.5, 0.682, 0.848],
            [0.275, 0.417, 0.5, 0.583, 0.725],
        ],
    ),
    // Into which many draws do not fit.
    (
        [6, 60],
        3.9,
        [
            [0.025, 0.042, 0.078, 0.125, 0.208],
            [-1.204, -0.981, -0.693, -0.223, 0.511],
            [0.1, 0.275, 0.5, 0.717, 0.9],
            [0.25, 0.417, 0.5, 0.583, 0.75],
        ],
    ),
];

#[test]
fn twenty_thousand_erased_boxes_are_distributed_as_torchvisions() {
    const DRAWS: usize = 20_000;
    for (size @ [height, width], left_alone, expected) in TORCHVISION {
        let always = Augmentation { random_erasing: 1.0, ..PLAIN };
        let draws = (0..DRAWS as u64).filter_map(|i| always.erase(&mut Rng::new(&[1, i]), size));
        let draws: Vec<[f64; 4]> = draws
            .map(|(corners, _)| {
                let ([x0, y0, x1, y1], [height, width]) = (corners.map(f64::from), [height as f64, width as f64]);
                let (w, h) = (x1 - x0, y1 - y0);
                [w * h / (height * width), (h / w).ln(), (x0 + x1) / 2.0 / width, (y0 + y1) / 2.0 / height]
            })
            .collect();
        let alone = 100.0 * (1.0 - draws.len() as f64 / DRAWS as f64);
        assert!((alone - left_alone).abs() < 0.7, "{size:?}: {alone} % are left alone, not {left_alone} %");
        for (of, expected) in expected.iter().enumerate() {
            let mut values: Vec<f64> = draws.iter().map(|draw| draw[of]).collect();
            values.sort_by(f64::total_cmp);
            for (share, expected) in [0.05, 0.25, 0.5, 0.75, 0.95].into_iter().zip(expected) {
                let found = values[(share * values.len() as f64) as usize];
                assert!((found - expected).abs() < 0.025, "{size:?}, {of} at {share}: {found}, not {expected}");
            }
        }
    }
}

#[test]
fn as_many_images_are_erased_as_asked_for_and_none_twice_alike() {
    let erasing = Augmentation { random_erasing: 0.3, ..PLAIN };
    let draws = (0..10_000).filter_map(|i| erasing.erase(&mut Rng::new(&[1, i]), [32, 32]));
    let keys: std::collections::HashSet<u32> = draws.map(|(_, noise)| noise).collect();
    assert!((2850..3150).contains(&keys.len()), "{}", keys.len());
}

#[test]
fn contrast_turns_about_the_mean_gray() {
    let params = sample(Augmentation { contrast: 1.0, ..PLAIN }, 7);
    // All pixels are 100, so any contrast leaves them at 100.
    assert!((params.gain * 100.0 + params.offset - 100.0).abs() < 1e-3 && params.gain != 1.0);
    assert!((mean_luma(&[255, 0, 0, 0, 255, 0], 3) - (0.299 + 0.587) * 127.5).abs() < 1e-3);
    assert_eq!(mean_luma(&[10, 20], 1), 15.0);
}

#[test]
fn beta_has_its_mean_and_variance() {
    for a in [0.2, 1.0, 3.0] {
        let mut rng = Rng::new(&[9]);
        let draws: Vec<f64> = (0..20_000).map(|_| beta(&mut rng, a)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!((mean - 0.5).abs() < 0.01, "{a}: {mean}");
        assert!((variance - 1.0 / (4.0 * (2.0 * a + 1.0))).abs() < 0.005, "{a}: {variance}");
    }
}

#[test]
fn with_both_switched_on_each_batch_takes_one() {
    let both = Augmentation { mixup: 1.0, cutmix: 1.0, ..PLAIN };
    let cutmixes = (0..1000).filter(|&batch| both.batch_mix(1, 0, batch, [8, 8]).mix == Mix::Cutmix).count();
    assert!((430..570).contains(&cutmixes), "{cutmixes}");
}

proptest! {
    #[test]
    fn boxes_stay_inside_and_shares_are_their_areas(
        seed in any::<u64>(), epoch in 0u64..9, h in 1usize..40, w in 1usize..40, cutout in 0u32..50, alpha in 0.01f64..5.0,
    ) {
        let all = Augmentation { cutout, random_erasing: 0.8, cutmix: alpha, ..PLAIN };
        let mixed = all.batch_mix(seed, epoch, 0, [h, w]);
        let split =
            Split { height: 1, width: 1, channels: 1, pixels: vec![1].into(), labels: vec![0], sources: None, contents: None };
        let SampleParams { cut, erased, .. } = all.sample(seed, epoch, &split, 0, [h, w]);
        for [x0, y0, x1, y1] in [mixed.mix_box, cut, erased] {
            prop_assert!(x0 <= x1 && x1 as usize <= w && y0 <= y1 && y1 as usize <= h);
        }
        let [x0, y0, x1, y1] = mixed.mix_box;
        let outside = 1.0 - f64::from((x1 - x0) * (y1 - y0)) / (h * w) as f64;
        prop_assert!((f64::from(mixed.lambda) - outside).abs() < 1e-6);
    }
}
