//! Types of kept columns, which a table of Parquet takes over from its input.

use serde::{Deserialize, Serialize};

/// Type that the input declares for a kept column, and that the column has in an output of Parquet.
///
/// The form in JSON is a word, or an object with the parameters of the type, so that a type may be recorded with a run:
///
/// ```
/// use lmbatch_lines::{ColumnType, TimeUnit};
/// let types = [
///     ColumnType::Int64,
///     ColumnType::Decimal { precision: 20, scale: 2 },
///     ColumnType::Timestamp { unit: TimeUnit::Microseconds, utc: true },
/// ];
/// let recorded = serde_json::to_string(&types)?;
/// assert_eq!(
///     recorded,
///     r#"["int64",{"decimal":{"precision":20,"scale":2}},{"timestamp":{"unit":"microseconds","utc":true}}]"#
/// );
/// assert_eq!(serde_json::from_str::<[ColumnType; 3]>(&recorded)?, types);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ColumnType {
    /// UTF-8 text, which is also the type of a column whose input declares none.
    #[default]
    Text,
    /// Truth value, true or false.
    Boolean,
    /// Signed integer of 8 bits.
    Int8,
    /// Signed integer of 16 bits.
    Int16,
    /// Signed integer of 32 bits.
    Int32,
    /// Signed integer of 64 bits.
    Int64,
    /// Unsigned integer of 8 bits.
    #[serde(rename = "uint8")]
    UInt8,
    /// Unsigned integer of 16 bits.
    #[serde(rename = "uint16")]
    UInt16,
    /// Unsigned integer of 32 bits.
    #[serde(rename = "uint32")]
    UInt32,
    /// Unsigned integer of 64 bits.
    #[serde(rename = "uint64")]
    UInt64,
    /// Floating-point number of 16 bits.
    Float16,
    /// Floating-point number of 32 bits.
    Float32,
    /// Floating-point number of 64 bits.
    Float64,
    /// Decimal number with a fixed number of digits after the point.
    Decimal {
        /// Number of digits in all, 1 to 76.
        precision: u8,
        /// Number of digits after the point.
        scale: i8,
    },
    /// Day of the Gregorian calendar.
    Date,
    /// Time of a day, without a zone.
    Time {
        /// Unit in which times are counted.
        unit: TimeUnit,
    },
    /// Instant, or date and time without a zone.
    Timestamp {
        /// Unit in which times are counted.
        unit: TimeUnit,
        /// True for an instant; false for a date and a time whose zone is not known.
        utc: bool,
    },
}

/// Unit in which the times of a column are counted.
///
/// ```
/// assert_eq!(serde_json::to_string(&lmbatch_lines::TimeUnit::Nanoseconds)?, r#""nanoseconds""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TimeUnit {
    /// Thousandths of a second.
    Milliseconds,
    /// Millionths of a second.
    Microseconds,
    /// Billionths of a second.
    Nanoseconds,
}

/// Declaration of a column in its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "parquet"),
    expect(dead_code, reason = "only Parquet declares types")
)]
pub(crate) enum Declared {
    /// Type that an output of Parquet has as well.
    Type(ColumnType),
    /// Values that are texts in a table, with their name.
    Other(&'static str),
}
