//! Upper bounds of the tokens of a request.

use lmbatch_core::{BoundRules, TokenBounds};

/// Names in bodies of chat completions and of responses (API reference, 2026-11). Reasoning counts towards
/// `max_completion_tokens` and `max_output_tokens`.
const RULES: BoundRules = BoundRules {
    body: "body",
    output: &[
        &["max_output_tokens"],
        &["max_completion_tokens"],
        &["max_tokens"],
    ],
    answers: &[&["n"], &["best_of"]],
    images: &["image_url", "input_image"],
    unbounded_types: &[
        "file",
        "input_file",
        "input_audio",
        "video",
        "item_reference",
        "compaction",
    ],
    unbounded: &[
        "previous_response_id",
        "conversation",
        "web_search_options",
        "audio",
        "modalities",
        "prediction",
    ],
    // A stored prompt adds text of unknown length.
    unbounded_objects: &["prompt"],
    priced_values: &[("service_tier", &["auto", "default"])],
    unbounded_anywhere: &["file_id"],
    own_tools: &["function", "custom"],
    own_tool_members: &[],
    inline_data: &[],
    cache: "",
};

/// Endpoints whose answers have no output tokens.
const WITHOUT_OUTPUT: &[&str] = &["/v1/embeddings", "/v1/moderations"];

pub(super) fn bounds(endpoint: &str, row: &[u8]) -> TokenBounds {
    let mut bounds = RULES.bounds(row);
    if WITHOUT_OUTPUT.contains(&endpoint) {
        bounds.output = Some(0);
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_either_endpoint_bounds_the_output() {
        for (endpoint, body, input, output) in [
            ("/v1/responses", r#""max_output_tokens":9"#, true, Some(9)),
            (
                "/v1/chat/completions",
                r#""max_completion_tokens":9"#,
                true,
                Some(9),
            ),
            ("/v1/chat/completions", r#""max_tokens":9"#, true, Some(9)),
            ("/v1/chat/completions", r#""messages":[]"#, true, None),
            ("/v1/embeddings", r#""input":["a"]"#, true, Some(0)),
            ("/v1/responses", r#""prompt":{"id":"p"}"#, false, None),
            (
                "/v1/completions",
                r#""prompt":"words","max_tokens":3"#,
                true,
                Some(3),
            ),
            ("/v1/responses", r#""service_tier":"priority""#, false, None),
            ("/v1/responses", r#""service_tier":"auto""#, true, None),
            (
                "/v1/responses",
                r#""tools":[{"type":"web_search_preview"}]"#,
                false,
                None,
            ),
            (
                "/v1/responses",
                r#""input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]"#,
                false,
                None,
            ),
        ] {
            let row = format!(
                r#"{{"custom_id":"a","method":"POST","url":"{endpoint}","body":{{"model":"m",{body}}}}}"#
            );
            let bounds = bounds(endpoint, row.as_bytes());
            assert_eq!(
                (bounds.input.is_some(), bounds.output),
                (input, output),
                "{row}"
            );
            assert_eq!(bounds.model.as_deref(), Some("m"));
        }
    }
}
