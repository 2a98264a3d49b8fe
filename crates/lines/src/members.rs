//! Members of a JSON object of a batch line. Null and empty members count as absent, and members that were not taken
//! are refused by name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use lmbatch_core::{Json, RequestError, Text};
use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::Value;

use crate::context::bad;
use crate::values::{exact, untranslated};

/// Members of one object, each of which is taken once.
pub(crate) struct Members<'a> {
    pub(crate) at: String,
    members: BTreeMap<Cow<'a, str>, Json<'a>>,
}

impl<'a> Members<'a> {
    pub(crate) fn of(json: Json<'a>, at: &str) -> Result<Self, RequestError> {
        if !json.as_str().trim_start().starts_with('{') {
            return Err(bad(format!("{at} is not a JSON object")));
        }
        Ok(Self {
            at: at.to_owned(),
            members: members(json).map_err(|error| bad(format!("{at}: {error}")))?,
        })
    }

    /// Reads an object whose known members may be spelled `maxItems` or `max_items`; they are taken by the first
    /// spelling.
    pub(crate) fn spelled(json: Json<'a>, at: &str, known: &[&str]) -> Result<Self, RequestError> {
        let mut spelled = Self::of(json, at)?;
        let snake: Vec<_> = spelled
            .members
            .keys()
            .filter(|name| known.contains(&&*camel(name)) && !known.contains(&&***name))
            .cloned()
            .collect();
        for name in snake {
            let camel = camel(&name);
            let Some(value) = spelled.members.remove(&name) else {
                continue;
            };
            if spelled
                .members
                .insert(camel.clone().into(), value)
                .is_some()
            {
                return Err(bad(format!(
                    "{at} has both {name} and {camel}; keep one of them"
                )));
            }
        }
        Ok(spelled)
    }

    /// Returns the name of a member that was not taken and is not null.
    pub(crate) fn left_over(&self) -> Option<&str> {
        let mut rest = self.members.iter();
        let found = rest.find(|(_, value)| value.as_str() != "null");
        found.map(|(name, _)| &**name)
    }

    /// Refuses every member that was not taken and is not null, even an empty one.
    pub(crate) fn end_exact(self) -> Result<(), RequestError> {
        match self.left_over() {
            Some(name) => Err(untranslated(&format!("{}.{name}", self.at))),
            None => Ok(()),
        }
    }

    /// Reports whether the object has a member, be it null or empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Takes a member that is neither null nor empty.
    pub(crate) fn take(&mut self, name: &str) -> Option<Json<'a>> {
        self.members.remove(name).filter(|value| !is_empty(*value))
    }

    /// Takes a member that is not null. An empty list or object is a value, which the reader of a scalar refuses.
    pub(crate) fn value(&mut self, name: &str) -> Option<Json<'a>> {
        let value = self.members.remove(name);
        value.filter(|value| value.as_str() != "null")
    }

    /// Takes a string.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<Text<'a>>, RequestError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let text = value.parse();
        text.map(Some)
            .map_err(|_| bad(format!("{}.{name} is not a string", self.at)))
    }

    /// Takes a boolean.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, RequestError> {
        match self.value(name).map(Json::as_str) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(bad(format!("{}.{name} is not a boolean", self.at))),
        }
    }

    /// Takes a JSON Schema, whose numbers must all be exact.
    pub(crate) fn schema(&mut self, name: &str) -> Result<Option<Value>, RequestError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let at = format!("{}.{name}", self.at);
        match exact(value, &at)? {
            schema @ Value::Object(_) => Ok(Some(schema)),
            _ => Err(bad(format!("{at} is not a JSON object"))),
        }
    }

    /// Takes a required string.
    pub(crate) fn need(&mut self, name: &str) -> Result<Text<'a>, RequestError> {
        let text = self.text(name)?;
        text.ok_or_else(|| bad(format!("{}.{name} is missing", self.at)))
    }

    /// Drops members without a meaning for another provider.
    pub(crate) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.members.remove(*name);
        }
    }

    /// Refuses members without a translation, unless they are null or empty or have one of the given values.
    pub(crate) fn refuse(&mut self, names: &[&str], except: &[&str]) -> Result<(), RequestError> {
        for name in names {
            let Some(value) = self.take(name) else {
                continue;
            };
            let word = value.parse::<Text<'a>>().map(Text::decode);
            if !word.is_ok_and(|word| word.is_empty() || except.contains(&&*word)) {
                return Err(untranslated(&format!("{}.{name}", self.at)));
            }
        }
        Ok(())
    }

    /// Refuses members that were not taken and are neither null nor empty.
    pub(crate) fn end(self) -> Result<(), RequestError> {
        let mut rest = self.members.iter();
        match rest.find(|(_, value)| !is_empty(**value)) {
            Some((name, _)) => Err(untranslated(&format!("{}.{name}", self.at))),
            None => Ok(()),
        }
    }
}

/// Returns a name in the spelling `maxItems`.
pub(crate) fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

/// Reads the members of an object, each of which may occur only once.
pub(crate) fn members<'a>(
    json: Json<'a>,
) -> Result<BTreeMap<Cow<'a, str>, Json<'a>>, serde_json::Error> {
    struct Reader;
    impl<'de> Visitor<'de> for Reader {
        type Value = BTreeMap<Cow<'de, str>, Json<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut members = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<Cow<'de, str>, Json<'de>>()? {
                if members.contains_key(&name) {
                    return Err(M::Error::custom(format!("duplicate field `{name}`")));
                }
                members.insert(name, value);
            }
            Ok(members)
        }
    }
    serde_json::Deserializer::from_str(json.as_str()).deserialize_map(Reader)
}

/// Returns the last value of each of the named members of an object that is sent unchanged; `None` for null. A wrong
/// type elsewhere hides no member, and the provider judges it.
pub(crate) fn find<'a, const N: usize>(json: Json<'a>, names: [&str; N]) -> [Option<Json<'a>>; N] {
    struct Finder<'n, const N: usize>([&'n str; N]);
    impl<'de, const N: usize> Visitor<'de> for Finder<'_, N> {
        type Value = [Option<Json<'de>>; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut found = [None; N];
            while let Some((name, value)) = map.next_entry::<Cow<'de, str>, Json<'de>>()? {
                if let Some(place) = self.0.iter().position(|known| *known == name) {
                    found[place] = Some(value).filter(|value| value.as_str() != "null");
                }
            }
            Ok(found)
        }
    }
    let found = serde_json::Deserializer::from_str(json.as_str()).deserialize_map(Finder(names));
    // A value that is no object has no members.
    found.unwrap_or([None; N])
}

/// Reports whether a value is the given string.
pub(crate) fn is_word(value: Option<Json<'_>>, word: &str) -> bool {
    let text = value.and_then(|value| value.parse::<Text<'_>>().ok());
    text.is_some_and(|text| text.decode() == word)
}

/// Reports whether a value is null, or a list or an object without members.
pub(crate) fn is_empty(value: Json<'_>) -> bool {
    let text = value.as_str();
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .or_else(|| text.strip_prefix('{')?.strip_suffix('}'));
    text == "null" || inner.is_some_and(|inner| inner.trim().is_empty())
}
