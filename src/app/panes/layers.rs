//! How large the weights of each layer and their gradients are, over the run: a layer whose gradient is a thousandth of
//! the others' hardly learns, one whose weights grow and grow is about to run away.
//!
//! The session says the norms while it trains in a window. Those of before are read from the run's log, on a thread.

use super::{charts::axes, pane::Pane};
use crate::app::{
    background::{Task, Wake, finished},
    history::{X, series::Series},
    state::{Actions, State},
    widgets::{self, theme},
};
use crate::{
    format::{number, rounded},
    session::Event,
    train::{History, RunFolder},
};
use eframe::egui::{self, Color32, Context, Id, Rgba, RichText, ScrollArea, Sense, Ui, UiBuilder};
use egui_plot::{HoverPosition, Line, Plot, PlotPoint, PlotPoints};
use std::path::Path;

/// Width of the labels on the left, in points.
const LEFT_EDGE: f32 = 42.0;
/// Room for the names of the layers, in points.
const NAMES: f32 = 190.0;

/// What is drawn of each layer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    Gradient,
    Weights,
    Ratio,
}

impl Measure {
    const CHOICES: [(Measure, &str, &str); 3] = [
        (Measure::Gradient, "Gradients", "Euclidean norm of the loss's gradient by the layer's weights, on one batch"),
        (Measure::Weights, "Weights", "Euclidean norm of the layer's weights"),
        (Measure::Ratio, "Gradients / weights", "What times the learning rate is the relative size of a plain update"),
    ];
}

/// What was measured of one layer.
#[derive(Debug)]
struct Layer {
    name: String,
    steps: Vec<f64>,
    /// Decimal logarithms, in the order of [`Measure::CHOICES`].
    values: [Series; 3],
}

/// What was measured on the way to the present state of a run, in the order of the network.
#[derive(Debug, Default)]
struct Norms(Vec<Layer>);

impl Norms {
    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Norms { step, layers } => {
                for layer in layers {
                    self.push(&layer.name, *step as f64, [layer.gradient, layer.weights]);
                }
            }
            Event::Resumed { step, .. } => self.forget_after(*step as f64),
            _ => {}
        }
    }

    fn push(&mut self, name: &str, step: f64, [gradient, weights]: [f32; 2]) {
        let values = [gradient, weights, gradient / weights].map(f32::log10);
        let known = self.0.iter().position(|layer| layer.name == name);
        let at = known.unwrap_or_else(|| {
            self.0.push(Layer { name: name.to_owned(), steps: Vec::new(), values: Default::default() });
            self.0.len() - 1
        });
        let layer = &mut self.0[at];
        if layer.steps.last().is_none_or(|&last| last < step) {
            layer.steps.push(step);
            layer.values.iter_mut().zip(values).for_each(|(series, value)| series.push(value));
        }
    }

    /// Steps beyond this one are made again, on another branch.
    fn forget_after(&mut self, step: f64) {
        for layer in &mut self.0 {
            let kept = layer.steps.partition_point(|&at| at <= step);
            if kept < layer.steps.len() {
                layer.steps.truncate(kept);
                layer.values = std::mem::take(&mut layer.values).map(|series| {
                    let mut shorter = Series::default();
                    series.values()[..kept].iter().for_each(|&value| shorter.push(value));
                    shorter
                });
            }
        }
    }

    /// Reads the log of a run. Waits for the disk.
    fn read(run: &Path) -> Result<Self, String> {
        let folder = RunFolder::open(run).map_err(|error| error.to_string())?;
        let history = History::read(&folder.events_path()).map_err(|error| error.to_string())?;
        let mut norms = Self::default();
        history.path(history.current).for_each(|line| norms.on_event(&line.event));
        Ok(norms)
    }
}

pub(crate) struct Layers {
    wake: Wake,
    measure: Measure,
    norms: Norms,
    /// The log of the run at hand has not been read yet.
    unread: bool,
    reading: Option<Task<Result<Norms, String>>>,
    /// Ask the plot to show everything again.
    reset: bool,
}

impl Layers {
    pub(crate) fn new(wake: Wake) -> Self {
        let norms = Norms::default();
        Self { wake, measure: Measure::Gradient, norms, unread: false, reading: None, reset: false }
    }

