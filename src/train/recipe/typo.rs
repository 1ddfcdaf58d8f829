//! What a wrong name was most likely meant to be.

/// The first of each pair, the key, of which either is nearest to `wrong`: labels count too, so that `learning_rate` finds
/// `lr`.
pub(super) fn nearest(wrong: &str, names: impl Iterator<Item = [&'static str; 2]>) -> Option<&'static str> {
    let wrong: String = wrong.chars().take(64).collect::<String>().to_lowercase().replace(['-', ' '], "_");
    let distance = |name: &str| {
        let name = name.to_lowercase().replace(['-', ' '], "_");
        // Half of a longer name is closer than any other name of its length.
        let half = wrong.len() >= 3 && (name.starts_with(&wrong) || wrong.starts_with(&name));
        if half && name != wrong { 1 } else { edit_distance(&wrong, &name) }
    };
    names.min_by_key(|[key, label]| distance(key).min(distance(label))).map(|[key, _]| key)
}

/// Levenshtein's distance: insertions, deletions and replacements that make `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
