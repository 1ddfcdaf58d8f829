//! Numbers as people write them.

use crate::train::field::float_text;

/// `1,234,567`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.2 GB`, `34 MB`, `5 kB`.
pub fn bytes(value: u64) -> String {
    let value = value as f64;
    match value {
        v if v >= 1e9 => format!("{:.1} GB", v / 1e9),
        v if v >= 1e7 => format!("{:.0} MB", v / 1e6),
        v if v >= 1e6 => format!("{:.1} MB", v / 1e6),
        v => format!("{:.0} kB", v / 1e3),
    }
}

/// `12 s`, `3 min 05 s`, `2 h 07 min`.
pub fn duration(seconds: f64) -> String {
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

/// `0.1235`, `3e-5`, `1e6`: four digits are enough to see.
pub fn tidy(rate: f64) -> String {
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
        assert_eq!(number(7), "7");
        assert_eq!(number(1204), "1,204");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(bytes(170_498_071), "170 MB");
        assert_eq!(duration(59.6), "1 min 00 s");
        assert_eq!(duration(7620.0), "2 h 07 min");
        assert_eq!(duration(f64::NAN), "unknown");
    }
}
