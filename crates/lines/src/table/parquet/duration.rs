//! Durations. Parquet has no type for them: they are integers, and the program that wrote the file says in a schema of
//! its own that they count time.

use arrow_array::Array;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_schema::{DataType, Schema, TimeUnit};
use lmbatch_core::write_string;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::parquet_to_arrow_schema;

use super::file::guarded;

/// Durations that the writer of a file has declared.
#[derive(Default)]
pub(super) struct Durations(Option<Schema>);

impl Durations {
    /// Reads what the writer of a file has declared. A declaration that cannot be read counts as none, and the columns
    /// as what they are in Parquet.
    pub(super) fn of(metadata: &ArrowReaderMetadata) -> Self {
        let file = metadata.metadata().file_metadata();
        let declared =
            guarded(|| parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata()));
        Self(declared.ok())
    }

    /// Returns the unit of the durations of a column, or the reason why they are not read, since they are inside of other
    /// values; `None` for a column without them.
    pub(super) fn unit(
        &self,
        column: &str,
        in_file: &DataType,
    ) -> Option<Result<TimeUnit, &'static str>> {
        let declared = self.0.as_ref()?.field_with_name(column).ok()?.data_type();
        match declared {
            DataType::Duration(unit) if *in_file == DataType::Int64 => Some(Ok(*unit)),
            other if holds_durations(other) => Some(Err("holds durations within other values")),
            _ => None,
        }
    }
}

fn holds_durations(of: &DataType) -> bool {
    match of {
        DataType::Duration(_) => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => holds_durations(item.data_type()),
        DataType::Struct(members) => members
            .iter()
            .any(|member| holds_durations(member.data_type())),
        DataType::Dictionary(_, values) => holds_durations(values),
        _ => false,
    }
}

/// Appends a duration as a text of ISO 8601, such as `P1DT2H3M4.5S`.
pub(super) fn write(values: &dyn Array, row: usize, unit: TimeUnit, out: &mut Vec<u8>) {
    let counts = values.as_primitive::<Int64Type>();
    if counts.is_null(row) {
        return out.extend_from_slice(b"null");
    }
    write_string(&shown(counts.value(row), unit), out);
}

fn shown(count: i64, unit: TimeUnit) -> String {
    let (of_second, digits) = match unit {
        TimeUnit::Second => (1, 0),
        TimeUnit::Millisecond => (1_000, 3),
        TimeUnit::Microsecond => (1_000_000, 6),
        TimeUnit::Nanosecond => (1_000_000_000, 9),
    };
    let all = count.unsigned_abs();
    let (seconds, fraction) = (all / of_second, all % of_second);
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    let mut text = if count < 0 { "-P" } else { "P" }.to_owned();
    if days > 0 {
        text.push_str(&format!("{days}D"));
    }
    let is_whole = hours == 0 && minutes == 0 && seconds == 0 && fraction == 0;
    if is_whole && days > 0 {
        return text;
    }
    text.push('T');
    for (count, sign) in [(hours, 'H'), (minutes, 'M')] {
        if count > 0 {
            text.push_str(&format!("{count}{sign}"));
        }
    }
    if fraction > 0 {
        let fraction = format!("{fraction:0digits$}");
        text.push_str(&format!("{seconds}.{}S", fraction.trim_end_matches('0')));
    } else if seconds > 0 || is_whole {
        text.push_str(&format!("{seconds}S"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_text_of_iso_8601() {
        for (count, unit, expected) in [
            (0, TimeUnit::Second, "PT0S"),
            (90, TimeUnit::Second, "PT1M30S"),
            (86_400, TimeUnit::Second, "P1D"),
            (-93_784, TimeUnit::Second, "-P1DT2H3M4S"),
            (1_500, TimeUnit::Millisecond, "PT1.5S"),
            (3_600_000_001, TimeUnit::Microsecond, "PT1H0.000001S"),
            (1, TimeUnit::Nanosecond, "PT0.000000001S"),
            (
                i64::MIN,
                TimeUnit::Nanosecond,
                "-P106751DT23H47M16.854775808S",
            ),
        ] {
            assert_eq!(shown(count, unit), expected);
        }
    }
}
