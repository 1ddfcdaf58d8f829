//! How good the saved weights of a run are that was opened: found on a thread, once, as soon as its data are there.

use super::{CurrentRun, Run};
use crate::{
    app::background::loading::Loading,
    data::{Dataset, Report},
    device::Choice,
    format::number,
    session::{self, View},
};
use std::sync::Arc;

/// What is known of how good the saved weights of a run are that was opened.
pub(super) enum Evaluation {
    /// Nothing yet: it begins as soon as the run's data are there.
    Wanted,
    Running(Loading<Option<View>>),
    /// It has ended, in a view or because of somebody or something.
    Over,
}

impl Run {
    pub(super) fn cancel_evaluation(&mut self) {
        if let Evaluation::Running(loading) = std::mem::replace(&mut self.evaluation, Evaluation::Over) {
            loading.cancel();
        }
    }
}

impl CurrentRun {
    /// Evaluates the saved weights of a run that was opened on its data, once, on a thread; call when these are there.
    pub(crate) fn evaluate(&mut self, dataset: &Arc<Dataset>, device: Choice) {
        let Some(run) = self.run.as_mut().filter(|run| matches!(run.evaluation, Evaluation::Wanted)) else { return };
        if dataset.validation.is_empty() {
            run.evaluation = Evaluation::Over;
            return;
        }
        let (folder, dataset, step) = (run.folder.clone(), dataset.clone(), run.history.best_step());
        run.evaluation = Evaluation::Running(Loading::start("evaluation", self.wake.clone(), move |progress| {
            session::give_way();
            let go_on = |done: usize, total: usize| {
                let text = format!("Evaluating the run {} / {}", number(done as u64), number(total as u64));
                progress.report(&Report::Note { text }).is_continue()
            };
            session::evaluate(&folder, &dataset, device, step, go_on).map_err(|error| error.to_string())
        }));
    }

    /// The evaluation that is going on.
    pub(crate) fn evaluation(&self) -> Option<&Loading<Option<View>>> {
        match self.run.as_ref().map(|run| &run.evaluation) {
            Some(Evaluation::Running(loading)) => Some(loading),
            _ => None,
        }
    }

    /// Ends an evaluation; it is not begun again.
    pub(crate) fn cancel_evaluation(&mut self) {
        if let Some(run) = &mut self.run {
            run.cancel_evaluation();
        }
    }

    /// Takes what an evaluation has found; why it failed, where it did.
    pub(crate) fn evaluated(&mut self) -> Option<String> {
        let run = self.run.as_mut()?;
        let Evaluation::Running(loading) = &mut run.evaluation else { return None };
        let result = loading.poll()?;
        run.evaluation = Evaluation::Over;
        match result {
            Ok(view) => {
                run.view = view.map(Arc::new).or(run.view.take());
                None
            }
            Err(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{history::History, test_support::dataset};

    #[test]
    fn an_evaluation_that_was_cancelled_is_not_begun_again() {
        let mut run = CurrentRun::new(Arc::new(|| ()));
        run.open("runs/a".into(), History::default(), None, true);
        let dataset = dataset(2, 2);
        run.evaluate(&dataset, Choice::Cpu);
        assert!(run.evaluation().is_some());
        run.cancel_evaluation();
        run.evaluate(&dataset, Choice::Cpu);
        assert!(run.evaluation().is_none() && run.evaluated().is_none());
    }
}
