//! `kindling eval`: how good a network is on a data set's validation images.

use super::{
    Outcome,
    dataset::{self, DataArgs},
    model::{self, DeviceArgs, Source, one_of},
    output, table,
};
use crate::{
    data::{Dataset, LoadOptions, Preprocessing, SizeRules, Split, ValidationKind, class_name},
    format,
    model::Padding,
    text,
    train::{
        batches::ranges,
        metrics::{Evaluation, Mistake},
        predictor::Predictor,
        run_folder::Folds,
    },
    weights::ImportOptions,
};
use anyhow::bail;
use clap::Args;
use image::{DynamicImage, GrayImage, RgbImage};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Images that go through the network between two reports of progress.
const CHUNK: usize = 512;
/// Classes up to which the whole confusion matrix is shown to people.
const MATRIX: usize = 20;

/// Measure a network on the validation images of a data set
#[derive(Args, Clone, Debug)]
pub(crate) struct Eval {
    /// A run's folder (its best weights count) or a weight file
    #[arg(value_name = "RUN|WEIGHTS")]
    model: PathBuf,

    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    device: DeviceArgs,

    /// How the network pads, where its file does not say [default: by the file's names]
    #[arg(long, value_parser = one_of::<Padding>())]
    padding: Option<Padding>,

    /// How many of the worst mistakes to list
    #[arg(long, value_name = "N", default_value_t = 5)]
    worst: usize,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let source = model::locate(&self.model, self.json)?;
        let options = ImportOptions { padding: self.padding, ..ImportOptions::default() };
        let predictor = Predictor::open(&source.weights, &options, self.device.device, self.device.ops)?;
        let dataset = self.load(&source, &predictor)?;
        let labels = labels_for(&dataset, &predictor.card().classes)?;
        // They are by class number, and of the classes of the run.
        let folds = source.run.as_ref().map(|run| &run.folds).filter(|_| dataset.classes == predictor.card().classes);
        let evaluation = evaluate(&predictor, &dataset, &labels, folds);
        if evaluation.images() == 0 {
            bail!("{} has no validation images", text::foreign(&dataset.name));
        }
        let worst = evaluation.worst(self.worst);
        let report = Report { evaluation: &evaluation, worst: &worst, dataset: &dataset, predictor: &predictor };
        if self.json {
            output::json(&report.json(&source))?;
        } else {
            output::line(report.text(&source))?;
        }
        Ok(Outcome::Done)
    }

    /// The data set, held out and resized as the run had it.
    fn load(&self, source: &Source, predictor: &Predictor) -> anyhow::Result<Dataset> {
        let card = predictor.card();
        let (spec, wanted) = match (&self.data.data, &source.run) {
            (Some(spec), Some(run)) => (spec.as_str(), run.load_options(&run.recipe)),
            (None, Some(run)) => (run.data()?, run.load_options(&run.recipe)),
            (Some(spec), None) => (spec.as_str(), card.load_options()),
            (None, None) => {
                bail!("{} does not say what it was trained on; name a data set with --data", text::path(&self.model))
            }
        };
        let coarse = self.data.coarse || wanted.coarse;
        let options = LoadOptions { coarse, ..as_prepared(&card.preprocessing, wanted) };
        let dataset = dataset::load(spec, &options, self.json)?;
        let held_out = dataset.validation_kind == ValidationKind::HeldOut;
        match &source.run {
            // Other data are what evaluation is for, as long as the names of classes can be matched.
            Some(run) => {
                let note = run.info.compare(&dataset).ok().flatten();
                note.filter(|_| self.data.data.is_none()).into_iter().for_each(output::note);
            }
            None if held_out && card.validation_share.is_none() => output::note(
                "the file does not say what its training held out; the network may have learned from some of these images",
            ),
            None => {}
        }
        Ok(dataset)
    }
}

/// Load options by which images of mixed sizes come out as the network wants them.
fn as_prepared(preprocessing: &Preprocessing, options: LoadOptions) -> LoadOptions {
    let fitting = preprocessing.fitting();
    LoadOptions {
        image_size: Some(preprocessing.height),
        // Only what validates is looked at.
        random_crops: false,
        // Networks of other shapes are of old runs.
        size_rules: if preprocessing.height == preprocessing.width { options.size_rules } else { SizeRules::Legacy },
        short_side: fitting.short_side,
        fit: preprocessing.resize.map_or(options.fit, |resize| resize.fit),
        filter: fitting.filter,
        background: preprocessing.background,
        pixel_rules: preprocessing.pixel_rules,
        ..options
    }
}

