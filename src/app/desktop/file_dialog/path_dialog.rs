//! A dialog of our own for a path: typed, completed, or picked out of a folder's listing.
//!
//! It stands in for a desktop's dialog that is missing or silent, so it does without comforts; but everything in it can be
//! done with the keyboard, and nothing waits for a disk.

use super::{
    Question, What,
    listing::{Entry, Listing},
};
use crate::app::{background::Wake, desktop::clipboard::path_in_text, widgets::theme};
use crate::text;
use eframe::egui::{self, Align, Context, Key, Layout, Modifiers, RichText, ScrollArea, TextEdit, Ui};
use std::{
    collections::BTreeSet,
    path::{MAIN_SEPARATOR, Path, PathBuf},
};

/// Height of the listing and of a row in it, in points.
const HEIGHT: f32 = 260.0;
const ROW: f32 = 20.0;

/// What is meant by a path that was typed or pasted behind the one that stood there.
fn restarted(text: &str) -> &str {
    // An address has slashes of its own.
    let address = text.rfind("file://");
    let root = || text.rfind("//").filter(|_| cfg!(unix)).map(|at| at + 1);
    let home = text.rfind("/~").map(|at| at + 1);
    address.or_else(|| root().max(home)).map_or(text, |at| &text[at..])
}

pub(super) struct PathDialog {
    question: Question,
    /// What is typed.
    text: String,
    /// The path that the text stands for, where that came from the listing: its name may be no text.
    exact: Option<(String, PathBuf)>,
    listing: Listing,
    /// The row of the listing that the keys are at.
    marked: Option<usize>,
    /// Files that were picked together.
    picked: BTreeSet<PathBuf>,
    /// The file that the user has heard to be there already.
    replace: Option<PathBuf>,
    problem: Option<String>,
    /// Whether the field is to have the keyboard, with the cursor at the end.
    focus: bool,
    wake: Wake,
}

impl PathDialog {
    pub(super) fn new(question: Question, folder: &Path, wake: Wake) -> Self {
        let (folder, name) = match &question.what {
            What::Files => (folder, ""),
            What::Folder(start) => (start.as_deref().unwrap_or(folder), ""),
            What::Save { name, .. } => (folder, name.as_str()),
        };
        let listing = Listing::new(folder.to_owned(), wake.clone());
        let mut dialog = Self {
            text: String::new(),
            exact: None,
            listing,
            marked: None,
            picked: BTreeSet::new(),
            replace: None,
            problem: None,
            focus: true,
            wake,
            question: question.clone(),
        };
        dialog.enter(folder);
        dialog.text += name;
        dialog
    }

    /// Makes `path` what is typed.
    fn set(&mut self, path: &Path, end: &str) {
        self.text = path.to_string_lossy().into_owned() + end;
        self.exact = Some((self.text.clone(), path.to_owned()));
        (self.marked, self.problem, self.replace) = (None, None, None);
        self.focus = true;
    }

    /// Goes into a folder.
    fn enter(&mut self, folder: &Path) {
        let end = if folder.as_os_str().to_string_lossy().ends_with(MAIN_SEPARATOR) { "" } else { "/" };
        self.set(folder, end);
    }

    /// What is typed, as a path.
    fn path(&self) -> Option<PathBuf> {
        match &self.exact {
            Some((text, path)) if *text == self.text => Some(path.clone()),
            _ => path_in_text(restarted(&self.text)),
        }
    }

    /// The folder that is listed, and the beginning of a name in it.
    fn parts(&self) -> (PathBuf, String) {
        let path = self.path().unwrap_or_default();
        if self.text.is_empty() || self.text.ends_with(['/', MAIN_SEPARATOR]) {
            return (path, String::new());
        }
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        (path.parent().map(Path::to_owned).unwrap_or_default(), name)
    }

