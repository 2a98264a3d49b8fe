//! Names of the files of a run in the spool. No other file of the engine spells out such a name.
//!
//! A name consists of the stem of the run, a full stop, and one of the words below. The layouts are
//! described in `docs/architecture.md`.

/// Returns the name of the body of a shard: its rows as they are sent.
pub(crate) fn body(shard: u32) -> String {
    format!("body-{shard}")
}

/// Returns the name of the table of the rows of a shard.
pub(crate) fn rows(shard: u32) -> String {
    format!("rows-{shard}")
}

/// Returns the name of the echo of a shard: the ids, metadata and schemas of its requests.
pub(crate) fn echo(shard: u32) -> String {
    format!("echo-{shard}")
}

/// Returns the name of the echo of a shard whose run was converted from layout 1. Such a run may
/// have a file `echo-1` of another kind, which stays until the record names the new files.
pub(crate) fn converted_echo(shard: u32) -> String {
    format!("echo-{shard}-2")
}

/// Returns the name of the output order of a run whose input was changed.
pub(crate) fn order(table: u32) -> String {
    format!("order-{table}")
}

/// Returns the name of the echo of a run whose input was changed, in the order of its output.
pub(crate) fn order_echo(table: u32) -> String {
    format!("order-echo-{table}")
}

/// Name of the ids of a batch without a run.
pub(crate) const BATCH_ECHO: &str = "echo";

/// Returns the stem of the files of one reading of results, which no other reading of any process
/// has.
pub(crate) fn results(shard: u32, process: u32, reading: u64) -> String {
    format!("{shard}-{process:x}-{reading}")
}

/// Returns the name of a segment of a reading of results.
pub(crate) fn segment(results: &str, number: u32) -> String {
    format!("segment-{results}-{number}")
}

/// Returns the number of a segment by its name: segments are numbered in the order in which they were fetched.
pub(crate) fn segment_number(name: &str) -> u32 {
    let digits = name.rsplit('-').next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

/// Returns the name of the location table of a reading of results.
pub(crate) fn locations(results: &str) -> String {
    format!("locations-{results}")
}

/// Returns the name of the entry that a create is about to be sent.
pub(crate) fn posting(shard: u32) -> String {
    format!("posting-{shard}")
}

/// Returns the name of the entry that names the batch of a create.
pub(crate) fn created(shard: u32) -> String {
    format!("created-{shard}")
}

/// Returns whether a file holds prompts or answers, or only makes sense beside them, by its name without
/// the stem. Tables of ids, and the entries of creates, do not.
pub(crate) fn holds_content(name: &str) -> bool {
    ["body-", "segment-", "locations-"]
        .iter()
        .any(|kind| name.starts_with(kind))
}

/// Names of files of a run without the stem, and whether they hold prompts or answers.
#[cfg(test)]
pub(crate) const SAMPLES: [(&str, bool); 10] = [
    ("body-0", true),
    ("body-12", true),
    ("segment-0-4ce5-5-0", true),
    ("segment-1-4ce5-6-0", true),
    ("locations-0-4ce5-5", true),
    ("rows-0", false),
    ("echo-0", false),
    ("order-1", false),
    ("posting-0", false),
    ("created-0", false),
];

/// Names of layout 1, which has one table and one echo for a run and each attempt.
pub(crate) mod former {
    use lmbatch_core::RunRecord;

    /// Name of the echo of the run, in the order of the input.
    pub(crate) const ECHO: &str = "echo";

    /// Returns the name of the table of sent requests of a run, as of an attempt.
    pub(crate) fn sent(attempt: u32) -> String {
        match attempt {
            0 => "sent".to_owned(),
            attempt => format!("sent-{attempt}"),
        }
    }

    /// Returns the name of the echo in the order of the output.
    pub(crate) fn order_echo(table: u32) -> String {
        format!("echo-{table}")
    }

    /// Returns the names of the files that a run in layout 1 may have but a run in layout 2 has
    /// not.
    pub(crate) fn names(run: &RunRecord) -> Vec<String> {
        let mut names = vec![ECHO.to_owned()];
        names.extend((0..=run.attempt).map(sent));
        // Without a changed input, these names belong to files of shards.
        if run.order.is_some() {
            names.extend((1..=run.attempt).map(order_echo));
        }
        names
    }
}
