//! Index of a JSON text, made in one scan: the positions at which each of its values begins and ends.
//!
//! A parser that reads a nested value as raw text scans it again at each level that is read from it. An
//! [`Outline`] keeps a node for each value and each name instead, and [`JsonView`] finds items and members by
//! walking nodes. It accepts the same texts as `serde_json`, without a limit on depth.

use std::borrow::Cow;
use std::fmt;

use crate::{JsonError, MAX_DEPTH};

/// Largest number of nodes whose memory an outline keeps for the next text (1 MiB).
const KEPT: usize = 1 << 16;

/// Parent index of the outermost value, which has no parent.
const NONE: u32 = u32::MAX;

/// Flag of a string that contains an escape. Not inherited by the values around it.
const ESCAPED: u8 = 1;
/// Flag of a value that contains a lone surrogate escape (half a character) at any depth.
const LONE: u8 = 2;
/// Flag of a value that contains a raw line break between its tokens at any depth.
const BREAK: u8 = 4;

/// Type of a JSON value.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Null,
    True,
    False,
    Number,
    Text,
    List,
    Object,
}

/// Value, or name of a member. The values within a value follow it; a member is its name followed by its
/// value.
#[derive(Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    /// Number of nodes of the value, itself included. While the value is being scanned, the index of its
    /// parent.
    count: u32,
    /// Depth of nesting of the value, at most `u16::MAX`.
    depth: u16,
    kind: Kind,
    flags: u8,
}

/// Reusable index of one JSON text after another.
///
/// ```
/// use lmbatch_core::Outline;
/// let mut outline = Outline::new();
/// let value = outline.read(r#"{"a": [1, "b"]}"#)?;
/// assert!(value.is_object());
/// outline.read("{").unwrap_err();
/// # Ok::<(), lmbatch_core::JsonError>(())
/// ```
#[derive(Default)]
pub struct Outline {
    nodes: Vec<Node>,
}

impl fmt::Debug for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outline({} nodes)", self.nodes.len())
    }
}

impl Outline {
    /// Creates an outline that holds no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Scans a text, which should be one JSON value, in one pass.
    ///
    /// # Errors
    /// [`JsonError::Syntax`] for a text that is not JSON, or is longer than 4 GiB.
    pub fn read<'a>(&'a mut self, text: &'a str) -> Result<JsonView<'a>, JsonError> {
        match self.fill(text) {
            true => Ok(self.view(text)),
            false => Err(JsonError::Syntax),
        }
    }

    /// Scans a text. Returns `false` where it is not JSON; there is no value to view then.
    pub(crate) fn fill(&mut self, text: &str) -> bool {
        self.nodes.clear();
        if self.nodes.capacity() > KEPT {
            self.nodes.shrink_to(KEPT);
        }
        let is_json =
            u32::try_from(text.len()).is_ok() && scan(text.as_bytes(), &mut self.nodes).is_some();
        if !is_json {
            self.nodes.clear();
        }
        is_json
    }

    /// Returns the outermost value of the latest text, which must have been JSON.
    pub(crate) fn view<'a>(&'a self, text: &'a str) -> JsonView<'a> {
        JsonView {
            text,
            nodes: &self.nodes,
        }
    }

    /// Returns whether the latest text contains a lone surrogate escape.
    pub(crate) fn has_lone_surrogate(&self) -> bool {
        self.nodes.first().is_some_and(|node| node.flags & LONE > 0)
    }
}

/// One value of a JSON text that an [`Outline`] indexed. Reading from it does not scan the text again.
#[derive(Clone, Copy)]
pub struct JsonView<'a> {
    /// The whole text that was scanned.
    text: &'a str,
    /// Node of the value, followed by the nodes of the values within it.
    nodes: &'a [Node],
}

impl fmt::Debug for JsonView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonView({} B)", self.as_str().len())
    }
}

impl<'a> JsonView<'a> {
    fn node(self) -> Node {
        self.nodes[0]
    }

