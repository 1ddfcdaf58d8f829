//! `kindling export`: a network for other programs.

use super::{Outcome, model, output};
use crate::{
    format, text,
    train::bundle,
    weights::{self, ExportFormat, ImportOptions},
};
use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::{fs, path::PathBuf};

/// Write a network as safetensors (PyTorch loads it) or ONNX, or a run as one file
#[derive(Args, Clone, Debug)]
pub(crate) struct Export {
    /// A run's folder (its best weights count) or a weight file
    #[arg(value_name = "RUN|WEIGHTS")]
    model: PathBuf,

    /// What to write
    #[arg(long, value_enum)]
    format: Format,

    /// Where to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// ONNX only: take normalised floats (NCHW) instead of an image's bytes (NHWC)
    #[arg(long)]
    raw_input: bool,

    /// Print a report as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Safetensors,
    Onnx,
    /// All of a run but its snapshots, in one file; `train --resume`, `eval` and `predict` take it
    Run,
}

impl Export {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        match self.format {
            Format::Run => self.run_file(),
            Format::Safetensors => self.network(ExportFormat::Safetensors),
            Format::Onnx => self.network(ExportFormat::Onnx { preprocessing: !self.raw_input }),
        }
    }

    fn network(&self, format: ExportFormat) -> anyhow::Result<Outcome> {
        let source = model::locate(&self.model, self.json)?;
        let imported = weights::read(&source.weights, &ImportOptions::default())?;
        let included = format == ExportFormat::Onnx { preprocessing: true };
        format.write(&imported, &self.out)?;
        let size = fs::metadata(&self.out).with_context(|| text::path(&self.out))?.len();
        let card = &imported.card;
        if self.json {
            output::json(&json!({
                "weights": source.weights,
                "format": format.extension(),
                "out": self.out,
                "bytes": size,
                "model": card.spec.to_string(),
                "classes": card.classes,
                "preprocessing": card.preprocessing,
                "preprocessing_included": included,
            }))?;
            return Ok(Outcome::Done);
        }
        output::line(format_args!("{} ({})", text::path(&self.out), format::bytes(size)))?;
        output::line(&card.spec)?;
        if self.format == Format::Onnx {
            let p = &card.preprocessing;
            output::line(match included {
                true => format!(
                    "takes images as bytes, [N, {}, {}, {}], and normalises them itself",
                    p.height, p.width, p.channels
                ),
                false => format!(
                    "takes normalised floats, [N, {}, {}, {}]; mean {:?}, deviation {:?}",
                    p.channels, p.height, p.width, p.normalisation.mean, p.normalisation.std
                ),
            })?;
        }
        Ok(Outcome::Done)
    }

    fn run_file(&self) -> anyhow::Result<Outcome> {
        bundle::save(&self.model, &self.out)?;
        let size = fs::metadata(&self.out).with_context(|| text::path(&self.out))?.len();
        if self.json {
            output::json(&json!({ "run": self.model, "format": "run", "out": self.out, "bytes": size }))?;
        } else {
            output::line(format_args!("{} ({})", text::path(&self.out), format::bytes(size)))?;
        }
        Ok(Outcome::Done)
    }
}
