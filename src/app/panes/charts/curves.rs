//! The curves of a chart: whose they are, and in which colour.

use super::chart::Chart;
use crate::app::{
    history::{
        Axis, Branch, History,
        averages::Averages,
        series::{Series, Smoothed},
    },
    runs::Overlay,
    state::current_run::Ghost,
    widgets::theme::{self, Palette},
};
use eframe::egui::Color32;

/// The name of the curve that counts an image right whose class is among the five likeliest.
pub(super) const TOP5: &str = "top-5";

/// One curve of a plot.
pub(super) struct Curve<'a> {
    pub name: &'static str,
    pub axis: &'a Axis,
    pub raw: &'a Series,
    pub smooth: Option<&'a Series>,
    pub color: Color32,
    /// Few points, which show as dots too.
    pub dots: bool,
    pub dashed: bool,
}

/// What the plots are drawn from.
pub(super) struct Sources<'a> {
    pub history: &'a History,
    pub averages: &'a [Averages],
    pub overlays: Vec<&'a Overlay>,
    pub ghost: Option<&'a Ghost>,
}

/// One of [`Sources`]: a branch of the run at hand, or another run.
pub(super) struct Source<'a> {
    pub branch: &'a Branch,
    pub averages: &'a Averages,
    pub kind: Kind<'a>,
}

/// Which it is.
#[derive(Clone, Copy)]
pub(super) enum Kind<'a> {
    /// The branch of the run at hand that goes on.
    Present,
    /// One that was left.
    Left,
    Other(&'a Overlay),
    /// The run that was trained before.
    Before(&'a Ghost),
}

impl<'a> Sources<'a> {
    /// Those that were left first, then the other runs, then what goes on, which so lies on top.
    pub(super) fn all(&self) -> Vec<Source<'a>> {
        let own = |(branch, averages)| Source { branch, averages, kind: Kind::Left };
        let mut all: Vec<Source> = self.history.branches.iter().zip(self.averages).map(own).collect();
        let present = all.pop().map(|source| Source { kind: Kind::Present, ..source });
        let behind =
            |ghost: &'a Ghost| Source { branch: &ghost.branch, averages: &ghost.averages, kind: Kind::Before(ghost) };
        all.splice(0..0, self.ghost.map(behind));
        all.extend(self.overlays.iter().map(|&overlay| Source {
            branch: &overlay.branch,
            averages: &overlay.averages,
            kind: Kind::Other(overlay),
        }));
        all.extend(present);
        all
    }

    /// Whether there is another one beside a run at hand, or in its place.
    pub(super) fn several(&self) -> bool {
        self.history.branches.len() > 1 || !self.overlays.is_empty()
    }
}

impl<'a> Source<'a> {
    /// Its curves on one chart.
    pub(super) fn curves(&self, chart: Chart, palette: &Palette, among: &Sources) -> Vec<Curve<'a>> {
        let mut curves = chart.curves(self.branch, self.averages, palette);
        // One dotted curve of a run is enough where there are others.
        curves.retain(|curve| curve.name != TOP5 || matches!(self.kind, Kind::Present));
        for curve in &mut curves {
            match self.kind {
                // Beside others, a run has the same two colours on every chart.
                Kind::Present if among.several() => {
                    curve.color = if curve.dots { palette.validation } else { palette.train };
                }
                Kind::Present => {}
                Kind::Left | Kind::Other(_) | Kind::Before(_) => {
                    (curve.color, curve.dashed) = self.line(palette, among)
                }
            }
        }
        curves
    }

    /// Colour of its training curve where there are several, and whether that is dashed.
    pub(super) fn line(&self, palette: &Palette, among: &Sources) -> (Color32, bool) {
        match self.kind {
            Kind::Present => (palette.train, false),
            // The colours belong to the other runs, where there are any.
            Kind::Left if !among.overlays.is_empty() => (palette.weak.gamma_multiply(0.6), false),
            Kind::Left => (theme::branch_color(palette, self.branch.number), false),
            Kind::Before(_) => (palette.weak.gamma_multiply(0.45), false),
            Kind::Other(overlay) => theme::run_line(palette, overlay.slot),
        }
    }

    /// What tells it apart where there are several.
    pub(super) fn name(&self) -> String {
        match self.kind {
            Kind::Present if self.branch.number == 0 => "this run".to_owned(),
            Kind::Present | Kind::Left => format!("branch {}", self.branch.number),
            Kind::Other(overlay) => overlay.name.clone(),
            Kind::Before(_) => "run before".to_owned(),
        }
    }
}

impl Chart {
    /// In the colours of a run that is alone.
    fn curves<'a>(self, branch: &'a Branch, averages: &'a Averages, palette: &Palette) -> Vec<Curve<'a>> {
        let train = |raw, smooth: &'a Smoothed| Curve {
            name: "training",
            axis: &branch.steps,
            raw,
            smooth: Some(smooth.series()),
            color: palette.train,
            dots: false,
            dashed: false,
        };
        let validation = |raw| Curve {
            name: "validation",
            axis: &branch.epochs,
            raw,
            smooth: None,
            color: palette.validation,
            dots: true,
            dashed: false,
        };
        match self {
            Chart::Loss => vec![train(&branch.loss, &averages.loss), validation(&branch.val_loss)],
            Chart::Accuracy => {
                let mut curves = vec![train(&branch.accuracy, &averages.accuracy), validation(&branch.val_accuracy)];
                let told = branch.val_top5.last().is_some_and(f32::is_finite);
                curves.extend(told.then(|| Curve { name: TOP5, dashed: true, ..validation(&branch.val_top5) }));
                curves
            }
            Chart::Rate => vec![Curve {
                name: "learning rate",
                axis: &branch.steps,
                raw: &branch.lr,
                smooth: None,
                color: palette.rate,
                dots: false,
                dashed: false,
            }],
            Chart::Speed => vec![Curve {
                name: "images per second",
                color: palette.speed,
                ..train(&branch.images_per_s, &averages.speed)
            }],
        }
    }
}
