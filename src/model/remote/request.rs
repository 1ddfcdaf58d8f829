//! What a client calls for. Things on the server go by numbers that the client gives them.

use crate::{
    data::Normalisation,
    device::remote::Content,
    model::{Frozen, Learning, ParameterGroups, tensors::Wanted},
    ops::{
        self, Implementation, Storage,
        optimizers::Update,
        resident::Elsewhere,
        sample::{Rules, SampleParams},
    },
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A call, with what it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::model) enum Request {
    /// A network from its specification as JSON, and the values of its tensors in PyTorch's layout.
    Load {
        network: u64,
        spec: String,
        ops: Implementation,
        tensors: Vec<Floats>,
    },
    /// [`Values`]: the tensors of a network.
    Export {
        network: u64,
    },
    /// [`Values`]: logits of the images, features of them, or both.
    Look {
        network: u64,
        batch: Batch,
        storage: Storage,
        wanted: Wanted,
    },
    /// A learner that starts from a network.
    Learn {
        learner: u64,
        network: u64,
    },
    /// The network of a learner as it is, under a number of its own.
    Network {
        learner: u64,
        network: u64,
        averaged: bool,
    },
    /// A network or a learner that is needed no more.
    Forget(u64),
    /// An update.
    Step {
        learner: u64,
        batch: Batch,
        lesson: Lesson,
    },
    /// [`Sums`] since the last time.
    Metrics(u64),
    /// [`State`]
    Status(u64),
    SetStatus(u64, State),
    KeepLosses(u64),
    /// [`Values`]: of each step since.
    TakeLosses(u64),
    /// [`Named`]
    States(u64),
    Restore {
        learner: u64,
        states: Named,
        frozen: Frozen,
    },
    /// [`GradientsThere`]
    Gradients {
        learner: u64,
        batch: Batch,
        lesson: Lesson,
    },
    /// [`Named`]: what each layer puts out.
    Trace {
        learner: u64,
        batch: Batch,
        storage: Storage,
    },
}

/// Tensors in an order that both sides know.
pub(in crate::model) type Values = Vec<Floats>;
/// Tensors by name.
pub(in crate::model) type Named = Vec<(String, Floats)>;
/// The numbers of a [`Status`](ops::optimizers::Status).
pub(in crate::model) type State = [f32; 5];
/// Of losses and hits, and how updates stand.
pub(in crate::model) type Sums = ([f32; 2], State);
/// Loss, scale, and the gradients of the parameters that learn.
pub(in crate::model) type GradientsThere = (f32, f32, Values);

/// [`Learning`], but for class weights that are those of the step before.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::model) struct Lesson {
    pub storage: Storage,
    pub smoothing: f32,
    pub class_weights: ClassWeights,
    pub frozen: Frozen,
    pub groups: ParameterGroups,
    pub update: Update,
}

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::model) enum ClassWeights {
    None,
    Same,
    New(Floats),
}

impl Lesson {
    pub(in crate::model) fn of(learning: &Learning, class_weights: ClassWeights) -> Self {
        let &Learning { storage, smoothing, frozen, groups, ref update, .. } = learning;
        Self { storage, smoothing, class_weights, frozen, groups, update: update.clone() }
    }
}

/// A batch: what is done to its images, and they themselves.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::model) struct Batch {
    pub pixels: Pixels,
    pub samples: Vec<SampleParams>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::model) enum Pixels {
    /// `[N, H, W, C]`, with everything done to them.
    Values(Floats, [usize; 4]),
    /// To be made there, of images of this height, width and channels.
    Made { images: Images, size: [usize; 2], channels: usize, rules: RulesOf },
}

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::model) enum Images {
    /// That the server has.
    Kept(Content),
    Sent(serde_bytes::ByteBuf),
}

/// What [`Rules`] are made of.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::model) struct RulesOf {
    pub output: [usize; 2],
    pub reflect: bool,
    pub normalisation: Normalisation,
}

impl Batch {
    pub(in crate::model) fn of(batch: &ops::Batch) -> Self {
        let pixels = match batch.pixels {
            ops::Pixels::Values(values, shape) => Pixels::Values(Floats(values.to_vec()), shape),
            ops::Pixels::Bytes { images, rules } => {
                let Rules { output, reflect, ref normalisation, .. } = *rules;
                let Elsewhere { bytes, size, channels } = images.elsewhere();
                let images = match bytes {
                    ops::resident::There::Kept(content) => Images::Kept(*content),
                    ops::resident::There::Sent(bytes) => Images::Sent(serde_bytes::ByteBuf::from(&bytes[..])),
                };
                let rules = RulesOf { output, reflect, normalisation: normalisation.clone() };
                Pixels::Made { images, size: *size, channels: *channels, rules }
            }
        };
        Self { pixels, samples: batch.samples.to_vec() }
    }
}

/// Floats, which travel as their bytes in little-endian order.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::model) struct Floats(pub Vec<f32>);

impl Serialize for Floats {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if cfg!(target_endian = "little") {
            return to.serialize_bytes(bytemuck::cast_slice(&self.0));
        }
        to.serialize_bytes(&self.0.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
    }
}

impl<'a> Deserialize<'a> for Floats {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        let bytes = <&serde_bytes::Bytes>::deserialize(from)?;
        let (values, []) = bytes.as_chunks::<4>() else {
            return Err(de::Error::invalid_length(bytes.len(), &"a multiple of 4 bytes"));
        };
        Ok(Self(values.iter().map(|value| f32::from_le_bytes(*value)).collect()))
    }
}
