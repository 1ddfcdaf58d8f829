//! Asking for paths: by the desktop's own dialog, or by one of ours where that fails.
//!
//! A desktop may have no file dialog (a bare window manager, a container), or one that is asked and never answers. So a
//! question has two ways to its answer: a thread asks the desktop, and the window ([`path_dialogs`]) lets a path be typed,
//! at once where the desktop has nothing, and on demand while it says nothing. The first answer counts.

mod desktop;
mod listing;
mod path_dialog;
mod path_dialogs;

pub(crate) use path_dialogs::PathDialogs;

use crate::app::background::Wake;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Instant,
};

/// A question for paths.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub(crate) title: std::borrow::Cow<'static, str>,
    pub(crate) what: What,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// Any number of files that are there.
    Files,
    /// One folder that is there; the question begins in this one.
    Folder(Option<PathBuf>),
    /// A file to write.
    Save {
        /// The name that is suggested.
        name: String,
        /// What kind of file it is, in words and as an ending: `("CSV", "csv")`.
        kind: (&'static str, &'static str),
    },
}

/// Asks, and waits for the answer, so it is called on a thread. Empty where the user thought better of it.
pub(crate) type FileDialog = Arc<dyn Fn(Question) -> Vec<PathBuf> + Send + Sync>;

/// What became of a question that the desktop was asked.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    /// None where the user thought better of it.
    Paths(Vec<PathBuf>),
    /// The desktop has no dialog.
    NoDialog,
}

/// How the desktop is asked.
type Desktop = Arc<dyn Fn(&Question) -> Answer + Send + Sync>;

/// A question that waits for its answer.
#[derive(Clone)]
struct Open {
    number: u64,
    question: Question,
    since: Instant,
    /// Whether the desktop has no dialog for it.
    no_dialog: bool,
    reply: mpsc::Sender<Answer>,
}

/// The questions that wait, shared by the threads that ask and the window.
#[derive(Clone)]
pub(crate) struct Questions {
    open: Arc<Mutex<(u64, Vec<Open>)>>,
    desktop: Desktop,
    wake: Wake,
}

impl Questions {
    /// Questions to the desktop of this machine. `wake` is called when there is something to show.
    pub(crate) fn new(wake: Wake) -> Self {
        Self::to(Arc::new(desktop::ask), wake)
    }

    fn to(desktop: Desktop, wake: Wake) -> Self {
        Self { open: Arc::default(), desktop, wake }
    }

    /// What panes ask with.
    pub(crate) fn dialog(&self) -> FileDialog {
        let questions = self.clone();
        Arc::new(move |question| questions.ask(question))
    }

    /// A panic elsewhere leaves the list whole.
    fn lock(&self) -> MutexGuard<'_, (u64, Vec<Open>)> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, question: Question) -> Vec<PathBuf> {
        let (reply, answers) = mpsc::channel();
        let number = {
            let (last, open) = &mut *self.lock();
            *last += 1;
            let (question, reply) = (question.clone(), reply.clone());
            open.push(Open { number: *last, question, since: Instant::now(), no_dialog: false, reply });
            *last
        };
        (self.wake)();
        let desktop = self.desktop.clone();
        // It may never answer; then the thread is left to itself.
        let asked = thread::Builder::new().name("desktop dialog".to_owned());
        let failed = reply.clone();
        if asked.spawn(move || reply.send(desktop(&question))).is_err() {
            let _ = failed.send(Answer::NoDialog);
        }
        drop(failed);
        loop {
            match answers.recv() {
                Ok(Answer::NoDialog) => {
                    let mut open = self.lock();
                    open.1.iter_mut().filter(|open| open.number == number).for_each(|open| open.no_dialog = true);
                }
                answer => {
                    self.lock().1.retain(|open| open.number != number);
                    (self.wake)();
                    return match answer {
                        Ok(Answer::Paths(paths)) => paths,
                        _ => Vec::new(),
                    };
                }
            }
            (self.wake)();
        }
    }

    /// The question that has waited longest.
    fn first(&self) -> Option<Open> {
        self.lock().1.first().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Question {
        Question { title: "Open".into(), what: What::Files }
    }

    fn wait_for(questions: &Questions, good: impl Fn(&Open) -> bool) -> Open {
        let begun = Instant::now();
        loop {
            if let Some(open) = questions.first().filter(|open| good(open)) {
                return open;
            }
            assert!(begun.elapsed().as_secs() < 20, "the question never gets there");
            thread::yield_now();
        }
    }

    #[test]
    fn the_desktops_answer_is_the_answer() {
        let desktop: Desktop = Arc::new(|_| Answer::Paths(vec!["a.png".into()]));
        let questions = Questions::to(desktop, Arc::new(|| ()));
        assert_eq!(questions.dialog()(files()), [PathBuf::from("a.png")]);
        assert!(questions.first().is_none());
    }

    #[test]
    fn a_desktop_without_a_dialog_and_one_that_never_answers_leave_the_question_to_the_window() {
        let (never, silence) = mpsc::channel::<()>();
        let silence = Mutex::new(silence);
        let silent: Desktop = Arc::new(move |_| {
            let _ = silence.lock().unwrap().recv();
            Answer::Paths(Vec::new())
        });
        let desktops: [(Desktop, bool); 2] = [(Arc::new(|_| Answer::NoDialog), true), (silent, false)];
        for (desktop, no_dialog) in desktops {
            let questions = Questions::to(desktop, Arc::new(|| ()));
            let dialog = questions.dialog();
            let asking = thread::spawn(move || dialog(files()));
            let open = wait_for(&questions, |open| open.no_dialog == no_dialog);
            open.reply.send(Answer::Paths(vec!["typed.png".into()])).unwrap();
            assert_eq!(asking.join().unwrap(), [PathBuf::from("typed.png")]);
        }
        drop(never);
    }
}