    /// Draws it; the paths once the user has decided, none where against all.
    pub(super) fn ui(&mut self, ctx: &Context, no_dialog: bool) -> Option<Vec<PathBuf>> {
        let mut answer = None;
        let frame = theme::dialog_frame(ctx);
        let modal = egui::Modal::new(egui::Id::unique("paths")).frame(frame).show(ctx, |ui| {
            ui.set_width(560.0);
            let palette = theme::palette(ui);
            ui.label(RichText::new(self.question.title.as_ref()).strong().size(15.0));
            if no_dialog {
                let text = "This desktop has no file dialog (neither a portal nor zenity answers): type a path, or pick \
                            one below.";
                ui.label(RichText::new(text).color(palette.weak));
            }
            ui.add_space(4.0);
            let mut accept = self.field(ui);
            ui.add_space(4.0);
            accept |= self.list(ui);
            if let Some(problem) = &self.problem {
                ui.label(RichText::new(format!("⚠ {problem}")).color(palette.wrong));
            }
            ui.add_space(6.0);
            ui.horizontal(|ui| {
                let word = match &self.question.what {
                    What::Files if self.picked.len() > 1 => &format!("Open {} files", self.picked.len()),
                    What::Files => "Open",
                    What::Folder(_) => "Choose this folder",
                    What::Save { .. } if self.replace.is_some() => "Replace",
                    What::Save { .. } => "Save",
                };
                accept |= ui.button(word).clicked();
                if ui.button("Cancel").clicked() {
                    answer = Some(Vec::new());
                }
                let keys = match self.question.what {
                    What::Files => "Arrows and Tab choose, Enter opens, Ctrl+click picks several",
                    _ => "Arrows and Tab choose, Enter takes what is typed",
                };
                ui.label(RichText::new(keys).color(palette.weak).small());
            });
            if accept {
                answer = self.accept();
            }
        });
        answer.or_else(|| modal.should_close().then(Vec::new))
    }

    /// The path as text. Whether Enter was pressed.
    fn field(&mut self, ui: &mut Ui) -> bool {
        let id = egui::Id::unique("path");
        // Before the field hears of them.
        let pressed = |key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
        let (down, up, tab) = (pressed(Key::ArrowDown), pressed(Key::ArrowUp), pressed(Key::Tab));
        let edit = TextEdit::singleline(&mut self.text).id(id).lock_focus(true).desired_width(f32::INFINITY);
        let response = ui.add(edit.hint_text("A path; ~ is your folder"));
        let enter = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        if response.changed() {
            (self.marked, self.problem, self.replace) = (None, None, None);
        }
        if std::mem::take(&mut self.focus) || enter {
            response.request_focus();
            let mut state = egui::TextEdit::load_state(ui.ctx(), id).unwrap_or_default();
            let end = egui::text::CCursor::new(self.text.chars().count());
            state.cursor.set_char_range(Some(egui::text::CCursorRange::one(end)));
            state.store(ui.ctx(), id);
        }
        response.accessible_name("Path");
        let (folder, name) = self.parts();
        self.listing.look_at(&folder, self.wake.clone());
        self.listing.poll();
        let rows: Vec<Entry> = self.rows(&name);
        if down || up {
            let last = rows.len().checked_sub(1);
            self.marked = match (self.marked, down) {
                (None, true) => last.map(|_| 0),
                (None, false) => last,
                (Some(at), true) => last.map(|last| (at + 1).min(last)),
                (Some(at), false) => last.map(|last| at.saturating_sub(1).min(last)),
            };
        }
        let marked = self.marked.and_then(|at| rows.get(at));
        match (marked.or(rows.first().filter(|_| rows.len() == 1)).filter(|_| tab), marked.filter(|_| enter)) {
            (Some(entry), _) => self.choose(&entry.clone()),
            (_, Some(entry)) => {
                self.choose(&entry.clone());
                return !entry.is_folder;
            }
            _ => return enter,
        }
        false
    }

    /// What is listed for a name that begins so: files only where files are asked for.
    fn rows(&self, name: &str) -> Vec<Entry> {
        let files = !matches!(self.question.what, What::Folder(_));
        // The name that is suggested for a new file is no filter.
        let name = if matches!(self.question.what, What::Save { .. }) { "" } else { name };
        let all = self.listing.matching(name).unwrap_or_default();
        all.into_iter().filter(|entry| files || entry.is_folder).cloned().collect()
    }

    fn choose(&mut self, entry: &Entry) {
        match entry.is_folder {
            true => self.enter(&entry.path),
            false => self.set(&entry.path, ""),
        }
    }

