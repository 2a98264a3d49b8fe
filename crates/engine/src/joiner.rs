//! Leads the ids of rows back to requests.

use std::collections::HashMap;
use std::io::Write as _;

use lmbatch_core::{BatchHandle, Error, IdRule, Nonce, RequestId, Result};

use crate::index::{Echo, Reader, Writer};
use crate::plan::Plan;
use crate::spool::Files;

/// Leads ids on the wire back to requests.
pub(crate) enum Joiner {
    Ordinal {
        nonce: Nonce,
        count: u32,
    },
    Verbatim {
        ordinals: HashMap<Box<str>, u32>,
    },
    Discover {
        ordinals: HashMap<Box<str>, u32>,
        echo: Box<Writer>,
        /// Ids for rows that name no request, by their position; then come "1", "2", ….
        names: std::vec::IntoIter<RequestId>,
        keyless: u32,
    },
}

impl Joiner {
    pub(crate) fn of_plan(plan: &Plan) -> Result<Self> {
        Ok(match &plan.ids {
            IdRule::Ordinal(nonce) => Self::Ordinal {
                nonce: nonce.clone(),
                count: plan.ordinals(),
            },
            IdRule::Verbatim => {
                let mut reader = Reader::new(plan.files.open("echo")?);
                let mut echo = Echo::default();
                let mut ordinals = HashMap::with_capacity(plan.requests as usize);
                for ordinal in 0..plan.requests {
                    echo.read(&mut reader)
                        .map_err(|e| Error::local("reading the spool", e))?;
                    ordinals.insert(crate::plan::request_id(&echo.id).as_str().into(), ordinal);
                }
                Self::Verbatim { ordinals }
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

    pub(crate) fn of_rows(files: &Files, names: Vec<RequestId>) -> Result<Self> {
        Ok(Self::Discover {
            ordinals: HashMap::new(),
            echo: Box::new(files.create("echo")?),
            names: names.into_iter(),
            keyless: 0,
        })
    }

    /// The request of a row that names none: known by its position only, and only where nothing better is.
    pub(crate) fn keyless(&mut self) -> Result<Option<u32>> {
        let Self::Discover { names, keyless, .. } = self else {
            return Ok(None);
        };
        *keyless += 1;
        let name = names
            .next()
            .unwrap_or_else(|| RequestId::new(keyless.to_string()));
        self.ordinal(name.as_str())
    }

    pub(crate) fn ordinal(&mut self, id: &str) -> Result<Option<u32>> {
        match self {
            Self::Ordinal { nonce, count } => {
                Ok(lmbatch_core::WireId::parse_ordinal(nonce, id).filter(|o| o < count))
            }
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

    /// Whether rows that name no request count.
    pub(crate) fn takes_keyless(&self) -> bool {
        matches!(self, Self::Discover { .. })
    }

    pub(crate) fn count(&self) -> u32 {
        match self {
            Self::Ordinal { count, .. } => *count,
            Self::Verbatim { ordinals } | Self::Discover { ordinals, .. } => ordinals.len() as u32,
        }
    }
}
