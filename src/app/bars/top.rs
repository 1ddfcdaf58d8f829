//! The bar at the top: what the run is called, start and stop, the device, the menu.

use crate::app::{
    panes::Panes,
    state::{Action, PaneId, State, Status, settings::RemoteDevice},
    widgets::{self, theme},
};
use crate::device::{self, Adapter, Choice};
use crate::text;
use eframe::egui::{self, Button, Color32, ComboBox, FontId, RichText, Sense, Shape, TextEdit, Ui, pos2, vec2};

pub(crate) fn ui(ui: &mut Ui, state: &mut State) {
    ui.horizontal_centered(|ui| {
        brand(ui);
        ui.add_space(6.0);
        controls(ui, state);
        ui.add_space(6.0);
        // The keyboard goes from left to right, so the right end is not drawn from the right: it is as wide as before.
        let known = ui.scope_id().with("width of the right end");
        let right: f32 = ui.data(|data| data.get_temp(known)).unwrap_or(400.0);
        run_name(ui, state, ui.available_width() - right - 16.0);
        ui.add_space((ui.available_width() - right).max(0.0));
        let drawn = ui.scope(|ui| {
            device_box(ui, state);
            let setup = Button::selectable(!state.settings.setup_hidden, "Setup").frame_when_inactive(true);
            let setup = ui.add(setup.min_size(vec2(0.0, 26.0)));
            if setup.on_hover_text("Shows data, model and recipe on the left, or hides them (Ctrl+B)").clicked() {
                state.ask(Action::ToggleSetup);
            }
            let help = ui.add(Button::new("?").min_size(vec2(26.0, 26.0)));
            if help.on_hover_text("Keys and mouse (F1)").accessible_name("Help").clicked() {
                state.ask(Action::Help);
            }
            menu(ui, state);
        });
        let width = drawn.response.rect.width() + ui.spacing().item_spacing.x;
        if width != right {
            ui.data_mut(|data| data.insert_temp(known, width));
            ui.ctx().request_repaint();
        }
    });
}

/// A flame and the name.
fn brand(ui: &mut Ui) {
    let (rect, _) = ui.allocate_exact_size(vec2(20.0, 24.0), Sense::hover());
    flame(ui.painter(), rect);
    ui.label(RichText::new("Kindling").size(17.0).strong());
}

/// The sign of the program: a flame of two colours.
pub(crate) fn flame(painter: &egui::Painter, rect: egui::Rect) {
    // Half an outline from the tip down, mirrored; in parts of the rectangle.
    let drop = |scale: f32, color: Color32| {
        let half = [(0.02, 0.0), (0.16, 0.22), (0.36, 0.42), (0.42, 0.62), (0.34, 0.84), (0.16, 0.97)];
        let width = rect.width() * scale;
        let height = rect.height() * scale;
        let (x, bottom) = (rect.center().x, rect.bottom());
        let point = |(dx, dy): (f32, f32), side: f32| pos2(x + side * dx * width, bottom - height * (1.0 - dy));
        let right = half.iter().map(|&p| point(p, 1.0));
        let left = half.iter().rev().map(|&p| point(p, -1.0));
        painter.add(Shape::convex_polygon(right.chain(left).collect(), color, egui::Stroke::NONE));
    };
    drop(1.0, theme::FLAME[0]);
    drop(0.55, theme::FLAME[1]);
}

fn controls(ui: &mut Ui, state: &mut State) {
    let size = vec2(92.0, 28.0);
    let stop = |ui: &mut Ui, enabled: bool| {
        let button = ui.add_enabled(enabled, Button::new("■ Stop").min_size(vec2(72.0, 28.0)));
        button
            .on_hover_text("Saves and ends the run; it can be resumed")
            .on_disabled_hover_text("No run goes on")
            .clicked()
    };
    match state.run.status() {
        Status::Idle => {
            let reason = state.cannot_train();
            let (text, help) = match state.run.resumable() {
                Some(_) => ("▶ Resume", "Goes on with this run from its last checkpoint (Space)"),
                None => ("▶ Train", "Starts a run with this data, model and recipe (Space)"),
            };
            let pressed = ui.add_enabled_ui(reason.is_none(), |ui| widgets::primary_button(ui, text, size)).inner;
            let pressed = pressed.on_hover_text(help);
            let pressed = pressed.on_disabled_hover_text(format!("Can't train: {}", reason.unwrap_or_default()));
            if pressed.clicked() {
                state.ask(Action::Train);
            }
            // Where it was while the run went on, so that a second click on it is no other order.
            stop(ui, false);
            if state.run.resumable().is_some() {
                let new = ui.add(Button::new("New run").min_size(vec2(72.0, 28.0)));
                if new.on_hover_text("Leaves this run, which stays on disk; Train then starts a new one").clicked() {
                    state.ask(Action::NewRun);
                }
            }
        }
        Status::Running => {
            if widgets::primary_button(ui, "❚❚ Pause", size).on_hover_text("Holds after this step (Space)").clicked()
            {
                state.ask(Action::Pause);
            }
            if stop(ui, true) {
                state.ask(Action::Stop);
            }
        }
        Status::Paused => {
            if widgets::primary_button(ui, "▶ Resume", size).on_hover_text("Goes on (Space)").clicked() {
                state.ask(Action::Resume);
            }
            if stop(ui, true) {
                state.ask(Action::Stop);
            }
        }
        Status::Stopping => {
            ui.add_enabled(false, Button::new("Saving …").min_size(size));
            stop(ui, false);
        }
    }
}

