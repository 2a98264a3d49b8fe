//! The provider that the kit plays: it stores batches, answers every call, and follows the clause's instructions.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use lmbatch_core::{BatchId, BatchStatus, RequestCounts};
use serde_json::Value;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::panics::{Faults, words};
use crate::relay::{FAULT, Fault, relay};
use crate::wire::{
    Call, CallKind, Described, DescribedFile, ListPage, Part, ROWS, Sent, Shape, Wire,
};

/// A running provider with its state.
pub(crate) struct Desk {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    _server: MockServer,
}

/// An instruction for the response to a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// The call does not take effect.
    pub(crate) refuses: bool,
    /// The response; `None` for the usual one.
    pub(crate) says: Option<Says>,
    /// The way in which the response is lost; `None` if it arrives.
    pub(crate) fault: Option<Fault>,
}

/// Status, headers and body of a response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Says {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) mime: &'static str,
}

impl Answer {
    /// An error response to a call without effect.
    pub(crate) fn refusal(status: u16, body: &Value) -> Self {
        Self {
            refuses: true,
            says: Some(Says::json(status, body)),
            fault: None,
        }
    }
    /// A response to a call that has taken effect.
    pub(crate) fn after(says: Says) -> Self {
        Self {
            says: Some(says),
            ..Self::default()
        }
    }
    /// The usual response, lost on its way.
    pub(crate) fn lost(fault: Fault) -> Self {
        Self {
            fault: Some(fault),
            ..Self::default()
        }
    }
    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Some(says) = &mut self.says {
            says.headers.push((name, value.into()));
        }
        self
    }
}

impl Says {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            body: body.to_string().into_bytes(),
            mime: "application/json",
            ..Self::default()
        }
    }
    /// An HTML page of a proxy in front of the provider.
    pub(crate) fn web_page(status: u16, words: &str) -> Self {
        let page = format!("<!DOCTYPE html><html><body><h1>{words}</h1></body></html>");
        Self {
            status,
            body: page.into_bytes(),
            mime: "text/html",
            ..Self::default()
        }
    }
}

/// A change to every JSON body that the provider sends.
pub(crate) type Change = Arc<dyn Fn(CallKind, Value) -> Value + Send + Sync>;

pub(crate) struct State {
    pub(crate) wire: Arc<dyn Wire>,
    /// Batches, newest first.
    pub(crate) batches: Vec<Described>,
    /// The rows of each part, joined as a complete body.
    rows: BTreeMap<Part, Vec<u8>>,
    /// Rows by batch, where each batch has its own.
    pub(crate) own_rows: BTreeMap<(BatchId, Part), Vec<u8>>,
    page: usize,
    /// Cursor on every page, if a clause sets one.
    cursor: Option<String>,
    prepared: Vec<Prepared>,
    change: Option<Change>,
    /// Rows that replace those of a part after the given number of reads.
    later: Option<(Part, u32, Vec<u8>)>,
    pub(crate) ranges: bool,
    pub(crate) deletes: bool,
    seen: Vec<(Option<Call>, Request)>,
    /// Number of requests carried by calls since the last create.
    pub(crate) carried: u64,
    /// Number of uploads so far.
    uploads: u32,
    /// Clock for creation times.
    now: fn() -> SystemTime,
    /// Batches by the token of their create.
    tokens: BTreeMap<String, BatchId>,
    /// Uploaded files, newest first.
    files: Vec<DescribedFile>,
    faults: Faults,
}

/// An instruction for calls of one kind, after the next `skip` of them.
struct Prepared {
    kind: CallKind,
    skip: u32,
    times: u32,
    answer: Answer,
}

struct Plays(Arc<Mutex<State>>);

impl Respond for Plays {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        // A panic of the wire would look like a broken connection, so it is recorded and fails the clause.
        let respond = AssertUnwindSafe(|| lock(&self.0).respond(request));
        let reply = catch_unwind(respond).unwrap_or_else(|panic| {
            let (method, path) = (&request.method, request.url.path());
            let why = words(&*panic);
            let faults = lock(&self.0).faults.clone();
            faults.note(format!("the wire panicked at {method} {path}: {why}"));
            ResponseTemplate::new(500)
        });
        reply.insert_header("connection", "close")
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    pub(crate) async fn open(wire: Arc<dyn Wire>, faults: Faults) -> Self {
        let server = MockServer::start().await;
        let seen = faults.clone();
        let state = State::new(wire, faults, crate::clock::today);
        let state = Arc::new(Mutex::new(state));
        let plays = Plays(Arc::clone(&state));
        Mock::given(wiremock::matchers::any())
            .respond_with(plays)
            .mount(&server)
            .await;
        Self {
            url: relay(*server.address(), seen).await,
            state,
            _server: server,
        }
    }

