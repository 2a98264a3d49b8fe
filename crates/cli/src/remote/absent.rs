//! Objects of stores in a build without the feature `remote`: no URL gets this far.

use std::fs::File;
use std::path::Path;

use super::address::{Address, Stored};

/// True in a build that can reach stores and web servers.
pub(super) const IS_BUILT_IN: bool = false;

const WHY: &str = "this build reads and writes local files only";

pub(super) fn download(_: &Address, _: &mut File) -> Result<u64, String> {
    Err(WHY.to_owned())
}

pub(super) fn stored(_: &Address) -> Result<Option<Stored>, String> {
    Err(WHY.to_owned())
}

pub(super) fn probe(_: &Address) -> Result<(), String> {
    Err(WHY.to_owned())
}

pub(super) fn upload(_: &Address, _: &Path, _: u64, _: &str) -> Result<(), String> {
    Err(WHY.to_owned())
}
