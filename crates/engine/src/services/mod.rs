//! Services on recorded runs: the same-run rule, states, accounts of billed answers, and searches at a provider.

pub(crate) mod audit;
pub(crate) mod copies;
pub(crate) mod duplicate_batches;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod lookup;
pub(crate) mod origin;
pub(crate) mod orphans;
pub(crate) mod progress;
pub(crate) mod purge;
pub(crate) mod retention;
pub(crate) mod same_run;
pub(crate) mod selection;
