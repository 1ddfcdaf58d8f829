//! What a hyperparameter can be: its values, its range, its heading, and when a change takes effect.

use crate::format;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use strum::{Display, EnumIter, IntoStaticStr};

/// A value of any field, as it stands in a TOML file, an event or a slider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// On or off.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any number.
    Float(f64),
    /// A name.
    Text(String),
    /// Whole numbers.
    List(Vec<i64>),
    /// Any numbers.
    Floats(Vec<f64>),
}

impl fmt::Display for Value {
    /// As TOML writes it, but text without quotation marks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Float(value) => f.write_str(&format::float(*value)),
            Value::Text(value) => f.write_str(value),
            Value::List(values) => {
                let items: Vec<String> = values.iter().map(i64::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Value::Floats(values) => {
                let items: Vec<String> = values.iter().map(|&value| format::float(value)).collect();
                write!(f, "[{}]", items.join(", "))
            }
        }
    }
}

macro_rules! value_from {
    ($($type:ty => $variant:ident),+) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Value::$variant(value.into())
            }
        })+
    };
}
value_from!(bool => Bool, i64 => Int, i32 => Int, u32 => Int, f64 => Float, f32 => Float, String => Text, &str => Text, Vec<i64> => List);

/// What a field takes. Ranges are inclusive. The soft range is what a slider shows; a typed value may go beyond it, up
/// to the hard one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Float {
        min: f64,
        max: f64,
        soft_min: f64,
        soft_max: f64,
        /// Whether a slider should be logarithmic.
        log: bool,
    },
    Int {
        min: i64,
        max: i64,
        soft_min: i64,
        soft_max: i64,
    },
    Bool,
    Choice(&'static [&'static str]),
    /// Whole numbers, each from `min` to `max`, at most `longest` of them.
    IntList {
        min: i64,
        max: i64,
        longest: usize,
    },
    /// One of some names, or a positive number for each class.
    Weights(&'static [&'static str]),
}

/// The least and the most that a class may weigh.
const WEIGHTS: [f64; 2] = [1e-6, 1e6];

impl Kind {
    /// The hard range in words, for help and messages.
    pub(crate) fn range(&self) -> String {
        let short = |x| format::float(x).trim_end_matches(".0").to_owned();
        match *self {
            Kind::Float { min, max, .. } => format!("{} to {}", short(min), short(max)),
            Kind::Int { min, max, .. } => format!("{min} to {max}"),
            Kind::Bool => "true or false".to_owned(),
            Kind::Choice(names) => names.join(", "),
            Kind::Weights(names) => {
                let (names, [least, most]) = (names.join(", "), WEIGHTS.map(short));
                format!("{names}, or a number from {least} to {most} for each class, such as [1, 2.5]")
            }
            Kind::IntList { min, max, longest } => {
                format!("at most {longest} whole numbers from {min} to {max}, such as [60, 120]")
            }
        }
    }

    /// `value` in the form that this kind keeps (a whole number becomes a float where one is wanted), or `None` where
    /// it is of another sort or out of range.
    pub(super) fn accept(&self, value: Value) -> Option<Value> {
        let whole = |x: f64| x.fract() == 0.0 && x.abs() < 2f64.powi(53);
        match (*self, value) {
            (Kind::Float { min, max, .. }, Value::Float(x)) => (min..=max).contains(&x).then_some(Value::Float(x)),
            (Kind::Float { min, max, .. }, Value::Int(x)) => {
                (min..=max).contains(&(x as f64)).then_some(Value::Float(x as f64))
            }
            (Kind::Int { min, max, .. }, Value::Int(x)) => (min..=max).contains(&x).then_some(Value::Int(x)),
            (Kind::Int { min, max, .. }, Value::Float(x)) if whole(x) => {
                (min..=max).contains(&(x as i64)).then_some(Value::Int(x as i64))
            }
            (Kind::Bool, Value::Bool(x)) => Some(Value::Bool(x)),
            (Kind::Choice(names), Value::Text(x)) => names.contains(&x.as_str()).then_some(Value::Text(x)),
            (Kind::IntList { min, max, longest }, Value::List(xs)) => {
                let good = xs.len() <= longest && xs.iter().all(|x| (min..=max).contains(x));
                good.then_some(Value::List(xs))
            }
            (Kind::Weights(names), Value::Text(x)) => names.contains(&x.as_str()).then_some(Value::Text(x)),
            (Kind::Weights(_), Value::List(xs)) => self.accept(Value::Floats(xs.iter().map(|&x| x as f64).collect())),
            (Kind::Weights(_), Value::Floats(xs)) => {
                let [least, most] = WEIGHTS;
                let good = !xs.is_empty() && xs.iter().all(|x| (least..=most).contains(x));
                good.then_some(Value::Floats(xs))
            }
            _ => None,
        }
    }