fn run_name(ui: &mut Ui, state: &mut State, room: f32) {
    let begins = !state.run.is_busy() && state.run.resumable().is_none() && state.data.dataset.is_some();
    let field = if begins { room.min(170.0) } else { 0.0 };
    if field >= 110.0 {
        let edit =
            TextEdit::singleline(&mut state.run_name).desired_width(field - 10.0).hint_text("Name of the next run");
        let help = "What the run that Train begins is to be called; of its data and model where this is empty";
        ui.add(edit).on_hover_text(help).accessible_name("Name of the next run");
    }
    let room = room - field - 8.0;
    let Some(folder) = state.run.folder() else { return };
    let palette = theme::palette(ui);
    let name = text::file_name(folder);
    if room < 30.0 {
        return;
    }
    let galley = widgets::elided(ui, &name, FontId::proportional(13.0), palette.weak, room);
    ui.label(galley).on_hover_text(format!("The run's folder: {}", text::path(folder)));
}

fn device_box(ui: &mut Ui, state: &mut State) {
    let enabled = !state.run.is_busy();
    let adapters = state.devices.adapters.as_deref();
    let text = match (state.devices.choice, adapters) {
        (Choice::Auto, None) => "Automatic".to_owned(),
        (Choice::Auto, Some(adapters)) => {
            format!("Automatic: {}", device::automatic(adapters).map_or("CPU", |adapter| &adapter.name))
        }
        (Choice::Cpu, _) => "CPU".to_owned(),
        (Choice::BestGpu, _) => "Best GPU".to_owned(),
        (Choice::Remote(address), _) => {
            let line = address.to_string();
            let known = state.settings.remote_devices.iter().find(|device| device.address == line);
            known.map_or_else(|| format!("{address:?}"), |device| device.what.clone())
        }
        (Choice::Gpu(index), adapters) => {
            let name = adapters.and_then(|all| all.get(index)).map(|adapter| adapter.name.clone());
            name.unwrap_or_else(|| format!("gpu:{index}"))
        }
    };
    let mut choice = state.devices.choice;
    // What is pressed more often has to have room in a small window.
    let width = (ui.ctx().content_rect().width() - 590.0).clamp(90.0, 215.0);
    let galley = widgets::elided(ui, &text, FontId::proportional(13.0), theme::palette(ui).text, width - 25.0);
    ui.add_enabled_ui(enabled, |ui| {
        let combo = ComboBox::from_id_salt("device").selected_text(galley).width(width);
        let inner = combo.show_ui(ui, |ui| {
            ui.set_min_width(380.0);
            let auto = "A discrete GPU, else an integrated one, else the CPU; never a software adapter";
            ui.selectable_value(&mut choice, Choice::Auto, "Automatic").on_hover_text(auto);
            ui.selectable_value(&mut choice, Choice::Cpu, "CPU").on_hover_text("Always there");
            match &state.devices.adapters {
                None => drop(ui.label("Asking the drivers …")),
                Some(adapters) if adapters.is_empty() => {
                    let help = "No GPU adapter was found. Install a Vulkan driver (on Debian: mesa-vulkan-drivers).";
                    ui.label(RichText::new(help).color(theme::palette(ui).weak));
                }
                Some(adapters) => adapters.iter().for_each(|adapter| adapter_row(ui, adapter, &mut choice)),
            }
            remote_rows(ui, state, &mut choice);
        });
        let help = if enabled { "What trains" } else { "What trains; can be changed when the run has stopped" };
        inner.response.on_hover_text(help).accessible_name("Device");
    });
    state.devices.choice = choice;
}

