//! The codec of Acme's adapter, which does no input or output.

use std::collections::BTreeMap;

use lmbatch_core::{
    BatchClass, BatchCodec, Capabilities, CreateProof, ErrorKind, FailureView, FollowUp,
    GenerateView, JsonView, Limits, OpenedRow, OutcomeView, ProviderId, RequestError, RequestView,
    ResultPart, ResultRow, RowError, ScannedRow, Text, Verdict, WireId, WireIdRule, append_items,
    read_row, replace_member,
};
use serde_json::{Value, json};

use super::answer;
use super::ask::ask;

/// Path of the one endpoint whose raw body Acme accepts.
const ENDPOINT: &str = "/ask";

#[derive(Debug)]
pub(crate) struct AcmeCodec {
    id: ProviderId,
    capabilities: Capabilities,
    breaks: Option<&'static str>,
}

lmbatch_core::members! {
    struct Row {
        id: "id",
        answer: "answer",
        error: "error",
    }

    struct Failure {
        words: "words",
        /// True if the request fails again on every attempt.
        forever: "forever",
        /// Reason of the failure. Acme documents no reasons yet.
        reason: "reason",
    }
}

impl AcmeCodec {
    pub(crate) fn new(breaks: Option<&'static str>) -> Self {
        Self {
            id: ProviderId::new("acme"),
            capabilities: Capabilities {
                create: match breaks {
                    Some(mode) if mode.starts_with("token") => CreateProof::Token,
                    _ => CreateProof::Labelled,
                },
                fence: true,
                ranges: false,
                list: breaks != Some("status pages are declared without a list"),
                status_page: Some(100),
                cancel: true,
                discard: true,
                token_lifetime: None,
                wire_ids: WireIdRule {
                    max_chars: match breaks {
                        Some("longer ids are declared than are accepted") => 1_000,
                        _ => 100,
                    },
                    ascii_word: false,
                },
                retention: None,
                raw_endpoints: &[ENDPOINT],
            },
            breaks,
        }
    }

    fn broken(&self, clause: &str) -> bool {
        self.breaks == Some(clause)
    }

    fn sent_id(&self, id: &str) -> String {
        if self.broken("ids_of_64_characters_are_returned_unchanged") {
            return id.chars().take(63).collect();
        }
        if self.broken("ids_with_spaces_are_returned_unchanged") {
            return id.trim_matches(' ').to_owned();
        }
        if self.broken("ids_that_look_like_paths_are_returned_unchanged") {
            return id.replace("..", ".");
        }
        if self.broken("ids_with_unicode_and_quotes_are_returned_unchanged") {
            return id
                .chars()
                .map(|c| if c.is_ascii() { c } else { '?' })
                .collect();
        }
        if self.broken("wire_ids_follow_the_declared_rule") {
            return format!("x-{id}");
        }
        id.to_owned()
    }

    /// Writes a conversation; a broken adapter truncates it or breaks the line in the middle.
    fn write(&self, generate: &GenerateView<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
        let body = ask(generate, self.breaks.unwrap_or_default())?;
        let text = body.to_string();
        if self.broken("a_request_over_the_limit_is_refused_before_anything_is_sent") {
            let cut: String = text.chars().take(800).collect();
            if cut.len() < text.len() {
                lmbatch_core::write_string(&cut, out);
                return Ok(());
            }
        }
        let cr_lf = text.contains("\\r\\n");
        if self.broken("an_encoded_request_is_one_line_of_json") && cr_lf {
            out.push(b'\n');
        }
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl BatchCodec for AcmeCodec {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn class(&self, request: &RequestView<'_>) -> Result<BatchClass, RequestError> {
        match request {
            RequestView::Generate(_) => {}
            RequestView::Raw(raw) => {
                if !self.broken("a_body_for_an_undeclared_endpoint_is_refused") {
                    raw.check("acme", &[ENDPOINT])?;
                }
            }
            _ => return Err(RequestError::unsupported("acme: only questions")),
        }
        Ok(BatchClass {
            model: None,
            endpoint: ENDPOINT.into(),
            route: "file".into(),
            variant: BTreeMap::new(),
        })
    }

    fn limits(&self, _: &BatchClass) -> Limits {
        let more = u64::from(self.broken("declared_limits_are_consistent"));
        Limits {
            min_requests: 1,
            max_requests: 100,
            max_bytes: 10_000,
            max_request_bytes: 1_000 + more * 10_000,
            enqueued_tokens: None,
        }
    }

    fn body(
        &self,
        _: &BatchClass,
        request: &RequestView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        match request {
            RequestView::Raw(raw) if self.broken("a raw body is encoded again") => {
                let value: Value = raw.body.parse().unwrap_or_default();
                out.extend_from_slice(value.to_string().as_bytes());
            }
            RequestView::Raw(raw) => raw.body.write(out),
            RequestView::Generate(generate) => {
                let at = out.len();
                self.write(generate, out)?;
                if !self.broken("extra parameters are left out") {
                    generate.hyperparameters.merge_into(at, out)?;
                }
            }
            _ => return Err(RequestError::unsupported("acme: only questions")),
        }
        Ok(())
    }

    fn follow_up(
        &self,
        _: &BatchClass,
        body: &str,
        turns: &FollowUp<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let turn = |role: &str, text: &str| json!({"role": role, "parts": [{"text": text}]});
        let answer = turn("assistant", &turns.text()).to_string();
        let message = turn("user", turns.message).to_string();
        let added = match self.breaks {
            Some("a continued conversation lacks the answer") => message,
            Some("a continued conversation lacks the message") => answer,
            _ => format!("{answer},{message}"),
        };
        replace_member(body, "turns", out, |list, out| {
            append_items(list, out, |out| out.extend_from_slice(added.as_bytes()))
        })
    }

    fn head(&self, _: &BatchClass, id: &WireId, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        let mut sent = self.sent_id(id.as_str());
        if self.broken("the ids of requests are permuted") {
            // The mistake of an adapter that numbers requests itself: r0, r1, r2 become r1, r2, r0.
            sent = match sent.as_str() {
                "r0" => "r1".to_owned(),
                "r1" => "r2".to_owned(),
                "r2" => "r0".to_owned(),
                _ => sent,
            };
        }
        lmbatch_core::write_string(&sent, out);
        out.extend_from_slice(b",\"ask\":");
    }

    fn encode(
        &self,
        class: &BatchClass,
        id: &WireId,
        request: &RequestView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let mut body = Vec::new();
        self.body(class, request, &mut body)?;
        let mut id = id.clone();
        if self.broken("extra parameters are sent as the id") {
            let own: Option<Value> = serde_json::from_slice(&body).ok();
            let own = own.as_ref().and_then(|own| own["id"].as_str());
            id = own.map_or(id, WireId::verbatim);
        }
        self.head(class, &id, out);
        out.append(&mut body);
        self.tail(class, &id, out);
        Ok(())
    }

    // Acme implements this itself, since the default implementation of core could not disagree.
    fn scan<'a>(&self, part: &ResultPart, row: ResultRow<'a>) -> Result<ScannedRow<'a>, RowError> {
        let row = self.decode(part, row).map(|row| ScannedRow {
            id: row.id,
            verdict: row.outcome.verdict(),
        });
        if row.is_err() && self.broken("scan_and_decode_agree") {
            return Ok(ScannedRow {
                id: None,
                verdict: Verdict::Errored,
            });
        }
        row
    }

