//! The table of prices, refreshed from two packages of the Python registry. Needs a network and Python with pip, and is
//! therefore no part of `ci`.

use std::path::PathBuf;

use crate::sh::{output, run};

/// Reads the packages and writes the table.
const SCRIPT: &str = "xtask/prices.py";

/// The table that the crate of prices includes.
const TABLE: &str = "crates/prices/data/prices.json";

/// Downloads the newest packages, prints the changed prices, and writes them unless `--check` is set.
pub(crate) fn prices(args: &[String]) -> Result<(), String> {
    let check = match args {
        [] => None,
        [check] if check == "--check" => Some("--check"),
        _ => return Err("the only option is --check".to_owned()),
    };
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let folder = target.join("prices");
    // A package of an earlier version would be read instead of the new one.
    let _ = std::fs::remove_dir_all(&folder);
    let folder = folder
        .to_str()
        .ok_or("the path of the target directory is not UTF-8")?;
    // Wheels only: to build a package would execute it.
    let download = ["-m", "pip", "download", "--quiet", "--no-deps"];
    let wheels = ["--only-binary", ":all:", "--dest", folder];
    let packages = ["genai-prices", "litellm"];
    run("python3", &[&download[..], &wheels, &packages].concat())?;
    let day = output(
        "python3",
        &["-c", "import datetime; print(datetime.date.today())"],
    )?;
    let read = [SCRIPT, folder, TABLE, day.trim()];
    let read: Vec<&str> = read.into_iter().chain(check).collect();
    run("python3", &read)?;
    if check.is_none() {
        println!("read the changes, and run the tests of lmbatch-prices");
    }
    Ok(())
}
