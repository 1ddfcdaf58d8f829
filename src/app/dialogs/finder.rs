//! The learning-rate finder: a window with the curve of a sweep as it comes in, and the rate that it suggests.
//!
//! A run that goes on sweeps between two of its steps, on its own device; otherwise a thread of its own does. Either way
//! it is done on a copy of the weights.

use crate::app::{
    state::{Action, State},
    widgets::{self, theme, toasts::Level},
};
use crate::{
    format::rounded,
    ops::Implementation,
    session::{self, Command, Progress, Setup, Weights},
    train::{Finding, Value, finder::STEPS},
};
use eframe::egui::{self, Context, RichText, Ui, pos2, vec2};
use egui_plot::{AxisHints, GridInput, GridMark, Line, LineStyle, Plot, PlotPoints, Points, VLine};
use std::sync::mpsc;

/// What became of the last sweep.
enum Sweep {
    None,
    Running(mpsc::Receiver<Progress>),
    /// Told to end by the button.
    Cancelled,
    Over(Result<Finding, String>),
}

/// See the module.
pub(crate) struct Finder {
    open: bool,
    sweep: Sweep,
    /// Learning rate and smoothed loss of the steps so far.
    points: Vec<(f64, f32)>,
}

impl Default for Finder {
    fn default() -> Self {
        Self { open: false, sweep: Sweep::None, points: Vec::new() }
    }
}

impl Finder {
    /// Opens the window; begins a sweep unless one is under way.
    pub(crate) fn start(&mut self, state: &mut State) {
        self.open = true;
        if matches!(self.sweep, Sweep::Running(_)) {
            return;
        }
        let (send, progress) = mpsc::channel();
        match begin(state, send) {
            Ok(()) => {
                self.points.clear();
                self.sweep = Sweep::Running(progress);
            }
            Err(reason) => {
                self.open = !self.points.is_empty();
                state.notices.tell(Level::Warning, format!("Can't look for a learning rate: {reason}"));
            }
        }
    }

    /// Another data set: what was found is about the old one.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes in what the sweep has told.
    pub(crate) fn tick(&mut self) {
        let Sweep::Running(progress) = &self.sweep else { return };
        loop {
            match progress.try_recv() {
                Ok(Progress::Point(lr, loss)) => self.points.push((lr, loss)),
                Ok(Progress::Over(outcome)) => {
                    self.sweep = Sweep::Over(outcome.map_err(|error| error.to_string()));
                    return;
                }
                Err(mpsc::TryRecvError::Empty) => return,
                Err(mpsc::TryRecvError::Disconnected) => {
                    self.sweep = Sweep::Over(Err("the run ended before the sweep did".to_owned()));
                    return;
                }
            }
        }
    }

    /// Draws the window, if it is open.
    pub(crate) fn window(&mut self, ctx: &Context, state: &mut State, escape: bool) {
        if !self.open {
            return;
        }
        let mut open = true;
        let window = egui::Window::new("Learning-rate finder").collapsible(false).resizable(false).open(&mut open);
        // Beside the recipe that it is about, and clear of the bar.
        let window = window.default_width(460.0).default_pos(pos2(theme::SETUP_WIDTH + 60.0, 120.0));
        window.show(ctx, |ui| self.ui(ui, state));
        if !open || escape {
            self.open = false;
            // Nobody would see the rest.
            if matches!(self.sweep, Sweep::Running(_)) {
                self.sweep = Sweep::Cancelled;
            }
        }
    }

    /// What the window holds.
    pub(crate) fn ui(&mut self, ui: &mut Ui, state: &mut State) {
        let palette = theme::palette(ui);
        ui.set_width(460.0_f32.min(ui.available_width()));
        let about = "A short training on a copy of the weights, at a rate that grows from step to step: where the loss \
                     falls the rate works, where it rises the rate is too high. Your run never notices.";
        ui.label(RichText::new(about).color(palette.weak));
        ui.add_space(4.0);
        self.curve(ui, state);
        ui.add_space(4.0);
        self.outcome(ui, state);
    }

