//! `kindling predict`: what a network sees in images from files, folders or standard input.

use super::{
    Outcome,
    images::{self, Input},
    model::{self, DeviceArgs, one_of},
    output,
};
use crate::{
    format,
    model::Padding,
    text,
    train::{answers::Answer, metrics::top_k, predictor::Predictor},
    weights::ImportOptions,
};
use anyhow::bail;
use clap::Args;
use rayon::prelude::*;
use serde_json::json;
use std::{io, path::PathBuf};

/// Images that are decoded and classified at a time.
const CHUNK: usize = 64;
/// Classify images
///
/// Each image is prepared exactly as training prepared its own: the weights say how.
#[derive(Args, Clone, Debug)]
pub(crate) struct Predict {
    /// A run's folder (its best weights count), a weight file, or `bundled`
    #[arg(value_name = "RUN|WEIGHTS")]
    model: PathBuf,

    /// Image files, folders of them, or - for one image on standard input
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    /// How many classes to list for each image
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = at_least_one)]
    top: usize,

    #[command(flatten)]
    device: DeviceArgs,

    /// How the network pads, where its file does not say [default: by the file's names]
    #[arg(long, value_parser = one_of::<Padding>())]
    padding: Option<Padding>,

    /// Print one JSON object an image
    #[arg(long)]
    json: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&k| k > 0).ok_or_else(|| "expected a whole number from 1 on".to_owned())
}

impl Predict {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let source = model::locate(&self.model, self.json)?;
        let options = ImportOptions { padding: self.padding, ..ImportOptions::default() };
        let predictor = Predictor::open(&source.weights, &options, self.device.device, self.device.ops)?;
        let inputs = images::expand(&self.images)?;
        let preprocessing = &predictor.card().preprocessing;
        let mut failed = 0;
        for chunk in inputs.chunks(predictor.images_at_once(CHUNK)) {
            let prepared: Vec<_> = chunk.par_iter().map(|input| images::prepare(input, preprocessing)).collect();
            let good: Vec<Vec<u8>> = prepared.iter().flatten().cloned().collect();
            let mut answers = predictor.predict(&good).into_iter();
            for (input, prepared) in chunk.iter().zip(&prepared) {
                match prepared {
                    Ok(_) => {
                        answers.next().map_or(Ok(()), |answer| self.show(input, &answer, &predictor.card().classes))?
                    }
                    Err(reason) => {
                        failed += 1;
                        self.show_error(input, reason)?;
                    }
                }
            }
        }
        match failed {
            0 => Ok(Outcome::Done),
            1 if inputs.len() == 1 => bail!("the image could not be classified"),
            _ => bail!("{failed} of {} could not be classified", format::plural(inputs.len(), "image")),
        }
    }

    fn show(&self, input: &Input, answer: &Answer, classes: &[String]) -> io::Result<()> {
        let Answer { probabilities, unknown } = answer;
        let top = top_k(probabilities, self.top);
        if self.json {
            let top: Vec<_> =
                top.iter().map(|&i| json!({ "class": classes[i], "index": i, "p": probabilities[i] })).collect();
            let mut line = json!({ "file": input.name(), "top": top });
            if *unknown {
                line["unknown"] = json!(true);
            }
            return output::json(&line);
        }
        let top: Vec<_> =
            top.iter().map(|&i| format!("{} {:.3}", text::foreign(&classes[i]), probabilities[i])).collect();
        let none = if *unknown { "none of these; nearest: " } else { "" };
        output::line(format_args!("{}: {none}{}", input.shown(), top.join(", ")))
    }

    fn show_error(&self, input: &Input, reason: &str) -> io::Result<()> {
        if self.json {
            return output::json(&json!({ "file": input.name(), "error": reason }));
        }
        output::note(format_args!("{}: {}", input.shown(), text::message(reason)));
        Ok(())
    }
}
