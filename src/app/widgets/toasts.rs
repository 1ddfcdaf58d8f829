//! Short messages over the lower right corner that go away by themselves.

use crate::app::widgets::theme;
use crate::text;
use eframe::egui::{self, Align2, Frame, Margin, RichText, Stroke};

/// How loud a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Info,
    Warning,
    Error,
}

impl Level {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Level::Info => "Note",
            Level::Warning => "Warning",
            Level::Error => "Error",
        }
    }

    pub(crate) fn color(self, palette: &theme::Palette) -> egui::Color32 {
        match self {
            Level::Info => palette.right,
            Level::Warning => palette.warning,
            Level::Error => palette.wrong,
        }
    }
}

struct Toast {
    level: Level,
    text: String,
    /// In egui's seconds; unknown until it is first shown.
    until: Option<f64>,
}

/// The messages on screen, oldest first.
#[derive(Default)]
pub(crate) struct Toasts {
    toasts: Vec<Toast>,
}

/// More than these at once would hide what they are about; the log has them all.
const AT_ONCE: usize = 4;

impl Toasts {
    pub(crate) fn add(&mut self, level: Level, text: impl Into<String>) {
        // From here on it is on the screen.
        let text = text::lines(&text.into()).into_owned();
        self.toasts.retain(|toast| toast.text != text);
        self.toasts.push(Toast { level, text, until: None });
        let surplus = self.toasts.len().saturating_sub(AT_ONCE);
        self.toasts.drain(..surplus);
    }

    /// Draws the messages. Errors stay until they are closed.
    pub(crate) fn ui(&mut self, ctx: &egui::Context) {
        if self.toasts.is_empty() {
            return;
        }
        let now = ctx.time();
        for toast in &mut self.toasts {
            let seconds = 4.0 + toast.text.chars().count() as f64 * 0.05;
            let until = *toast.until.get_or_insert(now + seconds);
            if toast.level != Level::Error && until > now {
                ctx.request_repaint_after_secs((until - now) as f32);
            }
        }
        let area = egui::Area::new(egui::Id::unique("toasts")).order(egui::Order::Foreground);
        let shown = area.anchor(Align2::RIGHT_BOTTOM, [-14.0, -44.0]).show(ctx, |ui| {
            let palette = theme::palette(ui);
            let mut closed = None;
            for (index, toast) in self.toasts.iter().enumerate() {
                let color = toast.level.color(palette);
                let frame =
                    Frame::popup(ui.style()).stroke(Stroke::new(1.0, color)).inner_margin(Margin::symmetric(12, 9));
                frame.show(ui, |ui| {
                    ui.set_width(360.0);
                    ui.horizontal_top(|ui| {
                        let close = egui::Button::new("✖").frame(false).small();
                        ui.with_layout(egui::Layout::right_to_left(egui::Align::Min), |ui| {
                            if ui
                                .add(close)
                                .on_hover_text("Close this message")
                                .accessible_name("Close message")
                                .clicked()
                            {
                                closed = Some(index);
                            }
                            ui.with_layout(egui::Layout::top_down(egui::Align::Min), |ui| {
                                ui.label(RichText::new(toast.level.word()).color(color).strong());
                                ui.label(&toast.text);
                            });
                        });
                    });
                });
            }
            closed
        });
        if let Some(index) = shown.inner {
            self.toasts.remove(index);
        }
        // A message under the pointer is being read.
        if !shown.response.contains_pointer() {
            self.toasts.retain(|toast| toast.level == Level::Error || toast.until.is_none_or(|until| until > now));
        }
    }
}
