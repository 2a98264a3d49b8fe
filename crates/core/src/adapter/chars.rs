//! Characters that must not reach a terminal or a log.

/// Returns whether a terminal may act on a character, or show nothing for it: control characters, line and
/// paragraph separators, direction marks, and the characters of Unicode 17 without width, such as soft
/// hyphen, joiners, fillers, tags and other format characters. Text of a provider is printed, and compared
/// with keys, without them.
///
/// Variation selectors (U+FE00 to U+FE0F) are excluded, because they belong to emoji.
///
/// ```
/// use lmbatch_core::is_unsafe;
/// assert!(is_unsafe('\u{1b}') && is_unsafe('\u{202e}') && is_unsafe('\u{200b}') && is_unsafe('\n'));
/// assert!(!is_unsafe('a') && !is_unsafe('é') && !is_unsafe('😀'));
/// ```
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranges by their first and last character. The characters next to a range are visible.
    #[test]
    fn invisible_characters_are_unsafe_and_their_neighbours_are_not() {
        for (first, last) in [
            ('\0', '\u{1f}'),
            ('\u{7f}', '\u{9f}'),
            ('\u{ad}', '\u{ad}'),
            ('\u{34f}', '\u{34f}'),
            ('\u{61c}', '\u{61c}'),
            ('\u{115f}', '\u{1160}'),
            ('\u{180b}', '\u{180f}'),
            ('\u{200b}', '\u{200f}'),
            ('\u{2028}', '\u{202e}'),
            ('\u{2060}', '\u{206f}'),
            ('\u{3164}', '\u{3164}'),
            ('\u{feff}', '\u{feff}'),
            ('\u{ffa0}', '\u{ffa0}'),
            ('\u{fff0}', '\u{fffb}'),
            ('\u{e0000}', '\u{e0fff}'),
        ] {
            assert!((first..=last).all(is_unsafe), "{first:?} to {last:?}");
            let beside = [u32::from(first).wrapping_sub(1), u32::from(last) + 1];
            for c in beside.into_iter().filter_map(char::from_u32) {
                assert!(!is_unsafe(c), "{c:?} beside {first:?}");
            }
        }
        for c in "aé大ß\u{301}\u{fe0f}😀–\u{a0} ".chars() {
            assert!(!is_unsafe(c), "{c:?}");
        }
    }
}
