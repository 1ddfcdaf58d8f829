//! The panes in the middle of the window, one a file.

mod charts;
mod classes;
mod classify;
mod confusion;
mod csv;
mod held;
mod layers;
mod log;
mod mistakes;
pub(crate) mod pane;
mod predictions;
mod report;
mod runs;
mod samples;
pub(crate) mod tiles;
mod timeline;

use self::pane::Pane;
use super::{background::Wake, state::PaneId};

macro_rules! panes {
    ($($field:ident: $pane:ty = $id:expr, $new:expr;)*) => {
        /// The panes, each kept whether it can be seen or not.
        pub(crate) struct Panes { $(pub(crate) $field: $pane,)* }

        impl Panes {
            /// All that there are.
            pub(crate) const ALL: &[PaneId] = &[$($id),*];

            pub(crate) fn new(wake: &Wake) -> Self {
                Self { $($field: $new(wake.clone()),)* }
            }

            /// The pane of that name; none if it is of another version.
            pub(crate) fn get(&mut self, id: &PaneId) -> Option<&mut dyn Pane> {
                $(if *id == $id {
                    return Some(&mut self.$field);
                })*
                None
            }

            /// Tells every pane.
            pub(crate) fn each(&mut self, mut tell: impl FnMut(&mut dyn Pane)) {
                $(tell(&mut self.$field);)*
            }
        }
    };
}

// In the order of the keys 1, 2, 3 …
panes! {
    charts: charts::Charts = PaneId::CHARTS, charts::Charts::new;
    samples: samples::Samples = PaneId::SAMPLES, samples::Samples::new;
    predictions: predictions::PredictionsPane = PaneId::PREDICTIONS, predictions::PredictionsPane::new;
    classify: classify::Classify = PaneId::CLASSIFY, classify::Classify::new;
    log: log::LogPane = PaneId::LOG, log::LogPane::new;
    confusion: confusion::ConfusionPane = PaneId::CONFUSION, confusion::ConfusionPane::new;
    timeline: timeline::Timeline = PaneId::TIMELINE, timeline::Timeline::new;
    runs: runs::RunsPane = PaneId::RUNS, runs::RunsPane::new;
    mistakes: mistakes::Mistakes = PaneId::MISTAKES, mistakes::Mistakes::new;
    report: report::Report = PaneId::REPORT, report::Report::new;
    layers: layers::Layers = PaneId::LAYERS, layers::Layers::new;
    classes: classes::Classes = PaneId::CLASSES, classes::Classes::new;
}
