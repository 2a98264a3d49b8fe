//! Members of a JSON object in OpenAI's words: what is null or empty counts as absent, and what is left over is
//! refused by name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lmbatch_core::{Json, RequestError, Text};

use super::context::bad;

/// Members of one object, each of which is taken once.
pub(super) struct Members<'a> {
    pub(super) at: String,
    members: BTreeMap<Cow<'a, str>, Json<'a>>,
}

impl<'a> Members<'a> {
    pub(super) fn of(json: Json<'a>, at: &str) -> Result<Self, RequestError> {
        let members = json
            .parse()
            .map_err(|error| bad(format!("{at}: {error}")))?;
        Ok(Self {
            at: at.to_owned(),
            members,
        })
    }

    /// Reports whether the object has a member, be it null or empty.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Takes a member that is neither null nor empty.
    pub(super) fn take(&mut self, name: &str) -> Option<Json<'a>> {
        self.members.remove(name).filter(|value| !is_empty(*value))
    }

    /// Takes a string.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<Text<'a>>, RequestError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let text = value.parse();
        text.map(Some)
            .map_err(|error| bad(format!("{}.{name}: {error}", self.at)))
    }

    /// Takes a string that must be there.
    pub(super) fn need(&mut self, name: &str) -> Result<Text<'a>, RequestError> {
        let text = self.text(name)?;
        text.ok_or_else(|| bad(format!("{}.{name} must be there", self.at)))
    }

    /// Leaves out members that say nothing to another provider.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.members.remove(*name);
        }
    }

    /// Refuses what is left over.
    pub(super) fn end(self) -> Result<(), RequestError> {
        let mut rest = self.members.iter();
        match rest.find(|(_, value)| !is_empty(**value)) {
            Some((name, _)) => Err(bad(format!("{}: unknown field `{name}`", self.at))),
            None => Ok(()),
        }
    }
}

/// Reports whether a value is null, or a list or an object without members.
fn is_empty(value: Json<'_>) -> bool {
    let text = value.as_str();
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .or_else(|| text.strip_prefix('{')?.strip_suffix('}'));
    text == "null" || inner.is_some_and(|inner| inner.trim().is_empty())
}
