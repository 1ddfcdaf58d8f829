//! `kindling data`: looking at a data set, copying or downloading one, and what is kept on disk.

use super::{
    Outcome,
    cache::Cache,
    dataset::{self, Reading},
    model, output, table,
};
use crate::{
    data::{self, DataError, Inspection, Known, LoadOptions, NAMES},
    format,
    session::interrupt,
    text,
    train::{bundle, run_folder},
};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Look at a data set, copy or download one, or see what is kept on disk
#[derive(Args, Clone, Debug)]
pub(crate) struct Data {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Count classes and images, and find duplicates and unreadable files
    Inspect {
        #[arg(value_parser = dataset::spec(), help = format!("{}, or a path", NAMES.join(", ")))]
        spec: String,
        /// CIFAR-100's twenty superclasses instead of its hundred classes
        #[arg(long)]
        coarse: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Copy the images of a data set, or of a run with the edits made in it, into a folder: a sub-folder for each class
    Copy {
        #[arg(value_name = "RUN|SPEC", value_parser = dataset::spec())]
        from: String,
        /// Where to: a folder that is new or empty
        #[arg(value_name = "FOLDER")]
        to: PathBuf,
        /// Where the images of a run are, in place of where it learned from them
        #[arg(long, value_name = "SPEC", value_parser = dataset::spec())]
        data: Option<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Download a data set into the cache
    Download {
        #[arg(help = text::alternatives(&Known::ALL.map(Known::name)))]
        spec: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    Cache(Cache),
}

impl Data {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        interrupt::watch();
        let interrupted = match self.action {
            Action::Copy { .. } => "interrupted; nothing is left of the copy",
            _ => "interrupted; what was downloaded is kept for the next time",
        };
        let result = match self.action {
            Action::Inspect { spec, coarse, json } => inspect(&spec, coarse, json),
            Action::Copy { from, to, data, json } => copy(&from, &to, data.as_deref(), json),
            Action::Download { spec, json } => download(&spec, json),
            Action::Cache(cache) => cache.run(),
        };
        match result {
            Err(error) if matches!(error.downcast_ref(), Some(DataError::Cancelled)) => {
                output::note(interrupted);
                Ok(Outcome::Interrupted)
            }
            result => result.map(|()| Outcome::Done),
        }
    }
}

fn inspect(spec: &str, coarse: bool, as_json: bool) -> anyhow::Result<()> {
    let dataset = dataset::load(spec, &LoadOptions { coarse, ..LoadOptions::default() }, as_json)?;
    let found = data::inspect(&dataset);
    if as_json {
        return Ok(output::json(&found)?);
    }
    Ok(output::line(report(&found))?)
}

fn copy(from: &str, to: &Path, data: Option<&str>, as_json: bool) -> anyhow::Result<()> {
    let path = text::to_path(from);
    let run = match run_folder::is_run(&path) || bundle::is_bundle(&path) {
        true => model::locate(&path, as_json)?.run,
        false => None,
    };
    let (spec, options) = match (&run, data) {
        (Some(run), data) => (data.map_or_else(|| run.data(), Ok)?, run.load_options(&run.recipe)),
        (None, None) => (from, LoadOptions::default()),
        (None, Some(_)) => bail!("{} is no run: --data says where the images of one are", text::path(&path)),
    };
    let dataset = dataset::load(spec, &options, as_json)?;
    let progress = Reading::new(as_json);
    let images = data::save_as_folder(&dataset, to, &progress)?;
    progress.clear();
    if as_json {
        return Ok(output::json(&json!({ "images": images, "classes": dataset.classes, "folder": to }))?);
    }
    let (images, classes) = (format::plural(images, "image"), dataset.classes.len());
    Ok(output::line(format_args!("{images} in {classes} classes copied to {}", text::path(to)))?)
}

fn report(found: &Inspection) -> String {
    let mut lines = vec![
        format!("{}: {} classes", text::foreign(&found.name), found.classes),
        format!(
            "{} for training, {} for validation ({})",
            format::plural(found.train, "image"),
            format::number(found.test as u64),
            found.validation
        ),
        format!(
            "images of {}x{} pixels, {}",
            found.height,
            found.width,
            match found.channels {
                1 => "gray",
                _ => "colour",
            }
        ),
    ];
    if found.distinct_sizes > 1 {
        let sizes = found.original_sizes.iter().take(5);
        let sizes: Vec<_> = sizes.map(|s| format!("{}x{} ({})", s.height, s.width, s.images)).collect();
        let more = found.distinct_sizes.saturating_sub(5);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        lines.push(format!("made from {} different sizes: {}{more}", found.distinct_sizes, sizes.join(", ")));
    }
    let four = |values: &[f32]| values.iter().map(|v| format!("{v:.4}")).collect::<Vec<_>>().join(" ");
    lines.push(format!("mean {}, deviation {}", four(&found.mean), four(&found.std)));
    lines.push(String::new());
    let mut rows = vec![["class", "training", "validation"].map(str::to_owned).to_vec()];
    for ((name, train), test) in found.class_names.iter().zip(&found.train_per_class).zip(&found.test_per_class) {
        rows.push(vec![table::short(name, 32), format::number(*train as u64), format::number(*test as u64)]);
    }
    lines.push(table::aligned(&rows));
    lines.push(String::new());
    lines.push(match (found.duplicates_across_splits, found.duplicates_within_train) {
        (0, 0) => "no image is there twice".to_owned(),
        (across, within) => format!(
            "{} of the validation images are training images too; {within} training images repeat an earlier one",
            format::number(across as u64)
        ),
    });
    for twin in found.duplicates.iter().take(5) {
        let name = |file: &Option<String>, index: usize| {
            file.as_deref().map_or_else(|| format!("image {index}"), text::foreign)
        };
        lines.push(format!(
            "  {} ({}) is {} ({})",
            name(&twin.test_file, twin.test),
            text::foreign(&twin.test_class),
            name(&twin.train_file, twin.train),
            text::foreign(&twin.train_class)
        ));
    }
    if !found.unreadable.is_empty() {
        lines.push(format!("{} could not be read:", format::plural(found.unreadable.len(), "file")));
        lines.extend(
            found
                .unreadable
                .iter()
                .map(|file| format!("  {}: {}", text::path(&file.path), text::message(&file.reason))),
        );
    }
    if !found.left_out.is_empty() {
        lines.push(format!("{} left out:", format::plural(found.left_out.total(), "file")));
        lines.extend(found.left_out.lines().map(|line| format!("  {line}")));
    }
    lines.join("\n")
}

fn download(spec: &str, as_json: bool) -> anyhow::Result<()> {
    let names = Known::ALL.map(Known::name).join(", ");
    let known = Known::from_name(spec)
        .with_context(|| format!("{} can't be downloaded; what can: {names}", text::foreign(spec)))?;
    let progress = Reading::new(as_json);
    let folder = data::download(known, &LoadOptions::default(), &progress)?;
    progress.clear();
    if as_json {
        return Ok(output::json(&json!({ "data": known.name(), "folder": folder }))?);
    }
    Ok(output::line(format_args!("{} is in {}; train on it with --data {spec}", known.name(), text::path(&folder)))?)
}
