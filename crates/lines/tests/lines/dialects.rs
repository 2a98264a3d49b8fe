//! Equal requests in the batch lines of every provider.

use lmbatch_lines::{INPUT_SCHEMA, OUTPUT_SCHEMA};

use super::*;

/// Model of every provider and route.
pub(crate) const EVERYWHERE: [&str; 5] = [OPENAI, "chat@openai/m", ANTHROPIC, GOOGLE, INLINE];
const INLINE: &str = "inline@google/gemini-2.5-flash";

/// Returns an Anthropic batch line.
pub(crate) fn anthropic(params: &Value) -> Value {
    json!({"custom_id": "a", "params": with(params, "model", json!("claude-haiku-4-5"))})
}

/// Returns a Gemini batch line.
pub(crate) fn gemini(request: &Value) -> Value {
    json!({"key": "a", "request": request})
}

fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut object = object.clone();
    object[name] = value;
    object
}

fn body_of(line: Value, more: &Value) -> Value {
    let mut line = line;
    for (name, value) in more.as_object().unwrap() {
        line["body"][name] = value.clone();
    }
    line
}

/// Returns requests by name, each as a line of every dialect.
pub(crate) fn requests() -> Vec<(&'static str, Vec<Value>)> {
    let weather =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let upper =
        json!({"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]});
    let answer = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}, "s": {"type": ["string", "null"]}}, "required": ["n", "s"], "additionalProperties": false});
    let google_answer = json!({"type": "OBJECT", "properties": {"s": {"type": "STRING", "nullable": true}, "n": {"type": "INTEGER", "minimum": 1}}, "propertyOrdering": ["n", "s"], "required": ["n", "s"], "additionalProperties": false});
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let parts = json!([{"role": "user", "parts": [{"text": "Hi"}]}]);
    vec![
        (
            "a conversation with a system prompt",
            vec![
                body_of(
                    responses(&json!([
                        {"role": "user", "content": "a\n\"é\""},
                        {"role": "assistant", "content": "b"},
                        {"role": "user", "content": [{"type": "input_text", "text": "c"}, {"type": "input_text", "text": "d"}]},
                    ])),
                    &json!({"instructions": "be brief", "max_output_tokens": 9, "temperature": 0.5, "top_p": 0.25}),
                ),
                anthropic(
                    &json!({"max_tokens": 9, "temperature": 0.5, "top_p": 0.25, "stream": false, "system": "be brief", "messages": [
                        {"role": "user", "content": "a\n\"é\""},
                        {"role": "assistant", "content": [{"type": "text", "text": "b", "citations": null}]},
                        {"role": "user", "content": [{"type": "text", "text": "c", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "d"}]},
                    ]}),
                ),
                gemini(
                    &json!({"systemInstruction": {"parts": [{"text": "be brief"}]}, "generationConfig": {"maxOutputTokens": 9, "temperature": 0.5, "topP": 0.25, "candidateCount": 1}, "contents": [
                        {"role": "user", "parts": [{"text": "a\n\"é\""}]},
                        {"role": "model", "parts": [{"text": "b", "thoughtSignature": "c2VhbA=="}]},
                        {"parts": [{"text": "c"}, {"text": "d"}]},
                    ]}),
                ),
                gemini(
                    &json!({"system_instruction": {"role": "system", "parts": [{"text": "be brief"}]}, "generation_config": {"max_output_tokens": 9, "temperature": 0.5, "top_p": 0.25}, "contents": [
                        {"role": "user", "parts": [{"text": "a\n\"é\""}]},
                        {"role": "model", "parts": [{"text": "b", "thought_signature": "c2VhbA=="}]},
                        {"role": "user", "parts": [{"text": "c"}, {"text": "d"}]},
                    ]}),
                ),
                json!({"id": "a", "system": "be brief", "hyperparameters": {"max_tokens": 9, "temperature": 0.5, "top_p": 0.25}, "messages": [
                    {"role": "user", "content": "a\n\"é\""},
                    {"role": "assistant", "content": "b"},
                    {"role": "user", "content": ["c", "d"]},
                ]}),
            ],
        ),
        (
            "a system prompt of two texts",
            vec![
                body_of(
                    responses(
                        &json!([{"role": "system", "content": "two"}, {"role": "user", "content": "Hi"}]),
                    ),
                    &json!({"instructions": "one", "max_output_tokens": 9}),
                ),
                anthropic(
                    &json!({"max_tokens": 9, "system": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "messages": hi}),
                ),
                gemini(
                    &json!({"systemInstruction": {"parts": [{"text": "one"}, {"text": "two"}]}, "generationConfig": {"maxOutputTokens": 9}, "contents": parts}),
                ),
            ],
        ),
        (
            "tools, a call and its result",
            vec![
                body_of(
                    chat(&json!([
                        {"role": "user", "content": "Weather?"},
                        {"role": "assistant", "content": "Let me see.", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Bonn\"}"}}]},
                        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
                    ])),
                    &json!({"max_tokens": 9, "tools": [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": weather}}], "tool_choice": "required"}),
                ),
                anthropic(
                    &json!({"max_tokens": 9, "tools": [{"name": "weather", "description": "d", "input_schema": weather}], "tool_choice": {"type": "any", "disable_parallel_tool_use": false}, "messages": [
                        {"role": "user", "content": "Weather?"},
                        {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Bonn"}, "caller": {"type": "direct"}}]},
                        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "rain"}], "is_error": false}]},
                    ]}),
                ),
                gemini(
                    &json!({"generationConfig": {"maxOutputTokens": 9}, "tools": [{"functionDeclarations": [{"name": "weather", "description": "d", "parameters": upper}]}], "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}, "contents": [
                        {"role": "user", "parts": [{"text": "Weather?"}]},
                        {"role": "model", "parts": [{"text": "Let me see."}, {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Bonn"}}, "thoughtSignature": "c2VhbA=="}]},
                        {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "weather", "response": {"output": "rain"}}}]},
                    ]}),
                ),
            ],
        ),
        (
            "one tool by name, and a result that is an object",
            vec![
                body_of(
                    chat(&json!([
                        {"role": "user", "content": "Weather?"},
                        {"role": "assistant", "content": null, "tool_calls": [{"id": "weather", "type": "function", "function": {"name": "weather", "arguments": ""}}]},
                        {"role": "tool", "tool_call_id": "weather", "content": "{\"sun\":1}"},
                    ])),
                    &json!({"max_tokens": 9, "tools": [{"type": "function", "function": {"name": "weather", "parameters": weather}}], "tool_choice": {"type": "function", "function": {"name": "weather"}}}),
                ),
                anthropic(
                    &json!({"max_tokens": 9, "tools": [{"type": "custom", "name": "weather", "input_schema": weather}], "tool_choice": {"type": "tool", "name": "weather"}, "messages": [
                        {"role": "user", "content": "Weather?"},
                        {"role": "assistant", "content": [{"type": "tool_use", "id": "weather", "name": "weather", "input": {}}]},
                        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "weather", "content": "{\"sun\":1}"}]},
                    ]}),
                ),
                gemini(
                    &json!({"generation_config": {"max_output_tokens": 9}, "tools": [{"function_declarations": [{"name": "weather", "parameters_json_schema": weather}]}], "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["weather"]}}, "contents": [
                        {"role": "user", "parts": [{"text": "Weather?"}]},
                        {"role": "model", "parts": [{"function_call": {"name": "weather", "args": {}}}]},
                        {"role": "user", "parts": [{"function_response": {"name": "weather", "response": {"sun": 1}}}]},
                    ]}),
                ),
            ],
        ),
        (
            "an image and a document",
            vec![
                body_of(
                    chat(&json!([{"role": "user", "content": [
                        {"type": "text", "text": "What?"},
                        {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}},
                        {"type": "file", "file": {"file_data": format!("data:application/pdf;base64,{PDF}")}},
                    ]}])),
                    &json!({"max_tokens": 9}),
                ),
                anthropic(
                    &json!({"max_tokens": 9, "messages": [{"role": "user", "content": [
                        {"type": "text", "text": "What?"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}, "citations": {"enabled": false}},
                    ]}]}),
                ),
                gemini(
                    &json!({"generationConfig": {"maxOutputTokens": 9}, "contents": [{"role": "user", "parts": [
                        {"text": "What?"},
                        {"inlineData": {"mimeType": "image/png", "data": PNG}},
                        {"inline_data": {"mime_type": "application/pdf", "data": PDF}},
                    ]}]}),
                ),
            ],
        ),
        (
            "an image by its address",
            vec![
                body_of(
                    chat(
                        &json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h.test/a.png", "detail": "auto"}}]}]),
                    ),
                    &json!({"max_tokens": 9}),
                ),
                anthropic(
                    &json!({"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://h.test/a.png"}}]}]}),
                ),
            ],
        ),
        (
            "an answer that fits a schema",
            vec![
                body_of(
                    responses(&json!("Hi")),
                    &json!({"max_output_tokens": 9, "text": {"format": {"type": "json_schema", "name": "response", "schema": answer}}}),
                ),
                anthropic(
                    &json!({"max_tokens": 9, "output_config": {"format": {"type": "json_schema", "schema": answer}}, "messages": hi}),
                ),
                anthropic(
                    &json!({"max_tokens": 9, "output_format": {"type": "json_schema", "schema": answer}, "messages": hi}),
                ),
                gemini(
                    &json!({"generationConfig": {"maxOutputTokens": 9, "responseMimeType": "application/json", "responseJsonSchema": answer}, "contents": parts}),
                ),
                gemini(
                    &json!({"generationConfig": {"maxOutputTokens": 9, "responseMimeType": "application/json", "responseSchema": google_answer}, "contents": parts}),
                ),
            ],
        ),
        (
            "much thinking",
            vec![
                body_of(
                    responses(&json!("Hi")),
                    &json!({"max_output_tokens": 64000, "reasoning": {"effort": "high"}}),
                ),
                anthropic(
                    &json!({"max_tokens": 64000, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}, "messages": hi}),
                ),
                gemini(
                    &json!({"generationConfig": {"maxOutputTokens": 64000, "thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": false}}, "contents": parts}),
                ),
            ],
        ),
        (
            "no thinking",
            vec![
                body_of(
                    responses(&json!("Hi")),
                    &json!({"max_output_tokens": 9, "reasoning": {"effort": "none"}}),
                ),
                anthropic(
                    &json!({"max_tokens": 9, "thinking": {"type": "disabled"}, "messages": hi}),
                ),
                gemini(
                    &json!({"generationConfig": {"maxOutputTokens": 9, "thinkingConfig": {"thinkingBudget": 0}}, "contents": parts}),
                ),
            ],
        ),
        (
            "a budget for thinking",
            vec![
                anthropic(
                    &json!({"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 2048}, "messages": hi}),
                ),
                gemini(
                    &json!({"generationConfig": {"maxOutputTokens": 9000, "thinkingConfig": {"thinkingBudget": 2048}}, "contents": parts}),
                ),
            ],
        ),
        (
            "stop texts",
            vec![
                body_of(chat(&hi), &json!({"max_tokens": 9, "stop": ["END"]})),
                anthropic(&json!({"max_tokens": 9, "stop_sequences": ["END"], "messages": hi})),
                gemini(
                    &json!({"generationConfig": {"maxOutputTokens": 9, "stopSequences": ["END"]}, "contents": parts}),
                ),
            ],
        ),
        (
            "the most likely tokens",
            vec![
                anthropic(&json!({"max_tokens": 9, "top_k": 40, "messages": hi})),
                gemini(
                    &json!({"generationConfig": {"maxOutputTokens": 9, "topK": 40.0}, "contents": parts}),
                ),
            ],
        ),
        (
            "a seed and penalties",
            vec![
                body_of(
                    chat(&hi),
                    &json!({"max_tokens": 9, "seed": 7, "presence_penalty": 0.5, "frequency_penalty": 0.25}),
                ),
                gemini(
                    &json!({"generationConfig": {"maxOutputTokens": 9, "seed": 7, "presencePenalty": 0.5, "frequencyPenalty": 0.25}, "contents": parts}),
                ),
            ],
        ),
        (
            "a tool that failed",
            vec![
                anthropic(&json!({"max_tokens": 9, "messages": [
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "f", "name": "f", "input": {"x": 1}}]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "f", "content": "no", "is_error": true}]},
                ]})),
                gemini(
                    &json!({"generationConfig": {"maxOutputTokens": 9}, "contents": [
                        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"x": 1}}}]},
                        {"role": "function", "parts": [{"functionResponse": {"name": "f", "response": {"error": "no"}}}]},
                    ]}),
                ),
            ],
        ),
        (
            "thoughts of another model",
            vec![
                body_of(
                    responses(&json!([
                        {"role": "user", "content": "Hi"},
                        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "c2VhbA=="},
                        {"role": "assistant", "content": "A"},
                        {"role": "user", "content": "Ho"},
                    ])),
                    &json!({"max_output_tokens": 9}),
                ),
                anthropic(&json!({"max_tokens": 9, "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "c2VhbA=="}, {"type": "redacted_thinking", "data": "c2VhbA=="}, {"type": "text", "text": "A"}]},
                    {"role": "user", "content": "Ho"},
                ]})),
                gemini(
                    &json!({"generationConfig": {"maxOutputTokens": 9}, "contents": [
                        {"role": "user", "parts": [{"text": "Hi"}]},
                        {"role": "model", "parts": [{"text": "hm", "thought": true, "thoughtSignature": "c2VhbA=="}, {"text": "A", "thought": false}, {"text": "", "thoughtSignature": "c2VhbA=="}]},
                        {"role": "user", "parts": [{"text": "Ho"}]},
                    ]}),
                ),
            ],
        ),
    ]
}

