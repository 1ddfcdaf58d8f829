//! What stands around the panes: the bar at the top, the one at the bottom, and the page before there is anything to show.

pub(crate) mod done;
pub(crate) mod status;
pub(crate) mod top;
pub(crate) mod welcome;
