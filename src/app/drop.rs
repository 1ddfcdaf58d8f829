//! What a dropped or opened path is for.
//!
//! Wherever in the window something is dropped, what it is decides what happens to it: images are classified, data are
//! loaded, a run is opened, weights are offered. While it hovers, the window shows which of these it will be.

use crate::app::{
    desktop::display,
    widgets::{theme, toasts::Level},
};
use crate::{
    data::{self, is_data_name, is_image_name},
    format::number,
    text,
    train::{bundle, run_folder},
};
use eframe::egui::{
    self, Align, Align2, Color32, CornerRadius, FontId, Rect, Stroke, StrokeKind, Ui, text::LayoutJob, vec2,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a path turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DroppedKind {
    Image,
    /// A folder of images that no sub-folders tell the classes of.
    Images,
    /// Anything that `--data` takes.
    Data,
    Run,
    /// A run in one file.
    RunFile,
    Weights,
    Unknown,
}

/// What is accepted, for the message about what is not.
pub(crate) const ACCEPTED: &str = "images or a folder of them, a folder with a sub-folder of images for each class, CIFAR \
                            archives or IDX files, a run folder or a run in one file (.kindling), or weights \
                            (.safetensors, .pth, .pt, .bin, .ckpt, .onnx)";

/// What people are told to do with files: to drop them, but not where drops never arrive.
pub(crate) fn verb() -> &'static str {
    if display::takes_drops() { "drop" } else { "open" }
}

/// How `what` comes into the window, as a part of a sentence.
pub(crate) fn bring(what: &str) -> String {
    way(what, display::takes_drops())
}

fn way(what: &str, takes_drops: bool) -> String {
    match takes_drops {
        true => format!("drop {what} anywhere in this window"),
        false => format!("open {what} (Ctrl+O), or copy and paste it (Ctrl+V): Wayland brings no drops to this window"),
    }
}

impl DroppedKind {
    /// What will be done with it.
    fn target(self) -> &'static str {
        match self {
            DroppedKind::Image | DroppedKind::Images => "Classify",
            DroppedKind::Data => "Load as data",
            DroppedKind::Run | DroppedKind::RunFile => "Open the run",
            DroppedKind::Weights => "Use the weights",
            DroppedKind::Unknown => "Not something that can be used here",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            DroppedKind::Image | DroppedKind::Images => "one image, many, or a folder of them",
            DroppedKind::Data => "a folder of class folders, a CIFAR archive, IDX files",
            DroppedKind::Run | DroppedKind::RunFile => "a run's folder, or a run in one file",
            DroppedKind::Weights => "safetensors, PyTorch, MindSpore or ONNX",
            DroppedKind::Unknown => "",
        }
    }
}

/// Tells what `path` is by its name and, for a folder, by what lies in it. Reads a folder's listing at most, but may wait
/// for a slow disk: not for the frame.
pub(crate) fn sort(path: &Path) -> DroppedKind {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if run_folder::is_meant(path) {
        return DroppedKind::Run;
    }
    if path.is_dir() {
        return sort_folder(path);
    }
    if ending == bundle::ENDING {
        return DroppedKind::RunFile;
    }
    if is_data_name(path) {
        return DroppedKind::Data;
    }
    if ["safetensors", "pth", "pt", "bin", "ckpt", "onnx"].contains(&ending.as_str()) {
        return DroppedKind::Weights;
    }
    match is_image_name(path) {
        true => DroppedKind::Image,
        // One may have been given any name.
        false if bundle::is_bundle(path) => DroppedKind::RunFile,
        false => DroppedKind::Unknown,
    }
}

fn sort_folder(path: &Path) -> DroppedKind {
    // Enough of a listing to tell a data set from anything else.
    let entries: Vec<PathBuf> = match fs::read_dir(path) {
        Ok(entries) => entries.take(4000).filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) => return DroppedKind::Unknown,
    };
    let is_data = |entry: &PathBuf| if entry.is_dir() { !is_no_class(entry) } else { sort(entry) == DroppedKind::Data };
    match entries.iter().any(is_data) {
        true => DroppedKind::Data,
        false if entries.iter().any(|entry| is_image_name(entry)) => DroppedKind::Images,
        false => DroppedKind::Unknown,
    }
}

