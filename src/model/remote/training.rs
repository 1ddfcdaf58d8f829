//! A network that learns on a device elsewhere, as its client has it.

use super::{
    net::{Net, There},
    request::{Batch, ClassWeights, Floats, GradientsThere, Lesson, Named, Request, State, Sums, Values},
};
use crate::{
    model::{Frozen, Gradients, Learning, learning::AVERAGE, tensors::TensorInfo},
    ops::{
        self, Implementation, Storage,
        optimizers::{STATE_NAMES, Status},
    },
};
use std::sync::Arc;

/// A network that learns on a device elsewhere.
pub(in crate::model) struct Training {
    /// What it began with, of which only the shape is of use.
    net: Net,
    there: There,
    pub frozen: Frozen,
    /// The class weights that the server was last told.
    class_weights: Option<Arc<[f32]>>,
}

impl Net {
    /// A learner that starts from it.
    pub(in crate::model) fn learns(self) -> Training {
        let there = There::new(&self.there.link);
        there.tell(&Request::Learn { learner: there.number, network: self.there.number });
        Training { net: self, there, frozen: Frozen::Nothing, class_weights: None }
    }
}

impl Training {
    /// See [`Learner::network`](crate::model::Learner::network); the averaged one where asked for.
    fn net_of(&self, averaged: bool) -> Net {
        let there = There::new(&self.there.link);
        there.tell(&Request::Network { learner: self.there.number, network: there.number, averaged });
        Net { there: Arc::new(there), ..self.net.clone() }
    }

    pub(in crate::model) fn net(&self) -> Net {
        self.net_of(false)
    }

    pub(in crate::model) fn averaged(&self) -> Net {
        self.net_of(true)
    }

    fn lesson(&mut self, learning: &Learning) -> Lesson {
        let class_weights = match &learning.class_weights {
            None => ClassWeights::None,
            same if *same == self.class_weights => ClassWeights::Same,
            Some(weights) => ClassWeights::New(Floats(weights.to_vec())),
        };
        self.class_weights.clone_from(&learning.class_weights);
        Lesson::of(learning, class_weights)
    }

    pub(in crate::model) fn learn(&mut self, batch: &ops::Batch, learning: &Learning) {
        self.frozen = learning.frozen;
        let lesson = self.lesson(learning);
        self.there.tell(&Request::Step { learner: self.there.number, batch: Batch::of(batch), lesson });
    }

    pub(in crate::model) fn ops(&self) -> Implementation {
        self.net.ops
    }

    /// Each call travels at once.
    pub(in crate::model) fn submit(&self) {}

    pub(in crate::model) fn read_metrics(&mut self) -> ([f32; 2], Status) {
        let (sums, state): Sums = self.there.ask(&Request::Metrics(self.there.number));
        (sums, Status::of(&state))
    }

    pub(in crate::model) fn status(&self) -> Status {
        let state: State = self.there.ask(&Request::Status(self.there.number));
        Status::of(&state)
    }

    pub(in crate::model) fn set_status(&mut self, status: Status) {
        self.there.tell(&Request::SetStatus(self.there.number, status.values()));
    }

    pub(in crate::model) fn keep_losses(&mut self) {
        self.there.tell(&Request::KeepLosses(self.there.number));
    }

    pub(in crate::model) fn take_losses(&mut self) -> Vec<Vec<f32>> {
        let losses: Values = self.there.ask(&Request::TakeLosses(self.there.number));
        losses.into_iter().map(|floats| floats.0).collect()
    }

    pub(in crate::model) fn states(&self) -> Vec<(String, Vec<f32>)> {
        named(self.there.ask(&Request::States(self.there.number))).collect()
    }

    pub(in crate::model) fn restore(&mut self, value: impl Fn(&str) -> Option<Vec<f32>>, frozen: Frozen) {
        self.frozen = frozen;
        let parameters = self.parameters();
        let names = STATE_NAMES.into_iter().chain([AVERAGE]);
        let names = names.flat_map(|prefix| parameters.iter().map(move |info| format!("{prefix}.{}", info.name)));
        let states = names.filter_map(|name| value(&name).map(|values| (name, Floats(values)))).collect();
        self.there.tell(&Request::Restore { learner: self.there.number, states, frozen });
    }

    pub(in crate::model) fn gradients(&self, batch: &ops::Batch, learning: &Learning) -> Gradients {
        let weights = learning.class_weights.as_ref();
        let weights = weights.map_or(ClassWeights::None, |weights| ClassWeights::New(Floats(weights.to_vec())));
        let lesson = Lesson::of(learning, weights);
        let request = Request::Gradients { learner: self.there.number, batch: Batch::of(batch), lesson };
        let (loss, scale, values): GradientsThere = self.there.ask(&request);
        let parameters = self.parameters();
        // Those that learn are the last.
        let infos = parameters.into_iter().rev().take(values.len()).rev().collect::<Vec<_>>();
        Gradients { loss, scale, tensors: infos.into_iter().zip(values.into_iter().map(|floats| floats.0)).collect() }
    }

    pub(in crate::model) fn trace(&self, batch: &ops::Batch, storage: Storage, look: &mut dyn FnMut(&str, Vec<f32>)) {
        let request = Request::Trace { learner: self.there.number, batch: Batch::of(batch), storage };
        named(self.there.ask(&request)).for_each(|(name, values)| look(&name, values));
    }

    fn parameters(&self) -> Vec<TensorInfo> {
        self.net.graph.tensors().into_iter().filter(|info| info.role.is_parameter()).collect()
    }
}

fn named(all: Named) -> impl Iterator<Item = (String, Vec<f32>)> {
    all.into_iter().map(|(name, floats)| (name, floats.0))
}
