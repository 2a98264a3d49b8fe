//! Seals: a digest in each row, so that a damaged record is an error and not another record.

use std::path::Path;

use lmbatch_core::{Error, ErrorKind};
use sha2::{Digest as _, Sha256};

/// Returns the seal of a row: 32 hexadecimal digits over its columns.
pub(crate) fn seal(columns: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    for column in columns {
        digest.update((column.len() as u64).to_le_bytes());
        digest.update(column);
    }
    let bytes = digest.finalize();
    bytes
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Returns the error of a ledger that is damaged: `what` says where.
pub(crate) fn damaged(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Local).with_message(format!(
        "the ledger {} is damaged: {what}; nothing was sent; restore its folder from a copy that was made between two commands, or move the folder away and adopt the batches that the provider lists",
        path.display()
    ))
}

/// Returns whether SQLite says that the file is not what it was: `SQLITE_CORRUPT` and `SQLITE_NOTADB` with
/// their extended codes, a record that is no JSON, or values of a type that is never written.
pub(crate) fn is_damage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            error
            .code()
            .and_then(|code| code.parse::<u32>().ok())
            .is_some_and(|code| matches!(code & 0xff, 11 | 26))
            // The columns of lookups are computed from the records.
            || error.message().contains("malformed JSON")
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        _ => false,
    }
}
