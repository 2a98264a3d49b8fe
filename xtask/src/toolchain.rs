//! The oldest Rust that is promised is the one that CI builds with.

use std::fs;

use crate::sh::output;

/// Set where a newer toolchain is an error.
const IN_CI: &str = "CI";

/// Compares `rust-version` with the toolchain.
pub(crate) fn toolchain() -> Result<(), String> {
    let manifest = fs::read_to_string("Cargo.toml").map_err(|error| error.to_string())?;
    let version = output("rustc", &["--version"])?;
    match untested(&manifest, &version) {
        Some(problem) if std::env::var_os(IN_CI).is_some() => Err(problem),
        Some(problem) => {
            println!("WARNING: {problem}");
            Ok(())
        }
        None => Ok(()),
    }
}

/// Returns the `rust-version` of a manifest.
pub(crate) fn promised(manifest: &str) -> Option<String> {
    let mut lines = manifest.lines();
    let version = lines.find_map(|line| line.strip_prefix("rust-version = \""))?;
    Some(version.trim_end_matches('"').to_owned())
}

/// Returns a problem where the promised version is not the one that builds.
fn untested(manifest: &str, rustc: &str) -> Option<String> {
    let promised = &promised(manifest)?;
    let used = rustc.split(' ').nth(1)?;
    let is_it = used
        .strip_prefix(promised.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    (!is_it).then(|| {
        format!("rust-version is {promised}, and rustc {used} builds: {promised} is not tested; change one of them")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promised_rust_that_does_not_build_is_found() {
        let manifest = "[workspace.package]\nrust-version = \"1.95\"\n";
        for (rustc, bad) in [
            ("rustc 1.95.0 (59807616e 2026-04-14)", false),
            ("rustc 1.95.3", false),
            ("rustc 1.96.0", true),
            ("rustc 1.950.0", true),
        ] {
            assert_eq!(untested(manifest, rustc).is_some(), bad, "{rustc}");
        }
    }
}
