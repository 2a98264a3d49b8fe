//! Intent of a create, recorded before the create is sent.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{BatchClass, BatchId, CreateToken, Label, Staged};

/// Create that was decided and recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// lmbatch's label for the batch.
    pub label: Label,
    /// Class that the requests share.
    pub class: BatchClass,
    /// Number of requests in the batch.
    pub count: u32,
    /// Size of the whole body in bytes.
    pub bytes: u64,
    /// Uploads that the create uses.
    pub staged: Staged,
    /// Idempotency token, sent to providers that accept one.
    pub token: CreateToken,
    /// Time at which the create was sent, by the clock of this machine, which may be wrong.
    #[serde(default, with = "crate::adapter::time::optional")]
    pub posted_at: Option<SystemTime>,
    /// Newest batch that existed before the create; `None` where there was none or it is not known.
    pub watermark: Option<BatchId>,
    /// Time at which the watermark was created, by the provider's clock. Searches compare times only with
    /// this one, because the clock of this machine may be wrong.
    #[serde(default, with = "crate::adapter::time::optional")]
    pub watermark_at: Option<SystemTime>,
    /// Batches that were presumed to come from this create, and whose results showed that they belong to
    /// another client.
    #[serde(default, rename = "strangers")]
    pub foreign_batches: Vec<BatchId>,
}

impl Intent {
    /// Returns whether a batch in a list, newest first, existed before the create: it is the watermark, or
    /// [much older](Self::is_long_before).
    ///
    /// Lists are ordered by times of one second resolution and promise no order within a second. A search
    /// therefore examines the rest of the page and one page more.
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

    /// Returns whether the create may have made a batch: the batch is not the watermark, and not older than
    /// it by the provider's times. A batch created in the same second counts.
    pub fn may_have_created(&self, batch: &str, created_at: Option<SystemTime>) -> bool {
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
            label: Label::new("l"),
            class: BatchClass::new("/x", "file"),
            count: 1,
            bytes: 1,
            staged: Staged::default(),
            token: CreateToken::new("t"),
            // A clock that is a year ahead makes no difference.
            posted_at: at(465 * day),
            foreign_batches: Vec::new(),
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
                intent.may_have_created(batch, created),
            );
            assert_eq!(found, (before, may), "{batch} {created:?} {mark:?}");
        }
    }
}