    /// Returns the JSON text of the value as it is written.
    pub fn as_str(self) -> &'a str {
        let node = self.node();
        &self.text[node.start as usize..node.end as usize]
    }

    /// Returns the offsets in the whole text at which the value begins and ends.
    pub(crate) fn span(self) -> (usize, usize) {
        let node = self.node();
        (node.start as usize, node.end as usize)
    }

    /// Returns whether the value is an object.
    pub fn is_object(self) -> bool {
        self.node().kind == Kind::Object
    }

    /// Returns whether the value is a list.
    pub fn is_list(self) -> bool {
        self.node().kind == Kind::List
    }

    /// Returns whether the value is a string.
    pub fn is_string(self) -> bool {
        self.node().kind == Kind::Text
    }

    /// Returns whether the value is `null`.
    pub fn is_null(self) -> bool {
        self.node().kind == Kind::Null
    }

    /// Returns whether the value is `true`.
    pub(crate) fn is_true(self) -> bool {
        self.node().kind == Kind::True
    }

    /// Returns whether the value is a string that contains an escape.
    pub(crate) fn is_escaped(self) -> bool {
        self.node().flags & ESCAPED > 0
    }

    /// Returns whether the value is null, or an empty string, list or object.
    pub fn is_empty(self) -> bool {
        let node = self.node();
        match node.kind {
            Kind::Null => true,
            Kind::Text => node.end - node.start == 2,
            Kind::List | Kind::Object => node.count == 1,
            _ => false,
        }
    }

    /// Checks that the value can be passed on: on one line, without lone surrogates, and not nested too deep.
    pub(crate) fn check(self) -> Result<(), JsonError> {
        let node = self.node();
        match () {
            () if node.flags & (BREAK | LONE) == 0 && usize::from(node.depth) <= MAX_DEPTH => {
                Ok(())
            }
            () if node.flags & BREAK > 0 => Err(JsonError::LineBreak),
            () if node.flags & LONE > 0 => Err(JsonError::LoneSurrogate),
            () => Err(JsonError::TooDeep),
        }
    }

    /// Returns the values of a list, including those that cannot be passed on; empty for any other value.
    pub fn values(self) -> Items<'a> {
        let nodes = if self.is_list() {
            &self.nodes[1..]
        } else {
            &[]
        };
        Items {
            text: self.text,
            nodes,
        }
    }

    /// Returns the value itself as the only item.
    pub(crate) fn alone(self) -> Items<'a> {
        Items {
            text: self.text,
            nodes: self.nodes,
        }
    }

    /// Returns the members of an object in order, repeated names included; empty for any other value.
    pub(crate) fn entries(self) -> Entries<'a> {
        let nodes = if self.is_object() {
            &self.nodes[1..]
        } else {
            &[]
        };
        Entries {
            text: self.text,
            nodes,
        }
    }

    /// Returns the characters of a string between its quotes, as they are written.
    pub(crate) fn inner(self) -> &'a str {
        let node = self.node();
        &self.text[node.start as usize + 1..node.end as usize - 1]
    }
}

/// Iterator over the items of a list.
#[derive(Clone, Default)]
pub struct Items<'a> {
    text: &'a str,
    nodes: &'a [Node],
}

impl Items<'_> {
    /// Returns whether no items are left.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

impl fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Items({} nodes)", self.nodes.len())
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = JsonView<'a>;

    fn next(&mut self) -> Option<JsonView<'a>> {
        let count = self.nodes.first()?.count as usize;
        let (nodes, rest) = self.nodes.split_at(count);
        self.nodes = rest;
        Some(JsonView {
            text: self.text,
            nodes,
        })
    }
}

/// Iterator over the members of an object.
#[derive(Clone)]
pub(crate) struct Entries<'a> {
    text: &'a str,
    nodes: &'a [Node],
}

/// Name of a member.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a>(JsonView<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = (Name<'a>, JsonView<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.nodes.split_at_checked(1)?;
        let (value, rest) = rest.split_at(rest[0].count as usize);
        self.nodes = rest;
        let view = |nodes| JsonView {
            text: self.text,
            nodes,
        };
        Some((Name(view(name)), view(value)))
    }
}

