//! Flags that shape a recipe: a preset or a file, then the flags with names of their own, then `--set`.

use crate::{
    model::spec::ARCHITECTURES,
    text,
    train::{
        RecipeError, presets,
        recipe::{AppliesAt, Recipe, diff},
    },
};
use anyhow::{Context, bail, ensure};
use clap::Args;
use std::{fs, path::PathBuf};

/// The preset of a run that names none.
const DEFAULT: &str = "quick";
/// Bytes of the longest recipe that is read; a full one has four thousand.
const MAX_RECIPE_BYTES: u64 = 1 << 20;

/// What to train, and how.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Recipe")]
pub(crate) struct RecipeArgs {
    #[arg(long, value_parser = value_of("model"), help = format!("Network: {}, or custom", ARCHITECTURES.join(", ")))]
    model: Option<String>,

    /// Layers before the first stage: imagenet (7x7 and max-pool), cifar (3x3), or own
    #[arg(long, value_parser = value_of("stem"))]
    stem: Option<String>,

    /// Residual block of a custom network: basic or bottleneck
    #[arg(long, value_parser = value_of("block"))]
    block: Option<String>,

    /// Blocks in each stage of a custom network, such as 3,3,3
    #[arg(long, value_name = "N,N,…", value_parser = value_of("stages"))]
    stages: Option<String>,

    /// Channels of each stage of a custom network, such as 16,32,64
    #[arg(long, value_name = "N,N,…", value_parser = value_of("widths"))]
    widths: Option<String>,

    /// Start from a recipe with a name
    #[arg(
        long, value_parser = preset,
        help = format!("Recipe with a name to start from: {} [default: {DEFAULT}]", presets::NAMES.join(", "))
    )]
    preset: Option<String>,

    /// Recipe in a file to start from; --list-fields tells the values of fields that it leaves out
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    recipe: Option<PathBuf>,

    /// Times that the network sees all training images
    #[arg(long, value_parser = value_of("epochs"))]
    epochs: Option<String>,

    /// Set any field of the recipe, such as lr=0.05; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<String>,
}

/// Checks a setting by itself; what it means beside others shows when the recipe is put together.
fn setting(text: &str) -> Result<String, String> {
    if text.split_once('=').is_none_or(|(key, _)| key.trim().is_empty()) {
        return Err("expected KEY=VALUE, such as lr=0.05".to_owned());
    }
    Recipe::default().set_text(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// The same for a field that has a flag of its own.
fn value_of(key: &'static str) -> impl Fn(&str) -> Result<String, RecipeError> + Clone {
    move |text| Recipe::default().set_typed(key, text).map(|()| text.to_owned())
}

fn preset(name: &str) -> Result<String, RecipeError> {
    Recipe::preset(name).map(|_| name.to_owned())
}

impl RecipeArgs {
    /// The recipe of a new run.
    pub(crate) fn fresh(&self) -> anyhow::Result<Recipe> {
        let mut recipe = match &self.recipe {
            Some(path) => {
                let size = fs::metadata(path).with_context(|| format!("cannot read {}", text::path(path)))?.len();
                ensure!(size <= MAX_RECIPE_BYTES, "{} is no recipe: it has {size} bytes", text::path(path));
                let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", text::path(path)))?;
                Recipe::from_toml(&text).with_context(|| text::path(path))?
            }
            None => Recipe::preset(self.preset.as_deref().unwrap_or(DEFAULT))?,
        };
        self.apply(&mut recipe)?;
        Ok(recipe)
    }

    /// The recipe of a run that goes on: its own, with the changes that are asked for.
    pub(crate) fn resumed(&self, stored: &Recipe) -> anyhow::Result<Recipe> {
        let mut recipe = stored.clone();
        self.apply(&mut recipe)?;
        if let Some(change) =
            diff(stored, &recipe).into_iter().find(|change| change.field.applies_at == AppliesAt::Restart)
        {
            let (key, was) = (change.field.key, change.a);
            bail!("{key} can't change in a run that has begun: it is {was} there; start a new run for {}", change.b);
        }
        Ok(recipe)
    }

    /// Whether a flag or a setting says which network it is to be.
    pub(crate) fn names_model(&self) -> bool {
        let flags = [&self.model, &self.block, &self.stages, &self.widths];
        let set = |setting: &String| setting.split_once('=').is_some_and(|(key, _)| key.trim() == "model");
        flags.into_iter().any(Option::is_some) || self.set.iter().any(set)
    }

    /// Whether a starting point was named, which a run that goes on does not look at.
    pub(crate) fn has_base(&self) -> bool {
        self.preset.is_some() || self.recipe.is_some()
    }

    fn apply(&self, recipe: &mut Recipe) -> anyhow::Result<()> {
        let custom = [&self.block, &self.stages, &self.widths].into_iter().any(Option::is_some);
        let model = self.model.as_deref().or(custom.then_some("custom"));
        if let (true, Some(model)) = (custom, model)
            && model != "custom"
        {
            bail!("--block, --stages and --widths are for --model custom; {model} has its own");
        }
        let flags = [
            ("model", model),
            ("stem", self.stem.as_deref()),
            ("block", self.block.as_deref()),
            ("stages", self.stages.as_deref()),
            ("widths", self.widths.as_deref()),
            ("epochs", self.epochs.as_deref()),
        ];
        for (key, value) in flags {
            if let Some(value) = value {
                recipe.set_typed(key, value)?;
            }
        }
        for setting in &self.set {
            recipe.set_text(setting)?;
        }
        recipe.validate()?;
        Ok(())
    }
}

/// The table of fields for `train --help`, which does not know of other arguments: the values are those of a run without
/// any.
pub(crate) fn fields_help() -> String {
    // It is a preset: a test of theirs says so.
    let recipe = Recipe::preset(DEFAULT).unwrap_or_default();
    format!(
        "Fields of a recipe, for --set and --recipe, with what a run takes that names no preset ({DEFAULT}); \
         --list-fields shows what it takes with other arguments:\n{}",
        recipe.help()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: &[&str]) -> RecipeArgs {
        RecipeArgs { set: set.iter().map(|s| (*s).to_owned()).collect(), ..RecipeArgs::default() }
    }

    #[test]
    fn a_plain_run_is_quick() {
        assert_eq!(with(&[]).fresh().unwrap(), Recipe::preset("quick").unwrap());
    }

    #[test]
    fn settings_come_last() {
        let args = RecipeArgs { epochs: Some("7".into()), ..with(&["epochs=9", "lr=0.5"]) };
        let recipe = args.fresh().unwrap();
        assert_eq!((recipe.epochs, recipe.lr), (9, 0.5));
    }

    #[test]
    fn stages_ask_for_a_custom_network() {
        let args = RecipeArgs { stages: Some("1,1".into()), widths: Some("8,16".into()), ..with(&[]) };
        assert_eq!(args.fresh().unwrap().model, "custom");
        let args = RecipeArgs { model: Some("resnet18".into()), ..args };
        assert!(args.fresh().unwrap_err().to_string().contains("resnet18 has its own"));
    }

    #[test]
    fn a_run_that_goes_on_keeps_its_network() {
        let stored = Recipe::preset("quick").unwrap();
        assert_eq!(with(&["lr=0.01"]).resumed(&stored).unwrap().lr, 0.01);
        let args = RecipeArgs { model: Some("cifar_resnet20".into()), ..with(&[]) };
        let message = args.resumed(&stored).unwrap_err().to_string();
        assert!(message.contains("cifar_resnet8") && message.contains("cifar_resnet20"), "{message}");
    }
}
