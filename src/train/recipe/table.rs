//! Every hyperparameter of a run, in one table.
//!
//! A [`Recipe`] is a plain struct for the code that trains and a table of [`Field`]s for everything that shows, reads
//! or changes one. Both come from the single list below: name, type, default, label, group, when a change takes effect
//! and range; the comment above an entry is also its help text in the window and on the command line.
//!
//! Every single value is checked against its range when it is set. The few conditions between fields (a custom model's
//! stages and widths) are checked by [`Recipe::validate`], which every reader of a whole recipe calls.

use super::{
    choices::{Choice, CropMode, Freeze, Method, NormaliseBy, Optimizer, Precision, STEMS},
    class_weights::{CLASS_WEIGHTS, ClassWeights},
    error::RecipeError,
    field::{AppliesAt, FieldType, Group, Kind, Value},
    typo::nearest,
};
use crate::{
    data::Fit,
    model::{Block, ModelSpec, Nonlinearity, Padding, Stem, spec},
    ops::optimizers::{AdamW, Lion, Rule, Sgd},
};
use std::fmt;
use strum::{EnumString, IntoStaticStr, VariantNames};

/// One hyperparameter of a [`Recipe`].
pub(crate) struct Field {
    /// Name in `recipe.toml` and for `--set`.
    pub key: &'static str,
    /// Name in the window.
    pub label: &'static str,
    /// One line of explanation.
    pub help: &'static str,
    pub group: Group,
    pub kind: Kind,
    pub applies_at: AppliesAt,
    /// What the value 0 is called where it means something else than a small number, such as “off”.
    pub zero: Option<&'static str>,
    pub(super) get: fn(&Recipe) -> Value,
    /// False where the value is of another type; [`Kind::accept`] has been asked before.
    pub(super) put: fn(&mut Recipe, Value) -> bool,
}

impl Field {
    /// The value as a person reads it: `off` for a zero that means off, 0.05 otherwise.
    pub(crate) fn show(&self, value: &Value) -> String {
        match (self.zero, value) {
            (Some(word), Value::Int(0)) => word.to_owned(),
            (Some(word), Value::Float(x)) if *x == 0.0 => word.to_owned(),
            _ => value.to_string(),
        }
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({})", self.key)
    }
}

/// All architectures and `custom`.
const MODELS: [&str; spec::ARCHITECTURES.len() + 1] = {
    let mut models = ["custom"; spec::ARCHITECTURES.len() + 1];
    let mut i = 0;
    while i < spec::ARCHITECTURES.len() {
        models[i] = spec::ARCHITECTURES[i];
        i += 1;
    }
    models
};

const fn float(min: f64, max: f64, soft_min: f64, soft_max: f64) -> Kind {
    Kind::Float { min, max, soft_min, soft_max, log: false }
}

const fn log(min: f64, max: f64, soft_min: f64, soft_max: f64) -> Kind {
    Kind::Float { min, max, soft_min, soft_max, log: true }
}

const fn int(min: i64, max: i64, soft_min: i64, soft_max: i64) -> Kind {
    Kind::Int { min, max, soft_min, soft_max }
}

const fn list(min: i64, max: i64, longest: usize) -> Kind {
    Kind::IntList { min, max, longest }
}

/// key: type = default, label, group, takes, kind [, zero word];
macro_rules! recipe {
    ($(
        #[doc = $help:literal]
        $key:ident: $type:ty = $default:expr, $label:literal, $group:ident, $applies_at:ident, $kind:expr $(, $zero:literal)?;
    )*) => {
        /// Every hyperparameter of a run. Rates are per step, shares from 0 to 1, lengths in pixels of the training
        /// image; “off” is 0.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Recipe {
            $(#[doc = $help] pub $key: $type,)*
        }

        impl Default for Recipe {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        static FIELDS: &[Field] = &[$(Field {
            key: stringify!($key),
            label: $label,
            help: $help.trim_ascii(),
            group: Group::$group,
            kind: $kind,
            applies_at: AppliesAt::$applies_at,
            zero: recipe!(@zero $($zero)?),
            get: |recipe| recipe.$key.to_value(),
            put: |recipe, value| match FieldType::from_value(value) {
                Some(value) => {
                    recipe.$key = value;
                    true
                }
                None => false,
            },
        },)*];
    };
    (@zero) => { None };
    (@zero $zero:literal) => { Some($zero) };
}

/// How the learning rate goes over a run; the formulas are in `schedule.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Schedule {
    /// The base rate, always.
    Constant,
    /// Times a factor at each milestone.
    Step,
    /// Down along half a cosine.
    Cosine,
    /// Up to the peak and down, along cosines.
    OneCycle,
    /// Down as a power of the share that is left.
    Polynomial,
}

