//! Extraction of ids and numbers from requests, without parsing JSON.

use std::io::{self, Read};

use memchr::{memchr, memmem};

/// Bytes before an id in the lines of OpenAI and Anthropic.
pub(super) const CUSTOM_ID: &[u8] = br#""custom_id":""#;

/// Bytes before an id in the lines of Google.
pub(super) const KEY: &[u8] = br#""key":""#;

/// Maximum length of an id in bytes.
const LONGEST: usize = 64;

/// Returns the ids in a body, each of which follows a mark.
pub(super) fn ids(mark: &[u8], body: &mut impl Read) -> io::Result<Vec<Box<[u8]>>> {
    let finder = memmem::Finder::new(mark);
    let mut ids = Vec::new();
    let mut buffer = vec![0; 256 << 10];
    let mut filled = 0;
    loop {
        let read = body.read(&mut buffer[filled..])?;
        filled += read;
        let is_end = read == 0;
        let mut done = 0;
        while let Some(at) = finder.find(&buffer[done..filled]) {
            let from = done + at + mark.len();
            let Some(length) = memchr(b'"', &buffer[from..filled]) else {
                break;
            };
            ids.push(buffer[from..from + length].into());
            done = from + length;
        }
        if is_end {
            return Ok(ids);
        }
        // A mark and an id may be split between two reads.
        let kept = filled.saturating_sub(mark.len() + LONGEST).max(done);
        buffer.copy_within(kept..filled, 0);
        filled -= kept;
    }
}

/// Returns the number at the beginning of a text, after at most one letter.
pub(super) fn number(text: &str) -> usize {
    let text = text.strip_prefix('i').unwrap_or(text);
    let end = text.find(|letter: char| !letter.is_ascii_digit());
    text[..end.unwrap_or(text.len())].parse().unwrap_or(0)
}

/// Returns the number that follows a mark.
pub(super) fn number_after(text: &str, mark: &str) -> usize {
    text.split(mark).nth(1).map_or(0, number)
}
