//! What is done to channels: convolutions, what scales and shifts them behind it, and the last layer.

use super::{
    file::{Node, Tensor},
    layers::{Conv, Kind, Linear, Norm, Step},
    reader::{Known, Reader},
    window::Square,
};
use crate::weights::error::Problem;
use std::rc::Rc;

impl<'a> Reader<'a> {
    /// A step and a constant, channel by channel.
    pub(super) fn scaled(&mut self, node: &Node<'a>) -> Result<Option<Known<'a>>, Problem> {
        let (step, constant) = match (self.step(node, 0), self.step(node, 1)) {
            (Some(step), None) => (step, self.constant(node, 1)),
            (None, Some(step)) if matches!(node.operator, "Add" | "Mul") => (step, self.constant(node, 0)),
            _ => return Ok(None),
        };
        let ((at, channels_last), Some(constant)) = (step, constant) else { return Ok(None) };
        let channels = self.steps[at].channels;
        let last = channels_last || matches!(self.steps[at].kind, Kind::Linear { .. });
        let Some(values) = per_channel(&constant, channels, last)? else { return Ok(None) };
        let (by, plus): (Vec<f64>, Vec<f64>) = values
            .iter()
            .map(|&value| match node.operator {
                "Add" => (1.0, value),
                "Sub" => (1.0, -value),
                "Mul" => (value, 0.0),
                _ => (1.0 / value, 0.0),
            })
            .unzip();
        let Step { kind, size, .. } = &self.steps[at];
        let kind = match kind {
            Kind::Image { .. } => Kind::Image { prepared: true },
            Kind::Conv { input, conv } => {
                Kind::Conv { input: *input, conv: Conv { norm: conv.norm.then(&by, &plus), ..conv.clone() } }
            }
            Kind::Linear { input, linear } if node.operator == "Add" && linear.bias.is_none() => {
                let bias = Some(plus.iter().map(|&value| value as f32).collect());
                Kind::Linear { input: *input, linear: Linear { bias, ..linear.clone() } }
            }
            _ => return Ok(None),
        };
        let at = self.push(kind, *size, channels);
        Ok(Some(Known::Step { at, channels_last }))
    }

    pub(super) fn conv(&mut self, node: &Node<'a>) -> Result<Option<Known<'a>>, Problem> {
        let (Some(input), Some(weight)) = (self.channels_first(node), self.constant(node, 1)) else { return Ok(None) };
        let weight = weight.entry()?;
        let (&[output, of_group, height, width], Step { size, channels, .. }) =
            (weight.shape.as_slice(), &self.steps[input])
        else {
            return Ok(None);
        };
        let groups = node.int("group").map_or(Some(1), |groups| usize::try_from(groups).ok());
        let fits = |groups: usize| groups > 0 && of_group.checked_mul(groups) == Some(*channels);
        let Some(groups) = groups.filter(|&groups| fits(groups)) else { return Ok(None) };
        let Some(window) = Square::of(node, [height, width], *size) else { return Ok(None) };
        let Some(size) = window.output(*size) else { return Ok(None) };
        let shift = match node.inputs.get(2).filter(|name| !name.is_empty()) {
            None => vec![0.0; output],
            Some(_) => match self.constant(node, 2).map(|bias| per_channel(&bias, output, true)).transpose()?.flatten()
            {
                Some(bias) => bias,
                None => return Ok(None),
            },
        };
        let norm = Norm::Affine { scale: vec![1.0; output], shift };
        let conv = Conv { first: self.steps.len(), weight: Rc::new(weight), window, groups, norm };
        Ok(self.first(Kind::Conv { input, conv }, size, output))
    }

    pub(super) fn batch_norm(&mut self, node: &Node<'a>) -> Result<Option<Known<'a>>, Problem> {
        let learns = node.int("training_mode").is_some_and(|mode| mode != 0);
        let Some(at) = self.channels_first(node).filter(|_| !learns) else { return Ok(None) };
        let channels = self.steps[at].channels;
        let mut tensors = Vec::new();
        for input in 1..5 {
            let values = match self.constant(node, input) {
                Some(constant) => per_channel(&constant, channels, true)?,
                None => None,
            };
            let Some(values) = values else { return Ok(None) };
            tensors.push(values.into_iter().map(|value| value as f32).collect());
        }
        let (Kind::Conv { input, conv }, Ok(mut tensors)) = (&self.steps[at].kind, <[Vec<f32>; 4]>::try_from(tensors))
        else {
            return Ok(None);
        };
        let eps = node.float("epsilon").unwrap_or(1e-5);
        let norm = match &conv.norm {
            // A bias of the convolution is a part of the mean.
            Norm::Affine { scale, shift } if scale.iter().all(|&scale| scale == 1.0) => {
                tensors[2].iter_mut().zip(shift).for_each(|(mean, shift)| *mean -= *shift as f32);
                Norm::Statistics { tensors, eps }
            }
            other => {
                let (by, plus) = Norm::Statistics { tensors, eps }.affine();
                other.then(&by, &plus)
            }
        };
        let kind = Kind::Conv { input: *input, conv: Conv { norm, ..conv.clone() } };
        Ok(self.first(kind, self.steps[at].size, channels))
    }

    pub(super) fn linear(&mut self, node: &Node<'a>) -> Result<Option<Known<'a>>, Problem> {
        let (Some((input, _)), Some(weight)) = (self.step(node, 0), self.constant(node, 1)) else { return Ok(None) };
        let plain =
            [node.float("alpha"), node.float("beta")].iter().all(|factor| factor.is_none_or(|factor| factor == 1.0));
        let is_mean = matches!(self.steps[input].kind, Kind::Mean { .. });
        if !plain || !is_mean || weight.dims.len() != 2 || node.int("transA").is_some_and(|turned| turned != 0) {
            return Ok(None);
        }
        let features_first = node.int("transB").unwrap_or(0) == 0;
        let weight = Rc::new(weight.entry()?);
        let mut linear = Linear { weight, features_first, bias: None };
        let (classes, features) = (linear.classes(), linear.weight.shape[usize::from(!features_first)]);
        if features != self.steps[input].channels {
            return Ok(None);
        }
        if let Some(bias) = self.constant(node, 2) {
            let Some(bias) = per_channel(&bias, classes, true)? else { return Ok(None) };
            linear.bias = Some(bias.into_iter().map(|value| value as f32).collect());
        }
        Ok(self.first(Kind::Linear { input, linear }, [1, 1], classes))
    }
}

/// The values of a constant for each of so many channels: one for all, or one for each along the last dimension, or else
/// along the third from the end.
fn per_channel(constant: &Tensor<'_>, channels: usize, last: bool) -> Result<Option<Vec<f64>>, Problem> {
    let sides = &constant.dims;
    let count = sides.iter().try_fold(1usize, |count, &side| count.checked_mul(side));
    let place = if last { sides.len().checked_sub(1) } else { sides.len().checked_sub(3) };
    let along = sides.iter().enumerate().all(|(at, &side)| side == 1 || Some(at) == place);
    if !(count == Some(1) || count == Some(channels) && along) {
        return Ok(None);
    }
    let Some(values) = constant.entry()?.to_f32() else { return Ok(None) };
    let value = |channel: usize| values.get(if values.len() == 1 { 0 } else { channel }).map(|&value| f64::from(value));
    Ok((0..channels).map(value).collect())
}
