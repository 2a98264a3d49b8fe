//! Paths of arguments that are kept with a run.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};

use crate::remote::url;

/// Parses a path into an absolute one, since a run keeps it for commands in other folders. A URL stays as it is, so that
/// it is refused as one.
pub(crate) fn whole_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match url(&path).is_some() {
        true => Ok(path),
        false => std::path::absolute(path),
    })
}
