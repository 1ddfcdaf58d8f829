//! A network on a device elsewhere, as its client has it.

use super::request::{Batch, Floats, Request, Values};
use crate::{
    device::remote::{Link, decode, encode},
    model::{
        Graph,
        spec::ModelSpec,
        tensors::{TensorInfo, Wanted},
    },
    ops::{self, Implementation, Storage},
};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The number of something on the server, which is forgotten there with it.
pub(super) struct There {
    pub link: Arc<Link>,
    pub number: u64,
}

impl There {
    pub(super) fn new(link: &Arc<Link>) -> Self {
        Self { link: link.clone(), number: link.name() }
    }

    pub(super) fn tell(&self, request: &Request) {
        self.link.tell(encode(request));
    }

    /// Waits for an answer. A link that is cut unwinds.
    pub(super) fn ask<T: DeserializeOwned>(&self, request: &Request) -> T {
        let answer = self.link.answer(self.link.ask(encode(request)));
        decode(&answer).unwrap_or_else(|error| crate::device::lost(format!("{}: {error}", self.link.host())))
    }
}

impl Drop for There {
    fn drop(&mut self) {
        self.tell(&Request::Forget(self.number));
    }
}

/// A network on a device elsewhere. A clone is the same one, which nobody changes.
#[derive(Clone)]
pub(in crate::model) struct Net {
    pub graph: Arc<Graph>,
    pub ops: Implementation,
    pub(super) there: Arc<There>,
}

impl Net {
    /// `tensors` are those of the specification, in its order, in PyTorch's layout.
    pub(in crate::model) fn load(
        spec: &ModelSpec,
        graph: Arc<Graph>,
        tensors: Vec<Vec<f32>>,
        ops: Implementation,
        link: &Arc<Link>,
    ) -> Self {
        let there = There::new(link);
        // A specification is plain numbers and names.
        let spec = serde_json::to_string(spec).unwrap_or_default();
        let tensors = tensors.into_iter().map(Floats).collect();
        there.tell(&Request::Load { network: there.number, spec, ops, tensors });
        Self { graph, ops, there: Arc::new(there) }
    }

    /// See [`Network::export`](crate::model::Network::export).
    pub(in crate::model) fn export(&self) -> Vec<(TensorInfo, Vec<f32>)> {
        let values: Values = self.there.ask(&Request::Export { network: self.there.number });
        self.graph.tensors().into_iter().zip(values.into_iter().map(|floats| floats.0)).collect()
    }

    /// One tensor after the other.
    pub(in crate::model) fn outputs(&self, batch: &ops::Batch, storage: Storage, wanted: Wanted) -> Vec<Vec<f32>> {
        let request = Request::Look { network: self.there.number, batch: Batch::of(batch), storage, wanted };
        let mut outputs: Values = self.there.ask(&request);
        outputs.resize(if wanted == Wanted::Both { 2 } else { 1 }, Floats(Vec::new()));
        outputs.into_iter().map(|floats| floats.0).collect()
    }
}
