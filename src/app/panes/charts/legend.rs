//! Which line belongs to which branch of the run at hand, and to which other run.

use super::curves::{Kind, Source, Sources};
use crate::app::{
    panes::runs::differences::swatch,
    runs::name,
    state::{Action, Actions, PaneId, RunAction, State},
    widgets::{self, theme},
};
use crate::text;
use eframe::egui::{self, Ui};

/// Draws names and lines, each run with a way off the charts.
pub(super) fn ui(ui: &mut Ui, state: &State, actions: &mut Actions, sources: &Sources) {
    widgets::toolbar(ui, |ui| {
        // What goes on first.
        for source in sources.all().iter().rev() {
            entry(ui, state, actions, source, sources);
        }
        if !sources.overlays.is_empty() {
            let differs = ui.small_button("What differs").on_hover_text("Their recipes side by side, in Runs");
            if differs.clicked() {
                actions.ask(Action::Show(PaneId::RUNS));
            }
        }
    });
}

fn entry(ui: &mut Ui, state: &State, actions: &mut Actions, source: &Source, sources: &Sources) {
    let palette = theme::palette(ui);
    let (text, help, color) = match source.kind {
        Kind::Present => {
            let text = match state.run.folder() {
                Some(run) if !sources.overlays.is_empty() => name(run),
                _ => source.name(),
            };
            (text, "The run at hand: training orange, validation blue".to_owned(), palette.text)
        }
        Kind::Left => {
            let help = "A branch that was left when the run went back; the timeline goes on with it".to_owned();
            (source.name(), help, palette.text)
        }
        Kind::Before(ghost) => {
            let help = format!("{}, which was trained before; see Show", name(&ghost.path));
            (source.name(), help, palette.weak)
        }
        Kind::Other(overlay) => {
            let path = text::path(&overlay.path);
            let help = format!("{path}\nTraining is the thin line, validation the one with dots.");
            (source.name(), help, if overlay.problem.is_some() { palette.wrong } else { palette.text })
        }
    };
    let galley = widgets::elided(ui, &text, egui::FontId::proportional(12.0), color, 170.0);
    let closes = matches!(source.kind, Kind::Other(_));
    let width = 18.0 + 6.0 + galley.size().x + if closes { 28.0 } else { 0.0 };
    widgets::keep_together(ui, width, |ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        swatch(ui, source.line(palette, sources));
        ui.label(galley).on_hover_text(help);
        if let Kind::Other(overlay) = source.kind {
            let close = ui.small_button("✗").on_hover_text("Takes this run off the charts");
            if close.accessible_name(format!("Take {} off the charts", overlay.name)).clicked() {
                actions.ask(Action::Run(RunAction::Compare(overlay.path.clone())));
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::{
        app::{
            background::Wake,
            history::{Branch, History, tests::step},
            panes::charts::Charts,
            test_support::{self, harness, state},
        },
        session::Event,
    };
    use egui_kittest::kittest::Queryable;
    use std::sync::Arc;

    #[test]
    fn branches_and_runs_have_a_legend_that_wraps_whole() {
        let mut history = History::default();
        (1..=20).for_each(|at| history.on_event(&step(at, 1.0)));
        let (snapshot, device) = (Some("a".to_owned()), String::new());
        history.on_event(&Event::Resumed { step: 10, epoch: 1, from_branch: 0, snapshot, device });
        history.on_event(&step(11, 0.5));
        let mut state = state();
        state.run.open("runs/own".into(), history, None, false);
        let mut pane = Charts::new(Arc::new(|| ()) as Wake);
        let mut shown = 0;
        let mut harness = harness(move |ui| {
            ui.set_max_width(320.0);
            // The branches alone at first, then six runs beside them.
            if shown > 0 && state.runs.compared.overlays().is_empty() {
                let names = ["one", "two", "three", "four", "a name that is longer than others", "six"];
                names.iter().for_each(|name| state.runs.compared.show(name.as_ref(), Branch::default()));
            }
            shown += 1;
            state.smooth();
            test_support::draw(&mut pane, ui, &mut state);
        });
        harness.get_by_label("branch 0");
        harness.run();
        let names = ["one", "two", "three", "four", "six"].map(|name| harness.get_by_label(name).rect());
        assert!(names.iter().all(|place| place.right() <= 320.0), "{names:?}");
        // The last one that was ticked comes first.
        assert!(names[0].top() > names[4].bottom(), "it has several lines: {names:?}");
        let close = harness.get_by_label("Take two off the charts").rect();
        assert!((close.center().y - names[1].center().y).abs() < 4.0, "what belongs together stays so");
    }
}
