//! Cases of public bug reports: each is a test of its name, so that a rename cannot lose one.

/// Names of the cases.
const CASES: &[&str] = &[
    "answer_order_of_choices",
    "answered_run_and_another_file",
    "assistant_message_with_nulls",
    "commentary_and_final_answer",
    "compressed_results",
    "created_at_in_milliseconds",
    "empty_tool_arguments",
    "error_code_as_a_number",
    "errors_of_imitators",
    "file_data_without_data_url",
    "finish_reason_as_a_number",
    "image_jpg",
    "legacy_function_call",
    "lone_surrogate_answer",
    "map_field_at_anthropic",
    "output_on_a_device",
    "png_named_jpg",
    "results_url_null",
    "row_with_nan",
    "same_tool_called_twice",
    "schema_file_with_bom",
    "schema_in_its_envelope",
    "schema_that_is_none",
    "tool_arguments_as_an_object",
    "tool_message_of_parts",
];

/// Returns the names in `CASES` that no function of the sources has. `sources` are the texts of all Rust files.
pub(crate) fn missing(sources: &[&str]) -> Vec<String> {
    let is_test = |name: &&&str| {
        let named = format!("fn {name}()");
        sources.iter().any(|text| text.contains(&named))
    };
    let missing = CASES.iter().filter(|name| !is_test(name));
    let breaches = missing.map(|name| {
        format!("xtask/src/cases.rs: no test has the name of the case {name}; give it back, or to its successor")
    });
    breaches.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_without_a_test_is_found() {
        let all: Vec<String> = CASES
            .iter()
            .map(|name| format!("fn {name}() {{}}"))
            .collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert!(missing(&all).is_empty());
        let found = missing(&all[1..]);
        assert!(
            matches!(&*found, [one] if one.contains(CASES[0])),
            "{found:?}"
        );
        let called = [
            "answer_order_of_choices",
            "fn answer_order_of_choices_again()",
        ];
        assert_eq!(missing(&called).len(), CASES.len());
    }
}
