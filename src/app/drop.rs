//! What a dropped or opened path is for.
//!
//! Wherever in the window something is dropped, what it is decides what happens to it: an image is classified, data are
//! loaded, a run is opened, weights are offered. While it hovers, the window shows which of these it will be.

use super::{theme, toasts::Level, words};
use crate::{data::is_image_name, train::bundle};
use eframe::egui::{
    self, Align, Align2, Color32, CornerRadius, FontId, Rect, Stroke, StrokeKind, Ui, text::LayoutJob, vec2,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a path turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sort {
    Image,
    /// Anything that `--data` takes.
    Data,
    Run,
    /// A run in one file.
    RunFile,
    Weights,
    Unknown,
}

/// What is accepted, for the message about what is not.
pub const ACCEPTED: &str = "images, a folder with a sub-folder of images for each class, CIFAR archives or IDX files, \
                            a run folder or a run in one file (.kindling), or weights (.safetensors, .pth, .pt, .bin, .ckpt)";

impl Sort {
    /// What will be done with it.
    fn target(self) -> &'static str {
        match self {
            Sort::Image => "Classify",
            Sort::Data => "Load as data",
            Sort::Run | Sort::RunFile => "Open the run",
            Sort::Weights => "Use the weights",
            Sort::Unknown => "Not something that can be used here",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Sort::Image => "one image or many",
            Sort::Data => "a folder of class folders, a CIFAR archive, IDX files",
            Sort::Run | Sort::RunFile => "a run's folder, or a run in one file",
            Sort::Weights => "safetensors, PyTorch or MindSpore",
            Sort::Unknown => "",
        }
    }
}

/// Tells what `path` is by its name and, for a folder, by what lies in it. Reads a folder's listing at most, but may wait
/// for a slow disk: not for the frame.
pub fn sort(path: &Path) -> Sort {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if path.is_dir() {
        return sort_folder(path);
    }
    if name == "events.jsonl" || name == "recipe.toml" {
        return Sort::Run;
    }
    if ends(&[&format!(".{}", bundle::ENDING)]) {
        return Sort::RunFile;
    }
    let idx = name.contains("-ubyte") || name.contains("-idx");
    let cifar =
        name.starts_with("data_batch") || name.starts_with("test_batch") || name == "train.bin" || name == "test.bin";
    if idx || cifar || ends(&[".tar.gz", ".tgz", ".tar"]) {
        return Sort::Data;
    }
    if ends(&[".safetensors", ".pth", ".pt", ".bin", ".ckpt"]) {
        return Sort::Weights;
    }
    match is_image_name(path) {
        true => Sort::Image,
        // One may have been given any name.
        false if bundle::is_bundle(path) => Sort::RunFile,
        false => Sort::Unknown,
    }
}

fn sort_folder(path: &Path) -> Sort {
    if path.join("events.jsonl").is_file() || path.join("recipe.toml").is_file() {
        return Sort::Run;
    }
    // Enough of a listing to tell a data set from anything else.
    let entries: Vec<PathBuf> = match fs::read_dir(path) {
        Ok(entries) => entries.take(4000).filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) => return Sort::Unknown,
    };
    let data = entries.iter().any(|entry| entry.is_dir() || sort_file_name(entry) == Sort::Data);
    if data { Sort::Data } else { Sort::Unknown }
}

/// As [`sort`], for what is known to be a file.
fn sort_file_name(path: &Path) -> Sort {
    if path.is_dir() { Sort::Unknown } else { sort(path) }
}

/// Dropped paths, by what is to be done with them.
#[derive(Debug, Default, PartialEq)]
pub struct Sorted {
    pub images: Vec<PathBuf>,
    pub data: Option<PathBuf>,
    pub run: Option<PathBuf>,
    pub run_file: Option<PathBuf>,
    pub weights: Option<PathBuf>,
    /// What the user is told about the rest.
    pub message: Option<(Level, String)>,
}

