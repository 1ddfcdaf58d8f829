//! Which question is asked by a dialog of our own: those for which the desktop has none, or has been silent for too long.

use super::{Answer, Open, Questions, path_dialog::PathDialog};
use eframe::egui::{self, Context};
use std::{path::PathBuf, time::Duration};

/// How long the desktop is waited for before the user is offered to type.
const MAX_DESKTOP_WAIT: Duration = Duration::from_secs(1);

/// Shows the questions that wait for an answer.
pub(crate) struct PathDialogs {
    pub questions: Questions,
    dialog: Option<(u64, PathDialog)>,
    /// Where the last answer was found.
    folder: PathBuf,
}

impl PathDialogs {
    pub(crate) fn new(questions: Questions) -> Self {
        let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
        Self { questions, dialog: None, folder: home.unwrap_or_else(|| PathBuf::from(".")) }
    }

    /// Draws the dialog, or while the desktop is silent, the offer of it.
    pub(crate) fn ui(&mut self, ctx: &Context) {
        let Some(open) = self.questions.first() else {
            self.dialog = None;
            return;
        };
        self.dialog.take_if(|(number, _)| *number != open.number);
        if open.no_dialog {
            self.begin(&open);
        }
        match &mut self.dialog {
            Some((_, dialog)) => {
                if let Some(paths) = dialog.ui(ctx, open.no_dialog) {
                    if let Some(folder) = paths.first().and_then(|path| path.parent()) {
                        self.folder = folder.to_owned();
                    }
                    // The thread that asks takes the question off the list.
                    let _ = open.reply.send(Answer::Paths(paths));
                }
            }
            None => match MAX_DESKTOP_WAIT.checked_sub(open.since.elapsed()) {
                Some(rest) => ctx.request_repaint_after(rest),
                None if offer(ctx) => self.begin(&open),
                None => {}
            },
        }
    }

    fn begin(&mut self, open: &Open) {
        if self.dialog.is_none() {
            let dialog = PathDialog::new(open.question.clone(), &self.folder, self.questions.wake.clone());
            self.dialog = Some((open.number, dialog));
        }
    }
}

/// Says what is waited for; whether the user would rather type.
fn offer(ctx: &Context) -> bool {
    let area = egui::Window::new("waiting for the desktop").title_bar(false).resizable(false);
    let shown = area.anchor(egui::Align2::CENTER_TOP, [0.0, 56.0]).show(ctx, |ui| {
        ui.horizontal(|ui| {
            ui.label("The desktop was asked for its file dialog.");
            ui.button("Type a path instead…").clicked()
        })
        .inner
    });
    shown.and_then(|shown| shown.inner).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{
        desktop::file_dialog::{Question, What},
        test_support::harness,
    };
    use egui_kittest::kittest::Queryable;
    use std::{sync::Arc, time::Instant};

    #[test]
    fn typing_is_offered_while_the_desktop_says_nothing() {
        let (never, silence) = std::sync::mpsc::channel::<()>();
        let silence = std::sync::Mutex::new(silence);
        let silent = Arc::new(move |_: &Question| {
            let _ = silence.lock().unwrap().recv();
            Answer::NoDialog
        });
        let questions = Questions::to(silent, Arc::new(|| ()));
        let ask = questions.dialog();
        let asking = std::thread::spawn(move || ask(Question { title: "Open something".into(), what: What::Files }));
        let mut dialogs = PathDialogs::new(questions);
        let begun = Instant::now();
        let mut harness = harness(move |ui| dialogs.ui(&ui.ctx().clone()));
        while harness.query_by_label("Type a path instead…").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it is never offered");
            harness.step();
        }
        assert!(begun.elapsed() >= Duration::from_millis(500), "a desktop that answers gets a moment");
        harness.get_by_label("Type a path instead…").click();
        harness.run();
        harness.get_by_label("Cancel").click();
        harness.run();
        assert!(asking.join().unwrap().is_empty());
        drop(never);
    }
}
