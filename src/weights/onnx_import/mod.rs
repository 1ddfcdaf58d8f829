//! ONNX: the network in a graph that some program exported.
//!
//! Names say little there and batch normalisations are mostly folded into the convolutions, so the network is known by how
//! it is wired: what the nodes compute is said in few words ([`layers`]), and held against the graph of every network that
//! has convolutions of these sizes ([`wiring`]). Strides and padding are thereby those of the file. A file of Kindling's own
//! says in its metadata what it is.

mod channels;
mod file;
mod layers;
mod numbers;
mod reader;
#[cfg(test)]
mod tests;
mod window;
mod wiring;

use self::{
    file::File,
    layers::{Conv, Kind, Layers, Linear, Norm},
    wiring::Wiring,
};
use super::{
    HostTensor, ModelCard, StateDict,
    entry::Entry,
    error::Problem,
    foreign::{describe, of_kind},
    imported::{Backbone, ImportOptions, Imported, Pretrained},
    kinds,
    report::{ImportReport, Placed},
    safetensors::CARD_KEY,
};
use crate::{
    model::{
        ModelSpec, Padding, Stem,
        families::Images,
        graph::Layer,
        spec::{ARCHITECTURES, Role},
    },
    text,
};
use std::collections::HashSet;

const FORMAT: &str = "ONNX";

/// The network in a file.
pub(super) fn read(bytes: &[u8], options: &ImportOptions) -> Result<Pretrained, Problem> {
    let file = file::parse(bytes)?;
    let card = card(&file)?;
    let layers = Layers::of(&file)?;
    let (features, linear) = ends(&layers).ok_or_else(|| refusal(&file, &layers, None))?;
    if card.is_none() && layers.steps.iter().any(|step| matches!(step.kind, Kind::Image { prepared: true })) {
        return Err(Problem::Unsupported(
            "an ONNX file that normalises images itself; export the network without it, for images that are normalised"
                .into(),
        ));
    }
    let (mut spec, convs) = network(&file, &layers, features, card.as_ref(), options)?;
    let head = linear.filter(|linear| linear.classes() >= 2);

    let mut found =
        Found { room: bytes.len().saturating_mul(4), tensors: StateDict::new(), placed: Vec::new(), notes: Vec::new() };
    found.take_epsilon(&mut spec, &convs);
    for (layer, conv) in spec.graph().layers.iter().zip(convs) {
        found.layer(layer, conv, spec.bn_eps)?;
    }
    if let Some(linear) = head {
        spec.classes = linear.classes();
        spec = spec.validate().map_err(|error| Problem::NotANetwork(error.to_string()))?;
        found.head(&spec, linear)?;
    }
    if card.is_none() && spec.conventions().images == Images::Caffe {
        found.turn_colours(&spec);
    }
    let Found { tensors, placed, mut notes, .. } = found;
    let report = |spec: &ModelSpec, notes| ImportReport {
        format: FORMAT,
        family: None,
        model: spec.to_string(),
        parameters: spec.parameters(),
        padding: spec.padding,
        placed,
        left: Vec::new(),
        notes,
    };
    if head.is_none() {
        let fault = String::from("is missing, or has a single output");
        notes.push(format!("the head {fault}"));
        let mut report = report(&spec, notes);
        report.model = format!("{}, without a head", spec.backbone());
        report.parameters -= spec.classes * (spec.features() + 1);
        return Ok(Pretrained::Backbone(Backbone { spec, tensors, report, fault }));
    }
    let card = match card {
        Some(card) => ModelCard { spec, ..card },
        None => describe(spec, options, &mut notes),
    };
    let card = card.validate().map_err(|error| Problem::broken(FORMAT, error.to_string()))?;
    let report = report(&card.spec, notes);
    Ok(Pretrained::Network(Imported { card, tensors, report }))
}

/// What one of Kindling's own files says of itself.
fn card(file: &File<'_>) -> Result<Option<ModelCard>, Problem> {
    let Some(text) = file.metadata.get(CARD_KEY) else { return Ok(None) };
    let card: ModelCard = serde_json::from_str(text).map_err(|error| Problem::broken(FORMAT, error.to_string()))?;
    card.validate().map(Some).map_err(|error| Problem::broken(FORMAT, error.to_string()))
}

/// The step that the head reads, and the head, of the first output that has one.
fn ends<'l, 'a>(layers: &'l Layers<'a>) -> Option<(usize, Option<&'l Linear<'a>>)> {
    let mean = |at: usize| match layers.steps[at].kind {
        Kind::Mean { input } => Some(input),
        _ => None,
    };
    let of = |&at: &usize| match &layers.steps[at].kind {
        Kind::Linear { input, linear } => Some((mean(*input)?, Some(linear))),
        _ => Some((mean(at)?, None)),
    };
    layers.outputs.iter().find_map(of)
}

