//! Errors in the middle of planning.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lmbatch_core::{
    BatchProvider as _, ContentView, Error, ErrorKind, GenerateView, MessageView, RequestView,
    Role, Spool, SpoolFile, SpoolWriter, Text,
};
use lmbatch_engine::{
    BatchLimit, Engine, IdView, PlanError, RequestEntry, RequestSource, SourcedRequest, check_each,
};
use lmbatch_testing::{MemoryProvider, MemorySpool, Script, TestClock};

/// Spool with room for a given number of bytes in named files.
#[derive(Debug)]
struct Small {
    inner: MemorySpool,
    room: Arc<AtomicU64>,
}

struct SmallWriter {
    inner: Box<dyn SpoolWriter>,
    room: Arc<AtomicU64>,
}

impl io::Write for SmallWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = |room: u64| room.checked_sub(bytes.len() as u64);
        let room = &self.room;
        match room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken) {
            Ok(_) => self.inner.write(bytes),
            Err(_) => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl SpoolWriter for SmallWriter {
    fn sync(&mut self) -> io::Result<()> {
        self.inner.sync()
    }
}

impl Spool for Small {
    fn create(&self, name: &str) -> io::Result<Box<dyn SpoolWriter>> {
        Ok(Box::new(SmallWriter {
            inner: self.inner.create(name)?,
            room: Arc::clone(&self.room),
        }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SpoolFile>> {
        self.inner.open(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn scratch(&self) -> io::Result<Arc<dyn SpoolFile>> {
        self.inner.scratch()
    }
}

/// Source of requests of some kilobytes, up to one that cannot be read.
struct Breaking {
    prompt: String,
    readable: u64,
    position: Arc<AtomicU64>,
}

impl RequestSource for Breaking {
    fn next(&mut self, visit: &mut dyn FnMut(SourcedRequest<'_>)) -> Result<bool, Error> {
        let position = self.position.fetch_add(1, Ordering::Relaxed) + 1;
        if position > self.readable {
            return Err(Error::new(ErrorKind::Local).with_message("the input breaks off"));
        }
        let id = position.to_string();
        let contents = vec![ContentView::Text(Text::Plain(&self.prompt))];
        let role = Role::User;
        visit(SourcedRequest {
            position,
            entry: Ok(RequestEntry {
                id: IdView::Text(Text::Plain(&id)),
                request: RequestView::Generate(GenerateView {
                    model: Text::Plain("m"),
                    system: None,
                    messages: vec![MessageView { role, contents }],
                    tools: &[],
                    tool_choice: None,
                    schema: None,
                    thinking: None,
                    hyperparameters: Default::default(),
                }),
                metadata: None,
                schema: None,
                folder: None,
            }),
        });
        Ok(true)
    }
}

/// Plans requests of 4 KiB. Returns the error, and the number of requests that were read.
fn error(room: u64, readable: u64) -> (Error, u64) {
    let provider = MemoryProvider::new(Arc::new(TestClock::default()), Script::default());
    let spool = Small {
        inner: MemorySpool::default(),
        room: Arc::new(AtomicU64::new(room)),
    };
    let position = Arc::new(AtomicU64::new(0));
    let source = Box::new(Breaking {
        prompt: "x".repeat(4 << 10),
        readable,
        position: Arc::clone(&position),
    });
    let engine = Engine::new(Arc::new(provider)).with_spool(Arc::new(spool));
    let planned = futures::executor::block_on(engine.plan(source));
    let Err(PlanError::Failed(error)) = planned else {
        panic!("{planned:?}");
    };
    (error, position.load(Ordering::Relaxed))
}

#[test]
fn a_full_spool_ends_planning_with_its_own_error() {
    let (error, read) = error(1 << 20, 100_000);
    assert_eq!(error.kind(), ErrorKind::Local);
    assert!(error.to_string().contains("is full"), "{error}");
    assert!(read < 2_000, "{read}");
}

#[test]
fn an_input_that_breaks_off_ends_planning_with_its_own_error() {
    let (error, _) = error(1 << 30, 1_000);
    assert!(
        error.to_string().contains("the input breaks off"),
        "{error}"
    );
}

#[test]
fn the_error_of_the_earlier_request_is_reported() {
    // The spool is full before the input breaks off.
    let (error, _) = error(1 << 20, 400);
    assert!(error.to_string().contains("is full"), "{error}");
}

#[test]
fn each_request_is_seen_once_as_it_is_sent_and_in_order() {
    let provider = MemoryProvider::new(Arc::new(TestClock::default()), Script::default());
    let source = Box::new(Breaking {
        prompt: "x".repeat(100),
        readable: 3,
        position: Arc::new(AtomicU64::new(0)),
    });
    let mut seen = Vec::new();
    let checked = check_each(
        provider.codec(),
        source,
        BatchLimit::default(),
        &mut |request| {
            let row = String::from_utf8(request.row().to_vec()).unwrap();
            assert!(row.contains(&"x".repeat(100)), "{row}");
            assert_eq!(
                request.estimated_input_tokens(),
                (row.len() as u64).div_ceil(3)
            );
            assert_eq!(request.model().as_deref(), Some("m"));
            assert!(!request.has_attachments() && request.max_output_tokens().is_none());
            assert!(!format!("{request:?}").contains('x'));
            seen.push((request.position(), request.id().to_owned()));
        },
    );
    assert!(checked.is_err(), "the source breaks off");
    let wanted = [1, 2, 3].map(|position: u64| (position, position.to_string()));
    assert_eq!(seen, wanted);
}
