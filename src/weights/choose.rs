//! Which network of a file is read: where it hangs in the names, which of two, and what its head is.
//!
//! A script keeps a network under whatever names its classes have (`cnn.`, `module.encoder_q.`), and often the running
//! average of the weights beside it. What all names of a ResNet have before them is therefore not looked up in a list:
//! any place counts under which a ResNet's first convolution and its first block are.

use super::{
    entry::Entry,
    inverted,
    locate::{Located, WRAPPERS, is_stage, locate},
    names::{Meaning, Traits},
    tensor::shape_text,
};
use crate::text;
use std::{borrow::Cow, collections::HashMap};

/// Words for a running average of weights, which training evaluates and publishes.
const AVERAGES: [&str; 6] = ["ema", "swa", "average", "averaged", "avg", "teacher"];

/// Far more networks than a script keeps in a file.
const MOST_NETWORKS: usize = 16;

/// What `torch.nn.Sequential(*resnet.children())` calls the parts of torchvision's network.
const CHILDREN: [(&str, &str); 7] =
    [("0", "conv1"), ("1", "bn1"), ("4", "layer1"), ("5", "layer2"), ("6", "layer3"), ("7", "layer4"), ("9", "fc")];

/// The tensors of a file, told apart.
pub(crate) struct Chosen<'e, 'a> {
    /// Each with its name within the network.
    pub parts: Vec<(&'e Entry<'a>, String)>,
    /// The layers of the head.
    pub head: Vec<(&'e Entry<'a>, HeadPart)>,
    /// What is no part of the network, with the reason.
    pub left: Vec<(&'e Entry<'a>, Reason)>,
    /// What was decided, for the report.
    pub note: Option<String>,
}

/// Which tensor of the head an entry is.
pub(crate) struct HeadPart {
    layer: String,
    leaf: String,
    /// Its name within the network.
    pub rest: String,
}

/// Why a tensor is no part of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// For a reason of its own, such as being a counter.
    Ignored(&'static str),
    /// It is one of another network in the file.
    OfAnother,
    /// Its name is none of a ResNet's. `in_block`: it stands inside a block, where something is added to the network.
    Unknown { in_block: bool },
}

/// Tells the tensors of a file apart.
pub(crate) fn choose<'e, 'a>(entries: &'e [Entry<'a>]) -> Chosen<'e, 'a> {
    let mut names: Vec<Cow<'_, str>> = entries.iter().map(|entry| Cow::Borrowed(entry.name.as_str())).collect();
    let locate_all = |names: &[Cow<'_, str>]| names.iter().map(|name| locate(name)).collect();
    let mut located: Vec<Located> = locate_all(&names);
    let mut places = Places::of(entries, &located);
    if places.networks.is_empty() && (rename_children(entries, &mut names) || inverted::rename(&mut names)) {
        located = locate_all(&names);
        places = Places::of(entries, &located);
    }
    let (chosen, note) = places.best();
    let is_one = |prefix: &str| places.networks.iter().any(|network| network.prefix == prefix);
    // A network that is a part of a larger one has its head there: `backbone.conv1` and `head`.
    let head_of = |prefix: &str| {
        let above = |other: &str| chosen.starts_with(other) && (other == chosen || !is_one(other));
        above(prefix).then_some(prefix.len())
    };
    // Where blocks are numbered among `features`, whatever else is in these is a part of them.
    let of_features = |located: &Located| match located {
        Located::In { prefix, rest } => *prefix == chosen && rest.starts_with("features."),
        _ => false,
    };
    let has_features = located.iter().any(of_features);
    let mut told = Chosen { parts: Vec::new(), head: Vec::new(), left: Vec::new(), note };
    let mut heads: Vec<(usize, &Entry<'a>, HeadPart)> = Vec::new();
    for ((entry, name), located) in entries.iter().zip(&names).zip(located) {
        match located {
            Located::Ignored(reason) => told.left.push((entry, Reason::Ignored(reason))),
            Located::In { prefix, rest } => match Traits::default().read(&rest) {
                Meaning::Head { layer, leaf } => match head_of(&prefix) {
                    Some(depth) => heads.push((depth, entry, HeadPart { layer, leaf, rest })),
                    None => told.left.push((entry, Reason::OfAnother)),
                },
                _ if prefix == chosen => told.parts.push((entry, rest)),
                _ if is_one(&prefix) => told.left.push((entry, Reason::OfAnother)),
                _ => told.left.push((entry, Reason::Unknown { in_block: false })),
            },
            Located::Unknown => {
                let inner = name.strip_prefix(chosen.as_str());
                let first = inner.and_then(|rest| rest.split('.').find(|word| !WRAPPERS.contains(word)));
                let in_block = first.is_some_and(|word| is_stage(word) || has_features && word == "features");
                told.left.push((entry, Reason::Unknown { in_block }));
            }
        }
    }
    // The nearest head is the network's.
    let nearest = heads.iter().map(|(depth, ..)| *depth).max();
    for (depth, entry, part) in heads {
        match Some(depth) == nearest {
            true => told.head.push((entry, part)),
            false => told.left.push((entry, Reason::Unknown { in_block: false })),
        }
    }
    told
}

/// A place under which there is a whole network, or what comes nearest to one.
struct Place<'e> {
    prefix: String,
    /// Names within the network, sorted, with the shapes.
    tensors: Vec<(String, &'e [usize])>,
}

impl Place<'_> {
    fn is_average(&self) -> bool {
        let prefix = self.prefix.to_ascii_lowercase();
        prefix.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| AVERAGES.contains(&word))
    }

    /// The place without its last full stop, fit for a message.
    fn shown(&self) -> String {
        text::foreign(self.prefix.trim_end_matches('.'))
    }
}

