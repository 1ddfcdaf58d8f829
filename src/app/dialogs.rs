//! What opens over the panes: the help, the learning-rate finder, and the dialogs about weights, exports,
//! the cache and devices of other machines.

mod cache;
pub(crate) mod export;
pub(crate) mod finder;
mod remote_device;
pub(crate) mod weights;

use super::{drop, keys, state::State};
use crate::app::{
    desktop::file_dialog::{PathDialogs, Questions},
    dialogs::{
        cache::CacheDialog, export::ExportDialog, finder::Finder, remote_device::RemoteDeviceDialog,
        weights::WeightsDialog,
    },
};
use crate::format::sentence;
use eframe::egui::{self, Context};
use std::path::PathBuf;

/// See the module.
pub(crate) struct Dialogs {
    paths: PathDialogs,
    help: bool,
    weights: Option<WeightsDialog>,
    export: Option<ExportDialog>,
    cache: Option<CacheDialog>,
    remote_device: Option<RemoteDeviceDialog>,
    pub finder: Finder,
}

impl Dialogs {
    /// Nothing is open. `questions` are those that the window's parts ask for paths.
    pub(crate) fn new(questions: Questions) -> Self {
        let paths = PathDialogs::new(questions);
        Self {
            paths,
            help: false,
            weights: None,
            export: None,
            cache: None,
            remote_device: None,
            finder: Finder::default(),
        }
    }

    /// Opens the help, or closes it.
    pub(crate) fn toggle_help(&mut self) {
        self.help = !self.help;
    }

    /// Shows what weights are and asks what they are for: a path, or the name of published ones.
    pub(crate) fn offer_weights(&mut self, spec: &str, state: &State) {
        self.weights = Some(WeightsDialog::open(spec, state.weights_mirror.clone(), state.wake.clone()));
    }

    /// Asks where the network of a run or a file is to be written for other programs.
    pub(crate) fn export(&mut self, source: PathBuf) {
        self.export = Some(ExportDialog::new(source));
    }

    /// Shows what is kept on this disk to be found again.
    pub(crate) fn show_cache(&mut self, state: &State) {
        self.cache = Some(CacheDialog::open(state.wake.clone()));
    }

    /// Asks where a device of another machine is.
    pub(crate) fn add_remote_device(&mut self, state: &State) {
        self.remote_device = Some(RemoteDeviceDialog::open(state.wake.clone()));
    }

    /// Draws those that are open.
    pub(crate) fn ui(&mut self, ctx: &Context, state: &mut State) {
        let escape = ctx.input(|input| input.key_pressed(egui::Key::Escape));
        if self.help {
            let mut open = true;
            let window = egui::Window::new("Keys and mouse").collapsible(false).resizable(false).open(&mut open);
            window.anchor(egui::Align2::CENTER_CENTER, [0.0, 0.0]).show(ctx, |ui| {
                ui.set_width(520.0);
                let most = ctx.content_rect().height() - 90.0;
                egui::ScrollArea::vertical().max_height(most).min_scrolled_height(most).show(ui, |ui| {
                    keys::help(ui);
                    ui.separator();
                    ui.label(format!("{}: {}.", sentence(&drop::bring("what you have")), drop::ACCEPTED));
                    ui.label("Tabs of panes can be dragged to rearrange them.");
                });
            });
            self.help = open && !escape;
        }
        self.finder.window(ctx, state, escape);
        self.weights.take_if(|dialog| !dialog.ui(ctx, state));
        self.export.take_if(|dialog| !dialog.ui(ctx, state));
        self.cache.take_if(|dialog| !dialog.ui(ctx, state));
        self.remote_device.take_if(|dialog| !dialog.ui(ctx, state));
        self.paths.ui(ctx);
    }
}