    /// Takes what the log says, and what was heard since it was read.
    fn take(&mut self, read: Norms) {
        for layer in std::mem::replace(&mut self.norms, read).0 {
            let [gradients, weights, _] = &layer.values;
            for ((&step, gradient), weights) in layer.steps.iter().zip(gradients.values()).zip(weights.values()) {
                self.norms.push(&layer.name, step, [gradient, weights].map(|log| 10f32.powf(*log)));
            }
        }
    }

    /// The layers by name with their latest values; gives the one under the pointer.
    fn names(&self, ui: &mut Ui) -> Option<usize> {
        let palette = theme::palette(ui);
        let mut pointed = None;
        ScrollArea::vertical().id_salt("layers").auto_shrink([false, false]).show(ui, |ui| {
            for (at, layer) in self.norms.0.iter().enumerate() {
                let row = ui.horizontal(|ui| {
                    ui.label(RichText::new("■").color(color(ui, at, self.norms.0.len())).small());
                    let last = layer.values[self.measure as usize].last();
                    let value = last.map_or_else(String::new, |log| rounded(10f64.powf(f64::from(log))));
                    let name = layer.name.strip_suffix(".weight").unwrap_or(&layer.name);
                    let font = egui::FontId::proportional(12.0);
                    ui.label(widgets::elided(ui, name, font, palette.text, NAMES - 86.0));
                    ui.label(RichText::new(value).color(palette.weak).size(12.0));
                });
                let response = ui.interact(row.response.rect, ui.scope_id().with(("layer", at)), Sense::hover());
                if response.on_hover_text(&layer.name).hovered() {
                    pointed = Some(at);
                }
            }
        });
        pointed
    }

    fn plot(&mut self, ui: &mut Ui, pointed: Option<usize>) {
        let palette = theme::palette(ui);
        let (count, measure) = (self.norms.0.len(), self.measure as usize);
        let plot = Plot::new("layers")
            .show_background(false)
            .allow_scroll(false)
            .y_axis_min_width(LEFT_EDGE)
            .grid_color(palette.border)
            .grid_spacing(egui::Rangef::new(axes::CLOSEST as f32, 140.0))
            .x_grid_spacer(axes::x_grid(X::Step))
            .custom_x_axes(vec![axes::lower_edge(X::Step, ui.available_width() - LEFT_EDGE)])
            .y_grid_spacer(|input| axes::y_grid(input, true))
            .y_axis_formatter(|mark, _| rounded(10f64.powf(mark.value)))
            .label_formatter(|at| Some(hover_text(at)));
        let plot = if std::mem::take(&mut self.reset) { plot.reset() } else { plot };
        let colors: Vec<Color32> = (0..count).map(|at| color(ui, at, count)).collect();
        let response = plot.show(ui, |plot| {
            let columns = (plot.transform().frame().width() as usize).max(50);
            for (at, layer) in self.norms.0.iter().enumerate() {
                let series = &layer.values[measure];
                let mut points = Vec::new();
                series.outline(0, series.len(), columns, |position| {
                    points.extend(position.map(|i| PlotPoint::new(layer.steps[i], f64::from(series.values()[i]))));
                });
                let (faded, width) = match pointed {
                    Some(pointed) if pointed != at => (0.25, 1.0),
                    Some(_) => (1.0, 2.5),
                    None => (1.0, 1.3),
                };
                let line = Line::new(&layer.name, PlotPoints::Owned(points)).id(Id::unique(("layer", at)));
                plot.line(line.color(colors[at].gamma_multiply(faded)).width(width));
            }
        });
        let name = format!("{} of {count} layers", Measure::CHOICES[measure].1);
        response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &name));
    }
}

/// From the first layer's colour to the last's.
fn color(ui: &Ui, at: usize, count: usize) -> Color32 {
    let palette = theme::palette(ui);
    let share = at as f32 / (count.max(2) - 1) as f32;
    let (first, last) = (Rgba::from(palette.validation), Rgba::from(palette.train));
    Color32::from(first * (1.0 - share) + last * share)
}

fn hover_text(at: &HoverPosition<'_>) -> String {
    let (name, position) = match at {
        HoverPosition::NearDataPoint { plot_name, position, .. } => (*plot_name, *position),
        HoverPosition::Elsewhere { position } => ("", *position),
    };
    let place = format!("step {}", number(position.x.max(0.0).round() as u64));
    if name.is_empty() { place } else { format!("{name} {}\n{place}", rounded(10f64.powf(position.y))) }
}

