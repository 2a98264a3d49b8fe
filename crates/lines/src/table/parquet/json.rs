//! Values of Parquet as JSON.

use std::fmt::{Debug, Write as _};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, StructArray};
use arrow_schema::{DataType, TimeUnit};
use lmbatch_core::write_string;

/// Reason for which a cell has no form in JSON.
type Reason = &'static str;

/// Checks that bytes are UTF-8: the reader of Parquet does not check those of every type.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Reason> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| "is not UTF-8")
}

/// Appends the value of a row as JSON.
pub(super) fn write(values: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
    if values.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match values.data_type() {
        DataType::Boolean => print(&values.as_boolean().value(row), out),
        DataType::Int8 => number::<Int8Type>(values, row, out),
        DataType::Int16 => number::<Int16Type>(values, row, out),
        DataType::Int32 => number::<Int32Type>(values, row, out),
        DataType::Int64 => number::<Int64Type>(values, row, out),
        DataType::UInt8 => number::<UInt8Type>(values, row, out),
        DataType::UInt16 => number::<UInt16Type>(values, row, out),
        DataType::UInt32 => number::<UInt32Type>(values, row, out),
        DataType::UInt64 => number::<UInt64Type>(values, row, out),
        DataType::Float16 => float(&values.as_primitive::<Float16Type>().value(row), out),
        DataType::Float32 => float(&values.as_primitive::<Float32Type>().value(row), out),
        DataType::Float64 => float(&values.as_primitive::<Float64Type>().value(row), out),
        DataType::Decimal128(..) => decimal::<Decimal128Type>(values, row, out),
        DataType::Decimal256(..) => decimal::<Decimal256Type>(values, row, out),
        DataType::Date32 => {
            let date = values.as_primitive::<Date32Type>().value_as_date(row);
            return quoted(date, "", out);
        }
        DataType::Time32(_) | DataType::Time64(_) => return time(values, row, out),
        DataType::Timestamp(unit, zone) => {
            // A zone of Parquet is UTC or none.
            let zone = if zone.is_some() { "Z" } else { "" };
            return timestamp(values, *unit, row, zone, out);
        }
        DataType::Utf8View => {
            let texts = values.as_string_view().clone().to_binary_view();
            write_string(text(texts.value(row))?, out);
        }
        DataType::List(_) => return list(&values.as_list::<i32>().value(row), out),
        DataType::Struct(_) => return members(values.as_struct(), row, out),
        DataType::Map(..) => return entries(&values.as_map().value(row), out),
        // Values of the logical type "unknown" are null.
        DataType::Null => out.extend_from_slice(b"null"),
        _ => return Err("has a type without a form in JSON"),
    }
    Ok(())
}

/// Appends 16 bytes as the text of a UUID.
pub(super) fn write_uuid(values: &dyn Array, row: usize, out: &mut Vec<u8>) {
    let bytes = values.as_fixed_size_binary();
    if bytes.is_null(row) {
        return out.extend_from_slice(b"null");
    }
    let mut shown = String::with_capacity(36);
    for (place, byte) in bytes.value(row).iter().enumerate() {
        if [4, 6, 8, 10].contains(&place) {
            shown.push('-');
        }
        // Writing to a string cannot fail.
        let _ = write!(shown, "{byte:02x}");
    }
    write_string(&shown, out);
}

fn print(value: &impl ToString, out: &mut Vec<u8>) {
    out.extend_from_slice(value.to_string().as_bytes());
}

fn number<T: ArrowPrimitiveType<Native: ToString>>(
    values: &dyn Array,
    row: usize,
    out: &mut Vec<u8>,
) {
    print(&values.as_primitive::<T>().value(row), out);
}

/// Appends a number with as few digits as identify it among those of its type; `"NaN"`, `"inf"` and `"-inf"` are texts.
fn float(value: &impl ToString, out: &mut Vec<u8>) {
    let shown = value.to_string();
    let number = shown.parse::<f64>().ok().filter(|value| value.is_finite());
    match number.and_then(serde_json::Number::from_f64) {
        Some(number) => print(&number, out),
        None => write_string(&shown, out),
    }
}

fn decimal<T: DecimalType>(values: &dyn Array, row: usize, out: &mut Vec<u8>) {
    write_string(&values.as_primitive::<T>().value_as_string(row), out);
}

/// Appends a date or a time as a text, with a zone.
fn quoted(shown: Option<impl Debug>, zone: &str, out: &mut Vec<u8>) -> Result<(), Reason> {
    let shown = shown.ok_or("holds a date or a time that is out of range")?;
    write_string(&format!("{shown:?}{zone}"), out);
    Ok(())
}

fn time(values: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
    let time = match values.data_type() {
        DataType::Time32(_) => {
            let values = values.as_primitive::<Time32MillisecondType>();
            values.value_as_time(row)
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let values = values.as_primitive::<Time64MicrosecondType>();
            values.value_as_time(row)
        }
        _ => values
            .as_primitive::<Time64NanosecondType>()
            .value_as_time(row),
    };
    quoted(time, "", out)
}

fn timestamp(
    values: &dyn Array,
    unit: TimeUnit,
    row: usize,
    zone: &str,
    out: &mut Vec<u8>,
) -> Result<(), Reason> {
    let at = match unit {
        TimeUnit::Millisecond => {
            let values = values.as_primitive::<TimestampMillisecondType>();
            values.value_as_datetime(row)
        }
        TimeUnit::Microsecond => {
            let values = values.as_primitive::<TimestampMicrosecondType>();
            values.value_as_datetime(row)
        }
        _ => values
            .as_primitive::<TimestampNanosecondType>()
            .value_as_datetime(row),
    };
    quoted(at, zone, out)
}

fn list(items: &dyn Array, out: &mut Vec<u8>) -> Result<(), Reason> {
    out.push(b'[');
    for place in 0..items.len() {
        if place > 0 {
            out.push(b',');
        }
        write(items, place, out)?;
    }
    out.push(b']');
    Ok(())
}

fn members(values: &StructArray, row: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
    out.push(b'{');
    for (place, (field, values)) in values.fields().iter().zip(values.columns()).enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_string(field.name(), out);
        out.push(b':');
        write(values, row, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Appends the entries of a map, whose keys are texts, as an object.
fn entries(entries: &StructArray, out: &mut Vec<u8>) -> Result<(), Reason> {
    out.push(b'{');
    if let [keys, values] = entries.columns() {
        for place in 0..entries.len() {
            if place > 0 {
                out.push(b',');
            }
            write(keys, place, out)?;
            out.push(b':');
            write(values, place, out)?;
        }
    }
    out.push(b'}');
    Ok(())
}
