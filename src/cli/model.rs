//! Arguments that name a trained network (`RUN|WEIGHTS`) and the device that it works on.

use super::dataset::Reading;
use crate::{
    data::{Edits, LoadOptions, Sides},
    device::Choice,
    ops::Implementation,
    text,
    train::{
        Recipe, bundle,
        run_folder::{Folds, RunFolder, RunInfo, is_run},
    },
    weights,
};
use anyhow::{Context, bail};
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};
use strum::VariantNames;

/// Where to compute.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct DeviceArgs {
    /// auto (a GPU, else the CPU), cpu, gpu (the best adapter), gpu:N as `kindling devices` counts, or the line that
    /// `kindling serve` prints on another machine
    #[arg(long, default_value = "auto")]
    pub device: Choice,

    /// fast is Kindling's own kernels, reference is plain burn
    #[arg(long, value_parser = one_of::<Implementation>(), default_value = "fast", hide = true)]
    pub ops: Implementation,
}

/// One of the names that strum derives of an enum.
pub(crate) fn one_of<T>() -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = strum::ParseError> + VariantNames + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(T::VARIANTS).try_map(|name| name.parse())
}

/// A trained network on disk.
pub(crate) struct Source {
    pub weights: PathBuf,
    /// The run that it belongs to, if it was named by its run.
    pub run: Option<Run>,
}

/// What a run says about itself.
pub(crate) struct Run {
    pub recipe: Recipe,
    pub info: RunInfo,
    /// On which side of the border between training and validation its images were.
    pub sides: Sides,
    /// What heads of folds said of images that they had not seen.
    pub folds: Folds,
    /// What people changed about them.
    pub edits: Edits,
}

impl Run {
    /// How the run wants its data loaded when it goes on with `recipe`.
    pub(crate) fn load_options(&self, recipe: &Recipe) -> LoadOptions {
        self.info.load_options(recipe, self.sides.clone(), self.edits.clone())
    }

    /// What the run was trained on, to load it again.
    ///
    /// # Errors
    /// Where the run comes from another machine: what it was is said, but not where it is here.
    pub(crate) fn data(&self) -> anyhow::Result<&str> {
        if self.info.data.is_empty() {
            let what = self.info.identity.as_ref().map(|identity| format!(": it was {identity}")).unwrap_or_default();
            bail!("the run does not say where what it was trained on is{what}; name it with --data");
        }
        Ok(&self.info.data)
    }
}

/// Finds what `RUN|WEIGHTS` names: a run's best weights (else its last), a run in one file, a weight file, or published weights, which are
/// downloaded.
pub(crate) fn locate(spec: &Path, quiet: bool) -> anyhow::Result<Source> {
    if let Some(weights) = spec.to_str().map(|spec| published(spec, quiet)).transpose()?.flatten() {
        return Ok(Source { weights, run: None });
    }
    if bundle::is_bundle(spec) {
        let ((recipe, info, sides, edits), folds) = (bundle::peek(spec)?, bundle::folds(spec)?);
        return Ok(Source { weights: spec.to_owned(), run: Some(Run { recipe, info, sides, folds, edits }) });
    }
    if !spec.is_dir() {
        // A file of a run's folder is the run's: its data, and what it held out, are known.
        let folder = spec.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
        if let Some(folder) = folder.filter(|folder| spec.is_file() && is_run(folder)) {
            return Ok(Source { weights: spec.to_owned(), run: Some(open_run(folder)?) });
        }
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
pub(crate) fn open_run(path: &Path) -> anyhow::Result<Run> {
    let folder = RunFolder::open(path)?;
    let (recipe, info) = (folder.read_recipe()?, folder.read_info());
    let (sides, folds, edits) = (folder.read_sides()?, folder.read_folds()?, folder.read_edits()?);
    Ok(Run { recipe, info, sides, folds, edits })
}

/// A weight file to start from: a path, or the name of published weights.
pub(crate) fn starting_weights(spec: &str, quiet: bool) -> anyhow::Result<PathBuf> {
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
