//! The run's past: branches as lines, snapshots on them, and the way back to each of those.
//!
//! Going back opens a branch; the one that was left keeps a snapshot of its end, so either can be gone on with.

mod chosen;

use self::chosen::Chosen;
use crate::app::{
    background::Wake,
    panes::pane::Pane,
    state::{
        Action, Actions, RunAction, State,
        branches::{Branch, BranchTree},
        rewind::Rewind,
    },
    widgets::{
        self,
        theme::{self, Palette},
    },
};
use crate::format::{bytes, number, plural};
use eframe::egui::{
    self, Align2, Color32, CornerRadius, FontId, Pos2, Rect, Role, ScrollArea, Sense, Stroke, Ui, pos2, vec2,
};

/// Height of a branch, in points.
const ROW: f32 = 30.0;
/// Room for what can be done with a snapshot.
const DETAILS: f32 = 84.0;
/// Width of the bar that shows how much of the disk's budget is taken.
const BAR: f32 = 90.0;
/// Room for a branch's name.
const NAME: f32 = 158.0;

pub(crate) struct Timeline {
    chosen: Option<Chosen>,
    /// It was chosen just now, and is to be seen also where the pane is low.
    reveal: bool,
}

/// Something that was pressed.
enum Pressed {
    Choose(String),
    Rewind(Box<Rewind>),
    Remove(String),
}

impl Timeline {
    pub(crate) fn new(_: Wake) -> Self {
        Self { chosen: None, reveal: false }
    }

    /// Draws the past of one run; `budget` is in bytes.
    fn show(&mut self, ui: &mut Ui, tree: &BranchTree, budget: u64, live: bool) -> Option<Pressed> {
        let mut pressed = None;
        let whole = ui.available_height();
        // In a low pane the branches come first.
        let low = whole < 3.0 * ROW;
        ScrollArea::vertical().id_salt("timeline").auto_shrink(false).show(ui, |ui| {
            if !low {
                disk(ui, tree, budget);
            }
            let details = if self.chosen.is_some() { DETAILS } else { 0.0 };
            let height = (whole - ui.min_rect().height() - details).max(ROW + 16.0);
            let scroll = ScrollArea::vertical().id_salt("branches").max_height(height).auto_shrink([false, true]);
            scroll.show(ui, |ui| {
                if let Some(name) = branches(ui, tree, self.chosen.as_ref().map(|chosen| chosen.name.as_str())) {
                    pressed = Some(Pressed::Choose(name));
                }
                widgets::focus::follow(ui);
            });
            if let Some(chosen) = &mut self.chosen {
                match tree.snapshots.iter().find(|snapshot| snapshot.info.name == chosen.name) {
                    Some(snapshot) => pressed = pressed.take().or(chosen.ui(ui, tree, snapshot, live)),
                    // It was thinned out.
                    None => self.chosen = None,
                }
                if std::mem::take(&mut self.reveal) {
                    ui.scroll_to_cursor(Some(egui::Align::BOTTOM));
                }
            }
            if low {
                disk(ui, tree, budget);
            }
            widgets::focus::follow(ui);
        });
        pressed
    }
}

impl Pane for Timeline {
    fn title(&self, _: &State) -> String {
        "Timeline".to_owned()
    }

    fn on_run(&mut self) {
        self.chosen = None;
    }

    fn ui(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions) {
        let tree = state.branches.tree().filter(|tree| !tree.branches.is_empty());
        let Some(tree) = tree else {
            let body = match &state.branches.problem {
                Some(problem) if !state.branches.is_busy() && !state.run.is_live() => problem.clone(),
                _ => "Each epoch leaves a snapshot here, and Ctrl+S leaves one at once. A run can go back to any of \
                      them and on from there with other hyperparameters; what came after stays."
                    .to_owned(),
            };
            widgets::empty_state(ui, "No snapshots yet", &body, None);
            return;
        };
        let budget = state.recipe.snapshot_megabytes.saturating_mul(1 << 20);
        let live = state.run.is_live();
        match self.show(ui, tree, budget, live) {
            Some(Pressed::Choose(name)) => {
                let snapshot = tree.snapshots.iter().find(|snapshot| snapshot.info.name == name);
                let same = self.chosen.as_ref().is_some_and(|chosen| chosen.name == name);
                self.chosen = snapshot.filter(|_| !same).map(Chosen::new);
                self.reveal = true;
            }
            Some(Pressed::Rewind(rewind)) => {
                self.chosen = None;
                actions.ask(Action::Run(RunAction::Rewind(rewind)));
            }
            Some(Pressed::Remove(name)) => {
                actions.ask(Action::Run(RunAction::RemoveSnapshot { run: tree.path.clone(), name }));
                self.chosen = None;
            }
            None => {}
        }
    }
}

