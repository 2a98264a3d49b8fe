//! Numbers with their nouns, in messages.

/// Returns a number of requests, such as `1 request` or `12,000 requests`.
pub(crate) fn requests(count: impl Into<u64>) -> String {
    counted(count.into(), "request", "requests")
}

/// Returns a number with its noun, with commas between the thousands.
pub(crate) fn counted(count: u64, one: &str, several: &str) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + several.len() + 1);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text.push(' ');
    text.push_str(if count == 1 { one } else { several });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_noun_and_commas_between_its_thousands() {
        for (count, expected) in [
            (0, "0 requests"),
            (1, "1 request"),
            (999, "999 requests"),
            (1_980, "1,980 requests"),
            (1_000_000, "1,000,000 requests"),
        ] {
            assert_eq!(requests(count as u64), expected);
        }
        assert_eq!(counted(1, "answer does", "answers do"), "1 answer does");
    }
}
