//! What is typed to find runs: words, and conditions such as `lr > 0.1` or `model = resnet18`.

use super::tags;
use crate::train::{RunSummary, fields};

/// What a run has to be.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Query {
    /// Each in its name, data, model or notes.
    words: Vec<String>,
    tags: Vec<String>,
    conditions: Vec<Condition>,
}

#[derive(Debug, PartialEq)]
struct Condition {
    key: String,
    relation: Relation,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Relation {
    Is,
    IsNot,
    Below,
    AtMost,
    Above,
    AtLeast,
}

const RELATIONS: [(&str, Relation); 6] = [
    // Those of two signs first.
    ("!=", Relation::IsNot),
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("=", Relation::Is),
    ("<", Relation::Below),
    (">", Relation::Above),
];

/// What can stand before a relation beside the fields of a recipe, in help.
pub(crate) const HELP: &str = "Words in a run's name, data, model or notes, a #tag, or values: lr > 0.1, model = resnet18, \
                               best >= 90, epochs, batch_size, or any other field of the recipe";

impl Query {
    /// Reads what was typed; whatever is no condition is words.
    pub(crate) fn parse(text: &str) -> Self {
        // Room around the relations, so that `lr>0.1` is read as `lr > 0.1`.
        let mut spaced = String::new();
        let mut rest = text;
        'next: while let Some(first) = rest.chars().next() {
            for (sign, _) in RELATIONS {
                if let Some(after) = rest.strip_prefix(sign) {
                    spaced += &format!(" {sign} ");
                    rest = after;
                    continue 'next;
                }
            }
            spaced.push(first);
            rest = &rest[first.len_utf8()..];
        }
        let mut query = Self::default();
        let mut tokens = spaced.split_whitespace().map(str::to_lowercase).peekable();
        while let Some(token) = tokens.next() {
            let relation =
                |text: &String| RELATIONS.iter().find(|(sign, _)| sign == text).map(|(_, relation)| *relation);
            match tokens.peek().and_then(relation) {
                Some(relation) => {
                    tokens.next();
                    // Not all of it is typed yet.
                    let Some(value) = tokens.next() else { continue };
                    let value = value.trim_end_matches('%').to_owned();
                    query.conditions.push(Condition { key: token, relation, value });
                }
                None => match token.strip_prefix('#') {
                    Some("") => {}
                    Some(tag) => query.tags.push(tag.to_owned()),
                    None => query.words.push(token),
                },
            }
        }
        query
    }

    /// Whether a run is what is asked for.
    pub(crate) fn matches(&self, run: &RunSummary) -> bool {
        let text = [&run.name, &run.data, &run.model, &run.notes].map(|text| text.to_lowercase()).join("\n");
        let own = tags::of(&run.notes);
        self.words.iter().all(|word| text.contains(word))
            && self.tags.iter().all(|tag| own.contains(tag))
            && self.conditions.iter().all(|condition| condition.holds(run))
    }

    /// Whether it asks for runs with a tag.
    pub(crate) fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|known| known == tag)
    }

    /// The first name before a relation that stands for nothing.
    pub(crate) fn unknown(&self) -> Option<&str> {
        let known = |key: &str| OWN.contains(&key) || field_of(key).is_some();
        self.conditions.iter().map(|condition| condition.key.as_str()).find(|key| !known(key))
    }
}

/// What was typed, with a tag more to ask for, or without it where it was asked for.
pub(crate) fn toggled(text: &str, tag: &str) -> String {
    let is_it = |word: &&str| word.strip_prefix('#').is_some_and(|known| known.to_lowercase() == tag);
    let mut words: Vec<&str> = text.split_whitespace().filter(|word| !is_it(word)).collect();
    let added = format!("#{tag}");
    if !text.split_whitespace().any(|word| is_it(&word)) {
        words.push(&added);
    }
    words.join(" ")
}

/// Names of what is no field of the recipe.
const OWN: [&str; 8] = ["name", "data", "notes", "best", "accuracy", "step", "epoch", "seconds"];

/// The field of a recipe that people call so.
fn field_of(key: &str) -> Option<&'static str> {
    let key = match key {
        "rate" => "lr",
        "batch" => "batch_size",
        key => key,
    };
    fields().iter().map(|field| field.key).find(|known| *known == key)
}

impl Condition {
    fn holds(&self, run: &RunSummary) -> bool {
        let Some(own) = self.value(run) else { return self.relation == Relation::IsNot };
        let number = |text: &str| text.parse::<f64>().ok();
        if let (Some(own), Some(wanted)) = (number(&own), number(&self.value)) {
            return match self.relation {
                Relation::Is => own == wanted,
                Relation::IsNot => own != wanted,
                Relation::Below => own < wanted,
                Relation::AtMost => own <= wanted,
                Relation::Above => own > wanted,
                Relation::AtLeast => own >= wanted,
            };
        }
        match self.relation {
            Relation::Is => own == self.value,
            Relation::IsNot => own != self.value,
            _ => false,
        }
    }

    /// What the run has of it, in small letters.
    fn value(&self, run: &RunSummary) -> Option<String> {
        let value = match self.key.as_str() {
            "name" => run.name.clone(),
            "data" => super::columns::short_data(&run.data),
            "notes" => run.notes.clone(),
            "best" | "accuracy" => (run.best_accuracy? * 100.0).to_string(),
            "step" => run.step.to_string(),
            "epoch" => run.epoch.to_string(),
            "seconds" => run.seconds.to_string(),
            key => run.recipe.as_ref()?.get(field_of(key)?)?.to_string(),
        };
        Some(value.to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::panes::runs::columns::tests::run, train::Recipe};

    #[test]
    fn runs_are_found_by_words_and_by_value() {
        let mut one = run("Baseline", Some(0.91), 1.0);
        one.recipe = Some(Recipe { lr: 0.2, model: "resnet18".into(), ..Recipe::default() });
        let finds = |text: &str| Query::parse(text).matches(&one);
        for text in
            ["", "base pets", "lr > 0.1", "lr>0.1 base", "rate >= 0.2", "model = ResNet18", "best > 90%", "lr ="]
        {
            assert!(finds(text), "{text}");
        }
        for text in ["cats", "lr > 0.2", "model = resnet34", "model != resnet18", "best < 90", "colour = red"] {
            assert!(!finds(text), "{text}");
        }
        one.notes = "as the table says #Base-line".into();
        let finds = |text: &str| Query::parse(text).matches(&one);
        assert_eq!(["#base-line", "#BASE-LINE lr > 0.1", "#", "#base"].map(finds), [true, true, true, false]);
        assert_eq!([toggled("lr > 1", "base"), toggled("#Base lr > 1", "base")], ["lr > 1 #base", "lr > 1"]);
        assert_eq!(Query::parse("colour = red").unknown(), Some("colour"));
        assert_eq!(Query::parse("lr > 1 batch=2 best > 3").unknown(), None);
    }
}
