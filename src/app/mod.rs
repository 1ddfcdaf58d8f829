//! The window: pick data and a model, train, watch, steer, classify.
//!
//! [`window`] puts the parts together. [`state::State`] is what they all look at; a part asks for something to be done
//! with an [`state::Action`]. [`state::current_run`] is the only way to the training session, and [`panes::pane`] says what
//! a pane is; each stands in a file of its own under [`panes`]. No part waits for anything in a frame: reading data,
//! dialogs, previews and classifying run on threads ([`background`]), and the session wakes the window when there is news.

mod background;
mod bars;
pub(crate) mod bench;
mod classifier;
mod desktop;
mod dialogs;
mod drop;
mod history;
mod keys;
mod panes;
#[cfg(test)]
mod pictures_of_panes;
mod runs;
mod setup;
mod state;
mod statistics;
#[cfg(test)]
mod test_support;
mod widgets;
mod window;

pub(crate) use desktop::display::can_open;
pub(crate) use drop::{DroppedKind, sort};
pub use state::{Action, PaneId, RunAction, State, settings::Settings, ways::Way};
pub use window::Window;

use crate::session::interrupt;
use eframe::egui;
use std::{path::PathBuf, sync::PoisonError};

/// What the window is opened with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Start a run on the sample set at once.
    pub(crate) try_sample: bool,
    /// Files and folders to take as if they were dropped.
    pub(crate) open: Vec<PathBuf>,
}

/// Opens the window and returns when it is closed, by a click or by a signal; a run that goes on is saved first.
///
/// # Errors
/// One line that says what is missing where no window can be opened, or why the run could not be saved.
pub(crate) fn run(options: Options) -> anyhow::Result<()> {
    can_open().map_err(anyhow::Error::msg)?;
    training_gives_way();
    let unsaved = window::Unsaved::default();
    let reason = unsaved.clone();
    let create: eframe::AppCreator<'_> = Box::new(move |cc| {
        let ctx = cc.egui_ctx.clone();
        interrupt::watch_and_call(move || ctx.request_repaint());
        Ok(Box::new(Window::new(cc, options, reason)))
    });
    eframe::run_native("kindling", native(), create)
        .map_err(|error| anyhow::anyhow!("the window can't be opened: {}", desktop::display::plain(&error)))?;
    let unsaved = unsaved.lock().unwrap_or_else(PoisonError::into_inner).take();
    unsaved.map_or(Ok(()), |reason| Err(anyhow::Error::msg(reason)))
}

/// Lets the threads that compute leave the processor to those that draw.
fn training_gives_way() {
    let pool = rayon::ThreadPoolBuilder::new().thread_name(|i| format!("compute {i}"));
    // Where something has computed already, its threads stay as they are.
    let _ = pool.start_handler(|_| crate::session::give_way()).build_global();
}

/// The window as it opens for the first time.
fn native() -> eframe::NativeOptions {
    let viewport = egui::ViewportBuilder::default()
        .with_app_id("kindling")
        .with_title("Kindling")
        .with_inner_size([1400.0, 900.0])
        .with_min_inner_size([760.0, 480.0])
        .with_drag_and_drop(true)
        .with_icon(icon());
    // Dithering is for colours that run into each other, of which there are none here; on a software adapter it made a
    // frame three times as expensive.
    eframe::NativeOptions { viewport, dithering: false, ..Default::default() }
}

/// The program's icon. A broken one is no reason not to open.
fn icon() -> egui::IconData {
    eframe::icon_data::from_png_bytes(include_bytes!("../../assets/icon.png")).unwrap_or_default()
}
