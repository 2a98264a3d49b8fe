//! Version of a stored JSON format.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Version member of a stored JSON format, of which this lmbatch writes the version `CURRENT`.
///
/// A newer version is refused when it is read. As a field with `#[serde(default)]` it also reads data that was
/// written before the format had a version.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::FormatVersion;
/// assert_eq!(serde_json::to_string(&FormatVersion::<2>)?, "2");
/// assert!(serde_json::from_str::<FormatVersion<2>>("1").is_ok());
/// assert!(serde_json::from_str::<FormatVersion<2>>("3").is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FormatVersion<const CURRENT: u32>;

impl<const CURRENT: u32> Serialize for FormatVersion<CURRENT> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        CURRENT.serialize(serializer)
    }
}

impl<'de, const CURRENT: u32> Deserialize<'de> for FormatVersion<CURRENT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let version = u32::deserialize(deserializer)?;
        if version > CURRENT {
            return Err(D::Error::custom(format!(
                "format version {version} was written by a newer lmbatch; this one reads versions up to {CURRENT}"
            )));
        }
        Ok(Self)
    }
}