/// Sorts what was dropped at once. Not for the frame.
pub fn sort_all(paths: &[PathBuf]) -> Sorted {
    let mut sorted = Sorted::default();
    let mut unknown = Vec::new();
    for path in paths {
        match sort(path) {
            Sort::Image => sorted.images.push(path.clone()),
            Sort::Data => sorted.data = sorted.data.or(Some(path.clone())),
            Sort::Run => {
                // One of a run's files stands for its folder.
                let folder = if path.is_dir() { Some(path.clone()) } else { path.parent().map(Path::to_owned) };
                sorted.run = sorted.run.or(folder);
            }
            Sort::RunFile => sorted.run_file = sorted.run_file.or(Some(path.clone())),
            Sort::Weights => sorted.weights = sorted.weights.or(Some(path.clone())),
            Sort::Unknown => unknown.push(path),
        }
    }
    if let Some(first) = unknown.first() {
        let name = words::file_name(first);
        let rest = if unknown.len() > 1 { format!(" and {} more", unknown.len() - 1) } else { String::new() };
        sorted.message = Some((Level::Warning, format!("{name}{rest} can't be used here. Accepted are {ACCEPTED}.")));
    }
    sorted
}

/// Guesses from a hovering path's name alone, which costs nothing.
fn guess(path: &Path) -> Option<Sort> {
    // A folder's name says nothing, and looking into it may take time.
    path.extension()?;
    Some(sort_file_name(path)).filter(|sort| *sort != Sort::Unknown)
}

/// While files hover over the window: the four things that can be done with them, the likely one lit.
pub fn overlay(ui: &Ui) {
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
    let targets = [Sort::Image, Sort::Data, Sort::Run, Sort::Weights];
    let size = vec2(230.0, 110.0);
    for (index, sort) in targets.into_iter().enumerate() {
        let offset = vec2((index % 2) as f32 - 0.5, (index / 2) as f32 - 0.5) * (size + vec2(18.0, 18.0));
        let rect = Rect::from_center_size(screen.center() + offset, size);
        let likely = likely.map(|likely| if likely == Sort::RunFile { Sort::Run } else { likely });
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
        assert_eq!(sort(&make("cat.PNG")), Sort::Image);
        assert_eq!(sort(&make("cifar-10-binary.tar.gz")), Sort::Data);
        assert_eq!(sort(&make("train-images-idx3-ubyte.gz")), Sort::Data);
        assert_eq!(sort(&make("resnet18.pth")), Sort::Weights);
        assert_eq!(sort(&make("pytorch_model.bin")), Sort::Weights);
        assert_eq!(sort(&make("data_batch_1.bin")), Sort::Data);
        assert_eq!(sort(&make("resnet18.onnx")), Sort::Unknown, "written, never read");
        assert_eq!(sort(&make("notes.txt")), Sort::Unknown);
        make("set/cats/1.png");
        assert_eq!(sort(&folder.path().join("set")), Sort::Data);
        assert_eq!(sort(&make("mine.kindling")), Sort::RunFile);
        assert_eq!(sort_all(&[make("mine.kindling")]).run_file, Some(folder.path().join("mine.kindling")));
        let events = make("run/events.jsonl");
        assert_eq!(sort(&folder.path().join("run")), Sort::Run);
        assert_eq!(sort_all(&[events]).run, Some(folder.path().join("run")));
        assert_eq!(sort(&folder.path().join("nothing there")), Sort::Unknown);
    }

    #[test]
    fn junk_gets_a_message_that_names_what_is_accepted() {
        let sorted = sort_all(&[PathBuf::from("report.docx"), PathBuf::from("song.mp3"), PathBuf::from("dog.jpg")]);
        assert_eq!(sorted.images, [PathBuf::from("dog.jpg")]);
        let (_, message) = sorted.message.unwrap();
        assert!(message.starts_with("report.docx and 1 more") && message.contains("run folder"), "{message}");
    }
}