impl Pane for Layers {
    fn title(&self, _: &State) -> String {
        "Layers".to_owned()
    }

    fn on_run(&mut self) {
        (self.norms, self.reading, self.unread, self.reset) = (Norms::default(), None, true, true);
    }

    fn on_event(&mut self, event: &Event) {
        self.norms.on_event(event);
    }

    fn tick(&mut self, _: &Context, state: &State, _: &mut Actions) {
        // A run that goes on as soon as it is at hand is new.
        if std::mem::take(&mut self.unread)
            && let Some(run) = state.run.resumable().cloned()
        {
            self.reading = Some(Task::spawn("layers", self.wake.clone(), move || Norms::read(&run)));
        }
        // Why a run can't be read is said by whoever opened it.
        if let Some(Ok(read)) = finished(&mut self.reading).map(Result::flatten) {
            self.take(read);
        }
    }

    fn ui(&mut self, ui: &mut Ui, _: &State, _: &mut Actions) {
        if self.norms.0.is_empty() {
            let body = "How large each layer's weights and gradients are is measured every few seconds of training in a \
                        window. A layer that hardly learns, and one that is about to run away, show themselves here.";
            widgets::empty_state(ui, "The layers of a run", body, None);
            return;
        }
        widgets::toolbar(ui, |ui| {
            self.reset |= widgets::chips(ui, &mut self.measure, &Measure::CHOICES);
            self.reset |= ui.button("Show all").on_hover_text("Back to the whole curves").clicked();
        });
        let (room, gap) = (ui.available_rect_before_wrap(), ui.spacing().item_spacing);
        // The names stand beside the plot, or below where that would leave too little of it.
        let (plot, names) = match room.width() >= NAMES * 2.4 {
            true => room.split_left_right_at_x(room.right() - NAMES),
            false => room.split_top_bottom_at_fraction(0.6),
        };
        let mut below = ui.new_child(UiBuilder::new().max_rect(names.with_min_y(names.top() + gap.y)));
        let pointed = self.names(&mut below);
        let mut inner = ui.new_child(UiBuilder::new().max_rect(plot.with_max_x(plot.right() - gap.x)));
        self.plot(&mut inner, pointed);
        ui.advance_cursor_after_rect(room);
    }

    #[cfg(test)]
    fn is_busy(&self) -> bool {
        self.unread || self.reading.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::{draw, harness, state};
    use crate::train::events::LayerNorms;
    use egui_kittest::kittest::Queryable;
    use std::sync::Arc;

    fn norms(step: u64, gradient: f32) -> Event {
        let layer = |name: &str, gradient| LayerNorms { name: name.to_owned(), weights: 2.0, gradient };
        Event::Norms { step, layers: vec![layer("conv1.weight", gradient), layer("fc.weight", 0.5)] }
    }

    #[test]
    fn each_layer_is_named_with_its_latest_value() {
        let mut pane = Layers::new(Arc::new(|| ()));
        pane.on_event(&norms(10, 0.25));
        pane.on_event(&norms(20, 0.125));
        let mut state = state();
        let mut harness = harness(move |ui| draw(&mut pane, ui, &mut state));
        harness.get_by_label("Gradients of 2 layers");
        harness.get_by_label("conv1");
        harness.get_by_label("0.125");
        harness.get_by_label("Weights").click();
        harness.run();
        harness.get_by_label("Weights of 2 layers");
        assert_eq!(harness.get_all_by_label("2").count(), 2);
    }

    #[test]
    fn going_back_takes_back_what_was_measured_after() {
        let mut measured = Norms::default();
        [(10, 1.0), (20, 2.0), (30, 4.0)]
            .iter()
            .for_each(|&(step, gradient)| measured.on_event(&norms(step, gradient)));
        let (device, snapshot) = (String::new(), None);
        measured.on_event(&Event::Resumed { step: 15, epoch: 0, from_branch: 0, snapshot, device });
        measured.on_event(&norms(20, 100.0));
        assert_eq!(measured.0[0].steps, [10.0, 20.0]);
        assert_eq!(measured.0[0].values[0].values(), [0.0, 2.0]);
    }
}
