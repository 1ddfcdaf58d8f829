//! `kindling bench load`: how fast images come: from disk into memory, and from memory into augmented batches.

use super::{median, rounded};
use crate::{
    cli::{
        dataset::{self, DataArgs},
        output,
        recipe::RecipeArgs,
    },
    data::{LoadOptions, SAMPLE},
    format, text,
    train::{Feed, Position, Prefetch, room},
};
use clap::Args;
use serde_json::json;
use std::{hint::black_box, sync::Arc, time::Instant};

/// Measure how fast images come
///
/// Loads the data set, then renders one epoch of augmented batches as a run does ahead of its steps.
#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    recipe: RecipeArgs,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Load {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let recipe = self.recipe.fresh()?;
        let spec = self.data.data.as_deref().unwrap_or(SAMPLE);
        let began = Instant::now();
        let options = LoadOptions { coarse: self.data.coarse, ..recipe.load_options() };
        let dataset = Arc::new(dataset::load(spec, &options, self.json)?);
        let load_s = began.elapsed().as_secs_f64();
        let images = dataset.train.len() + dataset.validation.len();

        let feed = Feed::new(dataset.clone(), &recipe, &dataset.normalisation_or_measured());
        let (size, channels) = (feed.transform().output(), feed.transform().channels());
        room::check_batches(&recipe, channels, size, dataset.train.len())?;
        let steps = feed.steps_per_epoch();
        let mut batches = Prefetch::new(feed, Position::default(), 1);
        let mut times = Vec::new();
        let (mut rendered, began) = (0, Instant::now());
        for _ in 0..steps {
            let start = Instant::now();
            let batch = batches.next();
            rendered += batch.plan.len();
            times.push(start.elapsed().as_secs_f64());
            batches.recycle(black_box(batch));
        }
        let images_per_s = rendered as f64 / began.elapsed().as_secs_f64();
        if self.json {
            output::json(&json!({
                "data": spec,
                "images": images,
                "load_s": rounded(load_s, 4),
                "batch": recipe.batch_size,
                "batch_s": rounded(median(&times), 6),
                "images_per_s": rounded(images_per_s, 0),
            }))?;
            return Ok(());
        }
        output::line(format_args!(
            "{}: {} loaded in {load_s:.2} s",
            text::foreign(&dataset.name),
            format::plural(images, "image")
        ))?;
        output::line(format_args!(
            "augmented batches of {}: {}",
            recipe.batch_size,
            format::pace(images_per_s as f32)
        ))?;
        Ok(())
    }
}
