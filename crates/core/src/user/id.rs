//! Identifiers, each with a type of its own so that they cannot be confused.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// Creates the identifier from a text, unchecked.
            pub fn new(name: impl Into<Box<str>>) -> Self {
                Self(name.into())
            }

            /// Returns the identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                *self.0 == *other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                *self.0 == **other
            }
        }

        impl FromStr for $name {
            type Err = Infallible;

            fn from_str(name: &str) -> Result<Self, Infallible> {
                Ok(name.into())
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(name.into())
            }
        }
    )+};
}

names! {
    /// Name of a provider, the first part of `PROVIDER/MODEL` and of its crate feature.
    ///
    /// ```
    /// # use lmbatch_core as lmbatch;
    /// assert_eq!(lmbatch::ProviderId::new("acme").to_string(), "acme");
    /// ```
    ProviderId,
    /// Id of an account: a digest of base URL, organisation, project and workspace. The key is not part of
    /// it, so that it stays the same when the key is rotated; the key is recorded separately as a
    /// [`KeyHint`].
    ///
    /// ```
    /// # use lmbatch_core as lmbatch;
    /// use lmbatch::AccountId;
    /// let account = AccountId::new("9f86d081");
    /// assert_eq!(account.as_str(), "9f86d081");
    /// ```
    AccountId,
    /// Short digest of an API key. It tells a rotated key from the recorded one, and cannot be turned back
    /// into the key.
    ///
    /// ```
    /// # use lmbatch_core as lmbatch;
    /// use lmbatch::KeyHint;
    /// assert_ne!(KeyHint::new("0a1b"), KeyHint::new("0a1c"));
    /// ```
    KeyHint,
    /// Id of a batch, issued by its provider.
    ///
    /// ```
    /// # use lmbatch_core as lmbatch;
    /// use lmbatch::BatchId;
    /// let batch: BatchId = "batch_123".into();
    /// assert_eq!(batch, "batch_123");
    /// ```
    BatchId,
    /// The caller's key of a request: any text, unique in a run.
    ///
    /// ```
    /// # use lmbatch_core as lmbatch;
    /// use lmbatch::RequestId;
    /// let id = RequestId::from(format!("ticket/{}", 7));
    /// assert_eq!(id, "ticket/7");
    /// // A map of requests is read by their ids as text.
    /// let names = std::collections::HashMap::from([(id, "Ada")]);
    /// assert_eq!(names.get("ticket/7"), Some(&"Ada"));
    /// ```
    RequestId,
    /// lmbatch's label on a batch, where the provider keeps labels: `lmbatch-<nonce>-<shard number>`.
    ///
    /// ```
    /// # use lmbatch_core as lmbatch;
    /// use lmbatch::Label;
    /// let label = Label::new("lmbatch-abcdefghijkl-3");
    /// assert_eq!(label.parts(), Some(("abcdefghijkl", 3)));
    /// ```
    Label,
    /// Page cursor of the provider: the start of the next page of a list.
    ///
    /// ```
    /// # use lmbatch_core as lmbatch;
    /// use lmbatch::Cursor;
    /// assert_eq!(Cursor::new("batch_123").as_str(), "batch_123");
    /// ```
    Cursor,
    /// Idempotency token of a provider for one create.
    ///
    /// ```
    /// # use lmbatch_core as lmbatch;
    /// use lmbatch::CreateToken;
    /// assert_eq!(CreateToken::new("lmbatch-abcdefghijkl-3").as_str(), "lmbatch-abcdefghijkl-3");
    /// ```
    CreateToken,
}

/// Lets a call take a batch by its id or by its [handle](crate::BatchHandle).
impl AsRef<Self> for BatchId {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AccountId {
    /// Prefix of account ids that do not depend on the key.
    pub const KEYLESS: &'static str = "v2-";

    /// Returns whether the id does not depend on the key. Ids made by earlier versions do.
    pub fn is_keyless(&self) -> bool {
        self.0.starts_with(Self::KEYLESS)
    }

