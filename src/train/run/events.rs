//! Everything that a run says, one line of JSON each in `events.jsonl`.
//!
//! The same events go to whoever listens to a session and into the file. The file is only ever appended to. Each line
//! carries the step after which it was said and its *branch*: a run starts on branch 0, and going back to a snapshot
//! opens a new branch, whose first line is [`Event::Resumed`] with the branch and step that it comes from. When a run
//! goes on after it was killed, its branch continues with a `resumed` line of its own number, and that hides the
//! branch's earlier lines beyond that step: those steps are made again.
//!
//! JSON has no number for NaN and infinity; here they are the texts `"NaN"`, `"inf"` and `"-inf"`.

use crate::train::recipe::{Recipe, field::Value};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a session is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Images come from disk.
    Reading,
    /// The first step prepares kernels.
    Compiling,
    /// Steps are made.
    Training,
    /// The validation images are classified.
    Validating,
    /// Held by somebody.
    Paused,
    /// A checkpoint is written.
    Saving,
    /// Ended on request or by an error, with epochs left.
    Stopped,
    /// All epochs are done.
    Finished,
}

/// Something that happened in a run. `step` is the number of updates made until then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run begins.
    Started {
        /// Updates made until then.
        step: u64,
        /// What people call the data; in older runs what `--data` said.
        data: String,
        /// Their names.
        classes: Vec<String>,
        /// Number of images to learn from.
        train_images: u64,
        /// Number of images held out.
        validation_images: u64,
        /// The network in words.
        model: String,
        /// Number of its parameters.
        parameters: u64,
        /// What it trains on, for people.
        device: String,
        /// Updates in an epoch.
        steps_per_epoch: u64,
        /// All hyperparameters.
        recipe: Box<Recipe>,
    },
    /// Training goes on from a checkpoint or a snapshot. `from_branch` is the line's own branch after a restart, another
    /// one after a rewind.
    Resumed {
        /// Updates made until then.
        step: u64,
        /// Epochs done.
        epoch: u64,
        /// Where the state comes from.
        from_branch: u32,
        /// The snapshot's name; `None` is the last checkpoint.
        snapshot: Option<String>,
        /// What it trains on, for people.
        device: String,
    },
    /// The session is at something else.
    Phase {
        /// Updates made until then.
        step: u64,
        /// What it is at from now on.
        phase: Phase,
    },
    /// Averages over the steps since the last such line.
    Step {
        /// Updates made until then.
        step: u64,
        /// Epochs done, with a fraction.
        epoch: f64,
        /// Mean loss of an image.
        #[serde(with = "number")]
        loss: f32,
        /// Share of images that were classified rightly.
        #[serde(with = "number")]
        accuracy: f32,
        /// The last learning rate; of a head, the length of the solver's step.
        lr: f64,
        /// Speed, pauses left out.
        #[serde(with = "number")]
        images_per_s: f32,
        /// Seconds of training until now, pauses left out.
        seconds: f64,
    },
    /// An epoch is done and validated.
    Epoch {
        /// Updates made until then.
        step: u64,
        /// Epochs done: 1 after the first.
        epoch: u64,
        /// Mean loss of an image over the epoch, while learning.
        #[serde(with = "number")]
        train_loss: f32,
        /// Share of hits over the epoch, while learning.
        #[serde(with = "number")]
        train_accuracy: f32,
        /// `None`, here and below, where there are no validation images.
        #[serde(with = "measured")]
        val_loss: Option<f32>,
        /// Share of hits among the validation images.
        #[serde(with = "measured")]
        val_accuracy: Option<f32>,
        /// Share of validation images whose class is among the five likeliest.
        #[serde(with = "measured")]
        top5: Option<f32>,
        /// Hits and images of each class.
        per_class: Vec<[u32; 2]>,
        /// What the epoch took.
        seconds: f64,
        /// Whether this is the best validation accuracy so far.
        best: bool,
    },
    /// A hyperparameter was changed; in force from this step on.
    Changed {
        /// Updates made until then.
        step: u64,
        /// The field's name in a recipe.
        key: String,
        /// What it was.
        from: Value,
        /// What it is.
        to: Value,
    },
    /// A state was kept to go back to.
    Snapshot {
        /// Updates made until then.
        step: u64,
        /// What it is called.
        name: String,
        /// Within the run's folder.
        path: String,
    },
    /// A snapshot was thinned out, or deleted by hand.
    SnapshotRemoved {
        /// Updates made until then.
        step: u64,
        /// What it was called.
        name: String,
    },
    /// Something that people should know; training goes on.
    Warning {
        /// Updates made until then.
        step: u64,
        /// One line.
        text: String,
    },
    /// What ended training.
    Error {
        /// Updates made until then.
        step: u64,
        /// One line.
        text: String,
    },
    /// The loss or a gradient was not finite, and training stopped before the update.
    NotFinite {
        /// Updates made until then.
        step: u64,
        /// Epochs done.
        epoch: u64,
        /// Learning rate of the step.
        lr: f64,
        /// Of this batch.
        #[serde(with = "number")]
        loss: f32,
        /// Positions of the batch's images in the training split.
        batch: Vec<u32>,
        /// The gradient of each tensor.
        layers: Vec<LayerNorm>,
        /// What each layer put out on this batch, in the order of the computation. Empty in older runs.
        #[serde(default)]
        activations: Vec<Activation>,
        /// Where the first number that is not finite arose. `None` where all were finite when computed again.
        #[serde(default)]
        origin: Option<Origin>,
    },
    /// How large the layers are; said every few seconds of training in a window.
    Norms {
        /// Updates made until then.
        step: u64,
        /// In the order of the network, without what is frozen.
        layers: Vec<LayerNorms>,
    },
    /// All epochs are done.
    Done {
        /// Updates made until then.
        step: u64,
        /// `None` where there are no validation images; so the best.
        #[serde(with = "measured")]
        accuracy: Option<f32>,
        /// Of any epoch.
        #[serde(with = "measured")]
        best_accuracy: Option<f32>,
        /// More about the accuracy, where it is that of a head.
        #[serde(flatten)]
        cross_validated: Option<CrossValidated>,
        /// The run's folder.
        run: String,
    },
}

