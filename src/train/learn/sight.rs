//! What a trained network sees in the images of a data set: features, each image looked at once.
//!
//! They are kept in the cache by content of the image, network and preprocessing, so that the next head on the same
//! photographs decodes none of them.

use super::room;
use crate::{
    cache::{self, Records},
    data::{ContentKey, Dataset, Normalisation, alike::Fingerprint},
    format,
    model::Network,
    ops::Storage,
    train::{batches::Feed, recipe::Recipe},
    weights::StateDict,
};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, ops::ControlFlow, sync::Arc};

/// Images that are decoded and looked at between two looks at whether somebody wants something else.
const AT_ONCE: usize = 32;
/// What is kept of an image changes with this.
const VERSION: u32 = 2;

/// A network that looks at images, and what it has seen.
pub(crate) struct Sight {
    network: Network,
    recipe: Recipe,
    normalisation: Normalisation,
    /// What tells network and preprocessing from others.
    how: ContentKey,
    memory: HashMap<ContentKey, Glance>,
}

/// What is seen of one image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Glance {
    pub features: Arc<[f32]>,
    /// By which copies and bursts are found.
    pub print: Box<Fingerprint>,
}

impl Glance {
    fn length(width: usize) -> usize {
        4 * width + Fingerprint::LENGTH
    }

    fn to_bytes(&self) -> Vec<u8> {
        let features = self.features.iter().flat_map(|value| value.to_le_bytes());
        features.chain(self.print.to_bytes()).collect()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (features, print) = bytes.split_last_chunk::<{ Fingerprint::LENGTH }>()?;
        let (values, []) = features.as_chunks::<4>() else { return None };
        let features = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
        Some(Self { features, print: Box::new(Fingerprint::from_bytes(print)) })
    }
}

/// How far the looking has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub done: usize,
    pub total: usize,
}

impl Sight {
    /// `tensors` are those of the network; its head is not looked through.
    pub(crate) fn new(network: Network, recipe: &Recipe, normalisation: Normalisation, tensors: &StateDict) -> Self {
        let how = digest(&network, tensors);
        Self { network, recipe: recipe.clone(), normalisation, how, memory: HashMap::new() }
    }

    /// Features of an image.
    pub(crate) fn width(&self) -> usize {
        self.network.graph().features()
    }

    /// The network that looks.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// What it sees in the validation images of a data set, one after the other; `None` for a broken one, and altogether
    /// where `progress` breaks.
    pub(crate) fn look(
        &mut self,
        dataset: &Arc<Dataset>,
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Option<Vec<Option<Glance>>> {
        let (split, feed) = (&dataset.validation, Feed::new(dataset.clone(), &self.recipe, &self.normalisation));
        let key = |index: usize| split.contents.as_ref().map(|keys| keys[index]);
        let known = |sight: &Self, index| key(index).and_then(|key| sight.memory.get(&key).cloned());
        let mut seen: Vec<Option<Glance>> = (0..split.len()).map(|index| known(self, index)).collect();
        let mut missing: Vec<usize> = (0..split.len()).filter(|&index| seen[index].is_none()).collect();
        if missing.is_empty() {
            return Some(seen);
        }
        let records = self.records(dataset, &feed, missing.len());
        if let Some(records) = &records {
            let read = |&index: &usize| records.read(key(index)?.0).and_then(|bytes| Glance::from_bytes(&bytes));
            let found: Vec<Option<Glance>> = missing.par_iter().map(read).collect();
            for (&index, glance) in missing.iter().zip(found) {
                seen[index] = glance;
            }
            missing.retain(|&index| seen[index].is_none());
        }
        let (total, output) = (missing.len(), feed.transform().output());
        let at_once = room::images_at_once(self.network.spec(), output).clamp(1, AT_ONCE);
        let mut done = 0;
        for piece in missing.chunks(at_once) {
            if progress(Progress { done, total }).is_break() {
                return None;
            }
            for (index, glance) in piece.iter().zip(self.glances(&feed, dataset, piece)) {
                if let (Some(records), Some(key)) = (&records, key(*index).filter(|_| !split.is_broken(*index))) {
                    records.write(key.0, &glance.to_bytes());
                }
                seen[*index] = Some(glance).filter(|_| !split.is_broken(*index));
            }
            done += piece.len();
        }
        self.memory.extend((0..split.len()).filter_map(|index| Some((key(index)?, seen[index].clone()?))));
        Some(seen)
    }

    fn glances(&self, feed: &Feed, dataset: &Dataset, indices: &[usize]) -> Vec<Glance> {
        let split = &dataset.validation;
        let batch = feed.picked(indices.iter().copied());
        let features = batch.with_input(|input| self.network.features(input, Storage::F32));
        let shape = [split.height, split.width, split.channels];
        let print = |&index: &usize| Box::new(Fingerprint::of(&split.image(index), shape));
        let prints: Vec<_> = indices.par_iter().map(print).collect();
        let rows = features.chunks_exact(self.width().max(1));
        rows.zip(prints).map(|(row, print)| Glance { features: row.into(), print }).collect()
    }

    /// The file of the cache that keeps them, with room for `more`; without one they are seen anew next time.
    fn records(&self, dataset: &Dataset, feed: &Feed, more: usize) -> Option<Records> {
        dataset.validation.contents.as_ref()?;
        let folder = match &dataset.options.cache_dir {
            Some(folder) => folder.join("features"),
            None => cache::place(cache::Kind::Features)?,
        };
        let length = Glance::length(self.width());
        let preprocessing = format!("{VERSION} {:?}", feed.transform().preprocessing());
        let name = format!("{:016x}-{:016x}.features", self.how.0, ContentKey::of(preprocessing.as_bytes()).0);
        let there = folder.join(&name).metadata().map_or(0, |file| file.len());
        let wanted = Records::size(more, length);
        if !cache::make_room(&folder, wanted, &folder.join(&name)) {
            tracing::warn!("no room on the cache's disk for {} of features", format::bytes(wanted));
            return None;
        }
        let opened = Records::open(&folder, &name, &self.network.spec().backbone(), length, there + wanted);
        opened.inspect_err(|error| tracing::warn!("features: {error}")).ok()
    }
}

/// Of a network without its head.
fn digest(network: &Network, tensors: &StateDict) -> ContentKey {
    let spec = network.spec();
    let head = spec.head_tensors();
    let mut hash = Sha256::new();
    hash.update(format!("{} {} {} {:?}\0", spec.backbone(), spec.padding, spec.bn_eps, spec.family));
    for (name, tensor) in tensors.iter().filter(|(name, _)| !head.contains(name)) {
        hash.update(format!("{name}\0"));
        if cfg!(target_endian = "little") {
            hash.update(bytemuck::cast_slice::<f32, u8>(&tensor.data));
        } else {
            tensor.data.iter().for_each(|value| hash.update(value.to_le_bytes()));
        }
    }
    ContentKey::of(&hash.finalize())
}