    /// Returns whether two ids may name one account. They may if they are equal, or if at least one of them
    /// depends on a key; then only the provider can tell.
    ///
    /// ```
    /// use lmbatch_core::AccountId;
    /// let account = AccountId::new("v2-1");
    /// assert!(account.may_equal(&"v2-1".into()) && account.may_equal(&"9f86d081".into()));
    /// assert!(!account.may_equal(&"v2-2".into()));
    /// ```
    pub fn may_equal(&self, other: &Self) -> bool {
        self == other || !self.is_keyless() || !other.is_keyless()
    }
}

impl Label {
    /// Returns the run's nonce and the shard number, from 0, of a label that lmbatch made; `None` for any
    /// other label.
    ///
    /// ```
    /// use lmbatch_core::Label;
    /// assert_eq!(Label::new("lmbatch-abcdefghijkl-3").parts(), Some(("abcdefghijkl", 3)));
    /// assert_eq!(Label::new("nightly import").parts(), None);
    /// ```
    pub fn parts(&self) -> Option<(&str, u32)> {
        let (nonce, number) = self.0.strip_prefix("lmbatch-")?.split_once('-')?;
        let known = nonce.len() == Nonce::LENGTH;
        Some((nonce, number.parse().ok()?)).filter(|_| known)
    }
}

/// Id of a request on the wire: the caller's own id, or a nonce followed by 7 digits in base 32.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Nonce, WireId};
/// let nonce = Nonce::parse("r7k2m9x4c1q3").unwrap();
/// assert_eq!(WireId::ordinal(&nonce, 32).as_str(), "r7k2m9x4c1q30000010");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct WireId(Box<str>);

impl WireId {
    const DIGITS: &'static [u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    /// Digits of the base-32 number that follows the nonce.
    const PLACES: usize = 7;

    /// Creates the id of a request from the nonce of its run and its number, from 0. Ids with one nonce sort
    /// by number.
    pub fn ordinal(nonce: &Nonce, ordinal: u32) -> Self {
        let mut text = String::with_capacity(Nonce::LENGTH + Self::PLACES);
        text.push_str(nonce.as_str());
        Self::push_digits(&mut text, ordinal);
        Self(text.into())
    }

    /// Changes the number of an id that [`ordinal`](Self::ordinal) made, without an allocation.
    ///
    /// ```
    /// use lmbatch_core::{Nonce, WireId};
    /// let nonce = Nonce::parse("r7k2m9x4c1q3").unwrap();
    /// let mut id = WireId::ordinal(&nonce, 7);
    /// id.set_ordinal(32);
    /// assert_eq!(id, WireId::ordinal(&nonce, 32));
    /// ```
    pub fn set_ordinal(&mut self, ordinal: u32) {
        let mut text = String::from(std::mem::take(&mut self.0));
        text.truncate(Nonce::LENGTH);
        Self::push_digits(&mut text, ordinal);
        self.0 = text.into();
    }

    fn push_digits(text: &mut String, ordinal: u32) {
        for place in (0..Self::PLACES).rev() {
            let digit = (ordinal >> (5 * place)) & 31;
            text.push(char::from(Self::DIGITS[digit as usize]));
        }
    }

    /// Uses the caller's id unchanged. The codec decides whether the provider accepts it.
    pub fn verbatim(id: &str) -> Self {
        Self(id.into())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the number, from 0, of an id that [`ordinal`](Self::ordinal) made with `nonce`.
    pub fn parse_ordinal(nonce: &Nonce, id: &str) -> Option<u32> {
        let digits = id.strip_prefix(nonce.as_str())?.as_bytes();
        if digits.len() != Self::PLACES {
            return None;
        }
        let mut ordinal = 0_u64;
        for digit in digits {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'v' => digit - b'a' + 10,
                _ => return None,
            };
            ordinal = ordinal << 5 | u64::from(value);
        }
        ordinal.try_into().ok()
    }

    /// Returns the nonce of the run and the number of the request, from 0, of an id that
    /// [`ordinal`](Self::ordinal) made for any run.
    ///
    /// ```
    /// use lmbatch_core::WireId;
    /// let (nonce, ordinal) = WireId::parts("r7k2m9x4c1q30000010").unwrap();
    /// assert_eq!((nonce.as_str(), ordinal), ("r7k2m9x4c1q3", 32));
    /// assert!(WireId::parts("request-1").is_none());
    /// ```
    pub fn parts(id: &str) -> Option<(Nonce, u32)> {
        let nonce = Nonce::parse(id.get(..Nonce::LENGTH)?)?;
        let ordinal = Self::parse_ordinal(&nonce, id)?;
        Some((nonce, ordinal))
    }
}

/// Random name of a plan: twelve of `[a-z0-9]`, the first a letter. Labels and wire ids begin with it, which
/// shows that lmbatch made them.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::Nonce;
/// let nonce: Nonce = "r7k2m9x4c1q3".parse()?;
/// assert_eq!(nonce.as_str().len(), Nonce::LENGTH);
/// # Ok::<(), lmbatch::NonceError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(Box<str>);

impl Nonce {
    /// Number of characters in a nonce.
    pub const LENGTH: usize = 12;

