//! Commands that only read a record need neither a key nor a claim: another process may advance the run.

use lmbatch::durable::StateFolder;
use lmbatch_core::{Ledger as _, RunFilter};
use lmbatch_tests::{Emulating, lines, said, write_input};
use serde_json::json;

#[test]
fn commands_that_only_read_a_record_need_no_key_and_no_claim() {
    let emulating = Emulating::start();
    let folder = tempfile::tempdir().expect("a folder");
    write_input(
        folder.path(),
        [
            json!({"id": "a", "prompt": "1"}),
            json!({"id": "b", "prompt": "lmb:error-400"}),
        ],
    );
    let run = ["run", "in.jsonl", "-m", "openai/m", "--run", "mine"];
    let how = ["-o", "out.jsonl", "--poll-interval", "10ms"];
    let run = emulating.run_at("openai", folder.path(), &[&run[..], &how].concat());
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    let billed = emulating.bill();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let held = runtime.block_on(async {
        let state = StateFolder::write(folder.path().join(".lmbatch")).expect("the folder");
        let ledger = state.ledger().await.expect("the record");
        let run = ledger
            .all_runs(RunFilter::default())
            .await
            .expect("runs")
            .remove(0);
        let held = ledger.claim(&run.id).await.expect("the claim");
        ledger.close().await.expect("the end");
        held
    });
    for (asked, says) in [
        (&["runs"][..], "mine"),
        (&["show", "mine"], "fetched"),
        (&["status", "mine"], "finished"),
        (&["audit", "mine"], "every request has exactly one outcome"),
        (&["retrieve", "mine", "-o", "again.jsonl"], "errored"),
        (&["requeue", "mine", "--dry-run"], "1 request would be sent"),
    ] {
        let mut command = emulating.command_at("openai", folder.path());
        command
            .env_remove("OPENAI_API_KEY")
            .env_remove("LMBATCH_LOG");
        let read = command.args(asked).output().expect("the command");
        let text = said(&read);
        assert!(text.contains(says), "{asked:?}: {text}");
        assert!(
            matches!(read.status.code(), Some(0 | 3)),
            "{asked:?}: {text}"
        );
    }
    let (first, again) = ("out.jsonl", "again.jsonl");
    let read = |name| lines(&folder.path().join(name));
    assert_eq!(read(first), read(again));
    assert_eq!(emulating.bill(), billed);
    drop(held);
}