/// What the snapshots take of what they may take.
fn disk(ui: &mut Ui, tree: &BranchTree, budget: u64) {
    let palette = theme::palette(ui);
    widgets::toolbar(ui, |ui| {
        let used = tree.bytes();
        let snapshots = plural(tree.snapshots.len(), "snapshot");
        let text = match budget {
            0 => format!("{snapshots}, {}; none is kept automatically", bytes(used)),
            budget => format!("{snapshots}, {} of {}", bytes(used), bytes(budget)),
        };
        widgets::whole(ui, text).on_hover_text(
            "Automatic snapshots are thinned out with age so that all stay within the budget, a field of the recipe. \
             Those taken by hand, and those left when a run went back, always stay.",
        );
        if budget > 0 && ui.available_size_before_wrap().x >= BAR {
            let (bar, response) = ui.allocate_exact_size(vec2(BAR, 8.0), Sense::hover());
            let share = (used as f64 / budget as f64).clamp(0.0, 1.0) as f32;
            let mut filled = bar;
            filled.set_width(bar.width() * share);
            let color = if used > budget { palette.warning } else { palette.validation };
            ui.painter().rect_filled(bar, CornerRadius::same(4), palette.raised);
            ui.painter().rect_filled(filled, CornerRadius::same(4), color);
            response.widget_info(|| {
                egui::WidgetInfo::labeled(Role::Label, true, format!("{:.0} % of the budget", share * 100.0))
            });
        }
    });
}

/// Draws the branches with their snapshots; returns the name of the one that was clicked.
fn branches(ui: &mut Ui, tree: &BranchTree, chosen: Option<&str>) -> Option<String> {
    let palette = theme::palette(ui);
    let end = tree.branches.iter().map(|branch| branch.to).max().unwrap_or(0).max(1);
    let size = vec2(ui.available_width(), ROW * tree.branches.len() as f32 + 6.0);
    let (whole, _) = ui.allocate_exact_size(size, Sense::hover());
    let width = whole.width() - NAME - 14.0;
    let x = |step: u64| whole.left() + NAME + width * step as f32 / end as f32;
    let y = |row: usize| whole.top() + ROW * (row as f32 + 0.5);
    let row_of = |branch: u32| tree.branches.iter().position(|known| known.number == branch);
    let mut clicked = None;
    for (row, branch) in tree.branches.iter().enumerate() {
        let color = branch_color(palette, branch.number, tree);
        let stroke = Stroke::new(2.5, color);
        if let Some((from, step)) = branch.parent.and_then(|(parent, step)| Some((row_of(parent)?, step))) {
            ui.painter().vline(x(step), y(from)..=y(row), Stroke::new(1.5, color));
        }
        ui.painter().hline(x(branch.from)..=x(branch.to).max(x(branch.from) + 2.0), y(row), stroke);
        let name = branch_name(branch, branch.number == tree.current);
        let place = Rect::from_min_size(pos2(whole.left(), y(row) - ROW / 2.0), vec2(NAME - 8.0, ROW));
        let response = ui.interact(place, ui.scope_id().with(("branch", branch.number)), Sense::click());
        let text = widgets::elided(ui, &name, FontId::proportional(12.0), palette.text, NAME - 10.0);
        ui.painter().galley(place.left_center() - vec2(0.0, text.size().y / 2.0), text, palette.text);
        response.widget_info(|| egui::WidgetInfo::labeled(Role::Button, true, &name));
        if response.on_hover_text("Chooses the furthest snapshot of this branch, to go on from there").clicked() {
            clicked = tree.furthest(branch.number).map(|snapshot| snapshot.info.name.clone());
        }
    }
    // The newest are drawn last, so that they lie on top where snapshots are crowded.
    for snapshot in &tree.snapshots {
        let Some(row) = row_of(snapshot.info.branch) else { continue };
        let at = pos2(x(snapshot.info.step.min(end)), y(row));
        let color = branch_color(palette, snapshot.info.branch, tree);
        let here = chosen == Some(snapshot.info.name.as_str());
        let place = Rect::from_center_size(at, vec2(13.0, 22.0));
        let response = ui.interact(place, ui.scope_id().with(("snapshot", &snapshot.info.name)), Sense::click());
        let lit = here || response.hovered() || response.has_focus();
        draw_snapshot(ui, at, snapshot.info.automatic, if lit { palette.text } else { color }, palette.pane);
        let name = format!("Snapshot {}, step {}", snapshot.info.name, number(snapshot.info.step));
        response.widget_info(|| egui::WidgetInfo::labeled(Role::Button, true, &name));
        if response.on_hover_text(name.clone()).clicked() {
            clicked = Some(snapshot.info.name.clone());
        }
    }
    let small = FontId::proportional(10.0);
    let at = pos2(x(end), whole.bottom() + 4.0);
    ui.painter().text(at, Align2::RIGHT_BOTTOM, format!("step {}", number(end)), small, palette.weak);
    clicked
}

