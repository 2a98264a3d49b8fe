//! Maps the ids of rows to requests.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::Write as _;

use lmbatch_core::{BatchHandle, Error, IdRule, Nonce, RequestId, Result};

use crate::plan::handles::read_ids;
use crate::plan::planned::PlannedShard;
use crate::spool::tables::{Echo, ROW, Row};
use crate::spool::window::Window;
use crate::spool::{Files, layout, spooled};

/// Form of the ids for rows that name no request; a number follows. A bare number could be an id of
/// the caller.
const WITHOUT_ID: &str = "row-without-id-";

/// Number of entries of the table of rows that are read at once.
const AHEAD: usize = 4096;

/// Requests that rows have named, by ordinal, with their ids.
type Discovered<'a> = Vec<(u32, Cow<'a, str>)>;

/// Map from ids on the wire to positions of requests.
pub(crate) enum IdMap {
    Ordinal {
        nonce: Nonce,
        count: u32,
    },
    /// Requests of one batch of a run: stretches of ordinals as `[first, count]`, each with the
    /// position of its first request, sorted by ordinal.
    Part {
        nonce: Nonce,
        stretches: Vec<([u32; 2], u32)>,
        count: u32,
    },
    Verbatim {
        ordinals: HashMap<Box<str>, u32>,
    },
    /// Requests of a batch without a handle: each id in a row is a request.
    Discover {
        ordinals: HashMap<Box<str>, u32>,
        /// Caller's ids for rows that name no request, in order.
        names: Vec<RequestId>,
        /// Ordinals of rows that name no request, in the order of arrival. Their ids are made at
        /// the end, when all other ids are known.
        unnamed: Vec<u32>,
        without_id: u32,
    },
}

impl IdMap {
    /// Returns the map of the requests of one shard of a run, by their positions in it. A row that
    /// names a request of another shard matches none of them. Reads the tables of the shard only
    /// where the ordinals of its requests have gaps or the caller's ids stand on the wire: not for
    /// an async thread.
    pub(crate) fn of_shard(ids: &IdRule, planned: &PlannedShard, tables: &Files) -> Result<Self> {
        let (of, count) = (&planned.tables, planned.shard.count);
        let nonce = match ids {
            IdRule::Ordinal(nonce) | IdRule::Part { nonce, .. } => nonce.clone(),
            IdRule::Verbatim => {
                let ids = read_ids(tables, of, count)?.into_iter();
                let ordinals = ids.map(|(_, id)| id.as_str().into()).zip(0..);
                return Ok(Self::Verbatim {
                    ordinals: ordinals.collect(),
                });
            }
        };
        let spans = u64::from(of.last) + 1 - u64::from(of.first);
        let is_dense = !of.unordered && spans == u64::from(count);
        let mut stretches = match is_dense {
            true => vec![([of.first, count], 0)],
            false => stretches(&mut rows(tables, planned)?, count)?,
        };
        stretches.sort_unstable();
        Ok(Self::Part {
            nonce,
            stretches,
            count,
        })
    }

    pub(crate) fn of_handle(handle: &BatchHandle, files: &Files) -> Result<Self> {
        let mut writer = files.create(layout::BATCH_ECHO)?;
        let mut echo = Echo::default();
        for request in &handle.requests {
            echo.clear();
            lmbatch_core::write_string(request.as_str(), &mut echo.id);
            echo.write(&mut writer).map_err(spooled)?;
        }
        writer.flush().map_err(spooled)?;
        let count = u32::try_from(handle.requests.len()).map_err(|_| {
            Error::invalid_input("the handle names more requests than a batch can hold")
        })?;
        Ok(match &handle.ids {
            IdRule::Ordinal(nonce) => Self::Ordinal {
                nonce: nonce.clone(),
                count,
            },
            IdRule::Part { nonce, stretches } => Self::of_part(nonce, stretches, count)?,
            IdRule::Verbatim => Self::Verbatim {
                ordinals: handle
                    .requests
                    .iter()
                    .map(|id| id.as_str().into())
                    .zip(0..)
                    .collect(),
            },
        })
    }