impl Choice for Schedule {}

recipe! {
    /// Architecture of the network.
    model: String = "cifar_resnet8".to_owned(), "Model", Model, Restart, Kind::Choice(&MODELS);
    /// Layers before the first stage: 7x7 with max-pool for photos, 3x3 for small images, or the model's own.
    stem: Option<Stem> = None, "Stem", Model, Restart, Kind::Choice(&STEMS);
    /// Residual block of a custom model.
    block: Block = Block::Basic, "Block", Model, Restart, Kind::Choice(Block::VARIANTS);
    /// Blocks in each stage of a custom model.
    stages: Vec<usize> = vec![1, 1, 1], "Stages", Model, Restart, list(1, 200, 6);
    /// Channels of each stage of a custom model, before a bottleneck's factor of four.
    widths: Vec<usize> = vec![16, 32, 64], "Widths", Model, Restart, list(1, 4096, 6);
    /// What follows each normalisation of a custom model.
    activation: Nonlinearity = Nonlinearity::Relu, "Activation", Model, Restart, Kind::Choice(Nonlinearity::VARIANTS);
    /// Where zeros go around an image: PyTorch's way, MindSpore's, or MindSpore's for the max-pool only.
    padding: Padding = Padding::Torch, "Padding", Model, Restart, Kind::Choice(Padding::VARIANTS);
    /// Starts each residual block as the identity, by a zero in its last normalisation.
    zero_init_residual: bool = false, "Zero-init residual", Model, Restart, Kind::Bool;
    /// Side that images are brought to for the network; 0 keeps small ones as they are, photographs get 64 or 224 pixels.
    image_size: usize = 0, "Image size", Model, Restart, int(0, 1024, 0, 256), "the data's own";
    /// Side at which whole photographs are kept for resized crops; 0 is 1.4 times the image size: twice its pixels.
    working_size: usize = 0, "Working size", Model, Restart, int(0, 2048, 0, 512), "automatic";
    /// How an image that is not square becomes square: its centre is cut out, or all of it is squeezed or put on white.
    fit: Fit = Fit::CropCentre, "Fit", Model, Restart, Kind::Choice(Fit::VARIANTS);
    /// Mean and deviation of the pixels: the data set's published table, computed from the training images, or ImageNet's.
    normalisation: NormaliseBy = NormaliseBy::Table, "Normalisation", Model, Restart, Kind::Choice(NormaliseBy::VARIANTS);
    /// Share of the images that is held out for validation, by their content, where the data have no second split.
    validation_share: f64 = 0.1, "Validation share", Model, Restart, float(0.0, 0.9, 0.0, 0.5), "none";

    /// Rule that turns gradients into updates.
    optimizer: Optimizer = Optimizer::Sgd, "Optimiser", Optimiser, Restart, Kind::Choice(Optimizer::VARIANTS);
    /// Base (highest) learning rate; a change rescales the rest of the schedule at once.
    lr: f64 = 0.1, "Learning rate", Optimiser, Now, log(0.0, 1e9, 1e-5, 1.0);
    /// Share of the last update that carries on; the first beta of AdamW and Lion.
    momentum: f64 = 0.9, "Momentum", Optimiser, Now, float(0.0, 0.9999, 0.0, 0.99);
    /// Looks ahead along the momentum before it corrects (SGD only).
    nesterov: bool = false, "Nesterov", Optimiser, Now, Kind::Bool;
    /// Decay of AdamW's running mean of squared gradients, and of Lion's of gradients.
    beta2: f64 = 0.999, "Beta 2", Optimiser, Now, float(0.0, 0.999999, 0.9, 0.9999);
    /// Pulls weights towards zero; added to the gradient in SGD, decoupled in AdamW and Lion.
    weight_decay: f64 = 5e-4, "Weight decay", Optimiser, Now, log(0.0, 10.0, 1e-6, 0.1), "off";
    /// Also decays normalisation parameters and biases; off spares them.
    decay_bn_bias: bool = true, "Decay BN and biases", Optimiser, Now, Kind::Bool;
    /// Gradients with a greater norm over all parameters are scaled down to it; 0 is off.
    clip_norm: f64 = 0.0, "Clip gradients", Optimiser, Now, float(0.0, 1e6, 0.0, 10.0), "off";
    /// Images in one step.
    batch_size: usize = 128, "Batch size", Optimiser, NextEpoch, int(1, 65536, 8, 512);

    /// Times that the network sees all training images.
    epochs: u64 = 30, "Epochs", Schedule, Now, int(1, 1_000_000, 1, 300);
    /// How the learning rate goes over the run.
    schedule: Schedule = Schedule::Cosine, "Schedule", Schedule, Now, Kind::Choice(Schedule::VARIANTS);
    /// Epochs after which the step schedule multiplies the learning rate by its factor.
    milestones: Vec<usize> = Vec::new(), "Milestones", Schedule, Now, list(1, 1_000_000, 64);
    /// Factor of the step schedule.
    factor: f64 = 0.1, "Step factor", Schedule, Now, log(1e-6, 1.0, 0.01, 1.0);
    /// Power of the polynomial schedule, of the share of the run that is left: 1 goes down in a line.
    power: f64 = 0.9, "Polynomial power", Schedule, Now, float(0.01, 100.0, 0.5, 3.0);
    /// Epochs in which the rate rises in a line from near 0 (all schedules but one-cycle).
    warmup_epochs: f64 = 0.0, "Warm-up epochs", Schedule, Now, float(0.0, 100_000.0, 0.0, 20.0), "off";
    /// Learning rate at the end of the cosine, one-cycle and polynomial schedules.
    min_lr: f64 = 0.0, "Final learning rate", Schedule, Now, log(0.0, 1e9, 1e-7, 0.1);
    /// Share of the run in which one-cycle rises to the peak.
    one_cycle_rise: f64 = 0.3, "One-cycle rise", Schedule, Now, float(0.0, 1.0, 0.05, 0.6);
    /// One-cycle starts at the learning rate divided by this.
    one_cycle_div: f64 = 25.0, "One-cycle divisor", Schedule, Now, log(1.0, 1e6, 1.0, 100.0);

    /// Share of the target that is spread evenly over all classes.
    label_smoothing: f64 = 0.0, "Label smoothing", Regularisation, Now, float(0.0, 0.9, 0.0, 0.3), "off";
    /// How much each class counts in the loss: all alike, the more the rarer it is, or a number a class, in their order.
    class_weights: ClassWeights = ClassWeights::Alike, "Class weights", Regularisation, Now, Kind::Weights(&CLASS_WEIGHTS);
    /// Shows each class equally often in an epoch, which keeps its length: images of small classes come again sooner.
    balanced_sampling: bool = false, "Balanced sampling", Regularisation, Restart, Kind::Bool;
    /// Decay of a running average of the weights that validation and `best` use; 0 is off.
    ema_decay: f64 = 0.0, "Weight averaging", Regularisation, Now, float(0.0, 0.999999, 0.0, 0.9999), "off";
    /// Stops after this many epochs without a better validation accuracy; 0 never does.
    patience: u64 = 0, "Patience", Regularisation, Now, int(0, 100_000, 0, 50), "off";

    /// Pixels around the image within which a random crop of its size moves; 0 is off.
    crop_padding: usize = 4, "Random crop", Augmentation, Now, int(0, 64, 0, 8), "off";
    /// What the crop sees beyond the border: black, or the image mirrored.
    crop_mode: CropMode = CropMode::Zero, "Crop border", Augmentation, Now, Kind::Choice(CropMode::VARIANTS);
    /// Smallest share of an image that a random crop takes and resizes, in place of the one above; 0 is off.
    resized_crop: f64 = 0.0, "Resized crop", Augmentation, Now, float(0.0, 1.0, 0.0, 1.0), "off";
    /// Shorter over longer side of a resized crop, at least; which of the two is the width is drawn.
    crop_ratio: f64 = 0.75, "Crop ratio", Augmentation, Now, float(0.01, 1.0, 0.3, 1.0);
    /// Mirrors every other image, left to right.
    flip: bool = true, "Flip", Augmentation, Now, Kind::Bool;
    /// Side of a square that is blanked out of every image; 0 is off.
    cutout: usize = 0, "Cutout", Augmentation, Now, int(0, 1024, 0, 16), "off";
    /// Share of the images of which a box, 2 to 33 % of the image, is filled with noise; 0 is off.
    random_erasing: f64 = 0.0, "Random erasing", Augmentation, Now, float(0.0, 1.0, 0.0, 0.5), "off";
    /// Brightness is multiplied by up to 1 plus or minus this.
    brightness: f64 = 0.0, "Brightness jitter", Augmentation, Now, float(0.0, 1.0, 0.0, 0.5), "off";
    /// Contrast is multiplied by up to 1 plus or minus this.
    contrast: f64 = 0.0, "Contrast jitter", Augmentation, Now, float(0.0, 1.0, 0.0, 0.5), "off";
    /// Saturation is multiplied by up to 1 plus or minus this (colour images).
    saturation: f64 = 0.0, "Saturation jitter", Augmentation, Now, float(0.0, 1.0, 0.0, 0.5), "off";
    /// Blends images and their targets in pairs, by a share drawn from Beta(a, a); 0 is off.
    mixup: f64 = 0.0, "Mixup", Augmentation, Now, float(0.0, 10.0, 0.0, 1.0), "off";
    /// Pastes a box of another image, its area drawn from Beta(a, a); with mixup, each batch takes one of the two.
    cutmix: f64 = 0.0, "Cutmix", Augmentation, Now, float(0.0, 10.0, 0.0, 1.0), "off";

    /// What learns: the network step by step, or only a new head, at once, on what a trained network sees.
    method: Method = Method::Steps, "Method", FineTuning, Restart, Kind::Choice(Method::VARIANTS);
    /// Pull of a head's weights towards zero (head method); 0 chooses it by cross-validation within the training images.
    head_strength: f64 = 0.0, "Head strength", FineTuning, Restart, log(0.0, 1e6, 1e-3, 10.0), "chosen";
    /// Share of real photographs that a head may take for none of its classes; 0 always names a class.
    unknown_rate: f64 = 0.05, "None of these", FineTuning, Restart, float(0.0, 0.5, 0.0, 0.2), "off";
    /// Layers that keep their weights and statistics, from the input up.
    freeze: Freeze = Freeze::None, "Freeze", FineTuning, Now, Kind::Choice(Freeze::VARIANTS);
    /// Learning rate of everything but the head, as a factor.
    backbone_lr_factor: f64 = 1.0, "Backbone rate factor", FineTuning, Now, log(0.0, 100.0, 0.001, 1.0);
    /// Epoch after which frozen layers learn too; 0 keeps them frozen.
    unfreeze_epoch: u64 = 0, "Unfreeze after epoch", FineTuning, Now, int(0, 1_000_000, 0, 50), "never";

    /// Seed of weights, order and augmentation.
    seed: u64 = 1, "Seed", Run, Restart, int(0, i64::MAX, 0, 1000);
    /// What activations and gradients are kept as: f16 (GPUs) and bf16 (CPUs) take half the memory and mostly less time.
    precision: Precision = Precision::Single, "Precision", Run, Now, Kind::Choice(Precision::VARIANTS);
    /// Images in one step of validation.
    eval_batch: usize = 256, "Validation batch", Run, NextEpoch, int(1, 65536, 32, 1024);
    /// Seconds between two saves of the run; longer on a slow disk, so that saving takes at most 5 % of the time.
    checkpoint_seconds: f64 = 10.0, "Save every", Run, Now, float(0.1, 86_400.0, 1.0, 120.0);
    /// Megabytes that automatic snapshots may take; older ones are thinned out; 0 keeps none.
    snapshot_megabytes: u64 = 1000, "Snapshot budget", Run, Now, int(0, 1_000_000_000, 0, 10_000), "none";
}

