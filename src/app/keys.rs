//! The keyboard: one table for what the keys do and for the help that lists them.

use super::{
    engine::Status,
    pane::Kind,
    state::{Action, State},
};
use eframe::egui::{self, Context, Key, KeyboardShortcut, Modifiers, RichText, Ui};

const OPEN: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::O);
const QUIT: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::Q);
const SNAPSHOT: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::S);
const FIND: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::L);
const DIGITS: [Key; 9] =
    [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8, Key::Num9];

/// Key and what it does, for the help.
const HELP: [(&str, &str); 12] = [
    ("Space", "train, pause or resume"),
    ("Ctrl+O", "open images, data, a run or weights"),
    ("Ctrl+V", "classify the image in the clipboard"),
    ("Ctrl+S", "keep a snapshot of the run"),
    ("Ctrl+L", "look for a learning rate"),
    ("1 to 9", "bring a pane to the front"),
    ("Tab", "next control; Space or Enter press it"),
    ("Esc", "close what is open"),
    ("Ctrl and + or −", "larger or smaller"),
    ("Ctrl+0", "size as it was"),
    ("Ctrl+Q", "save the run and quit"),
    ("F1", "this help"),
];

/// Turns keys into actions. Typing in a field is left alone.
pub fn handle(ctx: &Context, state: &mut State) {
    if ctx.input_mut(|input| input.consume_key(Modifiers::NONE, Key::F1)) {
        state.ask(Action::Help);
    }
    if ctx.input_mut(|input| input.consume_shortcut(&OPEN)) {
        state.ask(Action::OpenFiles);
    }
    if ctx.input_mut(|input| input.consume_shortcut(&QUIT)) {
        ctx.send_viewport_cmd(egui::ViewportCommand::Close);
    }
    if ctx.input_mut(|input| input.consume_shortcut(&SNAPSHOT)) {
        state.ask(Action::Snapshot);
    }
    if ctx.input_mut(|input| input.consume_shortcut(&FIND)) {
        state.ask(Action::FindRate);
    }
    if ctx.text_edit_focused() {
        return;
    }
    // An image in the clipboard comes as no text, so the paste is an empty one or none at all: the key counts.
    let pasted = ctx.input(|input| {
        let key = input.modifiers.command && input.key_pressed(Key::V);
        key || input.events.iter().any(|event| matches!(event, egui::Event::Paste(_)))
    });
    if pasted {
        state.ask(Action::Paste);
    }
    // A focused control has the space bar for itself.
    let focused = ctx.memory(|memory| memory.focused().is_some());
    if !focused && ctx.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Space)) {
        match state.engine.status() {
            Status::Running => state.ask(Action::Pause),
            Status::Paused => state.ask(Action::Resume),
            Status::Idle if state.cannot_train().is_none() => state.ask(Action::Train),
            Status::Idle | Status::Stopping => {}
        }
    }
    for (kind, key) in Kind::ALL.into_iter().zip(DIGITS) {
        if ctx.input_mut(|input| input.consume_key(Modifiers::NONE, key)) {
            state.ask(Action::Show(kind));
        }
    }
}

/// The list of keys.
pub fn help(ui: &mut Ui) {
    egui::Grid::new("keys").num_columns(2).spacing([24.0, 6.0]).show(ui, |ui| {
        for (key, what) in HELP {
            ui.label(RichText::new(key).monospace().strong());
            ui.label(what);
            ui.end_row();
        }
        for (index, kind) in Kind::ALL.into_iter().take(DIGITS.len()).enumerate() {
            ui.label(RichText::new((index + 1).to_string()).monospace().strong());
            ui.label(format!("{} pane", kind.name()));
            ui.end_row();
        }
    });
}
