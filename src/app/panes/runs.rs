//! Every run so far: a list that sorts and filters, what can be done with each, and what differs between those that are
//! compared.

mod details;
pub(crate) mod differences;

use crate::app::{
    background::Wake,
    panes::{pane::Pane, runs::details::Details},
    runs::home,
    state::{Action, Actions, PaneId, RunAction, State},
    widgets::{
        self,
        table::{self, Column, Sorting},
        theme::{self, Palette},
    },
};
use crate::format::{ago, rounded_duration};
use crate::text;
use crate::train::{RunSummary, event_log};
use eframe::egui::{self, Checkbox, Color32, FontId, Panel, RichText, TextEdit, Ui, UiBuilder};
use std::{
    cmp::Ordering,
    path::{Path, PathBuf},
};

const NAME: usize = 1;
const DATA: usize = 2;
const BEST: usize = 4;
const DATE: usize = 6;
const COLUMNS: [Column; 9] = [
    Column { name: "", help: "Ticked runs are drawn on the charts", share: 0.5, greatest_first: false },
    Column { name: "Run", help: "The name of its folder", share: 2.8, greatest_first: false },
    Column { name: "Data", help: "What it was trained on", share: 1.3, greatest_first: false },
    Column { name: "Model", help: "The network", share: 1.7, greatest_first: false },
    Column { name: "Best", help: "Best validation accuracy of any branch", share: 1.0, greatest_first: true },
    Column { name: "Epochs", help: "Done, of those that were asked for", share: 1.15, greatest_first: true },
    Column { name: "Begun", help: "When the run began", share: 1.5, greatest_first: true },
    Column { name: "Trained", help: "Time of training, pauses left out", share: 1.15, greatest_first: true },
    Column { name: "Notes", help: "Written in the box below", share: 1.6, greatest_first: false },
];
/// A pane narrower than this has no room for what the details say as well, in points.
const WIDE: f32 = 700.0;

pub(crate) struct RunsPane {
    filter: String,
    sorting: Sorting,
    /// What `order` was worked out from: the list's version, the filter, the sorting.
    known: Option<(u64, String, Sorting)>,
    /// The runs that are shown, by position in the list.
    order: Vec<usize>,
    details: Option<Details>,
    /// The run that the user is asked about.
    asking: Option<PathBuf>,
    /// When it was last drawn; after a while unseen the list is read again.
    drawn: u64,
}

impl RunsPane {
    pub(crate) fn new(_: Wake) -> Self {
        Self {
            filter: String::new(),
            sorting: Sorting { by: DATE, descending: true },
            known: None,
            order: Vec::new(),
            details: None,
            asking: None,
            drawn: 0,
        }
    }
}

impl RunsPane {
    /// Saves what was typed last, when there is no time left to wait for it.
    pub(crate) fn save_notes(&mut self) {
        if let Some((path, notes)) = self.details.as_mut().and_then(Details::unsaved)
            && let Err(error) = crate::app::runs::write_notes(&path, &notes)
        {
            tracing::warn!("{error}");
        }
    }

    fn toolbar(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        widgets::toolbar(ui, |ui| {
            let filter = TextEdit::singleline(&mut self.filter).desired_width(150.0).hint_text("Filter");
            let filter = ui.add(filter).accessible_name("Filter the runs");
            filter.on_hover_text("Words in a run's name, data, model or notes");
            if ui.button("Refresh").on_hover_text("Reads the list again").clicked() {
                actions.ask(Action::Run(RunAction::Look { anew: true }));
            }
            let open = ui.button("Open a file…");
            if open
                .on_hover_text("A run that was saved as one file (.kindling); pasting it with Ctrl+V does too")
                .clicked()
            {
                actions.ask(Action::OpenFiles);
            }
            let change = ui.button("Folder…").on_hover_text("Keeps new runs elsewhere, and lists those that are there");
            if change.accessible_name("Choose the folder for runs").clicked() {
                actions.ask(Action::Run(RunAction::ChooseFolder));
            }
            let palette = theme::palette(ui);
            let text = format!("in {}", home::short(&state.runs.folder));
            let text =
                widgets::elided(ui, &text, FontId::proportional(12.5), palette.weak, ui.available_width().max(90.0));
            let help = "New runs are kept here. A folder called runs where Kindling was started wins, so that the \
                        command line and the window see the same runs.";
            ui.label(text).on_hover_text(format!("{}\n\n{help}", text::path(&state.runs.folder)));
        });
    }

