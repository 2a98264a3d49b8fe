//! Names of the files that a run keeps in the spool. No other file of the engine spells one.
//!
//! The name of a file is the stem of its run, a full stop, and one of the words below. Layouts are described in
//! `docs/architecture.md`.

/// Returns the name of the rows of a shard, as they are sent.
pub(crate) fn body(shard: u32) -> String {
    format!("body-{shard}")
}

/// Returns the name of the table of the rows of a shard.
pub(crate) fn rows(shard: u32) -> String {
    format!("rows-{shard}")
}

/// Returns the name of the ids, metadata and schemas of a shard.
pub(crate) fn echo(shard: u32) -> String {
    format!("echo-{shard}")
}

/// Returns the name of the ids, metadata and schemas of a shard whose run was converted from layout 1. Such a
/// run may have a file `echo-1` of another kind, which stays until the record names the new files.
pub(crate) fn converted_echo(shard: u32) -> String {
    format!("echo-{shard}-2")
}

/// Returns the name of the order of the output of a run whose input was changed.
pub(crate) fn order(table: u32) -> String {
    format!("order-{table}")
}

/// Returns the name of the ids, metadata and schemas of a run whose input was changed, in the order of its
/// output.
pub(crate) fn order_echo(table: u32) -> String {
    format!("order-echo-{table}")
}

/// Name of the ids of a batch that no run is made of.
pub(crate) const BATCH_ECHO: &str = "echo";

/// Returns what the names of the files of one reading of results have in common: no other reading, of this
/// process or of another, has it.
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

/// Returns the name of the table of places of a reading of results.
pub(crate) fn locations(results: &str) -> String {
    format!("locations-{results}")
}

/// Returns the name of the note that a create is about to be sent.
pub(crate) fn posting(shard: u32) -> String {
    format!("posting-{shard}")
}

/// Returns the name of the note of the batch that a create made.
pub(crate) fn created(shard: u32) -> String {
    format!("created-{shard}")
}

/// Names of layout 1, which has one table and one echo for a run and each attempt.
pub(crate) mod former {
    use lmbatch_core::RunRecord;

    /// Name of the ids, metadata and schemas of the run, in the order of the input.
    pub(crate) const ECHO: &str = "echo";

    /// Returns the name of the table that says where the requests of a run are, as of an attempt.
    pub(crate) fn sent(attempt: u32) -> String {
        match attempt {
            0 => "sent".to_owned(),
            attempt => format!("sent-{attempt}"),
        }
    }

    /// Returns the name of the ids, metadata and schemas in the order of the output.
    pub(crate) fn order_echo(table: u32) -> String {
        format!("echo-{table}")
    }

    /// Returns the names of the files that a run of layout 1 may have and one of layout 2 has not.
    pub(crate) fn names(run: &RunRecord) -> Vec<String> {
        let mut names = vec![ECHO.to_owned()];
        names.extend((0..=run.attempt).map(sent));
        // Without an order, files of these names are those of shards.
        if run.order.is_some() {
            names.extend((1..=run.attempt).map(order_echo));
        }
        names
    }
}