/// The network's class for each validation image: by name where both sides have the same names, or had before edits
/// renamed them, else by number.
fn labels_for(dataset: &Dataset, classes: &[String]) -> anyhow::Result<Vec<u32>> {
    let labels = &dataset.validation.labels;
    if dataset.classes == classes {
        return Ok(labels.clone());
    }
    let place = |name: &String| dataset.options.edits.place_of(name, classes).map(|place| place as u32);
    let places: Option<Vec<u32>> = dataset.classes.iter().map(place).collect();
    if let Some(places) = places {
        return Ok(labels.iter().map(|&label| places[label as usize]).collect());
    }
    if dataset.classes.len() != classes.len() {
        let (data, network) = (dataset.classes.len(), classes.len());
        bail!(
            "{} has {data} classes, the network {network}; it was trained on something else",
            text::foreign(&dataset.name)
        );
    }
    output::note("the data set and the network call their classes by other names; they are matched by number");
    Ok(labels.clone())
}

/// What heads of folds said of an image that they had not seen counts, not what the one says that stays: it has.
fn evaluate(predictor: &Predictor, dataset: &Dataset, labels: &[u32], folds: Option<&Folds>) -> Evaluation {
    let (card, split) = (predictor.card(), &dataset.validation);
    let preprocessing = remaining(&card.preprocessing, dataset);
    let mut evaluation = Evaluation::new(card.spec.classes);
    for range in ranges(split.len(), predictor.images_at_once(CHUNK)) {
        let unseen = |index: usize| folds.and_then(|folds| folds.of(split, index));
        let asked: Vec<usize> = range.clone().filter(|&index| unseen(index).is_none()).collect();
        let images: Vec<Vec<u8>> = asked.par_iter().map(|&index| prepare(split, index, &preprocessing)).collect();
        // The logarithm of a softmax has the same softmax. What became 0 in f32 is at most 1e-38.
        let log = |p: &f32| p.max(f32::MIN_POSITIVE).ln();
        let mut answers = predictor.predict(&images).into_iter();
        for index in range {
            let row = match unseen(index) {
                Some(row) => row.to_vec(),
                None => answers.next().map_or_else(Vec::new, |answer| answer.probabilities.iter().map(log).collect()),
            };
            evaluation.add(index as u32, &row, &labels[index..=index]);
        }
    }
    evaluation
}

/// What is still to be done to a data set's images. Those that were brought to the network's size as they were read need
/// no more: twice would take the centre of the centre.
fn remaining(preprocessing: &Preprocessing, dataset: &Dataset) -> Preprocessing {
    let resize = preprocessing.resize.filter(|_| !dataset.fitted);
    Preprocessing { resize, ..preprocessing.clone() }
}

/// An image of a split as the network wants it.
fn prepare(split: &Split, index: usize, preprocessing: &Preprocessing) -> Vec<u8> {
    let (pixels, size) = (split.image(index), [split.height, split.width]);
    let place = preprocessing.fitting().place(size);
    if place.scaled == size
        && size == [preprocessing.height, preprocessing.width]
        && split.channels == preprocessing.channels
    {
        return pixels.to_vec();
    }
    let (height, width) = (split.height as u32, split.width as u32);
    let image = match split.channels {
        1 => GrayImage::from_raw(width, height, pixels.to_vec()).map(DynamicImage::from),
        _ => RgbImage::from_raw(width, height, pixels.to_vec()).map(DynamicImage::from),
    };
    // A split's images have the length that its size says.
    image.map_or_else(|| pixels.to_vec(), |image| preprocessing.prepare(&image))
}

struct Report<'a> {
    evaluation: &'a Evaluation,
    worst: &'a [Mistake],
    dataset: &'a Dataset,
    predictor: &'a Predictor,
}