/// Which network it is, and the convolution of each of its layers.
fn network<'l, 'a>(
    file: &File<'_>,
    layers: &'l Layers<'a>,
    features: usize,
    card: Option<&ModelCard>,
    options: &ImportOptions,
) -> Result<(ModelSpec, Vec<&'l Conv<'a>>), Problem> {
    let mut fault = None;
    for spec in candidates(layers, card) {
        let size = match card {
            Some(card) => [card.preprocessing.height, card.preprocessing.width],
            None => layers.image.unwrap_or([spec.conventions().side; 2]),
        };
        match Wiring::new(layers, &spec, size).convs(features) {
            Ok(convs) => {
                let wanted = options.architecture.as_ref().filter(|&wanted| *wanted != spec.architecture);
                return match wanted {
                    None => Ok((spec, convs)),
                    Some(wanted) => Err(Problem::NotANetwork(format!(
                        "the file holds {}, not {}",
                        spec.backbone(),
                        text::foreign(wanted)
                    ))),
                };
            }
            Err(different) => {
                fault.get_or_insert(format!("it is like {}, but {different}", spec.backbone()));
            }
        }
    }
    Err(refusal(file, layers, fault))
}

/// The networks whose convolutions have the sizes of the file's, with each way to pad.
fn candidates(layers: &Layers<'_>, card: Option<&ModelCard>) -> Vec<ModelSpec> {
    if let Some(card) = card {
        return vec![card.spec.clone()];
    }
    let convs = layers.steps.iter().filter_map(|step| match &step.kind {
        Kind::Conv { conv, .. } => Some(conv),
        _ => None,
    });
    // What was scaled or shifted is there again.
    let mut convs: Vec<_> = convs.map(|conv| (conv.first, conv.weight.shape.as_slice())).collect();
    convs.sort_unstable();
    convs.dedup();
    let mut sizes: Vec<&[usize]> = convs.into_iter().map(|(_, shape)| shape).collect();
    sizes.sort_unstable();
    let channels = layers.steps.first().map_or(3, |step| step.channels);
    let stems = [None, Some(Stem::Cifar)];
    let named = ARCHITECTURES
        .iter()
        .flat_map(|name| stems.into_iter().filter_map(move |stem| ModelSpec::named(name, stem, channels, 2).ok()));
    let fits = |spec: &ModelSpec| {
        let tensors = spec.tensors().into_iter().filter(|info| info.role == Role::ConvWeight);
        let mut own: Vec<_> = tensors.map(|info| info.shape).collect();
        own.sort_unstable();
        own == sizes
    };
    // The usual way first: of images of some sizes two ways are one.
    let all = named.filter(fits).flat_map(|spec| {
        [spec.padding, Padding::Torch, Padding::Same, Padding::SamePool]
            .map(|padding| spec.clone().with_padding(padding))
    });
    all.collect()
}

/// The tensors of a network, while they are put together.
struct Found {
    /// Bytes that weights may still take. Exporters store equal tensors once, so it is somewhat more than the file has.
    room: usize,
    tensors: StateDict,
    placed: Vec<Placed>,
    notes: Vec<String>,
}

