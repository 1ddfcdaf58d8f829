//! What the window asks the desktop for: the clipboard, a display, a dialog for files, a place on the screen.

pub(crate) mod clipboard;
pub(crate) mod display;
pub(crate) mod file_dialog;
pub(crate) mod on_screen;
