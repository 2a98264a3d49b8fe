use serde_json::json;

use super::*;

fn set(pairs: &[(&str, Value)]) -> Result<Hyperparameters, ParameterError> {
    let mut parameters = Hyperparameters::default();
    for (path, value) in pairs {
        parameters.set(path, value.clone())?;
    }
    Ok(parameters)
}

#[test]
fn options_of_a_request_override_those_of_the_call_and_the_invoker() {
    let invoker = set(&[
        ("temperature", json!(0.9)),
        ("max_tokens", json!(5)),
        ("a.b", json!(1)),
        ("a.c", json!(1)),
    ])
    .unwrap();
    let call = set(&[("temperature", json!(0.1)), ("a.c", json!(2))]).unwrap();
    let request = set(&[("seed", json!(7)), ("a.d", json!([1]))]).unwrap();
    let merged = request.with_defaults(&call.with_defaults(&invoker));
    assert_eq!(
        (merged.temperature, merged.max_output_tokens, merged.seed),
        (Some(0.1), Some(5), Some(7))
    );
    assert_eq!(merged.extra["a"], json!({"b": 1, "c": 2, "d": [1]}));
}

#[test]
fn infinite_numbers_are_refused_by_name() {
    for (change, expected) in [
        (
            (|h: &mut Hyperparameters| h.temperature = Some(f64::NAN)) as fn(&mut _),
            "temperature is NaN; it must be a finite number",
        ),
        (
            |h| h.top_p = Some(f64::INFINITY),
            "top_p is inf; it must be a finite number",
        ),
        (
            |h| h.presence_penalty = Some(f64::NEG_INFINITY),
            "presence_penalty is -inf; it must be a finite number",
        ),
        (
            |h| h.frequency_penalty = Some(f64::NAN),
            "frequency_penalty is NaN; it must be a finite number",
        ),
    ] {
        let mut parameters = Hyperparameters::default();
        change(&mut parameters);
        let error = parameters.merge_into(0, &mut b"{}".to_vec()).unwrap_err();
        assert_eq!(error.message(), Some(expected));
    }
}

#[test]
fn extra_parameters_are_merged_into_a_body_and_leave_other_bytes_unchanged() {
    let extra = set(&[
        ("own", json!(1)),
        ("a.x", json!([2])),
        ("n", json!(2)),
        ("s", json!("t")),
    ]);
    let extra = extra.unwrap();
    for (body, expected) in [
        ("{}", r#"{"a":{"x":[2]},"n":2,"own":1,"s":"t"}"#),
        (
            r#"{"m":[ 1e400,0.10, 123456789012345678901234567890 ],"a":{"y":1.50,"z":{"k":1e-400}},"n":1}"#,
            r#"{"m":[ 1e400,0.10, 123456789012345678901234567890 ],"a":{"y":1.50,"z":{"k":1e-400},"x":[2]},"n":2,"own":1,"s":"t"}"#,
        ),
        (
            r#"{"a":{},"s":"t"}"#,
            r#"{"a":{"x":[2]},"s":"t","n":2,"own":1}"#,
        ),
    ] {
        let mut out = format!("before{body}").into_bytes();
        extra.merge_into(6, &mut out).unwrap();
        assert_eq!(out, format!("before{expected}").into_bytes());
    }
}

#[test]
fn an_extra_parameter_does_not_replace_content_of_the_request() {
    let messages = set(&[("messages", json!([]))]).unwrap();
    let deep = set(&[("a.b", json!("x"))]).unwrap();
    for (parameters, body, named) in [
        (
            &messages,
            r#"{"messages":[{"role":"user"}]}"#,
            "\"messages\"",
        ),
        (&messages, r#"{"messages":"x"}"#, "\"messages\""),
        (&deep, r#"{"a":{"b":[1]}}"#, "\"a.b\""),
        (&deep, r#"{"a":[1]}"#, "\"a\""),
    ] {
        let error = parameters.merge_into(0, &mut body.into()).unwrap_err();
        assert!(error.message().unwrap().contains(named), "{error}");
    }
    for body in [r#"{"messages":[]}"#, r#"{"input":"x"}"#] {
        messages.merge_into(0, &mut body.into()).unwrap();
    }
}

#[test]
fn a_value_of_the_wrong_type_is_refused_by_name() {
    for (path, value, expected) in [
        ("temperature", json!("hot"), "temperature: invalid type"),
        ("max_tokens", json!(-1), "max_tokens: invalid value"),
        ("a..b", json!(1), "\"a..b\" has an empty part"),
        (
            "a.b.c",
            json!(1),
            "\"a.b.c\" cannot be set: \"a.b\" is not an object",
        ),
    ] {
        let error = set(&[("a.b", json!("x")), (path, value)]).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    assert_eq!(
        set(&[("stop", json!("END"))]).unwrap().stop,
        Some(vec!["END".to_owned()])
    );
}

#[test]
fn hyperparameters_round_trip_as_json_and_their_debug_shows_no_content() {
    let whole = set(&[
        ("temperature", json!(0.5)),
        ("stop", json!("canary")),
        ("metadata.note", json!("canary")),
    ])
    .unwrap();
    let json = serde_json::to_string(&whole).unwrap();
    assert_eq!(
        serde_json::from_str::<Hyperparameters>(&json).unwrap(),
        whole
    );
    let debug = format!("{whole:?}");
    assert!(
        debug.contains("0.5") && !debug.contains("canary"),
        "{debug}"
    );
}

#[test]
fn options_written_by_a_later_version_are_read_without_their_new_fields() {
    let json = r#"{
            "system": "s", "later": 1,
            "tools": [{"name": "f", "parameters": {"later":1}, "later": 1}],
            "thinking": {"effort": "low", "later": 1},
            "hyperparameters": {"seed": 7, "later": 1}
        }"#;
    let read: GenerateOptions = serde_json::from_str(json).unwrap();
    let written = GenerateOptions {
        system: Some("s".to_owned()),
        tools: Some(vec![Tool::new("f", &json!({"later": 1}))]),
        thinking: Some(ThinkingOptions {
            effort: Some(Effort::Low),
            budget_tokens: None,
        }),
        hyperparameters: set(&[("seed", json!(7))]).unwrap(),
        ..GenerateOptions::default()
    };
    assert_eq!(read, written);
    let again = serde_json::to_string(&written).unwrap();
    assert_eq!(
        serde_json::from_str::<GenerateOptions>(&again).unwrap(),
        written
    );
}

#[test]
fn an_effort_is_one_of_seven_words() {
    for effort in Effort::ALL {
        assert_eq!(effort.as_str().parse(), Ok(effort));
        assert_eq!(serde_json::to_value(effort).unwrap(), effort.as_str());
    }
    let error = "huge".parse::<Effort>().unwrap_err();
    assert!(error.to_string().contains("xhigh"), "{error}");
}
