//! What is pure of Acme's adapter.

use std::collections::BTreeMap;
use std::ops::Range;

use lmbatch_core::{
    BatchClass, BatchCodec, Capabilities, ContentView, CreateProof, ErrorKind, FailureView,
    FinishReason, ItemView, Limits, Opened, OutcomeView, OutputView, ProviderId, RequestError,
    RequestView, ResultPart, RowError, Scanned, Text, Verdict, WireId, WireIdRule, read_row,
    surround,
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The one body that Acme takes as it is.
const ENDPOINT: &str = "/ask";

#[derive(Debug)]
pub(crate) struct AcmeCodec {
    id: ProviderId,
    capabilities: Capabilities,
    breaks: Option<&'static str>,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    answer: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<Failure<'a>>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow)]
    words: Option<Text<'a>>,
}

impl AcmeCodec {
    pub(crate) fn new(breaks: Option<&'static str>) -> Self {
        Self {
            id: ProviderId::new("acme"),
            capabilities: Capabilities {
                create: CreateProof::Labelled,
                fence: true,
                ranges: false,
                list: true,
                cancel: true,
                discard: true,
                token_lifetime: None,
                wire_ids: WireIdRule {
                    max_chars: 100,
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
        if self.broken("ids_of_64_characters_come_back") {
            return id.chars().take(63).collect();
        }
        if self.broken("ids_with_spaces_come_back") {
            return id.trim_matches(' ').to_owned();
        }
        if self.broken("ids_that_look_like_paths_come_back") {
            return id.replace("..", ".");
        }
        if self.broken("ids_of_any_letters_come_back") {
            return id
                .chars()
                .map(|c| if c.is_ascii() { c } else { '?' })
                .collect();
        }
        if self.broken("ids_on_the_wire_keep_the_declared_rule") {
            return format!("x-{id}");
        }
        id.to_owned()
    }

    fn ask(&self, text: &str, out: &mut Vec<u8>) {
        if self.broken("a_request_over_the_limit_is_refused_before_anything_is_sent") {
            let cut: String = text.chars().take(900).collect();
            return lmbatch_core::write_string(&cut, out);
        }
        if self.broken("a_request_is_one_line_of_json") && text.contains('\n') {
            out.push(b'\n');
        }
        lmbatch_core::write_string(text, out);
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
        let more = u64::from(self.broken("limits_are_declared_and_agree"));
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
            RequestView::Raw(raw) => raw.body.write(out),
            RequestView::Generate(generate) => {
                let contents = generate.messages.iter().flat_map(|turn| &turn.contents);
                let mut whole = String::new();
                for content in contents {
                    match content {
                        ContentView::Text(text) => whole.push_str(&text.decode()),
                        _ => return Err(RequestError::unsupported("acme: only text")),
                    }
                }
                self.ask(&whole, out);
            }
            _ => return Err(RequestError::unsupported("acme: only questions")),
        }
        Ok(())
    }

    fn wrap(&self, _: &BatchClass, id: &WireId, body: Range<usize>, out: &mut Vec<u8>) {
        let mut before = b"{\"id\":".to_vec();
        lmbatch_core::write_string(&self.sent_id(id.as_str()), &mut before);
        before.extend_from_slice(b",\"ask\":");
        surround(body, &before, b"}", out);
    }

    // Core's own would always agree.
    fn scan<'a>(&self, part: &ResultPart, row: &'a [u8]) -> Result<Scanned<'a>, RowError> {
        let row = self.decode(part, row).map(|row| Scanned {
            id: row.id,
            verdict: row.outcome.verdict(),
        });
        if row.is_err() && self.broken("scan_and_decode_agree") {
            return Ok(Scanned {
                id: None,
                verdict: Verdict::Errored,
            });
        }
        row
    }

    fn open<'a>(&self, _: &ResultPart, row: &'a [u8]) -> Result<Opened<'a>, RowError> {
        if self.broken("unknown_members_of_a_row_change_nothing")
            && String::from_utf8_lossy(row).contains("contract_unknown")
        {
            return Err(RowError);
        }
        let row: Row<'a> = read_row(row)?;
        let strip = self.broken("ids_on_the_wire_keep_the_declared_rule");
        let id = row.id.map(|id| match id.decode().strip_prefix("x-") {
            Some(rest) if strip => leaked(rest),
            _ => id,
        });
        let told = |message| FailureView {
            kind: ErrorKind::ProviderInternal,
            code: None,
            http_status: None,
            message,
            retryable: !self.broken("a_failure_of_the_provider_may_be_asked_again"),
        };
        Ok(match (row.error, row.answer) {
            (Some(_), _) if self.broken("an_errored_row_is_one_errored_outcome") => {
                Opened::ended(id, OutcomeView::Errored(told(None)))
            }
            (Some(error), _) => Opened::ended(id, OutcomeView::Errored(told(error.words))),
            (None, Some(text)) => Opened::answer(id, text),
            (None, None) if self.broken("a_row_with_nothing_but_its_id_is_not_an_answer") => {
                Opened::ended(id, self.said(Text::Plain("")))
            }
            (None, None) => Opened::malformed(id),
        })
    }

    fn answer<'a>(&self, raw: &'a RawValue) -> OutcomeView<'a> {
        match serde_json::from_str(raw.get()) {
            Ok(text) => self.said(text),
            Err(_) => OutcomeView::Errored(FailureView::malformed()),
        }
    }

    fn id_members(&self) -> &'static [&'static [&'static str]] {
        &[&["id"]]
    }
}

impl AcmeCodec {
    fn said<'a>(&self, text: Text<'a>) -> OutcomeView<'a> {
        let text = if self.broken("answers_come_back_byte_for_byte") {
            leaked(&text.decode().replace("\r\n", "\n"))
        } else {
            text
        };
        OutcomeView::Succeeded(OutputView {
            items: vec![ItemView::Text(text)],
            finish_reason: FinishReason::Stop,
            usage: None,
            model: None,
            response_id: None,
            problem: None,
        })
    }
}

/// A text that lives as long as the test.
fn leaked(text: &str) -> Text<'static> {
    Text::Plain(Box::leak(text.to_owned().into_boxed_str()))
}
