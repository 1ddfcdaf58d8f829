//! Going back to a snapshot of the run at hand.
//!
//! A run that goes on is told so at once. One that rests has to be resumed first, which may take its data: until then the
//! rewind is what is [`Pending`]. So there are three states: nothing asked for, waiting for the session, told; what ends the
//! waiting is a session that begins ([`super::State::train`]) or whatever stands in its way.

use crate::train::{Recipe, Value};
use std::path::PathBuf;

/// Going back to a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewind {
    /// The run's folder.
    pub run: PathBuf,
    /// The snapshot's name.
    pub snapshot: String,
    /// The recipe of the snapshot.
    pub recipe: Recipe,
    /// Key and value of what is to be different from it.
    pub changes: Vec<(String, Value)>,
    /// Epochs that the run has behind it at its last checkpoint.
    pub epochs_done: u64,
}

impl Rewind {
    /// The recipe that training goes on with; the error is one line.
    pub(crate) fn changed(&self) -> Result<Recipe, String> {
        let mut recipe = self.recipe.clone();
        for (key, value) in &self.changes {
            recipe.set(key, value.clone()).map_err(|error| error.to_string())?;
        }
        recipe.validate().map_err(|error| error.to_string())?;
        Ok(recipe)
    }
}

/// What begins as soon as the run that is being opened, and the data that are being loaded, are there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Pending {
    #[default]
    Nothing,
    /// Training, anew or where the run at hand was left.
    Train,
    /// Training where the run at hand was left, and at once back to a snapshot of it.
    Rewind(Box<Rewind>),
}

impl Pending {
    /// Waits with what is wanted, which is at least to train.
    pub(super) fn wait(&mut self) {
        if *self == Pending::Nothing {
            *self = Pending::Train;
        }
    }

    /// What can't be done, for `reason`; nothing is pending any more.
    pub(super) fn give_up(&mut self, reason: &str) -> String {
        match std::mem::take(self) {
            Pending::Rewind(rewind) => format!("Can't go back to {}: {reason}", rewind.snapshot),
            Pending::Nothing | Pending::Train => format!("Can't train: {reason}"),
        }
    }
}
