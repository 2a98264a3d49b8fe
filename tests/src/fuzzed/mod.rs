//! Parsers of external bytes, as fuzz targets that panic if a promise is broken. `fuzz/` runs them with a fuzzer;
//! `tests/corpus.rs` with a stored corpus.

mod lines;
mod replies;

pub use lines::{documents, input_lines, jsonl, result_lines};
pub use replies::{error_bodies, retry_after, status_bodies};

/// A fuzz target: a function of any bytes.
#[derive(Debug)]
pub struct Target {
    /// Name of the corpus folder, and of the program in `fuzz/`.
    pub name: &'static str,
    /// Function that panics if a promise is broken.
    pub run: fn(&[u8]),
}

/// All fuzz targets of this crate.
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

/// Chooses an item by the first byte, and returns it with the other bytes.
fn choose<'a, T>(data: &'a [u8], from: &'a [T]) -> Option<(&'a T, &'a [u8])> {
    let (first, rest) = data.split_first()?;
    Some((&from[usize::from(*first) % from.len()], rest))
}
