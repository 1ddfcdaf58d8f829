//! From a file's nodes to layers: whatever moves values about is looked through, what scales and shifts channels is folded
//! into the convolution before it.

use super::{
    FORMAT,
    file::{File, Node, Tensor},
    layers::{Fill, Kind, Layers, Step},
    numbers::{self, Numbers},
    window::{LARGEST_SIDE, Square, whole},
};
use crate::{ops::Activation, weights::error::Problem};
use std::{collections::HashMap, rc::Rc};

/// What a name of the file stands for.
#[derive(Clone)]
pub(super) enum Known<'a> {
    Constant(Rc<Tensor<'a>>),
    Numbers(Numbers),
    Step { at: usize, channels_last: bool },
}

/// Layers, while nodes are read.
pub(super) struct Reader<'a> {
    names: HashMap<&'a str, Known<'a>>,
    pub(super) steps: Vec<Step<'a>>,
    /// Of all steps.
    channels: usize,
}

/// Sides of an image of which the file does not say its size.
const SIDE: usize = 224;
/// Channels of all steps together, for each of which scale and shift are kept: some times those of a ResNet-152.
const MOST_CHANNELS: usize = 1 << 22;

impl<'a> Layers<'a> {
    pub(super) fn of(file: &File<'a>) -> Result<Self, Problem> {
        let constants = file.constants.iter();
        let names = constants.map(|(name, tensor)| (*name, Known::Constant(Rc::new(tensor.clone())))).collect();
        let mut reader = Reader { names, steps: Vec::new(), channels: 0 };
        let mut image = None;
        if let [(name, dims)] = &file.inputs[..] {
            image = reader.image(name, dims);
        }
        let mut stranger = None;
        for node in &file.nodes {
            if reader.channels > MOST_CHANNELS {
                return Err(Problem::broken(FORMAT, "it has too many layers"));
            }
            let known = reader.node(node)?;
            match (known, node.outputs.first()) {
                (Some(known), Some(output)) => drop(reader.names.insert(output, known)),
                // What comes of something strange is not to be blamed.
                (None, _) if node.inputs.iter().all(|name| name.is_empty() || reader.names.contains_key(name)) => {
                    stranger.get_or_insert(node.operator);
                }
                _ => {}
            }
        }
        let step = |name: &&str| match reader.names.get(name) {
            Some(Known::Step { at, .. }) => Some(*at),
            _ => None,
        };
        let outputs = file.outputs.iter().filter_map(step).collect();
        Ok(Layers { outputs, steps: reader.steps, stranger, image })
    }
}

impl<'a> Reader<'a> {
    /// The input, whose channels come first unless they clearly come last. Gives height and width, where they are told.
    fn image(&mut self, name: &'a str, dims: &[Option<usize>]) -> Option<[usize; 2]> {
        let &[_, a, b, c] = dims else { return None };
        let is_channels = |side: Option<usize>| matches!(side, Some(1 | 3));
        let channels_last = !is_channels(a) && is_channels(c);
        let (channels, sides) = if channels_last { (c, [a, b]) } else { (a, [b, c]) };
        let told = match sides {
            [Some(height), Some(width)] if height.max(width) <= LARGEST_SIDE => Some([height, width]),
            _ => None,
        };
        let size = told.unwrap_or([SIDE; 2]);
        let at = self.push(Kind::Image { prepared: false }, size, channels.unwrap_or(3));
        self.names.insert(name, Known::Step { at, channels_last });
        told
    }

    pub(super) fn push(&mut self, kind: Kind<'a>, size: [usize; 2], channels: usize) -> usize {
        self.channels = self.channels.saturating_add(channels);
        self.steps.push(Step { kind, size, channels });
        self.steps.len() - 1
    }

