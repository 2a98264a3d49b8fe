//! Names that are not known, and the known ones that may be meant.

/// Returns the most similar of some words, if it is similar enough to be meant.
pub(crate) fn nearest<'n>(word: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let lower = word.to_lowercase();
    let rated = known.map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name));
    let (likeness, name) = rated.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness > 0.8).then_some(name)
}

/// Field that a parser does not know, as its message names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownField<'m> {
    pub(crate) name: &'m str,
    known: Vec<&'m str>,
}

impl<'m> UnknownField<'m> {
    /// Reads the message of a parser; `None` for any other message.
    pub(crate) fn of(message: &'m str) -> Option<Self> {
        const EXPECTED: &str = "`, expected ";
        let rest = message.strip_prefix("unknown field `")?;
        let end = rest.rfind(EXPECTED)?;
        let (name, expected) = (&rest[..end], &rest[end + EXPECTED.len()..]);
        let known = expected.split('`').skip(1).step_by(2);
        Some(Self {
            name,
            known: known.collect(),
        })
    }

    /// Reports whether some fields are the known ones.
    pub(crate) fn is_among(&self, fields: &[&str]) -> bool {
        self.known == fields
    }

    /// Returns the known field that may be meant.
    pub(crate) fn meant(&self) -> Option<&'m str> {
        nearest(self.name, self.known.iter().copied())
    }

    /// Returns the reason with the field that may be meant, or else with every known field.
    pub(crate) fn reason(&self) -> String {
        match self.meant() {
            Some(meant) => format!("unknown field {:?}; did you mean {meant:?}?", self.name),
            None => format!(
                "unknown field {:?}; the fields are {}",
                self.name,
                self.known.join(", ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_field_is_named_with_the_one_that_is_meant() {
        for (message, expected) in [
            (
                "unknown field `promt`, expected one of `id`, `prompt` at line 1 column 8",
                Some("unknown field \"promt\"; did you mean \"prompt\"?"),
            ),
            (
                "unknown field `zip`, expected `role` or `content`",
                Some("unknown field \"zip\"; the fields are role, content"),
            ),
            (
                "unknown field `a`, expected `b`, expected `role`",
                Some("unknown field \"a`, expected `b\"; the fields are role"),
            ),
            ("invalid type: null", None),
        ] {
            let found = UnknownField::of(message).map(|unknown| unknown.reason());
            assert_eq!(found.as_deref(), expected, "{message}");
        }
    }
}