    fn of_part(nonce: &Nonce, stretches: &[[u32; 2]], count: u32) -> Result<Self> {
        let mut position = 0_u32;
        let mut placed = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            placed.push((*stretch, position));
            position = position.saturating_add(stretch[1]);
        }
        placed.sort_unstable();
        let overlap = |pair: &[([u32; 2], u32)]| {
            let ([first, count], _) = pair[0];
            first
                .checked_add(count)
                .is_none_or(|end| end > pair[1].0[0])
        };
        if position != count || placed.windows(2).any(overlap) {
            return Err(Error::invalid_input(
                "the handle does not map each id on the wire to one request",
            ));
        }
        Ok(Self::Part {
            nonce: nonce.clone(),
            stretches: placed,
            count,
        })
    }

    pub(crate) fn of_rows(names: Vec<RequestId>) -> Self {
        Self::Discover {
            ordinals: HashMap::new(),
            names,
            unnamed: Vec::new(),
            without_id: 0,
        }
    }

    /// Returns the ordinal for a row that names no request, which is known only by its order of
    /// arrival; `None` where such rows do not count.
    pub(crate) fn without_id(&mut self) -> Result<Option<u32>> {
        let next = self.next_ordinal();
        let Self::Discover {
            unnamed,
            without_id,
            ..
        } = self
        else {
            return Ok(None);
        };
        let at = *without_id as usize;
        *without_id += 1;
        // Rows that are read again keep their ordinals.
        if at == unnamed.len() {
            unnamed.push(next?);
        }
        Ok(unnamed.get(at).copied())
    }

    /// Returns the ordinal of the next request that a row names for the first time.
    fn next_ordinal(&self) -> Result<u32> {
        let next = match self {
            Self::Discover {
                ordinals, unnamed, ..
            } => ordinals.len() + unnamed.len(),
            _ => 0,
        };
        u32::try_from(next)
            .map_err(|_| Error::malformed("the results name more requests than a batch can hold"))
    }

    /// Returns the ids of the requests that rows have named, by ordinal; `None` where the requests
    /// were known before. Ordinals for which `has_row` is `false` come from a reading that was
    /// undone, and are left out.
    ///
    /// A row that names no request gets the caller's id for its order of arrival or, after those,
    /// an id of a form that no other row has.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where an id of the caller
    /// is also the id of another row.
    pub(crate) fn discovered(
        &self,
        has_row: impl Fn(u32) -> bool,
    ) -> Result<Option<Discovered<'_>>> {
        let Self::Discover {
            ordinals,
            names,
            unnamed,
            ..
        } = self
        else {
            return Ok(None);
        };
        let named = ordinals.iter().filter(|(_, ordinal)| has_row(**ordinal));
        let mut found: Vec<(u32, Cow<'_, str>)> = named
            .map(|(id, ordinal)| (*ordinal, Cow::Borrowed(&**id)))
            .collect();
        let unnamed = unnamed.iter().filter(|ordinal| has_row(**ordinal));
        let unnamed: Vec<u32> = unnamed.copied().collect();
        let given = &names[..names.len().min(unnamed.len())];
        let mut used = HashSet::with_capacity(given.len());
        for id in given {
            let is_of_row = ordinals.get(id.as_str());
            if is_of_row.is_some_and(|ordinal| has_row(*ordinal)) || !used.insert(id.as_str()) {
                return Err(Error::invalid_input(format!(
                    "a row without an id cannot be named {:?}: another row of the batch has that id",
                    id.as_str()
                )));
            }
        }
        let mut prefix = WITHOUT_ID.to_owned();
        let is_used = |prefix: &str| {
            let ids = ordinals.keys().map(|id| &**id);
            let mut ids = ids.chain(given.iter().map(RequestId::as_str));
            ids.any(|id| id.starts_with(prefix))
        };
        while is_used(&prefix) {
            prefix.push('-');
        }
        let given = given.iter().map(|id| Cow::Borrowed(id.as_str()));
        let made = (given.len() + 1..).map(|number| Cow::Owned(format!("{prefix}{number}")));
        found.extend(unnamed.into_iter().zip(given.chain(made)));
        found.sort_unstable_by_key(|(ordinal, _)| *ordinal);
        Ok(Some(found))
    }

    pub(crate) fn ordinal(&mut self, id: &str) -> Result<Option<u32>> {
        match self {
            Self::Ordinal { nonce, count } => {
                Ok(lmbatch_core::WireId::parse_ordinal(nonce, id).filter(|o| o < count))
            }
            Self::Part {
                nonce, stretches, ..
            } => Ok(lmbatch_core::WireId::parse_ordinal(nonce, id)
                .and_then(|ordinal| position_in(stretches, ordinal))),
            Self::Verbatim { ordinals } => Ok(ordinals.get(id).copied()),
            Self::Discover { ordinals, .. } => {
                if let Some(ordinal) = ordinals.get(id) {
                    return Ok(Some(*ordinal));
                }
                let ordinal = self.next_ordinal()?;
                if let Self::Discover { ordinals, .. } = self {
                    ordinals.insert(id.into(), ordinal);
                }
                Ok(Some(ordinal))
            }
        }
    }

    /// Returns the number of rows so far that name no request.
    pub(crate) fn numbered(&self) -> u32 {
        match self {
            Self::Discover { without_id, .. } => *without_id,
            _ => 0,
        }
    }

    /// Resets that number, so that rows that are read again keep their names.
    pub(crate) fn renumber(&mut self, rows: u32) {
        if let Self::Discover { without_id, .. } = self {
            *without_id = rows;
        }
    }

    /// Returns whether rows that name no request count.
    pub(crate) fn takes_rows_without_id(&self) -> bool {
        matches!(self, Self::Discover { .. })
    }

    pub(crate) fn count(&self) -> u32 {
        match self {
            Self::Ordinal { count, .. } | Self::Part { count, .. } => *count,
            Self::Verbatim { ordinals } => ordinals.len() as u32,
            Self::Discover {
                ordinals, unnamed, ..
            } => (ordinals.len() + unnamed.len()) as u32,
        }
    }
}

