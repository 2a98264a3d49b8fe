//! Objects of an answer, read member by member.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::Member;

/// Defines structs whose fields are all [`Member`]s, read from a JSON object and from nothing else: a derived
/// `Deserialize` takes a list for the fields in order. Each field names its member, and after `|` other
/// spellings of it; where several are there, the first that is listed and not null counts. A member that
/// stands there twice is an error, and members that no field names are ignored.
///
/// ```
/// lmbatch_core::members! {
///     /// What a model said.
///     struct Answer {
///         end: "finishReason" | "finish_reason",
///     }
/// }
/// let read = |json| serde_json::from_str::<Answer<'_>>(json).ok()?.end.word();
/// assert_eq!(read(r#"{"finish_reason":"A","finishReason":"B"}"#).as_deref(), Some("B"));
/// assert_eq!(read(r#"{"finish_reason":"A","finishReason":null}"#).as_deref(), Some("A"));
/// assert_eq!(read(r#"["A"]"#), None);
/// ```
#[macro_export]
macro_rules! members {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $key:literal $(| $other:literal)*),* $(,)?
    })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default)]
        $vis struct $name<'a> {
            $($(#[$field_meta])* $vis $field: $crate::Member<'a>),*
        }

        impl<'de: 'a, 'a> ::serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: ::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                let names: &[&[&str]] = &[$(&[$key $(, $other)*]),*];
                let [$($field),*] = $crate::read_members(deserializer, names)?;
                Ok(Self { $($field),* })
            }
        }
    )+};
}

/// Reads the members of an object: for each list of spellings the value of the first one that is there and not
/// null. [`members!`](crate::members) calls it.
///
/// # Errors
/// Where the value is no object, or has a named member twice.
pub fn read_members<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
    names: &[&[&str]],
) -> Result<[Member<'de>; N], D::Error> {
    deserializer.deserialize_map(Reader::<N> { names })
}

struct Reader<'n, const N: usize> {
    names: &'n [&'n [&'n str]],
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, const N: usize> Visitor<'de> for Reader<'_, N> {
    type Value = [Member<'de>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut found = [(usize::MAX, Member::default()); N];
        while let Some(Name(name)) = map.next_key()? {
            let spelt = |names: &&[&str]| names.iter().position(|known| *known == name);
            let mut places = self.names.iter().zip(&mut found);
            let place = places.find_map(|(names, place)| Some((place, spelt(names)?)));
            let Some(((before, kept), spelling)) = place else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value: Member<'de> = map.next_value()?;
            if value.is_absent() {
                continue;
            }
            if *before == spelling {
                return Err(M::Error::custom(format!("duplicate member {name:?}")));
            }
            if spelling < *before {
                (*before, *kept) = (spelling, value);
            }
        }
        Ok(found.map(|(_, member)| member))
    }
}

#[cfg(test)]
mod tests {
    crate::members! {
        struct Read {
            end: "finishReason" | "finish_reason",
            text: "text",
        }
    }

    fn shown(json: &str) -> Option<String> {
        let read: Read<'_> = serde_json::from_str(json).ok()?;
        let words = [read.end, read.text].map(|member| match member.word() {
            Some(word) => word.into_owned(),
            None => "-".to_owned(),
        });
        Some(words.join(" "))
    }

    #[test]
    fn members_are_read_in_every_spelling_and_from_objects_only() {
        let deep = format!(
            r#"{{"x":{}1{},"text":"a"}}"#,
            r#"{"a":"#.repeat(500),
            "}".repeat(500)
        );
        for (json, expected) in [
            (r#"{"finishReason":"A","finish_reason":"B"}"#, Some("A -")),
            (r#"{"finish_reason":"B","finishReason":"A"}"#, Some("A -")),
            (
                r#"{"finishReason":null,"finish_reason":"B","text":"t"}"#,
                Some("B t"),
            ),
            (r#"{"finish_reason":"B","other":[{}]}"#, Some("B -")),
            (r#"{"te\u0078t":"t"}"#, Some("- t")),
            (r#"{"text":null,"text":"t"}"#, Some("- t")),
            (&deep, Some("- a")),
            ("{}", Some("- -")),
            (r#"{"text":"a","text":"b"}"#, None),
            (r#"["A","t"]"#, None),
            ("[]", None),
            (r#""A""#, None),
            ("null", None),
        ] {
            assert_eq!(shown(json).as_deref(), expected, "{json:.80}");
        }
    }
}