    /// The folder's contents. Whether a file was chosen for good.
    fn list(&mut self, ui: &mut Ui) -> bool {
        let palette = theme::palette(ui);
        let (folder, name) = self.parts();
        let mut accept = false;
        let frame = egui::Frame::new().fill(palette.raised).inner_margin(egui::Margin::same(4));
        frame.corner_radius(egui::CornerRadius::same(4)).show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.set_height(HEIGHT);
            if let Err(problem) = self.listing.matching("") {
                ui.label(RichText::new(problem).color(palette.weak));
                return;
            }
            let mut rows = self.rows(&name);
            let up = folder.parent().filter(|up| !up.as_os_str().is_empty());
            let above = usize::from(up.is_some());
            if let Some(up) = up {
                rows.insert(0, Entry { path: up.to_owned(), name: "../".to_owned(), is_folder: true });
            }
            if rows.len() == above {
                let text = if self.listing.is_reading() { "Reading the folder" } else { "Nothing here to choose" };
                ui.label(RichText::new(text).color(palette.weak));
            }
            let area = ScrollArea::vertical().id_salt(&folder).auto_shrink(false);
            area.show_rows(ui, ROW, rows.len(), |ui, seen| {
                ui.with_layout(Layout::top_down_justified(Align::LEFT), |ui| {
                    for at in seen {
                        let Some(entry) = rows.get(at) else { break };
                        let marked = self.marked.is_some_and(|marked| marked + above == at);
                        let ink = if entry.is_folder { palette.text } else { palette.weak };
                        let lit = marked || self.picked.contains(&entry.path);
                        let response = ui.selectable_label(lit, RichText::new(&entry.name).color(ink));
                        let several = ui.input(|input| input.modifiers.command) && self.question.what == What::Files;
                        if response.double_clicked() && !entry.is_folder {
                            accept = true;
                        }
                        if response.clicked() && several && !entry.is_folder {
                            if !self.picked.remove(&entry.path) {
                                self.picked.insert(entry.path.clone());
                            }
                            self.focus = true;
                        } else if response.clicked() {
                            self.choose(entry);
                        }
                    }
                });
            });
        });
        accept
    }

    /// The answer, if what is typed can be one; else goes where it leads or says why not.
    fn accept(&mut self) -> Option<Vec<PathBuf>> {
        if !self.picked.is_empty() {
            return Some(std::mem::take(&mut self.picked).into_iter().collect());
        }
        let path = self.path()?;
        // One look at one path; the listing has just been read from there.
        let about = std::fs::metadata(&path);
        let is_folder = about.as_ref().is_ok_and(std::fs::Metadata::is_dir);
        match &self.question.what {
            What::Folder(_) if is_folder => return Some(vec![path]),
            What::Files | What::Save { .. } if is_folder => self.enter(&path),
            What::Files if about.is_ok() => return Some(vec![path]),
            What::Files | What::Folder(_) => self.problem = Some(format!("{} is not there", text::path(&path))),
            What::Save { kind: (_, ending), .. } => {
                let path = if path.extension().is_some() { path } else { path.with_extension(ending) };
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                if folder.is_some_and(|folder| !folder.is_dir()) {
                    self.problem = Some(format!("The folder of {} is not there", text::path(&path)));
                } else if path.exists() && self.replace.as_ref() != Some(&path) {
                    self.problem = Some(format!("{} is there already", text::path(&path)));
                    self.replace = Some(path);
                } else {
                    return Some(vec![path]);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::harness;
    use egui_kittest::{Harness, kittest::Queryable};
    use std::{cell::RefCell, fs, rc::Rc, sync::Arc, time::Instant};

    /// A dialog over a folder with two photos and a folder, and what it answers.
    struct Asked {
        harness: Harness<'static>,
        answer: Rc<RefCell<Option<Vec<PathBuf>>>>,
        folder: tempfile::TempDir,
    }

    impl Asked {
        fn new(what: What) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for name in ["one.png", "two.png", ".hidden.png"] {
                fs::write(folder.path().join(name), b"x").unwrap();
            }
            fs::create_dir(folder.path().join("set")).unwrap();
            let question = Question { title: "Open something".into(), what };
            let mut dialog = PathDialog::new(question, folder.path(), Arc::new(|| ()));
            let answer = Rc::new(RefCell::new(None));
            let given = answer.clone();
            let harness = harness(move |ui| {
                if given.borrow().is_none() {
                    *given.borrow_mut() = dialog.ui(&ui.ctx().clone(), true);
                }
            });
            let mut asked = Self { harness, answer, folder };
            asked.see("set/");
            asked
        }

        /// Waits for a row of the listing or a message.
        #[track_caller]
        fn see(&mut self, text: &str) {
            let begun = Instant::now();
            while self.harness.query_by_label_contains(text).is_none() {
                assert!(begun.elapsed().as_secs() < 20, "{text} never shows");
                self.harness.step();
            }
        }

        fn press(&mut self, key: Key) {
            self.harness.key_press(key);
            self.harness.step();
        }

        fn type_in(&mut self, text: &str) {
            self.harness.event(egui::Event::Text(text.to_owned()));
            self.harness.step();
        }

        fn answered(&self, names: &[&str]) -> bool {
            let paths: Vec<PathBuf> = names.iter().map(|name| self.folder.path().join(name)).collect();
            *self.answer.borrow() == Some(paths)
        }
    }

    #[test]
    fn a_file_is_opened_with_the_keyboard_alone() {
        let mut asked = Asked::new(What::Files);
        assert!(asked.harness.query_by_label(".hidden.png").is_none());
        asked.type_in("tw");
        assert!(asked.harness.query_by_label("one.png").is_none(), "what is typed narrows the list");
        asked.press(Key::Tab);
        asked.press(Key::Enter);
        assert!(asked.answered(&["two.png"]), "{:?}", asked.answer);

        let mut asked = Asked::new(What::Files);
        for key in [Key::ArrowDown, Key::ArrowDown, Key::ArrowDown, Key::ArrowUp, Key::Enter] {
            asked.press(key);
        }
        assert!(asked.answered(&["one.png"]), "{:?}", asked.answer);
    }

    #[test]
    fn a_path_behind_the_one_that_stands_there_takes_its_place() {
        assert_eq!(restarted("/home/ada/photos"), "/home/ada/photos");
        assert_eq!(restarted("/home/ada/~/photos"), "~/photos");
        assert_eq!(restarted("/home/ada/file:///data/a%20b"), "file:///data/a%20b");
        if cfg!(unix) {
            assert_eq!(restarted("/home/ada//data/photos"), "/data/photos");
        }
    }

    #[test]
    fn a_path_that_is_not_there_is_said_so_and_nothing_is_opened() {
        let mut asked = Asked::new(What::Files);
        asked.type_in("three.png");
        asked.press(Key::Enter);
        asked.see("three.png is not there");
        assert!(asked.answer.borrow().is_none());
        asked.harness.get_by_label("Cancel").click();
        asked.harness.run();
        assert!(asked.answered(&[]));
    }

    #[test]
    fn a_folder_is_gone_into_and_chosen() {
        let mut asked = Asked::new(What::Folder(None));
        assert!(asked.harness.query_by_label("one.png").is_none(), "files are no folders");
        asked.press(Key::ArrowDown);
        asked.press(Key::Enter);
        asked.see("Nothing here to choose");
        assert!(asked.answer.borrow().is_none());
        asked.press(Key::Enter);
        assert!(asked.answered(&["set/"]), "{:?}", asked.answer);
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_when_asked_for_again() {
        let kind = ("PNG", "png");
        let mut asked = Asked::new(What::Save { name: "one".to_owned(), kind });
        asked.press(Key::Enter);
        asked.see("one.png is there already");
        asked.harness.get_by_label("Replace").click();
        asked.harness.run();
        assert!(asked.answered(&["one.png"]), "{:?}", asked.answer);

        let mut asked = Asked::new(What::Save { name: "new".to_owned(), kind });
        asked.press(Key::Enter);
        assert!(asked.answered(&["new.png"]), "{:?}", asked.answer);
    }

    #[test]
    fn several_files_are_picked_together() {
        let mut asked = Asked::new(What::Files);
        for name in ["two.png", "one.png"] {
            asked.harness.get_by_label(name).click_modifiers(Modifiers::COMMAND);
            asked.harness.run();
        }
        asked.harness.get_by_label("Open 2 files").click();
        asked.harness.run();
        assert!(asked.answered(&["one.png", "two.png"]), "{:?}", asked.answer);
    }
}