#[test]
fn equal_requests_in_all_dialects_are_equal_at_every_provider() {
    for (name, lines) in requests() {
        let mut is_sent = false;
        for model in EVERYWHERE {
            let first = translated(model, &lines[0]);
            is_sent |= first.is_ok();
            for line in &lines[1..] {
                let other = translated(model, line);
                assert_eq!(other, first, "{name} at {model}: {line}\nand {}", lines[0]);
            }
        }
        assert!(is_sent, "{name}: {:?}", translated(ANTHROPIC, &lines[0]));
    }
}

#[test]
fn a_file_of_any_dialect_runs_on_every_provider() {
    let everywhere = [
        "a conversation with a system prompt",
        "a system prompt of two texts",
        "tools, a call and its result",
        "an answer that fits a schema",
        "much thinking",
        "thoughts of another model",
    ];
    let all = requests();
    for (name, lines) in all.iter().filter(|(name, _)| everywhere.contains(name)) {
        for line in lines {
            // Raw lines name the model of their own provider.
            for model in [ANTHROPIC, GOOGLE, INLINE, "openai/m"] {
                if let Err(why) = sent(model, line) {
                    panic!("{name} at {model}: {why}: {line}");
                }
            }
        }
    }
}

#[test]
fn a_line_is_sent_to_its_own_provider_byte_for_byte() {
    let params = r#"{"model":"claude-haiku-4-5","max_tokens": 1,"container":"c","messages":[{"role":"user","content":"\u00e9"}]}"#;
    let request = r#"{"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"OFF"}],"contents":[{"parts":[{"text":"\u00e9"}]}],"tools":[{"googleSearch":{}}]}"#;
    let named = r#"{"model":"models/gemini-2.5-flash","contents":[]}"#;
    for (model, line, body) in [
        (
            ANTHROPIC,
            format!(r#"{{"custom_id":"a","params":{params}}}"#),
            params,
        ),
        (
            GOOGLE,
            format!(r#"{{"key":"a","request":{request}}}"#),
            request,
        ),
        (
            INLINE,
            format!(r#"{{"key":"a","request":{request},"metadata":7}}"#),
            request,
        ),
        (GOOGLE, format!(r#"{{"key":"a","request":{named}}}"#), named),
    ] {
        let endpoints = match model {
            ANTHROPIC => &["/v1/messages"][..],
            _ => &["generateContent"],
        };
        let sent = sent_with(endpoints, model, &line).unwrap();
        assert!(sent.contains(body), "{line}: {sent}");
    }
    for (model, line, why) in [
        (
            ANTHROPIC,
            anthropic(&json!({"messages": []}))
                .to_string()
                .replace("haiku", "opus"),
            "params.model is \"claude-opus-4-5\", but the run's model is \"claude-haiku-4-5\"",
        ),
        (
            ANTHROPIC,
            r#"{"custom_id":"a","params":{"messages":[]}}"#.to_owned(),
            "params names no model",
        ),
        (
            GOOGLE,
            gemini(&json!({"model": "models/gemini-2.0-flash", "contents": []})).to_string(),
            "request.model is \"models/gemini-2.0-flash\", but the run's model is \"gemini-2.5-flash\"",
        ),
    ] {
        let endpoints = match model {
            ANTHROPIC => &["/v1/messages"][..],
            _ => &["generateContent"],
        };
        assert_eq!(
            sent_with(endpoints, model, &line).unwrap_err(),
            why,
            "{line}"
        );
    }
}

#[test]
fn lines_of_every_dialect_fit_the_published_schema() {
    let schema: Value = serde_json::from_str(INPUT_SCHEMA).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for (name, lines) in requests() {
        for line in lines {
            assert!(schema.is_valid(&line), "{name}: {line}");
        }
    }
    let output: Value = serde_json::from_str(OUTPUT_SCHEMA).unwrap();
    jsonschema::validator_for(&output).unwrap();
}
