//! Made-up data sets for tests.

use crate::data::{Dataset, Split, rng::Rng};

fn split(images: usize, classes: usize, height: usize, width: usize, channels: usize, rng: &mut Rng) -> Split {
    let pixels: Vec<u8> = (0..images * height * width * channels).map(|_| rng.next_u64() as u8).collect();
    let labels = (0..images).map(|i| (i % classes) as u32).collect();
    Split { height, width, channels, pixels: pixels.into(), labels, sources: None, contents: None }
}

/// Noise in `classes` classes: `train` images to learn, 20 to validate.
pub(crate) fn dataset(
    train: usize,
    classes: usize,
    height: usize,
    width: usize,
    channels: usize,
    seed: u64,
) -> Dataset {
    let mut rng = Rng::new(&[seed]);
    let names = (0..classes).map(|class| format!("class {class}")).collect();
    let train = split(train, classes, height, width, channels, &mut rng);
    Dataset::new("noise", names, train, split(20, classes, height, width, channels, &mut rng))
}
