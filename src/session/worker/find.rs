//! The learning-rate finder, between two steps of a run.

use super::*;
use crate::train::finder::{Finding, Sweep};

impl Worker {
    /// Sweeps the learning rate on a copy of the weights. A pause, a stop or a change ends the sweep early, without a
    /// suggestion; the run goes on from exactly where it was.
    pub(super) fn find_rate(&mut self, reply: Sender<Finding>) {
        let started = Instant::now();
        let compute = self.trainer.compute().clone();
        // By way of the host: nothing of the copy shares memory with the run.
        let copy = trainer::network_of(&self.card.spec, &self.trainer.state(false), self.setup.ops, &compute);
        let network = match copy {
            Ok(network) => network,
            Err(error) => return self.warn(format!("no learning rate was looked for: {error}")),
        };
        let status = std::mem::replace(&mut self.view.status, "Looking for a learning rate".into());
        self.publish();
        if let Some(wake) = &self.setup.wake {
            wake();
        }
        let feed = self.feed.feed().clone();
        let mut sweep = Sweep::new(Trainer::new(network, compute.clone()), feed, position(&self.state), &self.recipe);
        let mut left = false;
        while !left && compute.lost().is_none() && sweep.step() {
            self.classify_waiting();
            left = !self.kept.is_empty();
        }
        let mut finding = sweep.finish();
        if left {
            finding.suggestion = None;
        }
        // Whoever asked may be gone.
        let _ = reply.send(finding);
        self.view.status = status;
        self.publish();
        self.pace.skip(started.elapsed());
    }
}
