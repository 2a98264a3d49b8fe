//! Batch lines that are refused, each with the name of the member that is at fault.

use super::dialects::{anthropic, gemini};
use super::*;

/// Returns the reason for which a line cannot be sent to any provider but its own.
fn reason(line: &Value) -> String {
    translated("chat@openai/m", line).unwrap_err()
}

#[test]
fn members_without_a_translation_from_anthropic_are_refused_by_name() {
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let asked = |more: Value| {
        let mut params = json!({"max_tokens": 9, "messages": hi});
        for (name, value) in more.as_object().unwrap() {
            params[name] = value.clone();
        }
        params
    };
    let said = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    for (params, why) in [
        (json!({"max_tokens": 9}), "params.messages is missing"),
        (
            asked(json!({"container": "c"})),
            "params.container cannot be translated for openai",
        ),
        (
            asked(json!({"promt": null, "promts": 1})),
            "params.promts cannot be translated for openai",
        ),
        (
            asked(json!({"metadata": {"user_id": "u"}})),
            "params.metadata cannot be translated for openai",
        ),
        (
            asked(json!({"mcp_servers": [{"name": "n"}]})),
            "params.mcp_servers cannot be translated for openai",
        ),
        (
            asked(json!({"stream": true})),
            "params.stream cannot be translated for openai",
        ),
        (
            asked(json!({"service_tier": "standard_only"})),
            "params.service_tier cannot be translated for openai",
        ),
        (
            asked(json!({"max_tokens": "9"})),
            "params.max_tokens: invalid type: string \"9\", expected a whole number from 0 to 4294967295",
        ),
        (
            asked(json!({"tools": [{"type": "web_search_20260318", "name": "web_search"}]})),
            "params.tools[0]: only tools of the caller's own can be translated",
        ),
        (
            asked(json!({"tools": [{"name": "f", "input_schema": {}, "defer_loading": true}]})),
            "params.tools[0].defer_loading cannot be translated",
        ),
        (
            asked(json!({"tools": [{"name": "f"}]})),
            "params.tools[0].input_schema is missing",
        ),
        (
            asked(json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}})),
            "params.tool_choice.disable_parallel_tool_use cannot be translated",
        ),
        (
            asked(json!({"tool_choice": {"type": "some"}})),
            "params.tool_choice: some cannot be translated",
        ),
        (
            asked(json!({"thinking": {"type": "adaptive"}})),
            "params.thinking: adaptive can be translated only with output_config.effort",
        ),
        (
            asked(json!({"thinking": {"type": "adaptive", "display": "omitted"}})),
            "params.thinking.display cannot be translated",
        ),
        (
            asked(json!({"thinking": {"type": "enabled"}})),
            "params.thinking.budget_tokens is missing",
        ),
        (
            asked(json!({"thinking": {"type": "between_tools"}})),
            "params.thinking: between_tools cannot be translated",
        ),
        (
            asked(json!({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}})),
            "params.output_config.effort can be translated only with adaptive thinking",
        ),
        (
            asked(json!({"output_config": {"effort": "huge"}})),
            "params.output_config.effort: ",
        ),
        (
            asked(json!({"output_config": {"task_budget": 1}})),
            "params.output_config.task_budget cannot be translated",
        ),
        (
            asked(json!({"output_format": {"type": "text"}})),
            "params.output_format: text cannot be translated",
        ),
        (
            json!({"system": [{"type": "image"}], "messages": hi}),
            "params.system[0].source is missing",
        ),
        (
            json!({"messages": [{"role": "tool", "content": "x"}]}),
            "params.messages[0].role cannot be translated",
        ),
        (
            json!({"messages": [{"role": "user"}]}),
            "params.messages[0].content is missing",
        ),
        (
            json!({"messages": [{"role": "user", "content": "x", "name": "n"}]}),
            "params.messages[0].name cannot be translated",
        ),
        (
            said(json!([{"type": "text", "text": "x", "citations": [{"type": "char_location"}]}])),
            "params.messages[0].content[0].citations cannot be translated",
        ),
        (
            said(json!([{"type": "search_result", "source": "s"}])),
            "params.messages[0].content[0]: search_result cannot be translated",
        ),
        (
            said(json!([{"type": "server_tool_use", "id": "i"}])),
            "params.messages[0].content[0]: server_tool_use cannot be translated",
        ),
        (
            said(json!([{"type": "image", "source": {"type": "file", "file_id": "f"}}])),
            "params.messages[0].content[0].source.file_id: a file at Anthropic cannot be reached by another provider",
        ),
        (
            said(
                json!([{"type": "image", "source": {"type": "url", "url": "https://h.test/a"}, "transformations": {"oversized_image": "downsize"}}]),
            ),
            "params.messages[0].content[0].transformations cannot be translated",
        ),
        (
            said(
                json!([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "%"}}]),
            ),
            "params.messages[0].content[0].source.data: the data is not valid base64",
        ),
        (
            said(json!([{"type": "document", "source": {"type": "content", "content": "x"}}])),
            "params.messages[0].content[0].source: content cannot be translated",
        ),
        (
            said(
                json!([{"type": "document", "context": "c", "source": {"type": "text", "data": "x"}}]),
            ),
            "params.messages[0].content[0].context cannot be translated",
        ),
        (
            said(
                json!([{"type": "document", "citations": {"enabled": true}, "source": {"type": "text", "data": "x"}}]),
            ),
            "params.messages[0].content[0].citations cannot be translated",
        ),
        (
            said(
                json!([{"type": "tool_use", "id": "i", "name": "n", "input": {}, "caller": {"type": "code_execution"}}]),
            ),
            "params.messages[0].content[0].caller.type cannot be translated",
        ),
        (
            said(
                json!([{"type": "tool_result", "tool_use_id": "i", "content": [{"type": "search_result"}]}]),
            ),
            "params.messages[0].content[0].content[0]: search_result cannot be translated; text, images and documents can",
        ),
        (
            said(
                json!([{"type": "tool_result", "tool_use_id": "i", "content": [{"type": "text", "text": "x", "more": 1}]}]),
            ),
            "params.messages[0].content[0].content[0].more cannot be translated",
        ),
    ] {
        let found = reason(&anthropic(&params));
        assert!(found.starts_with(why), "{params}: {found}");
    }
}