    /// Puts the runs in order where the list, the filter or the sorting has changed.
    fn sort(&mut self, state: &State) {
        let index = &state.runs.index;
        let now = (index.version(), self.filter.clone(), self.sorting);
        if self.known.as_ref() == Some(&now) {
            return;
        }
        self.order = order(index.runs(), &self.filter, self.sorting);
        self.known = Some(now);
    }

    /// Draws the table; a click on a row chooses the run.
    fn table(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        let shown: Vec<usize> = (0..COLUMNS.len()).filter(|&at| at != DATA || ui.available_width() >= WIDE).collect();
        let columns: Vec<Column> = shown.iter().map(|&at| COLUMNS[at]).collect();
        // The sorting counts all columns, shown or not; none that is shown stands for one that is not.
        let by = shown.iter().position(|&at| at == self.sorting.by).unwrap_or(usize::MAX);
        let mut sorting = Sorting { by, ..self.sorting };
        if table::header(ui, &columns, &mut sorting)
            && let Some(&by) = shown.get(sorting.by)
        {
            self.sorting = Sorting { by, ..sorting };
        }
        self.sort(state);
        let runs = state.runs.index.runs();
        let palette = theme::palette(ui);
        let now = event_log::now();
        let live = state.run.folder().filter(|_| state.run.is_busy());
        let at = |row: usize| self.order.get(row).and_then(|&at| runs.get(at));
        let chosen = self.details.as_ref().map(|details| &details.path);
        let chosen = self.order.iter().position(|&at| Some(&runs[at].path) == chosen);
        let own = state.run.drawn();
        let mut ticked = None;
        let clicked = table::rows_with(
            ui,
            "runs",
            &columns,
            self.order.len(),
            chosen,
            |row, column| match (at(row), shown.get(column)) {
                (Some(run), Some(&column)) => cell(run, column, live, now, palette),
                _ => Default::default(),
            },
            |row| at(row).map_or_else(String::new, |run| format!("Run {}", run.name)),
            |ui, row, place| {
                let Some(run) = at(row) else { return };
                let overlay = state.runs.compared.get(&run.path);
                let mut on = overlay.is_some();
                // A place of its own: what it takes of it does not move the rows.
                let layout = egui::Layout::left_to_right(egui::Align::Center);
                let mut inner = ui.new_child(UiBuilder::new().max_rect(place).layout(layout));
                if let Some(overlay) = overlay {
                    let line = theme::run_line(palette, overlay.slot).0;
                    let color = if own == Some(&run.path) { palette.train } else { line };
                    inner.visuals_mut().widgets.inactive.fg_stroke.color = color;
                    inner.visuals_mut().widgets.hovered.fg_stroke.color = color;
                }
                inner.add_space(4.0);
                let response = inner.add(Checkbox::without_text(&mut on)).on_hover_text("Drawn on the charts");
                if response.accessible_name(format!("Compare {}", run.name)).clicked() {
                    ticked = Some(run.path.clone());
                }
            },
        );
        let clicked = clicked.and_then(at).cloned();
        if let Some(path) = ticked {
            actions.ask(Action::Run(RunAction::Compare(path)));
        }
        if let Some(run) = clicked {
            if ui.input(|input| input.pointer.button_double_clicked(egui::PointerButton::Primary)) {
                actions.ask(Action::OpenRun(run.path.clone()));
            }
            self.choose(&run, actions);
        }
    }

    fn choose(&mut self, run: &RunSummary, actions: &mut Actions) {
        if self.details.as_ref().is_some_and(|details| details.path == run.path) {
            return;
        }
        if let Some((path, notes)) = self.details.as_mut().and_then(Details::unsaved) {
            actions.ask(Action::Run(RunAction::SetNotes(path, notes)));
        }
        self.details = Some(Details::new(run));
    }