impl Report<'_> {
    fn class(&self, index: u32) -> &str {
        class_name(&self.predictor.card().classes, index)
    }

    fn image(&self, index: u32) -> String {
        let file = self.dataset.validation.sources.as_ref().and_then(|files| files.get(index as usize));
        file.cloned().unwrap_or_else(|| format!("image {index}"))
    }

    fn json(&self, source: &Source) -> Value {
        let confusion = &self.evaluation.confusion;
        let classes = &self.predictor.card().classes;
        let per_class: Vec<Value> = classes
            .iter()
            .zip(confusion.per_class())
            .map(|(class, score)| {
                json!({ "class": class, "precision": score.precision, "recall": score.recall, "f1": score.f1,
                        "support": score.support })
            })
            .collect();
        let rows: Vec<&[u32]> = confusion.counts.chunks(confusion.classes.max(1)).collect();
        let worst: Vec<Value> = self
            .worst
            .iter()
            .map(|m| {
                json!({ "image": self.image(m.index), "index": m.index, "class": self.class(m.truth),
                        "predicted": self.class(m.predicted), "p": m.confidence, "loss": m.loss })
            })
            .collect();
        json!({
            "accuracy": self.evaluation.accuracy(),
            "top5": self.evaluation.top5(),
            "loss": self.evaluation.loss(),
            "images": self.evaluation.images(),
            "data": self.dataset.spec,
            "validation": self.dataset.validation_kind,
            "weights": source.weights,
            "device": self.predictor.compute().description,
            "per_class": per_class,
            "confusion": rows,
            "worst": worst,
        })
    }

    fn text(&self, source: &Source) -> String {
        let evaluation = self.evaluation;
        let confusion = &evaluation.confusion;
        let classes = &self.predictor.card().classes;
        let mut lines = vec![
            format!("{} ({})", text::path(&source.weights), self.predictor.card().spec),
            format!(
                "{}: {} ({})",
                text::foreign(&self.dataset.name),
                format::plural(evaluation.images() as usize, "image"),
                self.dataset.validation_kind
            ),
            String::new(),
            format!(
                "accuracy {:.4}, top-5 {:.4}, loss {:.4}",
                evaluation.accuracy(),
                evaluation.top5(),
                evaluation.loss()
            ),
            String::new(),
        ];
        let mut rows = vec![["class", "precision", "recall", "f1", "images"].map(str::to_owned).to_vec()];
        for (class, score) in classes.iter().zip(confusion.per_class()) {
            let share = |x: f64| format!("{x:.3}");
            let (class, images) = (table::short(class, 32), format::number(score.support.into()));
            rows.push(vec![class, share(score.precision), share(score.recall), share(score.f1), images]);
        }
        lines.push(table::aligned(&rows));
        lines.push(String::new());
        if confusion.classes <= MATRIX {
            lines.push(
                "confusion: a row for each true class, a column for each predicted one, in the same order".into(),
            );
            let row = |truth: usize| {
                let counts = (0..confusion.classes).map(|predicted| match confusion.get(truth, predicted) {
                    0 => "·".to_owned(),
                    n => n.to_string(),
                });
                std::iter::once(table::short(&classes[truth], 20)).chain(counts).collect()
            };
            lines.push(table::aligned(&(0..confusion.classes).map(row).collect::<Vec<_>>()));
        } else {
            lines.push("most frequent confusions".into());
            let pairs = confusion.worst_pairs(10).into_iter();
            lines.extend(pairs.map(|(a, b, n)| {
                format!("  {} taken for {}: {n}", text::foreign(&classes[a]), text::foreign(&classes[b]))
            }));
        }
        if !self.worst.is_empty() {
            lines.extend([String::new(), "worst mistakes".into()]);
            lines.extend(self.worst.iter().map(|m| {
                let [image, truth, predicted] =
                    [&self.image(m.index), self.class(m.truth), self.class(m.predicted)].map(text::foreign);
                format!("  {image}: {truth} taken for {predicted} (p {:.3})", m.confidence)
            }));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{self, Fit, HoldOut, Normalisation, PixelRules, Resize, Silent};

    #[test]
    fn images_of_a_folder_are_what_prediction_makes_of_the_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, sizes: &[(u32, u32)]| {
            for (i, &(width, height)) in sizes.iter().enumerate() {
                let path = folder.path().join(name).join(format!("{i}.png"));
                std::fs::create_dir_all(path.parent().expect("a class")).expect("a folder");
                // Equal images would all be on one side.
                let own = name.len() * 3 + i;
                let noise = |x: u32, y: u32, c: u32| (x * 97 + y * 57 + c * 31 + x * y * 13 + own as u32 * 7) as u8;
                RgbImage::from_fn(width, height, |x, y| image::Rgb([0, 1, 2].map(|c| noise(x, y, c))))
                    .save(path)
                    .expect("a file");
            }
        };
        for sizes in [[(31, 44), (50, 37), (20, 20)], [(20, 20); 3], [(33, 26); 3]] {
            write("cat", &sizes);
            write("otter", &sizes);
            for pixel_rules in [PixelRules::Legacy, PixelRules::Torchvision] {
                let normalisation = Normalisation { mean: vec![0.5; 3], std: vec![0.5; 3] };
                let resize = Some(Resize { short_side: 23, fit: Fit::CropCentre, ..Resize::default() });
                let preprocessing = Preprocessing { resize, pixel_rules, ..Preprocessing::new(20, 20, normalisation) };
                let options = as_prepared(
                    &preprocessing,
                    LoadOptions { hold_out: HoldOut::by_content(0.5), ..LoadOptions::default() },
                );
                let dataset = data::load(folder.path().to_str().expect("text"), &options, &Silent).expect("a data set");
                let files = dataset.validation.sources.clone().expect("files");
                let still = remaining(&preprocessing, &dataset);
                for (index, file) in files.iter().enumerate() {
                    let bytes = std::fs::read(folder.path().join(file)).expect("a file");
                    let image = data::decode_image(&bytes, pixel_rules).expect("an image");
                    let (found, expected) =
                        (prepare(&dataset.validation, index, &still), preprocessing.prepare(&image));
                    assert!(found == expected, "{file} of {sizes:?} by {pixel_rules:?}");
                }
                assert!(files.len() > 1);
            }
        }
    }
}
