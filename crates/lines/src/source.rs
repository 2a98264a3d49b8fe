//! Source of requests from input lines.

use std::fmt;
use std::io::BufRead;

use lmbatch_core::{Error, Outline, RequestSource, SourcedRequest};

use crate::context::{InputContext, bad};
use crate::lines::Lines;
use crate::{format, line};

/// Byte order mark that some editors put before text.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Source of requests from JSON Lines. Blank lines are skipped; a line without a valid request is an error of that
/// line alone.
///
/// ```
/// use lmbatch_core::RequestSource;
/// use lmbatch_lines::{InputContext, InputLines};
///
/// let input = &b"{\"prompt\": \"Hi\"}\n{\"promt\": \"Hi\"}\n"[..];
/// let mut lines = InputLines::new(input, InputContext::new("openai", "gpt-x"));
/// let mut are_good = Vec::new();
/// while lines.next(&mut |sourced| are_good.push(sourced.entry.is_ok()))? {}
/// assert_eq!(are_good, [true, false]);
/// # Ok::<(), lmbatch_core::Error>(())
/// ```
pub struct InputLines {
    lines: Lines,
    outline: Outline,
    context: InputContext,
}

impl InputLines {
    /// Returns the requests of a reader. A line that lies completely in the reader's buffer is not copied.
    pub fn new(reader: impl BufRead + Send + 'static, context: InputContext) -> Self {
        Self {
            lines: Lines::new(Box::new(reader)),
            outline: Outline::new(),
            context,
        }
    }
}

impl fmt::Debug for InputLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputLines")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl RequestSource for InputLines {
    fn next(&mut self, visit: &mut dyn FnMut(SourcedRequest<'_>)) -> Result<bool, Error> {
        let (outline, context) = (&mut self.outline, &self.context);
        let mut is_read = false;
        while !is_read {
            let found = self.lines.next(|number, bytes| {
                is_read = read_line(number, bytes, context, outline, visit);
            });
            if !found.map_err(|error| Error::local("the input cannot be read", error))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn unit(&self) -> &'static str {
        "line"
    }
}

/// Reads a line and passes on its request; returns `false` for an empty line.
fn read_line(
    number: u64,
    mut bytes: &[u8],
    context: &InputContext,
    outline: &mut Outline,
    visit: &mut dyn FnMut(SourcedRequest<'_>),
) -> bool {
    if number == 1 {
        bytes = bytes.strip_prefix(MARK).unwrap_or(bytes);
    }
    let bytes = bytes.trim_ascii();
    if bytes.is_empty() {
        return false;
    }
    let mut refuse = |error| {
        visit(SourcedRequest {
            position: number,
            entry: Err(error),
        });
    };
    if number == 1
        && let Some(found) = format::other_than_json_lines(bytes)
    {
        refuse(bad(found));
        return true;
    }
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => line::read(text, number, context, outline, visit),
        Err(_) => refuse(bad(format!("the line {}", format::not_utf8(bytes)))),
    }
    true
}
