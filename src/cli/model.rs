//! Arguments that name a trained network (`RUN|WEIGHTS`) and the device that it works on.

use super::dataset::Reading;
use crate::{
    device::Choice,
    ops::Implementation,
    text,
    train::{
        Recipe, bundle,
        run_folder::{RunFolder, RunInfo, is_run},
    },
    weights,
};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Where to compute.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct DeviceArgs {
    /// auto (a GPU, else the CPU), cpu, gpu (the best adapter), or gpu:N as `kindling devices` counts
    #[arg(long, default_value = "auto")]
    pub device: Choice,

    /// fast is Kindling's own kernels, reference is plain burn
    #[arg(long, value_enum, default_value = "fast", hide = true)]
    pub ops: Ops,
}

/// Which side of the operations to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Ops {
    #[default]
    Fast,
    Reference,
}

impl Ops {
    pub fn name(self) -> &'static str {
        match self {
            Ops::Fast => "fast",
            Ops::Reference => "reference",
        }
    }
}

impl From<Ops> for Implementation {
    fn from(ops: Ops) -> Self {
        match ops {
            Ops::Fast => Implementation::Fast,
            Ops::Reference => Implementation::Reference,
        }
    }
}

/// A trained network on disk.
pub struct Source {
    pub weights: PathBuf,
    /// The run that it belongs to, if it was named by its run.
    pub run: Option<Run>,
}

/// What a run says about itself.
pub struct Run {
    pub recipe: Recipe,
    pub info: RunInfo,
}

/// Finds what `RUN|WEIGHTS` names: a run's best weights (else its last), a run in one file, a weight file, or published weights, which are
/// downloaded.
pub fn locate(spec: &Path, quiet: bool) -> anyhow::Result<Source> {
    if let Some(weights) = spec.to_str().map(|spec| published(spec, quiet)).transpose()?.flatten() {
        return Ok(Source { weights, run: None });
    }
    if bundle::is_bundle(spec) {
        let (recipe, info) = bundle::peek(spec)?;
        return Ok(Source { weights: spec.to_owned(), run: Some(Run { recipe, info }) });
    }
    if !spec.is_dir() {
        // Whether it is there, and what it is, its reader says.
        return Ok(Source { weights: spec.to_owned(), run: None });
    }
    if !is_run(spec) {
        bail!("{} holds no run; give a run's folder or a weight file", text::path(spec));
    }
    let run = open_run(spec)?;
    let weights = RunFolder::open(spec)?.weights()?;
    Ok(Source { weights, run: Some(run) })
}

/// Reads what a run says about itself.
pub fn open_run(path: &Path) -> anyhow::Result<Run> {
    let folder = RunFolder::open(path)?;
    Ok(Run { recipe: folder.read_recipe()?, info: folder.read_info() })
}

/// A weight file to start from: a path, or the name of published weights.
pub fn starting_weights(spec: &str, quiet: bool) -> anyhow::Result<PathBuf> {
    match published(spec, quiet)? {
        Some(path) => Ok(path),
        None => Ok(locate(Path::new(spec), quiet)?.weights),
    }
}

/// The file of published weights such as `torchvision:resnet50`, downloaded where it is not in the cache. `None` for
/// anything else.
fn published(spec: &str, quiet: bool) -> anyhow::Result<Option<PathBuf>> {
    let Some(found) = weights::published(spec)? else { return Ok(None) };
    let folder = weights::cache_dir().context("there is no cache folder for this user: set HOME or XDG_CACHE_HOME")?;
    Ok(Some(found.fetch(&folder, None, &Reading::new(quiet))?))
}