    pub(super) fn first(&mut self, kind: Kind<'a>, size: [usize; 2], channels: usize) -> Option<Known<'a>> {
        Some(Known::Step { at: self.push(kind, size, channels), channels_last: false })
    }

    fn known(&self, node: &Node<'a>, at: usize) -> Option<&Known<'a>> {
        self.names.get(node.inputs.get(at).filter(|name| !name.is_empty())?)
    }

    pub(super) fn constant(&self, node: &Node<'a>, at: usize) -> Option<Rc<Tensor<'a>>> {
        match self.known(node, at)? {
            Known::Constant(tensor) => Some(tensor.clone()),
            _ => None,
        }
    }

    fn numbers(&self, node: &Node<'a>, at: usize) -> Option<Numbers> {
        match self.known(node, at)? {
            Known::Numbers(numbers) => Some(numbers.clone()),
            Known::Constant(tensor) => {
                let (values, whole) = tensor.numbers()?;
                Numbers::new(&tensor.dims, values, whole)
            }
            Known::Step { .. } => None,
        }
    }

    pub(super) fn step(&self, node: &Node<'a>, at: usize) -> Option<(usize, bool)> {
        match self.known(node, at)? {
            Known::Step { at, channels_last } => Some((*at, *channels_last)),
            _ => None,
        }
    }

    /// A step whose channels come first, as ONNX's operators on images want it.
    pub(super) fn channels_first(&self, node: &Node<'a>) -> Option<usize> {
        self.step(node, 0).filter(|(_, channels_last)| !channels_last).map(|(at, _)| at)
    }

    /// What a node's first output is; `None` for what is none of these networks'.
    fn node(&mut self, node: &Node<'a>) -> Result<Option<Known<'a>>, Problem> {
        Ok(match node.operator {
            "Identity" | "Dropout" => self.known(node, 0).cloned(),
            "Cast" => match self.known(node, 0) {
                Some(Known::Numbers(_)) => self.sizes(node),
                other => other.cloned(),
            },
            "Constant" => constant(node),
            "Conv" => return self.conv(node),
            "BatchNormalization" => return self.batch_norm(node),
            "Gemm" | "MatMul" => return self.linear(node),
            "MaxPool" | "AveragePool" | "GlobalAveragePool" | "ReduceMean" | "Pad" => self.pool(node),
            "Relu" | "Clip" => self.activation(node).or_else(|| self.sizes(node)),
            "Flatten" | "Softmax" => self.flat(node),
            _ => match self.sizes(node) {
                Some(known) => Some(known),
                None => return self.of_steps(node),
            },
        })
    }

    /// Sums over sizes.
    fn sizes(&self, node: &Node<'a>) -> Option<Known<'a>> {
        let numbers = match (node.operator, self.known(node, 0)?) {
            ("Shape", Known::Step { at, channels_last }) => {
                let Step { size: [height, width], channels, .. } = &self.steps[*at];
                let sides =
                    if *channels_last { [1, *height, *width, *channels] } else { [1, *channels, *height, *width] };
                Numbers::integers(&sides.map(|side| side as i64))
            }
            ("Shape", Known::Numbers(numbers)) => Numbers::integers(&numbers.sizes()),
            _ => {
                let inputs: Vec<_> = (0..node.inputs.len()).map(|at| self.numbers(node, at)).collect();
                numbers::computed(node, &inputs)
            }
        };
        numbers.map(Known::Numbers)
    }

    /// What is done to one step, or to two.
    fn of_steps(&mut self, node: &Node<'a>) -> Result<Option<Known<'a>>, Problem> {
        match node.operator {
            "Transpose" => Ok(self.step(node, 0).and_then(|(at, channels_last)| {
                let turned = match (node.ints("perm")?, channels_last) {
                    ([0, 3, 1, 2], true) => false,
                    ([0, 2, 3, 1], false) => true,
                    _ => return None,
                };
                Some(Known::Step { at, channels_last: turned })
            })),
            "Reshape" | "Squeeze" => Ok(self.flat(node)),
            "Sigmoid" => Ok(self.step(node, 0).map(|(input, channels_last)| {
                let Step { size, channels, .. } = self.steps[input];
                Known::Step { at: self.push(Kind::Sigmoid { input }, size, channels), channels_last }
            })),
            "Mul" if self.step(node, 0).is_some() && self.step(node, 1).is_some() => Ok(self.silu(node)),
            "Add" | "Sum" if node.inputs.len() == 2 && self.step(node, 0).is_some() && self.step(node, 1).is_some() => {
                Ok(self.sum(node))
            }
            "Add" | "Sub" | "Mul" | "Div" => self.scaled(node),
            _ => Ok(None),
        }
    }

    fn sum(&mut self, node: &Node<'a>) -> Option<Known<'a>> {
        let ((a, of_a), (b, of_b)) = (self.step(node, 0)?, self.step(node, 1)?);
        let (size, channels) = (self.steps[a].size, self.steps[a].channels);
        if of_a != of_b || (size, channels) != (self.steps[b].size, self.steps[b].channels) {
            return None;
        }
        let at = self.push(Kind::Sum([a, b]), size, channels);
        Some(Known::Step { at, channels_last: of_a })
    }

    /// A value times its sigmoid.
    fn silu(&mut self, node: &Node<'a>) -> Option<Known<'a>> {
        let ((input, channels_last), (gate, _)) = (self.step(node, 0)?, self.step(node, 1)?);
        let Step { size, channels, .. } = self.steps[input];
        let is_own = matches!(self.steps[gate].kind, Kind::Sigmoid { input: of } if of == input);
        is_own.then(|| Known::Step { at: self.push(Kind::Silu { input }, size, channels), channels_last })
    }

    /// Behind the mean over the pixels nothing is left to be moved.
    fn flat(&self, node: &Node<'a>) -> Option<Known<'a>> {
        let (at, _) = self.step(node, 0)?;
        matches!(self.steps[at].kind, Kind::Mean { .. } | Kind::Linear { .. })
            .then_some(Known::Step { at, channels_last: false })
    }

    fn pool(&mut self, node: &Node<'a>) -> Option<Known<'a>> {
        let (input, channels_last) = self.step(node, 0)?;
        let Step { size, channels, .. } = self.steps[input];
        if node.operator == "ReduceMean" {
            let axes = node.ints("axes").map(<[i64]>::to_vec).or_else(|| self.numbers(node, 1)?.whole())?;
            let mut axes: Vec<i64> = axes.into_iter().map(|axis| axis.rem_euclid(4)).collect();
            axes.sort_unstable();
            let pixels = if channels_last { [1, 2] } else { [2, 3] };
            return (axes == pixels).then(|| self.first(Kind::Mean { input }, [1, 1], channels))?;
        }
        if node.operator == "Pad" {
            return self.pad(node);
        }
        if channels_last {
            return None;
        }
        if node.operator == "GlobalAveragePool" {
            return self.first(Kind::Mean { input }, [1, 1], channels);
        }
        let kernel: [usize; 2] = whole(node.ints("kernel_shape")?)?;
        let window = Square::of(node, kernel, size)?;
        if node.operator == "MaxPool" {
            return self.first(Kind::MaxPool { input, window }, window.output(size)?, channels);
        }
        // A window over all of the image is the mean of it.
        if kernel == size && window.pads == [[0; 2]; 2] {
            return self.first(Kind::Mean { input }, [1, 1], channels);
        }
        if node.int("count_include_pad").unwrap_or(0) != 0 && window.pads != [[0; 2]; 2] {
            return None;
        }
        self.first(Kind::AveragePool { input, window }, window.output(size)?, channels)
    }

    fn pad(&mut self, node: &Node<'a>) -> Option<Known<'a>> {
        let (input, channels_last) = self.step(node, 0)?;
        let Step { size, channels, .. } = self.steps[input];
        let values = match node.ints("pads") {
            Some(pads) => pads.to_vec(),
            None => self.numbers(node, 1)?.whole()?,
        };
        let [before, after] = [values.get(..4)?, values.get(4..)?];
        let of = |at: usize| -> Option<[usize; 2]> { whole(&[*before.get(at)?, *after.get(at)?]) };
        let axes = if channels_last { [1, 2] } else { [2, 3] };
        let overlong = values.iter().any(|&value| value > LARGEST_SIDE as i64);
        if overlong || values.len() != 8 || (0..4).any(|at| !axes.contains(&at) && of(at) != Some([0, 0])) {
            return None;
        }
        let pads = [of(axes[0])?, of(axes[1])?];
        let is_zero = match node.inputs.get(2) {
            Some(&name) if !name.is_empty() => self.numbers(node, 2)?.scalar() == Some(0.0),
            _ => node.float("value").is_none_or(|value| value == 0.0),
        };
        let fill = match node.text("mode") {
            None | Some(b"constant") if is_zero => Fill::Zeros,
            Some(b"edge") => Fill::Edge,
            _ => Fill::Other,
        };
        let grown = [0, 1].map(|axis| size[axis] + pads[axis][0] + pads[axis][1]);
        let at = self.push(Kind::Pad { input, pads, fill }, grown, channels);
        Some(Known::Step { at, channels_last })
    }

    fn activation(&mut self, node: &Node<'a>) -> Option<Known<'a>> {
        let (input, channels_last) = self.step(node, 0)?;
        let mut activation = Activation::Relu;
        if node.operator == "Clip" {
            let mut bounds = [node.float("min"), node.float("max")];
            for (at, bound) in bounds.iter_mut().enumerate() {
                if let Some(numbers) = self.numbers(node, 1 + at) {
                    *bound = numbers.scalar().map(|bound| bound as f32);
                }
            }
            activation = match bounds {
                [Some(0.0), Some(6.0)] => Activation::Relu6,
                [Some(0.0), None | Some(f32::INFINITY)] => Activation::Relu,
                _ => return None,
            };
        }
        let Step { size, channels, .. } = self.steps[input];
        let at = self.push(Kind::Activation { input, activation }, size, channels);
        Some(Known::Step { at, channels_last })
    }
}

/// A constant that stands in a node of its own.
fn constant<'a>(node: &Node<'a>) -> Option<Known<'a>> {
    if let Some(tensor) = node.tensor("value") {
        return Some(Known::Constant(Rc::new(tensor.clone())));
    }
    let numbers = match (node.int("value_int"), node.ints("value_ints"), node.float("value_float")) {
        (Some(value), ..) => Numbers::new(&[], vec![value as f64], true),
        (_, Some(values), _) => Numbers::integers(values),
        (.., Some(value)) => Numbers::new(&[], vec![value.into()], false),
        _ => None,
    };
    numbers.map(Known::Numbers)
}
