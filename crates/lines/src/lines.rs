//! Lines of an input, borrowed from the reader's buffer where possible.

use std::io::{self, BufRead};

/// Lines of a reader. A line that lies completely in the reader's buffer is not copied.
pub(crate) struct Lines {
    reader: Box<dyn BufRead + Send>,
    /// Beginning of a line whose end is not yet in the reader's buffer.
    begun: Vec<u8>,
    /// Number of lines so far.
    count: u64,
}

impl Lines {
    pub(crate) fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self {
            reader,
            begun: Vec::new(),
            count: 0,
        }
    }

    /// Passes the number and the bytes of the next line, without its line feed, to `show`; returns `false` at the end.
    ///
    /// # Errors
    /// Those of the reader. The next call continues a line that was interrupted by an error.
    pub(crate) fn next(&mut self, show: impl FnOnce(u64, &[u8])) -> io::Result<bool> {
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let (end, is_whole) = match memchr::memchr(b'\n', buffer) {
                Some(end) => (end, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            if !is_whole {
                self.begun.extend_from_slice(buffer);
                self.reader.consume(end);
                continue;
            }
            let is_last = buffer.is_empty();
            if is_last && self.begun.is_empty() {
                return Ok(false);
            }
            self.count += 1;
            if self.begun.is_empty() {
                show(self.count, &buffer[..end]);
            } else {
                self.begun.extend_from_slice(&buffer[..end]);
                show(self.count, &self.begun);
                self.begun.clear();
            }
            self.reader.consume(end + usize::from(!is_last));
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_are_independent_of_the_buffer_size() {
        for input in [
            "",
            "\n",
            "a",
            "a\n",
            "ab\n\ncdefg\nh",
            "abcdefghij\n\n\nk\n",
        ] {
            let mut expected: Vec<String> = input.split('\n').map(str::to_owned).collect();
            expected.pop_if(|last| last.is_empty());
            for capacity in 1..12 {
                let reader = BufReader::with_capacity(capacity, input.as_bytes());
                let mut lines = Lines::new(Box::new(reader));
                let mut found = Vec::new();
                while lines
                    .next(|number, bytes| {
                        found.push(String::from_utf8_lossy(bytes).into_owned());
                        assert_eq!(number as usize, found.len());
                    })
                    .unwrap()
                {}
                assert_eq!(found, expected, "{input:?} {capacity}");
            }
        }
    }
}
