//! The bar at the bottom: what goes on, in words and as a bar.

use crate::app::{
    state::{Action, State, Status},
    widgets::{self, theme},
};
use crate::format::{bytes, duration, number};
use crate::session::View;
use eframe::egui::{self, Align, CornerRadius, Layout, RichText, Role, Sense, Ui, vec2};

/// What goes on is shown at least this wide, in points, before anything to the right of it is.
const WORDS: f32 = 130.0;

pub(crate) fn ui(ui: &mut Ui, state: &mut State) {
    let palette = theme::palette(ui);
    ui.horizontal_centered(|ui| {
        let view = state.run.view().cloned();
        let share = match (&view, &state.data.loading) {
            (_, Some(loading)) => loading.progress().0,
            (Some(view), None) if view.total_steps > 0 => Some(view.step as f32 / view.total_steps as f32),
            _ => None,
        };
        progress(ui, share, if ui.available_width() < 800.0 { 70.0 } else { 150.0 });
        let font = egui::TextStyle::Body.resolve(ui.style());
        let gap = ui.spacing().item_spacing.x;
        let words = words(state);
        let width =
            |text: &str| ui.painter().layout_no_wrap(text.to_owned(), font.clone(), palette.text).size().x + gap;
        // A failure takes a sentence; the facts that matter most keep their place beside it, the others where there is room.
        let mut room = ui.available_width() - width(&words).min(WORDS);
        let mut facts = view.as_ref().map(|view| facts(view, state.run.is_live())).unwrap_or_default();
        facts.retain(|fact| {
            let fits = width(&fact.text) <= room;
            room -= if fits { width(&fact.text) } else { 0.0 };
            fits
        });
        let taken: f32 = facts.iter().map(|fact| width(&fact.text)).sum();
        let color = ui.visuals().strong_text_color();
        let room = (ui.available_width() - taken).max(60.0);
        let galley = widgets::elided(ui, &words, font.clone(), color, room);
        let help = if galley.elided { words.as_str() } else { "What goes on at the moment" };
        ui.label(galley).on_hover_text(help);
        if state.run.evaluation().is_some() {
            let cancel = ui.small_button("Cancel").on_hover_text("Leaves the run without predictions");
            if cancel.accessible_name("Cancel the evaluation").clicked() {
                state.ask(Action::CancelEvaluation);
            }
        }
        let (left, right): (Vec<_>, Vec<_>) = facts.into_iter().partition(|fact| !fact.right);
        let fact = |ui: &mut Ui, fact: Fact| {
            widgets::whole(ui, RichText::new(fact.text).color(palette.weak)).on_hover_text(fact.help);
        };
        left.into_iter().for_each(|own| fact(ui, own));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            right.into_iter().rev().for_each(|own| fact(ui, own))
        });
    });
}

fn words(state: &State) -> String {
    if let Some(loading) = &state.data.loading {
        return loading.progress().1;
    }
    if let Some(evaluation) = state.run.evaluation() {
        return evaluation.progress().1;
    }
    match (state.run.status(), state.run.view()) {
        (Status::Stopping, _) => "Saving the run".to_owned(),
        (Status::Paused, _) => "Paused".to_owned(),
        (Status::Running, Some(view)) => view.status.clone(),
        (Status::Idle, Some(view)) => view.status.clone(),
        _ => match &state.data.dataset {
            Some(dataset) => format!("Ready: {} training images", number(dataset.train.len() as u64)),
            None => "No data yet".to_owned(),
        },
    }
}

/// Something about the run.
struct Fact {
    text: String,
    help: &'static str,
    /// At the right end.
    right: bool,
}

/// What there is to say of a run, what matters most first.
fn facts(view: &View, live: bool) -> Vec<Fact> {
    let epoch = (view.epoch + 1).min(view.epochs.max(1));
    let epoch = format!("epoch {} / {}", number(epoch), number(view.epochs));
    let step = format!("step {} / {}", number(view.step), number(view.total_steps));
    let mut facts = vec![
        Fact { text: epoch, help: "Passes over the training images", right: false },
        Fact { text: step, help: "Updates of the weights", right: false },
    ];
    let mut right = |text: String, help| facts.push(Fact { text, help, right: true });
    if let Some(eta) = view.eta_s.filter(|_| live) {
        right(format!("{} left", duration(eta)), "At the present pace; the first step does not count");
    }
    if view.images_per_s > 0.0 {
        right(format!("{} images/s", number(view.images_per_s.round() as u64)), "Trained in a second");
    }
    if let Some(used) = view.device_bytes.filter(|_| live) {
        let help = "Memory: what training has reserved on a GPU; on the CPU, all of this program's";
        right(bytes(used), help);
    }
    right(view.device.clone(), "The device that trains");
    facts
}

/// A thin bar without a text of its own.
fn progress(ui: &mut Ui, share: Option<f32>, width: f32) {
    let palette = theme::palette(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(width, 8.0), Sense::hover());
    let corner = CornerRadius::same(4);
    ui.painter().rect_filled(rect, corner, palette.raised);
    if let Some(share) = share {
        let mut filled = rect;
        filled.set_width(rect.width() * share.clamp(0.0, 1.0));
        ui.painter().rect_filled(filled, corner, palette.accent);
    }
    let percent = share.map_or_else(|| "no progress yet".to_owned(), |share| format!("{:.0} %", share * 100.0));
    let name = format!("Progress {percent}");
    response.widget_info(|| egui::WidgetInfo::labeled(Role::ProgressIndicator, true, &name));
    response.on_hover_text(percent);
}