    /// What a person typed, or `None` where it is no such thing. The range is not checked here.
    pub(super) fn parse(&self, text: &str) -> Option<Value> {
        let text = text.trim();
        match self {
            Kind::Float { .. } => text.parse().ok().map(Value::Float),
            Kind::Int { .. } => text.parse().ok().map(Value::Int).or_else(|| text.parse().ok().map(Value::Float)),
            Kind::Bool => match text {
                "true" | "on" | "yes" | "1" => Some(Value::Bool(true)),
                "false" | "off" | "no" | "0" => Some(Value::Bool(false)),
                _ => None,
            },
            Kind::Choice(_) => Some(Value::Text(text.trim_matches('"').to_owned())),
            Kind::IntList { .. } => numbers(text).map(Value::List),
            Kind::Weights(_) => numbers(text).map(Value::Floats),
        }
    }
}

/// Numbers between commas, in brackets or without.
fn numbers<T: FromStr>(text: &str) -> Option<Vec<T>> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text).trim();
    if inner.is_empty() {
        return Some(Vec::new());
    }
    inner.split(',').map(|x| x.trim().parse().ok()).collect()
}

/// When a change of a running recipe takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum AppliesAt {
    /// At the next step.
    Now,
    #[strum(serialize = "next epoch")]
    NextEpoch,
    /// Only in a new run.
    Restart,
}

/// The heading under which a field is shown, in that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumIter, IntoStaticStr)]
pub(crate) enum Group {
    #[strum(serialize = "Model and images")]
    Model,
    Optimiser,
    Schedule,
    Regularisation,
    Augmentation,
    #[strum(serialize = "Fine-tuning")]
    FineTuning,
    Run,
}

/// A type that a field of a recipe can have.
pub(super) trait FieldType: Sized {
    fn to_value(&self) -> Value;
    fn from_value(value: Value) -> Option<Self>;
}

impl FieldType for f64 {
    fn to_value(&self) -> Value {
        Value::Float(*self)
    }
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Float(x) = value { Some(x) } else { None }
    }
}

impl FieldType for bool {
    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Bool(x) = value { Some(x) } else { None }
    }
}

macro_rules! whole_entries {
    ($($type:ty),+) => {
        $(impl FieldType for $type {
            fn to_value(&self) -> Value {
                // The hard ranges of the table keep every such field within i64.
                Value::Int(i64::try_from(*self).unwrap_or(i64::MAX))
            }
            fn from_value(value: Value) -> Option<Self> {
                if let Value::Int(x) = value { Self::try_from(x).ok() } else { None }
            }
        })+
    };
}
whole_entries!(u64, usize);

impl FieldType for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Text(x) = value { Some(x) } else { None }
    }
}

impl FieldType for Vec<usize> {
    fn to_value(&self) -> Value {
        Value::List(self.iter().map(|&x| i64::try_from(x).unwrap_or(i64::MAX)).collect())
    }
    fn from_value(value: Value) -> Option<Self> {
        let Value::List(xs) = value else { return None };
        xs.into_iter().map(|x| usize::try_from(x).ok()).collect()
    }
}
