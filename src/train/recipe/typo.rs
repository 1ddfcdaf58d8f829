//! What a wrong name was most likely meant to be.

/// The first of each pair, the key, of which either is nearest to `wrong`: labels count too, so that `learning_rate` finds
/// `lr`.
pub(super) fn nearest(wrong: &str, names: impl Iterator<Item = [&'static str; 2]>) -> Option<&'static str> {
    let wrong: String = wrong.chars().take(64).collect::<String>().to_lowercase().replace(['-', ' '], "_");
    let distance = |name: &str| {
        let name = name.to_lowercase().replace(['-', ' '], "_");
        // Half of a longer name is closer than any other name of its length.
        let half = wrong.len() >= 3 && (name.starts_with(&wrong) || wrong.starts_with(&name));
        if half && name != wrong { 1 } else { strsim::levenshtein(&wrong, &name) }
    };
    names.min_by_key(|[key, label]| distance(key).min(distance(label))).map(|[key, _]| key)
}