/// All fields, in the order in which they are shown and written.
pub(crate) fn fields() -> &'static [Field] {
    FIELDS
}

/// The field of that key.
pub(crate) fn field(key: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.key == key)
}

/// [`field`], or an error that names the nearest there is.
pub(super) fn known(key: &str) -> Result<&'static Field, RecipeError> {
    let names = FIELDS.iter().map(|field| [field.key, field.label]);
    // The table is never empty.
    let nearest = || nearest(key, names).unwrap_or("lr");
    field(key).ok_or_else(|| RecipeError::Unknown { key: key.to_owned(), nearest: nearest() })
}

/// One field in which two recipes differ.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub field: &'static Field,
    pub a: Value,
    pub b: Value,
}

/// The fields in which two recipes differ, in the order of the table.
pub(crate) fn diff(a: &Recipe, b: &Recipe) -> Vec<Difference> {
    let both = FIELDS.iter().map(|field| Difference { field, a: (field.get)(a), b: (field.get)(b) });
    both.filter(|difference| difference.a != difference.b).collect()
}

impl Recipe {
    /// The value of a field, `None` for an unknown key.
    pub fn get(&self, key: &str) -> Option<Value> {
        field(key).map(|field| (field.get)(self))
    }

    /// Sets one field, after a look at its range. The recipe is as it was where that fails.
    pub fn set(&mut self, key: &str, value: Value) -> Result<(), RecipeError> {
        let field = known(key)?;
        let bad = RecipeError::Value { key: field.key, value: value.to_string(), range: field.kind.range() };
        let accepted = field.kind.accept(value).is_some_and(|value| (field.put)(self, value));
        if accepted { Ok(()) } else { Err(bad) }
    }

