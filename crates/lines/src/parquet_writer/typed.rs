//! Columns of the types that an input declares. Their values arrive as texts, in the spelling in which the reader of
//! Parquet puts them into the metadata of a request.

use std::str::FromStr;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{BooleanBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_schema::{DataType, TimeUnit as ArrowUnit};

use crate::column_type::{ColumnType, TimeUnit};

/// Largest number of digits of a decimal in 128 bits.
const DIGITS_128: u8 = 38;

/// Nanoseconds of a second and of a day.
const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;

/// Values of a column that are not encoded yet.
pub(super) trait Typed: Send {
    /// Takes a value; `None` for a text that is no value of the type.
    fn take(&mut self, text: &str) -> Option<()>;

    fn take_null(&mut self);

    /// Returns the values so far and begins anew.
    fn finish(&mut self) -> ArrayRef;
}

/// Reader of a value.
type Parse<N> = Box<dyn Fn(&str) -> Option<N> + Send>;

/// Values of numbers, and of what is counted as numbers.
struct Numbers<T: ArrowPrimitiveType> {
    values: PrimitiveBuilder<T>,
    parse: Parse<T::Native>,
}

impl<T: ArrowPrimitiveType> Typed for Numbers<T> {
    fn take(&mut self, text: &str) -> Option<()> {
        self.values.append_value((self.parse)(text)?);
        Some(())
    }

    fn take_null(&mut self) {
        self.values.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.values.finish())
    }
}

impl Typed for StringBuilder {
    fn take(&mut self, text: &str) -> Option<()> {
        self.append_value(text);
        Some(())
    }

    fn take_null(&mut self) {
        self.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(Self::finish(self))
    }
}

impl Typed for BooleanBuilder {
    fn take(&mut self, text: &str) -> Option<()> {
        self.append_value(text.parse().ok()?);
        Some(())
    }

    fn take_null(&mut self) {
        self.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(Self::finish(self))
    }
}

/// Returns the type of Arrow that is written as a type of Parquet.
pub(super) fn data_type(of_input: ColumnType) -> DataType {
    match of_input {
        ColumnType::Text => DataType::Utf8,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Int8 => DataType::Int8,
        ColumnType::Int16 => DataType::Int16,
        ColumnType::Int32 => DataType::Int32,
        ColumnType::Int64 => DataType::Int64,
        ColumnType::UInt8 => DataType::UInt8,
        ColumnType::UInt16 => DataType::UInt16,
        ColumnType::UInt32 => DataType::UInt32,
        ColumnType::UInt64 => DataType::UInt64,
        ColumnType::Float16 => DataType::Float16,
        ColumnType::Float32 => DataType::Float32,
        ColumnType::Float64 => DataType::Float64,
        ColumnType::Decimal { precision, scale } if precision <= DIGITS_128 => {
            DataType::Decimal128(precision, scale)
        }
        ColumnType::Decimal { precision, scale } => DataType::Decimal256(precision, scale),
        ColumnType::Date => DataType::Date32,
        ColumnType::Time { unit } => match unit {
            TimeUnit::Milliseconds => DataType::Time32(ArrowUnit::Millisecond),
            unit => DataType::Time64(arrow_unit(unit)),
        },
        ColumnType::Timestamp { unit, utc } => {
            DataType::Timestamp(arrow_unit(unit), utc.then(|| "UTC".into()))
        }
    }
}

fn arrow_unit(unit: TimeUnit) -> ArrowUnit {
    match unit {
        TimeUnit::Milliseconds => ArrowUnit::Millisecond,
        TimeUnit::Microseconds => ArrowUnit::Microsecond,
        TimeUnit::Nanoseconds => ArrowUnit::Nanosecond,
    }
}

