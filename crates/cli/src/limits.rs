//! Limits of the system on this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The most files that are asked for: macOS refuses more than 10,240.
const OPEN_FILES: u64 = 10_240;

/// Raises the number of files that may be open, which is 256 or 1,024 on many systems, as far as the user may.
pub(crate) fn raise_open_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let wanted = hard.min(OPEN_FILES);
        if soft < wanted {
            // What cannot be raised is enough for most: files are opened when they are needed.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard);
        }
    }
}