    fn lower(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        if let Some(details) = &mut self.details {
            match state.runs.index.get(&details.path).cloned() {
                Some(run) => {
                    Panel::bottom("run details").resizable(false).frame(theme::inner_frame()).show(ui, |ui| {
                        if details.ui(ui, &run, state, actions) {
                            self.asking = Some(run.path.clone());
                        }
                    });
                }
                // One that was just renamed is in the list as soon as that is read again.
                None if !state.runs.index.is_settled() => {}
                None => self.details = None,
            }
        }
        if !state.runs.compared.overlays().is_empty() {
            let most = (ui.available_height() * 0.5).clamp(60.0, 200.0);
            let panel = Panel::bottom("differences").resizable(false).frame(theme::inner_frame());
            panel.show(ui, |ui| compared(ui, state, actions, most));
        }
    }
}

impl Pane for RunsPane {
    fn title(&self, _: &State) -> String {
        "Runs".to_owned()
    }

    fn on_moved(&mut self, from: &Path, to: Option<&Path>) {
        if let (Some(details), Some(to)) = (self.details.as_mut().filter(|details| details.path == from), to) {
            details.moved(to.to_owned());
        }
    }

    fn ui(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        // Whoever does not look at the list needs no new one: it is read again when the pane is shown.
        let frame = ui.ctx().cumulative_frame_nr();
        actions.ask(Action::Run(RunAction::Look { anew: frame > self.drawn + 1 }));
        self.drawn = frame;
        self.toolbar(ui, state, actions);
        if let Some(path) = self.asking.clone()
            && let Some(sure) = details::ask_to_trash(ui.ctx(), &path)
        {
            self.asking = None;
            if sure {
                actions.ask(Action::Run(RunAction::Trash(path)));
            }
        }
        let index = &state.runs.index;
        if index.runs().is_empty() {
            let body = match (&index.problem, index.version()) {
                (Some(problem), _) => problem.clone(),
                (None, 0) => "Reading the list …".to_owned(),
                (None, _) => "Each run is kept in a folder of its own, with its curves, weights and snapshots. Train \
                              one, drop a run's folder or a .kindling file on this window, or choose the folder in \
                              which runs are kept."
                    .to_owned(),
            };
            widgets::empty_state(ui, "No runs yet", &body, None);
            return;
        }
        self.lower(ui, state, actions);
        self.table(ui, state, actions);
        if self.order.is_empty() {
            let text = format!("No run has “{}” in its name, data, model or notes.", self.filter.trim());
            ui.label(RichText::new(text).color(theme::palette(ui).weak));
        }
    }

    #[cfg(test)]
    fn is_busy(&self) -> bool {
        self.known.is_none()
    }
}

/// The table of differences, at most `most` points high, with a way to the charts.
fn compared(ui: &mut Ui, state: &State, actions: &mut Actions, most: f32) {
    let columns = details::columns(state, theme::palette(ui));
    let (mut charts, mut none) = (false, false);
    widgets::toolbar(ui, |ui| {
        let text = if columns.len() == 1 { "1 run".to_owned() } else { format!("{} runs side by side", columns.len()) };
        widgets::whole(ui, RichText::new(text).strong());
        charts = ui.button("See the charts").clicked();
        none = ui.button("Untick all").clicked();
    });
    match columns.len() {
        1 => {
            let text = "Tick another run to see what differs between them.";
            ui.label(RichText::new(text).color(theme::palette(ui).weak));
        }
        _ => differences::ui(ui, &columns, most),
    }
    if charts {
        actions.ask(Action::Show(PaneId::CHARTS));
    }
    if none {
        actions.ask(Action::Run(RunAction::CompareNone));
    }
}

