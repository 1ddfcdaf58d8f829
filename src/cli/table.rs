//! Tables in the terminal, and what stands in their cells.

use crate::text;
use std::fmt::Write;

/// Columns under their headings, the first to the left, the others to the right, without trailing spaces.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let widths: Vec<usize> = (0..columns).map(|c| cells(c).map(|cell| width(cell)).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, wanted)) in row.iter().zip(&widths).enumerate() {
            let space = " ".repeat(wanted - width(cell));
            // Writing to a string doesn't fail.
            let _ = match column {
                0 => write!(line, "{cell}{space}"),
                _ => write!(line, "  {space}{cell}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// Characters, which is what a terminal shows of all but the rarest class names.
fn width(text: &str) -> usize {
    text.chars().count()
}

/// A foreign name made safe and cut to `longest` characters.
pub(crate) fn short(name: &str, longest: usize) -> String {
    let name = text::foreign(name);
    if width(&name) <= longest {
        return name;
    }
    name.chars().take(longest.saturating_sub(1)).chain(['…']).collect()
}

/// A loss or a share with four decimals; a dash where there was nothing to measure it on.
pub(crate) fn measured(value: Option<f32>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["class", "f1"], ["cat", "0.5"], ["aeroplane", "0.75"]];
        let text = aligned(&rows.map(|row| row.map(str::to_owned).to_vec()));
        assert_eq!(text, "class        f1\ncat         0.5\naeroplane  0.75");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(short("Ankle boot", 10), "Ankle boot");
        assert_eq!(short("Ankle boots", 10), "Ankle boo…");
    }
}
