//! Tables of users: what is read, and the place that an error names.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use lmbatch_core::{Prices as _, Pricing, TokenUsage, parse_time};
use lmbatch_prices::PriceTable;

/// Returns the error of a table whose only model is given.
fn error_of(model: &str) -> String {
    let text = format!(
        r#"{{"schema": "lmbatch-prices/1", "as_of": "2026-11-27", "models": [{{"provider": "acme", "model": "a", "batch": [{{"in": "1"}}]}}, {model}]}}"#
    );
    PriceTable::from_json(&text).unwrap_err().to_string()
}

#[test]
fn an_error_names_the_place_of_the_value() {
    for (model, error) in [
        ("7", "models[1] is not an object"),
        (r#"{"model": "b"}"#, "models[1].provider is missing"),
        (
            r#"{"provider": "acme", "model": "b"}"#,
            "models[1] has neither realtime nor batch prices",
        ),
        (
            r#"{"provider": "acme", "model": "A", "batch": [{"in": "1"}]}"#,
            r#"models[1] has the name "a" of an earlier model"#,
        ),
        (
            r#"{"provider": "acme", "model": "b", "batch": [{"out": "1"}]}"#,
            "models[1].batch[0].in is missing",
        ),
        (
            r#"{"provider": "acme", "model": "b", "batch": [{"in": 1}]}"#,
            "models[1].batch[0].in is not a string",
        ),
        (
            r#"{"provider": "acme", "model": "b", "batch": [{"in": "0.0000001"}]}"#,
            r#"models[1].batch[0].in is "0.0000001"; write dollars per million tokens with at most 6 decimals"#,
        ),
        (
            r#"{"provider": "acme", "model": "b", "batch": [{"in": "1", "cache": "1"}]}"#,
            "models[1].batch[0].cache is unknown; known are in, cached, cache_write, cache_write_1h, in_audio, out, from, long",
        ),
        (
            r#"{"provider": "acme", "model": "b", "batch": [{"in": "1"}, {"in": "2"}]}"#,
            "models[1].batch[1] does not begin after the period before it",
        ),
        (
            r#"{"provider": "acme", "model": "b", "batch": [{"from": "2026-13-01", "in": "1"}]}"#,
            r#"models[1].batch[0].from is not a day, such as "2026-11-26""#,
        ),
        (
            r#"{"provider": "acme", "model": "b", "batch": [{"in": "1", "long": [{"in": "2"}]}]}"#,
            "models[1].batch[0].long[0].above_input_tokens is missing",
        ),
        (
            r#"{"provider": "acme", "model": "b", "batch": [{"in": "1", "long": [{"in": "2", "above_input_tokens": 9}, {"in": "3", "above_input_tokens": 9}]}]}"#,
            "models[1].batch[0].long[1] is not above the step before it",
        ),
        (
            r#"{"provider": "acme", "model": "b", "match": {"prefix": ["B"]}, "batch": [{"in": "1"}]}"#,
            "models[1].match.prefix[0] is not in lower case",
        ),
        (
            r#"{"provider": "acme", "model": "b", "match": {"starts": []}, "batch": [{"in": "1"}]}"#,
            "models[1].match.starts is unknown; known are eq, prefix, suffix, contains, re, not",
        ),
    ] {
        assert_eq!(error_of(model), error);
    }
    let regex =
        r#"{"provider": "acme", "model": "b", "match": {"re": ["("]}, "batch": [{"in": "1"}]}"#;
    let error = error_of(regex);
    assert!(
        error.starts_with("models[1].match.re[0] is not a regular expression: "),
        "{error}"
    );
}

#[test]
fn a_text_that_is_no_table_is_refused() {
    for (text, error) in [
        ("[]", "the text is not a JSON object"),
        ("{}", "schema is missing"),
        (
            r#"{"schema": "lmbatch-prices/2", "rates": []}"#,
            r#"schema is "lmbatch-prices/2"; this version reads "lmbatch-prices/1""#,
        ),
        (r#"{"schema": "lmbatch-prices/1"}"#, "as_of is missing"),
        (
            r#"{"schema": "lmbatch-prices/1", "as_of": "today"}"#,
            r#"as_of is not a day, such as "2026-11-26""#,
        ),
        (
            r#"{"schema": "lmbatch-prices/1", "as_of": "2026-11-27"}"#,
            "models is missing",
        ),
    ] {
        assert_eq!(
            PriceTable::from_json(text).unwrap_err().to_string(),
            error,
            "{text}"
        );
    }
    let error = PriceTable::from_json("{\"schema\":\n oops}").unwrap_err();
    assert_eq!(error.position(), "the text");
    assert!(error.reason().contains("line 2"), "{error}");
}

#[test]
fn a_table_of_ones_own_needs_a_name_and_a_rate() {
    let table = PriceTable::from_json(
        r#"{"schema": "lmbatch-prices/1", "as_of": "2026-11-27", "models": [
            {"provider": "acme", "model": "Acme-1", "realtime": [{"in": "1", "out": "4"}], "batch": [{"in": "0.5", "out": "2"}]},
            {"provider": "acme", "model": "acme-2", "match": {"prefix": ["acme-2"], "suffix": ["-two"], "contains": ["second"]}, "realtime": [{"in": "3"}]}
        ]}"#,
    )
    .unwrap();
    let at = parse_time("2020-01-01T00:00:00Z").unwrap();
    let usage = TokenUsage {
        input_tokens: 10,
        cached_input_tokens: 4,
        output_tokens: 0,
        ..TokenUsage::default()
    };
    let cost = |model, pricing| {
        let cost = table.cost("acme", model, pricing, at, &usage);
        cost.map(|cost| cost.to_string())
    };
    assert_eq!(table.as_of(), "2026-11-27");
    // A model without a rate of cached tokens bills them as other input.
    assert_eq!(cost("acme-1", Pricing::Batch).as_deref(), Some("$0.000005"));
    for name in ["acme-2-mini", "model-two", "a-second-one"] {
        assert_eq!(
            cost(name, Pricing::RealTime).as_deref(),
            Some("$0.00003"),
            "{name}"
        );
        assert_eq!(cost(name, Pricing::Batch), None, "{name}");
    }
    assert_eq!(cost("acme-3", Pricing::RealTime), None);
}

#[test]
fn a_rate_that_a_step_leaves_out_grows_at_most_as_input_does() {
    let table = PriceTable::from_json(
        r#"{"schema": "lmbatch-prices/1", "as_of": "2026-11-27", "models": [
            {"provider": "acme", "model": "acme-1", "realtime": [{"in": "1", "cached": "0.2", "out": "4", "long": [{"above_input_tokens": 1000, "in": "5", "out": "9"}]}]}
        ]}"#,
    )
    .unwrap();
    let at = parse_time("2026-11-27T00:00:00Z").unwrap();
    let model = table.find("acme", "acme-1").unwrap();
    let rates = |tokens| model.rates(Pricing::RealTime, at, tokens).unwrap();
    assert_eq!(rates(1_000).cached.to_string(), "$0.20");
    assert_eq!(rates(1_000).above_input_tokens, None);
    assert_eq!(rates(1_001).cached.to_string(), "$0.20 to $1.00");
    assert_eq!(rates(1_001).input.to_string(), "$5.00");
    assert_eq!(rates(1_001).above_input_tokens, Some(1_000));
}
