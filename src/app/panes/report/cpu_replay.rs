//! The step that was not finite, computed once more on the CPU: the button, and what came of it.

use super::origin_words;
use crate::{
    app::{
        background::{Task, Wake, finished},
        state::State,
        widgets,
        widgets::theme,
    },
    device,
    format::rounded,
    ops::Implementation,
    session::{Replay, Verdict, replay},
    train::Diagnosis,
};
use eframe::egui::{self, RichText, Ui, vec2};

/// See the module.
pub(crate) struct CpuReplay {
    wake: Wake,
    /// Whether the run was on the CPU itself.
    on_cpu: bool,
    task: Option<Task<Result<Replay, String>>>,
    outcome: Option<Result<Replay, String>>,
}

impl CpuReplay {
    pub(crate) fn new(wake: Wake) -> Self {
        Self { wake, on_cpu: false, task: None, outcome: None }
    }

    pub(crate) fn forget(&mut self) {
        (self.task, self.outcome) = (None, None);
    }

    /// The device of the run, as its events describe it.
    pub(crate) fn ran_on(&mut self, device: &str) {
        self.on_cpu = device::describes_cpu(device);
    }

    /// What was found, once it is there.
    pub(crate) fn diagnosis(&self) -> Option<&Diagnosis> {
        self.outcome.as_ref()?.as_ref().ok().map(|replay| &replay.diagnosis)
    }

    /// Takes the result in; `step` is the one that was not finite.
    pub(crate) fn tick(&mut self, step: u64) {
        if let Some(result) = finished(&mut self.task).map(Result::flatten) {
            self.outcome = Some(result.and_then(|replay| match replay.step == step {
                true => Ok(replay),
                false => Err("the run has gone on since, and no longer stands before that step".to_owned()),
            }));
        }
    }

    pub(crate) fn ui(&mut self, ui: &mut Ui, state: &State) {
        let palette = theme::palette(ui);
        let (Some(run), Some(dataset)) = (state.run.folder().cloned(), state.data.dataset.clone()) else { return };
        // What was computed on the CPU is checked with operations that were written for checking.
        let (ops, text, help) = match self.on_cpu {
            true => (
                Implementation::Reference,
                "Replay this step with plain operations",
                "The run was on the CPU. Computes the same step with slow and simple operations, to tell a bad recipe \
                 from a fault in Kindling. Changes nothing.",
            ),
            false => (
                Implementation::Fast,
                "Replay this step on the CPU",
                "Computes the same step, from the same weights and images, on the CPU, to tell a bad recipe from a bad \
                 driver. Changes nothing.",
            ),
        };
        widgets::toolbar(ui, |ui| {
            let free = self.task.is_none() && !state.run.is_busy();
            let button = ui.add_enabled(free, egui::Button::new(text).min_size(vec2(0.0, 28.0)));
            if button.on_hover_text(help).clicked() {
                self.outcome = None;
                let work = move || replay(&run, &dataset, ops).map_err(|error| error.to_string());
                self.task = Some(Task::spawn("replay", self.wake.clone(), work));
            }
            if self.task.is_some() {
                ui.spinner();
                widgets::whole(ui, "Computing the step …");
            }
        });
        let (text, color) = match &self.outcome {
            None => return,
            Some(Err(error)) => (format!("The step can't be replayed: {error}"), palette.warning),
            Some(Ok(replay)) if replay.verdict() == Verdict::Sound => (words(replay, self.on_cpu), palette.wrong),
            Some(Ok(replay)) => (words(replay, self.on_cpu), palette.text),
        };
        widgets::card(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.label(RichText::new(text).color(color));
        });
    }
}

/// What the replay means.
fn words(replay: &Replay, on_cpu: bool) -> String {
    let here = if on_cpu { "with plain operations" } else { "on the CPU" };
    let largest = rounded(f64::from(replay.diagnosis.largest()));
    match replay.verdict() {
        Verdict::Same => format!(
            "The same {here}: not finite, {}. The recipe or the data is to blame, not the device: lower the learning rate.",
            origin_words(replay.diagnosis.origin.as_ref())
        ),
        Verdict::Absurd => format!(
            "Just finite {here}, but with outputs as large as {largest}. The recipe or the data is to blame, not the \
             device: lower the learning rate."
        ),
        Verdict::Narrow => format!(
            "An ordinary step {here} in 32 bits: loss {}, no output larger than {largest}. 16-bit floats end at 65,504: \
             go on with Precision f32.",
            rounded(f64::from(replay.diagnosis.loss)),
        ),
        Verdict::Sound => format!(
            "An ordinary step {here}: loss {}, no output larger than {largest}. The recipe is not to blame, {}",
            rounded(f64::from(replay.diagnosis.loss)),
            match on_cpu {
                true => "but a fault in Kindling: please report it, with this run's folder.",
                false => "but the GPU or its driver: update the driver, or train on another device.",
            }
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::events::{Activation, Origin};

    #[test]
    fn the_verdict_names_who_is_to_blame() {
        let replay = |largest: f32, origin: Option<Origin>| {
            let activations = vec![Activation { name: "conv1".to_owned(), largest, not_finite: 0 }];
            Replay { step: 3, diagnosis: Diagnosis { loss: 2.3, layers: Vec::new(), activations, origin }, half: false }
        };
        let same = words(&replay(2.0, Some(Origin::Forward("fc".to_owned()))), false);
        assert!(same.contains("in the output of fc. The recipe or the data is to blame"), "{same}");
        let absurd = words(&replay(4e21, None), false);
        assert!(absurd.contains("as large as 4e21. The recipe or the data is to blame"), "{absurd}");
        assert!(words(&replay(9.5, None), false).contains("the GPU or its driver"));
        let narrow = Replay { half: true, ..replay(9.5, None) };
        assert!(words(&narrow, false).contains("go on with Precision f32"));
        assert!(words(&replay(9.5, None), true).contains("a fault in Kindling"));
    }

    #[test]
    fn a_run_that_has_gone_on_is_not_replayed() {
        let mut again = CpuReplay::new(std::sync::Arc::new(|| ()));
        let found = Diagnosis { loss: 1.0, layers: Vec::new(), activations: Vec::new(), origin: None };
        again.task =
            Some(Task::spawn("test", again.wake.clone(), || Ok(Replay { step: 9, diagnosis: found, half: false })));
        while again.task.is_some() {
            again.tick(8);
        }
        assert!(again.diagnosis().is_none());
        assert!(matches!(&again.outcome, Some(Err(error)) if error.contains("has gone on")));
    }
}
