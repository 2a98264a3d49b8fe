//! The calls of each provider.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::http::Host;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
    Google,
    GoogleInline,
}

impl Dialect {
    pub(crate) fn named(name: &str) -> io::Result<Self> {
        match name {
            "openai" => Ok(Self::OpenAi),
            "anthropic" => Ok(Self::Anthropic),
            "google" => Ok(Self::Google),
            "google-inline" => Ok(Self::GoogleInline),
            _ => Err(io::Error::other(format!("no dialect {name}"))),
        }
    }

    /// Returns the maximum number of requests of a batch.
    pub(crate) fn most(self) -> u64 {
        match self {
            Self::Anthropic => 100_000,
            _ => 50_000,
        }
    }

    pub(crate) fn before(self) -> &'static [u8] {
        match self {
            Self::OpenAi | Self::Google => b"",
            Self::Anthropic => br#"{"requests":["#,
            Self::GoogleInline => {
                br#"{"batch":{"displayName":"floor","model":"models/m","inputConfig":{"requests":{"requests":["#
            }
        }
    }

    pub(crate) fn separator(self) -> &'static [u8] {
        match self {
            Self::OpenAi | Self::Google => b"",
            Self::Anthropic | Self::GoogleInline => b",",
        }
    }

    pub(crate) fn after(self) -> &'static [u8] {
        match self {
            Self::OpenAi | Self::Google => b"",
            Self::Anthropic => b"]}",
            Self::GoogleInline => b"]}}}}",
        }
    }

    /// Writes a request around its prompt.
    pub(crate) fn request(self, out: &mut impl Write, id: u64, prompt: &[u8]) -> io::Result<()> {
        match self {
            Self::OpenAi => write!(
                out,
                r#"{{"custom_id":"floor{id:014}","method":"POST","url":"/v1/responses","body":{{"model":"m","input":[{{"role":"user","content":[{{"type":"input_text","text":"#
            )?,
            Self::Anthropic => write!(
                out,
                r#"{{"custom_id":"floor{id:014}","params":{{"model":"m","max_tokens":4096,"messages":[{{"role":"user","content":[{{"type":"text","text":"#
            )?,
            Self::Google => write!(
                out,
                r#"{{"key":"floor{id:014}","request":{{"contents":[{{"role":"user","parts":[{{"text":"#
            )?,
            Self::GoogleInline => write!(
                out,
                r#"{{"metadata":{{"key":"floor{id:014}"}},"request":{{"contents":[{{"role":"user","parts":[{{"text":"#
            )?,
        }
        out.write_all(prompt)?;
        out.write_all(match self {
            Self::OpenAi => b"}]}]}}\n",
            Self::Anthropic => b"}]}]}}",
            Self::Google => b"}]}]}}\n",
            Self::GoogleInline => b"}]}]}}",
        })
    }

    /// Sends the requests, and returns the path of the batch.
    pub(crate) fn create(self, host: &Host, body: &Path) -> io::Result<String> {
        match self {
            Self::OpenAi => {
                let file = host.send(
                    "POST /v1/files",
                    "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.jsonl\"\r\n\r\n",
                    body,
                    "\r\n--b--\r\n",
                )?;
                let file = member(&file.text()?, "id");
                let create = format!(
                    r#"{{"input_file_id":"{file}","endpoint":"/v1/responses","completion_window":"24h"}}"#
                );
                let batch = host.call("POST /v1/batches", &create)?.text()?;
                Ok(format!("/v1/batches/{}", member(&batch, "id")))
            }
            Self::Anthropic => {
                let batch = host
                    .send("POST /v1/messages/batches", "", body, "")?
                    .text()?;
                Ok(format!("/v1/messages/batches/{}", member(&batch, "id")))
            }
            Self::Google => {
                let session = host.call("POST /upload/v1beta/files", "{}")?.upload_url;
                let path = session.split(&*host.0).nth(1).unwrap_or_default();
                let file = host.send(&format!("POST {path}"), "", body, "")?.text()?;
                let file = member(&file, "name");
                let create = format!(
                    r#"{{"batch":{{"displayName":"floor","model":"models/m","inputConfig":{{"fileName":"{file}"}}}}}}"#
                );
                let batch = host
                    .call("POST /v1beta/models/m:batchGenerateContent", &create)?
                    .text()?;
                Ok(format!("/v1beta/{}", member(&batch, "name")))
            }
            Self::GoogleInline => {
                let call = "POST /v1beta/models/m:batchGenerateContent";
                let batch = host.send(call, "", body, "")?.text()?;
                Ok(format!("/v1beta/{}", member(&batch, "name")))
            }
        }
    }

    /// Returns whether a batch has ended. Inline results are in the response and are saved.
    pub(crate) fn has_ended(self, host: &Host, batch: &str, file: &mut File) -> io::Result<bool> {
        let answer = host.call(&format!("GET {batch}"), "")?;
        if self == Self::GoogleInline && answer.length > 1024 {
            return answer.save(file).map(|()| true);
        }
        let text = answer.text()?;
        Ok(["\"completed\",", "\"ended\"", "_SUCCEEDED\""]
            .iter()
            .any(|word| text.contains(word)))
    }

    /// Saves the results as they arrive.
    pub(crate) fn download(self, host: &Host, batch: &str, file: &mut File) -> io::Result<()> {
        let number = batch.rsplit(['_', '/']).next().unwrap_or_default();
        let path = match self {
            Self::OpenAi => format!("/v1/files/file-out-{number}/content"),
            Self::Anthropic => format!("{batch}/results"),
            Self::Google => format!("/download/v1beta/files/out-{number}:download?alt=media"),
            Self::GoogleInline => return Ok(()),
        };
        host.call(&format!("GET {path}"), "")?.save(file)
    }
}

/// Returns a string member of a response.
fn member(answer: &str, name: &str) -> String {
    let mark = format!("\"{name}\":\"");
    let rest = answer.split(&mark).nth(1).unwrap_or_default();
    rest.split('"').next().unwrap_or_default().to_owned()
}
