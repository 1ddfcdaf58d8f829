//! Numbers, times and tables as people read them.

pub(crate) use crate::digits::{bytes, number, plural};

use crate::text;
use std::{fmt::Write, path::Path};

/// Seconds as `0:07`, `12:34` or `1:02:03`.
pub(crate) fn time(seconds: f64) -> String {
    // A cast from float saturates, and makes 0 of NaN.
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A speed: `632 images/s`, `8.6 images/s`.
pub(crate) fn pace(images_per_s: f32) -> String {
    if images_per_s < 100.0 {
        format!("{images_per_s:.1} images/s")
    } else {
        format!("{} images/s", number(images_per_s.round() as u64))
    }
}

/// Columns under their headings, the first to the left, the others to the right, without trailing spaces.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
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

/// A path as it is typed in a shell, with quotes around it where it needs them.
pub(crate) fn argument(path: &Path) -> String {
    let text = text::path(path);
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,".contains(c);
    if text.chars().all(plain) && !text.is_empty() { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
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
    fn numbers_read_well() {
        assert_eq!([time(6.6), time(754.0), time(3723.2), time(f64::NAN)], ["0:07", "12:34", "1:02:03", "0:00"]);
        assert_eq!([plural(1, "image"), plural(6000, "image")], ["1 image", "6,000 images"]);
        assert_eq!([pace(8.62), pace(1632.4)], ["8.6 images/s", "1,632 images/s"]);
    }

    #[test]
    fn columns_line_up() {
        let rows = [["class", "f1"], ["cat", "0.5"], ["aeroplane", "0.75"]];
        let text = table(&rows.map(|row| row.map(str::to_owned).to_vec()));
        assert_eq!(text, "class        f1\ncat         0.5\naeroplane  0.75");
    }

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        assert_eq!(argument("runs/a-1".as_ref()), "runs/a-1");
        assert_eq!(argument("my photos/it's".as_ref()), "'my photos/it'\\''s'");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(short("Ankle boot", 10), "Ankle boot");
        assert_eq!(short("Ankle boots", 10), "Ankle boo…");
    }
}
