//! What Kindling keeps on this disk to find it again, by kind, and an end to it.

use crate::{
    app::{
        background::{Task, Wake, finished},
        state::State,
        widgets::{self, theme, toasts::Level},
    },
    cache::{self, Cleared, Entry, Kind},
    format::{bytes, plural},
    text,
};
use eframe::egui::{self, Button, Context, RichText, Ui, vec2};

/// See the module. Disks are read and written on a thread.
pub(crate) struct CacheDialog {
    wake: Wake,
    reading: Option<Task<Vec<Entry>>>,
    entries: Option<Vec<Entry>>,
    clearing: Option<Task<Result<Cleared, String>>>,
    /// What was pressed waits for an answer.
    asking: bool,
    /// Downloads go too.
    downloads: bool,
}

impl CacheDialog {
    pub(crate) fn open(wake: Wake) -> Self {
        let mut dialog = Self { wake, reading: None, entries: None, clearing: None, asking: false, downloads: false };
        dialog.read();
        dialog
    }

    fn read(&mut self) {
        let list = || cache::root().map(|root| cache::list(&root)).unwrap_or_default();
        self.reading = Some(Task::spawn("cache", self.wake.clone(), list));
    }

    /// Draws the dialog; false when it is done with.
    pub(crate) fn ui(&mut self, ctx: &Context, state: &mut State) -> bool {
        if let Some(entries) = finished(&mut self.reading) {
            self.entries = Some(entries.unwrap_or_default());
        }
        match finished(&mut self.clearing).map(Result::flatten) {
            Some(Ok(cleared)) => {
                state.notices.notice(Level::Info, cleared.to_string());
                self.read();
            }
            Some(Err(error)) => {
                state.notices.tell(Level::Error, error);
                self.read();
            }
            None => {}
        }
        let mut open = true;
        let modal = egui::Modal::new(egui::Id::unique("cache")).frame(theme::dialog_frame(ctx)).show(ctx, |ui| {
            ui.set_width(430.0);
            ui.label(RichText::new("Cache").strong().size(15.0));
            let place =
                cache::root().map_or_else(|| "This user has no cache folder".to_owned(), |root| text::path(&root));
            ui.label(RichText::new(place).color(theme::palette(ui).weak).small());
            ui.add_space(6.0);
            let Some(entries) = self.entries.take() else {
                ui.spinner();
                return;
            };
            open = self.contents(ui, &entries);
            self.entries = Some(entries);
        });
        open && !modal.should_close()
    }

    /// The kinds with their sizes, and the buttons; false when it is done with.
    fn contents(&mut self, ui: &mut Ui, entries: &[Entry]) -> bool {
        let palette = theme::palette(ui);
        for kind in Kind::ALL {
            let own = || entries.iter().filter(move |entry| entry.kind == kind);
            let (count, size) = (own().count(), size(own()));
            if count > 0 {
                let name = format!("{}: {}", kind.title(), plural(count, "item"));
                let names: Vec<String> = own().take(LISTED).map(Entry::name).collect();
                widgets::fact(ui, &name, bytes(size)).on_hover_text(names.join("\n"));
            }
        }
        ui.separator();
        widgets::fact(ui, "All of it", RichText::new(bytes(size(entries.iter()))).strong());
        ui.add_space(6.0);
        let wanted = || entries.iter().filter(|entry| self.downloads || !entry.kind.is_download());
        let (freed, busy) = (size(wanted()), self.clearing.is_some());
        if self.asking {
            let text = "What is made again by itself is deleted, but for what is in use: the next run or photograph \
                        takes a moment longer. Runs are no part of the cache.";
            ui.label(RichText::new(text).color(palette.weak));
            let downloads = size(entries.iter().filter(|entry| entry.kind.is_download()));
            let label = format!("Downloads too, which would have to be fetched again: {}", bytes(downloads));
            ui.add_enabled(downloads > 0, egui::Checkbox::new(&mut self.downloads, label));
            ui.add_space(4.0);
        }
        let mut open = true;
        ui.horizontal(|ui| {
            if self.asking {
                let delete = widgets::primary_button(ui, &format!("Delete {}", bytes(freed)), vec2(0.0, 26.0));
                if delete.clicked() {
                    let (entries, downloads) = (entries.to_vec(), self.downloads);
                    let clear = move || cache::clear(&entries, downloads).map_err(|error| error.to_string());
                    self.clearing = Some(Task::spawn("cache", self.wake.clone(), clear));
                    self.asking = false;
                }
                if ui.button("Keep it").clicked() {
                    self.asking = false;
                }
            } else {
                let clear = ui.add_enabled(!busy && !entries.is_empty(), Button::new("Clear…"));
                if clear.on_hover_text("Asks first").clicked() {
                    self.asking = true;
                }
                open = !ui.button("Close").clicked();
            }
        });
        open
    }
}

/// Names of a kind that are listed at most.
const LISTED: usize = 30;

fn size<'a>(entries: impl Iterator<Item = &'a Entry>) -> u64 {
    entries.map(|entry| entry.bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_support::harness;
    use egui_kittest::kittest::Queryable;
    use std::{path::PathBuf, sync::Arc, time::SystemTime};

    #[test]
    fn what_is_kept_is_shown_by_kind_and_nothing_goes_without_a_question() {
        let entry = |kind, bytes| {
            let (path, used) = (PathBuf::from("no/such/thing"), SystemTime::UNIX_EPOCH);
            Entry { kind, path, title: None, bytes, used }
        };
        let entries =
            [entry(Kind::Photographs, 2_000_000), entry(Kind::Photographs, 1_000_000), entry(Kind::Data, 9_000_000)];
        let mut dialog = CacheDialog::open(Arc::new(|| ()));
        let mut harness = harness(move |ui| {
            dialog.contents(ui, &entries);
            assert!(dialog.clearing.is_none());
        });
        harness.get_by_label_contains("2 items");
        harness.get_by_label("Clear…").click();
        harness.run();
        harness.get_by_label("Delete 3.0 MB");
        harness.get_by_label_contains("Downloads too").click();
        harness.run();
        harness.get_by_label("Delete 12 MB");
        harness.get_by_label("Keep it").click();
        harness.run();
        harness.get_by_label("Clear…");
    }
}
