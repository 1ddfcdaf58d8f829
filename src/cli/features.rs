//! `kindling features`: what a network sees in images before its head judges, as a file of numbers.

use super::{
    Outcome, images,
    model::{self, DeviceArgs, one_of},
    output,
};
use crate::{
    format,
    model::Padding,
    text,
    train::features::FeatureExtractor,
    weights::{HostTensor, ImportOptions, Metadata, StateDict, write_tensors},
};
use anyhow::{Context, bail};
use clap::Args;
use rayon::prelude::*;
use serde_json::json;
use std::path::PathBuf;

/// Images that are decoded and looked at at a time.
const CHUNK: usize = 64;

/// Write the features of images: what a network's head reads of each
///
/// The file is safetensors: `features`, float32 [images, features], and in its metadata `files`, a JSON list of the
/// images in the order of the rows. Other tools make classifiers, maps and searches of them.
#[derive(Args, Clone, Debug)]
pub(crate) struct Features {
    /// A run's folder (its best weights count), a weight file, with or without a head, or `bundled`
    #[arg(value_name = "RUN|WEIGHTS")]
    model: PathBuf,

    /// Image files, folders of them, or - for one image on standard input
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    /// Where to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    device: DeviceArgs,

    /// How the network pads, where its file does not say [default: by the file's names]
    #[arg(long, value_parser = one_of::<Padding>())]
    padding: Option<Padding>,

    /// Print a report as one JSON object
    #[arg(long)]
    json: bool,
}

impl Features {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let source = model::locate(&self.model, self.json)?;
        let options = ImportOptions { padding: self.padding, ..ImportOptions::default() };
        let network = FeatureExtractor::open(&source.weights, &options, self.device.device, self.device.ops)?;
        let inputs = images::expand(&self.images)?;
        let (mut files, mut values) = (Vec::new(), Vec::new());
        for chunk in inputs.chunks(CHUNK) {
            let prepared: Vec<_> =
                chunk.par_iter().map(|input| images::prepare(input, network.preprocessing())).collect();
            let mut good = Vec::new();
            for (input, prepared) in chunk.iter().zip(prepared) {
                match prepared {
                    Ok(image) => {
                        files.push(input.name());
                        good.push(image);
                    }
                    Err(reason) => output::note(format_args!("{}: {}", input.shown(), text::message(&reason))),
                }
            }
            values.extend(network.features(&good));
        }
        if files.is_empty() {
            bail!("none of {} could be read", format::plural(inputs.len(), "image"));
        }
        let shape = vec![files.len(), network.width()];
        let tensors = StateDict::from([("features".to_owned(), HostTensor { shape, data: values })]);
        let names = serde_json::to_string(&files).context("the names of the images")?;
        write_tensors(&self.out, &tensors, &Metadata::from([("files".to_owned(), names)]))?;
        let failed = inputs.len() - files.len();
        if self.json {
            output::json(&json!({
                "weights": source.weights, "out": self.out, "images": files.len(), "features": network.width(),
                "failed": failed,
            }))?;
        } else {
            let images = format::plural(files.len(), "image");
            output::line(format_args!("{}: {} features of {images}", text::path(&self.out), network.width()))?;
        }
        match failed {
            0 => Ok(Outcome::Done),
            _ => bail!("{failed} of {} could not be read", format::plural(inputs.len(), "image")),
        }
    }
}
