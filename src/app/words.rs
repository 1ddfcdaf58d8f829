//! Numbers as people write them, and names of files and classes as they are shown.

pub(crate) use crate::{
    digits::{about_bytes as bytes, number, plural},
    text::file_name,
};

use crate::{
    data::class_name,
    text,
    train::{field::float_text, run_list::date},
};

/// What a class is called, as it is shown; `?` where there is none.
pub(crate) fn class(classes: &[String], class: impl TryInto<usize>) -> String {
    text::foreign(class_name(classes, class))
}

/// The text with a capital at its beginning.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `12 s`, `3 min 05 s`, `2 h 07 min`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

/// `12 s`, `31 min`, `2.1 h`: a time in a table.
pub(crate) fn about(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() || s < 0.0 => "unknown".to_owned(),
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < 3600.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// `just now`, `5 min ago`, `3 h ago`, `2 days ago`, and beyond a week the day: `2026-01-31`.
pub(crate) fn ago(time: f64, now: f64) -> String {
    let seconds = now - time;
    match seconds {
        _ if time <= 0.0 || !seconds.is_finite() => "unknown".to_owned(),
        s if s < 60.0 => "just now".to_owned(),
        s if s < 3600.0 => format!("{} min ago", (s / 60.0) as u64),
        s if s < 86_400.0 => format!("{} h ago", (s / 3600.0) as u64),
        s if s < 2.0 * 86_400.0 => "yesterday".to_owned(),
        s if s < 7.0 * 86_400.0 => format!("{} days ago", (s / 86_400.0) as u64),
        _ => date(time),
    }
}

/// `0.1235`, `3e-5`, `1e6`: four digits are enough to see.
pub(crate) fn tidy(rate: f64) -> String {
    let rounded = format!("{rate:.3e}").parse().unwrap_or(rate);
    if rounded.abs() >= 1e5 {
        return format!("{rounded:e}");
    }
    let text = float_text(rounded);
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_rounded_to_what_can_be_seen() {
        assert_eq!(tidy(0.123_456), "0.1235");
        assert_eq!(tidy(0.3), "0.3");
        assert_eq!(tidy(0.0), "0");
        assert_eq!(tidy(1.234_567e-7), "1.235e-7");
        assert_eq!(tidy(15.0), "15");
        assert_eq!(tidy(1e6), "1e6");
        assert_eq!(tidy(f64::from(3e38_f32)), "3e38");
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(duration(59.6), "1 min 00 s");
        assert_eq!(duration(7620.0), "2 h 07 min");
        assert_eq!([12.2, 1900.0, 7620.0].map(about), ["12 s", "32 min", "2.1 h"]);
        assert_eq!(ago(1000.0, 1030.0), "just now");
        assert_eq!(ago(1000.0, 1000.0 + 400.0), "6 min ago");
        assert_eq!(ago(1000.0, 1000.0 + 90_000.0), "yesterday");
        // Noon in Greenwich.
        assert_eq!((ago(951_825_600.5, 1e9).as_str(), ago(0.0, 1e9).as_str()), ("2000-02-29", "unknown"));
        assert_eq!(duration(f64::NAN), "unknown");
    }
}