    fn suggestion(&self) -> Option<f64> {
        match &self.sweep {
            Sweep::Over(Ok(finding)) => finding.suggestion,
            _ => None,
        }
    }

    fn curve(&self, ui: &mut Ui, state: &State) {
        let palette = theme::palette(ui);
        let points: Vec<[f64; 2]> = self.points.iter().map(|&(lr, loss)| [lr.log10(), f64::from(loss)]).collect();
        let lowest = self.points.iter().min_by(|a, b| a.1.total_cmp(&b.1)).copied();
        let suggestion = self.suggestion();
        let now = state.recipe.lr;
        let mut plot = Plot::new("finder").height(220.0).width(ui.available_width());
        plot = plot.allow_scroll(false).allow_drag(false).allow_zoom(false).allow_boxed_zoom(false);
        plot = plot.show_background(false).grid_color(palette.border).y_axis_min_width(42.0);
        plot = plot.x_grid_spacer(powers);
        let axis = AxisHints::new_x().formatter(|mark, _| power_text(mark.value)).label_spacing(20.0..=40.0);
        plot = plot.custom_x_axes(vec![axis.label("learning rate")]);
        plot = plot.include_x(-6.0).include_x(1.0);
        let plot = plot.show(ui, |plot| {
            if now > 0.0 {
                let line = VLine::new("rate at present", now.log10()).color(palette.weak).width(1.0);
                plot.vline(line.style(LineStyle::Dashed { length: 4.0 }));
            }
            if let Some(lr) = suggestion {
                plot.vline(VLine::new("suggestion", lr.log10()).color(palette.accent).width(2.0));
            }
            if let Some((lr, loss)) = lowest.filter(|_| self.points.len() > 2) {
                let dot = Points::new("lowest loss", vec![[lr.log10(), f64::from(loss)]]);
                plot.points(dot.color(palette.validation).radius(4.5));
            }
            plot.line(Line::new("loss", PlotPoints::from(points)).color(palette.train).width(2.0));
        });
        let lowest = lowest.map(|(lr, loss)| format!(", lowest {loss:.2} at {}", rounded(lr))).unwrap_or_default();
        let words = format!("Loss by learning rate, {} steps{lowest}", self.points.len());
        plot.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &words));
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            let key = |ui: &mut Ui, color, text: String| {
                ui.label(RichText::new("■").color(color).small());
                widgets::whole(ui, RichText::new(text).color(palette.weak).small());
                ui.add_space(8.0);
            };
            key(ui, palette.train, "loss, smoothed".to_owned());
            key(ui, palette.validation, "lowest".to_owned());
            key(ui, palette.accent, "suggestion".to_owned());
            key(ui, palette.weak, format!("rate at present, {}", rounded(now)));
        });
    }

    fn outcome(&mut self, ui: &mut Ui, state: &mut State) {
        let palette = theme::palette(ui);
        let size = vec2(0.0, 28.0);
        match &self.sweep {
            Sweep::None => {}
            Sweep::Running(_) => {
                let last = self.points.last().map(|(lr, _)| format!(", rate {}", rounded(*lr))).unwrap_or_default();
                let share = self.points.len() as f32 / STEPS as f32;
                ui.add(egui::ProgressBar::new(share).desired_height(6.0));
                ui.horizontal(|ui| {
                    if ui.add(egui::Button::new("Cancel").min_size(size)).clicked() {
                        self.sweep = Sweep::Cancelled;
                    }
                    ui.label(format!("Step {} of at most {STEPS}{last}", self.points.len()));
                });
                return;
            }
            Sweep::Cancelled => drop(ui.label("Cancelled.")),
            Sweep::Over(Err(reason)) => {
                ui.label(RichText::new(format!("No rate was found: {reason}")).color(palette.wrong));
            }
            Sweep::Over(Ok(Finding { suggestion: Some(lr), .. })) => {
                let text = format!(
                    "The loss is lowest at about {}. Half of that is a good highest rate for a schedule: {}.",
                    rounded(lr * 2.0),
                    rounded(*lr)
                );
                ui.label(text);
            }
            Sweep::Over(Ok(Finding { cut_short: true, .. })) => {
                ui.label("Ended early, because the run had something else to do.");
            }
            Sweep::Over(Ok(_)) => {
                ui.label(
                    "No rate brought the loss down clearly. That is so where a network has learned all that it can, or \
                          where the data has nothing to learn.",
                );
            }
        }
        ui.horizontal(|ui| {
            if let Some(lr) = self.suggestion() {
                let used = state.recipe.lr == lr;
                let text = if used { format!("{} is in use", rounded(lr)) } else { format!("Use {}", rounded(lr)) };
                let button = ui.add_enabled_ui(!used, |ui| widgets::primary_button(ui, &text, size)).inner;
                if button.on_hover_text("Sets the learning rate of the recipe, and of a run that goes on").clicked() {
                    state.set("lr", Value::Float(lr));
                }
            }
            if ui.add(egui::Button::new("Again").min_size(size)).on_hover_text("Another sweep").clicked() {
                state.ask(Action::FindRate);
            }
        });
    }

    /// A sweep that is over, for a picture.
    #[cfg(test)]
    pub(crate) fn fixed(points: Vec<(f64, f32)>, suggestion: Option<f64>) -> Self {
        let finding = Finding { points: points.clone(), suggestion, cut_short: false };
        Self { open: true, sweep: Sweep::Over(Ok(finding)), points }
    }
}

