use std::sync::Arc;

use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProvider, BatchSnapshot, BatchStatus,
    ErrorKind, Intent, Label, ResultPart, ResultSet, RowStream, Shard, ShardKey, ShardRecord,
    ShardState,
};

use super::*;
use crate::memory::MemoryLedger;
use crate::services::fixture::recorded_run;

mockall::mock! {
    /// Provider that only reports its account; any other call fails the test.
    #[derive(Debug)]
    Provider {
        fn codec(&self) -> &'static dyn BatchCodec;
        fn account(&self) -> AccountId;
        fn create(&self, label: &str) -> Result<BatchId>;
        fn status(&self, batch: &BatchId) -> Result<BatchSnapshot>;
        fn results(&self, batch: &BatchId) -> Result<ResultSet>;
        fn read(&self, from: u64) -> Result<RowStream>;
    }
}

// Written by hand, since mockall cannot name the lifetimes of some arguments of the trait.
#[async_trait::async_trait]
impl BatchProvider for MockProvider {
    fn codec(&self) -> &dyn BatchCodec {
        self.codec()
    }
    fn account(&self) -> AccountId {
        self.account()
    }
    async fn create(&self, _: &Shard, intent: &Intent) -> Result<BatchId> {
        self.create(intent.label.as_str())
    }
    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.status(batch)
    }
    async fn results(&self, _: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        self.results(batch)
    }
    async fn read(&self, _: &ResultPart, from: u64) -> Result<RowStream> {
        self.read(from)
    }
}

/// Returns a context whose provider only reports its account.
fn context() -> Context {
    let mut provider = MockProvider::new();
    provider
        .expect_account()
        .returning(|| AccountId::from("mine"));
    Context {
        ledger: Arc::new(MemoryLedger::default()),
        ..Context::new(Arc::new(provider))
    }
}

/// State of the only batch of a recorded run.
#[derive(Clone, Copy)]
enum Batch {
    Refused,
    Answered,
    Unanswered,
}

fn shard(run: &str, batch: Batch) -> ShardRecord {
    let ended = |succeeded| {
        let mut snapshot = BatchSnapshot::new(BatchId::new("b"), BatchStatus::Completed);
        snapshot.counts.succeeded = succeeded;
        ShardState::Ended(snapshot)
    };
    ShardRecord {
        key: ShardKey {
            run: run.into(),
            shard: 0,
        },
        label: Label::new("lmbatch-abcdefghijkl-0"),
        class: BatchClass::new("/v1", "file"),
        count: 3,
        bytes: 0,
        checksum: None,
        tables: None,
        attempt: 0,
        repair: false,
        epoch: 0,
        state: match batch {
            Batch::Refused => ShardState::Refused,
            Batch::Answered => ended(2),
            Batch::Unanswered => ended(0),
        },
        progress: Default::default(),
        proof: None,
        doubted: None,
        remote_objects: Vec::new(),
        sent_twice: false,
        cost: None,
    }
}

fn query(name: Option<&'static str>, on_known: OnKnownRun) -> RunQuery<'static> {
    RunQuery {
        name,
        digest: "equal",
        files: Some(("in", "out")),
        notes: None,
        on_known,
    }
}

/// Names a result in one word.
fn word(found: &SameRun) -> &'static str {
    match found {
        SameRun::New {
            superseded,
            duplicate,
        } => match (superseded.is_empty(), duplicate) {
            (true, None) => "new",
            (true, Some(_)) => "paid again",
            (false, None) => "replaces",
            (false, Some(_)) => "replaces, paid again",
        },
        SameRun::Same(_) => "same",
        SameRun::Pilot(_) => "pilot",
        SameRun::Changed { .. } => "changed",
        SameRun::Conflict(conflict) => match conflict {
            RunConflict::NameTaken(_) => "name taken",
            RunConflict::Cancelled(_) => "cancelled",
            RunConflict::OtherAccount { .. } => "other account",
            RunConflict::OtherRequests {
                is_refused: true, ..
            } => "other requests, refused",
            RunConflict::OtherRequests { .. } => "other requests",
            RunConflict::ChangedInput(_) => "changed input",
            RunConflict::NothingToUpdate => "nothing to update",
        },
    }
}

