//! Identification of an account and its key, without the key.

use lmbatch_core::{AccountId, KeyHint};
use reqwest::Url;
use sha2::{Digest as _, Sha256};

/// An account, its key, and its id in records of earlier versions; all as digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Digest of the base URL and the scopes.
    pub account: AccountId,
    /// Digest of the key.
    pub key_hint: KeyHint,
    /// Digest of origin, key and scopes: the account id of earlier versions.
    pub former: AccountId,
}

impl Identity {
    /// Computes the digests. `scopes` are organisation, project or workspace, each empty where it is not
    /// set; their number and order are fixed for an adapter.
    pub fn new(base_url: &Url, key: &str, scopes: &[&str]) -> Self {
        let origin = base_url.origin().ascii_serialization();
        Self {
            account: account_at(base_url, scopes),
            // 48 bits: enough to notice a change, and too few to find the key.
            key_hint: digest(&["key", key])[..12].into(),
            former: digest(&[&[&*origin, key], scopes].concat()).into(),
        }
    }
}

/// Returns the account id of a base URL and scopes.
pub(crate) fn account_at(base_url: &Url, scopes: &[&str]) -> AccountId {
    let origin = base_url.origin().ascii_serialization();
    let path = base_url.path();
    let path = path.strip_suffix('/').unwrap_or(path);
    let place = format!("{origin}{path}");
    let digest = digest(&[&[&*place], scopes].concat());
    format!("{}{digest}", AccountId::KEYLESS).into()
}

/// Returns 32 hexadecimal digits of a digest of `parts`.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let bytes = digest.finalize();
    bytes
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(url: &str, key: &str, scopes: &[&str]) -> Identity {
        Identity::new(&crate::base_url(url).unwrap(), key, scopes)
    }

    #[test]
    fn parts_of_a_digest_are_separated() {
        assert_eq!(digest(&["a", "b"]), digest(&["a", "b"]));
        assert_ne!(digest(&["a", "b"]), digest(&["ab", ""]));
        assert_eq!(digest(&["a"]).len(), 32);
    }

    /// Compares with ids in existing ledgers. A change of the digest, its length, the length prefixes or the order
    /// of the parts would change the ids, and every recorded run would belong to an unknown account.
    #[test]
    fn account_ids_match_those_of_recorded_runs() {
        assert_eq!(digest(&["a", "b"]), "cf6ab613e3942391f88ed698557e1680");
        assert_eq!(digest(&["ab", ""]), "e38fddf799dfc9884ea023573aeb3548");
        let id = identity("https://api.test/v1", "k", &["o", "p"]);
        assert_eq!(
            (
                id.account.as_str(),
                id.former.as_str(),
                id.key_hint.as_str()
            ),
            (
                "v2-d15f02b74f9cb820c256960772062139",
                "e984ae3ed057cf9101d13c3d2fbb0591",
                "af4ea9d4f909"
            )
        );
    }

    #[test]
    fn an_account_id_depends_on_base_url_and_scopes_but_not_on_the_key() {
        let id = identity("https://api.test/v1", "k", &["o", ""]);
        assert!(id.account.is_keyless());
        assert_eq!(id, identity("https://api.test/v1/", "k", &["o", ""]));
        assert_eq!(id, identity("https://API.test:443/v1", "k", &["o", ""]));
        let rotated = identity("https://api.test/v1", "k2", &["o", ""]);
        assert_eq!(rotated.account, id.account);
        assert_ne!(rotated.key_hint, id.key_hint);
        assert_ne!(rotated.former, id.former);
        for other in [
            identity("https://api.test/v2", "k", &["o", ""]),
            identity("https://api.test:8443/v1", "k", &["o", ""]),
            identity("https://eu.api.test/v1", "k", &["o", ""]),
            identity("https://api.test/v1", "k", &["", "o"]),
            identity("https://api.test/v1", "k", &["", ""]),
        ] {
            assert_ne!(other.account, id.account);
            assert_eq!(other.key_hint, id.key_hint);
        }
    }

    #[test]
    fn the_former_id_matches_that_of_earlier_versions() {
        let id = identity("https://api.test/v1", "k", &["o"]);
        assert_eq!(id.former.as_str(), digest(&["https://api.test", "k", "o"]));
        assert_eq!(
            id.former,
            identity("https://api.test/v9", "k", &["o"]).former
        );
    }
}
