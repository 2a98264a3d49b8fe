//! Which account a key belongs to, without the key.

use lmbatch_core::AccountId;
use sha2::{Digest as _, Sha256};

/// A digest of what tells accounts apart: origin, key, organisation. 32 hexadecimal digits.
pub fn account(parts: &[&str]) -> AccountId {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let bytes = digest.finalize();
    let digits: String = bytes
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    AccountId::new(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_one_another() {
        assert_eq!(account(&["a", "b"]), account(&["a", "b"]));
        assert_ne!(account(&["a", "b"]), account(&["ab", ""]));
        assert_eq!(account(&["a"]).as_str().len(), 32);
    }
}
