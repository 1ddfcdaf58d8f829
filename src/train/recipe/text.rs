//! Recipes as text: `recipe.toml` and `--set key=value`.

use super::{
    error::RecipeError,
    field::{Group, Kind, Value},
    presets,
    table::{Recipe, fields, known},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeMap};
use std::{collections::BTreeMap, fmt::Write};
use strum::IntoEnumIterator;

impl Recipe {
    /// Sets a field from what a person typed, such as `lr=0.05` or `milestones=60,120`.
    pub fn set_text(&mut self, text: &str) -> Result<(), RecipeError> {
        let (key, value) = text.split_once('=').ok_or_else(|| RecipeError::NoEquals(text.to_owned()))?;
        self.set_typed(key.trim(), value)
    }

    /// Sets a field from the text of its value.
    pub(crate) fn set_typed(&mut self, key: &str, text: &str) -> Result<(), RecipeError> {
        let field = known(key)?;
        let value = field.kind.parse(text).unwrap_or_else(|| Value::Text(text.trim().to_owned()));
        self.set(key, value)
    }

    /// Reads a recipe. A field that is not there has its default, or that of the preset that the file names with
    /// `preset = "quick"`.
    pub(crate) fn from_toml(text: &str) -> Result<Self, RecipeError> {
        let mut table: toml::Table = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start).min(text.len());
            let line = 1 + text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count();
            RecipeError::Syntax { message: error.message().replace('\n', ", "), line }
        })?;
        let mut recipe = match table.remove("preset") {
            Some(toml::Value::String(name)) => Recipe::preset(&name)?,
            Some(other) => return Err(presets::unknown(&other.to_string())),
            None => Recipe::default(),
        };
        for (key, value) in table {
            let field = known(&key)?;
            let wrong = |value: String| RecipeError::Value { key: field.key, value, range: field.kind.range() };
            let value = from_toml_value(value).map_err(|other| wrong(one_line(&other)))?;
            recipe.set(&key, value)?;
        }
        recipe.validate()?;
        Ok(recipe)
    }

    /// The whole recipe, grouped, each field with its explanation.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = String::from("# A recipe: every hyperparameter of a run. What is left out has its default.\n");
        for group in Group::iter() {
            // Writing to a string doesn't fail.
            let _ = write!(text, "\n# {group}\n");
            for field in fields().iter().filter(|field| field.group == group) {
                let value = match (field.get)(self) {
                    Value::Text(value) => toml::Value::String(value).to_string(),
                    value => value.to_string(),
                };
                let _ = writeln!(text, "{} = {value}  # {}", field.key, field.help);
            }
        }
        text
    }

    /// The fields for `--help`, a line each: key, value, explanation, range, and what a file that leaves it out has instead.
    pub(crate) fn help(&self) -> String {
        let mut text = String::new();
        let default = Recipe::default();
        for group in Group::iter() {
            let _ = writeln!(text, "{group}:");
            for field in fields().iter().filter(|field| field.group == group) {
                let range = match field.kind {
                    Kind::IntList { .. } => "list".to_owned(),
                    kind => kind.range(),
                };
                let (value, left_out) = ((field.get)(self), (field.get)(&default));
                let _ = write!(text, "  {}={value}  {} [{range}]", field.key, field.help);
                let _ = match value == left_out {
                    true => writeln!(text),
                    false => writeln!(text, " ({left_out} where a file leaves it out)"),
                };
            }
        }
        text
    }
}

fn from_toml_value(value: toml::Value) -> Result<Value, toml::Value> {
    Ok(match value {
        toml::Value::Boolean(value) => Value::Bool(value),
        toml::Value::Integer(value) => Value::Int(value),
        toml::Value::Float(value) => Value::Float(value),
        toml::Value::String(value) => Value::Text(value),
        toml::Value::Array(ref values) => {
            let whole: Option<Vec<i64>> = values.iter().map(toml::Value::as_integer).collect();
            let number = |value: &toml::Value| value.as_float().or_else(|| value.as_integer().map(|x| x as f64));
            let any = || values.iter().map(number).collect::<Option<Vec<f64>>>().map(Value::Floats);
            whole.map(Value::List).or_else(any).ok_or(value)?
        }
        other => return Err(other),
    })
}

/// At most 60 characters of a value, for a message of one line.
fn one_line(value: &toml::Value) -> String {
    value.to_string().replace('\n', " ").chars().take(60).collect()
}

