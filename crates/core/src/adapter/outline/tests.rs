use serde_json::value::RawValue;

use crate::replace_lone_surrogates;

use super::*;

/// Texts that the tests of agreement with `serde_json` start from.
const SEEDS: &[&str] = &[
    r#"{"id":"batch_req_1","custom_id":"a","response":{"status_code":200,"body":{"output":[{"type":"message","content":[{"text":"A longer text, so that it spans more than one block of bytes.\nAnd \"more\" \ud83d\ude00."}]}],"usage":{"input_tokens":12}}},"error":null}"#,
    r#" [ 1 , -0 , 1.5e+10 , 0.25E-3, true , false, null, "" , [], {} , [ ] , { } ] "#,
    r#"{"a":{"b":[{"c":[[[["d"]]]]}]},"a":1,"\u0061":2,"\ud800":3}"#,
    r#""\u00fc\\\/\b\f\n\r\t\"""#,
    "{\"a\" :\n1,\r\"b\"\t:[2 ,\n3]\n}",
    "\u{feff}{}",
    "12",
    "",
];

/// Pieces that are inserted into texts: odd bytes, tokens, and beginnings of tokens.
const PIECES: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"0",
    b"-",
    b".",
    b"e",
    b"E+",
    b"\n",
    b"\r",
    b"\t",
    b" ",
    b"\x00",
    b"\x1f",
    b"\x7f",
    b"\xff",
    b"\xc3",
    b"\xc3\xbc",
    b"\\u",
    b"\\ud800",
    b"\\udc00",
    b"\\uD83D\\uDE00",
    b"\\u12",
    b"\\x",
    b"\\\\",
    b"tru",
    b"true",
    b"nul",
    b"null",
    b"NaN",
    b"01",
    b"1.",
    b"\"a\":",
    b"\"a\":1,",
    b"\x0b",
    b"\xef\xbb\xbf",
    b"[[",
    b"{\"b\":{",
    b"]]",
    b"}}",
    b"/",
];

/// Pseudo-random numbers from a seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

/// Checks that an outline and `serde_json` agree on a text, and on each value within it.
fn agree(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let raw = serde_json::from_str::<&RawValue>(text).ok();
    let mut outline = Outline::new();
    let view = outline.read(text).ok();
    assert_eq!(
        raw.map(RawValue::get),
        view.map(JsonView::as_str),
        "{text:?}"
    );
    let Some(view) = view else { return };
    let mut scratch = Vec::new();
    let (_, lone) = replace_lone_surrogates(bytes, &mut scratch);
    assert_eq!(view.node().flags & LONE > 0, lone > 0, "{text:?}");
    assert_eq!(view.nodes.len(), view.node().count as usize);
    same(raw.unwrap(), view);
}

fn same(raw: &RawValue, view: JsonView<'_>) {
    let text = raw.get();
    assert_eq!(text, view.as_str());
    let passed_on = crate::Json::from_raw(raw).map(|_| ());
    assert_eq!(view.check(), passed_on, "{text:?}");
    let list = serde_json::from_str::<Vec<&RawValue>>(text).ok();
    assert_eq!(list.is_some(), view.is_list(), "{text:?}");
    let list = list.unwrap_or_default();
    assert_eq!(list.len(), view.values().count(), "{text:?}");
    for (raw, view) in list.iter().zip(view.values()) {
        same(raw, view);
    }
    assert_eq!(text.starts_with('{'), view.is_object());
    for (name, value) in view.entries() {
        let token = name.0.as_str();
        assert_eq!(
            name.decode().as_deref(),
            serde_json::from_str::<String>(token).ok().as_deref()
        );
        same(serde_json::from_str(value.as_str()).unwrap(), value);
    }
    let first = match text.as_bytes()[0] {
        b'n' => view.is_null(),
        b't' => view.is_true(),
        b'"' => view.is_string() && view.is_escaped() == text.contains('\\'),
        _ => !view.is_null() && !view.is_true() && !view.is_string(),
    };
    assert!(first, "{text:?}");
    let packed: String = text.split_ascii_whitespace().collect();
    let is_empty = match view.is_string() {
        true => text == "\"\"",
        false => ["null", "[]", "{}"].contains(&&*packed),
    };
    assert_eq!(view.is_empty(), is_empty, "{text:?}");
}

#[test]
fn an_outline_agrees_with_serde_json_on_each_prefix() {
    for seed in SEEDS {
        for end in 0..=seed.len() {
            agree(&seed.as_bytes()[..end]);
        }
    }
}

#[test]
fn an_outline_agrees_with_serde_json_on_mutated_texts() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for round in 0..30_000 {
        let mut text = SEEDS[round % SEEDS.len()].as_bytes().to_vec();
        for _ in 0..=numbers.below(3) {
            let at = numbers.below(text.len() + 1);
            let piece = PIECES[numbers.below(PIECES.len())];
            let end = match numbers.below(3) {
                0 => at,
                1 => (at + piece.len()).min(text.len()),
                _ => (at + numbers.below(12)).min(text.len()),
            };
            text.splice(at..end, piece.iter().copied());
        }
        agree(&text);
    }
}

#[test]
fn an_outline_agrees_with_serde_json_on_random_sequences_of_pieces() {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    for _ in 0..60_000 {
        let mut text = Vec::new();
        for _ in 0..=numbers.below(7) {
            text.extend_from_slice(PIECES[numbers.below(PIECES.len())]);
        }
        agree(&text);
    }
}

#[test]
fn a_byte_that_ends_a_run_is_found_at_every_position() {
    for length in 0..100 {
        let clean = vec![0xc3; length];
        assert_eq!(plain(&clean), length);
        for at in 0..length {
            for stop in [b'"', b'\\', 0, 0x1f] {
                let mut bytes = clean.clone();
                bytes[at] = stop;
                // The next byte, from which the subtraction may borrow.
                if at + 1 < length {
                    bytes[at + 1] = b'!';
                }
                assert_eq!(plain(&bytes), at, "{length}");
            }
            for other in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0x9f, 0xff] {
                let mut bytes = clean.clone();
                bytes[at] = other;
                assert_eq!(plain(&bytes), length, "{other}");
            }
        }
    }
}

#[test]
fn nesting_has_no_limit_and_is_counted() {
    for levels in [1, 99, 100, 101, 300, 70_000] {
        let text = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let mut outline = Outline::new();
        let view = outline.read(&text).unwrap();
        assert_eq!(
            usize::from(view.node().depth),
            levels.min(usize::from(u16::MAX))
        );
        assert_eq!(view.check().is_ok(), levels <= 100);
        assert!(Outline::new().read(&text[1..]).is_err());
        assert!(Outline::new().read(&text[..text.len() - 1]).is_err());
    }
}

#[test]
fn an_outline_is_reusable_and_keeps_little_memory() {
    let mut outline = Outline::new();
    let wide = format!("[{}1]", "1,".repeat(KEPT * 2));
    assert_eq!(outline.read(&wide).unwrap().values().count(), KEPT * 2 + 1);
    assert!(outline.read("{").is_err());
    assert_eq!(outline.read(r#"{"a":1}"#).unwrap().entries().count(), 1);
    assert!(outline.nodes.capacity() <= KEPT);
}
