//! Leads the ids of rows back to requests.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;

use lmbatch_core::{BatchHandle, Error, ErrorKind, IdRule, Nonce, RequestId, Result};

use crate::handles::RunHandles;
use crate::index::{Echo, Reader, Writer};
use crate::spool::Files;

/// Leads ids on the wire back to requests.
pub(crate) enum Joiner {
    Ordinal {
        nonce: Nonce,
        count: u32,
    },
    /// The requests of one batch of a run: stretches of places as `[first, count]`, each with the position of
    /// its first request, sorted by place.
    Part {
        nonce: Nonce,
        stretches: Vec<([u32; 2], u32)>,
        count: u32,
    },
    Verbatim {
        ordinals: Arc<HashMap<Box<str>, u32>>,
    },
    Discover {
        ordinals: HashMap<Box<str>, u32>,
        echo: Box<Writer>,
        /// Ids for rows that name no request, by their position; then come "1", "2", ….
        names: Vec<RequestId>,
        keyless: u32,
    },
}

impl Joiner {
    /// Of all requests of a run. Reads files: not for an async thread.
    pub(crate) fn of_run(run: &RunHandles) -> Result<Self> {
        Ok(match &run.ids {
            IdRule::Ordinal(nonce) | IdRule::Part { nonce, .. } => Self::Ordinal {
                nonce: nonce.clone(),
                count: run.order.map_or(run.requests, |order| order.ordinals),
            },
            IdRule::Verbatim => {
                let mut reader = Reader::new(run.files.open("echo")?);
                let mut echo = Echo::default();
                let mut ordinals = HashMap::with_capacity(run.requests as usize);
                for ordinal in 0..run.requests {
                    echo.read(&mut reader)
                        .map_err(|e| Error::local("reading the spool", e))?;
                    ordinals.insert(crate::plan::request_id(&echo.id).as_str().into(), ordinal);
                }
                Self::Verbatim {
                    ordinals: Arc::new(ordinals),
                }
            }
        })
    }

    pub(crate) fn of_handle(handle: &BatchHandle, files: &Files) -> Result<Self> {
        let mut writer = files.create("echo")?;
        let mut echo = Echo::default();
        for request in &handle.requests {
            echo.clear();
            lmbatch_core::write_string(request.as_str(), &mut echo.id);
            echo.write(&mut writer)
                .map_err(|e| Error::local("writing the spool", e))?;
        }
        writer
            .flush()
            .map_err(|e| Error::local("writing the spool", e))?;
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
                ordinals: Arc::new(
                    handle
                        .requests
                        .iter()
                        .map(|id| id.as_str().into())
                        .zip(0..)
                        .collect(),
                ),
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
                "the handle does not say which request each id stands for",
            ));
        }
        Ok(Self::Part {
            nonce: nonce.clone(),
            stretches: placed,
            count,
        })
    }

    pub(crate) fn of_rows(files: &Files, names: Vec<RequestId>) -> Result<Self> {
        Ok(Self::Discover {
            ordinals: HashMap::new(),
            echo: Box::new(files.create("echo")?),
            names,
            keyless: 0,
        })
    }

    /// Returns one for another batch of the same run.
    pub(crate) fn share(&self) -> Result<Self> {
        Ok(match self {
            Self::Ordinal { nonce, count } => Self::Ordinal {
                nonce: nonce.clone(),
                count: *count,
            },
            Self::Part {
                nonce,
                stretches,
                count,
            } => Self::Part {
                nonce: nonce.clone(),
                stretches: stretches.clone(),
                count: *count,
            },
            Self::Verbatim { ordinals } => Self::Verbatim {
                ordinals: Arc::clone(ordinals),
            },
            Self::Discover { .. } => {
                return Err(Error::new(ErrorKind::Internal)
                    .with_message("ids that are discovered are of one batch"));
            }
        })
    }

    /// The request of a row that names none: known by its position only, and only where nothing better is.
    pub(crate) fn keyless(&mut self) -> Result<Option<u32>> {
        let Self::Discover { names, keyless, .. } = self else {
            return Ok(None);
        };
        let name = names.get(*keyless as usize).cloned();
        *keyless += 1;
        let name = name.unwrap_or_else(|| RequestId::new(keyless.to_string()));
        self.ordinal(name.as_str())
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
            Self::Discover { ordinals, echo, .. } => {
                if let Some(ordinal) = ordinals.get(id) {
                    return Ok(Some(*ordinal));
                }
                let ordinal = u32::try_from(ordinals.len()).unwrap_or(u32::MAX);
                let mut record = Echo::default();
                lmbatch_core::write_string(id, &mut record.id);
                record
                    .write(&mut **echo)
                    .map_err(|e| Error::local("writing the spool", e))?;
                ordinals.insert(id.into(), ordinal);
                Ok(Some(ordinal))
            }
        }
    }

    /// Number of rows that were named by their position so far.
    pub(crate) fn numbered(&self) -> u32 {
        match self {
            Self::Discover { keyless, .. } => *keyless,
            _ => 0,
        }
    }

    /// Goes back to an earlier number: rows that are read again keep their names.
    pub(crate) fn renumber(&mut self, rows: u32) {
        if let Self::Discover { keyless, .. } = self {
            *keyless = rows;
        }
    }

    /// Whether rows that name no request count.
    pub(crate) fn takes_keyless(&self) -> bool {
        matches!(self, Self::Discover { .. })
    }

    pub(crate) fn count(&self) -> u32 {
        match self {
            Self::Ordinal { count, .. } | Self::Part { count, .. } => *count,
            Self::Verbatim { ordinals } => ordinals.len() as u32,
            Self::Discover { ordinals, .. } => ordinals.len() as u32,
        }
    }
}

/// The position of the request that stands at a place of the run, where one of the stretches holds it.
fn position_in(stretches: &[([u32; 2], u32)], place: u32) -> Option<u32> {
    let after = stretches.partition_point(|([first, _], _)| *first <= place);
    let ([first, count], position) = stretches[after.checked_sub(1)?];
    let within = place - first;
    (within < count).then(|| position + within)
}

#[cfg(test)]
mod tests {
    use lmbatch_core::WireId;

    use super::*;

    #[test]
    fn a_part_of_a_run_finds_the_positions_of_its_own_places_only() {
        let nonce = Nonce::draw(&crate::clock::SystemRng);
        let mut joiner = Joiner::of_part(&nonce, &[[10, 2], [3, 1], [20, 3]], 6).unwrap();
        let found: Vec<(u32, u32)> = (0..30)
            .filter_map(|place| {
                let id = WireId::ordinal(&nonce, place);
                let position = joiner.ordinal(id.as_str()).unwrap()?;
                Some((place, position))
            })
            .collect();
        assert_eq!(found, [(3, 2), (10, 0), (11, 1), (20, 3), (21, 4), (22, 5)]);
        for (stretches, count) in [
            (&[[0, 2]][..], 3),
            (&[[0, 2], [1, 2]], 4),
            (&[[5, u32::MAX], [9, 1]], 0),
        ] {
            let broken = Joiner::of_part(&nonce, stretches, count);
            assert!(broken.is_err(), "{stretches:?}");
        }
    }
}