/// Returns an empty column.
pub(super) fn column(of_input: ColumnType) -> Box<dyn Typed> {
    let numbers = data_type(of_input);
    match of_input {
        ColumnType::Text => Box::new(StringBuilder::new()),
        ColumnType::Boolean => Box::new(BooleanBuilder::new()),
        ColumnType::Int8 => number::<Int8Type>(numbers),
        ColumnType::Int16 => number::<Int16Type>(numbers),
        ColumnType::Int32 => number::<Int32Type>(numbers),
        ColumnType::Int64 => number::<Int64Type>(numbers),
        ColumnType::UInt8 => number::<UInt8Type>(numbers),
        ColumnType::UInt16 => number::<UInt16Type>(numbers),
        ColumnType::UInt32 => number::<UInt32Type>(numbers),
        ColumnType::UInt64 => number::<UInt64Type>(numbers),
        ColumnType::Float16 => number::<Float16Type>(numbers),
        ColumnType::Float32 => number::<Float32Type>(numbers),
        ColumnType::Float64 => number::<Float64Type>(numbers),
        ColumnType::Decimal { precision, scale } if precision <= DIGITS_128 => {
            numbers_by::<Decimal128Type>(numbers, move |text| unscaled(text, scale)?.parse().ok())
        }
        ColumnType::Decimal { scale, .. } => numbers_by::<Decimal256Type>(numbers, move |text| {
            <Decimal256Type as ArrowPrimitiveType>::Native::from_string(&unscaled(text, scale)?)
        }),
        ColumnType::Date => numbers_by::<Date32Type>(numbers, |text| days(text)?.try_into().ok()),
        ColumnType::Time { unit } => {
            let parse = move |text: &str| {
                let since_midnight = nanoseconds_of_day(text)? / nanoseconds(unit);
                i64::try_from(since_midnight).ok()
            };
            match unit {
                TimeUnit::Milliseconds => {
                    numbers_by::<Time32MillisecondType>(numbers, move |text| {
                        parse(text)?.try_into().ok()
                    })
                }
                TimeUnit::Microseconds => numbers_by::<Time64MicrosecondType>(numbers, parse),
                TimeUnit::Nanoseconds => numbers_by::<Time64NanosecondType>(numbers, parse),
            }
        }
        ColumnType::Timestamp { unit, .. } => {
            let parse = move |text: &str| instant(text, nanoseconds(unit));
            match unit {
                TimeUnit::Milliseconds => numbers_by::<TimestampMillisecondType>(numbers, parse),
                TimeUnit::Microseconds => numbers_by::<TimestampMicrosecondType>(numbers, parse),
                TimeUnit::Nanoseconds => numbers_by::<TimestampNanosecondType>(numbers, parse),
            }
        }
    }
}

fn number<T: ArrowPrimitiveType<Native: FromStr>>(data_type: DataType) -> Box<dyn Typed> {
    numbers_by::<T>(data_type, |text| text.parse().ok())
}

fn numbers_by<T: ArrowPrimitiveType>(
    data_type: DataType,
    parse: impl Fn(&str) -> Option<T::Native> + Send + 'static,
) -> Box<dyn Typed> {
    Box::new(Numbers::<T> {
        values: PrimitiveBuilder::new().with_data_type(data_type),
        parse: Box::new(parse),
    })
}

/// Returns the digits of a decimal without its point, if it has as many after the point as its type.
fn unscaled(text: &str, scale: i8) -> Option<String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    (i64::try_from(fraction.len()).ok()? == i64::from(scale)).then(|| format!("{whole}{fraction}"))
}

fn nanoseconds(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Milliseconds => 1_000_000,
        TimeUnit::Microseconds => 1_000,
        TimeUnit::Nanoseconds => 1,
    }
}

/// Returns the days since 1970 of a date such as `2026-11-27`; years beyond four digits have a sign.
fn days(text: &str) -> Option<i64> {
    let mut parts = text.rsplitn(3, '-');
    let (day, month): (i64, i64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let year: i64 = parts.next()?.parse().ok()?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The year begins in March, so that the day that leap years add is its last one.
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    // From 0000-03-01 to 1970-01-01.
    Some(era * 146_097 + of_era - 719_468)
}

/// Returns the nanoseconds since midnight of a time such as `09:30:00.5`.
fn nanoseconds_of_day(text: &str) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':');
    let mut part = || parts.next()?.parse::<u8>().ok().map(i128::from);
    let seconds = part()? * 3600 + part()? * 60 + part()?;
    if fraction.len() > 9 || parts.next().is_some() {
        return None;
    }
    let below: i128 = format!("{fraction:0<9}").parse().ok()?;
    Some(seconds * SECOND + below)
}

/// Returns the time since 1970, in units of so many nanoseconds, of a date and a time with or without `Z`.
fn instant(text: &str, unit: i128) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z').unwrap_or(text).split_once('T')?;
    let all = i128::from(days(date)?) * DAY + nanoseconds_of_day(time)?;
    all.div_euclid(unit).try_into().ok()
}

#[cfg(test)]
mod tests;
