//! The learning-rate finder without a session: before a run is started, or while one rests.

use super::{
    position,
    start::{Beginning, fresh_network},
};
use crate::{
    device::unless_lost,
    session::{
        Progress, SessionError, Setup,
        run_writer::{self, Restored},
    },
    train::{
        batches::Position,
        finder::{Finding, Sweep},
        run_folder::RunFolder,
        trainer::{self, Trainer},
    },
};
use std::sync::mpsc::Sender;

/// Sweeps the learning rate on a thread of its own, from the weights that a session with this setup would start from. No
/// run is made and none is changed. `setup.wake` is called at each step. Dropping the receiver ends it.
pub fn find_rate(mut setup: Setup, progress: Sender<Progress>) {
    let failed = progress.clone();
    let spawned = std::thread::Builder::new().name("finder".into()).spawn(move || {
        let outcome = unless_lost(|| sweep(&mut setup, &progress)).unwrap_or_else(|lost| Err(lost.into()));
        // Whoever asked may be gone.
        let _ = progress.send(Progress::Over(outcome));
        if let Some(wake) = &setup.wake {
            wake();
        }
    });
    if let Err(error) = spawned {
        let _ = failed.send(Progress::Over(Err(SessionError::NoThread(error))));
    }
}

fn sweep(setup: &mut Setup, progress: &Sender<Progress>) -> Result<Finding, SessionError> {
    let Beginning { compute, spec, feed } = Beginning::of(setup)?;
    // A few steps are not worth a copy of all images on the device.
    let feed = feed.within(0, &compute);
    let checkpoint = match setup.resume {
        true => RunFolder::open(&setup.run_dir).and_then(|run| run.last())?,
        false => None,
    };
    let (network, at) = match checkpoint {
        Some(checkpoint) => {
            let Restored { state, weights, .. } = run_writer::restore(checkpoint)?;
            let network = trainer::network_of(&spec, &weights, setup.ops, &compute)?;
            (network, position(&state))
        }
        None => (fresh_network(setup, &spec, &compute)?.0, Position::default()),
    };
    let at = if at.batch < feed.steps_per_epoch() { at } else { Position { batch: 0, ..at } };
    let sweep = Sweep::new(Trainer::new(network), feed, at, &setup.recipe);
    let tell = |lr, loss| progress.send(Progress::Point(lr, loss)).is_ok();
    Ok(sweep.run(tell, || {
        if let Some(wake) = &setup.wake {
            wake();
        }
        compute.lost().is_none()
    }))
}
