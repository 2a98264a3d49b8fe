//! JSON values that are kept as text and copied into requests unchanged.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::adapter::text::{MAX_DEPTH, depth};
use crate::{Json, JsonError};

/// One JSON value as compact text on one line. Deserializing goes through [`Value`], which may change numbers
/// and drops repeated members: check text in which they matter with [`exact_value`](crate::exact_value)
/// first.
///
/// ```
/// use lmbatch_core::JsonBuf;
/// let big = JsonBuf::from_text(r#"{"n":12345678901234567890123}"#)?;
/// assert_eq!(big.as_str(), r#"{"n":12345678901234567890123}"#);
/// # Ok::<(), lmbatch_core::JsonError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct JsonBuf(Box<str>);

impl JsonBuf {
    /// Renders a value as compact JSON.
    pub fn from_value(value: &Value) -> Self {
        Self(value.to_string().into())
    }

    /// Keeps JSON as it is written: numbers of any size stay unchanged.
    ///
    /// # Errors
    /// [`JsonError`] for text that is not one JSON value on one line, nested at most [`MAX_DEPTH`] deep.
    pub fn from_text(text: &str) -> Result<Self, JsonError> {
        Json::new(text).map(|json| Self(json.as_str().into()))
    }

    /// Returns whether the value is nested deeper than [`MAX_DEPTH`], and therefore cannot be sent.
    pub fn is_too_deep(&self) -> bool {
        depth(self.0.as_bytes()) > MAX_DEPTH
    }

    /// Returns the value as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the value as borrowed JSON.
    pub fn as_json(&self) -> Json<'_> {
        Json::trusted(&self.0)
    }

    /// Parses the value, in which numbers may lose digits.
    pub fn to_value(&self) -> Value {
        // The text was rendered or checked when it was stored, so it parses.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for JsonBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonBuf({} B)", self.0.len())
    }
}

impl Serialize for JsonBuf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonBuf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Deserializing through a value makes this work within internally tagged enums.
        Value::deserialize(deserializer).map(|value| Self::from_value(&value))
    }
}
