//! Files for packages: the release build of the command, its completions and its manual pages.

use std::fs;
use std::path::PathBuf;

use crate::sh::{output, run};

/// Shells with completions, and the names of their files.
const SHELLS: &[(&str, &str)] = &[
    ("bash", "lmbatch.bash"),
    ("elvish", "lmbatch.elv"),
    ("fish", "lmbatch.fish"),
    ("powershell", "_lmbatch.ps1"),
    ("zsh", "_lmbatch"),
];

/// Largest size of the command, in bytes. It has 31 MB, of which Parquet is a quarter (2026-11-27).
const MAX_SIZE: u64 = 32_000_000;

/// Builds the command, and writes the folder `package` of the target directory.
pub(crate) fn dist() -> Result<(), String> {
    run(
        "cargo",
        &[
            "build",
            "--locked",
            "--profile",
            "dist",
            "--package",
            "lmbatch-cli",
            "--features",
            "parquet",
        ],
    )?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let command = target.join("dist/lmbatch");
    let folder = target.join("package");
    let failed = |error: std::io::Error| error.to_string();
    for part in ["completions", "man"] {
        fs::create_dir_all(folder.join(part)).map_err(failed)?;
    }
    let size = fs::copy(&command, folder.join("lmbatch")).map_err(failed)?;
    let program = command.to_str().ok_or("a path that is not UTF-8")?;
    for (shell, name) in SHELLS {
        let script = output(program, &["completions", shell])?;
        fs::write(folder.join("completions").join(name), script).map_err(failed)?;
    }
    let pages = folder.join("man");
    output(program, &["man", pages.to_str().unwrap_or_default()])?;
    println!("{}: {size} bytes for the command", folder.display());
    if size > MAX_SIZE {
        return Err(format!(
            "the command has {size} bytes; {MAX_SIZE} is the most"
        ));
    }
    Ok(())
}