struct Places<'e> {
    /// Those that hold a network, in the file's order.
    networks: Vec<Place<'e>>,
    /// The one with the most names of a ResNet, should none hold a network.
    largest: Option<String>,
}

impl<'e> Places<'e> {
    fn of(entries: &'e [Entry<'_>], located: &[Located]) -> Self {
        let mut places: Vec<Place<'e>> = Vec::new();
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for (entry, located) in entries.iter().zip(located) {
            let Located::In { prefix, rest } = located else { continue };
            let number = *numbers.entry(prefix).or_insert_with(|| {
                places.push(Place { prefix: prefix.clone(), tensors: Vec::new() });
                places.len() - 1
            });
            if let Meaning::Tensors(names) = Traits::default().read(rest) {
                places[number].tensors.extend(names.into_iter().map(|name| (name, entry.shape.as_slice())));
            }
        }
        let most = places.iter().map(|place| place.tensors.len()).max();
        let largest = places.iter().find(|place| Some(place.tensors.len()) == most).map(|place| place.prefix.clone());
        places.retain_mut(|place| {
            place.tensors.sort();
            let has = |name: &str| place.tensors.binary_search_by(|(other, _)| other.as_str().cmp(name)).is_ok();
            (has("conv1.weight") || has("conv1.0.weight")) && has("layer1.0.conv1.weight")
                || has("features.0.0.weight") && has("features.1.conv.0.0.weight")
        });
        places.truncate(MOST_NETWORKS);
        Self { networks: places, largest }
    }

    /// The place of the network to read, and what to say about others. An average of weights comes before the weights;
    /// what is only called one (a teacher of another size) comes last; otherwise the first in the file.
    fn best(&self) -> (String, Option<String>) {
        let rank = |place: &Place<'_>| {
            let same = self.networks.iter().any(|other| !other.is_average() && other.tensors == place.tensors);
            match (place.is_average(), same) {
                (true, true) => 0,
                (false, _) => 1,
                (true, false) => 2,
            }
        };
        let Some(best) = self.networks.iter().min_by_key(|place| rank(place)) else {
            return (self.largest.clone().unwrap_or_default(), None);
        };
        let others: Vec<String> = self.networks.iter().filter(|other| other.prefix != best.prefix).map(named).collect();
        let note = (!others.is_empty()).then(|| {
            let why = if rank(best) == 0 { ", the running average of the weights," } else { "" };
            format!("the file holds several networks: {}{why} was taken; left: {}", named(best), others.join(", "))
        });
        (best.prefix.clone(), note)
    }
}

fn named(place: &Place<'_>) -> String {
    if place.prefix.is_empty() {
        "the one without a word before its names".into()
    } else {
        format!("`{}`", place.shown())
    }
}

/// Gives the parts of a `torch.nn.Sequential` torchvision's names, if it is one of a ResNet's children.
fn rename_children(entries: &[Entry<'_>], names: &mut [Cow<'_, str>]) -> bool {
    let mut prefixes = entries.iter().filter_map(|entry| entry.name.strip_suffix("4.0.conv1.weight"));
    let Some(prefix) = prefixes.find(|prefix| prefix.is_empty() || prefix.ends_with('.')) else { return false };
    if !entries.iter().any(|entry| entry.name.strip_prefix(prefix) == Some("0.weight") && entry.shape.len() == 4) {
        return false;
    }
    for name in names {
        let Some((first, rest)) = name.strip_prefix(prefix).and_then(|inner| inner.split_once('.')) else { continue };
        if let Some((_, child)) = CHILDREN.iter().find(|(number, _)| *number == first) {
            *name = Cow::Owned(format!("{prefix}{child}.{rest}"));
        }
    }
    true
}

/// A head that can be taken over.
pub(crate) struct Linear<'e, 'a> {
    pub weight: &'e Entry<'a>,
    /// Where a layer has none, zeros stand for it.
    pub bias: Option<&'e Entry<'a>>,
    pub classes: usize,
}

/// The head, or what is wrong with it, in words that follow "the head".
pub(crate) fn head<'e, 'a>(parts: &[(&'e Entry<'a>, HeadPart)], features: usize) -> Result<Linear<'e, 'a>, String> {
    let of = |leaf: &'static str| parts.iter().filter(move |(_, part)| part.leaf == leaf);
    let linear: Vec<_> = of("weight").filter(|(entry, _)| entry.shape.len() == 2).collect();
    let shown = |(entry, part): &(&Entry<'_>, HeadPart)| format!("`{}` ({})", part.layer, shape_text(&entry.shape));
    let [(weight, part)] = linear[..] else {
        return Err(match linear.len() {
            0 if parts.is_empty() => "is missing (`fc`, `linear`, `classifier`, `head.dense` or `end_point`)".into(),
            0 => format!("is no linear layer: {}", shown(&parts[0])),
            count => {
                let all: Vec<_> = linear.into_iter().map(shown).collect();
                format!("has {count} linear layers, {}; one is read", all.join(" and "))
            }
        });
    };
    if let Some(other) = parts.iter().find(|(_, other)| other.layer != part.layer) {
        return Err(format!("has more than its linear layer: {}; that alone is read", shown(other)));
    }
    let &[classes, inputs] = weight.shape.as_slice() else { return Err("is no matrix".into()) };
    if inputs != features {
        return Err(format!("takes {inputs} features where the network gives {features}"));
    }
    if classes < 2 {
        return Err("has a single output, made for a yes or no; two or more classes are needed".into());
    }
    let bias = of("bias").map(|(entry, _)| *entry).next();
    if bias.is_some_and(|bias| bias.shape != [classes]) {
        return Err(format!("has a bias of another size than its {classes} outputs"));
    }
    Ok(Linear { weight, bias, classes })
}
