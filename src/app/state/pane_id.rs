//! What a pane is called, by those who only name it: actions, the layout, the menu.

use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};

/// Names a pane. The panes that there are stand in [`crate::app::panes`]; one that a saved layout names may be of another
/// version, and not be there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PaneId(Cow<'static, str>);

impl PaneId {
    /// The curves of the run at hand.
    pub const CHARTS: PaneId = PaneId::new("Charts");
    /// The training images as the network gets them.
    pub const SAMPLES: PaneId = PaneId::new("Samples");
    /// What the network says of validation images.
    pub const PREDICTIONS: PaneId = PaneId::new("Predictions");
    /// Images of one's own.
    pub const CLASSIFY: PaneId = PaneId::new("Classify");
    /// Photographs by their class, to put in order.
    pub const CLASSES: PaneId = PaneId::new("Classes");
    /// What happened, in lines.
    pub const LOG: PaneId = PaneId::new("Log");
    /// Which class is taken for which.
    pub const CONFUSION: PaneId = PaneId::new("Confusion");
    /// Branches and snapshots.
    pub const TIMELINE: PaneId = PaneId::new("Timeline");
    /// All runs.
    pub const RUNS: PaneId = PaneId::new("Runs");
    /// Images by their loss.
    pub const MISTAKES: PaneId = PaneId::new("Mistakes");
    /// Where a run met NaN.
    pub const REPORT: PaneId = PaneId::new("Report");
    /// How large each layer's weights and gradients are.
    pub const LAYERS: PaneId = PaneId::new("Layers");

    /// The pane of that name.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }
}

impl fmt::Display for PaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Earlier versions saved layouts with another name of it than they showed.
        f.write_str(if *self == PaneId::REPORT { "NaN report" } else { &self.0 })
    }
}
