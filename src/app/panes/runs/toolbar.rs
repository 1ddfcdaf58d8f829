//! The line over the list of runs: what is looked for, how the list is put into parts, and a menu of the rest.

use super::{RunsPane, columns::Group, query};
use crate::app::{
    runs::home,
    state::{Action, Actions, RunAction, State},
    widgets::{self, theme},
};
use crate::text;
use eframe::egui::{ComboBox, FontId, RichText, TextEdit, Ui, containers::menu::MenuButton};

impl RunsPane {
    /// Draws it.
    pub(super) fn toolbar(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        widgets::toolbar(ui, |ui| {
            let room = (ui.available_width() - 160.0).clamp(60.0, 240.0);
            let filter = TextEdit::singleline(&mut self.filter).desired_width(room);
            let filter = ui.add(filter.hint_text("Search: words, lr > 0.1")).accessible_name("Filter the runs");
            filter.on_hover_text(query::HELP);
            let groups = [
                (Group::None, "In one list", "All runs in one list"),
                (Group::Data, "By data", "The runs of each data set together"),
                (Group::Model, "By model", "The runs of each network together"),
                (Group::Tag, "By tag", "The runs with the same tags together"),
            ];
            let chosen = groups.iter().find(|(group, ..)| *group == self.group).map_or("", |(_, name, _)| name);
            let combo = ComboBox::from_id_salt("group").selected_text(chosen).width(84.0).show_ui(ui, |ui| {
                for (group, name, help) in groups {
                    ui.selectable_value(&mut self.group, group, name).on_hover_text(help);
                }
            });
            combo.response.on_hover_text("Puts the list into parts").accessible_name("Group the runs");
            let (menu, _) = MenuButton::new("…").ui(ui, |ui| self.menu(ui, state, actions));
            menu.on_hover_text("The list as CSV, runs from elsewhere").accessible_name("More about the list");
            let palette = theme::palette(ui);
            let text = format!("in {}", home::short(&state.runs.folder));
            let room = ui.available_width();
            let text = widgets::elided(ui, &text, FontId::proportional(12.5), palette.weak, room);
            // Where it has no room the menu says it.
            if room >= 90.0 {
                ui.label(text).on_hover_text(where_kept(state));
            }
        });
    }

    fn menu(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        let csv = ui.button("Export as CSV…").on_hover_text("Writes the runs that are listed, with all fields");
        if csv.accessible_name("Export the runs as CSV").clicked() {
            self.export(state);
            ui.close();
        }
        let help = "A run that was saved as one file (.kindling); pasting it with Ctrl+V does too";
        if ui.button("Open a run file…").on_hover_text(help).clicked() {
            actions.ask(Action::OpenFiles);
            ui.close();
        }
        if ui.button("Read the list again").clicked() {
            actions.ask(Action::Run(RunAction::Look { anew: true }));
            ui.close();
        }
        ui.separator();
        let folder = RichText::new(home::short(&state.runs.folder)).color(theme::palette(ui).weak).small();
        ui.label(folder).on_hover_text(where_kept(state));
        let change = ui.button("Another folder…").on_hover_text("Keeps new runs elsewhere, and lists those there");
        if change.accessible_name("Choose the folder for runs").clicked() {
            actions.ask(Action::Run(RunAction::ChooseFolder));
            ui.close();
        }
    }
}

fn where_kept(state: &State) -> String {
    let help = "New runs are kept here. A folder called runs where Kindling was started wins, so that the command line and \
                the window see the same runs.";
    format!("{}\n\n{help}", text::path(&state.runs.folder))
}
