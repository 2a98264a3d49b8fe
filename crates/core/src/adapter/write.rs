//! JSON that is written directly into a buffer, one member after another.

use serde::Serialize;

use crate::Text;

/// Writer of a JSON object, one member after another.
#[derive(Debug)]
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Object<'o> {
    /// Opens an object at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Writes a key, and returns the buffer for its value. The key is written unescaped, so it must need no
    /// escapes.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// Writes a member with a string value.
    pub fn text(&mut self, key: &str, text: Text<'_>) {
        text.write_json(self.key(key));
    }

    /// Writes a member with a string value that is given as plain text.
    pub fn str(&mut self, key: &str, text: &str) {
        Text::Plain(text).write_json(self.key(key));
    }

    /// Writes a member with a serializable value: a number, a string, or a list of them.
    pub fn value(&mut self, key: &str, value: impl Serialize) {
        // Writing numbers, strings and lists of them to a `Vec` cannot fail.
        let _ = serde_json::to_writer(self.key(key), &value);
    }

    /// Writes a member with a serializable value, unless the value is `None`.
    pub fn some(&mut self, key: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.value(key, value);
        }
    }

    /// Closes the object.
    pub fn end(self) {
        self.out.push(b'}');
    }
}

/// Writes a JSON list, with `write` for each item.
///
/// # Errors
/// The first error of `write`.
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