impl Found {
    /// The epsilon of all normalisations, where the file still has them.
    fn take_epsilon(&mut self, spec: &mut ModelSpec, convs: &[&Conv<'_>]) {
        let mut all = convs.iter().map(|conv| match conv.norm {
            Norm::Statistics { eps, .. } => Some(eps),
            Norm::Affine { .. } => None,
        });
        let first = all.next().flatten().filter(|&eps| eps > 0.0 && eps < 1.0);
        match first.filter(|&eps| all.all(|other| other == Some(eps))) {
            // As it is written, not as 32 bits have it.
            Some(eps) => spec.bn_eps = eps.to_string().parse().unwrap_or(spec.bn_eps),
            None => self.notes.push("normalisations are folded into the convolutions, and stay so".into()),
        }
    }

    /// A tensor's values, and a line for the report.
    fn values(&mut self, entry: &Entry<'_>, to: &str) -> Result<Vec<f32>, Problem> {
        let size = entry.count().checked_mul(entry.dtype.size());
        let room = size.and_then(|size| self.room.checked_sub(size));
        self.room =
            room.ok_or_else(|| Problem::broken(FORMAT, "its layers are larger than the file that holds them"))?;
        self.placed.push(Placed::new(entry, vec![to.to_owned()]));
        entry.to_f32().ok_or_else(|| {
            let name = text::foreign(&entry.name);
            Problem::Unsupported(format!("`{name}` is stored as {}, which is not read as a weight", entry.dtype))
        })
    }

    fn layer(&mut self, layer: &Layer, conv: &Conv<'_>, bn_eps: f64) -> Result<(), Problem> {
        let name = format!("{}.weight", layer.conv);
        let data = self.values(&conv.weight, &name)?;
        self.tensors.insert(name, HostTensor { shape: conv.weight.shape.clone(), data });
        let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        let tensors = match &conv.norm {
            Norm::Statistics { tensors, eps } if f64::from(*eps) as f32 == bn_eps as f32 => tensors.clone(),
            // Such that scale and offset alone do something.
            other => {
                let (scale, shift) = other.affine();
                [narrow(scale), narrow(shift), vec![0.0; layer.output], vec![(1.0 - bn_eps) as f32; layer.output]]
            }
        };
        for (leaf, data) in ["weight", "bias", "running_mean", "running_var"].into_iter().zip(tensors) {
            self.tensors.insert(format!("{}.{leaf}", layer.bn), HostTensor { shape: vec![layer.output], data });
        }
        Ok(())
    }

    fn head(&mut self, spec: &ModelSpec, linear: &Linear<'_>) -> Result<(), Problem> {
        let [weight, bias] = spec.head_tensors();
        let (classes, features) = (spec.classes, spec.features());
        let mut data = self.values(&linear.weight, &weight)?;
        if linear.features_first {
            data = (0..data.len()).map(|at| data[at % features * classes + at / features]).collect();
        }
        self.tensors.insert(weight, HostTensor { shape: vec![classes, features], data });
        let zeros = || vec![0.0; classes];
        let data = linear.bias.clone().unwrap_or_else(zeros);
        self.tensors.insert(bias, HostTensor { shape: vec![classes], data });
        Ok(())
    }

    /// Has the first convolution see red first, where it was taught blue first.
    fn turn_colours(&mut self, spec: &ModelSpec) {
        let first = spec.graph().layers.first().map(|layer| format!("{}.weight", layer.conv));
        let Some(conv) = first.and_then(|name| self.tensors.get_mut(&name)) else { return };
        let &[_, channels, height, width] = conv.shape.as_slice() else { return };
        for filter in conv.data.chunks_exact_mut((channels * height * width).max(1)) {
            let colours: Vec<f32> = filter.chunks_exact(height * width).rev().flatten().copied().collect();
            filter.copy_from_slice(&colours);
        }
        self.notes.push("the network was taught blue first, as Caffe's; its first convolution was turned round".into());
    }
}

/// Why a file is not read, and what it is.
fn refusal(file: &File<'_>, layers: &Layers<'_>, fault: Option<String>) -> Problem {
    if let Some(kind) = kind(file) {
        return of_kind(kind);
    }
    let count = |operator: &str| file.nodes.iter().filter(|node| node.operator == operator).count();
    let size = format!("an ONNX file of {} nodes, {} of them convolutions", file.nodes.len(), count("Conv"));
    let names = file.constants.keys().filter_map(|name| Entry::unread((*name).to_owned(), "", Vec::new()).ok());
    let why = match (fault, layers.stranger, kinds::of(&names.collect::<Vec<_>>())) {
        (Some(fault), ..) => fault,
        (None, Some(stranger), kind) => {
            let kind = kind.map(|kind| format!("; its tensors are called like those of {kind}")).unwrap_or_default();
            format!("no network that is read has a `{}` there{kind}", text::foreign(stranger))
        }
        (None, None, Some(kind)) => return of_kind(kind),
        (None, None, None) => "its layers are those of no network that is read".into(),
    };
    Problem::NotANetwork(format!("{size}: {why}"))
}

/// Whether some sum of branches is normalised: elsewhere only what a convolution gives is.
fn normalises_sums(file: &File<'_>) -> bool {
    let of = |operator: &'static str| file.nodes.iter().filter(move |node| node.operator == operator);
    let sums: HashSet<_> = of("Add").filter_map(|sum| sum.outputs.first()).collect();
    of("BatchNormalization").any(|normal| normal.inputs.first().is_some_and(|input| sums.contains(input)))
}

/// What a network is by its operators.
fn kind(file: &File<'_>) -> Option<&'static str> {
    let count = |operators: &[&str]| file.nodes.iter().filter(|node| operators.contains(&node.operator)).count();
    let any = |operators: &[&str]| count(operators) > 0;
    let convs = count(&["Conv"]);
    // The head's, and no others.
    let products = count(&["Gemm", "MatMul"]);
    Some(match () {
        () if any(&["QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger"]) => "a quantised network",
        () if any(&["LSTM", "GRU", "RNN"]) => "a recurrent network",
        () if any(&["NonMaxSuppression"]) => "a detector",
        () if any(&["Resize", "Upsample", "ConvTranspose"]) => {
            "a network whose images grow again, as a U-Net's or a detector's"
        }
        () if products > 8 && any(&["Softmax"]) && convs <= 8 => "a transformer",
        () if any(&["LayerNormalization", "Erf", "Gelu"]) && convs > 8 => "a ConvNeXt, or another network with GELU",
        () if any(&["HardSwish", "HardSigmoid"]) => "a MobileNetV3",
        () if any(&["Sigmoid"]) && count(&["ReduceMean", "GlobalAveragePool"]) > 1 => {
            match any(&["ReduceMax", "GlobalMaxPool"]) {
                true => "a network with CBAM's attention",
                false => "a network with squeeze-and-excitation",
            }
        }
        () if any(&["Sigmoid"]) => "a network with SiLU",
        () if any(&["Concat"]) && convs > 8 && !any(&["Pad"]) => {
            "a network whose branches are joined, as a DenseNet's or an Inception's"
        }
        () if file.nodes.iter().any(|node| node.operator == "Pad" && node.text("mode") == Some(b"reflect")) => {
            "a network that blurs where a plain one strides (BlurPool)"
        }
        () if normalises_sums(file) => "a ResNet that normalises before its convolutions (pre-activation)",
        () => return None,
    })
}
