//! Reports about images, documents and their media types.

use super::*;

#[test]
fn image_jpg() {
    let picture = |url: &str| {
        chat(
            &json!([{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": url}}]}]),
        )
    };
    for (url, anthropic, google) in [
        (
            format!("data:image/jpg;base64,{JPEG}"),
            "\"image/jpeg\"",
            "\"image/jpeg\"",
        ),
        (
            format!("data:IMAGE/PJPEG;base64,{JPEG}"),
            "\"image/jpeg\"",
            "\"image/jpeg\"",
        ),
        (
            format!("data:image/x-png;base64,{PNG}"),
            "\"image/png\"",
            "\"image/png\"",
        ),
        (
            format!("data:;base64,{PNG}"),
            "\"image/png\"",
            "\"image/png\"",
        ),
        (
            format!("data:application/octet-stream;base64,{PNG}"),
            "\"image/png\"",
            "\"image/png\"",
        ),
        (
            format!("data:image/heic;base64,{HEIC}"),
            "!no image/heic",
            "\"image/heic\"",
        ),
        (
            format!("data:image/tiff;base64,{PNG}"),
            "\"image/png\"",
            "\"image/png\"",
        ),
        (
            "data:image/gif;base64,R0lGODlhAQABAAAAACw=".to_owned(),
            "\"image/gif\"",
            "!no image/gif",
        ),
        (
            format!("data:image/photo;base64,{PNG}"),
            "!\"image/photo\"",
            "!\"image/photo\"",
        ),
        ("data:image/png;base64,".to_owned(), "!0 bytes", "!0 bytes"),
        (PNG.to_owned(), "\"image/png\"", "\"image/png\""),
        (
            "not a picture".to_owned(),
            "!neither a URL nor base64",
            "!neither a URL nor base64",
        ),
        (
            "https://x.test/a".to_owned(),
            "https://x.test/a",
            "https://x.test/a",
        ),
    ] {
        check(ANTHROPIC, &picture(&url), &[anthropic]);
        check(GOOGLE, &picture(&url), &[google]);
        // The body of an OpenAI batch line is not inspected.
        check("chat@openai/m", &picture(&url), &[&url]);
        let part = json!({"type": "image", "url": url});
        check(ANTHROPIC, &own(&part), &[anthropic]);
    }
    for (data, mime_type, expected) in [
        (JPEG, "image/jpg", "data:image/jpeg"),
        (PNG, "image/jpeg", "data:image/png"),
        (HEIC, "image/heic", "!no image/heic"),
        (HEIC, "image/png", "!no image/heic"),
        (FLAC, "image/png", "!its bytes are audio/flac"),
        ("", "image/png", "!0 bytes"),
    ] {
        let part = json!({"type": "image", "data": data, "mime_type": mime_type});
        check(OPENAI, &own(&part), &[expected]);
    }
}

#[test]
fn png_named_jpg() {
    for (part, anthropic, google, openai) in [
        (
            json!({"type": "image", "data": PNG, "filename": "p.jpg"}),
            "image/png",
            "image/png",
            "image/png",
        ),
        (
            json!({"type": "image", "data": PNG}),
            "image/png",
            "image/png",
            "image/png",
        ),
        (
            json!({"type": "image", "data": JPEG, "mime_type": "image/png"}),
            "image/jpeg",
            "image/jpeg",
            "image/jpeg",
        ),
        (
            json!({"type": "document", "data": PDF, "filename": "a.txt"}),
            "application/pdf",
            "application/pdf",
            "application/pdf",
        ),
        (
            json!({"type": "document", "data": "YSxiCjEsMgozLDQK", "filename": "a.csv"}),
            "text/plain",
            "text/csv",
            "text/csv",
        ),
        (
            json!({"type": "image", "data": PDF, "filename": "a.png"}),
            "!attach it as document",
            "!attach it as document",
            "!attach it as document",
        ),
        (
            json!({"type": "document", "data": PNG, "mime_type": "application/pdf"}),
            "!its bytes are image/png",
            "!its bytes are image/png",
            "!its bytes are image/png",
        ),
        (
            json!({"type": "audio", "data": FLAC, "filename": "a.mp3"}),
            "!takes no audio",
            "audio/flac",
            "!takes no audio",
        ),
    ] {
        check(ANTHROPIC, &own(&part), &[anthropic]);
        check(GOOGLE, &own(&part), &[google]);
        check(OPENAI, &own(&part), &[openai]);
    }
}

#[test]
fn file_data_without_data_url() {
    let file =
        |file: Value| chat(&json!([{"role": "user", "content": [{"type": "file", "file": file}]}]));
    let docx = "UEsDBBQAAAAIAAAAAAA=";
    for (part, anthropic, google) in [
        (
            json!({"filename": "a.pdf", "file_data": PDF}),
            "\"media_type\":\"application/pdf\",\"data\":\"JVBERi0xLjQK\"",
            "\"mime_type\":\"application/pdf\",\"data\":\"JVBERi0xLjQK\"",
        ),
        (
            json!({"file_data": PDF}),
            "application/pdf",
            "application/pdf",
        ),
        (
            json!({"file_data": "JVBERi0x\nLjQK"}),
            "JVBERi0xLjQK",
            "JVBERi0xLjQK",
        ),
        (
            json!({"file_data": "JVBERi0xLjQ", "file_id": null}),
            "JVBERi0xLjQ=",
            "JVBERi0xLjQ=",
        ),
        (
            json!({"filename": "a.md", "file_data": "IyBUaXRsZQoKd29yZHM="}),
            "# Title",
            "text/markdown",
        ),
        (
            json!({"file_data": format!("data:application/pdf;base64,{PDF}")}),
            "application/pdf",
            "application/pdf",
        ),
        (
            json!({"file_data": format!("data:application/octet-stream;base64,{PDF}")}),
            "application/pdf",
            "application/pdf",
        ),
        (
            json!({"filename": "a.docx", "file_data": docx}),
            "!wordprocessingml",
            "!wordprocessingml",
        ),
        (
            json!({"filename": "a.pdf", "file_data": ""}),
            "!0 bytes",
            "!0 bytes",
        ),
        (
            json!({"filename": "a.pdf", "file_data": "not base64!"}),
            "!not valid base64",
            "!not valid base64",
        ),
        (
            json!({"filename": "a.pdf", "file_data": "AAECAwQFBgcICQoLDA=="}),
            "!of no known format",
            "!of no known format",
        ),
    ] {
        check(ANTHROPIC, &file(part.clone()), &[anthropic]);
        check(GOOGLE, &file(part.clone()), &[google]);
        let mut flat = part.clone();
        flat["type"] = json!("input_file");
        let line = responses(&json!([{"role": "user", "content": [flat]}]));
        check(ANTHROPIC, &line, &[anthropic]);
    }
}

/// Images and documents in tool results are sent if the provider accepts them, else refused by name.
#[test]
fn tool_message_of_images() {
    const CHAT: &str = "chat@openai/m";
    let data = |kind: &str, base64: &str| json!({"type": kind, "data": base64});
    for (part, anthropic, responses, google) in [
        (
            data("image", PNG),
            r#""content":[{"type":"text","text":"seen"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBOR"#,
            r#""output":[{"type":"input_text","text":"seen"},{"type":"input_image","detail":"auto","image_url":"data:image/png;base64,iVBOR"#,
            r#""response":{"output":"seen"},"parts":[{"inline_data":{"mime_type":"image/png","data":"iVBOR"#,
        ),
        (
            json!({"type": "image", "data": JPEG, "mime_type": "image/jpg"}),
            r#""media_type":"image/jpeg""#,
            "data:image/jpeg;base64",
            r#""mime_type":"image/jpeg""#,
        ),
        (
            data("image", "R0lGODlhAQABAAAAACw="),
            r#""media_type":"image/gif""#,
            "data:image/gif;base64",
            "!no image/gif in the result of a tool",
        ),
        (
            data("image", HEIC),
            "!no image/hei",
            "!no image/hei",
            "!no image/hei",
        ),
        (
            data("document", PDF),
            r#""type":"document","source":{"type":"base64","media_type":"application/pdf""#,
            r#""type":"input_file","filename":"document.pdf","file_data":"data:application/pdf"#,
            r#""mime_type":"application/pdf""#,
        ),
        (
            json!({"type": "document", "data": "YSxiCjEsMgozLDQK", "filename": "a.csv"}),
            r#""media_type":"text/plain","data":"a,b\n1,2\n3,4\n""#,
            r#""filename":"a.csv""#,
            r#""mime_type":"text/plain""#,
        ),
        (
            json!({"type": "image", "url": "https://x.test/a.png"}),
            r#"{"type":"url","url":"https://x.test/a.png"}"#,
            r#""image_url":"https://x.test/a.png""#,
            "!as bytes only",
        ),
        (
            json!({"type": "image", "file_id": "file-1"}),
            r#"{"type":"file","file_id":"file-1"}"#,
            r#""file_id":"file-1""#,
            "!as bytes only",
        ),
        (
            data("image", PDF),
            "!attach it as document",
            "!attach it as document",
            "!attach it as document",
        ),
        (data("image", ""), "!0 bytes", "!0 bytes", "!0 bytes"),
        (
            data("audio", FLAC),
            "!audio cannot be translated",
            "!audio cannot be translated",
            "!audio cannot be translated",
        ),
    ] {
        let own = |output: Value, failed: bool| {
            json!({"id": "a", "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": [{"type": "tool_call", "id": "c1", "name": "f", "arguments": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "id": "c1", "output": output, "is_error": failed}]},
            ]})
        };
        let line = own(json!(["seen", part]), false);
        check(ANTHROPIC, &line, &[anthropic]);
        check(OPENAI, &line, &[responses]);
        check("google/gemini-3-flash", &line, &[google]);
        check("google/gemini-3.5-flash", &line, &[google]);
        let is_taken = !google.starts_with('!');
        let old = if is_taken {
            "!gemini-2.5-flash takes no images or documents"
        } else {
            google
        };
        let chat = ["audio", "0 bytes"]
            .iter()
            .find(|word| anthropic.contains(**word));
        if chat.is_none() {
            check(
                CHAT,
                &line,
                &["!in the result of a tool: set the endpoint to responses"],
            );
        }
        if is_taken {
            check(GOOGLE, &line, &[old]);
            check(
                ANTHROPIC,
                &own(json!(["seen", part]), true),
                &["!holds text only"],
            );
            check(
                OPENAI,
                &own(json!(["seen", part]), true),
                &[r#"{\"error\":\"seen\"}"#],
            );
        }
        // The image is the only content of the result.
        if anthropic.contains("media_type") {
            check(
                ANTHROPIC,
                &own(json!([part]), false),
                &[r#""content":[{"type":"#],
            );
            assert!(
                !sent(ANTHROPIC, &own(json!([part]), false))
                    .unwrap()
                    .contains(r#""text":"""#)
            );
        }
    }
    let failed = json!({"id": "a", "messages": [
        {"role": "assistant", "content": [{"type": "tool_call", "id": "c1", "name": "f", "arguments": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "id": "c1", "output": "", "is_error": true}]},
    ]});
    check(ANTHROPIC, &failed, &["!must say what went wrong"]);
    let parts = json!([
        {"type": "text", "text": "seen"},
        {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}},
    ]);
    let line = chat(&json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": parts},
    ]));
    check(
        ANTHROPIC,
        &line,
        &[r#"{"type":"text","text":"seen"},{"type":"image""#],
    );
    check(
        "google/gemini-3-flash",
        &line,
        &[r#""parts":[{"inline_data""#],
    );
    let line = responses(&json!([
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [
            {"type": "input_image", "image_url": format!("data:image/png;base64,{PNG}"), "detail": "auto"},
            {"type": "input_file", "filename": "a.pdf", "file_data": PDF},
        ]},
    ]));
    check(
        ANTHROPIC,
        &line,
        &[r#""content":[{"type":"image""#, r#""type":"document""#],
    );
    check(
        "google/gemini-3-flash",
        &line,
        &[r#""response":{"output":""},"parts":["#],
    );
}

#[test]
fn an_image_with_another_detail_is_refused_by_name() {
    let url = format!("data:image/png;base64,{PNG}");
    for (detail, expected) in [
        (json!(null), "\"image\""),
        (json!("auto"), "\"image\""),
        (json!("low"), "!.detail cannot be translated"),
        (json!("high"), "!.detail cannot be translated"),
    ] {
        let inner = json!({"url": url, "detail": detail});
        let part = json!({"type": "image_url", "image_url": inner});
        let line = chat(&json!([{"role": "user", "content": [part]}]));
        check(ANTHROPIC, &line, &[expected]);
        let part = json!({"type": "input_image", "image_url": url, "detail": detail});
        let line = responses(&json!([{"role": "user", "content": [part]}]));
        check(ANTHROPIC, &line, &[expected]);
    }
}
