//! `kindling predict`: what a network sees in images from files, folders or standard input.

use super::{
    Outcome,
    model::{self, DeviceArgs},
    output,
};
use crate::{
    data::{self, Preprocessing},
    format,
    model::Padding,
    text,
    train::{metrics::top_k, predictor::Predictor},
    weights::ImportOptions,
};
use anyhow::{bail, ensure};
use clap::Args;
use rayon::prelude::*;
use serde_json::json;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Images that are decoded and classified at a time.
const CHUNK: usize = 64;
/// Bytes of the largest image that is read from a stream.
const MAX_STREAM_BYTES: u64 = 512 << 20;

/// Classify images
///
/// Each image is prepared exactly as training prepared its own: the weights say how.
#[derive(Args, Clone, Debug)]
pub(crate) struct Predict {
    /// A run's folder (its best weights count) or a weight file
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

    /// How the network pads, where its file does not say: torch, same, or same-pool [default: by the file's names]
    #[arg(long)]
    padding: Option<Padding>,

    /// Print one JSON object an image
    #[arg(long)]
    json: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&k| k > 0).ok_or_else(|| "expected a whole number from 1 on".to_owned())
}

/// Where an image comes from.
enum Input {
    File(PathBuf),
    Standard,
    /// A place in which there should have been images.
    Nothing(PathBuf, String),
}

impl Predict {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let source = model::locate(&self.model, self.json)?;
        let options = ImportOptions { padding: self.padding, ..ImportOptions::default() };
        let predictor = Predictor::open(&source.weights, &options, self.device.device, self.device.ops)?;
        ensure!(self.images.iter().filter(|path| is_stdin(path)).count() < 2, "standard input can be read only once");
        let inputs = expand(&self.images);
        let preprocessing = &predictor.card().preprocessing;
        let mut failed = 0;
        for chunk in inputs.chunks(predictor.images_at_once(CHUNK)) {
            let prepared: Vec<_> = chunk.par_iter().map(|input| prepare(input, preprocessing)).collect();
            let good: Vec<Vec<u8>> = prepared.iter().flatten().cloned().collect();
            let mut probabilities = predictor.predict(&good).into_iter();
            for (input, prepared) in chunk.iter().zip(&prepared) {
                match prepared {
                    Ok(_) => self.show(input, &probabilities.next().unwrap_or_default(), &predictor.card().classes)?,
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

    fn show(&self, input: &Input, probabilities: &[f32], classes: &[String]) -> io::Result<()> {
        let top = top_k(probabilities, self.top);
        if self.json {
            let top: Vec<_> =
                top.iter().map(|&i| json!({ "class": classes[i], "index": i, "p": probabilities[i] })).collect();
            return output::json(&json!({ "file": input.name(), "top": top }));
        }
        let top: Vec<_> =
            top.iter().map(|&i| format!("{} {:.3}", text::foreign(&classes[i]), probabilities[i])).collect();
        output::line(format_args!("{}: {}", input.shown(), top.join(", ")))
    }

    fn show_error(&self, input: &Input, reason: &str) -> io::Result<()> {
        if self.json {
            return output::json(&json!({ "file": input.name(), "error": reason }));
        }
        output::note(format_args!("{}: {}", input.shown(), text::message(reason)));
        Ok(())
    }
}

impl Input {
    fn name(&self) -> String {
        match self {
            Input::File(path) | Input::Nothing(path, _) => text::utf8(path.as_os_str()),
            Input::Standard => "-".to_owned(),
        }
    }

    /// The name for people.
    fn shown(&self) -> String {
        match self {
            Input::File(path) | Input::Nothing(path, _) => text::path(path),
            Input::Standard => self.name(),
        }
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Whether a shell means a stream by this path, as with `<(…)`: one that is open already, so that opening it waits for
/// nobody.
fn is_handed_over(path: &Path) -> bool {
    ["/dev/fd", "/dev/stdin", "/proc/self/fd"].iter().any(|start| path.starts_with(start))
}

/// Folders become the images in them; what else lies there is said.
fn expand(paths: &[PathBuf]) -> Vec<Input> {
    let mut inputs = Vec::new();
    for (i, paths) in paths.split(|path| is_stdin(path)).enumerate() {
        if i > 0 {
            inputs.push(Input::Standard);
        }
        let found = data::images_in(paths);
        inputs.extend(found.images.into_iter().map(Input::File));
        inputs.extend(found.rejected.into_iter().map(|nothing| Input::Nothing(nothing.path, nothing.reason)));
        if !found.left_out.is_empty() {
            output::note(format_args!("left out: {}", found.left_out));
        }
    }
    inputs
}

/// The bytes that the network takes, or why there are none.
fn prepare(input: &Input, preprocessing: &Preprocessing) -> Result<Vec<u8>, String> {
    let bytes = match input {
        Input::File(path) if is_handed_over(path) => File::open(path).and_then(read),
        Input::File(path) => data::read_image_file(path),
        Input::Standard => read(io::stdin().lock()),
        Input::Nothing(_, reason) => return Err(reason.clone()),
    };
    let bytes = bytes.map_err(|error| error.to_string())?;
    let image = data::decode_image(&bytes, preprocessing.pixel_rules).map_err(|error| error.to_string())?;
    Ok(preprocessing.prepare(&image))
}

fn read(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_STREAM_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        0 => Err(io::Error::other("no image: there are no bytes")),
        n if n > MAX_STREAM_BYTES => Err(io::Error::other(format!("more than {}", format::bytes(MAX_STREAM_BYTES)))),
        _ => Ok(bytes),
    }
}