/// Opens the table of the rows of a shard.
fn rows(tables: &Files, planned: &PlannedShard) -> Result<Window<ROW>> {
    let file = tables.open_whole(&planned.tables.rows)?;
    Ok(Window::new(file, planned.shard.count, AHEAD))
}

/// Returns the stretches of a shard: runs of consecutive ordinals, each with the position of the
/// first. At most 12 bytes for each request of the shard.
fn stretches(rows: &mut Window<ROW>, count: u32) -> Result<Vec<([u32; 2], u32)>> {
    let mut stretches: Vec<([u32; 2], u32)> = Vec::new();
    for at in 0..count {
        let row = rows.get(at).map_err(spooled)?;
        let ordinal = row.map(Row::from_bytes).unwrap_or_default().ordinal;
        match stretches.last_mut() {
            Some(([first, length], _)) if first.checked_add(*length) == Some(ordinal) => {
                *length += 1
            }
            _ => stretches.push(([ordinal, 1], at)),
        }
    }
    Ok(stretches)
}

/// Returns the position of the request with this ordinal, where one of the stretches holds it.
fn position_in(stretches: &[([u32; 2], u32)], ordinal: u32) -> Option<u32> {
    let after = stretches.partition_point(|([first, _], _)| *first <= ordinal);
    let ([first, count], position) = stretches[after.checked_sub(1)?];
    let within = ordinal - first;
    (within < count).then(|| position + within)
}

#[cfg(test)]
mod tests {
    use lmbatch_core::WireId;

    use super::*;

