//! What to do when a run has done all its epochs: a line below the panes, until it is closed or another run begins.

use crate::app::{
    state::{Action, PaneId, RunAction, State},
    widgets,
};
use crate::train::{Method, Value};
use eframe::egui::{Button, RichText, Ui, vec2};

/// Epochs that one press adds.
const MORE: i64 = 10;

/// Whether there is something to offer.
pub(crate) fn is_shown(state: &State) -> bool {
    state.run.is_finished() && state.closed_offer != Some(state.run.generation())
}

/// Draws the line.
pub(crate) fn ui(ui: &mut Ui, state: &mut State) {
    let Some(run) = state.run.folder().cloned() else { return };
    widgets::toolbar(ui, |ui| {
        // One line also beside the setup column of a small window.
        let wide = ui.available_width() >= 720.0;
        let text = state.run.history().best().map_or("Done.".to_owned(), |best| {
            format!("Done: {:.1} %{} right.", best * 100.0, if wide { " of the held-out images" } else { "" })
        });
        widgets::whole(ui, RichText::new(text).strong()).on_hover_text("Best accuracy on the held-out images");
        let button = |ui: &mut Ui, text: &str, help: &str| {
            ui.add(Button::new(text).min_size(vec2(0.0, 24.0))).on_hover_text(help)
        };
        if button(ui, "Try a photo", "Asks this network about images of your own").clicked() {
            state.ask(Action::Show(PaneId::CLASSIFY));
            state.ask(Action::OpenFiles);
        }
        // A head has no epochs: it is found at once.
        let trained = state.recipe.method == Method::Steps;
        let longer = "Train longer (+10 epochs)";
        let shown = if wide { longer } else { "+10 epochs" };
        let help = "Goes on with this run, from where it is; Train begins a new one";
        if trained && button(ui, shown, help).accessible_name(longer).clicked() {
            let (recipe, epochs) = (Box::new(state.recipe.clone()), state.recipe.epochs as i64 + MORE);
            let changes = vec![("epochs".to_owned(), Value::Int(epochs))];
            state.ask(Action::Run(RunAction::TrainWith { run: Some(run.clone()), recipe, changes }));
        }
        if button(ui, "Compare", "The list of runs, where others can be ticked to be drawn beside this one").clicked() {
            state.ask(Action::Show(PaneId::RUNS));
        }
        if button(ui, "Export…", "The best weights, for PyTorch or ONNX").clicked() {
            state.ask(Action::Export(run.clone()));
        }
        let close = ui.small_button("✗").on_hover_text("Closes this line").accessible_name("Close the offer");
        if close.clicked() {
            state.closed_offer = Some(state.run.generation());
        }
    });
}