/// A dot for an automatic snapshot; a diamond for one that stays.
fn draw_snapshot(ui: &Ui, at: Pos2, automatic: bool, color: Color32, behind: Color32) {
    let edge = Stroke::new(2.0, behind);
    if automatic {
        ui.painter().circle(at, 5.0, color, edge);
    } else {
        let r = 7.0;
        let points = vec![at - vec2(0.0, r), at + vec2(r, 0.0), at + vec2(0.0, r), at - vec2(r, 0.0)];
        ui.painter().add(egui::Shape::convex_polygon(points, color, edge));
    }
}

/// As on the charts.
fn branch_color(palette: &Palette, number: u32, tree: &BranchTree) -> Color32 {
    if number == tree.current { palette.train } else { theme::branch_color(palette, number) }
}

fn branch_name(branch: &Branch, current: bool) -> String {
    let best = branch.best().map(|best| format!(", best {:.1} %", best * 100.0)).unwrap_or_default();
    format!("{}Branch {}{best}", if current { "▶ " } else { "" }, branch.number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{
        state::Action,
        test_support::{draw, harness, open_run_with_branches, state},
    };
    use crate::train::Value;
    use egui_kittest::{Harness, kittest::Queryable};
    use std::{cell::RefCell, rc::Rc, sync::Arc};

    /// A window with the timeline of the run in `folder`, and the state behind it.
    fn window(folder: &std::path::Path) -> (Harness<'static>, Rc<RefCell<State>>) {
        let mut first = state();
        let run = open_run_with_branches(&mut first, folder);
        while first.branches.tree().is_none() {
            first.branches.tick(Some(&run));
            assert!(first.branches.problem.is_none(), "{:?}", first.branches.problem);
        }
        let state = Rc::new(RefCell::new(first));
        let shared = state.clone();
        let mut pane = Timeline::new(Arc::new(|| ()));
        (harness(move |ui| draw(&mut pane, ui, &mut shared.borrow_mut())), state)
    }

    fn asked(state: &Rc<RefCell<State>>) -> Vec<Action> {
        state.borrow_mut().actions.take()
    }

    #[test]
    fn rewinding_to_a_snapshot_with_another_learning_rate() {
        let folder = tempfile::tempdir().unwrap();
        let (mut harness, state) = window(folder.path());
        harness.get_by_label("▶ Branch 1, best 60.0 %");
        harness.get_by_label_contains("3 snapshots");
        harness.get_by_label("Snapshot epoch-1, step 10").click();
        harness.run();
        let edit = harness.get_by_label("Learning rate after going back");
        assert_eq!(edit.value().as_deref(), Some("0.05"));
        edit.focus();
        harness.run();
        harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::A);
        harness.run();
        harness.get_by_label("Learning rate after going back").type_text("0.002");
        harness.run();
        harness.get_by_label("Rewind to here").click();
        harness.run();
        let actions = asked(&state);
        let [Action::Run(RunAction::Rewind(rewind))] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(rewind.snapshot, "epoch-1");
        assert_eq!(rewind.changes, [("lr".to_owned(), Value::Float(0.002))]);
    }

    #[test]
    fn the_branch_that_was_left_can_be_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let (mut harness, state) = window(folder.path());
        harness.get_by_label("Branch 0, best 50.0 %").click();
        harness.run();
        harness.get_by_label("Continue this branch").click();
        harness.run();
        let actions = asked(&state);
        let [Action::Run(RunAction::Rewind(rewind))] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!((rewind.snapshot.as_str(), rewind.changes.len()), ("left-at-30", 0));
    }
}