    /// Adds a batch at the top of the list.
    pub(crate) fn keep(&self, batch: Described) -> BatchId {
        let id = batch.id.clone();
        lock(&self.state).batches.insert(0, batch);
        id
    }

    /// Changes a stored batch.
    pub(crate) fn change_batch(&self, id: &BatchId, change: impl FnOnce(&mut Described)) {
        let mut state = lock(&self.state);
        let found = state.batches.iter_mut().find(|batch| batch.id == *id);
        change(found.expect("a stored batch"));
    }

    pub(crate) fn put_rows(&self, part: Part, rows: Vec<u8>) {
        lock(&self.state).rows.insert(part, rows);
    }

    /// Returns the stored rows of a part.
    pub(crate) fn rows_of(&self, part: Part) -> Vec<u8> {
        let state = lock(&self.state);
        state.rows.get(&part).cloned().unwrap_or_default()
    }

    /// Replaces the rows of a part after the given number of reads.
    pub(crate) fn put_rows_after(&self, part: Part, reads: u32, rows: Vec<u8>) {
        lock(&self.state).later = Some((part, reads, rows));
    }

    /// Sets the number of batches on a page.
    pub(crate) fn page(&self, batches: usize) {
        lock(&self.state).page = batches;
    }

    /// Adds a file at the top of the list of files.
    pub(crate) fn keep_file(&self, file: DescribedFile) {
        lock(&self.state).files.insert(0, file);
    }

    /// Returns the number of batches that were created or added.
    pub(crate) fn batches(&self) -> usize {
        lock(&self.state).batches.len()
    }

    /// Returns the page size: the one that the last list call asked for, or else the provider's own.
    pub(crate) fn page_size(&self) -> usize {
        let state = lock(&self.state);
        let asked = state.seen.iter().rev().find_map(|(call, _)| match call {
            Some(Call::ListPage { size, .. }) => *size,
            _ => None,
        });
        asked.map_or(state.page, |size| size as usize)
    }

    /// Puts the given cursor on every page of the list.
    pub(crate) fn lead_always_to(&self, cursor: &str) {
        lock(&self.state).cursor = Some(cursor.to_owned());
    }

    /// Sets the response to all calls of a kind.
    pub(crate) fn answer(&self, kind: CallKind, answer: Answer) {
        self.answer_next(kind, u32::MAX, answer);
    }

    /// Sets the response to the next `times` calls of a kind.
    pub(crate) fn answer_next(&self, kind: CallKind, times: u32, answer: Answer) {
        self.answer_after(kind, 0, times, answer);
    }

    /// Sets the response to `times` calls of a kind, after `skip` usual ones.
    pub(crate) fn answer_after(&self, kind: CallKind, skip: u32, times: u32, answer: Answer) {
        let prepared = Prepared {
            kind,
            skip,
            times,
            answer,
        };
        lock(&self.state).prepared.insert(0, prepared);
    }

    /// Restores the usual responses.
    pub(crate) fn answer_as_usual(&self) {
        lock(&self.state).prepared.clear();
    }

    /// Changes every JSON body that is sent.
    pub(crate) fn change(&self, change: impl Fn(CallKind, Value) -> Value + Send + Sync + 'static) {
        lock(&self.state).change = Some(Arc::new(change));
    }

    /// Returns rows from the requested byte offset on.
    pub(crate) fn give_ranges(&self) {
        lock(&self.state).ranges = true;
    }

    /// Performs and confirms deletions. By default there is nothing to delete.
    pub(crate) fn confirm_deletions(&self) {
        lock(&self.state).deletes = true;
    }

    /// Returns every recorded request with its call.
    pub(crate) fn seen(&self) -> Vec<(Option<Call>, Request)> {
        lock(&self.state).seen.clone()
    }

    /// Returns the recorded requests of one kind of call.
    pub(crate) fn seen_of(&self, kind: CallKind) -> Vec<Request> {
        let seen = self.seen().into_iter();
        let of_kind = |(call, request): (Option<Call>, Request)| {
            call.is_some_and(|call| call.kind() == kind)
                .then_some(request)
        };
        seen.filter_map(of_kind).collect()
    }

    /// Returns the model requests in the order of their arrival.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        let state = lock(&self.state);
        let seen = state.seen.iter();
        seen.flat_map(|(_, request)| state.wire.sent(request))
            .collect()
    }
}

impl State {
    pub(crate) fn new(wire: Arc<dyn Wire>, faults: Faults, now: fn() -> SystemTime) -> Self {
        Self {
            wire,
            batches: Vec::new(),
            rows: BTreeMap::new(),
            own_rows: BTreeMap::new(),
            page: 100,
            cursor: None,
            prepared: Vec::new(),
            change: None,
            later: None,
            ranges: false,
            deletes: false,
            seen: Vec::new(),
            carried: 0,
            uploads: 0,
            now,
            tokens: BTreeMap::new(),
            files: Vec::new(),
            faults,
        }
    }

