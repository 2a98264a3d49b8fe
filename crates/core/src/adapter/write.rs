//! Writes JSON straight into a buffer, one member after the other.

use serde::Serialize;

use crate::Text;

/// An object whose members are written one after the other.
#[derive(Debug)]
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Object<'o> {
    /// Opens one at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Writes the key; the value goes to what it returns. Keys are ours and need no escapes.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A member that is a string.
    pub fn text(&mut self, key: &str, text: Text<'_>) {
        text.write_json(self.key(key));
    }

    /// A member that is a string of ours.
    pub fn str(&mut self, key: &str, text: &str) {
        Text::Plain(text).write_json(self.key(key));
    }

    /// A member that serialises: numbers, strings, and lists of them.
    pub fn value(&mut self, key: &str, value: impl Serialize) {
        // Writing numbers, strings and lists of them to a Vec cannot fail.
        let _ = serde_json::to_writer(self.key(key), &value);
    }

    /// The same, left out where there is none.
    pub fn some(&mut self, key: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.value(key, value);
        }
    }

    /// Closes it.
    pub fn end(self) {
        self.out.push(b'}');
    }
}

/// A list of things that are written one after the other.
pub fn write_list<T, E>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T) -> Result<(), E>,
) -> Result<(), E> {
    out.push(b'[');
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(out, item)?;
    }
    out.push(b']');
    Ok(())
}