/// Sends the order to the run that goes on, or to a thread.
fn begin(state: &mut State, progress: mpsc::Sender<Progress>) -> Result<(), String> {
    if state.run.is_live() {
        state.run.send(Command::FindRate { progress });
        return Ok(());
    }
    if state.run.is_busy() {
        return Err("the run is being saved".to_owned());
    }
    if let Some(reason) = state.cannot_train() {
        return Err(reason);
    }
    let dataset = state.data.dataset.clone().ok_or("choose data first")?;
    let resume = state.run.resumable().is_some();
    let setup = Setup {
        dataset,
        recipe: state.recipe.clone(),
        device: state.devices.choice,
        ops: Implementation::default(),
        run_dir: state.run.resumable().cloned().unwrap_or_default(),
        resume,
        weights: state.start_from.clone().filter(|_| !resume).map(Weights::From),
        wake: Some(state.session_wake.clone()),
    };
    session::find_rate(setup, progress);
    Ok(())
}

/// A line at each power of ten.
fn powers(input: GridInput) -> Vec<GridMark> {
    let (low, high) = input.bounds;
    (low.ceil() as i32..=high.floor() as i32)
        .map(|power| GridMark { value: f64::from(power), step_size: 1.0 })
        .collect()
}

/// `0.001`, `1e-5`.
fn power_text(power: f64) -> String {
    rounded(10f64.powf(power.round()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support;

    #[test]
    fn powers_of_ten_read_as_rates() {
        let text: Vec<String> = [-5.0, -3.0, -1.0, 0.0, 1.0].map(power_text).into();
        assert_eq!(text, ["1e-5", "0.001", "0.1", "1", "10"]);
    }

    #[test]
    fn without_data_there_is_a_reason_and_no_window() {
        let mut state = test_support::state();
        let mut finder = Finder::default();
        finder.start(&mut state);
        assert!(!finder.open);
        assert!(state.notices.log.text().contains("Can't look for a learning rate: choose data first"));
    }

    #[test]
    fn a_sweep_whose_run_ended_says_so() {
        let (send, progress) = mpsc::channel();
        let mut finder = Finder { sweep: Sweep::Running(progress), ..Finder::default() };
        send.send(Progress::Point(0.1, 2.0)).unwrap();
        drop(send);
        finder.tick();
        assert_eq!(finder.points, [(0.1, 2.0)]);
        assert!(matches!(&finder.sweep, Sweep::Over(Err(reason)) if reason.contains("the run ended")));
    }
}
