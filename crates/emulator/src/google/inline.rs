//! Parsing of the body of a create: requests become lines, without a tree of the whole body in memory.

use std::path::Path;

use serde_json::{Map, Value};

use super::answer::member;
use super::lines;

/// The parsed body of a create.
pub(super) struct Created {
    pub(super) display_name: String,
    /// Name of the input file; `None` for a batch whose requests are inline.
    pub(super) file: Option<String>,
    pub(super) requests: u64,
}

/// Parses a create, and writes inline requests to `input`, one on each line.
pub(super) fn read(body: &[u8], input: &Path) -> Result<Created, String> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| format!("Invalid JSON payload received. {error}"))?;
    let batch = &body["batch"];
    let config = member(batch, "inputConfig");
    let display_name = member(batch, "displayName")
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if let Some(file) = member(config, "fileName").as_str() {
        return Ok(Created {
            display_name,
            file: Some(file.to_owned()),
            requests: 0,
        });
    }
    let Some(requests) = config["requests"]["requests"].as_array() else {
        return Err("batch.input_config: one of requests and file_name is required".to_owned());
    };
    if requests.is_empty() {
        return Err("batch.input_config.requests: at least one request is required".to_owned());
    }
    let mut text = String::new();
    for (place, request) in requests.iter().enumerate() {
        if let Some(fault) = lines::fault(&request["request"]) {
            return Err(format!("Error on request {place}: {fault}"));
        }
        let mut line = Map::new();
        line.insert("request".to_owned(), request["request"].clone());
        line.insert("metadata".to_owned(), request["metadata"].clone());
        text.push_str(&Value::Object(line).to_string());
        text.push('\n');
    }
    std::fs::write(input, text).map_err(|error| error.to_string())?;
    Ok(Created {
        display_name,
        file: None,
        requests: requests.len() as u64,
    })
}

/// Checks an input file as strictly as the provider does, and returns the number of its requests.
pub(super) fn check(input: &Path) -> Result<u64, String> {
    use std::io::BufRead as _;
    let file = std::fs::File::open(input).map_err(|error| error.to_string())?;
    let mut count = 0;
    for (place, line) in std::io::BufReader::new(file).split(b'\n').enumerate() {
        let line = line.map_err(|error| error.to_string())?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let at = |fault: &str| format!("Error on line {}: {fault}", place + 1);
        let value: Value = serde_json::from_slice(&line).map_err(|_| at("invalid JSON"))?;
        let known = value.as_object().is_some_and(|line| {
            line.keys()
                .all(|key| ["key", "request"].contains(&key.as_str()))
        });
        if !known {
            return Err(at("invalid JSON, near column 1: no such field"));
        }
        if let Some(fault) = lines::fault(&value["request"]) {
            return Err(at(&fault));
        }
        count += 1;
    }
    if count == 0 {
        return Err("the file holds no requests".to_owned());
    }
    Ok(count)
}
