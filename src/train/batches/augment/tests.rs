use super::*;
use proptest::prelude::{any, prop_assert, proptest};

const PLAIN: Augmentation = Augmentation {
    crop_padding: 0,
    resized_crop: None,
    flip: false,
    cutout: 0,
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
    for index in 0..100 {
        let (a, b, c) = (sample(crop, index), sample(both, index), sample(resized, index));
        assert_eq!((a.dx, a.dy), (b.dx, b.dy));
        // It takes the crop's place and leaves the rest.
        assert_eq!(c, SampleParams { dx: 0, dy: 0, resized: [1, 1], ..b });
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
        let all = Augmentation { cutout, cutmix: alpha, ..PLAIN };
        let mixed = all.batch_mix(seed, epoch, 0, [h, w]);
        let split =
            Split { height: 1, width: 1, channels: 1, pixels: vec![1].into(), labels: vec![0], sources: None, contents: None };
        let cut = all.sample(seed, epoch, &split, 0, [h, w]).cut;
        for [x0, y0, x1, y1] in [mixed.mix_box, cut] {
            prop_assert!(x0 <= x1 && x1 as usize <= w && y0 <= y1 && y1 as usize <= h);
        }
        let [x0, y0, x1, y1] = mixed.mix_box;
        let outside = 1.0 - f64::from((x1 - x0) * (y1 - y0)) / (h * w) as f64;
        prop_assert!((f64::from(mixed.share) - outside).abs() < 1e-6);
    }
}
