//! Comparison of a changed input with what a run has sent.

use std::collections::HashMap;

use lmbatch_core::{BatchClass, Result, WireId};
use sha2::{Digest as _, Sha256};

use crate::plan::Plan;
use crate::plan::rows::Bodies;
use crate::spool::tables::Echo;

/// Differences between a changed input and what a run has sent.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// /// Returns the number of requests that an update pays for.
/// fn paid(changes: lmbatch::Changes) -> u64 {
///     changes.changed + changes.new
/// }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Number of requests that are the same and keep their outcomes.
    pub unchanged: u64,
    /// Number of requests with a known id whose content has changed and is sent anew.
    pub changed: u64,
    /// Number of requests with a new id.
    pub new: u64,
    /// Number of requests that the input no longer has; they leave the output.
    pub gone: u64,
}

/// Fingerprint of a request: its row without its id on the wire, and its class.
type Fingerprint = [u8; 16];

/// Requests of the run by the digest of their caller's id: fingerprint and ordinal.
pub(crate) type KnownRequests = HashMap<Fingerprint, (Fingerprint, u32)>;

/// Reads the fingerprint of each request of a run's output, as it was sent last without a repair.
pub(crate) fn known_requests(old: &Plan) -> Result<KnownRequests> {
    let wanted = old.wanted()?;
    let mut bodies = Bodies::new(&old.files, &old.shards);
    let (mut merge, mut echo) = (old.merge(), Echo::default());
    let mut known = HashMap::with_capacity(old.requests as usize);
    while let Some(merged) = merge.next()? {
        let ordinal = merged.ordinal;
        if wanted
            .as_ref()
            .is_some_and(|wanted| !wanted.contains(&ordinal))
        {
            continue;
        }
        merge.echo(&mut echo)?;
        // A repair adds turns to the request, and is no difference from the input.
        let (shard, row) = merged.original;
        let class = old.class(shard);
        let id = WireId::ordinal(&old.nonce, ordinal);
        let print = fingerprint(class, &id, bodies.read(shard, &row)?);
        known.insert(digest(&[&echo.id]), (print, ordinal));
    }
    Ok(known)
}

/// Request of a new input, compared with the requests of a run.
pub(crate) struct Compared<'a> {
    /// Ordinal in the run of an equal request with the same id.
    pub(crate) unchanged: Option<u32>,
    pub(crate) class: &'a BatchClass,
    /// Id on the wire in the row.
    pub(crate) id: WireId,
    pub(crate) row: &'a mut [u8],
    pub(crate) echo: &'a Echo,
}

/// Compares each request of a new input, in its order, with the requests of a run.
pub(crate) fn compare(
    new: &Plan,
    known: &KnownRequests,
    mut visit: impl FnMut(Compared<'_>) -> Result<()>,
) -> Result<Changes> {
    let mut changes = Changes::default();
    let mut bodies = Bodies::new(&new.files, &new.shards);
    let (mut merge, mut echo) = (new.merge(), Echo::default());
    let mut row = Vec::new();
    while let Some(merged) = merge.next()? {
        merge.echo(&mut echo)?;
        let class = new.class(merged.shard);
        let id = WireId::ordinal(&new.nonce, merged.ordinal);
        row.clear();
        row.extend_from_slice(bodies.read(merged.shard, &merged.row)?);
        let unchanged = match known.get(&digest(&[&echo.id])) {
            Some((sent, ordinal)) if *sent == fingerprint(class, &id, &row) => {
                changes.unchanged += 1;
                Some(*ordinal)
            }
            Some(_) => {
                changes.changed += 1;
                None
            }
            None => {
                changes.new += 1;
                None
            }
        };
        visit(Compared {
            unchanged,
            class,
            id,
            row: &mut row,
            echo: &echo,
        })?;
    }
    let stay = changes.unchanged + changes.changed;
    changes.gone = (known.len() as u64).saturating_sub(stay);
    Ok(changes)
}

fn fingerprint(class: &BatchClass, id: &WireId, row: &[u8]) -> Fingerprint {
    let class = serde_json::to_vec(class).unwrap_or_default();
    let id = id.as_str().as_bytes();
    let (before, after) = match memchr::memmem::find(row, id) {
        Some(at) => (&row[..at], &row[at + id.len()..]),
        None => (row, &[][..]),
    };
    digest(&[&class, before, after])
}

pub(crate) fn digest(parts: &[&[u8]]) -> Fingerprint {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let mut print = [0; 16];
    print.copy_from_slice(&digest.finalize()[..16]);
    print
}