    fn respond(&mut self, request: &Request) -> ResponseTemplate {
        let call = self.wire.call(request);
        self.seen.push((call.clone(), request.clone()));
        let path = match request.url.query() {
            Some(query) => format!("{}?{query}", request.url.path()),
            None => request.url.path().to_owned(),
        };
        let method = request.method.as_str();
        self.faults.asked(method, &path, &request.body);
        self.carried += self.wire.sent(request).len() as u64;
        let Some(call) = call else {
            return ResponseTemplate::new(404);
        };
        if let Err(why) = self.wire.takes(request) {
            let (method, path) = (&request.method, request.url.path());
            let why = why.0;
            let fault = format!("the provider refuses {method} {path}: {why}");
            self.faults.note(fault);
            let body = self.wire.refusal_of(call.kind(), 400, &why);
            return ResponseTemplate::new(400).set_body_json(body);
        }
        let answer = self.prepared(call.kind());
        let usual = if answer.refuses {
            ResponseTemplate::new(500)
        } else {
            self.usual(&call, request)
        };
        let mut reply = match answer.says {
            Some(says) => {
                let mut reply =
                    ResponseTemplate::new(says.status).set_body_raw(says.body, says.mime);
                for (name, value) in says.headers {
                    reply = reply.append_header(name, value);
                }
                reply
            }
            None => usual,
        };
        if let Some(fault) = answer.fault {
            reply = reply.insert_header(FAULT, fault.as_str());
        }
        reply
    }

    fn prepared(&mut self, kind: CallKind) -> Answer {
        for prepared in self
            .prepared
            .iter_mut()
            .filter(|prepared| prepared.kind == kind)
        {
            if prepared.skip > 0 {
                prepared.skip -= 1;
            } else if prepared.times > 0 {
                prepared.times -= u32::from(prepared.times != u32::MAX);
                return prepared.answer.clone();
            }
        }
        Answer::default()
    }

    pub(crate) fn usual(&mut self, call: &Call, request: &Request) -> ResponseTemplate {
        match call {
            Call::Stage => {
                let file = self.next_file();
                self.wire.staged_as(request, &file)
            }
            Call::Create => {
                let batch = self.accept(request);
                self.json(call.kind(), self.wire.created(&batch))
            }
            Call::Status(id) => match self.find(id) {
                Some(batch) => self.json(call.kind(), self.wire.batch(batch)),
                None => self.refuse(call.kind(), 404),
            },
            Call::Cancel(id) => match self.find(id).cloned() {
                None => self.refuse(call.kind(), 404),
                Some(batch) if batch.status.is_terminal() => {
                    self.refuse(call.kind(), self.wire.cancel_of_ended())
                }
                Some(mut batch) => {
                    batch.status = BatchStatus::Cancelling;
                    self.json(call.kind(), self.wire.batch(&batch))
                }
            },
            Call::List(from) => {
                // Index of the first batch of a page: after the batch that the cursor names.
                let place = |id: &str| {
                    let mut batches = self.batches.iter();
                    batches.position(|batch| batch.id.as_str() == id)
                };
                let start = from.as_deref().and_then(place).map_or(0, |place| place + 1);
                self.list(start, self.page)
            }
            Call::ListPage { number, size } => {
                let size = size.map_or(self.page, |size| size as usize);
                self.list(*number as usize * size, size)
            }
            Call::Files(from) => self.list_files(from.as_deref()),
            Call::Probe => match self.wire.probed() {
                Some(body) => self.json(call.kind(), body),
                None => self.refuse(call.kind(), 404),
            },
            Call::Read(part) => {
                let rows = self.rows_now(*part);
                rows.map_or_else(
                    || self.refuse(call.kind(), 404),
                    |rows| self.rows(&rows, request),
                )
            }
            Call::ReadFile(name) => {
                let named = Part::of_file(name);
                let own = named
                    .clone()
                    .and_then(|(part, id)| self.own_rows.get(&(id, part)));
                let rows = own.cloned();
                let rows = rows.or_else(|| self.rows_now(named?.0));
                rows.map_or_else(
                    || self.refuse(call.kind(), 404),
                    |rows| self.rows(&rows, request),
                )
            }
            Call::Discard if self.deletes => self.json(call.kind(), self.wire.deleted(request)),
            Call::Discard => self.refuse(call.kind(), 404),
        }
    }

    /// Returns the name of the next upload.
    pub(crate) fn next_file(&mut self) -> String {
        self.uploads += 1;
        format!("upload-{}", self.uploads)
    }

