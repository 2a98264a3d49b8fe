//! Upper bounds of the tokens of a request.

use lmbatch_core::{BoundRules, TokenBounds};

/// Names in bodies of `generateContent`, in either spelling (API reference, 2026-11). Thinking counts towards
/// `maxOutputTokens`.
const RULES: BoundRules = BoundRules {
    body: "request",
    output: &[
        &["generationConfig", "maxOutputTokens"],
        &["generationConfig", "max_output_tokens"],
        &["generation_config", "maxOutputTokens"],
        &["generation_config", "max_output_tokens"],
    ],
    answers: &[
        &["generationConfig", "candidateCount"],
        &["generationConfig", "candidate_count"],
        &["generation_config", "candidateCount"],
        &["generation_config", "candidate_count"],
    ],
    images: &[],
    unbounded_types: &[],
    unbounded: &["cachedContent", "cached_content"],
    unbounded_objects: &[],
    priced_values: &[],
    unbounded_anywhere: &[
        "fileData",
        "file_data",
        "responseModalities",
        "response_modalities",
    ],
    own_tools: &[],
    own_tool_members: &["functionDeclarations", "function_declarations"],
    inline_data: &["inlineData", "inline_data"],
    cache: "",
};

pub(super) fn bounds(row: &[u8]) -> TokenBounds {
    RULES.bounds(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_bound_text_and_images() {
        for (request, input, output) in [
            (r#""generationConfig":{"maxOutputTokens":9}"#, true, Some(9)),
            (
                r#""generation_config":{"max_output_tokens":9}"#,
                true,
                Some(9),
            ),
            (r#""contents":[{"parts":[{"text":"Hi"}]}]"#, true, None),
            (
                r#""contents":[{"parts":[{"inline_data":{"mime_type":"image/png","data":""}}]}]"#,
                true,
                None,
            ),
            (
                r#""contents":[{"parts":[{"inlineData":{"mimeType":"application/pdf","data":""}}]}]"#,
                false,
                None,
            ),
            (
                r#""contents":[{"parts":[{"fileData":{"fileUri":"f"}}]}]"#,
                false,
                None,
            ),
            (r#""cachedContent":"c""#, false, None),
            (r#""tools":[{"functionDeclarations":[]}]"#, true, None),
            (r#""tools":[{"googleSearch":{}}]"#, false, None),
        ] {
            let row = format!(r#"{{"key":"a","request":{{{request}}}}}"#);
            let bounds = bounds(row.as_bytes());
            assert_eq!(
                (bounds.input.is_some(), bounds.output),
                (input, output),
                "{row}"
            );
        }
    }
}
