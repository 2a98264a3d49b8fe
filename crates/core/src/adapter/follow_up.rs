//! Continued conversations: an encoded body with further turns at its end.

use std::borrow::Cow;

use crate::{ItemView, JsonView, Outline, OutputView, RequestError};

/// Turns that are added to an encoded conversation: an answer of the model, and a message of the user about it.
///
/// ```
/// use lmbatch_core::{FinishReason, FollowUp, ItemView, OutputView};
/// let items = ["{\"mood\":", "7}"].map(|text| ItemView::Text(text.into()));
/// let answer = OutputView::from_items(items.to_vec(), FinishReason::Stop);
/// let turns = FollowUp::new(&answer, "At /mood: 7 is not a string.");
/// assert_eq!(turns.text(), r#"{"mood":7}"#);
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FollowUp<'a> {
    /// Answer of the model, with text and without tool calls. Adapters send its [text](Self::text); reasoning is
    /// sent back only where a provider demands it.
    pub answer: &'a OutputView<'a>,
    /// Message of the user, as plain text.
    pub message: &'a str,
}

impl<'a> FollowUp<'a> {
    /// Creates the turns of an answer and a message.
    pub fn new(answer: &'a OutputView<'a>, message: &'a str) -> Self {
        Self { answer, message }
    }

    /// Returns the text of the answer: all of its pieces, joined.
    pub fn text(&self) -> Cow<'a, str> {
        let mut texts = self.answer.items.iter().filter_map(|item| match item {
            ItemView::Text(text) => Some(text.decode()),
            _ => None,
        });
        let first = texts.next().unwrap_or_default();
        texts.fold(first, |all, more| all + more)
    }
}

/// Appends a JSON object with the value of one member replaced by what `write` appends. All other bytes stay as they
/// are.
///
/// ```
/// use lmbatch_core::{append_items, replace_member};
/// let mut out = Vec::new();
/// replace_member(r#"{"n":1.50,"turns":[1]}"#, "turns", &mut out, |list, out| {
///     append_items(list, out, |out| out.extend_from_slice(b"2,3"))
/// })?;
/// assert_eq!(out, br#"{"n":1.50,"turns":[1,2,3]}"#);
/// # Ok::<(), lmbatch_core::RequestError>(())
/// ```
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a body that is not an object or does not have
/// the member exactly once, and the error of `write`. `out` is then unchanged.
pub fn replace_member(
    body: &str,
    name: &str,
    out: &mut Vec<u8>,
    write: impl FnOnce(JsonView<'_>, &mut Vec<u8>) -> Result<(), RequestError>,
) -> Result<(), RequestError> {
    let missing = || RequestError::invalid_input(format!("the body does not have one {name:?}"));
    let mut outline = Outline::new();
    let view = outline.read(body).map_err(|_| missing())?;
    let is_named = |written: &str| written == name;
    let mut found = view
        .entries()
        .filter(|(name, _)| name.decode().is_some_and(|name| is_named(&name)));
    let (Some((_, value)), None) = (found.next(), found.next()) else {
        return Err(missing());
    };
    let (at, (start, end)) = (out.len(), value.span());
    out.extend_from_slice(&body.as_bytes()[..start]);
    if let Err(error) = write(value, out) {
        out.truncate(at);
        return Err(error);
    }
    out.extend_from_slice(&body.as_bytes()[end..]);
    Ok(())
}

/// Appends a JSON list with further items, which `write` appends with commas between them.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a value that is not a list.
pub fn append_items(
    list: JsonView<'_>,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<(), RequestError> {
    let Some(open) = list.as_str().strip_suffix(']').filter(|_| list.is_list()) else {
        return Err(RequestError::invalid_input(
            "the conversation of the body is not a list",
        ));
    };
    out.extend_from_slice(open.as_bytes());
    if !list.is_empty() {
        out.push(b',');
    }
    write(out);
    out.push(b']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn items_are_appended_and_all_other_bytes_stay() {
        for (body, expected) in [
            (r#"{"m":[]}"#, Some(r#"{"m":[0]}"#)),
            (r#"{"m":[{"a":[1]}]}"#, Some(r#"{"m":[{"a":[1]},0]}"#)),
            (
                r#"{"x":{"m":[9]},"m":[ 1.50, 1e400 ],"z":12345678901234567890123}"#,
                Some(r#"{"x":{"m":[9]},"m":[ 1.50, 1e400 ,0],"z":12345678901234567890123}"#),
            ),
            (r#"{"\u006d":["]"]}"#, Some(r#"{"\u006d":["]",0]}"#)),
            ("{}", None),
            (r#"{"m":"text"}"#, None),
            (r#"{"m":[1],"m":[2]}"#, None),
            (r#"[{"m":[1]}]"#, None),
            (r#"{"m":[1]"#, None),
        ] {
            let mut out = b"before".to_vec();
            let done = replace_member(body, "m", &mut out, |list, out| {
                append_items(list, out, |out| out.push(b'0'))
            });
            let found = std::str::from_utf8(&out[6..]).unwrap();
            match expected {
                Some(expected) => assert_eq!((done.is_ok(), found), (true, expected), "{body}"),
                None => {
                    assert_eq!(done.unwrap_err().kind(), ErrorKind::InvalidInput, "{body}");
                    assert_eq!(found, "", "{body}");
                }
            }
        }
    }
}
