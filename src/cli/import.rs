//! `kindling import`: any supported weights into Kindling's own form.

use super::{
    Outcome,
    model::{self, one_of},
    output,
};
use crate::{
    format,
    model::Padding,
    text,
    weights::{self, ImportOptions, write_safetensors},
};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Read weights of PyTorch, MindSpore, timm or ONNX and write them as Kindling's
#[derive(Args, Clone, Debug)]
pub(crate) struct Import {
    /// safetensors, PyTorch .pt/.pth/.bin, MindSpore .ckpt, .onnx, or a name such as torchvision:resnet50
    file: PathBuf,

    /// The architecture that the file must hold, such as resnet50 [default: recognised]
    #[arg(long)]
    model: Option<String>,

    /// How the network pads [default: by the file's names]
    #[arg(long, value_parser = one_of::<Padding>())]
    padding: Option<Padding>,

    /// Where to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

impl Import {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let source = model::locate(&self.file, self.json)?;
        let options = ImportOptions { architecture: self.model, padding: self.padding, ..ImportOptions::default() };
        let imported = weights::read(&source.weights, &options)?;
        write_safetensors(&self.out, &imported.card, &imported.tensors)?;
        if self.json {
            let mut report = serde_json::to_value(&imported.report)?;
            report["file"] = json!(source.weights);
            report["out"] = json!(self.out);
            report["classes"] = json!(imported.card.classes);
            report["preprocessing"] = json!(imported.card.preprocessing);
            output::json(&report)?;
            return Ok(Outcome::Done);
        }
        output::line(&imported.report)?;
        let named: Vec<_> = imported.report.left.iter().filter(|left| !left.is_counter()).collect();
        for left in named.iter().take(10) {
            output::line(format_args!("  left out: {} ({})", text::foreign(&left.name), text::message(&left.reason)))?;
        }
        let more = named.len().saturating_sub(10);
        if more > 0 {
            output::line(format_args!("  … and {}; --json lists them all", format::plural(more, "other")))?;
        }
        output::line(format_args!("written to {}", text::path(&self.out)))?;
        Ok(Outcome::Done)
    }
}