    #[test]
    fn a_part_of_a_run_maps_only_its_own_ordinals() {
        let nonce = Nonce::draw(&crate::clock::SystemRng);
        let mut id_map = IdMap::of_part(&nonce, &[[10, 2], [3, 1], [20, 3]], 6).unwrap();
        let found: Vec<(u32, u32)> = (0..30)
            .filter_map(|ordinal| {
                let id = WireId::ordinal(&nonce, ordinal);
                let position = id_map.ordinal(id.as_str()).unwrap()?;
                Some((ordinal, position))
            })
            .collect();
        assert_eq!(found, [(3, 2), (10, 0), (11, 1), (20, 3), (21, 4), (22, 5)]);
        for (stretches, count) in [
            (&[[0, 2]][..], 3),
            (&[[0, 2], [1, 2]], 4),
            (&[[5, u32::MAX], [9, 1]], 0),
        ] {
            let broken = IdMap::of_part(&nonce, stretches, count);
            assert!(broken.is_err(), "{stretches:?}");
        }
    }

    #[test]
    fn a_made_id_is_never_the_id_of_another_row() {
        // Ids of rows in the order of arrival, with `None` for a row without an id; the caller's
        // ids for those; the expected ids.
        type Ids = &'static [&'static str];
        type Case = (&'static [Option<&'static str>], Ids, Result<Ids, ()>);
        let cases: [Case; 12] = [
            (
                &[None, None],
                &[],
                Ok(&["row-without-id-1", "row-without-id-2"]),
            ),
            (&[None, Some("1")], &[], Ok(&["row-without-id-1", "1"])),
            (&[Some("1"), None], &[], Ok(&["1", "row-without-id-1"])),
            (
                &[None, Some("row-without-id-1")],
                &[],
                Ok(&["row-without-id--1", "row-without-id-1"]),
            ),
            (
                &[Some("row-without-id--1"), Some("row-without-id-1"), None],
                &[],
                Ok(&[
                    "row-without-id--1",
                    "row-without-id-1",
                    "row-without-id---1",
                ]),
            ),
            (
                &[None, None],
                &["row-without-id-2"],
                Ok(&["row-without-id-2", "row-without-id--2"]),
            ),
            (
                &[None, Some("a"), None],
                &["x"],
                Ok(&["x", "a", "row-without-id-2"]),
            ),
            (&[None, Some("a")], &["x", "a"], Ok(&["x", "a"])),
            (&[None, Some("a")], &["a"], Err(())),
            (&[Some("a"), None], &["a"], Err(())),
            (&[None, None], &["x", "x"], Err(())),
            (&[], &["x"], Ok(&[])),
        ];
        for (rows, names, expected) in cases {
            let names = names.iter().map(|name| RequestId::new(*name)).collect();
            let mut id_map = IdMap::of_rows(names);
            // An interrupted reading leaves no trace in the second one.
            for _ in 0..2 {
                id_map.renumber(0);
                for (position, row) in (0..).zip(rows) {
                    let ordinal = match row {
                        Some(id) => id_map.ordinal(id).unwrap(),
                        None => id_map.without_id().unwrap(),
                    };
                    assert_eq!(ordinal, Some(position), "{rows:?}");
                }
            }
            let found = id_map.discovered(|_| true).map_err(|error| {
                assert_eq!(error.kind(), lmbatch_core::ErrorKind::InvalidInput);
            });
            let ids = found.map(|found| {
                let found = found.unwrap().into_iter();
                found.map(|(_, id)| id.into_owned()).collect::<Vec<_>>()
            });
            let expected = expected.map(|ids| ids.iter().map(ToString::to_string).collect());
            assert_eq!(ids, expected, "{rows:?}");
        }
        // An id that only an undone reading has named is no request.
        let mut id_map = IdMap::of_rows(Vec::new());
        id_map.ordinal("stranger").unwrap();
        id_map.ordinal("own").unwrap();
        let found = id_map.discovered(|ordinal| ordinal == 1).unwrap().unwrap();
        assert_eq!(found, [(1, "own".into())]);
    }
}