#[test]
fn members_without_a_translation_from_gemini_are_refused_by_name() {
    let parts = json!([{"role": "user", "parts": [{"text": "Hi"}]}]);
    let asked = |more: Value| {
        let mut request = json!({"contents": parts});
        for (name, value) in more.as_object().unwrap() {
            request[name] = value.clone();
        }
        request
    };
    let set = |config: Value| asked(json!({"generationConfig": config}));
    let said = |part: Value| json!({"contents": [{"role": "user", "parts": [part]}]});
    for (request, why) in [
        (json!({}), "request.contents is missing"),
        (
            asked(json!({"safety_settings": [{}]})),
            "request.safetySettings cannot be translated for openai",
        ),
        (
            asked(json!({"cachedContent": "cachedContents/1"})),
            "request.cachedContent cannot be translated for openai",
        ),
        (
            asked(json!({"tools": [{"googleSearch": {}}]})),
            "request.tools[0].googleSearch: only functions can be translated",
        ),
        (
            asked(
                json!({"tools": [{"functionDeclarations": [{"name": "f", "behavior": "BLOCKING"}]}]}),
            ),
            "request.tools[0].functionDeclarations[0].behavior cannot be translated",
        ),
        (
            asked(
                json!({"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "oneOf": []}}]}]}),
            ),
            "request.tools[0].functionDeclarations[0].parameters.oneOf cannot be translated",
        ),
        (
            asked(json!({"toolConfig": {"retrievalConfig": {"languageCode": "de"}}})),
            "request.toolConfig.retrievalConfig cannot be translated",
        ),
        (
            asked(
                json!({"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["a", "b"]}}}),
            ),
            "request.toolConfig.functionCallingConfig.allowedFunctionNames cannot be translated",
        ),
        (
            asked(json!({"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}})),
            "request.toolConfig.functionCallingConfig.mode cannot be translated",
        ),
        (
            asked(
                json!({"systemInstruction": {"parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}]}}),
            ),
            "request.systemInstruction holds content other than text",
        ),
        (
            asked(
                json!({"systemInstruction": {"parts": [{"text": "a"}]}, "system_instruction": {"parts": [{"text": "a"}]}}),
            ),
            "request has both system_instruction and systemInstruction; keep one of them",
        ),
        (
            set(json!({"temperature": "hot"})),
            "request.generationConfig.temperature: invalid type",
        ),
        (
            set(json!({"topK": 0.5})),
            "request.generationConfig.topK is not a whole number",
        ),
        (
            set(json!({"candidateCount": 2})),
            "request.generationConfig.candidateCount cannot be translated",
        ),
        (
            set(json!({"responseModalities": ["IMAGE"]})),
            "request.generationConfig.responseModalities cannot be translated",
        ),
        (
            set(json!({"responseLogprobs": true})),
            "request.generationConfig.responseLogprobs cannot be translated",
        ),
        (
            set(json!({"logprobs": 3})),
            "request.generationConfig.logprobs cannot be translated",
        ),
        (
            set(json!({"speechConfig": {}})),
            "request.generationConfig.speechConfig cannot be translated",
        ),
        (
            set(json!({"responseMimeType": "application/json"})),
            "request.generationConfig.responseMimeType cannot be translated",
        ),
        (
            set(json!({"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING"}})),
            "request.generationConfig.responseMimeType cannot be translated",
        ),
        (
            set(json!({"responseSchema": {"type": "THING"}})),
            "request.generationConfig.responseSchema.type cannot be translated",
        ),
        (
            set(
                json!({"responseSchema": {"type": "STRING"}, "responseJsonSchema": {"type": "string"}}),
            ),
            "request.generationConfig has both responseSchema and responseJsonSchema; keep one of them",
        ),
        (
            set(json!({"thinkingConfig": {"thinkingBudget": -1}})),
            "request.generationConfig.thinkingConfig.thinkingBudget cannot be translated",
        ),
        (
            set(json!({"thinkingConfig": {"includeThoughts": true}})),
            "request.generationConfig.thinkingConfig.includeThoughts cannot be translated",
        ),
        (
            set(json!({"thinkingConfig": {"thinkingLevel": "SOME"}})),
            "request.generationConfig.thinkingConfig.thinkingLevel cannot be translated",
        ),
        (
            json!({"contents": [{"role": "system", "parts": [{"text": "x"}]}]}),
            "request.contents[0].role cannot be translated",
        ),
        (
            json!({"contents": [{"role": "user"}]}),
            "request.contents[0].parts is missing",
        ),
        (
            said(json!({"text": "x", "videoMetadata": {}})),
            "request.contents[0].parts[0].videoMetadata cannot be translated",
        ),
        (
            said(json!({"text": "x", "inlineData": {"mimeType": "image/png", "data": PNG}})),
            "request.contents[0].parts[0].inlineData cannot be combined with other content",
        ),
        (
            said(json!({"executableCode": {"code": "1"}})),
            "request.contents[0].parts[0].executableCode cannot be translated",
        ),
        (
            said(json!({"inlineData": {"data": PNG}})),
            "request.contents[0].parts[0].inlineData.mimeType is missing",
        ),
        (
            said(
                json!({"fileData": {"mimeType": "image/png", "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/1"}}),
            ),
            "request.contents[0].parts[0].fileData.fileUri: a file at Google cannot be reached by another provider",
        ),
        (
            said(json!({"fileData": {"mimeType": "image/png", "fileUri": "gs://b/o"}})),
            "request.contents[0].parts[0].fileData.fileUri: a file at Google cannot be reached by another provider",
        ),
        (
            said(json!({"functionCall": {"name": "f", "willContinue": true}})),
            "request.contents[0].parts[0].functionCall.willContinue cannot be translated",
        ),
        (
            said(json!({"functionResponse": {"name": "f", "scheduling": "SILENT"}})),
            "request.contents[0].parts[0].functionResponse.scheduling cannot be translated",
        ),
        (
            said(json!({"functionResponse": {"name": "f", "parts": [{"text": "x"}]}})),
            "request.contents[0].parts[0].functionResponse.parts[0] cannot be translated",
        ),
    ] {
        let found = reason(&gemini(&request));
        assert!(found.starts_with(why), "{request}: {found}");
    }
}

#[test]
fn no_member_of_a_wrong_type_or_without_a_translation_is_dropped() {
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let of_responses = |name: &str, value: Value| {
        let mut line = responses(&json!("Hi"));
        line["body"][name] = value;
        line
    };
    let of_chat = |name: &str, value: Value| {
        let mut line = chat(&hi);
        line["body"][name] = value;
        line
    };
    let of_params = |name: &str, value: Value| {
        let mut params = json!({"max_tokens": 9, "messages": hi});
        params[name] = value;
        anthropic(&params)
    };
    let of_request = |name: &str, value: Value| {
        let mut request = json!({"contents": [{"parts": [{"text": "Hi"}]}]});
        request[name] = value;
        gemini(&request)
    };
    for (line, why) in [
        (
            of_responses("text", json!({"format": {"name": "n", "schema": {}}})),
            "body.text.format.type is missing",
        ),
        (
            of_responses("text", json!("json")),
            "body.text is not a JSON object",
        ),
        (
            of_responses(
                "text",
                json!({"format": {"type": "json_schema", "schema": {}, "foo": 1}}),
            ),
            "body.text.format.foo cannot be translated",
        ),
        (
            of_responses(
                "text",
                json!({"format": {"type": "json_schema", "schema": {}, "description": "d"}}),
            ),
            "body.text.format.description cannot be translated",
        ),
        (
            of_responses(
                "text",
                json!({"format": {"type": "json_schema", "schema": {}, "strict": "yes"}}),
            ),
            "body.text.format.strict is not a boolean",
        ),
        (
            of_responses("reasoning", json!("high")),
            "body.reasoning is not a JSON object",
        ),
        (
            of_responses("reasoning", json!({"effort": 5})),
            "body.reasoning.effort is not a string",
        ),
        (
            of_chat(
                "response_format",
                json!({"type": "text", "json_schema": {"schema": {}}}),
            ),
            "body.response_format.json_schema cannot be translated",
        ),
        (
            of_chat(
                "response_format",
                json!({"type": "json_schema", "json_schema": {"schema": {}, "foo": 1}}),
            ),
            "body.response_format.json_schema.foo cannot be translated",
        ),
        (
            of_chat(
                "tools",
                json!([{"type": "function", "function": {"name": "f"}, "zip": 3}]),
            ),
            "body.tools[0].zip cannot be translated",
        ),
        (
            of_responses(
                "tools",
                json!([{"type": "function", "name": "f", "description": 5}]),
            ),
            "body.tools[0].description is not a string",
        ),
        (
            of_responses(
                "tools",
                json!([{"type": "function", "name": "f", "strict": "yes"}]),
            ),
            "body.tools[0].strict is not a boolean",
        ),
        (
            of_responses(
                "tool_choice",
                json!({"type": "mcp", "server_label": "s", "name": "f"}),
            ),
            "body.tool_choice: mcp cannot be translated",
        ),
        (
            of_responses("tool_choice", json!({"type": "custom", "name": "f"})),
            "body.tool_choice: custom cannot be translated",
        ),
        (
            of_responses(
                "tool_choice",
                json!({"type": "function", "name": "f", "more": 1}),
            ),
            "body.tool_choice.more cannot be translated",
        ),
        (
            of_params("output_config", json!("x")),
            "params.output_config is not a JSON object",
        ),
        (
            of_params("thinking", json!("on")),
            "params.thinking is not a JSON object",
        ),
        (
            of_params(
                "thinking",
                json!({"type": "disabled", "budget_tokens": "2000"}),
            ),
            "params.thinking.budget_tokens cannot be translated",
        ),
        (
            of_params(
                "tool_choice",
                json!({"type": "auto", "disable_parallel_tool_use": "true"}),
            ),
            "params.tool_choice.disable_parallel_tool_use is not a boolean",
        ),
        (
            of_params(
                "tools",
                json!([{"name": "f", "input_schema": {}, "description": 7}]),
            ),
            "params.tools[0].description is not a string",
        ),
        (
            of_params(
                "tools",
                json!([{"name": "f", "input_schema": {}, "strict": "yes"}]),
            ),
            "params.tools[0].strict is not a boolean",
        ),
        (
            anthropic(
                &json!({"messages": hi, "output_format": {"type": "json_schema", "schema": {}}, "output_config": {"format": {"type": "json_schema", "schema": {}}}}),
            ),
            "params has both output_format and output_config.format; keep one of them",
        ),
        (
            of_request("generationConfig", json!({"temperature": []})),
            "request.generationConfig.temperature: invalid type: sequence, expected a number",
        ),
        (
            of_request("generationConfig", json!({"maxOutputTokens": -1})),
            "request.generationConfig.maxOutputTokens: invalid value: integer `-1`, expected a whole number from 0 to 4294967295",
        ),
        (
            of_request(
                "generationConfig",
                json!({"responseSchema": {"type": "OBJECT", "propertyOrdering": [1]}}),
            ),
            "request.generationConfig.responseSchema.propertyOrdering holds more than strings",
        ),
    ] {
        assert_eq!(reason(&line), why, "{line}");
    }
    let twice = r#"{"custom_id":"a","params":{"max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"i","name":"f","input":{"a":1,"a":2}}]}]}}"#;
    assert_eq!(
        sent_with(&[], OPENAI, twice),
        Err("params: the member \"a\" stands twice".to_owned())
    );
    let title = json!([{"role": "user", "content": [{"type": "document", "title": "Contract 7", "source": {"type": "text", "data": "x"}}]}]);
    assert_eq!(
        translated(
            GOOGLE,
            &anthropic(&json!({"max_tokens": 9, "messages": title}))
        ),
        Err(
            "params.messages[0].content: the title of a document cannot be translated for google"
                .to_owned()
        )
    );
}

#[test]
fn a_default_says_the_same_as_its_absence() {
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let parts = json!([{"parts": [{"text": "Hi"}]}]);
    for (plain, member, defaults) in [
        (
            chat(&hi),
            "body",
            json!({"service_tier": "auto", "n": 1.0, "logprobs": false, "parallel_tool_calls": true, "metadata": {}, "logit_bias": {}, "modalities": ["text"]}),
        ),
        (
            responses(&json!("Hi")),
            "body",
            json!({"service_tier": "auto", "parallel_tool_calls": true, "truncation": "disabled", "include": [], "metadata": {}}),
        ),
        (
            anthropic(&json!({"max_tokens": 9, "messages": hi})),
            "params",
            json!({"service_tier": "auto", "mcp_servers": [], "stop_sequences": []}),
        ),
        (
            gemini(&json!({"contents": parts})),
            "request",
            json!({"safety_settings": []}),
        ),
    ] {
        for (name, value) in defaults.as_object().unwrap() {
            let mut line = plain.clone();
            line[member][name] = value.clone();
            assert_eq!(
                translated(OPENAI, &line),
                translated(OPENAI, &plain),
                "{line}"
            );
            line[member][name] = json!({"other": 7});
            assert!(
                reason(&line).contains(name.split('_').next().unwrap()),
                "{line}"
            );
        }
    }
}

#[test]
fn an_incomplete_batch_line_is_refused_with_its_required_members() {
    let params = json!({"model": "m", "messages": []});
    for (line, why) in [
        (
            json!({"params": params}),
            "an Anthropic batch line has custom_id and params",
        ),
        (
            json!({"id": "a", "params": params}),
            "an Anthropic batch line has custom_id and params",
        ),
        (
            json!({"key": "a"}),
            "a Gemini batch line has key and request",
        ),
        (
            json!({"request": {}}),
            "a Gemini batch line has key and request",
        ),
        (
            json!({"key": "a", "prompt": "x"}),
            "a Gemini batch line has key and request",
        ),
        (
            json!({"custom_id": "a", "body": {}}),
            "an OpenAI batch line has custom_id, method, url and body",
        ),
        (
            json!({"custom_id": "a", "params": params, "body": {}}),
            "the line has members of OpenAI and of Anthropic batch lines; keep those of one",
        ),
        (
            json!({"custom_id": "a", "key": "a", "params": params, "request": {}}),
            "the line has members of Anthropic and of Gemini batch lines; keep those of one",
        ),
        (
            json!({"custom_id": "a", "params": params, "system": "s"}),
            "system is outside params; put it into params",
        ),
        (
            json!({"key": "a", "request": {}, "schema": {}}),
            "schema is outside request; put it into request",
        ),
        (
            json!({"custom_id": "a", "key": "b", "request": {}}),
            "custom_id and key differ; a request has one of them",
        ),
        (json!({"key": "", "request": {}}), "the id is empty"),
        (
            json!({"custom_id": "a", "params": []}),
            "params is not a JSON object",
        ),
        (
            json!({"key": "a", "request": 7}),
            "request is not a JSON object",
        ),
    ] {
        assert_eq!(reason(&line), why, "{line}");
    }
}
