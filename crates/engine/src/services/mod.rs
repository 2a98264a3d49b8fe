//! Services in addition to a run: accounts, the origin of batches, second batches, lookups in the
//! ledger.

pub(crate) mod audit;
pub(crate) mod lookup;
pub(crate) mod origin;
pub(crate) mod twins;
