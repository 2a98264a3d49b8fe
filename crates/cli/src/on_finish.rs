//! Hook of `--on-finish`: a shell command that runs once a run has ended or failed.

use std::process::{Command, ExitStatus, Stdio};

use serde_json::Value;
use tokio::sync::oneshot;

use crate::exit::Exit;
use crate::{plain, terminal};

/// Maximum length of the summary in the environment, in bytes. The system limits a variable to 128 KiB.
const MOST: usize = 100_000;

/// End of a run, for the hook.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    /// Id of the run; `None` for a run that is not recorded.
    pub(crate) run: Option<&'a str>,
    pub(crate) exit: Exit,
    pub(crate) output: String,
    /// Summary of the run, or the error that ended it.
    pub(crate) summary: Value,
}

/// Runs a command by the shell, and waits for it. A failure is a warning.
pub(crate) async fn run(command: &str, ended: Ended<'_>) {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .env("LMBATCH_RUN", ended.run.unwrap_or_default())
        .env("LMBATCH_EXIT", (ended.exit as u8).to_string())
        .env("LMBATCH_OUTPUT", &ended.output)
        .env("LMBATCH_SUMMARY", summary(ended.summary))
        .stdin(Stdio::null())
        // Standard output may be the outcomes, or the summary for a program.
        .stdout(std::io::stderr());
    let (done, waited) = oneshot::channel();
    let thread = std::thread::Builder::new().name("on-finish".to_owned());
    let started = thread.spawn(move || {
        // The receiver is dropped if the command has stopped.
        let _ = done.send(shell.status());
    });
    if let Err(error) = started {
        return terminal::warn(&format!("--on-finish did not run: {error}"));
    }
    match waited.await {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => terminal::warn(&format!("--on-finish ended with {}", end(status))),
        Ok(Err(error)) => terminal::warn(&format!("--on-finish did not run: {error}")),
        Err(_) => terminal::warn("--on-finish did not run"),
    }
}

fn end(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    }
}

/// Returns the summary as one line of JSON that fits into a variable.
fn summary(mut value: Value) -> String {
    let text = plain::json(value.clone());
    if text.len() <= MOST {
        return text;
    }
    // The ids of thousands of batches are in the record as well.
    if let Some(members) = value.as_object_mut() {
        members.remove("batches");
        members.remove("failures");
    }
    plain::json(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_summary_is_cut_to_what_a_variable_can_hold() {
        let ids: Vec<String> = (0..20_000).map(|id| format!("batch_{id}")).collect();
        let text = summary(json!({"requests": 3, "batches": ids}));
        assert_eq!(text, r#"{"requests":3}"#);
        assert_eq!(summary(json!({"batches": ["a"]})), r#"{"batches":["a"]}"#);
    }

    #[tokio::test]
    async fn the_hook_receives_the_end_of_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("said");
        let command = format!(
            "printf '%s\\n' \"$LMBATCH_RUN\" \"$LMBATCH_EXIT\" \"$LMBATCH_OUTPUT\" \"$LMBATCH_SUMMARY\" > '{}'; exit 3",
            path.display()
        );
        let ended = Ended {
            run: Some("r-1"),
            exit: Exit::Unusable,
            output: "out.jsonl".to_owned(),
            summary: json!({"usable": 2}),
        };
        run(&command, ended).await;
        let said = std::fs::read_to_string(path).unwrap();
        assert_eq!(said, "r-1\n3\nout.jsonl\n{\"usable\":2}\n");
    }
}