    /// Checks what a single field can't know. Ranges are not looked at again unless a field was written directly.
    pub(crate) fn validate(&self) -> Result<(), RecipeError> {
        for field in FIELDS {
            let value = (field.get)(self);
            let bad = RecipeError::Value { key: field.key, value: value.to_string(), range: field.kind.range() };
            field.kind.accept(value).ok_or(bad)?;
        }
        // Any class count shows what is wrong with a model.
        self.network(3, 2).map(|_| ())
    }

    /// The network that this recipe trains, for images with `channels` channels in `classes` classes. Refuses class
    /// weights of another number.
    pub fn spec(&self, channels: usize, classes: usize) -> Result<ModelSpec, RecipeError> {
        self.check_classes(classes)?;
        self.network(channels, classes)
    }

    /// Refuses class weights of which there is not one for each of `classes`.
    pub(crate) fn check_classes(&self, classes: usize) -> Result<(), RecipeError> {
        match &self.class_weights {
            ClassWeights::ByHand(weights) if weights.len() != classes => {
                Err(RecipeError::Weights { weights: weights.len(), classes })
            }
            _ => Ok(()),
        }
    }

    /// Whether something is done about classes of unlike size.
    pub(crate) fn evens_out(&self) -> bool {
        self.balanced_sampling || self.class_weights != ClassWeights::Alike
    }

