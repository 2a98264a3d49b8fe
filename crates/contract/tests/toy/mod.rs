//! An adapter for a provider that does not exist, and broken copies of it.

pub(crate) mod adapter;
pub(crate) mod codec;
pub(crate) mod rows;
pub(crate) mod wire;