impl<'a> Name<'a> {
    /// Returns the characters of the name; `None` where it contains a lone surrogate.
    pub(crate) fn decode(self) -> Option<Cow<'a, str>> {
        match self.0.node().flags {
            0 => Some(Cow::Borrowed(self.0.inner())),
            flags if flags & LONE > 0 => None,
            _ => serde_json::from_str(self.0.as_str()).ok().map(Cow::Owned),
        }
    }
}

/// Fills `nodes` from a text; returns `None` where it is not JSON.
fn scan(bytes: &[u8], nodes: &mut Vec<Node>) -> Option<()> {
    let (mut at, _) = space(bytes, 0);
    let mut parent = NONE;
    loop {
        // A value begins at this position.
        let start = at;
        let (kind, flags) = match *bytes.get(at)? {
            b'"' => {
                let (end, flags) = string(bytes, at + 1)?;
                at = end;
                (Kind::Text, flags)
            }
            bracket @ (b'{' | b'[') => {
                let (next, breaks) = space(bytes, at + 1);
                at = next;
                let (kind, close) = match bracket {
                    b'{' => (Kind::Object, b'}'),
                    _ => (Kind::List, b']'),
                };
                let open = nodes.len() as u32;
                nodes.push(Node {
                    start: start as u32,
                    end: 0,
                    count: parent,
                    depth: 1,
                    kind,
                    flags: breaks,
                });
                parent = open;
                if *bytes.get(at)? != close {
                    if kind == Kind::Object {
                        at = name(bytes, at, parent, nodes)?;
                    }
                    continue;
                }
                (kind, 0)
            }
            b't' => (Kind::True, literal(bytes, &mut at, b"true")?),
            b'f' => (Kind::False, literal(bytes, &mut at, b"false")?),
            b'n' => (Kind::Null, literal(bytes, &mut at, b"null")?),
            _ => {
                at = number(bytes, at)?;
                (Kind::Number, 0)
            }
        };
        if !matches!(kind, Kind::Object | Kind::List) {
            nodes.push(Node {
                start: start as u32,
                end: at as u32,
                count: 1,
                depth: 0,
                kind,
                flags,
            });
            if flags & LONE > 0 && parent != NONE {
                nodes[parent as usize].flags |= LONE;
            }
        }
        // The value has ended, or is an empty list or object that is about to end.
        loop {
            let (next, breaks) = space(bytes, at);
            at = next;
            if parent == NONE {
                return (at == bytes.len()).then_some(());
            }
            let count = nodes.len() as u32 - parent;
            let open = &mut nodes[parent as usize];
            open.flags |= breaks;
            match (*bytes.get(at)?, open.kind) {
                (b',', kind) => {
                    let (next, breaks) = space(bytes, at + 1);
                    open.flags |= breaks;
                    at = next;
                    if kind == Kind::Object {
                        at = name(bytes, at, parent, nodes)?;
                    }
                    break;
                }
                (b']', Kind::List) | (b'}', Kind::Object) => {
                    at += 1;
                    open.end = at as u32;
                    let outer = std::mem::replace(&mut open.count, count);
                    let closed = *open;
                    if outer != NONE {
                        let outer = &mut nodes[outer as usize];
                        outer.flags |= closed.flags;
                        outer.depth = outer.depth.max(closed.depth.saturating_add(1));
                    }
                    parent = outer;
                }
                _ => return None,
            }
        }
    }
}

/// Adds a node for the name of a member, and returns the position at which its value begins.
fn name(bytes: &[u8], start: usize, parent: u32, nodes: &mut Vec<Node>) -> Option<usize> {
    if *bytes.get(start)? != b'"' {
        return None;
    }
    let (end, flags) = string(bytes, start + 1)?;
    nodes.push(Node {
        start: start as u32,
        end: end as u32,
        count: 1,
        depth: 0,
        kind: Kind::Text,
        flags,
    });
    let (at, before) = space(bytes, end);
    if *bytes.get(at)? != b':' {
        return None;
    }
    let (at, after) = space(bytes, at + 1);
    nodes[parent as usize].flags |= before | after | (flags & LONE);
    Some(at)
}

