//! Notes on the changes of a schema, as short phrases.

use serde_json::{Map, Value};

/// Largest number of keywords that a note names; further ones are counted.
const NAMED: usize = 6;

/// Changes of a schema, grouped by kind, each group with its first place.
#[derive(Debug, Default)]
pub struct SchemaChanges {
    changes: Vec<Change>,
    lost: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    what: &'static str,
    keywords: Vec<String>,
    at: String,
    places: usize,
}

impl SchemaChanges {
    /// Records a change of a keyword at a place, such as `#/properties/a`.
    pub fn add(&mut self, what: &'static str, keyword: &str, at: &str) {
        note(&mut self.changes, what, keyword, at);
    }

    /// Records that only a part of a keyword, or of the schema it refers to, can be sent.
    pub fn lose(&mut self, keyword: &str, at: &str) {
        note(&mut self.lost, "sent in part", keyword, at);
    }

    /// Returns the first keyword of which only a part is sent, with its place.
    pub fn first_lost(&self) -> Option<(&str, &str)> {
        let first = self.lost.first()?;
        Some((first.keywords.first()?, &first.at))
    }

    /// Returns whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.lost.is_empty()
    }

    /// Returns one phrase for each kind of change.
    ///
    /// ```
    /// let mut notes = lmbatch_core::schemas::SchemaChanges::default();
    /// notes.add("moved to descriptions", "minimum", "#/properties/a");
    /// notes.add("moved to descriptions", "maximum", "#/properties/b");
    /// assert_eq!(notes.finish(), ["minimum, maximum moved to descriptions (#/properties/a and 1 more)"]);
    /// ```
    pub fn finish(self) -> Vec<String> {
        let changes = self.changes.into_iter().chain(self.lost);
        let sentences = changes.map(|change| {
            let named = change.keywords.len().min(NAMED);
            let mut sentence = change.keywords[..named].join(", ");
            if change.keywords.len() > named {
                sentence.push_str(&format!(" and {} more", change.keywords.len() - named));
            }
            let more = match change.places {
                1 => String::new(),
                places => format!(" and {} more", places - 1),
            };
            format!("{sentence} {} ({}{more})", change.what, change.at)
        });
        sentences.collect()
    }
}

fn note(changes: &mut Vec<Change>, what: &'static str, keyword: &str, at: &str) {
    match changes.iter_mut().find(|change| change.what == what) {
        Some(change) => {
            change.places += 1;
            if !change.keywords.iter().any(|known| known == keyword) {
                change.keywords.push(keyword.to_owned());
            }
        }
        None => changes.push(Change {
            what,
            keywords: vec![keyword.to_owned()],
            at: at.to_owned(),
            places: 1,
        }),
    }
}

/// Appends members that a provider does not accept to the description of a schema, so that the model may
/// still follow them, as in `{minimum: 1, maximum: 9}`.
pub fn describe(members: &mut Map<String, Value>, moved: &Map<String, Value>) {
    if moved.is_empty() {
        return;
    }
    let moved: Vec<String> = moved
        .iter()
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    let moved = format!("{{{}}}", moved.join(", "));
    let text = match members.get("description").and_then(Value::as_str) {
        Some(text) if !text.is_empty() => format!("{text}\n\n{moved}"),
        _ => moved,
    };
    members.insert("description".to_owned(), Value::String(text));
}
