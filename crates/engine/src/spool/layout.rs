//! Names of the files that a run keeps in the spool, after the stem of the run.

/// The spool's word for a shard's body.
pub(crate) fn body(number: u32) -> String {
    format!("body-{number}")
}

/// The spool's word for the table of where requests are, of a try.
pub(crate) fn sent_table(attempt: u32) -> String {
    match attempt {
        0 => "sent".to_owned(),
        attempt => format!("sent-{attempt}"),
    }
}

pub(crate) fn order_table(number: u32) -> String {
    format!("order-{number}")
}

pub(crate) fn echo_table(number: u32) -> String {
    format!("echo-{number}")
}

/// Segments are numbered in the order in which they were fetched.
pub(crate) fn segment_number(name: &str) -> u32 {
    let digits = name.rsplit('-').next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}