/// How good a head is on photographs that it has not seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidated {
    /// The mean over the classes of the share that was recognised, so that small classes count as much as large ones.
    pub balanced_accuracy: f64,
    /// Where the accuracy on other photographs of this kind is with 95 % certainty, as far as their number can say.
    pub interval: [f64; 2],
    /// Parts into which the images were divided; 0 where the data have a validation split of their own.
    pub folds: u64,
    /// How often that was repeated, with other parts each time.
    pub rounds: u64,
    /// From the start, or the change that led to it, until it was known.
    pub seconds: f64,
}

/// The gradient of one layer, by size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerNorm {
    /// The tensor's name.
    pub name: String,
    /// Euclidean norm of its gradient.
    #[serde(with = "number")]
    pub norm: f32,
    /// Values in it that are NaN or infinite.
    #[serde(default)]
    pub not_finite: u64,
}

/// How large one layer is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerNorms {
    /// The name of its weights.
    pub name: String,
    /// Euclidean norm of the weights.
    #[serde(with = "number")]
    pub weights: f32,
    /// Euclidean norm of their gradient on one batch.
    #[serde(with = "number")]
    pub gradient: f32,
}

/// What one layer put out, by size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activation {
    /// The layer's name, `fc` for the logits.
    pub name: String,
    /// The largest magnitude among its finite values.
    #[serde(with = "number")]
    pub largest: f32,
    /// Values in it that are NaN or infinite.
    #[serde(default)]
    pub not_finite: u64,
}

/// The place in a step where numbers stopped being finite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A layer's output, on the way to the loss.
    Forward(String),
    /// The gradient of a tensor, on the way back.
    Backward(String),
    /// Every value is finite, but the sum of the gradients' squares is not; this tensor's share is the largest.
    Norm(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Forward(layer) => write!(f, "the output of {layer}"),
            Origin::Backward(tensor) => write!(f, "the gradient of {tensor}"),
            Origin::Norm(tensor) => write!(f, "the norm of all gradients (most of it from {tensor})"),
        }
    }
}

impl Event {
    /// The number of updates made until then.
    pub fn step(&self) -> u64 {
        match self {
            Event::Started { step, .. }
            | Event::Resumed { step, .. }
            | Event::Phase { step, .. }
            | Event::Step { step, .. }
            | Event::Epoch { step, .. }
            | Event::Changed { step, .. }
            | Event::Snapshot { step, .. }
            | Event::SnapshotRemoved { step, .. }
            | Event::Norms { step, .. }
            | Event::Warning { step, .. }
            | Event::Error { step, .. }
            | Event::NotFinite { step, .. }
            | Event::Done { step, .. } => *step,
        }
    }
}

