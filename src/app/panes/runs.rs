//! Every run so far: a list that sorts and filters, what can be done with each, and what differs between those that are
//! compared.

mod columns;
mod details;
pub(crate) mod differences;
mod query;
mod rows;
mod tags;
mod toolbar;

use self::{
    columns::{Beside, Column, Group},
    details::Details,
    query::Query,
    rows::{Row, rows},
};
use super::csv::CsvExport;
use crate::app::{
    background::Wake,
    panes::pane::Pane,
    state::{Action, Actions, PaneId, RunAction, State},
    widgets::{
        self, focus,
        table::{self, Sorting},
        theme,
    },
};
use crate::format::plural;
use crate::train::{RunSummary, event_log};
use eframe::egui::{self, Checkbox, Panel, RichText, ScrollArea, Ui, UiBuilder};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

pub(crate) struct RunsPane {
    filter: String,
    by: Column,
    descending: bool,
    group: Group,
    /// Parts of the list that are folded.
    folded: HashSet<String>,
    /// What `rows` was worked out from.
    known: Option<Known>,
    rows: Vec<Row>,
    /// Of each run of the list, what tells it apart.
    differs: Vec<String>,
    details: Option<Details>,
    /// The run that the user is asked about.
    asking: Option<PathBuf>,
    export: CsvExport,
    /// When it was last drawn; after a while unseen the list is read again.
    drawn: u64,
}

/// The list's version, and how it is shown.
type Known = (u64, String, Column, bool, Group, HashSet<String>);

