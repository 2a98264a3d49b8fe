//! Seals: a digest in each row, so that a damaged record is reported as an error and never used.

use std::path::Path;

use lmbatch_core::{Error, ErrorKind};
use sha2::{Digest as _, Sha256};

/// Returns the seal of a row: 32 hexadecimal digits, a digest of its columns.
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

/// Returns the error for a damaged ledger; `what` describes the damage.
pub(crate) fn damaged(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Local).with_message(format!(
        "the ledger {} is damaged: {what}; nothing was sent; restore its folder from a backup that was made while no command was running, or move the folder away and adopt the batches that the provider lists",
        path.display()
    ))
}

/// Returns whether an error shows that the file is damaged: `SQLITE_CORRUPT` or `SQLITE_NOTADB`, extended
/// codes included, a record that is not JSON, or a value of a type that is never written.
pub(crate) fn is_damage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            error
            .code()
            .and_then(|code| code.parse::<u32>().ok())
            .is_some_and(|code| matches!(code & 0xff, 11 | 26))
            // The generated columns are computed from the records.
            || error.message().contains("malformed JSON")
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        _ => false,
    }
}
