//! What is done to whole runs: going back, going on with other values, taking a recipe over.
//!
//! A run that does not go on has to be resumed before it can go back. So a rewind is asked for in three steps, which the
//! window carries out in one frame: make the run the one at hand, train, send the order.

use super::{
    engine::Status,
    history::History,
    state::{Action, State},
    toasts::Level,
};
use crate::{
    session::Command,
    train::{Recipe, Value},
};
use std::path::PathBuf;

/// Going back to a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewind {
    pub run: PathBuf,
    pub snapshot: String,
    /// The recipe of the snapshot.
    pub recipe: Recipe,
    pub changes: Vec<(String, Value)>,
    /// Epochs that the run has behind it at its last checkpoint.
    pub epochs_done: u64,
}

impl Rewind {
    /// The recipe that training goes on with.
    fn changed(&self) -> Result<Recipe, String> {
        let mut recipe = self.recipe.clone();
        for (key, value) in &self.changes {
            recipe.set(key, value.clone()).map_err(|error| error.to_string())?;
        }
        recipe.validate().map_err(|error| error.to_string())?;
        Ok(recipe)
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub enum RunAction {
    /// Makes the run of a rewind the one at hand.
    Prepare(Box<Rewind>),
    /// Gives the order to the session.
    Send(Box<Rewind>),
    /// Sets hyperparameters for a run that is about to be resumed.
    Change(Vec<(String, Value)>),
    /// The next run has this recipe; the name says whose it was.
    Duplicate(Box<Recipe>, String),
}

/// Goes back, whether the run goes on or not.
pub fn rewind(state: &mut State, rewind: Rewind) {
    let live = state.engine.is_live() && state.engine.run_dir() == Some(&rewind.run);
    let rewind = Box::new(rewind);
    if !live {
        state.ask(Action::Run(RunAction::Prepare(rewind.clone())));
        state.ask(Action::Train);
    }
    state.ask(Action::Run(RunAction::Send(rewind)));
}

/// Carries an action out.
pub fn act(state: &mut State, action: RunAction) {
    match action {
        RunAction::Prepare(rewind) => prepare(state, &rewind),
        RunAction::Send(rewind) => send(state, *rewind),
        RunAction::Change(changes) => {
            for (key, value) in changes {
                state.set(&key, value);
            }
        }
        RunAction::Duplicate(recipe, name) => {
            if state.engine.status() != Status::Idle {
                state.tell(Level::Warning, "Stop the run before a recipe is taken over");
                return;
            }
            state.recipe = *recipe;
            state.at_hand = None;
            state.history = History::default();
            let text = format!("The next run has the recipe of {name}");
            state.toasts.add(Level::Info, text.clone());
            state.tell(Level::Info, text);
        }
    }
}

fn prepare(state: &mut State, rewind: &Rewind) {
    if state.engine.status() != Status::Idle {
        return;
    }
    match rewind.changed() {
        Ok(recipe) => {
            // A finished run would end before it hears the order; the snapshot's own number counts afterwards.
            let epochs = recipe.epochs.max(rewind.epochs_done + 1);
            state.recipe = Recipe { epochs, ..recipe };
            state.at_hand = Some(rewind.run.clone());
        }
        Err(error) => state.tell(Level::Warning, error),
    }
}

fn send(state: &mut State, rewind: Rewind) {
    let live = state.engine.is_live() && state.engine.run_dir() == Some(&rewind.run);
    if !live {
        let reason = state.cannot_train().unwrap_or_else(|| "its run does not go on".to_owned());
        state.tell(Level::Warning, format!("Can't go back to {}: {reason}", rewind.snapshot));
        return;
    }
    match rewind.changed() {
        Ok(recipe) => {
            state.recipe = recipe;
            state.engine.send(Command::Rewind { snapshot: rewind.snapshot, changes: rewind.changes });
        }
        Err(error) => state.tell(Level::Warning, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support;

    fn example(changes: Vec<(String, Value)>) -> Rewind {
        Rewind {
            run: PathBuf::from("no such run"),
            snapshot: "epoch-1".to_owned(),
            recipe: Recipe { epochs: 5, ..Recipe::default() },
            changes,
            epochs_done: 5,
        }
    }

    #[test]
    fn going_back_in_a_run_that_rests_resumes_it_first() {
        let mut state = test_support::state();
        rewind(&mut state, example(vec![("lr".to_owned(), Value::Float(0.01))]));
        let order = std::mem::take(&mut state.actions);
        assert!(matches!(
            order[..],
            [Action::Run(RunAction::Prepare(_)), Action::Train, Action::Run(RunAction::Send(_))]
        ));
        let Action::Run(prepare) = order[0].clone() else { panic!() };
        act(&mut state, prepare);
        // One more than are done, so that the session lives until it hears the order.
        assert_eq!((state.recipe.lr, state.recipe.epochs), (0.01, 6));
        assert_eq!(state.at_hand, Some(PathBuf::from("no such run")));
        // There is no data, so training did not begin, and that is said.
        let Action::Run(send) = order[2].clone() else { panic!() };
        act(&mut state, send);
        assert!(state.log.text().contains("Can't go back to epoch-1: choose data first"));
    }

    #[test]
    fn a_change_out_of_range_changes_nothing() {
        let mut state = test_support::state();
        let before = state.recipe.clone();
        act(&mut state, RunAction::Prepare(Box::new(example(vec![("momentum".to_owned(), Value::Float(2.0))]))));
        assert_eq!((&state.recipe, &state.at_hand), (&before, &None));
        assert!(state.log.text().contains("momentum can't be 2.0"));
    }
}
