//! A device of another machine: the line that its server prints, a look at what it is, and its place in the list of devices.

use crate::app::{
    background::{Task, Wake, finished},
    state::{State, settings::RemoteDevice},
    widgets::{self, theme},
};
use crate::device::{
    Address, Choice,
    remote::{Link, Offered},
};
use eframe::egui::{self, Button, Context, RichText, TextEdit};
use std::time::Duration;

/// What a server says of itself, and how long it takes to say it.
struct Found {
    address: Address,
    machine: String,
    devices: Vec<Offered>,
    latency: Duration,
}

/// See the module.
pub(crate) struct RemoteDeviceDialog {
    line: String,
    looking: Option<Task<Result<Found, String>>>,
    found: Option<Found>,
    problem: Option<String>,
    wake: Wake,
    is_new: bool,
}

impl RemoteDeviceDialog {
    /// Asks for the line.
    pub(crate) fn open(wake: Wake) -> Self {
        Self { line: String::new(), looking: None, found: None, problem: None, wake, is_new: true }
    }

    /// Draws the dialog and adds what is chosen; false when it is done with.
    pub(crate) fn ui(&mut self, ctx: &Context, state: &mut State) -> bool {
        match finished(&mut self.looking) {
            Some(Ok(Ok(found))) => self.found = Some(found),
            Some(Ok(Err(problem)) | Err(problem)) => self.problem = Some(problem),
            None => {}
        }
        let mut done = false;
        let modal = egui::Modal::new(egui::Id::unique("remote device")).frame(theme::dialog_frame(ctx));
        let modal = modal.show(ctx, |ui| {
            ui.set_width(540.0);
            let palette = theme::palette(ui);
            ui.label(RichText::new("Add a remote device").strong().size(15.0));
            ui.add_space(4.0);
            ui.label("Start `kindling serve` on the machine with the GPU and copy the line that it prints:");
            let field = TextEdit::singleline(&mut self.line).hint_text("remote:iroh://…").desired_width(f32::INFINITY);
            let field = ui.add_enabled(self.looking.is_none(), field).accessible_name("Line that the server prints");
            if std::mem::take(&mut self.is_new) {
                field.request_focus();
            }
            if field.changed() {
                (self.found, self.problem) = (None, None);
            }
            let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
            let help = "The images of a run travel there once, and a few numbers with every step; the run stays here.";
            ui.label(RichText::new(help).color(palette.weak));
            ui.add_space(6.0);
            if let Some(problem) = &self.problem {
                ui.label(RichText::new(format!("⚠ {problem}")).color(palette.wrong));
            }
            if let Some(found) = &self.found {
                let latency = found.latency.as_secs_f64() * 1e3;
                widgets::fact(ui, &found.machine, format!("answers within {latency:.0} ms"));
                for offered in &found.devices {
                    let add = ui.button(format!("Add {}", offered.description));
                    if add.on_hover_text(format!("{} on {}", offered.name, found.machine)).clicked() {
                        let address = found.address.with_device(&offered.name);
                        state.devices.choice = Choice::Remote(address.clone().interned());
                        state.settings.keep_remote(RemoteDevice {
                            address: address.to_string(),
                            what: format!("{} on {}", offered.description, found.machine),
                            latency_ms: latency.ceil() as u32,
                        });
                        done = true;
                    }
                }
                ui.add_space(4.0);
            }
            ui.horizontal(|ui| {
                let ready = self.looking.is_none() && self.found.is_none() && !self.line.trim().is_empty();
                if self.looking.is_some() {
                    ui.spinner();
                    ui.label(RichText::new("Looking for it …").color(palette.weak));
                }
                if ui.add_enabled(ready, Button::new("Look for it")).clicked() || (entered && ready) {
                    self.look();
                }
                done |= ui.button(if self.found.is_some() { "Close" } else { "Cancel" }).clicked();
            });
        });
        !(done || modal.should_close())
    }

    fn look(&mut self) {
        self.problem = None;
        match self.line.trim().parse::<Address>() {
            Err(problem) => self.problem = Some(problem),
            Ok(address) => {
                self.looking = Some(Task::spawn("look for a device", self.wake.clone(), move || look_at(address)));
            }
        }
    }
}

fn look_at(address: Address) -> Result<Found, String> {
    let link = Link::open(&address).map_err(|error| error.to_string())?;
    let (about, latency) = (link.about(), link.measured());
    let devices = match &address.device_name() {
        Some(name) => about.devices.iter().filter(|offered| offered.name == *name).cloned().collect(),
        None => about.devices.clone(),
    };
    let (machine, latency) = (about.machine.clone(), latency.map_err(|failure| failure.reason)?);
    Ok(Found { address, machine, devices, latency })
}
