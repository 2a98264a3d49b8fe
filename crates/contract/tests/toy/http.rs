//! A minimal HTTP client for Acme, so that a test can create hundreds of adapters quickly.

use futures::StreamExt as _;
use lmbatch_core::{ByteStream, Delivery, Error, ErrorKind, Result, Retry};
use lmbatch_http::{ErrorClassifier, HeaderMap, HeaderName, HeaderValue, delivery_of};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) base_url: String,
    pub(crate) key: Option<String>,
}

pub(crate) struct Exchange {
    client: Client,
    method: &'static str,
    path: String,
    body: Vec<u8>,
    operation: &'static str,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: HeaderMap,
    body: Result<Vec<u8>>,
    operation: &'static str,
}

impl Client {
    pub(crate) fn get(&self, path: &str) -> Exchange {
        self.exchange("GET", path)
    }
    pub(crate) fn post(&self, path: &str) -> Exchange {
        self.exchange("POST", path)
    }
    pub(crate) fn delete(&self, path: &str) -> Exchange {
        self.exchange("DELETE", path)
    }
    fn exchange(&self, method: &'static str, path: &str) -> Exchange {
        Exchange {
            client: self.clone(),
            method,
            path: format!("/{path}"),
            body: Vec::new(),
            operation: "ask acme",
        }
    }
}

impl Exchange {
    pub(crate) fn expecting(mut self, operation: &'static str) -> Self {
        self.operation = operation;
        self
    }
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        let mark = if self.path.contains('?') { '&' } else { '?' };
        self.path = format!("{}{mark}{name}={}", self.path, lmbatch_http::segment(value));
        self
    }
    pub(crate) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    fn error(&self, kind: ErrorKind, delivery: Delivery) -> Error {
        Error::new(kind)
            .with_operation(self.operation)
            .with_provider("acme".into())
            .with_retry(Retry::Temporary)
            .with_delivery(delivery)
    }

    pub(crate) async fn send(self) -> Result<Reply> {
        let host = self.client.base_url.trim_start_matches("http://");
        let host = host.split('/').next().unwrap_or_default().to_owned();
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.method,
            self.path,
            self.body.len()
        );
        if let Some(key) = &self.client.key {
            head.push_str(&format!("x-acme-key: {key}\r\n"));
        }
        let not_sent = |_| self.error(ErrorKind::Connection, Delivery::NotSent);
        let lost = |_| self.error(ErrorKind::Connection, Delivery::Unknown);
        let mut stream = TcpStream::connect(&host).await.map_err(not_sent)?;
        let request = [head.as_bytes(), b"\r\n", &self.body].concat();
        stream.write_all(&request).await.map_err(lost)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map_err(lost)?;
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else {
            return Err(self.error(ErrorKind::Connection, Delivery::Unknown));
        };
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if let (Ok(name), Ok(value)) = (
                name.parse::<HeaderName>(),
                HeaderValue::from_str(value.trim()),
            ) {
                headers.insert(name, value);
            }
        }
        let body = answer[end + 4..].to_vec();
        let length = headers
            .get("content-length")
            .and_then(|len| len.to_str().ok()?.parse().ok());
        let whole = length.is_none_or(|length: usize| length == body.len());
        let body = match whole {
            true => Ok(body),
            false => Err(self.error(ErrorKind::Connection, Delivery::Unknown)),
        };
        Ok(Reply {
            status: status.unwrap_or(0),
            headers,
            body,
            operation: self.operation,
        })
    }

    pub(crate) async fn ask(self, classify_error: ErrorClassifier) -> Result<Reply> {
        self.send().await?.accept(classify_error)
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind)
            .with_operation(self.operation)
            .with_provider("acme".into())
            .with_http_status(self.status)
    }

    pub(crate) fn accept(self, classify_error: ErrorClassifier) -> Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let told = classify_error(self.status, self.body.as_deref().unwrap_or_default());
        let mut error = self
            .error(told.kind)
            .with_retry(told.retry)
            .with_delivery(delivery_of(self.status, told.recognised));
        if let Some(code) = told.code {
            error = error.with_code(code);
        }
        if let Some(message) = told.message {
            error = error.with_provider_message(message);
        }
        match lmbatch_http::retry_after(&self.headers) {
            Some(wait) => Err(error.with_retry_after(wait)),
            None => Err(error),
        }
    }

    pub(crate) fn bytes(self) -> Result<Vec<u8>> {
        self.body
    }

    pub(crate) fn json(self) -> Result<Value> {
        let about = self
            .error(ErrorKind::MalformedResponse)
            .with_retry(Retry::Temporary)
            .with_delivery(Delivery::Unknown);
        serde_json::from_slice(&self.body?).map_err(|_| about)
    }

    pub(crate) fn stream(self) -> ByteStream {
        futures::stream::iter([self.body.map(Into::into)]).boxed()
    }
}
