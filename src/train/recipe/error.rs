//! Why a recipe can't be used.

use crate::{model::spec::SpecError, text};

/// Each reads as one line.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecipeError {
    #[error("a recipe has no field “{}”; did you mean “{nearest}”?", text::foreign(key))]
    Unknown { key: String, nearest: &'static str },
    #[error("{key} can't be {}: it takes {range}", if value.is_empty() { "empty".into() } else { text::foreign(value) })]
    Value { key: &'static str, value: String, range: String },
    #[error("“{}” should read key=value, such as lr=0.05", text::foreign(.0))]
    NoEquals(String),
    #[error("no preset is called “{}”; presets: {}", text::foreign(name), presets.join(", "))]
    Preset { name: String, presets: &'static [&'static str] },
    #[error("not TOML: {} (line {line})", text::message(message))]
    Syntax { message: String, line: usize },
    #[error(
        "class_weights has {weights} numbers for {classes} classes: give one a class, in their order, or “balanced”"
    )]
    Weights { weights: usize, classes: usize },
    #[error(transparent)]
    Model(#[from] SpecError),
}
