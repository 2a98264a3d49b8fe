use super::*;

#[test]
fn options_of_the_input_are_refused_for_a_line_that_is_sent_unchanged() {
    let options = |json: &str| match json {
        "schema" => GenerateOptions {
            schema: Some(ResponseSchema::new(&Value::Bool(true))),
            ..GenerateOptions::default()
        },
        json => serde_json::from_str(json).unwrap(),
    };
    for (json, named) in [
        (r#"{"system":"s"}"#, "system"),
        ("schema", "schema"),
        (r#"{"thinking":{"effort":"low"}}"#, "effort"),
        (r#"{"thinking":{"budget_tokens":5}}"#, "budget_tokens"),
        (
            r#"{"hyperparameters":{"max_output_tokens":5}}"#,
            "max_tokens",
        ),
        (
            r#"{"hyperparameters":{"temperature":0.5,"top_p":0.5,"extra":{"zip":1}}}"#,
            "temperature, top_p, zip",
        ),
    ] {
        for (endpoint, line, start, end) in [
            (
                "/v1/responses",
                r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":{"model":"m","input":"x"}}"#,
                "this is an OpenAI batch line, which is sent as it is, so that ",
                " into body",
            ),
            (
                "/v1/messages",
                r#"{"custom_id":"c","params":{"model":"m","max_tokens":5,"messages":[]}}"#,
                "this is an Anthropic batch line, which is sent as it is, so that ",
                " into params",
            ),
            (
                "generateContent",
                r#"{"key":"k","request":{"contents":[]}}"#,
                "this is a Gemini batch line, which is sent as it is, so that ",
                " into request",
            ),
        ] {
            let endpoints: &'static [&'static str] = Box::leak(Box::new([endpoint]));
            let context = InputContext::new("acme", "m").with_raw_endpoints(endpoints);
            let reason = |context: &InputContext| {
                let mut found = None;
                read(line, 7, context, &mut Outline::new(), &mut |sourced| {
                    found = sourced
                        .entry
                        .err()
                        .and_then(|error| error.message().map(str::to_owned));
                });
                found
            };
            assert_eq!(reason(&context), None, "{line}");
            let said = reason(&context.clone().with_options(options(json))).unwrap();
            assert!(
                said.starts_with(&format!("{start}{named} of the whole input"))
                    && said.ends_with(end),
                "{said}"
            );
        }
    }
}

fn check(text: &str) -> String {
    let context = InputContext::new("acme", "m").with_raw_endpoints(&["/v1/responses"]);
    let mut found = String::new();
    read(text, 7, &context, &mut Outline::new(), &mut |sourced| {
        found = match sourced.entry {
            Err(error) => error.message().unwrap_or_default().to_owned(),
            Ok(entry) => {
                let kind = match &entry.request {
                    RequestView::Generate(g) => format!(
                        "{} messages, {} tools, {:?} tokens",
                        g.messages.len(),
                        g.tools.len(),
                        g.hyperparameters.max_output_tokens
                    ),
                    RequestView::Raw(raw) => format!("raw {}", raw.body.as_str()),
                    _ => "other".to_owned(),
                };
                format!("{}: {kind}", entry.id.decode())
            }
        };
    });
    found
}

#[test]
fn the_fields_of_a_line_are_listed_in_their_order() {
    let error = serde_json::from_str::<Line<'_>>(r#"{"?":1}"#)
        .err()
        .unwrap();
    let message = error.to_string();
    let known = message.split('`').skip(3).step_by(2);
    assert_eq!(known.collect::<Vec<_>>(), LINE_FIELDS);
}

#[test]
fn the_form_of_a_provider_is_refused_with_the_form_of_lmbatch() {
    for (line, expected) in [
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}]}"#,
            r#"messages[0].content[0]: "image_url" is of OpenAI's form; write {"type": "image", "url": "https://…"}"#,
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"u"}}]}]}"#,
            r#"messages[0].content[0]: "source" is of Anthropic's form; write "url", "data" with"#,
        ),
        (
            r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"n","input":{}}]}]}"#,
            r#"messages[0].content[0]: "tool_use" is of Anthropic's form; write a part {"type": "tool_call""#,
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"x"}]}]}"#,
            r#"messages[0].content[0]: "tool_use_id" is of Anthropic's form; write {"type": "tool_result""#,
        ),
        (
            r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[]}]}"#,
            r#"messages[1]: "tool_calls" is of OpenAI's form; write a part {"type": "tool_call""#,
        ),
        (
            r#"{"messages":[{"role":"user","parts":[{"text":"x"}]}]}"#,
            r#"messages[0]: "parts" is of Gemini's form; write "content": ["…"]"#,
        ),
        (
            r#"{"contents":[{"role":"user","parts":[{"text":"x"}]}]}"#,
            r#"contents[0]: "parts" is of Gemini's form; write "messages": [{"role": "user""#,
        ),
        (
            r#"{"contents":[{"text":"x"}]}"#,
            r#"contents[0]: "text" is of Gemini's form; write {"type": "text", "text": "…"}"#,
        ),
        (
            r#"{"messages":[{"role":"model","content":"x"}]}"#,
            r#"messages[0].role: "model" is of Gemini's form; write "role": "assistant""#,
        ),
        (
            r#"{"prompt":"x","tools":[{"type":"function","function":{"name":"t","parameters":{}}}]}"#,
            r#"tools: "function" is of OpenAI's form; write {"name": "…", "description": "…", "parameters": {…}}"#,
        ),
        (
            r#"{"prompt":"x","tools":[{"type":"function","name":"t","parameters":{}}]}"#,
            r#"tools: "type" is of OpenAI's form; write {"name""#,
        ),
        (
            r#"{"prompt":"x","tools":[{"name":"t","input_schema":{}}]}"#,
            r#"tools: "input_schema" is of Anthropic's form; write {"name""#,
        ),
        (
            r#"{"prompt":"x","tool_choice":{"type":"function","function":{"name":"t"}}}"#,
            r#"tool_choice: "function" is of OpenAI's form; write "auto", "none", "required" or {"tool": "NAME"}"#,
        ),
    ] {
        let said = check(line);
        assert!(said.starts_with(expected), "{line}: {said}");
        assert!(said.contains("batch files"), "{said}");
    }
}