#[tokio::test]
async fn each_kind_of_recorded_run_is_compared_by_one_rule() {
    use Batch::{Answered, Refused, Unanswered};
    use OnKnownRun::{Continue, SendAgain, Update};
    let other_account: fn(&mut RunRecord) = |run| run.account = "other".into();
    let other_requests: fn(&mut RunRecord) = |run| run.digest = "other".into();
    let cancelled: fn(&mut RunRecord) = |run| run.cancelled = true;
    let cancelled_other: fn(&mut RunRecord) = |run| {
        run.cancelled = true;
        run.digest = "other".into();
    };
    let other_files: fn(&mut RunRecord) = |run| {
        run.digest = "other".into();
        run.notes.insert("output".into(), "else".into());
    };
    let as_it_is: fn(&mut RunRecord) = |_| {};
    let pilot: fn(&mut RunRecord) = |run| run.pilot_of = Some(9);
    let other_pilot: fn(&mut RunRecord) = |run| {
        run.pilot_of = Some(9);
        run.digest = "other".into();
    };
    let (a, b) = (Some("a"), Some("b"));
    for (recorded_as, change, batch, asked_as, on_known, wanted) in [
        // The name of the call is that of a run.
        (a, as_it_is, Answered, a, Continue, "same"),
        (a, as_it_is, Answered, a, Update, "same"),
        (a, as_it_is, Refused, a, Continue, "same"),
        (a, as_it_is, Answered, a, SendAgain, "name taken"),
        (a, cancelled, Answered, a, Continue, "cancelled"),
        (a, cancelled_other, Answered, a, Update, "cancelled"),
        (a, other_account, Answered, a, Continue, "other account"),
        (a, other_account, Answered, a, Update, "other account"),
        (a, other_requests, Answered, a, Continue, "other requests"),
        (a, other_requests, Answered, a, Update, "changed"),
        (
            a,
            other_requests,
            Refused,
            a,
            Continue,
            "other requests, refused",
        ),
        (
            a,
            other_requests,
            Refused,
            a,
            Update,
            "other requests, refused",
        ),
        // A pilot of the requests, or of others.
        (a, pilot, Answered, a, Continue, "pilot"),
        (a, pilot, Answered, a, Update, "pilot"),
        (a, pilot, Answered, b, Continue, "paid again"),
        (a, other_pilot, Answered, a, Continue, "other requests"),
        (None, pilot, Answered, None, Continue, "pilot"),
        (None, pilot, Answered, None, SendAgain, "new"),
        (None, other_pilot, Answered, None, Continue, "changed input"),
        (None, other_pilot, Answered, None, Update, "changed"),
        // A new name for requests that were sent.
        (a, as_it_is, Answered, b, Continue, "paid again"),
        (a, as_it_is, Answered, b, Update, "paid again"),
        (a, as_it_is, Refused, b, Continue, "new"),
        (a, as_it_is, Answered, b, SendAgain, "new"),
        (a, other_account, Answered, b, Continue, "new"),
        (None, as_it_is, Answered, b, Continue, "paid again"),
        (None, cancelled, Answered, b, Continue, "paid again"),
        (None, cancelled, Unanswered, b, Continue, "new"),
        // A call without a name.
        (None, as_it_is, Answered, None, Continue, "same"),
        (None, as_it_is, Answered, None, Update, "same"),
        (None, as_it_is, Answered, None, SendAgain, "new"),
        (None, cancelled, Answered, None, Continue, "paid again"),
        (None, cancelled, Unanswered, None, Continue, "new"),
        (None, other_account, Answered, None, Continue, "new"),
        (
            None,
            other_requests,
            Answered,
            None,
            Continue,
            "changed input",
        ),
        (None, other_requests, Answered, None, Update, "changed"),
        (None, other_requests, Answered, None, SendAgain, "new"),
        (None, other_requests, Refused, None, Continue, "replaces"),
        (None, other_requests, Refused, None, Update, "replaces"),
        (None, cancelled_other, Answered, None, Continue, "new"),
        (None, other_files, Answered, None, Continue, "new"),
        (
            None,
            other_files,
            Answered,
            None,
            Update,
            "nothing to update",
        ),
        (a, as_it_is, Answered, None, Continue, "paid again"),
        (a, other_requests, Answered, None, Continue, "new"),
    ] {
        let (context, mut run) = (context(), recorded_run(recorded_as));
        change(&mut run);
        let shards = [shard(&run.id, batch)];
        context.ledger.begin(&run, &shards).await.unwrap();
        let found = context.same_run(&query(asked_as, on_known)).await.unwrap();
        assert_eq!(
            word(&found),
            wanted,
            "{recorded_as:?} {asked_as:?} {on_known:?} {run:?}"
        );
    }
}

