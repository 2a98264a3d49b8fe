//! The wheel that carries the command: built by maturin, installed into a virtual environment, and run there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sh::{has, output, run};

/// Folder below the target directory for the wheel and its environments.
const FOLDER: &str = "wheel";

/// Pinned version of maturin, with hashes.
const REQUIREMENTS: &str = ".ci/maturin.txt";

/// Builds the wheel, with the profile of cargo that `args` name or else the one of the tests, and tries it.
pub(crate) fn wheel(args: &[String]) -> Result<(), String> {
    let profile = match args {
        [] => "dev",
        [name] if name == "--release" => "release",
        _ => return Err("the only option is --release".to_owned()),
    };
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let folder = target.join(FOLDER);
    let wheels = folder.join("dist");
    // A wheel of an earlier version would be found instead of the new one.
    let _ = fs::remove_dir_all(&wheels);
    let maturin = maturin(&folder)?;
    run(
        &maturin,
        &[
            "build",
            "--locked",
            "--profile",
            profile,
            "--compatibility",
            "linux",
            "--out",
            text(&wheels)?,
        ],
    )?;
    let wheel = only_wheel(&wheels)?;
    let users = folder.join("users");
    environment(&users)?;
    let pip = users.join("bin/pip");
    let install = ["install", "--quiet", "--no-index", "--no-deps"];
    let again = ["--force-reinstall", text(&wheel)?];
    run(text(&pip)?, &[&install[..], &again].concat())?;
    let command = users.join("bin/lmbatch");
    let printed = output(text(&command)?, &["--version"])?;
    let expected = format!("lmbatch {}", env!("CARGO_PKG_VERSION"));
    if printed.trim() != expected {
        return Err(format!(
            "the command in the wheel prints {:?}, not {expected:?}",
            printed.trim()
        ));
    }
    println!("{} holds {expected}", wheel.display());
    Ok(())
}

/// Returns maturin: the one on the path, or else the pinned one in an environment of its own.
fn maturin(folder: &Path) -> Result<String, String> {
    if has("maturin") {
        return Ok("maturin".to_owned());
    }
    let tools = folder.join("tools");
    environment(&tools)?;
    run(
        text(&tools.join("bin/pip"))?,
        &[
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--require-hashes",
            "--requirement",
            REQUIREMENTS,
        ],
    )?;
    Ok(text(&tools.join("bin/maturin"))?.to_owned())
}

/// Makes a virtual environment.
fn environment(folder: &Path) -> Result<(), String> {
    run("python3", &["-m", "venv", text(folder)?])
}

/// Returns the one wheel in a folder.
fn only_wheel(folder: &Path) -> Result<PathBuf, String> {
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut wheels = paths.filter(|path| path.extension().is_some_and(|of| of == "whl"));
    match (wheels.next(), wheels.next()) {
        (Some(wheel), None) => Ok(wheel),
        _ => Err(format!("{}: not exactly one wheel", folder.display())),
    }
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str()
        .ok_or_else(|| format!("{}: not UTF-8", path.display()))
}
