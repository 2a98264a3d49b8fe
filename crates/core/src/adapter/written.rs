//! Values of scanned JSON as they are written: what is passed on without being parsed again.

use std::borrow::Cow;

use crate::{Json, JsonView, Text, Token};

impl<'a> JsonView<'a> {
    /// Returns a string as it is written; `None` for any other value, and for one that holds half a character.
    ///
    /// ```
    /// use lmbatch_core::Outline;
    /// let mut outline = Outline::new();
    /// let text = outline.read(r#""a\u00e9""#)?.written_text();
    /// assert_eq!(text.unwrap().decode(), "a\u{e9}");
    /// assert!(outline.read(r#""\ud800""#)?.written_text().is_none());
    /// # Ok::<(), lmbatch_core::JsonError>(())
    /// ```
    pub fn written_text(self) -> Option<Text<'a>> {
        let is_whole = self.is_string() && self.check().is_ok();
        is_whole.then(|| Text::Token(Token::trusted(self.as_str(), self.is_escaped())))
    }

    /// Returns any value as it is written; `None` for one that cannot be passed on, such as one that is nested too
    /// deep.
    pub fn written_json(self) -> Option<Json<'a>> {
        self.check().ok().map(|()| Json::trusted(self.as_str()))
    }

    /// Returns the members of an object in order, those whose names it repeats included; none of any other value.
    /// A name that holds half a character is `None`.
    pub fn written_members(self) -> impl Iterator<Item = (Option<Cow<'a, str>>, Self)> {
        self.entries().map(|(name, value)| (name.decode(), value))
    }
}
