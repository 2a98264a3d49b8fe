//! Services beside a run: what was answered and paid for, what a provider holds, what the record knows.

pub(crate) mod audit;
pub(crate) mod lookup;
pub(crate) mod origin;
pub(crate) mod twins;
