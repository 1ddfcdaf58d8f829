//! What a file's nodes compute, said in few words.

use super::window::{Pads, Square};
use crate::{ops::Activation, weights::entry::Entry};
use std::rc::Rc;

/// What is computed in a step of another's; places are those of [`Layers::steps`].
#[derive(Clone)]
pub(super) enum Kind<'a> {
    /// The images, as they come or as nodes before the first convolution have prepared them.
    Image {
        prepared: bool,
    },
    Conv {
        input: usize,
        conv: Conv<'a>,
    },
    MaxPool {
        input: usize,
        window: Square,
    },
    AveragePool {
        input: usize,
        window: Square,
    },
    Pad {
        input: usize,
        pads: Pads,
        fill: Fill,
    },
    Activation {
        input: usize,
        activation: Activation,
    },
    Sigmoid {
        input: usize,
    },
    Silu {
        input: usize,
    },
    Sum([usize; 2]),
    /// Over the pixels.
    Mean {
        input: usize,
    },
    Linear {
        input: usize,
        linear: Linear<'a>,
    },
}

/// What is put around an image.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Fill {
    Zeros,
    /// What is at the edge, again.
    Edge,
    Other,
}

/// A convolution, and what is done to its channels behind it.
#[derive(Clone)]
pub(super) struct Conv<'a> {
    /// The step of the convolution alone.
    pub first: usize,
    pub weight: Rc<Entry<'a>>,
    pub window: Square,
    pub groups: usize,
    pub norm: Norm,
}

/// What follows a convolution channel by channel.
#[derive(Clone)]
pub(super) enum Norm {
    Affine {
        scale: Vec<f64>,
        shift: Vec<f64>,
    },
    /// Scale, offset, mean and variance.
    Statistics {
        tensors: [Vec<f32>; 4],
        eps: f32,
    },
}

impl Norm {
    /// And then scaled and shifted.
    pub(super) fn then(&self, by: &[f64], plus: &[f64]) -> Self {
        let (scale, shift) = self.affine();
        let shift = shift.iter().zip(by.iter().zip(plus)).map(|(shift, (by, plus))| shift * by + plus);
        Norm::Affine { shift: shift.collect(), scale: scale.iter().zip(by).map(|(scale, by)| scale * by).collect() }
    }

    /// As scale and shift.
    pub(super) fn affine(&self) -> (Vec<f64>, Vec<f64>) {
        match self {
            Norm::Affine { scale, shift } => (scale.clone(), shift.clone()),
            Norm::Statistics { tensors: [gamma, beta, mean, var], eps } => {
                let scale = |(gamma, var): (&f32, &f32)| f64::from(*gamma) / (f64::from(*var) + f64::from(*eps)).sqrt();
                let scales: Vec<f64> = gamma.iter().zip(var).map(scale).collect();
                let shift = |((beta, mean), scale): ((&f32, &f32), &f64)| f64::from(*beta) - f64::from(*mean) * scale;
                let shifts = beta.iter().zip(mean).zip(&scales).map(shift).collect();
                (scales, shifts)
            }
        }
    }
}

/// The last layer.
#[derive(Clone)]
pub(super) struct Linear<'a> {
    pub weight: Rc<Entry<'a>>,
    /// Whether the weight is `[features, classes]`.
    pub features_first: bool,
    pub bias: Option<Vec<f32>>,
}

impl Linear<'_> {
    pub(super) fn classes(&self) -> usize {
        self.weight.shape.get(usize::from(self.features_first)).copied().unwrap_or(0)
    }
}

/// A step, and the size of what comes out.
pub(super) struct Step<'a> {
    pub kind: Kind<'a>,
    pub size: [usize; 2],
    pub channels: usize,
}

/// The steps of a file.
pub(super) struct Layers<'a> {
    pub steps: Vec<Step<'a>>,
    /// The step that each output is.
    pub outputs: Vec<usize>,
    /// The first operator that is none of these networks'.
    pub stranger: Option<&'a str>,
    /// Height and width of the images, as far as the file says.
    pub image: Option<[usize; 2]>,
}