impl Serialize for Recipe {
    /// A map from key to value.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(fields().len()))?;
        for field in fields() {
            map.serialize_entry(field.key, &(field.get)(self))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Recipe {
    /// A map from key to value; what is missing has its default, and what is wrong is an error.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut recipe = Recipe::default();
        for (key, value) in BTreeMap::<String, Value>::deserialize(deserializer)? {
            recipe.set(&key, value).map_err(serde::de::Error::custom)?;
        }
        recipe.validate().map_err(serde::de::Error::custom)?;
        Ok(recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{
        presets,
        recipe::{diff, table::Schedule},
    };
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        Recipe::from_toml(text).unwrap_err().to_string()
    }

    #[test]
    fn a_typo_names_the_field_and_the_nearest_valid_one() {
        let message = error("momentun = 0.9");
        assert!(message.contains("“momentun”") && message.contains("“momentum”"), "{message}");
        assert!(error("learning_rate = 0.1").contains("“lr”"));
        assert!(error("batchsize = 1").contains("“batch_size”"));
        assert!(error("warmup = 1").contains("“warmup_epochs”"));
    }

    #[test]
    fn a_value_out_of_range_names_the_field_the_value_and_the_range() {
        assert_eq!(error("momentum = 1.5"), "momentum can't be 1.5: it takes 0 to 0.9999");
        assert_eq!(error("epochs = 0"), "epochs can't be 0: it takes 1 to 1000000");
        assert!(error("schedule = \"cosin\"").contains("constant, step, cosine, one-cycle"));
        assert!(error("lr = nan").contains("lr can't be NaN"));
        assert!(error("lr = [1, 2]").contains("lr can't be [1, 2]"));
        assert!(error("[lr]\nvalue = 1").starts_with("lr can't be"));
    }

    #[test]
    fn broken_toml_names_its_line() {
        let message = error("lr = 0.1\nepochs = = 3\n");
        assert!(message.contains("line 2") && !message.contains('\n'), "{message}");
    }

    #[test]
    fn stages_without_widths_are_refused() {
        assert!(error("model = \"custom\"\nstages = [3, 3]").contains("2 stages, 3 widths"));
    }

    #[test]
    fn typed_settings_are_understood() {
        let mut recipe = Recipe::default();
        for text in ["lr=0.05", "milestones = 60,120", "nesterov=on", "schedule=step", "epochs=7", "stages=[2, 2]"] {
            recipe.set_text(text).unwrap();
        }
        assert_eq!((recipe.lr, recipe.epochs, recipe.nesterov), (0.05, 7, true));
        assert_eq!((recipe.milestones.as_slice(), recipe.schedule), (&[60, 120][..], Schedule::Step));
        let before = recipe.clone();
        assert_eq!(recipe.set_text("lr=fast").unwrap_err().to_string(), "lr can't be fast: it takes 0 to 1e9");
        assert!(recipe.set_text("lr").unwrap_err().to_string().contains("key=value"));
        assert!(recipe.set_text("epochs=1.5").is_err());
        assert_eq!(recipe, before);
    }

    #[test]
    fn a_file_may_start_from_a_preset() {
        let recipe = Recipe::from_toml("preset = \"cifar-resnet\"\nlr = 0.2").unwrap();
        let expected = Recipe { lr: 0.2, ..Recipe::preset("cifar-resnet").unwrap() };
        assert_eq!(recipe, expected);
        assert!(error("preset = \"fast\"").contains("quick"));
    }

    #[test]
    fn every_field_reads_back_from_toml_and_json() {
        for name in presets::NAMES {
            let recipe = Recipe::preset(name).unwrap();
            let text = recipe.to_toml();
            assert_eq!(Recipe::from_toml(&text).unwrap(), recipe, "{text}");
            let json = serde_json::to_string(&recipe).unwrap();
            assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
        }
        assert_eq!(Recipe::from_toml("").unwrap(), Recipe::default());
    }

    #[test]
    fn the_table_is_in_order() {
        Recipe::default().validate().unwrap();
        for (i, field) in fields().iter().enumerate() {
            assert!(field.help.ends_with('.') && field.help.len() < 130, "{}", field.key);
            assert!(!fields()[..i].iter().any(|other| other.key == field.key));
            if let Kind::Float { min, max, soft_min, soft_max, log } = field.kind {
                assert!(min <= soft_min && soft_min < soft_max && soft_max <= max && (!log || soft_min > 0.0));
            }
            if let Kind::Int { min, max, soft_min, soft_max } = field.kind {
                assert!(min <= soft_min && soft_min < soft_max && soft_max <= max);
            }
        }
        assert!(Recipe::default().help().lines().count() > fields().len());
    }

    #[test]
    fn help_shows_what_is_taken_and_where_a_file_has_another_value() {
        let help = Recipe::preset("quick").unwrap().help();
        let line = |key: &str| help.lines().find(|line| line.trim_start().starts_with(key)).unwrap().to_owned();
        assert!(
            line("lr=").contains("lr=0.2  ") && line("lr=").ends_with("(0.1 where a file leaves it out)"),
            "{help}"
        );
        assert!(line("momentum=").contains("momentum=0.9") && line("momentum=").ends_with(']'), "{help}");
    }

    #[test]
    fn a_difference_lists_both_values() {
        let (a, b) = (Recipe::default(), Recipe { lr: 0.3, flip: false, ..Recipe::default() });
        let found: Vec<_> = diff(&a, &b).iter().map(|d| format!("{} {} {}", d.field.key, d.a, d.b)).collect();
        assert_eq!(found, ["lr 0.1 0.3", "flip true false"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_in_one_line(text in "\\PC{0,60}") {
            if let Err(error) = Recipe::from_toml(&text) {
                prop_assert!(!error.to_string().contains('\n'));
            }
            let _ = Recipe::default().set_text(&text);
        }

        #[test]
        fn floats_read_back_exactly(x in 0.0f64..1e9) {
            let recipe = Recipe { lr: x, ..Recipe::default() };
            prop_assert_eq!(Recipe::from_toml(&recipe.to_toml()).unwrap().lr, x);
        }
    }
}
