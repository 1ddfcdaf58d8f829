//! What a pane is: something with a title that draws itself and hears what happens.

use super::state::State;
use crate::session::Event;
use eframe::egui::{Context, Ui};
use serde::{Deserialize, Serialize};

/// One pane in the middle of the window. It keeps what concerns only itself (a page, a filter, a texture); all else is
/// in [`State`].
pub(crate) trait Pane {
    /// The text of its tab.
    fn title(&self, state: &State) -> String;

    /// Draws it. Must not wait for anything.
    fn ui(&mut self, ui: &mut Ui, state: &mut State);

    /// Whether it has a tab: one that has something to say only when something went wrong appears when it has.
    fn has_tab(&self) -> bool {
        true
    }

    /// Called once a frame, whether the pane can be seen or not.
    fn tick(&mut self, _ctx: &Context, _state: &mut State) {}

    /// Hears an event of the session, whether the pane can be seen or not.
    fn on_event(&mut self, _event: &Event) {}

    /// Whether a picture of it is still being made.
    #[cfg(test)]
    fn is_busy(&self) -> bool {
        false
    }

    /// The data set was replaced.
    fn on_data(&mut self) {}
}

/// The panes that there are. Their order is that of the keys 1, 2, 3 …
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Loss, accuracy and learning rate over the steps.
    Charts,
    /// Images as the network is shown them.
    Samples,
    /// What the network says of the validation images.
    Predictions,
    /// What it says of images that are brought.
    Classify,
    /// Events, in words.
    Log,
    /// Which classes are taken for which.
    Confusion,
    /// Snapshots and branches, to go back to.
    Timeline,
    /// The runs on disk.
    Runs,
    /// Images that may have a wrong label.
    Mistakes,
    /// Where numbers stopped being finite.
    Report,
}

impl Kind {
    pub(crate) const ALL: [Kind; 10] = [
        Kind::Charts,
        Kind::Samples,
        Kind::Predictions,
        Kind::Classify,
        Kind::Log,
        Kind::Confusion,
        Kind::Timeline,
        Kind::Runs,
        Kind::Mistakes,
        Kind::Report,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Charts => "Charts",
            Kind::Samples => "Samples",
            Kind::Predictions => "Predictions",
            Kind::Classify => "Classify",
            Kind::Log => "Log",
            Kind::Confusion => "Confusion",
            Kind::Timeline => "Timeline",
            Kind::Runs => "Runs",
            Kind::Mistakes => "Mistakes",
            Kind::Report => "NaN report",
        }
    }
}