/// The runs that have every word of the filter, in the order of the sorting.
fn order(runs: &[RunSummary], filter: &str, sorting: Sorting) -> Vec<usize> {
    let words: Vec<String> = filter.split_whitespace().map(str::to_lowercase).collect();
    let matches = |run: &RunSummary| {
        let text = [&run.name, &run.data, &run.model, &run.notes].map(|text| text.to_lowercase()).join("\n");
        words.iter().all(|word| text.contains(word))
    };
    let mut order: Vec<usize> = (0..runs.len()).filter(|&at| matches(&runs[at])).collect();
    let text = |a: &str, b: &str| a.to_lowercase().cmp(&b.to_lowercase());
    order.sort_by(|&a, &b| {
        let (a, b) = (&runs[a], &runs[b]);
        let way = match sorting.by {
            NAME => text(&a.name, &b.name),
            DATA => text(&a.data, &b.data),
            3 => text(&a.model, &b.model),
            // A run without a figure comes last in either order.
            BEST => return number(a.best_accuracy, b.best_accuracy, sorting.descending),
            5 => a.epoch.cmp(&b.epoch),
            7 => a.seconds.total_cmp(&b.seconds),
            8 => text(&a.notes, &b.notes),
            _ => a.created.total_cmp(&b.created),
        };
        if sorting.descending { way.reverse() } else { way }
    });
    order
}

fn number(a: Option<f64>, b: Option<f64>, descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if descending => b.total_cmp(&a),
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => b.is_some().cmp(&a.is_some()),
    }
}

/// Text and colour of a cell. `live` is the run that goes on; `now` in seconds since 1970.
fn cell(run: &RunSummary, column: usize, live: Option<&PathBuf>, now: f64, palette: &Palette) -> (String, Color32) {
    let goes_on = live == Some(&run.path);
    let text = match column {
        0 => String::new(),
        NAME if goes_on => format!("▶ {}", run.name),
        NAME => run.name.clone(),
        DATA => short_data(&run.data),
        // The words behind the name of a network say its stem and size.
        3 => run.recipe.as_ref().map_or_else(|| run.model.clone(), |recipe| recipe.model.clone()),
        BEST => run.best_accuracy.map_or("–".to_owned(), |best| format!("{:.1} %", best * 100.0)),
        5 if run.finished => format!("{} ✓", run.epoch),
        5 => format!("{} / {}", run.epoch, run.epochs),
        DATE => ago(run.created, now),
        7 => rounded_duration(run.seconds),
        _ if run.problem.is_some() => return ("can't be read".to_owned(), palette.wrong),
        _ => run.notes.lines().next().unwrap_or_default().to_owned(),
    };
    let weak = matches!(column, DATA | 3 | 6..=8);
    let color = if goes_on && column == NAME {
        palette.train
    } else if weak {
        palette.weak
    } else {
        palette.text
    };
    (text, color)
}

/// The last part of a path; a name as it is.
fn short_data(data: &str) -> String {
    text::file_name(std::path::Path::new(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, best: Option<f64>, created: f64) -> RunSummary {
        RunSummary {
            path: PathBuf::from(name),
            name: name.to_owned(),
            data: "/data/Pets".to_owned(),
            model: "resnet18".to_owned(),
            notes: format!("about {name}\nmore"),
            created,
            seconds: 1.0,
            step: 10,
            epoch: 1,
            epochs: 5,
            best_accuracy: best,
            finished: false,
            recipe: None,
            problem: None,
        }
    }

    #[test]
    fn runs_are_sorted_and_one_without_a_figure_comes_last() {
        let runs = [run("a", None, 1.0), run("C", Some(0.9), 3.0), run("b", Some(0.2), 2.0)];
        let names = |filter: &str, by, descending| -> Vec<&str> {
            order(&runs, filter, Sorting { by, descending }).into_iter().map(|at| runs[at].name.as_str()).collect()
        };
        assert_eq!(names("", NAME, false), ["a", "b", "C"]);
        assert_eq!(names("", BEST, true), ["C", "b", "a"]);
        assert_eq!(names("", BEST, false), ["b", "C", "a"]);
        assert_eq!(names("", DATE, true), ["C", "b", "a"]);
        assert_eq!(names("ABOUT c pets", DATE, true), ["C"]);
        assert!(names("cats", DATE, true).is_empty());
    }

    #[test]
    fn a_cell_is_short_enough_to_be_read() {
        let palette = theme::palette_of(egui::Theme::Dark);
        let text = |column| cell(&run("a", Some(0.842), 1.0), column, None, 100.0, palette).0;
        assert_eq!((text(2).as_str(), text(BEST).as_str(), text(5).as_str()), ("Pets", "84.2 %", "1 / 5"));
        assert_eq!((text(DATE).as_str(), text(8).as_str()), ("1 min ago", "about a"));
    }
}