/// Whether a folder is hidden or was left there by a system, and so no class.
fn is_no_class(folder: &Path) -> bool {
    folder.file_name().is_none_or(|name| data::is_leftover(name) || name.as_encoded_bytes().starts_with(b"."))
}

/// Dropped paths, by what is to be done with them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sorted {
    pub images: Vec<PathBuf>,
    pub data: Option<PathBuf>,
    pub run: Option<PathBuf>,
    pub run_file: Option<PathBuf>,
    pub weights: Option<PathBuf>,
    /// What the user is told about it.
    pub messages: Vec<(Level, String)>,
}

/// Sorts what was dropped at once. Not for the frame.
pub(crate) fn sort_all(paths: &[PathBuf]) -> Sorted {
    let mut sorted = Sorted::default();
    let (mut images, mut folders, mut unknown, mut left) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // One of each can be opened at a time.
    let mut first = |slot: &mut Option<PathBuf>, path: PathBuf| match slot {
        None => *slot = Some(path),
        // The files of a data set lie together, and one of them stands for all.
        Some(taken) if *taken == path || (path.is_file() && taken.parent() == path.parent()) => {}
        Some(_) => left.push(path),
    };
    for path in paths {
        match sort(path) {
            DroppedKind::Image => images.push(path.clone()),
            DroppedKind::Images => {
                images.push(path.clone());
                folders.push(path.as_path());
            }
            DroppedKind::Data => first(&mut sorted.data, path.clone()),
            // One of a run's files stands for its folder.
            DroppedKind::Run if path.is_dir() => first(&mut sorted.run, path.clone()),
            DroppedKind::Run => first(&mut sorted.run, path.parent().map_or_else(|| path.clone(), Path::to_owned)),
            DroppedKind::RunFile => first(&mut sorted.run_file, path.clone()),
            DroppedKind::Weights => first(&mut sorted.weights, path.clone()),
            DroppedKind::Unknown => unknown.push(path.as_path()),
        }
    }
    let listing = data::images_in(&images);
    sorted.images = listing.images;
    if !listing.left_out.is_empty() {
        sorted.messages.push((Level::Warning, format!("Left out: {}", listing.left_out)));
    }
    for folder in &listing.rejected {
        let text = format!("{}: {}", text::path(&folder.path), text::foreign(&folder.reason));
        sorted.messages.push((Level::Warning, text));
    }
    if !folders.is_empty() {
        let many = number(sorted.images.len() as u64);
        let text = format!(
            "{} no folders of classes: {many} images are shown under Classify. To train on them, give each class a \
             folder of its own, and put these into one.",
            listed(&folders, "has", "have")
        );
        sorted.messages.push((Level::Info, text));
    }
    if !left.is_empty() {
        let left: Vec<&Path> = left.iter().map(PathBuf::as_path).collect();
        let text = format!("{} not opened: one at a time", listed(&left, "was", "were"));
        sorted.messages.push((Level::Warning, text));
    }
    if let Some(first) = unknown.first() {
        let why = match fs::read_dir(first) {
            Ok(_) => "no images and no folders of them are in it".to_owned(),
            Err(error) if first.is_dir() || !first.exists() => error.to_string(),
            Err(_) => format!("accepted are {ACCEPTED}"),
        };
        let what = listed(&unknown, "can't be used here", "can't be used here");
        sorted.messages.push((Level::Warning, format!("{what}: {why}")));
    }
    sorted
}

/// `cats has`, `cats and 3 more have`.
fn listed(paths: &[&Path], one: &str, many: &str) -> String {
    let name = paths.first().map_or_else(String::new, |path| text::file_name(path));
    match paths.len() {
        0 | 1 => format!("{name} {one}"),
        n => format!("{name} and {} more {many}", n - 1),
    }
}

