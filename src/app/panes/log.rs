//! The log as a pane.

use crate::app::{
    background::Wake,
    panes::pane::Pane,
    state::{Action, Actions, State},
    widgets::{self, theme, toasts::Level},
};
use eframe::egui::{Label, RichText, ScrollArea, Ui};

/// Lines of all sorts, or only what went wrong.
pub(crate) struct LogPane {
    only_problems: bool,
}

impl LogPane {
    pub(crate) fn new(_: Wake) -> Self {
        Self { only_problems: false }
    }
}

impl Pane for LogPane {
    fn title(&self, state: &State) -> String {
        match state.notices.log.unread {
            0 => "Log".to_owned(),
            unread => format!("Log ({unread})"),
        }
    }

    fn ui(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        if state.notices.log.unread > 0 {
            actions.ask(Action::LogIsRead);
        }
        if state.notices.log.entries.is_empty() {
            widgets::empty_state(
                ui,
                "Nothing to report",
                "What happens in a run stands here: its start, changes of the recipe, snapshots, warnings and errors.",
                None,
            );
            return;
        }
        widgets::toolbar(ui, |ui| {
            ui.checkbox(&mut self.only_problems, "Only warnings and errors");
            if ui.button("Copy all").on_hover_text("Copies every line of the log as text").clicked() {
                actions.ask(Action::CopyText(state.notices.log.text()));
            }
        });
        let palette = theme::palette(ui);
        let shown: Vec<usize> = (0..state.notices.log.entries.len())
            .filter(|&i| !self.only_problems || state.notices.log.entries[i].level != Level::Info)
            .collect();
        let mut copy = None;
        let row = ui.text_style_height(&eframe::egui::TextStyle::Body) + 4.0;
        let scroll = ScrollArea::vertical().auto_shrink([false, false]).stick_to_bottom(true);
        scroll.show_rows(ui, row, shown.len(), |ui, range| {
            for &index in &shown[range] {
                let entry = &state.notices.log.entries[index];
                ui.horizontal(|ui| {
                    ui.set_min_height(row);
                    ui.label(RichText::new(entry.time()).monospace().color(palette.weak));
                    if entry.level != Level::Info {
                        ui.label(RichText::new(entry.level.word()).color(entry.level.color(palette)).strong());
                    }
                    let again = if entry.count > 1 { format!("  ×{}", entry.count) } else { String::new() };
                    // One row each, so that only the visible ones are laid out; the whole text is on hover and copied.
                    let text = format!("{}{again}", entry.text.replace('\n', " "));
                    let response = ui.add(Label::new(text).truncate());
                    response.context_menu(|ui| {
                        if ui.button("Copy line").clicked() {
                            copy = Some(entry.line());
                        }
                    });
                });
            }
        });
        if let Some(line) = copy {
            actions.ask(Action::CopyText(line));
        }
    }
}