    /// Draws a random nonce (about 61 bits).
    pub fn draw(rng: &dyn crate::Rng) -> Self {
        const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let text = (0..Self::LENGTH).map(|place| {
            let of = if place == 0 { 26 } else { 36 };
            char::from(LETTERS[(rng.next_u64() % of) as usize])
        });
        Self(text.collect::<String>().into())
    }

    /// Parses a nonce: twelve of `[a-z0-9]`, the first a letter.
    pub fn parse(text: &str) -> Option<Self> {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let legal = text.len() == Self::LENGTH
            && text.as_bytes()[0].is_ascii_lowercase()
            && text.bytes().all(known);
        legal.then(|| Self(text.into()))
    }

    /// Returns the nonce as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Error of a text that is not a nonce.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Nonce, NonceError};
/// assert_eq!("7".parse::<Nonce>(), Err(NonceError));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a nonce is 12 characters of a-z and 0-9, of which the first is a letter")]
pub struct NonceError;

impl FromStr for Nonce {
    type Err = NonceError;

    fn from_str(text: &str) -> Result<Self, NonceError> {
        Self::parse(text).ok_or(NonceError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_and_found_by_their_text() {
        let id = RequestId::new("a");
        assert!(id == "a" && id == *"a" && id != "b");
        let places = std::collections::HashMap::from([(id, 1)]);
        assert_eq!(places.get("a"), Some(&1));
        let sorted = std::collections::BTreeMap::from([(BatchId::new("b"), 2)]);
        assert_eq!(sorted.get("b"), Some(&2));
        assert_eq!("b".parse(), Ok(BatchId::new("b")));
        assert_eq!("r7k2m9x4c1q".parse::<Nonce>(), Err(NonceError));
        assert!("r7k2m9x4c1q3".parse::<Nonce>().is_ok());
    }

    #[test]
    fn ordinals_round_trip_and_sort_in_input_order() {
        let nonce = Nonce("r7k2m9x4c1q3".into());
        let mut last = String::new();
        for ordinal in [0, 1, 31, 32, 49_999, 1_000_000, u32::MAX] {
            let id = WireId::ordinal(&nonce, ordinal);
            assert_eq!(WireId::parse_ordinal(&nonce, id.as_str()), Some(ordinal));
            assert_eq!(id.as_str().len(), 19);
            assert!(last.as_str() < id.as_str());
            last = id.as_str().to_owned();
        }
    }

    #[test]
    fn an_id_that_lmbatch_did_not_make_has_no_ordinal() {
        let nonce = Nonce("r7k2m9x4c1q3".into());
        for id in [
            "",
            "r7k2m9x4c1q3",
            "r7k2m9x4c1q3000000",
            "r7k2m9x4c1q3000000z",
            "x7k2m9x4c1q30000000",
            "r7k2m9x4c1q3vvvvvvv",
        ] {
            assert_eq!(WireId::parse_ordinal(&nonce, id), None, "{id}");
        }
    }

    #[test]
    fn an_id_of_any_run_gives_its_nonce_and_its_request_number() {
        for ordinal in [0, 31, 1_000_000, u32::MAX] {
            let nonce = Nonce("r7k2m9x4c1q3".into());
            let id = WireId::ordinal(&nonce, ordinal);
            assert_eq!(WireId::parts(id.as_str()), Some((nonce, ordinal)));
        }
        for id in [
            "",
            "request-1",
            "7r7k2m9x4c1q0000000",
            "R7k2m9x4c1q30000000",
            "r7k2m9x4c1q30000000 ",
            "r7k2m9x4c1-30000000",
            "ééééééééé0",
            "r7k2m9x4c1q3vvvvvvv",
        ] {
            assert_eq!(WireId::parts(id), None, "{id}");
        }
    }
}
