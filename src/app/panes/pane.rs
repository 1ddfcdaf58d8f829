//! What a pane is: something with a title that draws itself and hears what happens.

use crate::app::state::{Actions, State};
use crate::session::Event;
use eframe::egui::{Context, Ui};
use std::path::Path;

/// One pane in the middle of the window. It keeps what concerns only itself (a page, a filter, a texture), reads all else
/// from [`State`], and asks for what is to be done.
pub(crate) trait Pane {
    /// The text of its tab.
    fn title(&self, state: &State) -> String;

    /// Draws it. Must not wait for anything.
    fn ui(&mut self, ui: &mut Ui, state: &State, actions: &mut Actions);

    /// Whether it has a tab: one that has something to say only when something went wrong appears when it has.
    fn has_tab(&self) -> bool {
        true
    }

    /// Called once a frame, whether the pane can be seen or not.
    fn tick(&mut self, _ctx: &Context, _state: &State, _actions: &mut Actions) {}

    /// Hears an event of the session, whether the pane can be seen or not.
    fn on_event(&mut self, _event: &Event) {}

    /// The data set was replaced.
    fn on_data(&mut self) {}

    /// Another run, or none, is at hand.
    fn on_run(&mut self) {}

    /// A run on the disk has another path, or is gone.
    fn on_moved(&mut self, _from: &Path, _to: Option<&Path>) {}

    /// Whether a picture of it is still being made.
    #[cfg(test)]
    fn is_busy(&self) -> bool {
        false
    }
}