/// Skips white space. The flag [`BREAK`] is returned where it contains a line break.
fn space(bytes: &[u8], mut at: usize) -> (usize, u8) {
    let mut flags = 0;
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t') => {}
            Some(b'\n' | b'\r') => flags = BREAK,
            _ => return (at, flags),
        }
        at += 1;
    }
}

fn literal(bytes: &[u8], at: &mut usize, word: &[u8]) -> Option<u8> {
    let rest = bytes.get(*at..)?;
    *at += word.len();
    rest.starts_with(word).then_some(0)
}

fn number(bytes: &[u8], mut at: usize) -> Option<usize> {
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let some_digits = |at: usize| Some(digits(at)).filter(|end| *end > at);
    if bytes[at] == b'-' {
        at += 1;
    }
    let start = at;
    at = some_digits(at)?;
    if bytes[start] == b'0' && at > start + 1 {
        return None;
    }
    if bytes.get(at) == Some(&b'.') {
        at = some_digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = some_digits(at)?;
    }
    Some(at)
}

/// Skips a string, from the byte after its first quote. Returns the position after its last quote, and its
/// flags.
fn string(bytes: &[u8], mut at: usize) -> Option<(usize, u8)> {
    let mut flags = 0;
    loop {
        at += plain(&bytes[at..]);
        match *bytes.get(at)? {
            b'"' => return Some((at + 1, flags)),
            b'\\' => {}
            // Raw control characters are not allowed in a string.
            _ => return None,
        }
        flags |= ESCAPED;
        match bytes.get(at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
            b'u' => {
                let unit = unit(bytes.get(at + 2..at + 6)?)?;
                at += 6;
                let is_low = |next: &&[u8]| {
                    next.starts_with(b"\\u")
                        && self::unit(&next[2..]).is_some_and(|unit| unit & 0xfc00 == 0xdc00)
                };
                match unit & 0xfc00 {
                    0xd800 if bytes.get(at..at + 6).as_ref().is_some_and(is_low) => at += 6,
                    0xd800 | 0xdc00 => flags |= LONE,
                    _ => {}
                }
            }
            _ => return None,
        }
    }
}

/// Returns the number that four hexadecimal digits mean.
fn unit(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })
}

/// Returns whether a byte ends a run of characters that need no decoding.
fn is_stop(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < b' '
}

/// Returns the number of bytes before the first quote, backslash or control character.
fn plain(bytes: &[u8]) -> usize {
    // Most strings are short, such as names, ids and single words.
    let head = bytes.len().min(32);
    if let Some(at) = stop(&bytes[..head]) {
        return at;
    }
    let mut at = head;
    for block in bytes[head..].as_chunks::<32>().0 {
        // The loop has no branch for each byte, so that the compiler can vectorise it.
        let stops = block
            .iter()
            .fold(0, |stops, byte| stops | u8::from(is_stop(*byte)));
        if stops > 0 {
            break;
        }
        at += block.len();
    }
    stop(&bytes[at..]).map_or(bytes.len(), |found| at + found)
}

/// Returns the position of the first byte that [ends a run](is_stop), testing eight bytes at a time.
fn stop(bytes: &[u8]) -> Option<usize> {
    const EACH: u64 = u64::MAX / 255;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for (place, word) in chunks.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The high bit of a byte is set where the byte is 0, and possibly in later bytes too.
        let zero = |word: u64| word.wrapping_sub(EACH) & !word;
        let quotes = zero(word ^ (EACH * u64::from(b'"')));
        let backslashes = zero(word ^ (EACH * u64::from(b'\\')));
        let controls = word.wrapping_sub(EACH * u64::from(b' ')) & !word;
        let found = (quotes | backslashes | controls) & (EACH << 7);
        if found > 0 {
            return Some(place * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| is_stop(*byte))?;
    Some(chunks.len() * 8 + at)
}

#[cfg(test)]
mod tests;
