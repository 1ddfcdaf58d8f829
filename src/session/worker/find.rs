//! The learning-rate finder, between two steps of a run.

use super::{Worker, position};
use crate::{
    session::Progress,
    train::{
        finder::Sweep,
        trainer::{self, Trainer},
    },
};
use std::{sync::mpsc::Sender, time::Instant};

impl Worker {
    /// Sweeps the learning rate on a copy of the weights. Another order ends the sweep early; the run goes on from
    /// exactly where it was.
    pub(super) fn find_rate(&mut self, progress: &Sender<Progress>) {
        let started = Instant::now();
        let compute = self.trainer.compute().clone();
        // By way of the host: nothing of the copy shares memory with the run.
        let copy = trainer::network_of(&self.card.spec, &self.trainer.state(false), self.setup.ops, &compute);
        let network = match copy {
            Ok(network) => network,
            Err(error) => {
                // Whoever asked may be gone.
                let _ = progress.send(Progress::Over(Err(error.into())));
                return;
            }
        };
        let status = std::mem::replace(&mut self.shown.status, "Looking for a learning rate".into());
        self.publish();
        let feed = self.feed.feed().clone();
        let sweep = Sweep::new(Trainer::new(network), feed, position(&self.state), &self.recipe);
        let tell = |lr, loss| progress.send(Progress::Point(lr, loss)).is_ok();
        let finding = sweep.run(tell, || {
            if let Some(wake) = &self.setup.wake {
                wake();
            }
            self.classify_waiting();
            self.kept.is_empty() && compute.lost().is_none()
        });
        let _ = progress.send(Progress::Over(Ok(finding)));
        self.shown.status = status;
        self.publish();
        if let Some(wake) = &self.setup.wake {
            wake();
        }
        self.pace.skip(started.elapsed());
    }
}