/// Devices of other machines, and how to get more.
fn remote_rows(ui: &mut Ui, state: &mut State, choice: &mut Choice) {
    ui.separator();
    let mut forgotten = None;
    for (at, RemoteDevice { address, what, latency_ms }) in state.settings.remote_devices.iter().enumerate() {
        let Ok(device) = address.parse::<Choice>() else { continue };
        ui.horizontal(|ui| {
            let row = ui.selectable_value(choice, device, what.as_str());
            row.on_hover_text(format!("Answered within {latency_ms} ms when it was added"));
            let forget = ui.add(Button::new("✖").frame(false)).on_hover_text("Takes it off this list");
            if forget.accessible_name(format!("Forget {what}")).clicked() {
                forgotten = Some((at, device));
            }
        });
    }
    if let Some((at, device)) = forgotten {
        state.settings.remote_devices.remove(at);
        if *choice == device {
            *choice = Choice::Auto;
        }
    }
    let add = ui.button("Add a remote device…");
    if add.on_hover_text("One of a machine on which `kindling serve` runs").clicked() {
        state.ask(Action::AddRemoteDevice);
        ui.close();
    }
}

fn adapter_row(ui: &mut Ui, adapter: &Adapter, choice: &mut Choice) {
    let palette = theme::palette(ui);
    let usable = adapter.problem.is_none();
    let label = format!("{} ({}, {})", adapter.name, adapter.kind, adapter.backend);
    ui.add_enabled_ui(usable, |ui| {
        let response = ui.selectable_value(choice, Choice::Gpu(adapter.index), label);
        response.on_hover_text(format!("gpu:{}, driver {}", adapter.index, adapter.driver));
    });
    if let Some(problem) = &adapter.problem {
        ui.label(RichText::new(format!("    {problem}")).color(palette.wrong).small());
    }
}

fn menu(ui: &mut Ui, state: &mut State) {
    let button = Button::new("☰").min_size(vec2(26.0, 26.0));
    let (response, _) = egui::containers::menu::MenuButton::from_button(button).ui(ui, |ui| {
        ui.set_min_width(190.0);
        let run = state.run.folder().cloned();
        let export = ui.add_enabled(run.is_some(), Button::new("Export the network…").frame(false));
        let export = export.on_hover_text("The run's best weights, for PyTorch or ONNX");
        if export.on_disabled_hover_text("Train, or open a run, first").clicked()
            && let Some(run) = run
        {
            state.ask(Action::Export(run));
            ui.close();
        }
        ui.separator();
        ui.label(RichText::new("Theme").color(theme::palette(ui).weak).small());
        for (choice, name) in
            [(theme::Choice::System, "As the desktop"), (theme::Choice::Dark, "Dark"), (theme::Choice::Light, "Light")]
        {
            ui.radio_value(&mut state.settings.theme, choice, name);
        }
        ui.separator();
        ui.label(RichText::new("Size").color(theme::palette(ui).weak).small());
        ui.horizontal(|ui| {
            for percent in [100, 125, 150, 200] {
                let zoom = percent as f32 / 100.0;
                let chosen = (state.settings.zoom - zoom).abs() < 0.01;
                if ui.selectable_label(chosen, format!("{percent} %")).clicked() {
                    state.ask(Action::Zoom(zoom));
                    ui.close();
                }
            }
        });
        ui.separator();
        ui.label(RichText::new("Panes").color(theme::palette(ui).weak).small());
        let layout = &state.settings.layout;
        let panes: Vec<&PaneId> = Panes::ALL.iter().filter(|pane| layout.has_tab(pane)).collect();
        for (index, pane) in panes.into_iter().enumerate() {
            // Nine have a key.
            let key = if index < 9 { (index + 1).to_string() } else { String::new() };
            if ui.add(Button::new(pane.to_string()).shortcut_text(key).frame(false)).clicked() {
                state.ask(Action::Show(pane.clone()));
                ui.close();
            }
        }
        if ui.button("Reset layout").on_hover_text("All panes back where they were at first").clicked() {
            state.ask(Action::ResetLayout);
            ui.close();
        }
        ui.separator();
        let find = Button::new("Find a learning rate …").shortcut_text("Ctrl+L").frame(false);
        if ui.add(find).on_hover_text("Sweeps the rate on a copy of the weights").clicked() {
            state.ask(Action::FindRate);
            ui.close();
        }
        let cache = ui.add(Button::new("Cache…").frame(false));
        if cache.on_hover_text("What is kept on this disk to be found again, and how to clear it").clicked() {
            state.ask(Action::ShowCache);
            ui.close();
        }
    });
    response.on_hover_text("Theme, size and panes").accessible_name("Menu");
}