/// One line of `events.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub(crate) branch: u32,
    /// Seconds since 1970.
    #[serde(default)]
    pub(crate) time: f64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Floats in JSON, those that are not finite as text.
mod number {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
        if value.is_finite() { serializer.serialize_f32(*value) } else { serializer.serialize_str(&value.to_string()) }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Number(f64),
            Text(String),
            Null(()),
        }
        match Any::deserialize(deserializer)? {
            Any::Number(value) => Ok(value as f32),
            Any::Text(text) => text.parse().map_err(serde::de::Error::custom),
            Any::Null(()) => Ok(f32::NAN),
        }
    }
}

/// Floats as [`number`] has them, and `null` for what was not measured.
mod measured {
    use super::number;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Option<f32>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => number::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
        #[derive(Deserialize)]
        struct Number(#[serde(with = "number")] f32);
        Ok(Option::<Number>::deserialize(deserializer)?.map(|Number(value)| value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_null() {
        let event = Event::Done {
            step: 9,
            accuracy: None,
            best_accuracy: Some(f32::NAN),
            cross_validated: None,
            run: "r".into(),
        };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!((&json["accuracy"], &json["best_accuracy"]), (&serde_json::Value::Null, &"NaN".into()));
        let Event::Done { accuracy, best_accuracy, .. } = serde_json::from_value(json).unwrap() else { panic!() };
        assert!(accuracy.is_none() && best_accuracy.is_some_and(f32::is_nan));
    }

    #[test]
    fn an_event_reads_back_from_its_line() {
        let events = [
            Event::Done {
                step: 9,
                accuracy: Some(0.5),
                best_accuracy: Some(0.75),
                cross_validated: None,
                run: "runs/first".into(),
            },
            Event::Changed { step: 3, key: "lr".into(), from: Value::Float(0.1), to: Value::Float(1.0) },
            Event::Phase { step: 0, phase: Phase::Compiling },
            Event::Resumed { step: 1, epoch: 0, from_branch: 0, snapshot: None, device: "cpu".into() },
        ];
        for event in events {
            let line = Line { branch: 2, time: 1.5, event };
            let text = serde_json::to_string(&line).unwrap();
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line, "{text}");
        }
    }

    #[test]
    fn a_recipe_travels_in_the_first_line() {
        let event = Event::Started {
            step: 0,
            data: "sample".into(),
            classes: vec!["a".into(), "b".into()],
            train_images: 6000,
            validation_images: 1000,
            model: "cifar_resnet8".into(),
            parameters: 1,
            device: "cpu".into(),
            steps_per_epoch: 47,
            recipe: Box::new(Recipe { lr: 1.0, milestones: vec![1], ..Recipe::default() }),
        };
        let line = Line { branch: 0, time: 0.0, event };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line, "{text}");
    }

    #[test]
    fn numbers_that_are_not_finite_survive() {
        let layer = LayerNorm { name: "fc.weight".into(), norm: f32::INFINITY, not_finite: 3 };
        let event = Event::NotFinite {
            step: 1,
            epoch: 0,
            lr: 1e6,
            loss: f32::NAN,
            batch: vec![4],
            layers: vec![layer.clone()],
            activations: vec![Activation { name: "conv1".into(), largest: 3.5, not_finite: 2 }],
            origin: Some(Origin::Forward("conv1".into())),
        };
        let text = serde_json::to_string(&Line { branch: 0, time: 0.0, event }).unwrap();
        match serde_json::from_str::<Line>(&text).unwrap().event {
            Event::NotFinite { loss, layers, activations, origin, .. } => {
                assert!(loss.is_nan() && layers == [layer] && activations[0].largest == 3.5);
                assert_eq!(origin, Some(Origin::Forward("conv1".into())));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_report_of_an_older_run_is_read() {
        let text =
            r#"{"branch":0,"event":"not_finite","step":1,"epoch":0,"lr":1.0,"loss":"inf","batch":[],"layers":[]}"#;
        let line: Line = serde_json::from_str(text).unwrap();
        assert!(matches!(line.event, Event::NotFinite { origin: None, activations, .. } if activations.is_empty()));
    }

    #[test]
    fn the_last_line_of_a_run_is_what_scripts_look_for() {
        let event = Event::Done {
            step: 9,
            accuracy: Some(0.5),
            best_accuracy: Some(0.75),
            cross_validated: None,
            run: "r".into(),
        };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["event"], "done");
        assert_eq!(json["accuracy"], 0.5);
        assert_eq!(json["best_accuracy"], 0.75);
    }
}
