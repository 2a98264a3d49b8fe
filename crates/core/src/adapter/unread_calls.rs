//! Tool calls whose arguments stand at another place than the documented one.

use crate::{Arguments, JsonView, Member, Text};

/// Names under which servers put the arguments of a call, and parts of them that are still being written.
const ARGUMENTS: [&str; 13] = [
    "args",
    "arguments",
    "arguments_json",
    "input",
    "inputs",
    "kwargs",
    "parameters",
    "params",
    "partialArgs",
    "partial_args",
    "partial_arguments",
    "partial_json",
    "raw_arguments",
];

/// Members of a call that hold objects or lists and are no arguments.
const ABOUT: [&str; 8] = [
    "annotations",
    "cache_control",
    "caller",
    "extra_content",
    "function",
    "metadata",
    "provider_specific_fields",
    "thought_signature",
];

impl Arguments<'_> {
    /// Returns whether a call cannot be executed with these arguments, because they are not all: they are empty, and
    /// another member of the call holds some; or the call says that further ones follow (`willContinue`).
    /// `read` is the name of the member that they were read from.
    ///
    /// ```
    /// use lmbatch_core::{Arguments, Member, Outline};
    /// let mut outline = Outline::new();
    /// let call = outline.read(r#"{"name":"f","parameters":{"x":1}}"#)?;
    /// let arguments = Arguments::of(Member::default())?;
    /// assert!(arguments.are_elsewhere(call, "arguments"));
    /// # Ok::<(), lmbatch_core::JsonError>(())
    /// ```
    pub fn are_elsewhere(self, call: JsonView<'_>, read: &str) -> bool {
        let is_unfinished = |name: &str, member: Member<'_>| {
            matches!(name, "willContinue" | "will_continue")
                && member.raw().is_some_and(JsonView::is_true)
        };
        if call.any_member(is_unfinished) {
            return true;
        }
        self.are_none()
            && call.any_member(|name, member| {
                name != read && !ABOUT.contains(&name) && may_be_arguments(name, member)
            })
    }

    /// Returns whether there are no arguments: an empty object or list, null, or a text of one.
    fn are_none(self) -> bool {
        let is_none = |json: &str| {
            let inside = |open, close| {
                let inner = json.trim().strip_prefix(open);
                inner
                    .and_then(|inner| inner.strip_suffix(close))
                    .map(str::trim)
            };
            matches!(json.trim(), "" | "null")
                || inside('{', '}') == Some("")
                || inside('[', ']') == Some("")
        };
        match self {
            Self::Value(json) => is_none(json.as_str()),
            Self::Quoted(text) | Self::Free(text) => is_none(&text.decode()),
        }
    }
}

/// Returns whether a member of a call may hold arguments: it is called so, or it is an object, a list, or JSON in a
/// text.
fn may_be_arguments(name: &str, member: Member<'_>) -> bool {
    if member.is_empty() {
        return false;
    }
    let holds = |value: JsonView<'_>| {
        let text = value.text().map(Text::decode).unwrap_or_default();
        value.is_object() || value.is_list() || text.trim_start().starts_with(['{', '['])
    };
    ARGUMENTS.contains(&name) || member.raw().is_some_and(holds)
}

#[cfg(test)]
mod tests {
    use crate::Outline;

    use super::*;

    #[test]
    fn arguments_at_another_place_are_found() {
        for (call, expected) in [
            (r#"{"name":"f"}"#, false),
            (r#"{"name":"f","arguments":{"x":1}}"#, false),
            (
                r#"{"name":"f","arguments":{"x":1},"parameters":{"y":2}}"#,
                false,
            ),
            (r#"{"name":"f","arguments":"{}","id":"c","index":0}"#, false),
            (r#"{"name":"f","arguments":"{}","namespace":"a"}"#, false),
            (r#"{"name":"f","caller":{"type":"direct"}}"#, false),
            (r#"{"name":"f","parameters":{}}"#, false),
            (r#"{"name":"f","parameters":null,"args":""}"#, false),
            (r#"{"name":"f","parameters":{"x":1}}"#, true),
            (r#"{"name":"f","arguments":"","args":{"x":1}}"#, true),
            (r#"{"name":"f","arguments":"{}","parameters":"x=1"}"#, true),
            (
                r#"{"name":"f","arguments":{},"partial_json":"{\"x\":"}"#,
                true,
            ),
            (r#"{"name":"f","arguments":[],"odd":{"x":1}}"#, true),
            (r#"{"name":"f","arguments":null,"odd":"{\"x\":1}"}"#, true),
            (
                r#"{"name":"f","arguments":{"x":1},"willContinue":true}"#,
                true,
            ),
            (
                r#"{"name":"f","arguments":{"x":1},"willContinue":false}"#,
                false,
            ),
        ] {
            let mut outline = Outline::new();
            let call = outline.read(call).unwrap();
            let members = call.members();
            let read = members.get("arguments").copied().unwrap_or_default();
            let arguments = Arguments::of(read).unwrap();
            let found = arguments.are_elsewhere(call, "arguments");
            assert_eq!(found, expected, "{}", call.as_str());
        }
    }
}
