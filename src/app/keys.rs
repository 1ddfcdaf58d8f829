//! The keyboard: one table for what the keys do and for the help that lists them.

use super::state::{Action, State};
use crate::app::{panes::Panes, state::Status};
use eframe::egui::{self, Context, Key, KeyboardShortcut, Modifiers, RichText, Ui};

const OPEN: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::O);
const QUIT: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::Q);
const SNAPSHOT: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::S);
const FIND: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::L);
const SETUP: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::B);
const DIGITS: [Key; 9] =
    [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8, Key::Num9];

/// Key and what it does, for the help.
const HELP: [(&str, &str); 13] = [
    ("Space", "train, pause or resume; at first, try it on the sample set"),
    ("Ctrl+O", "open images, data, a run or weights"),
    ("Ctrl+V", "take the files or the image in the clipboard"),
    ("Ctrl+S", "keep a snapshot of the run"),
    ("Ctrl+L", "look for a learning rate"),
    ("Ctrl+B", "hide the setup column, or show it"),
    ("Ctrl+C", "copy the values at the pointer or the pinned ones, on the charts"),
    ("Tab", "next control; Space or Enter press it"),
    ("Esc", "close what is open"),
    ("Ctrl and + or −", "larger or smaller"),
    ("Ctrl+0", "size as it was"),
    ("Ctrl+Q", "save the run and quit"),
    ("F1", "this help"),
];

/// Turns keys into actions. Typing in a field is left alone.
pub(crate) fn handle(ctx: &Context, state: &mut State) {
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
    if ctx.input_mut(|input| input.consume_shortcut(&SETUP)) {
        state.ask(Action::ToggleSetup);
    }
    // What is typed in a field is heard too: the key's release may come when the field is left.
    let pasted = pasted(ctx);
    if ctx.text_edit_focused() || ctx.memory(|memory| memory.top_modal_layer().is_some()) {
        return;
    }
    if pasted {
        state.ask(Action::Paste);
    }
    // A focused control has the space bar for itself.
    let focused = ctx.memory(|memory| memory.focused().is_some());
    if !focused && ctx.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Space)) {
        match state.run.status() {
            Status::Running => state.ask(Action::Pause),
            Status::Paused => state.ask(Action::Resume),
            Status::Idle if state.cannot_train().is_none() => state.ask(Action::Train),
            Status::Idle if state.is_welcoming() => state.ask(Action::TrySample),
            Status::Idle | Status::Stopping => {}
        }
    }
    for (pane, key) in Panes::ALL.iter().zip(DIGITS) {
        if ctx.input_mut(|input| input.consume_key(Modifiers::NONE, key)) {
            state.ask(Action::Show(pane.clone()));
        }
    }
}

/// Whether Ctrl+V was pressed. What the window toolkit makes of it depends on what is in the clipboard, and on whether it
/// can read that: text, a picture, the key, or, for files, nothing at all. Then only the key's release is heard, by which
/// time Ctrl may be up again: a release whose press was not heard is a paste.
fn pasted(ctx: &Context) -> bool {
    let heard = egui::Id::unique("V was heard");
    let mut known = ctx.data(|data| data.get_temp(heard).unwrap_or(false));
    let mut paste = false;
    ctx.input(|input| {
        for event in &input.events {
            match event {
                egui::Event::Paste(_) | egui::Event::PasteImage(_) => (paste, known) = (true, true),
                egui::Event::Key { key: Key::V, pressed: true, modifiers, .. } => {
                    (paste, known) = (paste || modifiers.command, true);
                }
                egui::Event::Key { key: Key::V, pressed: false, .. } => (paste, known) = (paste || !known, false),
                _ => {}
            }
        }
    });
    ctx.data_mut(|data| data.insert_temp(heard, known));
    paste
}

/// The list of keys.
pub(crate) fn help(ui: &mut Ui) {
    let panes: Vec<String> = (1..).zip(&Panes::ALL[..DIGITS.len()]).map(|(n, pane)| format!("{n} {pane}")).collect();
    let panes = format!("bring a pane to the front: {}", panes.join(", "));
    egui::Grid::new("keys").num_columns(2).spacing([24.0, 6.0]).max_col_width(340.0).show(ui, |ui| {
        for (key, what) in HELP.into_iter().chain([("1 to 9", panes.as_str())]) {
            ui.label(RichText::new(key).monospace().strong());
            ui.label(what);
            ui.end_row();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::{Event, RawInput};

    /// Whether each of these frames is a paste.
    fn pastes(frames: &[&[Event]]) -> Vec<bool> {
        let ctx = Context::default();
        let frame = |events: &&[Event]| {
            let mut pasted_now = false;
            let raw = RawInput { events: events.to_vec(), ..RawInput::default() };
            let mut output = ctx.run_ui(raw, |ui| pasted_now = pasted(ui.ctx()));
            output.textures_delta.clear();
            pasted_now
        };
        frames.iter().map(frame).collect()
    }

    #[test]
    fn one_press_is_one_paste_however_it_is_told() {
        let key = |pressed| Event::Key {
            key: Key::V,
            physical_key: None,
            pressed,
            repeat: false,
            modifiers: Modifiers::COMMAND,
        };
        let text = || Event::Paste("words".to_owned());
        assert_eq!(pastes(&[&[key(true)], &[], &[key(false)], &[]]), [true, false, false, false]);
        assert_eq!(pastes(&[&[text()], &[key(false)]]), [true, false]);
        assert_eq!(pastes(&[&[], &[key(false)], &[]]), [false, true, false]);
        // Both within a frame, and again.
        assert_eq!(pastes(&[&[key(true), key(false)], &[key(false)]]), [true, true]);
        // Ctrl came up first.
        let letter = |pressed| Event::Key {
            key: Key::V,
            physical_key: None,
            pressed,
            repeat: false,
            modifiers: Modifiers::NONE,
        };
        assert_eq!(pastes(&[&[], &[letter(false)], &[]]), [false, true, false]);
        // The letter alone is none.
        assert_eq!(pastes(&[&[letter(true)], &[letter(false)]]), [false, false]);
    }
}
