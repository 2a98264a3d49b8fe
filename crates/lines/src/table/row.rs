//! One row of a table: cells under the names of their columns.

use std::borrow::Cow;
use std::fmt;

use lmbatch_core::{RequestError, write_string};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;

use crate::context::bad;
use crate::spelling::nearest;

/// Cell of a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    /// Text, as CSV has it.
    Text(&'a str),
    /// JSON value of a line.
    Json(&'a str),
}

impl<'a> Cell<'a> {
    /// Returns a string as it is, and any other value as its JSON text.
    pub(super) fn text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text.into(),
            Self::Json(json) if json.starts_with('"') => {
                serde_json::from_str::<String>(json).map_or_else(|_| json.into(), Cow::Owned)
            }
            Self::Json(json) => json.into(),
        }
    }

    /// Reports whether the cell is empty, or null.
    pub(super) fn is_empty(self) -> bool {
        matches!(self, Self::Text("") | Self::Json("null" | "\"\""))
    }

    /// Appends the cell as JSON.
    pub(super) fn write_json(self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => write_string(text, out),
            Self::Json(json) => out.extend_from_slice(json.as_bytes()),
        }
    }
}

/// Row of a table.
#[derive(Debug, Default)]
pub(super) struct Row<'a> {
    pub(super) cells: Vec<(Cow<'a, str>, Cell<'a>)>,
    /// Number of the row, from 1, which is its id if it has none.
    pub(super) number: u64,
    /// Attachment of the row besides those of a column: a binary file.
    pub(super) attachment: Option<&'a str>,
    /// Line of lmbatch's own form or of a provider, which is a request already.
    pub(super) own_form: Option<&'a str>,
}

impl<'a> Row<'a> {
    /// Returns the cell of a column.
    pub(super) fn cell(&self, column: &str) -> Option<Cell<'a>> {
        let mut cells = self.cells.iter();
        cells
            .find(|(name, _)| name == column)
            .map(|(_, cell)| *cell)
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &str> + Clone {
        self.cells.iter().map(|(name, _)| &**name)
    }

    /// Returns the cell of a column, or an error that names the existing columns.
    pub(super) fn required(&self, column: &str, role: &str) -> Result<Cell<'a>, RequestError> {
        self.cell(column)
            .ok_or_else(|| bad(missing(column, role, self.columns())))
    }

    /// Appends the row as a JSON object.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (place, (name, cell)) in self.cells.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            write_string(name, out);
            out.push(b':');
            cell.write_json(out);
        }
        out.push(b'}');
    }
}

/// Returns the reason for a column that does not exist: its role, the existing columns, and the most similar one.
pub(super) fn missing<'n>(
    column: &str,
    role: &str,
    columns: impl Iterator<Item = &'n str>,
) -> String {
    let columns: Vec<&str> = columns.collect();
    let similar = nearest(column, columns.iter().copied());
    let similar = similar.map_or_else(String::new, |name| format!("; did you mean {name:?}?"));
    format!(
        "there is no column {column:?}, {role}; the columns are {}{similar}",
        listed(&columns)
    )
}

/// Maximum number of columns that a message lists.
const MOST_LISTED: usize = 30;

/// Lists columns for a message.
pub(super) fn listed(columns: &[&str]) -> String {
    let more = match columns.len().checked_sub(MOST_LISTED) {
        Some(more @ 1..) => format!(" and {more} more"),
        _ => String::new(),
    };
    let named = columns.iter().take(MOST_LISTED);
    named.copied().collect::<Vec<_>>().join(", ") + &more
}

/// Reads the members of a JSON object in their order. Each name may occur once.
pub(super) fn members(text: &str) -> Result<Vec<(Cow<'_, str>, Cell<'_>)>, RequestError> {
    #[derive(Deserialize)]
    struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
    struct Reader;
    impl<'de> Visitor<'de> for Reader {
        type Value = Vec<(Cow<'de, str>, Cell<'de>)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut members: Self::Value = Vec::new();
            while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                if members.iter().any(|(known, _)| *known == name) {
                    return Err(M::Error::custom(format!("duplicate field `{name}`")));
                }
                members.push((name, Cell::Json(value.get())));
            }
            Ok(members)
        }
    }
    if !text.starts_with('{') {
        return Err(bad("the line is not a JSON object"));
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let members = parser.deserialize_map(Reader);
    let whole = members.and_then(|members| parser.end().map(|()| members));
    // The parser's messages name fields and positions, and never quote the values of strings.
    whole.map_err(|error| {
        let message = error.to_string();
        bad(message.replace(" at line 1 column ", ", at column "))
    })
}
