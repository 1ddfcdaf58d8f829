//! The first thing that is seen: one large button, and what else can be done.

use crate::app::{
    bars::top::flame,
    drop,
    state::{Action, PaneId, State},
    widgets::theme,
};
use crate::format::sentence;
use crate::text;
use eframe::egui::{self, Color32, RichText, Sense, Ui, vec2};

/// Draws the welcome in place of the panes.
pub(crate) fn ui(ui: &mut Ui, state: &mut State) {
    let palette = theme::palette(ui);
    let frame = egui::Frame::new().fill(palette.pane);
    frame.show(ui, |ui| {
        ui.set_min_size(ui.available_size());
        let height = ui.available_height();
        ui.vertical_centered(|ui| {
            ui.add_space((height * 0.5 - 215.0).max(16.0));
            let (rect, _) = ui.allocate_exact_size(vec2(54.0, 66.0), Sense::hover());
            flame(ui.painter(), rect);
            ui.add_space(6.0);
            ui.label(RichText::new("Watch a network learn to see").size(24.0).strong());
            ui.add_space(2.0);
            let text = "Train an image classifier on this machine, and steer it while it learns.";
            ui.label(RichText::new(text).color(palette.weak).size(14.5));
            ui.add_space(20.0);
            if try_button(ui, state.data.loading.is_some()) {
                state.ask(Action::TrySample);
            }
            ui.add_space(6.0);
            let text = "6,000 pictures of clothes, built in. The first curve moves within seconds.";
            ui.label(RichText::new(text).color(palette.weak));
            ui.add_space(26.0);
            resume(ui, state);
            ui.label(RichText::new("or bring your own").color(palette.weak));
            ui.add_space(4.0);
            row(ui, state);
            ui.add_space(14.0);
            let bring = sentence(&drop::bring("a folder of images, a CIFAR archive, a run or weights"));
            ui.label(RichText::new(format!("{bring}. F1 lists the keys.")).color(palette.weak).small());
        });
    });
}

fn try_button(ui: &mut Ui, busy: bool) -> bool {
    ui.add_enabled_ui(!busy, |ui| {
        ui.spacing_mut().button_padding = vec2(26.0, 14.0);
        let palette = theme::palette(ui);
        let ink: Color32 = palette.on_accent;
        let text = RichText::new("▶  Try it on the sample set").size(20.0).strong().color(ink);
        let button = egui::Button::new(text).fill(palette.accent).corner_radius(egui::CornerRadius::same(10));
        ui.add(button.min_size(vec2(330.0, 58.0))).accessible_name("Try it on the sample set").clicked()
    })
    .inner
}

fn resume(ui: &mut Ui, state: &mut State) {
    let Some(run) = state.runs.last.clone() else { return };
    let button = egui::Button::new(format!("Go on with {}", text::file_name(&run))).min_size(vec2(0.0, 30.0));
    if ui.add(button).on_hover_text(text::path(&run)).clicked() {
        state.ask(Action::OpenRun(run));
    }
    ui.add_space(12.0);
}

fn row(ui: &mut Ui, state: &mut State) {
    let width = 132.0;
    let gap = ui.spacing().item_spacing.x;
    ui.allocate_ui_with_layout(
        vec2(width * 3.0 + gap * 2.0, 30.0),
        egui::Layout::left_to_right(egui::Align::Center),
        |ui| {
            let size = vec2(width, 30.0);
            let open = ui.add(egui::Button::new("Open a folder…").min_size(size));
            if open
                .on_hover_text("With a sub-folder of images for each class, or of images to classify, or of a run")
                .clicked()
            {
                state.ask(Action::OpenFolder);
            }
            let open = ui.add(egui::Button::new("Open files…").min_size(size));
            if open.on_hover_text("A data archive, weights, images or a run in one file").clicked() {
                state.ask(Action::OpenFiles);
            }
            let past = ui.add(egui::Button::new("Past runs").min_size(size));
            if past.on_hover_text("What was trained before, to look at, compare or go on with").clicked() {
                state.ask(Action::Show(PaneId::RUNS));
            }
        },
    );
}
