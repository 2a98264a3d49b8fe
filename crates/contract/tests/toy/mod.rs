//! An adapter for a provider that does not exist, and broken copies of it.

pub(crate) mod adapter;
pub(crate) mod codec;
pub(crate) mod http;
pub(crate) mod implied;
pub(crate) mod rows;
pub(crate) mod wire;
