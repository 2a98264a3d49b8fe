//! System limits of this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Requested limit of open files; macOS refuses more than 10,240.
const OPEN_FILES: u64 = 10_240;

/// Raises the limit of open files, 256 or 1,024 on many systems, as far as the user is allowed to.
pub(crate) fn raise_open_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let wanted = hard.min(OPEN_FILES);
        if soft < wanted {
            // The old limit is enough for most runs, since files are opened on demand.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard);
        }
    }
}
