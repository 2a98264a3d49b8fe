//! Columns of a Parquet file, and the types that have a form in JSON.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit as ArrowUnit};
use lmbatch_core::Error;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{ConvertedType, LogicalType};
use parquet::schema::types::Type;

use super::duration::Durations;
use super::file::{Shared, Source, guarded};
use crate::column_type::{ColumnType, Declared, TimeUnit};

/// Column of a table.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Type of the file.
    pub(super) declared: Declared,
}

/// Values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Values that have a form in JSON.
    Json,
    /// 16 bytes that are shown as a UUID.
    Uuid,
    /// Integers that count time in a unit, and are shown as durations.
    Duration(ArrowUnit),
    /// Values without such a form, with a reason that follows the name of the column.
    Unreadable(&'static str),
}

/// Reads the columns of a file.
pub(super) fn read(source: &Arc<Source>) -> Result<(ArrowReaderMetadata, Vec<Column>), Error> {
    // The types of Parquet are the same for every program that has written the file.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let shared = Shared(Arc::clone(source));
    let metadata = guarded(|| ArrowReaderMetadata::load(&shared, options))?;
    let durations = Durations::of(&metadata);
    let mut columns: Vec<Column> = Vec::new();
    let mut fields: Vec<FieldRef> = Vec::new();
    let types = metadata.parquet_schema().root_schema().get_fields();
    for (field, of_file) in metadata.schema().fields().iter().zip(types) {
        let number = columns.len() + 1;
        let name = field.name();
        if name.trim().is_empty() {
            return Err(Error::invalid_input(format!(
                "column {number} of the Parquet file has no name; name it"
            )));
        }
        if let Some(first) = columns.iter().position(|known| known.name == *name) {
            return Err(Error::invalid_input(format!(
                "columns {} and {number} of the Parquet file have the same name, {name:?}; rename one of them",
                first + 1
            )));
        }
        let (data_type, kind) = match field.data_type() {
            DataType::Binary if is_enum(of_file) => (Ok(DataType::Utf8View), Kind::Json),
            uuid @ DataType::FixedSizeBinary(16) if is_uuid(of_file) => {
                (Ok(uuid.clone()), Kind::Uuid)
            }
            other => match durations.unit(name, other) {
                Some(Ok(unit)) => (Ok(other.clone()), Kind::Duration(unit)),
                Some(Err(what)) => (Err(what), Kind::Json),
                None => (in_json(other), Kind::Json),
            },
        };
        fields.push(match &data_type {
            Ok(data_type) => with_type(field, data_type.clone()),
            Err(_) => Arc::clone(field),
        });
        let declared = match (kind, &data_type) {
            (Kind::Uuid, _) => Declared::Other("UUIDs"),
            (Kind::Duration(_), _) => Declared::Other("durations"),
            (_, Ok(data_type)) => declared(data_type),
            (_, Err(what)) => Declared::Other(what),
        };
        columns.push(Column {
            name: name.clone(),
            kind: data_type.map_or_else(Kind::Unreadable, |_| kind),
            declared,
        });
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let options = ArrowReaderOptions::new().with_schema(schema);
    let of_file = Arc::clone(metadata.metadata());
    let metadata = guarded(|| ArrowReaderMetadata::try_new(of_file, options))?;
    Ok((metadata, columns))
}

/// Returns the type that a column of an output has if it repeats one that is decoded as `data_type`.
fn declared(data_type: &DataType) -> Declared {
    let unit = |unit: &ArrowUnit| match unit {
        ArrowUnit::Millisecond => Some(TimeUnit::Milliseconds),
        ArrowUnit::Microsecond => Some(TimeUnit::Microseconds),
        ArrowUnit::Nanosecond => Some(TimeUnit::Nanoseconds),
        // Parquet counts no seconds.
        ArrowUnit::Second => None,
    };
    let found = match data_type {
        DataType::Utf8View => Some(ColumnType::Text),
        DataType::Boolean => Some(ColumnType::Boolean),
        DataType::Int8 => Some(ColumnType::Int8),
        DataType::Int16 => Some(ColumnType::Int16),
        DataType::Int32 => Some(ColumnType::Int32),
        DataType::Int64 => Some(ColumnType::Int64),
        DataType::UInt8 => Some(ColumnType::UInt8),
        DataType::UInt16 => Some(ColumnType::UInt16),
        DataType::UInt32 => Some(ColumnType::UInt32),
        DataType::UInt64 => Some(ColumnType::UInt64),
        DataType::Float16 => Some(ColumnType::Float16),
        DataType::Float32 => Some(ColumnType::Float32),
        DataType::Float64 => Some(ColumnType::Float64),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            Some(ColumnType::Decimal {
                precision: *precision,
                scale: *scale,
            })
        }
        DataType::Date32 => Some(ColumnType::Date),
        DataType::Time32(of) | DataType::Time64(of) => {
            unit(of).map(|unit| ColumnType::Time { unit })
        }
        DataType::Timestamp(of, zone) => unit(of).map(|unit| ColumnType::Timestamp {
            unit,
            utc: zone.is_some(),
        }),
        _ => None,
    };
    found.map_or_else(|| Declared::Other(name(data_type)), Declared::Type)
}

/// Returns the name of values that an output has as texts.
fn name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::List(_) => "lists",
        DataType::Struct(_) => "structs",
        DataType::Map(..) => "maps",
        DataType::Null => "nulls only",
        _ => "another type",
    }
}

/// Reports whether a column holds UUIDs.
fn is_uuid(of_file: &Type) -> bool {
    of_file.get_basic_info().logical_type_ref() == Some(&LogicalType::Uuid)
}

/// Reports whether a column holds words of an enumeration, which are text.
fn is_enum(of_file: &Type) -> bool {
    let info = of_file.get_basic_info();
    match info.logical_type_ref() {
        Some(logical) => *logical == LogicalType::Enum,
        None => info.converted_type() == ConvertedType::ENUM,
    }
}

/// Returns the type as which values are decoded, or the reason why they have no form in JSON. Texts are views into the
/// pages of the file, so that repeated ones are not copied.
fn in_json(data_type: &DataType) -> Result<DataType, &'static str> {
    Ok(match data_type {
        DataType::Utf8 => DataType::Utf8View,
        DataType::List(item) => DataType::List(field_in_json(item)?),
        DataType::Struct(members) => DataType::Struct(all_in_json(members)?),
        DataType::Map(entry, is_sorted) => {
            let DataType::Struct(members) = entry.data_type() else {
                return Err("is a map without entries");
            };
            if members.first().map(|key| key.data_type()) != Some(&DataType::Utf8) {
                return Err("is a map whose keys are not texts");
            }
            let members = DataType::Struct(all_in_json(members)?);
            DataType::Map(with_type(entry, members), *is_sorted)
        }
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float16
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Decimal256(..)
        | DataType::Date32
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..) => data_type.clone(),
        DataType::Interval(_) => return Err("holds intervals"),
        _ => return Err("is binary"),
    })
}

fn all_in_json(members: &Fields) -> Result<Fields, &'static str> {
    members.iter().map(field_in_json).collect()
}

fn field_in_json(field: &FieldRef) -> Result<FieldRef, &'static str> {
    Ok(with_type(field, in_json(field.data_type())?))
}

fn with_type(field: &Field, data_type: DataType) -> FieldRef {
    Arc::new(field.clone().with_data_type(data_type))
}
