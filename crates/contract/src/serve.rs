//! A wire's provider as a local server outside of tests.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lmbatch_core::{BatchId, BatchStatus, Clock as _};
use lmbatch_engine::SystemClock;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::desk::State;
use crate::kit::Around;
use crate::panics::{Faults, words};
use crate::wire::{Call, Part, Row, Sent, Wire};

/// A provider that listens on a port of this machine. It stops when this is dropped.
#[must_use = "the provider stops when this is dropped"]
pub struct Served {
    addr: SocketAddr,
    played: Arc<Mutex<Played>>,
    _server: MockServer,
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

impl Served {
    /// Returns the address that the provider listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the base URL of the provider, without a path, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns the number of created batches, each of which a real provider would charge for.
    pub fn creates(&self) -> usize {
        lock(&self.played).own.len()
    }
}

/// Serves the provider of a wire on a free port of 127.0.0.1 until the returned value is dropped. Nothing is
/// persisted.
///
/// | call | answer |
/// |---|---|
/// | upload | its requests are kept under a new file name, see [`Wire::staged_as`] |
/// | create | a batch of the requests in the create or in the upload that it names, see [`Wire::input`] |
/// | status | in progress the first time, and then completed |
/// | list | every batch, newest first, in pages of 100 |
/// | results | exactly one row for each request, from [`Wire::said`] |
/// | cancel | a batch in progress ends without further answers |
/// | deletion | confirmed; later creates that name the file are refused |
/// | anything else, or a request that [`Wire::takes`] refuses | the provider's own error object |
///
/// Any key is accepted, except one that begins with `bad`. A wire whose [`Wire::call`] returns [`Call::ReadFile`]
/// serves any number of batches; with [`Call::Read`], which names no batch, results can be read while one batch has
/// any.
///
/// ```no_run
/// # async fn try_it(wire: impl lmbatch_contract::Wire) -> std::io::Result<()> {
/// let server = lmbatch_contract::serve(wire).await?;
/// println!("the provider is at {}", server.url());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Returns the error of the system if no port can be bound.
pub async fn serve(wire: impl Wire) -> io::Result<Served> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let played = Arc::new(Mutex::new(Played::new(Arc::new(wire))));
    let builder = MockServer::builder().listener(listener);
    // Inputs may be large, and recorded requests are never read.
    let server = builder.disable_request_recording().start().await;
    let any = Mock::given(wiremock::matchers::any());
    any.respond_with(Plays(Arc::clone(&played)))
        .mount(&server)
        .await;
    Ok(Served {
        addr,
        played,
        _server: server,
    })
}

struct Plays(Arc<Mutex<Played>>);

impl Respond for Plays {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let respond = AssertUnwindSafe(|| lock(&self.0).respond(request));
        catch_unwind(respond).unwrap_or_else(|panic| {
            let why = format!("the wire panicked: {}", words(&*panic));
            ResponseTemplate::new(500).set_body_string(why)
        })
    }
}

fn lock(played: &Mutex<Played>) -> MutexGuard<'_, Played> {
    played.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Results of the requests of one upload or create.
#[derive(Clone, Default)]
struct Results {
    rows: BTreeMap<Part, Vec<u8>>,
    succeeded: u64,
    errored: u64,
}

impl Results {
    fn total(&self) -> u64 {
        self.succeeded + self.errored
    }

    fn add(&mut self, sent: &[Sent], wire: &dyn Wire) {
        let around = Around::usual(wire.shape());
        for one in sent {
            let row = wire.said(one);
            match row {
                Row::Succeeded(_) => self.succeeded += 1,
                Row::Errored(_) => self.errored += 1,
            }
            let rows = self.rows.entry(wire.part(&row)).or_default();
            if !rows.is_empty() {
                rows.extend_from_slice(around.between.as_bytes());
            }
            rows.extend_from_slice(wire.row(&one.id, &row).to_string().as_bytes());
        }
    }
}

/// A batch that was created on this server.
struct Own {
    results: Results,
    /// True after the first status call.
    is_seen: bool,
}

struct Played {
    state: State,
    /// Uploads by file name.
    inputs: BTreeMap<String, Results>,
    /// Results for everything uploaded since the last create.
    carried: Results,
    own: BTreeMap<BatchId, Own>,
}

impl Played {
    fn new(wire: Arc<dyn Wire>) -> Self {
        let now = || SystemClock::new().now();
        let mut state = State::new(wire, Faults::default(), now);
        state.ranges = true;
        state.deletes = true;
        Self {
            state,
            inputs: BTreeMap::new(),
            carried: Results::default(),
            own: BTreeMap::new(),
        }
    }

    fn respond(&mut self, request: &Request) -> ResponseTemplate {
        let wire = Arc::clone(&self.state.wire);
        let Some(call) = wire.call(request) else {
            return self.state.refuse_with(404, "the provider has no such call");
        };
        if !has_key(&*wire, request) {
            return self.state.refuse_with(401, "the key is not accepted");
        }
        if let Err(why) = wire.takes(request) {
            return self.state.refuse_with(400, &why.0);
        }
        match &call {
            Call::Stage => return self.stage(request),
            Call::Create => return self.create(request),
            Call::Status(id) => self.advance(id),
            Call::Cancel(id) => return self.cancel(id, &call, request),
            Call::Read(part) => return self.read(*part, request),
            Call::Discard => {
                let path = request.url.path();
                self.inputs.retain(|file, _| !names(path, file));
            }
            _ => {}
        }
        self.state.usual(&call, request)
    }

