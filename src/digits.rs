//! Numbers and sizes as messages write them, in the window and in the terminal.

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

/// `162.2 MB`
pub(crate) fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        1_000_000_000..1_000_000_000_000 => format!("{:.2} GB", n as f64 / 1e9),
        _ => format!("{:.1} TB", n as f64 / 1e12),
    }
}

/// `1.2 GB`, `34 MB`, `5 kB`: where a glance is enough.
pub(crate) fn about_bytes(n: u64) -> String {
    let value = n as f64;
    match value {
        v if v >= 1e9 => format!("{:.1} GB", v / 1e9),
        v if v >= 1e7 => format!("{:.0} MB", v / 1e6),
        v if v >= 1e6 => format!("{:.1} MB", v / 1e6),
        v => format!("{:.0} kB", v / 1e3),
    }
}

/// The middle of some values, of an even number the lower one; 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        assert_eq!([number(0), number(7), number(999)], ["0", "7", "999"]);
        assert_eq!([number(1000), number(1204), number(1_234_567)], ["1,000", "1,204", "1,234,567"]);
    }

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(
            [bytes(999), bytes(170_052_171), bytes(9_100_000_000), bytes(137_439_030_000_000)],
            ["999 B", "170.1 MB", "9.10 GB", "137.4 TB"]
        );
        assert_eq!(about_bytes(170_498_071), "170 MB");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.0);
        assert_eq!(median(&[]), 0.0);
    }
}
