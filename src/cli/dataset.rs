//! `--data`: loading a data set with progress on screen, and an end to it by Ctrl+C.

use super::output;
use crate::{
    data::{self, DataError, Dataset, LoadOptions, NAMES, Progress, Report},
    format,
    session::interrupt,
    text,
};
use clap::{
    Args,
    builder::{OsStringValueParser, TypedValueParser},
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::IsTerminal,
    ops::ControlFlow,
    sync::{Mutex, PoisonError},
};

/// Which images.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DataArgs {
    #[arg(long, value_name = "SPEC", value_parser = spec(), help = format!(
        "{}, or a path: a CIFAR archive or folder, IDX files, an image folder", NAMES.join(", ")
    ))]
    pub data: Option<String>,

    /// CIFAR-100's twenty superclasses instead of its hundred classes
    #[arg(long)]
    pub coarse: bool,
}

/// What names a data set; a path that is no UTF-8 is written out, as [`data::load`] understands it.
pub(crate) fn spec() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().try_map(|spec| match spec.is_empty() {
        true => Err("a value is required"),
        false => Ok(text::utf8(&spec)),
    })
}

/// Loads a data set; what was left out of it is said on standard error.
pub(crate) fn load(spec: &str, options: &LoadOptions, quiet: bool) -> Result<Dataset, DataError> {
    let progress = Reading::new(quiet);
    let dataset = data::load(spec, options, &progress)?;
    progress.clear();
    if dataset.contradictions.images > 0 {
        output::note(&dataset.contradictions);
    }
    if let Some(first) = dataset.rejected.first() {
        output::note(format!(
            "{} could not be read, such as {} ({}); `kindling data inspect` lists {}",
            match dataset.rejected.len() {
                1 => "1 file or folder".to_owned(),
                n => format!("{} files or folders", format::number(n as u64)),
            },
            text::path(&first.path),
            text::message(&first.reason),
            if dataset.rejected.len() == 1 { "it" } else { "them" },
        ));
    }
    if !dataset.left_out.is_empty() {
        output::note(format!("left out: {}", dataset.left_out));
    }
    Ok(dataset)
}

/// Progress of reading or downloading: a bar where a person watches, else a line for each file that is downloaded.
pub(crate) struct Reading {
    bar: Option<ProgressBar>,
    quiet: bool,
    /// The file that was last named.
    file: Mutex<String>,
}

impl Reading {
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{bar:24} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, quiet, file: Mutex::default() }
    }

    /// Takes the bar off the screen.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn show(&self, done: u64, total: Option<u64>, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
            bar.set_message(message());
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Progress for Reading {
    fn report(&self, what: &Report) -> ControlFlow<()> {
        match what {
            Report::Download { file, done, total, bytes_per_s } => {
                let mut last = self.file.lock().unwrap_or_else(PoisonError::into_inner);
                if *last != *file && !self.quiet && self.bar.is_none() {
                    output::note(format!(
                        "downloading {file} ({})",
                        total.map_or("size unknown".into(), format::bytes)
                    ));
                }
                last.clone_from(file);
                self.show(*done, *total, || {
                    let left = total.filter(|_| *bytes_per_s > 0.0).map(|total| total.saturating_sub(*done));
                    let left = left.map(|left| format!(", {} left", format::duration(left as f64 / bytes_per_s)));
                    let (done, speed) = (format::bytes(*done), format::bytes(*bytes_per_s as u64));
                    format!("{file}: {done}, {speed}/s{}", left.unwrap_or_default())
                });
            }
            Report::Scan { done, total } => self.show(*done as u64, Some(*total as u64), || {
                format!("looking at images {} / {}", format::number(*done as u64), format::number(*total as u64))
            }),
            Report::Read { done, total } => self.show(*done, Some(*total), || {
                format!("reading {} / {}", format::number(*done), format::number(*total))
            }),
            Report::Note { text } => match &self.bar {
                Some(bar) => bar.suspend(|| output::note(text)),
                None => output::note(text),
            },
        }
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
