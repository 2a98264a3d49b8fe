use super::*;

#[test]
fn names_of_tools_are_checked_by_the_rule_of_the_service() {
    for (dialect, length, is_taken) in [
        (Dialect::OPENAI, 64, true),
        (Dialect::OPENAI, 65, false),
        (Dialect::MISTRAL, 65, false),
        (Dialect::GROQ, 65, true),
    ] {
        let tool = Tool::new("f".repeat(length), &json!({"type": "object"}));
        let view = GenerateView {
            tools: leak([tool]),
            ..hello()
        };
        let service = dialect.service;
        let written = body(dialect, view);
        assert_eq!(
            written.is_ok(),
            is_taken,
            "{service}, {length}: {written:?}"
        );
    }
}
