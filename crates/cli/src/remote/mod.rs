//! Inputs and outputs at URLs: objects of S3, Google Cloud Storage and Azure, and files of web servers.
//!
//! An input is downloaded before it is read. An output is written to a local file, which is uploaded when it is
//! complete: the object appears whole, or not at all.

#[cfg(not(feature = "remote"))]
mod absent;
mod address;
#[cfg(feature = "remote")]
mod store;

use std::fs::File;
use std::io::{self, Seek as _};
use std::path::Path;

#[cfg(not(feature = "remote"))]
use self::absent as store;
pub(crate) use self::address::{Address, Stored, url};
use crate::exit::Failure;
use crate::{format, terminal};

/// Returns the address of an input; `None` for a path.
///
/// # Errors
/// Usage, for a URL that cannot be read.
pub(crate) fn input(path: &Path) -> Result<Option<Address>, Failure> {
    let Some(text) = url(path) else {
        return Ok(None);
    };
    let unreadable =
        |why: &str| Failure::usage(format!("{} cannot be read: {why}", address::shown(text)));
    let address = Address::parse(text).map_err(|why| unreadable(&why).hint(PIPE))?;
    match store::IS_BUILT_IN {
        true => Ok(Some(address)),
        false => Err(unreadable(LOCAL_ONLY).hint(format!("download it first; or {INSTALL}"))),
    }
}

/// Refuses a URL for an option that takes a path on this machine.
///
/// # Errors
/// Usage, with the option and the URL, for a URL of any scheme.
pub(crate) fn local(option: &str, path: &Path) -> Result<(), Failure> {
    match url(path) {
        Some(text) => Err(Failure::usage(format!(
            "{option}: {} is a URL, and this option takes a path on this machine",
            address::shown(text)
        ))
        .hint("nothing was sent; name a path on this machine; to read the file there, download it first")),
        None => Ok(()),
    }
}

/// Returns the address of an output; `None` for a path.
///
/// # Errors
/// Usage, for a URL that cannot be written.
pub(crate) fn output(path: &Path) -> Result<Option<Address>, Failure> {
    let Some(text) = url(path) else {
        return Ok(None);
    };
    let unwritable = |why: &str| {
        let shown = address::shown(text);
        Failure::usage(format!("output {shown} cannot be written: {why}"))
    };
    let elsewhere = "name a file with -o, and upload it afterwards";
    let address = Address::parse(text).map_err(|why| unwritable(&why).hint(elsewhere))?;
    if !address.scheme.is_store() {
        return Err(unwritable("outputs go to s3://, gs:// or az://").hint(elsewhere));
    }
    match store::IS_BUILT_IN {
        true => Ok(Some(address)),
        false => Err(unwritable(LOCAL_ONLY).hint(format!("{elsewhere}; or {INSTALL}"))),
    }
}

const LOCAL_ONLY: &str = "this build reads and writes local files only";
const INSTALL: &str =
    "install a build that reaches stores: cargo install lmbatch-cli --features remote";
const PIPE: &str = "download it first, or pipe it: curl URL | lmbatch run - -o FILE";

impl Address {
    /// Downloads the object into a file without a name, which is gone when the command ends, and whose position is its
    /// start.
    ///
    /// # Errors
    /// Usage, since nothing was sent.
    pub(crate) fn download(&self) -> Result<File, Failure> {
        let unreadable = |why: String| {
            Failure::usage(format!("{} cannot be read: {why}", self.as_str()))
                .hint("nothing was sent")
        };
        let local = |error: io::Error| unreadable(format!("no room for a copy: {error}"));
        terminal::message(&format!("downloading {}", self.as_str()));
        let mut file = tempfile::tempfile().map_err(local)?;
        store::download(self, &mut file).map_err(unreadable)?;
        file.rewind().map_err(local)?;
        Ok(file)
    }

    /// Returns the object, if it exists.
    ///
    /// # Errors
    /// Usage, if the store cannot be asked.
    pub(crate) fn stored(&self) -> Result<Option<Stored>, Failure> {
        store::stored(self).map_err(|why| self.unwritable(&why))
    }

    /// Tests whether the object can be written, without leaving anything behind.
    pub(crate) fn probe(&self) -> Result<(), Failure> {
        store::probe(self).map_err(|why| self.unwritable(&why))
    }

    fn unwritable(&self, why: &str) -> Failure {
        Failure::usage(format!("output {} cannot be written: {why}", self.as_str()))
    }

    /// Uploads a file of a size in bytes and a digest. The object appears when its last byte has arrived.
    ///
    /// # Errors
    /// The reason in one line; nothing has appeared.
    pub(crate) fn upload(&self, file: &Path, bytes: u64, sha256: &str) -> Result<(), String> {
        let size = format::bytes(bytes);
        terminal::message(&format!("uploading {size} to {}", self.as_str()));
        store::upload(self, file, bytes, sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_used_is_refused_with_what_to_do() {
        for (found, words) in [
            (
                input(Path::new("ftp://h/x")),
                ["ftp://h/x cannot be read", "download it first"],
            ),
            (
                input(Path::new("https://h/x?sig=canary")),
                ["https://h/x cannot be read", "curl URL"],
            ),
            (
                output(Path::new("https://h/x")),
                ["output https://h/x cannot be written", "name a file"],
            ),
        ] {
            let failure = found.unwrap_err();
            let all = format!("{} {}", failure.message, failure.hint.unwrap_or_default());
            assert!(words.iter().all(|word| all.contains(word)), "{all}");
            assert!(!all.contains("canary"), "{all}");
        }
        assert!(input(Path::new("in.jsonl")).unwrap().is_none());
    }

    #[cfg(not(feature = "remote"))]
    #[test]
    fn a_build_without_stores_says_what_it_lacks_and_what_to_do() {
        for found in [
            input(Path::new("s3://b/x.csv")),
            output(Path::new("s3://b/x.csv")),
        ] {
            let failure = found.unwrap_err();
            assert!(failure.message.contains("s3://b/x.csv cannot be"));
            assert!(failure.message.ends_with(LOCAL_ONLY));
            assert!(failure.hint.unwrap().contains("--features remote"));
        }
    }
}