#[tokio::test]
async fn standard_input_is_never_an_earlier_version() {
    let (context, mut run) = (context(), recorded_run(None));
    run.digest = "other".into();
    run.notes.insert("input".into(), "-".into());
    let shards = [shard(&run.id, Batch::Answered)];
    context.ledger.begin(&run, &shards).await.unwrap();
    let query = RunQuery {
        files: Some(("-", "out")),
        ..query(None, OnKnownRun::Continue)
    };
    assert_eq!(word(&context.same_run(&query).await.unwrap()), "new");
}

#[tokio::test]
async fn a_changed_input_is_recognised_with_any_output() {
    use OnKnownRun::{Continue, SendAgain, Update};
    let notes = |pairs: &[(&str, &str)]| -> BTreeMap<Box<str>, Box<str>> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    };
    let asked = [
        (INPUT_FILE, "/a/in"),
        ("model", "m"),
        ("settings", "{}"),
        (REQUEST_SETTINGS, "{}"),
    ];
    for (recorded, on_known, wanted) in [
        (&asked[..], Continue, "changed input"),
        (&asked[..], Update, "changed"),
        (&asked[..], SendAgain, "new"),
        (
            &[(INPUT_FILE, "/b/in"), asked[1], asked[2]],
            Continue,
            "new",
        ),
        (&[asked[0], ("model", "n"), asked[2]], Continue, "new"),
        (&[asked[0], asked[1], ("settings", "{1}")], Continue, "new"),
        (
            &[asked[0], asked[1], asked[2], ("route", "chat")],
            Continue,
            "new",
        ),
        (&asked[1..], Continue, "new"),
        // The settings of the requests count where the record has them.
        (
            &[asked[0], asked[1], ("settings", "{1}"), asked[3]],
            Continue,
            "changed input",
        ),
        (
            &[asked[0], asked[1], asked[2], (REQUEST_SETTINGS, "{1}")],
            Continue,
            "new",
        ),
    ] {
        for (batch, name, cancelled) in [
            (Batch::Answered, None, false),
            (Batch::Refused, None, false),
            (Batch::Answered, Some("mine"), false),
            (Batch::Answered, None, true),
        ] {
            let (context, mut run) = (context(), recorded_run(name));
            run.digest = "other".into();
            run.cancelled = cancelled;
            run.notes = notes(recorded);
            run.notes.insert("output".into(), "else".into());
            let shards = [shard(&run.id, batch)];
            context.ledger.begin(&run, &shards).await.unwrap();
            let asked = notes(&asked);
            let query = RunQuery {
                notes: Some(&asked),
                ..query(None, on_known)
            };
            let is_usual = matches!(batch, Batch::Answered) && name.is_none() && !cancelled;
            let is_named = name.is_some();
            let wanted = match (is_usual, on_known) {
                (true, _) => wanted,
                (false, Update) => "nothing to update",
                // What both versions have is paid for again, after a warning.
                (false, Continue) if is_named && wanted == "changed input" => "paid again",
                (false, _) => "new",
            };
            let found = context.same_run(&query).await.unwrap();
            assert_eq!(word(&found), wanted, "{on_known:?} {run:?}");
        }
    }
}

#[test]
fn a_conflict_of_a_named_run_is_an_error_that_names_it() {
    let run = || Box::new(recorded_run(Some("mine")));
    for (conflict, kind, text) in [
        (
            RunConflict::Cancelled(run()),
            ErrorKind::InvalidInput,
            "is cancelled",
        ),
        (
            RunConflict::OtherAccount {
                run: run(),
                is_refused: false,
            },
            ErrorKind::OtherAccount,
            "another base URL",
        ),
        (
            RunConflict::OtherRequests {
                run: run(),
                is_refused: true,
            },
            ErrorKind::InvalidInput,
            "of other requests",
        ),
    ] {
        let error = conflict.into_error();
        assert_eq!(error.kind(), kind);
        let said = error.to_string();
        assert!(said.contains(text) && said.contains("r-1"), "{said}");
    }
}
