//! The data set inside the binary: a tenth of Fashion-MNIST, so that a first run needs no file and no network.
//!
//! Han Xiao, Kashif Rasul, Roland Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
//! Algorithms", <https://arxiv.org/abs/1708.07747>; MIT licence, see `assets/sample-LICENSE.txt`. `assets/make_sample.py`
//! made the two sheets and says how they are laid out.

use super::{DataError, Dataset, Split, ValidationKind, catalogue};

const SIDE: usize = 28;
const CLASSES: usize = 10;

/// 6,000 training and 1,000 test images of 28x28 gray pixels, evenly over ten classes of clothing. The classes take
/// turns, so that any beginning of a split is even as well.
pub(crate) fn load() -> Result<Dataset, DataError> {
    let train = sheet("sample-train.png", include_bytes!("../../assets/sample-train.png"), 600)?;
    let test = sheet("sample-test.png", include_bytes!("../../assets/sample-test.png"), 100)?;
    let classes = catalogue::FASHION_MNIST_CLASSES.map(String::from).to_vec();
    Ok(Dataset {
        validation_kind: ValidationKind::Test,
        normalisation: Some(catalogue::Known::FashionMnist.normalisation()),
        ..Dataset::new(catalogue::SAMPLE, classes, train, test)
    })
}

/// Cuts a sheet into its tiles: `per_class` of class 0 in reading order, then class 1, and so on.
fn sheet(name: &str, png: &[u8], per_class: usize) -> Result<Split, DataError> {
    let sheet = image::load_from_memory_with_format(png, image::ImageFormat::Png)
        .map_err(|e| DataError::broken(name, e.to_string()))?
        .into_luma8();
    let across = sheet.width() as usize / SIDE;
    if across * (sheet.height() as usize / SIDE) != per_class * CLASSES {
        return Err(DataError::broken(name, "the built-in sheet has another size than expected"));
    }
    let mut pixels = Vec::with_capacity(per_class * CLASSES * SIDE * SIDE);
    let mut labels = Vec::with_capacity(per_class * CLASSES);
    for i in 0..per_class * CLASSES {
        let class = i % CLASSES;
        let tile = class * per_class + i / CLASSES;
        let (top, left) = (tile / across * SIDE, tile % across * SIDE);
        for y in top..top + SIDE {
            let start = y * across * SIDE + left;
            pixels.extend_from_slice(&sheet.as_raw()[start..start + SIDE]);
        }
        labels.push(class as u32);
    }
    Ok(Split { height: SIDE, width: SIDE, channels: 1, pixels: pixels.into(), labels, sources: None, contents: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_has_six_hundred_and_a_hundred_images_of_every_class() {
        let sample = load().unwrap();
        assert_eq!(sample.train.class_counts(10), [600; 10]);
        assert_eq!(sample.validation.class_counts(10), [100; 10]);
        assert_eq!(sample.classes.len(), 10);
        assert_eq!(sample.train.all_pixels().expect("in memory").len(), 6000 * 28 * 28);
    }

    #[test]
    fn the_sample_looks_like_the_whole_it_was_taken_from() {
        let measured = load().unwrap().train.measure();
        assert!((measured.mean[0] - 0.2860).abs() < 0.01, "{measured:?}");
        assert!((measured.std[0] - 0.3530).abs() < 0.01, "{measured:?}");
    }

    #[test]
    fn trousers_are_narrower_than_pullovers() {
        // A label that slipped by a tile would mix the classes: compare how much of a picture is cloth.
        let sample = load().unwrap();
        let cloth = |class: u32| {
            let images = (0..sample.train.len()).filter(|&i| sample.train.labels[i] == class);
            images.map(|i| sample.train.image(i).iter().filter(|&&p| p > 30).count()).sum::<usize>() / 600
        };
        assert!(cloth(1) + 100 < cloth(2), "{} and {}", cloth(1), cloth(2));
    }

    #[test]
    fn it_loads_in_well_under_a_second() {
        // The best of three: the machine may be busy with something else.
        let time = || {
            let start = std::time::Instant::now();
            load().unwrap();
            start.elapsed().as_secs_f64()
        };
        let best = (0..3).map(|_| time()).fold(f64::INFINITY, f64::min);
        assert!(best < 1.0, "{best} s");
    }
}