    fn accept(&mut self, create: &Request) -> Described {
        let token = self.wire.token(create);
        let made = token.as_ref().and_then(|token| self.tokens.get(token));
        if let Some(batch) = made.and_then(|id| self.find(id)) {
            return batch.clone();
        }
        let batch = Described {
            id: self.wire.batch_id(self.batches.len() as u32 + 1),
            status: BatchStatus::InProgress,
            counts: RequestCounts {
                total: Some(std::mem::take(&mut self.carried)),
                ..RequestCounts::default()
            },
            label: self.wire.label(create),
            created_at: (self.now)(),
            parts: Vec::new(),
            problems: Vec::new(),
        };
        if let Some(token) = token {
            self.tokens.insert(token, batch.id.clone());
        }
        self.batches.insert(0, batch.clone());
        batch
    }

    fn find(&self, id: &BatchId) -> Option<&Described> {
        self.batches.iter().find(|batch| batch.id == *id)
    }

    fn list(&mut self, start: usize, size: usize) -> ResponseTemplate {
        let rest = self.batches.get(start..).unwrap_or_default();
        let page = &rest[..rest.len().min(size)];
        let next = page.last().filter(|_| rest.len() > page.len());
        let next = next.map(|batch| batch.id.as_str().to_owned());
        let listed = ListPage {
            batches: page.iter().map(|batch| self.wire.batch(batch)).collect(),
            next: self.cursor.clone().or(next),
            number: start.checked_div(size).unwrap_or(0) as u32,
            size: size as u32,
            total: self.batches.len() as u64,
        };
        self.json(CallKind::List, self.wire.list_page(listed))
    }

    fn list_files(&mut self, from: Option<&str>) -> ResponseTemplate {
        let place = |id: &str| self.files.iter().position(|file| file.id == id);
        let start = from.and_then(place).map_or(0, |place| place + 1);
        let rest = &self.files[start..];
        let page = &rest[..rest.len().min(self.page)];
        let next = page.last().filter(|_| rest.len() > page.len());
        match self.wire.files(page, next.map(|file| file.id.as_str())) {
            Some(body) => self.json(CallKind::Files, body),
            None => self.refuse(CallKind::Files, 404),
        }
    }

    /// Returns the rows of a part, which may change with each read.
    fn rows_now(&mut self, part: Part) -> Option<Vec<u8>> {
        let now = self.rows.get(&part).cloned();
        if let Some((of, reads, rows)) = &mut self.later
            && *of == part
        {
            *reads -= 1;
            if *reads == 0 {
                self.rows.insert(part, std::mem::take(rows));
                self.later = None;
            }
        }
        now
    }

    pub(crate) fn rows(&self, rows: &[u8], request: &Request) -> ResponseTemplate {
        let mime = "application/x-ndjson";
        let range = request.headers.get("range");
        let from = range.and_then(|range| {
            let from = range.to_str().ok()?.strip_prefix("bytes=")?;
            from.strip_suffix('-')?.parse::<usize>().ok()
        });
        match from.filter(|from| self.ranges && *from < rows.len()) {
            None => ResponseTemplate::new(200).set_body_raw(rows, mime),
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", rows.len() - 1, rows.len());
                ResponseTemplate::new(206)
                    .insert_header("content-range", range)
                    .set_body_raw(&rows[from..], mime)
            }
        }
    }

    fn refuse(&self, call: CallKind, status: u16) -> ResponseTemplate {
        let body = self.wire.refusal_of(call, status, "no");
        ResponseTemplate::new(status).set_body_json(body)
    }

    pub(crate) fn refuse_with(&self, status: u16, words: &str) -> ResponseTemplate {
        ResponseTemplate::new(status).set_body_json(self.wire.refusal(status, words))
    }

    pub(crate) fn json(&mut self, kind: CallKind, value: Value) -> ResponseTemplate {
        let value = match &self.change {
            Some(change) => change(kind, value),
            None => value,
        };
        let mut text = value.to_string().into_bytes();
        if self.wire.shape() == Shape::Document {
            text = self.with_rows(&text);
        }
        ResponseTemplate::new(200).set_body_raw(text, "application/json")
    }

    /// Replaces the placeholder of each batch in a document by its rows.
    fn with_rows(&mut self, text: &[u8]) -> Vec<u8> {
        let mark = format!("\"{ROWS}");
        let shared = self.rows_now(Part::All).unwrap_or_default();
        let mut out = Vec::with_capacity(text.len() + shared.len());
        let mut rest = text;
        while let Some(at) = rest
            .windows(mark.len())
            .position(|window| window == mark.as_bytes())
        {
            let id_at = at + mark.len();
            let id = rest[id_at..].split(|byte| *byte == b'"').next();
            let id = id.unwrap_or_default();
            let batch = BatchId::new(String::from_utf8_lossy(id));
            let own = self.own_rows.get(&(batch, Part::All));
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(own.unwrap_or(&shared));
            rest = &rest[(id_at + id.len() + 1).min(rest.len())..];
        }
        out.extend_from_slice(rest);
        out
    }
}
