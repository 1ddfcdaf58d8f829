//! `kindling bench load`: how fast images come: from disk into memory, and from memory into augmented batches. Or from
//! files into batches, as they do in the first epoch on photographs, and then from where the decoded ones are kept.

use super::{median, rounded};
use crate::{
    cli::{
        dataset::{self, DataArgs},
        output,
        recipe::RecipeArgs,
    },
    data::{Dataset, LoadOptions, SAMPLE},
    format, text,
    train::{Feed, Position, Prefetch, Recipe, normalisation, prefetch::BATCHES_AHEAD, room},
};
use clap::Args;
use serde_json::json;
use std::{hint::black_box, sync::Arc, time::Instant};

/// Measure how fast images come
///
/// Loads the data set, then renders one epoch of augmented batches as a run does ahead of its steps. Photographs that
/// would take long to load are decoded on the way, as in the first epoch of a run.
#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    recipe: RecipeArgs,

    /// Decode every image on the way to its batch: an epoch for which none is kept, one for which they go into an empty cache,
    /// and a second one from there
    #[arg(long)]
    from_files: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Load {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let recipe = self.recipe.fresh()?;
        let spec = self.data.data.as_deref().unwrap_or(SAMPLE);
        let options = LoadOptions { coarse: self.data.coarse, ..recipe.load_options() };
        let empty = if self.from_files { Some(tempfile::tempdir()?) } else { None };
        let options = match &empty {
            Some(cache) => LoadOptions { pixels_at_once: 0, cache_dir: Some(cache.path().to_owned()), ..options },
            None => options,
        };
        let began = Instant::now();
        let dataset = Arc::new(dataset::load(spec, &options, self.json)?);
        let load_s = began.elapsed().as_secs_f64();
        let images = dataset.train.len() + dataset.validation.len();

        let streamed = match self.from_files {
            true => {
                let options = LoadOptions { keep_decoded: false, ..options };
                let (mut batches, steps) = batches(&Arc::new(dataset::load(spec, &options, true)?), &recipe)?;
                Some(epoch(&mut batches, steps).images_per_s)
            }
            false => None,
        };
        let (mut batches, steps) = batches(&dataset, &recipe)?;
        let first = if self.from_files { Some(epoch(&mut batches, steps).images_per_s) } else { None };
        let Epoch { images_per_s, times } = epoch(&mut batches, steps);
        if self.json {
            output::json(&json!({
                "data": spec,
                "images": images,
                "load_s": rounded(load_s, 4),
                "batch": recipe.batch_size,
                "batch_s": rounded(median(&times), 6),
                "images_per_s": rounded(images_per_s, 0),
                "streamed_images_per_s": streamed.map(|streamed| rounded(streamed, 1)),
                "from_files_images_per_s": first.map(|first| rounded(first, 1)),
            }))?;
            return Ok(());
        }
        output::line(format_args!(
            "{}: {} loaded in {load_s:.2} s",
            text::foreign(&dataset.name),
            format::plural(images, "image")
        ))?;
        if let (Some(streamed), Some(first)) = (streamed, first) {
            output::line(format_args!("from files, none kept: {}", format::pace(streamed as f32)))?;
            output::line(format_args!("from files into batches: {}", format::pace(first as f32)))?;
        }
        output::line(format_args!(
            "augmented batches of {}: {}",
            recipe.batch_size,
            format::pace(images_per_s as f32)
        ))?;
        Ok(())
    }
}

/// Batches as a run prepares them ahead of its steps, and how many an epoch has.
fn batches(dataset: &Arc<Dataset>, recipe: &Recipe) -> anyhow::Result<(Prefetch, u64)> {
    let feed = Feed::new(dataset.clone(), recipe, &normalisation(recipe, dataset));
    let (size, channels) = (feed.transform().output(), feed.transform().channels());
    room::check_batches(recipe, channels, size, dataset.train.len())?;
    let steps = feed.steps_per_epoch();
    Ok((Prefetch::new(feed, Position::default(), BATCHES_AHEAD), steps))
}

/// How the batches of an epoch came.
struct Epoch {
    images_per_s: f64,
    /// Seconds that each batch was waited for.
    times: Vec<f64>,
}

fn epoch(batches: &mut Prefetch, steps: u64) -> Epoch {
    let (mut rendered, mut times, began) = (0, Vec::new(), Instant::now());
    for _ in 0..steps {
        let start = Instant::now();
        let batch = batches.next();
        rendered += batch.plan.len();
        times.push(start.elapsed().as_secs_f64());
        batches.recycle(black_box(batch));
    }
    Epoch { images_per_s: rendered as f64 / began.elapsed().as_secs_f64(), times }
}
