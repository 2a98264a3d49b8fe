//! Objects of an answer, read member by member.

use crate::{JsonView, Member, RowError};

/// Struct whose fields are all [`Member`]s of a JSON object, as [`members!`](crate::members) defines it.
pub trait Members<'a>: Sized {
    /// Spellings of the name of each member, in order of preference.
    const NAMES: &'static [&'static [&'static str]];

    /// Reads an object; `None` for any other value, and for an object that has a named member twice.
    fn of(value: JsonView<'a>) -> Option<Self>;
}

/// Defines structs whose fields are all [`Member`]s, read from a JSON object.
///
/// Each field gives the name of its member and, after `|`, other spellings of it. Where an object has several
/// spellings, the first listed one that is not null counts. An object that has a member twice is not read,
/// and members without a field are ignored.
///
/// ```
/// use lmbatch_core::Outline;
/// lmbatch_core::members! {
///     /// An answer of a model.
///     struct Answer {
///         end: "finishReason" | "finish_reason",
///     }
/// }
/// let mut outline = Outline::new();
/// let mut read = |json| {
///     let answer: Answer<'_> = outline.read(json).ok()?.read()?;
///     Some(answer.end.scalar_text()?.into_owned())
/// };
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

        impl<'a> $crate::Members<'a> for $name<'a> {
            const NAMES: &'static [&'static [&'static str]] = &[$(&[$key $(, $other)*]),*];

            fn of(value: $crate::JsonView<'a>) -> ::core::option::Option<Self> {
                let [$($field),*] = $crate::find_members(value, Self::NAMES)?;
                ::core::option::Option::Some(Self { $($field),* })
            }
        }
    )+};
}

impl<'a> JsonView<'a> {
    /// Reads the value as an object with the members of `T`; `None` where that is not possible.
    pub fn read<T: Members<'a>>(self) -> Option<T> {
        T::of(self)
    }
}

impl<'a> Member<'a> {
    /// Reads the member as an object with the members of `T`; `None` where that is not possible.
    pub fn read<T: Members<'a>>(self) -> Option<T> {
        T::of(self.raw()?)
    }
}

/// Finds members of an object: for each list of spellings, the value of the first spelling that is present
/// and not null. `None` where the value is not an object, or has a named member twice.
/// [`members!`](crate::members) calls this function.
pub fn find_members<'a, const N: usize>(
    value: JsonView<'a>,
    names: &[&[&str]],
) -> Option<[Member<'a>; N]> {
    if !value.is_object() {
        return None;
    }
    let mut found = [(usize::MAX, Member::default()); N];
    for (name, value) in value.entries() {
        let name = name.decode()?;
        let Some((place, spelling)) = place(&name, names) else {
            continue;
        };
        let (before, kept) = found.get_mut(place)?;
        if value.is_null() {
            continue;
        }
        if *before == spelling {
            return None;
        }
        if spelling < *before {
            (*before, *kept) = (spelling, value.into());
        }
    }
    Some(found.map(|(_, member)| member))
}

/// Reads a row of results as an object with the members of `T`.
///
/// # Errors
/// [`RowError`] for a row that is not an object, or has a named member twice, null or not.
pub fn read_row<'a, T: Members<'a>>(row: JsonView<'a>) -> Result<T, RowError> {
    let mut found = 0_u64;
    for (name, _) in row.entries() {
        let name = name.decode().ok_or(RowError)?;
        if let Some((place, _)) = place(&name, T::NAMES) {
            let bit = 1 << (place % 64);
            if found & bit > 0 {
                return Err(RowError);
            }
            found |= bit;
        }
    }
    row.read().ok_or(RowError)
}

/// Returns the index of a name in `names`, and the index of its spelling.
fn place(name: &str, names: &[&[&str]]) -> Option<(usize, usize)> {
    names.iter().enumerate().find_map(|(place, names)| {
        let spelling = names.iter().position(|known| *known == name)?;
        Some((place, spelling))
    })
}

#[cfg(test)]
mod tests {
    use crate::Outline;

    use super::*;

    crate::members! {
        struct Read {
            end: "finishReason" | "finish_reason",
            text: "text",
        }
    }

    fn shown(json: &str) -> Option<String> {
        let mut outline = Outline::new();
        let read: Read<'_> = outline.read(json).ok()?.read()?;
        let words = [read.end, read.text].map(|member| match member.scalar_text() {
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
            (r#"{"\ud800":1,"text":"b"}"#, None),
            (r#"["A","t"]"#, None),
            ("[]", None),
            (r#""A""#, None),
            ("null", None),
        ] {
            assert_eq!(shown(json).as_deref(), expected, "{json:.80}");
        }
    }

    #[test]
    fn a_row_has_each_of_its_members_once() {
        for (json, is_read) in [
            (r#"{"text":"a","finish_reason":"b","x":1,"x":2}"#, true),
            (r#"{"text":null}"#, true),
            (r#"{"text":null,"te\u0078t":"a"}"#, false),
            (r#"{"text":null,"text":null}"#, false),
            (r#"["a"]"#, false),
        ] {
            let mut outline = Outline::new();
            let row = read_row::<Read<'_>>(outline.read(json).unwrap());
            assert_eq!(row.is_ok(), is_read, "{json}");
        }
    }
}