impl RunsPane {
    pub(crate) fn new(wake: Wake) -> Self {
        Self {
            filter: String::new(),
            by: Column::Begun,
            descending: true,
            group: Group::None,
            folded: HashSet::new(),
            known: None,
            rows: Vec::new(),
            differs: Vec::new(),
            details: None,
            asking: None,
            export: CsvExport::new(wake),
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

    /// Puts the runs in order where the list or how it is shown has changed.
    fn sort(&mut self, state: &State) {
        let index = &state.runs.index;
        let shown = (self.filter.clone(), self.by, self.descending, self.group, self.folded.clone());
        let (filter, by, descending, group, folded) = shown;
        let now: Known = (index.version(), filter, by, descending, group, folded);
        if self.known.as_ref() == Some(&now) {
            return;
        }
        let runs = index.runs();
        let query = Query::parse(&self.filter);
        let mut order: Vec<usize> = (0..runs.len()).filter(|&at| query.matches(&runs[at])).collect();
        columns::sort(&mut order, runs, self.by, self.descending, self.group);
        let listed: Vec<&RunSummary> = order.iter().map(|&at| &runs[at]).collect();
        self.differs = vec![String::new(); runs.len()];
        for (&at, text) in order.iter().zip(columns::differences(&listed)) {
            self.differs[at] = text;
        }
        self.rows = rows(runs, &order, self.group, &self.folded);
        self.known = Some(now);
    }

    /// Writes the runs that are listed to a file that is asked for.
    fn export(&mut self, state: &State) {
        let runs = state.runs.index.runs();
        let listed = self.rows.iter().filter_map(|row| if let Row::Run(at) = row { runs.get(*at) } else { None });
        self.export.start(&state.file_dialog, "runs.csv", columns::csv(&listed.collect::<Vec<_>>()));
    }

    /// Draws the table; a click on a row chooses the run, or folds the part.
    fn table(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        let tagged = state.runs.index.runs().iter().any(|run| !tags::of(&run.notes).is_empty());
        let shown = Column::shown(ui.available_width(), state.settings.target.is_some(), tagged);
        let heads: Vec<table::Column> = shown.iter().map(|column| column.head()).collect();
        // None that is shown stands for one that is not.
        let by = shown.iter().position(|&column| column == self.by).unwrap_or(usize::MAX);
        let mut sorting = Sorting { by, descending: self.descending };
        if table::header(ui, &heads, &mut sorting)
            && let Some(&by) = shown.get(sorting.by)
        {
            (self.by, self.descending) = (by, sorting.descending);
        }
        self.sort(state);
        let runs = state.runs.index.runs();
        let palette = theme::palette(ui);
        let now = event_log::now();
        let live = state.run.folder().filter(|_| state.run.is_busy());
        let run_at = |row: usize| match self.rows.get(row) {
            Some(Row::Run(at)) => runs.get(*at).map(|run| (*at, run)),
            _ => None,
        };
        let chosen = self.details.as_ref().map(|details| &details.path);
        let chosen = (0..self.rows.len()).find(|&row| run_at(row).is_some_and(|(_, run)| Some(&run.path) == chosen));
        let own = state.run.drawn();
        let (mut ticked, mut pressed) = (None, None);
        let of_tags = shown.iter().position(|&column| column == Column::Tags);
        let query = Query::parse(&self.filter);
        let cell = |row: usize, column: usize| match (self.rows.get(row), shown.get(column)) {
            (Some(Row::Part(name, count, best)), Some(&column)) => {
                let text = match column {
                    Column::Name => {
                        let sign = if self.folded.contains(name) { "+" } else { "−" };
                        format!("{sign} {name} ({count})")
                    }
                    Column::Best => best.map_or_else(String::new, |best| format!("{:.1} %", best * 100.0)),
                    _ => String::new(),
                };
                (text, palette.accent)
            }
            (Some(Row::Run(at)), Some(&column)) if *at < runs.len() => {
                let run = &runs[*at];
                let reached = state.runs.index.reached(&run.path);
                let beside = Beside { live: live == Some(&run.path), differs: &self.differs[*at], reached };
                column.cell(run, beside, now, palette)
            }
            _ => Default::default(),
        };
        let name = |row: usize| match self.rows.get(row) {
            Some(Row::Part(name, count, _)) => format!("Part {name}, {}", plural(*count, "run")),
            _ => run_at(row).map_or_else(String::new, |(_, run)| format!("Run {}", run.name)),
        };
        let clicked = table::rows_with(ui, "runs", &heads, self.rows.len(), chosen, cell, name, |ui, row, places| {
            let Some((_, run)) = run_at(row) else { return };
            if places.first().is_some_and(|&place| tick(ui, place, run, state, own)) {
                ticked = Some(run.path.clone());
            }
            if let Some(at) = of_tags {
                pressed = pressed.take().or(tags::chips(ui, places[at], run, |tag| query.has_tag(tag)));
            }
        });
        if let Some(tag) = pressed {
            self.filter = query::toggled(&self.filter, &tag);
        }
        if let Some(path) = ticked {
            actions.ask(Action::Run(RunAction::Compare(path)));
        }
        if let Some(Row::Part(name, ..)) = clicked.and_then(|row| self.rows.get(row)) {
            if !self.folded.remove(name) {
                self.folded.insert(name.clone());
            }
        } else if let Some((_, run)) = clicked.and_then(run_at) {
            let run = run.clone();
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

    /// What is known of the chosen run, and what differs between those that are compared; the list keeps a part of the pane.
    fn lower(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        /// Height of the list, in points, that is left of a pane that has room for it.
        const LIST: f32 = 130.0;
        let compares = !state.runs.compared.overlays().is_empty();
        let run = self.details.as_ref().and_then(|details| state.runs.index.get(&details.path).cloned());
        // One that was just renamed is in the list as soon as that is read again.
        if run.is_none() && state.runs.index.is_settled() {
            self.details = None;
        }
        if !compares && run.is_none() {
            return;
        }
        let height = ui.available_height();
        let most = (height - LIST).max(height * 0.5);
        let panel = Panel::bottom("lower part").resizable(false).frame(theme::inner_frame());
        panel.show(ui, |ui| {
            // As high as what is in it, even where that was lower in the last frame.
            let scroll = ScrollArea::vertical().id_salt("lower part").auto_shrink([false, true]);
            scroll.max_height(most).min_scrolled_height(most).show(ui, |ui| {
                if compares {
                    compared(ui, state, actions, (height * 0.5).clamp(60.0, 200.0));
                }
                let Some((details, run)) = self.details.as_mut().zip(run) else { return };
                if compares {
                    ui.separator();
                }
                if details.ui(ui, &run, state, actions) {
                    self.asking = Some(run.path);
                }
                focus::follow(ui);
            });
        });
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
        if self.rows.is_empty() {
            let text = match Query::parse(&self.filter).unknown() {
                Some(key) => format!("“{key}” is no field of a recipe. {}.", query::HELP),
                None => format!("No run has “{}”.", self.filter.trim()),
            };
            ui.label(RichText::new(text).color(theme::palette(ui).weak));
        }
        self.export.tick(actions);
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

/// The box of a run; returns whether it was clicked.
fn tick(ui: &mut Ui, place: egui::Rect, run: &RunSummary, state: &State, own: Option<&PathBuf>) -> bool {
    let palette = theme::palette(ui);
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
    response.accessible_name(format!("Compare {}", run.name)).clicked()
}
