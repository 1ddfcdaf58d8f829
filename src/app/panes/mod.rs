//! The panes in the middle of the window, one a file.

pub(crate) mod charts;
pub(crate) mod classify;
pub(crate) mod confusion;
pub(crate) mod log;
pub(crate) mod mistakes;
pub(crate) mod pane;
pub(crate) mod predictions;
pub(crate) mod report;
pub(crate) mod runs;
pub(crate) mod samples;
pub(crate) mod timeline;

use self::{
    charts::Charts, classify::Classify, confusion::ConfusionPane, log::LogPane, mistakes::Mistakes,
    predictions::PredictionsPane, report::Report, runs::RunsPane, samples::Samples, timeline::Timeline,
};
use super::background::Wake;
use crate::app::panes::pane::{Kind, Pane};

/// The panes, each kept whether it can be seen or not.
pub(crate) struct Panes {
    charts: Charts,
    samples: Samples,
    predictions: PredictionsPane,
    pub classify: Classify,
    log: LogPane,
    confusion: ConfusionPane,
    timeline: Timeline,
    pub runs: RunsPane,
    mistakes: Mistakes,
    pub report: Report,
}

impl Panes {
    pub(crate) fn new(wake: &Wake) -> Self {
        Self {
            charts: Charts::default(),
            samples: Samples::new(wake.clone()),
            predictions: PredictionsPane::new(wake.clone()),
            classify: Classify::new(wake.clone()),
            log: LogPane::default(),
            confusion: ConfusionPane::new(wake.clone()),
            timeline: Timeline::new(wake.clone()),
            runs: RunsPane::default(),
            mistakes: Mistakes::new(wake.clone()),
            report: Report::new(wake.clone()),
        }
    }

    pub(crate) fn get(&mut self, kind: Kind) -> &mut dyn Pane {
        match kind {
            Kind::Charts => &mut self.charts,
            Kind::Samples => &mut self.samples,
            Kind::Predictions => &mut self.predictions,
            Kind::Classify => &mut self.classify,
            Kind::Log => &mut self.log,
            Kind::Confusion => &mut self.confusion,
            Kind::Timeline => &mut self.timeline,
            Kind::Runs => &mut self.runs,
            Kind::Mistakes => &mut self.mistakes,
            Kind::Report => &mut self.report,
        }
    }

    /// Tells every pane.
    pub(crate) fn each(&mut self, mut tell: impl FnMut(&mut dyn Pane)) {
        Kind::ALL.into_iter().for_each(|kind| tell(self.get(kind)));
    }
}
