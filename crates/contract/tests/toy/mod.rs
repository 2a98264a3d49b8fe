//! An adapter for a fictional provider, and broken variants of it.

pub(crate) mod adapter;
pub(crate) mod answer;
pub(crate) mod ask;
pub(crate) mod codec;
pub(crate) mod errors;
pub(crate) mod http;
pub(crate) mod implied;
pub(crate) mod lists;
pub(crate) mod mistakes;
pub(crate) mod rows;
pub(crate) mod wire;