    pub(in crate::train) fn network(&self, channels: usize, classes: usize) -> Result<ModelSpec, RecipeError> {
        let spec = if self.model == "custom" {
            let (stages, widths) = (self.stages.clone(), self.widths.clone());
            let spec =
                ModelSpec::custom(self.block, self.stem.unwrap_or(Stem::Cifar), stages, widths, channels, classes);
            spec.map(|spec| spec.with_nonlinearity(self.activation))
        } else {
            ModelSpec::named(&self.model, self.stem, channels, classes)
        };
        Ok(spec?.with_padding(self.padding))
    }

    /// How parameters follow their gradients.
    pub(crate) fn rule(&self) -> Rule {
        match self.optimizer {
            Optimizer::Sgd => Rule::Sgd(Sgd { momentum: self.momentum as f32, nesterov: self.nesterov }),
            Optimizer::AdamW => Rule::AdamW(AdamW { beta1: self.momentum, beta2: self.beta2, eps: 1e-8 }),
            Optimizer::Lion => Rule::Lion(Lion { beta1: self.momentum, beta2: self.beta2 }),
        }
    }

    /// What is frozen at `epoch` (counted from 0).
    pub(crate) fn frozen_at(&self, epoch: u64) -> Freeze {
        if self.unfreeze_epoch > 0 && epoch >= self.unfreeze_epoch { Freeze::None } else { self.freeze }
    }
}