    fn open<'a>(&self, _: &ResultPart, row: JsonView<'a>) -> Result<OpenedRow<'a>, RowError> {
        if self.broken("unknown_members_of_a_row_are_ignored")
            && row.as_str().contains("contract_unknown")
        {
            return Err(RowError);
        }
        let row: Row<'a> = read_row(row)?;
        let strip = self.broken("wire_ids_follow_the_declared_rule");
        let id = row.id.id()?.map(|id| match id.decode().strip_prefix("x-") {
            Some(rest) if strip => leaked(rest),
            _ => id,
        });
        let id = match self.breaks {
            Some("rows have no id") => None,
            Some("rows are matched by another id") => {
                id.map(|id| leaked(&format!("batch_req_{}", id.decode())))
            }
            _ => id,
        };
        let error = row.error.read::<Failure<'a>>();
        if error.is_none() && !row.error.is_absent() {
            return Err(RowError);
        }
        let forever =
            error.is_some_and(|error| error.forever.scalar_text().as_deref() == Some("true"));
        let unknown = error.is_some_and(|error| error.reason.text().is_some());
        let unknown = unknown && !self.broken("a failure for an unknown reason is retryable");
        let again = !forever && !unknown || self.broken("every failed row is retryable");
        let told = |message| FailureView {
            kind: ErrorKind::ProviderInternal,
            code: None,
            http_status: None,
            message,
            retryable: again && !self.broken("a_failure_of_the_provider_is_retryable"),
        };
        Ok(match (error, row.answer.raw()) {
            (Some(_), _) if self.broken("an_errored_row_is_one_errored_outcome") => {
                OpenedRow::ended(id, OutcomeView::Errored(told(None)))
            }
            (Some(error), Some(_)) if self.broken("a failure with an answer is retryable") => {
                OpenedRow::ended(id, OutcomeView::Errored(told(error.words.text())))
            }
            (_, Some(text)) => OpenedRow::answer(id, text),
            (Some(error), None) => {
                OpenedRow::ended(id, OutcomeView::Errored(told(error.words.text())))
            }
            (None, None) if self.broken("a_row_with_only_an_id_is_an_error") => {
                OpenedRow::ended(id, self.said(Text::Plain("")))
            }
            (None, None) => OpenedRow::malformed(id),
        })
    }

    fn answer<'a>(&self, answer: JsonView<'a>) -> OutcomeView<'a> {
        if self.broken("answers_are_returned_byte_for_byte")
            && let Some(text) = answer.text()
        {
            return self.said(text);
        }
        answer::read(answer, self.breaks.unwrap_or_default())
    }

    fn id_members(&self) -> &'static [&'static [&'static str]] {
        match self.broken("no id is read from a row that is not JSON") {
            true => &[],
            false => &[&["id"]],
        }
    }
}

impl AcmeCodec {
    fn said<'a>(&self, text: Text<'a>) -> OutcomeView<'a> {
        let text = if self.broken("answers_are_returned_byte_for_byte") {
            leaked(&text.decode().replace("\r\n", "\n"))
        } else {
            text
        };
        OutcomeView::Succeeded(answer::text(text, self.breaks.unwrap_or_default()))
    }
}

/// Leaks a text, so that it lives as long as the test.
fn leaked(text: &str) -> Text<'static> {
    Text::Plain(Box::leak(text.to_owned().into_boxed_str()))
}
