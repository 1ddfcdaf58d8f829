//! Numbers in groups of three digits, as the window and the commands both write them.

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

/// `1 image`, `6,000 images`
pub fn plural(n: usize, one: &str) -> String {
    format!("{} {one}{}", number(n as u64), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        assert_eq!([number(0), number(7), number(999)], ["0", "7", "999"]);
        assert_eq!([number(1000), number(1204), number(1_234_567)], ["1,000", "1,204", "1,234,567"]);
    }
}
