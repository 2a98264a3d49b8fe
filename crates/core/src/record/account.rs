//! Comparison of the account that a record names with the account that a provider uses.

use crate::{AccountId, BatchProvider, KeyHint};

/// Account that a provider uses, in the form in which it is compared with recorded accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Digest of base URL, organisation, project and workspace. The key is not part of it.
    pub id: AccountId,
    /// Short digest of the key; `None` where the adapter gives none.
    pub key_hint: Option<KeyHint>,
    /// Account id as earlier versions computed it, with the key in the digest; `None` for an adapter without
    /// earlier versions.
    pub former: Option<AccountId>,
}

impl Account {
    /// Returns the account that `provider` talks to.
    pub fn of(provider: &(impl BatchProvider + ?Sized)) -> Self {
        Self {
            id: provider.account(),
            key_hint: provider.key_hint(),
            former: provider.former_account(),
        }
    }
}

/// Result of comparing a recorded account with the current one.
///
/// ```
/// use lmbatch_core::{Account, AccountMatch, KeyHint, same_account};
/// let current = Account { id: "v2-1".into(), key_hint: Some("new".into()), former: Some("f".into()) };
/// let compared = same_account(&"v2-1".into(), Some(&KeyHint::new("old")), &current);
/// assert_eq!(compared, AccountMatch::KeyChanged);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountMatch {
    /// The account and, as far as it is recorded, the key are equal.
    Same,
    /// The account is equal and the key differs. The key was rotated, or belongs to another account at the
    /// same base URL; only the provider can tell.
    KeyChanged,
    /// The record comes from an earlier version, whose account id depends on the key, and the ids differ. The
    /// key, the organisation or the base URL has changed; only the provider can tell.
    Unclear,
    /// The base URL, organisation, project or workspace differs.
    Other,
}

/// Compares a recorded account and its recorded key hint with the current account.
pub fn same_account(
    recorded: &AccountId,
    recorded_key: Option<&KeyHint>,
    current: &Account,
) -> AccountMatch {
    if *recorded == current.id {
        return match (recorded_key, &current.key_hint) {
            (Some(recorded), Some(current)) if recorded != current => AccountMatch::KeyChanged,
            _ => AccountMatch::Same,
        };
    }
    match &current.former {
        Some(former) if recorded == former => AccountMatch::Same,
        Some(_) if recorded_key.is_none() && !recorded.is_keyless() => AccountMatch::Unclear,
        _ => AccountMatch::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_compared_by_id_then_key_then_former_digest() {
        let current = Account {
            id: "v2-current".into(),
            key_hint: Some("key".into()),
            former: Some("0123".into()),
        };
        for (recorded, key, expected) in [
            ("v2-current", Some("key"), AccountMatch::Same),
            ("v2-current", None, AccountMatch::Same),
            ("v2-current", Some("old"), AccountMatch::KeyChanged),
            ("v2-other", Some("key"), AccountMatch::Other),
            ("v2-other", None, AccountMatch::Other),
            ("0123", None, AccountMatch::Same),
            ("4567", None, AccountMatch::Unclear),
            ("4567", Some("key"), AccountMatch::Other),
        ] {
            let key = key.map(KeyHint::from);
            let compared = same_account(&recorded.into(), key.as_ref(), &current);
            assert_eq!(compared, expected, "{recorded} {key:?}");
        }
    }

    #[test]
    fn accounts_without_key_hints_are_compared_by_id_alone() {
        let current = Account {
            id: "memory".into(),
            key_hint: None,
            former: None,
        };
        let compared = |recorded: &str| same_account(&recorded.into(), None, &current);
        assert_eq!(compared("memory"), AccountMatch::Same);
        assert_eq!(compared("other"), AccountMatch::Other);
    }
}
