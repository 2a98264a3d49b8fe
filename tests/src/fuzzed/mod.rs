//! What takes bytes that others wrote, as functions of any bytes: each panics where a promise is broken.
//! `fuzz/` feeds them with what a fuzzer thinks of; `tests/corpus.rs` with what was worth keeping.

mod lines;
mod replies;

pub use lines::{documents, input_lines, jsonl, result_lines};
pub use replies::{error_bodies, retry_after, status_bodies};

/// A function of any bytes.
#[derive(Debug)]
pub struct Target {
    /// The folder of its corpus, and the name of its program in `fuzz/`.
    pub name: &'static str,
    /// Panics where a promise is broken.
    pub run: fn(&[u8]),
}

/// All of them.
pub static TARGETS: &[Target] = &[
    Target {
        name: "result_lines",
        run: result_lines,
    },
    Target {
        name: "status_bodies",
        run: status_bodies,
    },
    Target {
        name: "error_bodies",
        run: error_bodies,
    },
    Target {
        name: "retry_after",
        run: retry_after,
    },
    Target {
        name: "jsonl",
        run: jsonl,
    },
    Target {
        name: "documents",
        run: documents,
    },
    Target {
        name: "input_lines",
        run: input_lines,
    },
];

/// The first byte chooses, the rest is what is chosen for.
fn choose<'a, T>(data: &'a [u8], from: &'a [T]) -> Option<(&'a T, &'a [u8])> {
    let (first, rest) = data.split_first()?;
    Some((&from[usize::from(*first) % from.len()], rest))
}
