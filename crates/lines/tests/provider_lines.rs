//! Outcomes as lines of a provider's result files, read back by the adapter of that provider.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;

use lmbatch_core::{
    AnswerView, AnsweredRequest, Arguments, BatchCodec, BatchId, ErrorKind, FailureView,
    FinishReason, ItemView, Json, OutcomeView, OutputView, Problem, ProviderFactory as _,
    ResultPart, Retry, RowReader, Structured, ThinkingView, TokenUsage, ToolCallView,
};
use lmbatch_lines::{LineOrigin, ProviderFormat, ProviderLines, write_outcome};
use serde_json::{Value, json};

const FORMATS: [ProviderFormat; 2] = [ProviderFormat::OpenAi, ProviderFormat::Anthropic];

fn codec(format: ProviderFormat) -> Box<dyn BatchCodec> {
    match format {
        ProviderFormat::OpenAi => lmbatch_openai::factory().codec("chat"),
        _ => lmbatch_anthropic::factory().codec("inline"),
    }
}

fn answered<'a>(id: &'a str, answer: AnswerView<'a>) -> AnsweredRequest<'a> {
    AnsweredRequest {
        ordinal: 4,
        id: Json::new(id).unwrap(),
        metadata: None,
        batch: None,
        schema_requested: false,
        raw: None,
        replaced: 0,
        answer,
        cost: None,
    }
}

fn row(outcome: OutcomeView<'_>) -> AnswerView<'_> {
    AnswerView::Row {
        outcome,
        structured: Structured::NotRequested,
    }
}

/// Returns the line of an answer, and the names of the parts that it does not hold.
fn line(
    format: ProviderFormat,
    answered: &AnsweredRequest<'_>,
) -> (Vec<u8>, BTreeSet<&'static str>) {
    let mut out = Vec::new();
    let left_out = ProviderLines::new(format, "m").write_outcome(answered, &mut out);
    assert_eq!(out.pop(), Some(b'\n'));
    assert!(!out.contains(&b'\n'));
    (out, left_out)
}

/// Returns lmbatch's own line of an outcome, which says all of it.
fn own(outcome: OutcomeView<'_>) -> Value {
    let origin = LineOrigin {
        provider: "p".to_owned(),
        emulated: false,
        raw: false,
    };
    let mut out = Vec::new();
    write_outcome(&answered("\"a\"", row(outcome)), &origin, &mut out);
    serde_json::from_slice(&out).unwrap()
}

/// Reads a line as the adapter of the provider reads a row of its results.
fn read_back(format: ProviderFormat, line: &[u8]) -> Value {
    let mut rows = RowReader::new();
    let part = ResultPart::mixed(&BatchId::new("b"), "f", "");
    let codec = codec(format);
    let read = codec.decode(&part, rows.read(line)).unwrap();
    assert_eq!(&*read.id.unwrap().decode(), "a");
    own(read.outcome)
}

fn output<'a>(items: Vec<ItemView<'a>>, finish_reason: FinishReason) -> OutputView<'a> {
    let mut output = OutputView::from_items(items, finish_reason);
    output.usage = Some(TokenUsage {
        input_tokens: 12,
        cached_input_tokens: 2,
        cache_write_tokens: 3,
        output_tokens: 7,
        thinking_tokens: 1,
        ..TokenUsage::default()
    });
    output.model = Some("model-1".into());
    output.response_id = Some("r1".into());
    output
}

fn succeeded<'a>(items: Vec<ItemView<'a>>, finish_reason: FinishReason) -> OutcomeView<'a> {
    OutcomeView::Succeeded(output(items, finish_reason))
}

fn call<'a>(arguments: Arguments<'a>) -> ItemView<'a> {
    ItemView::ToolCall(ToolCallView {
        id: "c1".into(),
        name: "add".into(),
        arguments,
    })
}

fn failure(kind: ErrorKind, retry: Retry, status: Option<u16>, code: &str) -> OutcomeView<'_> {
    let mut failure = FailureView::new(kind, retry);
    failure.http_status = status;
    failure.code = Some(code.into());
    failure.message = Some("a \"reason\"".into());
    OutcomeView::Errored(failure)
}

fn thinking(text: Option<&'static str>, data: Option<&'static str>) -> ItemView<'static> {
    ItemView::Thinking(ThinkingView {
        text: text.map(Into::into),
        id: None,
        signature: text.map(|_| "seal".into()),
        data: data.map(Into::into),
    })
}