#[test]
fn a_line_is_a_request_or_is_refused_with_a_reason() {
    for (line, expected) in [
        (r#"{"prompt":"hi"}"#, "7: 1 messages, 0 tools, None tokens"),
        (
            r#"{"id":"a/ü","prompt":"hi"}"#,
            "a/ü: 1 messages, 0 tools, None tokens",
        ),
        (
            r#"{"id":12,"contents":["a",{"type":"text","text":"b"}]}"#,
            "12: 1 messages, 0 tools, None tokens",
        ),
        (
            r#"{"id":1,"messages":[{"role":"system","content":"s"},{"role":"user","contents":["u"]}],"hyperparameters":{"max_tokens":5}}"#,
            "1: 2 messages, 0 tools, Some(5) tokens",
        ),
        (
            r#"{"id":1,"prompt":"x","tools":[{"name":"t","parameters":{}}],"tool_choice":{"tool":"t"}}"#,
            "1: 1 messages, 1 tools, None tokens",
        ),
        (
            r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":{"model":"m",  "input":"x"}}"#,
            r#"c: raw {"model":"m",  "input":"x"}"#,
        ),
        (
            r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":{"model":"n"}}"#,
            "body.model is \"n\", but the run's model is \"m\"",
        ),
        (
            r#"{"custom_id":"c","method":"GET","url":"/v1/responses","body":{"model":"m"}}"#,
            "method must be POST",
        ),
        (
            r#"{"custom_id":"c","method":"POST","url":"/v1/x","body":{"model":"m"}}"#,
            "url: a body of /v1/x cannot be translated for acme; one of /v1/responses or /v1/chat/completions can",
        ),
        (
            r#"{"custom_id":"c","method":"POST","url":"/v1/chat/completions","body":{"model":"n","messages":[{"role":"user","content":"x"}],"max_tokens":7}}"#,
            "c: 1 messages, 0 tools, Some(7) tokens",
        ),
        (
            r#"{"custom_id":"c","body":{}}"#,
            "an OpenAI batch line has custom_id, method, url and body",
        ),
        (r#"{"id":"","prompt":"x"}"#, "the id is empty"),
        (
            r#"{"id":true,"prompt":"x"}"#,
            "the id is neither a string nor a number",
        ),
        (r#"{"id":1,"prompt":null}"#, "\"prompt\" is null"),
        (
            r#"{"id":1}"#,
            "missing \"prompt\", \"contents\" or \"messages\"",
        ),
        (
            r#"{"id":1,"prompt":"x","messages":[]}"#,
            "only one of \"prompt\", \"contents\" and \"messages\" may be set",
        ),
        (r#"{"id":1,"messages":[]}"#, "messages is empty"),
        (r#"{"id":1,"contents":[]}"#, "contents is empty"),
        (
            r#"{"id":1,"prompt":"\ud800"}"#,
            "holds a lone surrogate escape (half a character), at column 26",
        ),
        (
            r#"{"id":"a","custom_id":"b","prompt":"x"}"#,
            "id and custom_id differ; a request has one of them",
        ),
        (
            r#"{"id":"a","custom_id":"\u0061","prompt":"x"}"#,
            "a: 1 messages, 0 tools, None tokens",
        ),
        (
            r#"{"id":1,"prompt":"x","hyperparameters":{"seed":1,"seed":2}}"#,
            "hyperparameters: the member \"seed\" stands twice",
        ),
        (
            r#"{"id":1,"prompt":"x","hyperparameters":{"own":{"a":1,"a":2}}}"#,
            "hyperparameters: the member \"a\" stands twice",
        ),
        (
            r#"{"id":1,"prompt":"x","hyperparameters":{"max_tokens":5,"max_completion_tokens":7}}"#,
            "hyperparameters has both max_tokens and max_completion_tokens; keep one of them",
        ),
        (
            r#"{"id":1,"prompt":"x","hyperparameters":[]}"#,
            "hyperparameters is not an object",
        ),
        (
            r#"{"id":1,"prompt":"x","schema":{"const":123456789012345678901234567891}}"#,
            "schema: the number 123456789012345678901234567891 cannot be passed on exactly; write it as a string or with fewer digits",
        ),
        (
            r#"{"id":1,"prompt":"x","tools":[{"name":"t","parameters":{"a":1e-400}}]}"#,
            "tools: the number 1e-400 cannot be passed on exactly; write it as a string or with fewer digits",
        ),
        (
            r#"{"id":1,"prompt":"x","tools":[{"name":"t","parameters":{"a":1,"a":2}}]}"#,
            "tools: the member \"a\" stands twice",
        ),
        (
            r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":{"model":"m","model":"m","input":"x"}}"#,
            "the body names its model twice",
        ),
        (
            r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":{"input":"x"}}"#,
            "the body names no model",
        ),
        (
            r#"{"custom_id":"c","method":"POST","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"x"}],"max_tokens":5,"max_completion_tokens":7}}"#,
            "body has both max_tokens and max_completion_tokens; keep one of them",
        ),
        (r#"[1]"#, "the line is not a JSON object"),
        (
            r#"{"id":1,"messages":[{"role":"tool","content":"x"}]}"#,
            r#"messages[0].role: "tool" is of OpenAI's form; write a part {"type": "tool_result", "id": "…", "output": "…"} of a user message, or give the request as a line of OpenAI's batch files"#,
        ),
        (
            r#"{"id":1,"prompt":"x","tool_choice":"some"}"#,
            "tool_choice: unknown value `some`, expected one of `auto`, `none`, `required`, `tool`",
        ),
        (
            r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":[]}"#,
            "the body is not a JSON object",
        ),
        (
            r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":{"model":7}}"#,
            "the model of the body is not a string",
        ),
        (
            r#"{"id":1,"contents":[{"type":"image","path":"a.png"}]}"#,
            NO_FOLDER,
        ),
        (
            r#"{"id":1,"contents":[{"type":"image","url":"data:image/photo;base64,AAAA"}]}"#,
            "contents[0]: the data URL is of \"image/photo\", which is not a supported media type",
        ),
        (
            r#"{"id":1,"contents":[{"type":"smell"}]}"#,
            "contents[0]: there is no type \"smell\"; there is text, image, document, audio, video, tool_call, tool_result, thinking",
        ),
        (
            r#"{"id":1,"contents":[{"type":"image"}]}"#,
            "contents[0]: an image has exactly one of path, url, data, file_id",
        ),
        (
            r#"{"id":1,"contents":[{"type":"image","data":"%%","mime_type":"image/png"}]}"#,
            "contents[0]: the data is not valid base64",
        ),
        (
            r#"{"id":1,"promt":"x"}"#,
            "unknown field \"promt\", at column 15; did you mean \"prompt\"?",
        ),
        (
            r#"{"id":1,"zip":"x"}"#,
            "unknown field \"zip\", at column 13",
        ),
        (
            r#"{"id":1,"prompt":"x","top_p":0.5}"#,
            "unknown field \"top_p\", at column 28; write \"hyperparameters\": {\"top_p\": …}",
        ),
        (
            r#"{"id":1,"messages":[{"role":"user","contnt":"x"}]}"#,
            "unknown field \"contnt\"; did you mean \"content\"?, at column 43",
        ),
        (r#"{"id":1,"prompt":""}"#, "the prompt is empty"),
        (
            r#"{"id":1,"prompt":" \n\t","system":"s"}"#,
            "the prompt is empty",
        ),
        (
            r#"{"id":1,"contents":["",{"type":"text","text":" "}]}"#,
            "the prompt is empty",
        ),
        (
            r#"{"id":1,"messages":[{"role":"system","content":"s"},{"role":"user","content":""}]}"#,
            "the messages are empty",
        ),
        (
            r#"{"custom_id":"c","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":""}]}}"#,
            "the prompt is empty",
        ),
    ] {
        assert_eq!(check(line), expected, "{line}");
    }
}