    fn stage(&mut self, request: &Request) -> ResponseTemplate {
        let wire = Arc::clone(&self.state.wire);
        let file = self.state.next_file();
        let sent = wire.sent(request);
        let mut results = Results::default();
        results.add(&sent, &*wire);
        self.inputs.insert(file.clone(), results);
        self.carried.add(&sent, &*wire);
        wire.staged_as(request, &file)
    }

    fn create(&mut self, request: &Request) -> ResponseTemplate {
        let wire = Arc::clone(&self.state.wire);
        let mut results = match wire.input(request) {
            Some(file) => match self.inputs.get(&file) {
                Some(results) => results.clone(),
                None => return self.state.refuse_with(400, "there is no such file"),
            },
            None => std::mem::take(&mut self.carried),
        };
        results.add(&wire.sent(request), &*wire);
        self.carried = Results::default();
        if results.total() == 0 {
            return self.state.refuse_with(400, "the batch has no requests");
        }
        self.state.carried = results.total();
        let reply = self.state.usual(&Call::Create, request);
        // A repeated create with the same token makes no second batch.
        if let Some(batch) = self.state.batches.first() {
            let own = Own {
                results,
                is_seen: false,
            };
            self.own.entry(batch.id.clone()).or_insert(own);
        }
        reply
    }

    /// Ends a batch on its second status call; the first one finds it in progress.
    fn advance(&mut self, id: &BatchId) {
        let Some(own) = self.own.get_mut(id) else {
            return;
        };
        let mut batches = self.state.batches.iter_mut();
        let Some(batch) = batches.find(|batch| batch.id == *id) else {
            return;
        };
        match &batch.status {
            status if status.is_terminal() => {}
            BatchStatus::Cancelling => {
                batch.status = BatchStatus::Cancelled;
                batch.counts.cancelled = own.results.total();
            }
            _ if !std::mem::replace(&mut own.is_seen, true) => {}
            _ => {
                batch.status = BatchStatus::Completed;
                batch.counts.succeeded = own.results.succeeded;
                batch.counts.errored = own.results.errored;
                let around = Around::usual(self.state.wire.shape());
                for (part, mut rows) in std::mem::take(&mut own.results.rows) {
                    rows.extend_from_slice(around.after.as_bytes());
                    batch.parts.push(part);
                    self.state.own_rows.insert((id.clone(), part), rows);
                }
            }
        }
    }

    fn cancel(&mut self, id: &BatchId, call: &Call, request: &Request) -> ResponseTemplate {
        let reply = self.state.usual(call, request);
        let mut batches = self.state.batches.iter_mut();
        let found = batches.find(|batch| batch.id == *id);
        if let Some(batch) = found.filter(|batch| !batch.status.is_terminal()) {
            batch.status = BatchStatus::Cancelling;
        }
        reply
    }

    /// Returns the rows of a part, if only one batch has it.
    fn read(&mut self, part: Part, request: &Request) -> ResponseTemplate {
        let all = self.state.own_rows.iter();
        let mut of_part = all.filter(|((_, of), _)| *of == part);
        match (of_part.next(), of_part.next()) {
            (Some((_, rows)), None) => self.state.rows(rows, request),
            (None, _) => self.state.refuse_with(404, "there are no results yet"),
            (Some(_), Some(_)) => self.state.refuse_with(
                409,
                "several batches have results, and the wire's call does not name one: return Call::ReadFile",
            ),
        }
    }
}

/// Returns whether a request carries an accepted key: any that does not begin with `bad`.
fn has_key(wire: &dyn Wire, request: &Request) -> bool {
    let (name, around) = wire.credential("");
    let value = request.headers.get(name);
    let Some(value) = value.and_then(|value| value.to_str().ok()) else {
        return false;
    };
    // A scheme that does not write the key itself only allows a check that the header is present.
    let key = value.strip_prefix(around.as_str()).unwrap_or(value);
    !key.trim().is_empty() && !key.trim_start().starts_with("bad")
}

/// Returns whether a path contains an id as a whole segment.
fn names(path: &str, id: &str) -> bool {
    path.match_indices(id).any(|(at, _)| {
        let after = path[at + id.len()..].chars().next();
        path[..at].ends_with('/') && matches!(after, None | Some('/' | ':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_whole_ids_only() {
        for (path, id, expected) in [
            ("/files/upload-1", "upload-1", true),
            ("/files/upload-10", "upload-1", false),
            ("/files/upload-1/content", "upload-1", true),
            ("/v1/files/upload-1:delete", "upload-1", true),
            ("/files/my-upload-1", "upload-1", false),
        ] {
            assert_eq!(names(path, id), expected, "{path} and {id}");
        }
    }
}
