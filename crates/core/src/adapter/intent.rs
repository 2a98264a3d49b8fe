//! The create of a batch, before its fate is known.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{BatchClass, BatchId, CreateToken, Label, Staged};

/// A create that was decided and noted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Our mark.
    pub label: Label,
    /// What the requests share.
    pub class: BatchClass,
    /// How many they are.
    pub count: u32,
    /// Bytes of the whole body.
    pub bytes: u64,
    /// What was uploaded.
    pub staged: Staged,
    /// For providers that take one.
    pub token: CreateToken,
    /// When the create was sent, by the clock of this machine, which may be wrong.
    #[serde(default, with = "crate::adapter::time::optional")]
    pub posted_at: Option<SystemTime>,
    /// Newest batch that existed before the create.
    pub watermark: Option<BatchId>,
    /// Creation time of the watermark, by the provider's clock. A search compares times with this one only:
    /// the clock of this machine may be wrong.
    #[serde(default, with = "crate::adapter::time::optional")]
    pub watermark_at: Option<SystemTime>,
    /// Batches that were taken for it, and whose results showed that they are someone else's.
    #[serde(default)]
    pub strangers: Vec<BatchId>,
}

impl Intent {
    /// Returns whether a batch of a list, newest first, shows that the search has come to what existed
    /// before the create: it is the watermark, or [much older](Self::is_long_before).
    ///
    /// Lists have a resolution of a second and promise no order within it, so a search reads the rest of
    /// this page and one page more.
    pub fn is_before(&self, batch: &str, created_at: Option<SystemTime>) -> bool {
        let mark = self.watermark.as_ref();
        mark.is_some_and(|mark| mark.as_str() == batch) || self.is_long_before(created_at)
    }

    /// Returns whether a batch was created more than two days before the watermark, by the provider's times.
    pub fn is_long_before(&self, created_at: Option<SystemTime>) -> bool {
        const SLACK: Duration = Duration::from_secs(2 * 24 * 3600);
        let times = created_at.zip(self.watermark_at);
        times.is_some_and(|(created, mark)| {
            created
                .checked_add(SLACK)
                .is_some_and(|latest| latest < mark)
        })
    }

    /// Returns whether a batch may be the one that the create made: it is not the watermark, and not older
    /// than it by the provider's times. A batch of the same second may be.
    pub fn may_have_made(&self, batch: &str, created_at: Option<SystemTime>) -> bool {
        if self
            .watermark
            .as_ref()
            .is_some_and(|mark| mark.as_str() == batch)
        {
            return false;
        }
        let times = created_at.zip(self.watermark_at);
        times.is_none_or(|(created, mark)| created >= mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_with_the_watermark_and_never_overflow() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let day = 24 * 3600;
        let latest = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(i64::MAX as u64));
        let intent = |watermark_at| Intent {
            label: Label::new("ours"),
            class: BatchClass::new("/x", "file"),
            count: 1,
            bytes: 1,
            staged: Staged::default(),
            token: CreateToken::new("t"),
            // A clock that is a year ahead changes nothing.
            posted_at: at(465 * day),
            strangers: Vec::new(),
            watermark: Some(BatchId::new("mark")),
            watermark_at,
        };
        for (mark, batch, created, before, may) in [
            (at(100 * day), "mark", at(100 * day), true, false),
            (at(100 * day), "b", at(100 * day), false, true),
            (at(100 * day), "b", at(100 * day + 1), false, true),
            (at(100 * day), "b", at(100 * day - 1), false, false),
            (at(100 * day), "b", at(98 * day - 1), true, false),
            (at(100 * day), "b", None, false, true),
            (None, "b", at(1), false, true),
            (at(100 * day), "b", latest, false, true),
            (latest, "b", at(1), true, false),
        ] {
            let intent = intent(mark);
            let found = (
                intent.is_before(batch, created),
                intent.may_have_made(batch, created),
            );
            assert_eq!(found, (before, may), "{batch} {created:?} {mark:?}");
        }
    }
}