#[test]
fn outcomes_in_the_reach_of_a_format_are_read_back_as_they_were() {
    use ErrorKind as Kind;
    use FinishReason::{ContentFilter, Length, Paused, Refusal, Stop};
    use ProviderFormat::{Anthropic, OpenAi};
    use Retry::{Permanent, Temporary};
    let text = || ItemView::Text("a \"b\"\n\u{1f600}".into());
    let value = || Arguments::Value(Json::new(r#"{"x":[1,2.50]}"#).unwrap());
    let quoted = || Arguments::Quoted(r#"{"x":1}"#.into());
    let both = &FORMATS[..];
    for (formats, outcome) in [
        (both, succeeded(vec![text()], Stop)),
        (both, succeeded(vec![text()], Length)),
        (both, succeeded(vec![], Stop)),
        (both, succeeded(vec![text(), call(value())], Stop)),
        (both, succeeded(vec![call(quoted())], Stop)),
        (
            &[OpenAi],
            succeeded(vec![call(Arguments::Free("x\ny".into()))], Stop),
        ),
        (&[OpenAi], succeeded(vec![text()], ContentFilter)),
        (both, succeeded(vec![ItemView::Refusal("no".into())], Stop)),
        (&[Anthropic], succeeded(vec![], Refusal)),
        (&[Anthropic], succeeded(vec![text()], Paused)),
        (
            &[Anthropic],
            succeeded(
                vec![
                    thinking(Some("hm"), None),
                    thinking(None, Some("x")),
                    text(),
                ],
                Stop,
            ),
        ),
        (
            &[OpenAi],
            failure(Kind::ProviderInvalidArgs, Permanent, Some(400), "bad_value"),
        ),
        (
            &[OpenAi],
            failure(
                Kind::ProviderRateLimit,
                Temporary,
                Some(429),
                "rate_limit_exceeded",
            ),
        ),
        (
            &[Anthropic],
            failure(
                Kind::ProviderInvalidArgs,
                Permanent,
                None,
                "invalid_request_error",
            ),
        ),
        (
            &[Anthropic],
            failure(
                Kind::ProviderOverloaded,
                Temporary,
                None,
                "overloaded_error",
            ),
        ),
        (both, OutcomeView::Expired),
        (both, OutcomeView::Cancelled),
    ] {
        for format in formats {
            let (line, left_out) = line(*format, &answered("\"a\"", row(outcome.clone())));
            let shown = String::from_utf8_lossy(&line);
            assert_eq!(left_out, BTreeSet::new(), "{shown}");
            assert_eq!(read_back(*format, &line), own(outcome.clone()), "{shown}");
        }
    }
}

#[test]
fn parts_that_a_line_cannot_represent_are_named_and_the_rest_of_the_line_stays() {
    use FinishReason::{Other, Stop, ToolUse};
    use ProviderFormat::{Anthropic, OpenAi};
    let json = || Json::new(r#"{"url":"u"}"#).unwrap();
    let beside = vec![
        ItemView::Text("x".into()),
        ItemView::Citation(json()),
        ItemView::Commentary("on the way".into()),
        ItemView::Detail {
            name: "logprobs",
            value: json(),
        },
        ItemView::Other(json()),
    ];
    let named = ThinkingView {
        text: Some("hm".into()),
        id: Some("rs_1".into()),
        data: Some("x".into()),
        ..ThinkingView::default()
    };
    let free = || vec![call(Arguments::Free("x".into()))];
    let mut unmetered = output(vec![ItemView::Text("x".into())], Stop);
    unmetered.usage = None;
    let mut failed = output(vec![ItemView::Text("x".into())], Other("aborted".into()));
    failed.problem = Some(Problem::Unrecognized);
    for (format, outcome, expected, path, value) in [
        (
            OpenAi,
            succeeded(beside.clone(), Stop),
            &["citation", "commentary", "logprobs", "other"][..],
            "/response/body/choices/0/message",
            json!({"role": "assistant", "content": "x", "refusal": null}),
        ),
        (
            Anthropic,
            succeeded(beside, Stop),
            &["citation", "commentary", "logprobs", "other"],
            "/result/message/content",
            json!([{"type": "text", "text": "x", "citations": null}]),
        ),
        (
            OpenAi,
            succeeded(vec![ItemView::Thinking(named)], Stop),
            &["thinking"],
            "/response/body/choices/0/message/content",
            Value::Null,
        ),
        (
            Anthropic,
            succeeded(vec![ItemView::Thinking(named)], Stop),
            &["thinking_id"],
            "/result/message/content",
            json!([
                {"type": "thinking", "thinking": "hm", "signature": ""},
                {"type": "redacted_thinking", "data": "x"},
            ]),
        ),
        (
            Anthropic,
            succeeded(free(), ToolUse),
            &["tool_call"],
            "/result/message/content",
            json!([]),
        ),
        (
            OpenAi,
            OutcomeView::Succeeded(unmetered.clone()),
            &[],
            "/response/body/usage",
            Value::Null,
        ),
        (
            Anthropic,
            OutcomeView::Succeeded(unmetered),
            &["usage"],
            "/result/message/usage/output_tokens",
            json!(0),
        ),
        (
            OpenAi,
            OutcomeView::Succeeded(failed.clone()),
            &["finish_reason"],
            "/response/body/choices/0/finish_reason",
            json!("length"),
        ),
        (
            Anthropic,
            OutcomeView::Succeeded(failed),
            &["finish_reason"],
            "/result/message/stop_reason",
            json!("max_tokens"),
        ),
        (
            Anthropic,
            failure(ErrorKind::Billing, Retry::Permanent, Some(429), "no_money"),
            &["error_code", "http_status"],
            "/result/error/error",
            json!({"type": "billing_error", "message": "a \"reason\""}),
        ),
    ] {
        let (line, left_out) = line(format, &answered("\"a\"", row(outcome)));
        let line: Value = serde_json::from_slice(&line).unwrap();
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        assert_eq!(left_out, expected, "{line}");
        assert_eq!(line.pointer(path), Some(&value), "{line}");
    }
}

#[test]
fn an_outcome_without_an_answer_says_why_in_the_words_of_the_provider() {
    let error = |code: &str| json!({"response": null, "code": code});
    for (answer, openai, anthropic) in [
        (
            AnswerView::Missing,
            error("missing"),
            json!(["errored", "api_error"]),
        ),
        (
            AnswerView::Malformed,
            error("malformed_answer"),
            json!(["errored", "invalid_request_error"]),
        ),
        (
            row(OutcomeView::Expired),
            error("batch_expired"),
            json!(["expired", null]),
        ),
        (
            row(OutcomeView::Cancelled),
            error("batch_cancelled"),
            json!(["canceled", null]),
        ),
        (
            row(OutcomeView::Errored(FailureView::new(
                ErrorKind::GenerationFailed,
                Retry::Permanent,
            ))),
            error("generation_failed"),
            json!(["errored", "invalid_request_error"]),
        ),
    ] {
        let request = answered("\"a\"", answer);
        let read = |format| -> Value { serde_json::from_slice(&line(format, &request).0).unwrap() };
        let found = read(ProviderFormat::OpenAi);
        assert!(found["error"]["message"].is_string());
        let found = json!({"response": found["response"], "code": found["error"]["code"]});
        assert_eq!(found, openai);
        let found = read(ProviderFormat::Anthropic);
        let found = json!([
            found["result"]["type"],
            found["result"]["error"]["error"]["type"]
        ]);
        assert_eq!(found, anthropic);
    }
}

#[test]
fn an_id_of_any_type_is_a_string_and_metadata_is_named_as_left_out() {
    for (id, expected) in [("\"t \\\"1\\\"\"", "t \"1\""), ("7", "7"), ("[1]", "[1]")] {
        for format in FORMATS {
            let mut request = answered(id, AnswerView::Missing);
            request.metadata = Json::new("{}").ok();
            let (line, left_out) = line(format, &request);
            let line: Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(line["custom_id"], expected);
            assert_eq!(left_out, BTreeSet::from(["metadata"]));
        }
    }
}

#[test]
fn the_lines_of_an_answer_are_those_of_the_providers() {
    let text = || OutcomeView::Succeeded(OutputView::text("Hi".into(), FinishReason::Stop));
    for (format, expected) in [
        (
            ProviderFormat::OpenAi,
            r#"{"id":"batch_req_4","custom_id":"a","response":{"status_code":200,"request_id":"","body":{"id":"chatcmpl-4","object":"chat.completion","created":0,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":null}},"error":null}"#,
        ),
        (
            ProviderFormat::Anthropic,
            r#"{"custom_id":"a","result":{"type":"succeeded","message":{"id":"msg_4","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hi","citations":null}],"stop_reason":"end_turn","stop_sequence":null,"stop_details":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":0,"output_tokens_details":{"thinking_tokens":0}}}}}"#,
        ),
    ] {
        let (line, _) = line(format, &answered("\"a\"", row(text())));
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }
}
