//! Numbers, sizes, times and dates as people read them: the same in the window, in the terminal and in messages.

use jiff::{Timestamp, Zoned, tz::TimeZone};

/// `1,234,567`.
pub(crate) fn number(value: u64) -> String {
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

/// `1 image`, `6,000 images`
pub(crate) fn plural(n: usize, one: &str) -> String {
    format!("{} {one}{}", number(n as u64), if n == 1 { "" } else { "s" })
}

/// `999 B`, `5 kB`, `1.2 MB`, `34 MB`, `9.1 GB`.
pub(crate) fn bytes(n: u64) -> String {
    let value = n as f64;
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.0} kB", value / 1e3),
        1_000_000..10_000_000 => format!("{:.1} MB", value / 1e6),
        10_000_000..1_000_000_000 => format!("{:.0} MB", value / 1e6),
        1_000_000_000..1_000_000_000_000 => format!("{:.1} GB", value / 1e9),
        _ => format!("{:.1} TB", value / 1e12),
    }
}

/// A speed: `632 images/s`, `8.6 images/s`.
pub(crate) fn pace(images_per_s: f32) -> String {
    if images_per_s < 100.0 {
        format!("{images_per_s:.1} images/s")
    } else {
        format!("{} images/s", number(images_per_s.round() as u64))
    }
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

/// `12 s`, `31 min`, `2.1 h`: for the narrow column of a table.
pub(crate) fn rounded_duration(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() || s < 0.0 => "unknown".to_owned(),
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < 3600.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// `just now`, `5 min ago`, `3 h ago`, `2 days ago`, and beyond a week the day: `2026-01-31`. Both in seconds since 1970.
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

/// `2026-01-31` where this machine is, for seconds since 1970.
fn date(time: f64) -> String {
    at(time, &TimeZone::system()).strftime("%Y-%m-%d").to_string()
}

/// Floating-point operations: `1.82 GFLOP`.
pub(crate) fn operations(flops: u64) -> String {
    match flops {
        f if f >= 1_000_000_000 => format!("{:.2} GFLOP", f as f64 / 1e9),
        f => format!("{:.1} MFLOP", f as f64 / 1e6),
    }
}

/// `20260131-235959` where this machine is, for seconds since 1970: for the name of a file.
pub(crate) fn date_and_time(time: f64) -> String {
    digits_of(&at(time, &TimeZone::system()))
}

fn digits_of(time: &Zoned) -> String {
    time.strftime("%Y%m%d-%H%M%S").to_string()
}

/// A time that is none, or none that a calendar has, is the first second of 1970.
fn at(time: f64, zone: &TimeZone) -> Zoned {
    Timestamp::from_second(time as i64).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone())
}

/// `0.1235`, `3e-5`, `1e6`: four digits are enough to see.
pub(crate) fn rounded(value: f64) -> String {
    let rounded = format!("{value:.3e}").parse().unwrap_or(value);
    if rounded.abs() >= 1e5 {
        return format!("{rounded:e}");
    }
    let text = float(rounded);
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// The shortest text that reads back as the same number, and that TOML takes for a float.
pub(crate) fn float(value: f64) -> String {
    let size = value.abs();
    if value != 0.0 && !(1e-3..1e7).contains(&size) { format!("{value:e}") } else { format!("{value:?}") }
}

/// The text with a capital at its beginning.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        assert_eq!([number(0), number(7), number(999)], ["0", "7", "999"]);
        assert_eq!([number(1000), number(1204), number(1_234_567)], ["1,000", "1,204", "1,234,567"]);
        assert_eq!([plural(1, "image"), plural(6000, "image")], ["1 image", "6,000 images"]);
    }

    #[test]
    fn sizes_and_speeds_have_a_unit() {
        let sizes = [999, 5_300, 2_000_000, 170_052_171, 9_100_000_000, 137_439_030_000_000].map(bytes);
        assert_eq!(sizes, ["999 B", "5 kB", "2.0 MB", "170 MB", "9.1 GB", "137.4 TB"]);
        assert_eq!([pace(8.62), pace(1632.4)], ["8.6 images/s", "1,632 images/s"]);
    }

    #[test]
    fn times_read_as_people_write_them() {
        assert_eq!([6.6, 59.6, 754.0, 7620.0].map(duration), ["7 s", "1 min 00 s", "12 min 34 s", "2 h 07 min"]);
        assert_eq!([12.2, 1900.0, 7620.0].map(rounded_duration), ["12 s", "32 min", "2.1 h"]);
        assert_eq!([duration(f64::NAN), rounded_duration(-1.0)], ["unknown", "unknown"]);
        assert_eq!(ago(1000.0, 1030.0), "just now");
        assert_eq!(ago(1000.0, 1000.0 + 400.0), "6 min ago");
        assert_eq!(ago(1000.0, 1000.0 + 90_000.0), "yesterday");
        // Noon in Greenwich.
        assert_eq!((ago(951_825_600.5, 1e9).as_str(), ago(0.0, 1e9).as_str()), ("2000-02-29", "unknown"));
    }

    #[test]
    fn dates_are_those_of_the_calendar_and_the_place() {
        let of = |time, hours| digits_of(&at(time, &TimeZone::fixed(jiff::tz::offset(hours))));
        assert_eq!(of(0.0, 0), "19700101-000000");
        assert_eq!(of(951_782_399.0, 0), "20000228-235959");
        assert_eq!(of(951_782_400.5, 0), "20000229-000000");
        assert_eq!(of(951_782_400.5, -5), "20000228-190000");
        assert_eq!(of(951_782_399.0, 9), "20000229-085959");
        assert_eq!(of(f64::NAN, 0), "19700101-000000");
        assert_eq!(of(f64::INFINITY, 0), "19700101-000000");
    }

    #[test]
    fn numbers_are_rounded_to_what_can_be_seen() {
        assert_eq!(rounded(0.123_456), "0.1235");
        assert_eq!(rounded(0.3), "0.3");
        assert_eq!(rounded(0.0), "0");
        assert_eq!(rounded(1.234_567e-7), "1.235e-7");
        assert_eq!(rounded(15.0), "15");
        assert_eq!(rounded(1e6), "1e6");
        assert_eq!(rounded(f64::from(3e38_f32)), "3e38");
    }
}
