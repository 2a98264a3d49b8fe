//! Upper bounds of the tokens of a request.

use lmbatch_core::{BoundRules, TokenBounds};

/// Names in bodies of messages (API reference, 2026-11). Thinking counts towards `max_tokens`.
const RULES: BoundRules = BoundRules {
    body: "params",
    output: &[&["max_tokens"]],
    answers: &[],
    images: &["image"],
    unbounded_types: &["document", "container_upload", "file", "search_result"],
    // The first three add input; the others change the price.
    unbounded: &[
        "mcp_servers",
        "container",
        "context_management",
        "inference_geo",
        "speed",
    ],
    unbounded_objects: &[],
    priced_values: &[("service_tier", &["auto", "standard_only"])],
    unbounded_anywhere: &["file_id"],
    own_tools: &["custom"],
    own_tool_members: &[],
    inline_data: &[],
    cache: "cache_control",
};

pub(super) fn bounds(row: &[u8]) -> TokenBounds {
    RULES.bounds(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_images_are_bounded_and_files_are_not() {
        for (params, input, output) in [
            (
                r#""max_tokens":9,"messages":[{"role":"user","content":"Hi"}]"#,
                true,
                Some(9),
            ),
            (r#""messages":[]"#, true, None),
            (
                r#""messages":[{"content":[{"type":"image","source":{"type":"base64"}}]}]"#,
                true,
                None,
            ),
            (
                r#""messages":[{"content":[{"type":"image","source":{"type":"file","file_id":"f"}}]}]"#,
                false,
                None,
            ),
            (
                r#""messages":[{"content":[{"type":"document","source":{"type":"url"}}]}]"#,
                false,
                None,
            ),
            (
                r#""messages":[{"content":[{"type":"document","source":{"type":"text","data":"a"}}]}]"#,
                true,
                None,
            ),
            (r#""tools":[{"name":"f","input_schema":{}}]"#, true, None),
            (
                r#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#,
                false,
                None,
            ),
            (r#""mcp_servers":[]"#, false, None),
        ] {
            let row = format!(r#"{{"custom_id":"a","params":{{"model":"m",{params}}}}}"#);
            let bounds = bounds(row.as_bytes());
            assert_eq!(
                (bounds.input.is_some(), bounds.output),
                (input, output),
                "{row}"
            );
        }
    }
}