/// Guesses from a hovering path's name alone, which costs nothing.
fn guess(path: &Path) -> Option<DroppedKind> {
    // A folder's name says nothing, and looking into it may take time.
    if path.extension().is_none() || path.is_dir() {
        return None;
    }
    Some(sort(path)).filter(|sort| *sort != DroppedKind::Unknown)
}

/// While files hover over the window: the four things that can be done with them, the likely one lit.
pub(crate) fn overlay(ui: &Ui) {
    let hovered: Vec<Option<PathBuf>> =
        ui.input(|input| input.raw.hovered_files.iter().map(|file| file.path.clone()).collect());
    if hovered.is_empty() {
        return;
    }
    let likely = hovered.iter().flatten().find_map(|path| guess(path));
    let palette = theme::palette(ui);
    let screen = ui.ctx().content_rect();
    let layer = egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop targets"));
    let painter = ui.ctx().layer_painter(layer);
    painter.rect_filled(screen, CornerRadius::ZERO, Color32::from_black_alpha(205));
    let targets = [DroppedKind::Image, DroppedKind::Data, DroppedKind::Run, DroppedKind::Weights];
    let size = vec2(230.0, 110.0);
    for (index, sort) in targets.into_iter().enumerate() {
        let offset = vec2((index % 2) as f32 - 0.5, (index / 2) as f32 - 0.5) * (size + vec2(18.0, 18.0));
        let rect = Rect::from_center_size(screen.center() + offset, size);
        let likely = likely.map(|likely| if likely == DroppedKind::RunFile { DroppedKind::Run } else { likely });
        let lit = likely.is_none() || likely == Some(sort);
        let color = if likely == Some(sort) { palette.accent } else { palette.border };
        let fill = if lit { palette.raised } else { palette.panel };
        let width = if likely == Some(sort) { 3.0 } else { 1.0 };
        painter.rect(rect, CornerRadius::same(10), fill, Stroke::new(width, color), StrokeKind::Inside);
        let ink = if lit { palette.text } else { palette.weak };
        let at = rect.center() - vec2(0.0, 10.0);
        painter.text(at, Align2::CENTER_CENTER, sort.target(), FontId::proportional(18.0), ink);
        let small = FontId::proportional(11.5);
        let mut job = LayoutJob::simple(sort.explanation().to_owned(), small, palette.weak, size.x - 24.0);
        job.halign = Align::Center;
        painter.galley(rect.center() + vec2(0.0, 10.0), painter.layout_job(job), palette.weak);
    }
    let text = "What it is decides; drop it anywhere.".to_owned();
    let galley = painter.layout_no_wrap(text, FontId::proportional(14.0), palette.text);
    let rect = Rect::from_center_size(screen.center() + vec2(0.0, size.y + 44.0), galley.size() + vec2(24.0, 12.0));
    painter.rect_filled(rect, CornerRadius::same(10), palette.panel);
    painter.galley(rect.center() - galley.size() / 2.0, galley, palette.text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_told_by_name_and_content() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, b"x").unwrap();
            path
        };
        assert_eq!(sort(&make("cat.PNG")), DroppedKind::Image);
        assert_eq!(sort(&make("cifar-10-binary.tar.gz")), DroppedKind::Data);
        assert_eq!(sort(&make("train-images-idx3-ubyte.gz")), DroppedKind::Data);
        assert_eq!(sort(&make("resnet18.pth")), DroppedKind::Weights);
        assert_eq!(sort(&make("pytorch_model.bin")), DroppedKind::Weights);
        assert_eq!(sort(&make("data_batch_1.bin")), DroppedKind::Data);
        make("python/meta");
        assert_eq!(sort(&make("python/train")), DroppedKind::Data, "CIFAR-100's");
        assert_eq!(sort(&make("elsewhere/train")), DroppedKind::Unknown);
        assert_eq!(sort(&make("resnet18.onnx")), DroppedKind::Weights);
        assert_eq!(sort(&make("notes.txt")), DroppedKind::Unknown);
        make("set/cats/1.png");
        assert_eq!(sort(&folder.path().join("set")), DroppedKind::Data);
        assert_eq!(sort(&make("mine.kindling")), DroppedKind::RunFile);
        assert_eq!(sort_all(&[make("mine.kindling")]).run_file, Some(folder.path().join("mine.kindling")));
        let events = make("run/events.jsonl");
        assert_eq!(sort(&folder.path().join("run")), DroppedKind::Run);
        assert_eq!(sort_all(&[events]).run, Some(folder.path().join("run")));
        assert_eq!(sort(&folder.path().join("nothing there")), DroppedKind::Unknown);
    }

    #[test]
    fn nobody_is_told_to_drop_where_drops_never_arrive() {
        assert_eq!(way("weights", true), "drop weights anywhere in this window");
        let wayland = way("weights", false);
        assert!(wayland.contains("no drops") && wayland.contains("Ctrl+O") && wayland.contains("Ctrl+V"), "{wayland}");
    }

    #[test]
    fn junk_gets_a_message_that_names_what_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("report.docx"), b"x").unwrap();
        let sorted = sort_all(&[path("report.docx"), path("song.mp3"), path("dog.jpg")]);
        assert_eq!(sorted.images, [path("dog.jpg")]);
        let said = |paths: &[PathBuf]| match &sort_all(paths).messages[..] {
            [(Level::Warning, message)] => message.clone(),
            other => panic!("{other:?}"),
        };
        let message = said(&[path("report.docx"), path("song.mp3")]);
        assert!(message.starts_with("report.docx and 1 more can't be used here: accepted are images"), "{message}");
        assert!(said(&[path("song.mp3")]).contains("No such file") || cfg!(windows));
        fs::create_dir(path("empty")).unwrap();
        assert_eq!(said(&[path("empty")]), "empty can't be used here: no images and no folders of them are in it");
    }

    #[test]
    fn a_folder_of_loose_images_stands_for_its_images() {
        let folder = tempfile::tempdir().unwrap();
        let photos = folder.path().join("holiday");
        fs::create_dir_all(photos.join("@eaDir")).unwrap();
        let path = |name: &str| photos.join(name);
        for name in ["b.jpg", "a.jpg", "notes.txt"] {
            fs::write(path(name), b"x").unwrap();
        }
        assert_eq!(sort(&photos), DroppedKind::Images);
        let sorted = sort_all(&[photos.clone(), PathBuf::from("dog.jpg")]);
        assert_eq!(sorted.images, [path("a.jpg"), path("b.jpg"), PathBuf::from("dog.jpg")]);
        assert!(sorted.data.is_none());
        let [(Level::Warning, left_out), (Level::Info, message)] = &sorted.messages[..] else {
            panic!("{:?}", sorted.messages)
        };
        assert_eq!(left_out, "Left out: 1 .txt file");
        assert!(message.starts_with("holiday has no folders of classes: 3 images are shown"), "{message}");
        fs::create_dir(photos.join("cats")).unwrap();
        assert_eq!(sort(&photos), DroppedKind::Data);
    }

    #[test]
    fn what_is_not_opened_is_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let sets = ["one", "two"].map(|name| folder.path().join(name));
        sets.iter().for_each(|set| fs::create_dir_all(set.join("cats")).unwrap());
        let sorted = sort_all(&sets);
        assert_eq!(sorted.data.as_ref(), Some(&sets[0]));
        assert_eq!(sorted.messages, [(Level::Warning, "two was not opened: one at a time".to_owned())]);
        // The four files of MNIST are one data set.
        let files = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"].map(|name| folder.path().join(name));
        files.iter().for_each(|file| fs::write(file, b"x").unwrap());
        assert!(sort_all(&files).messages.is_empty());
    }
}
