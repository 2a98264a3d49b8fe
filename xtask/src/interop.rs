//! The providers' own SDKs as referees: they drive the emulator, read what we read, and check what we send.
//! Needs Python and Node, and a package registry the first time; see docs/interop.md.

mod table;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::sh::{output, run, run_in};
use table::{Check, Table};

const SCRIPTS: &str = "tests/interop";
const FOLDER: &str = "interop";
/// Set where Python and Node must be there, such as in CI.
const REQUIRED: &str = "LMBATCH_REQUIRE_INTEROP";
/// The least versions that the pinned SDKs say they need.
const PYTHON: (u32, u32) = (3, 10);
const NODE: (u32, u32) = (20, 0);
/// The first that reads our lock file.
const NPM: (u32, u32) = (7, 0);

/// Seed of the generated data, unless `--seed` gives another.
const SEED: &str = "20261123";
/// Batches of each provider, unless `--batches` says otherwise.
const BATCHES: &str = "50";
/// Input lines of each provider, unless `--lines` says otherwise.
const LINES: &str = "2000";

/// Options of the command.
struct Options {
    seed: String,
    batches: String,
    lines: String,
    /// Only suites whose name holds this.
    only: String,
}

/// An emulator in another process; ends when it is dropped.
struct Emulator {
    child: Child,
    url: String,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Paths of programs and folders.
struct Places {
    python: PathBuf,
    node: PathBuf,
    lmbatch: PathBuf,
}

pub(crate) fn interop(args: &[String]) -> Result<(), String> {
    let options = Options::read(args)?;
    if let Some(lack) = lack() {
        if std::env::var(REQUIRED).is_ok_and(|value| value == "1") {
            return Err(format!("{lack}, and {REQUIRED} is 1"));
        }
        println!("interop: {lack}: skipped");
        return Ok(());
    }
    let places = prepare()?;
    let mut table = Table::default();
    for (program, script, more) in suites(&options) {
        if script.contains(&options.only) {
            table.extend(suite(&places, program, script, &more)?);
        }
    }
    println!("{table}");
    table.verdict()
}

impl Options {
    fn read(args: &[String]) -> Result<Self, String> {
        let mut options = Self {
            seed: SEED.to_owned(),
            batches: BATCHES.to_owned(),
            lines: LINES.to_owned(),
            only: String::new(),
        };
        for pair in args.chunks(2) {
            let (place, value) = match pair {
                [name, value] if name == "--seed" => (&mut options.seed, value),
                [name, value] if name == "--batches" => (&mut options.batches, value),
                [name, value] if name == "--lines" => (&mut options.lines, value),
                [name, value] if name == "--only" => (&mut options.only, value),
                _ => {
                    return Err(format!(
                        "{pair:?}: --seed, --batches, --lines, --only VALUE"
                    ));
                }
            };
            value.clone_into(place);
        }
        Ok(options)
    }
}

/// Every suite: by which program, from which script, with which arguments.
fn suites(options: &Options) -> Vec<(&'static str, &'static str, Vec<&str>)> {
    let seed = options.seed.as_str();
    let differ = |provider| vec![provider, "--seed", seed, "--batches", &options.batches];
    let sent = |provider| vec![provider, "--seed", seed, "--lines", &options.lines];
    vec![
        ("python", "referee_openai.py", vec![]),
        ("python", "referee_anthropic.py", vec![]),
        ("python", "referee_google.py", vec![]),
        ("python", "referee_pyarrow.py", vec![]),
        ("node", "referee_openai.mjs", vec![]),
        ("node", "referee_anthropic.mjs", vec![]),
        ("node", "referee_google.mjs", vec![]),
        ("python", "differential.py", differ("openai")),
        ("python", "differential.py", differ("anthropic")),
        ("python", "differential.py", differ("google")),
        ("python", "shapes.py", vec!["openai"]),
        ("python", "shapes.py", vec!["anthropic"]),
        ("python", "shapes.py", vec!["google"]),
        ("python", "sent.py", sent("openai")),
        ("python", "sent.py", sent("anthropic")),
        ("python", "sent.py", sent("google")),
        ("python", "provider_lines.py", vec![]),
    ]
}

/// Returns the names of the parts of Python and Node that are missing.
fn lack() -> Option<String> {
    for (program, least) in [("python3", PYTHON), ("node", NODE), ("npm", NPM)] {
        let said = output(program, &["--version"]).unwrap_or_default();
        if version(&said).is_none_or(|found| found < least) {
            return Some(format!(
                "there is no {program} {}.{} or later",
                least.0, least.1
            ));
        }
    }
    None
}

/// The numbers of `Python 3.11.7`, `v20.20.2` or `11.19.1`.
fn version(said: &str) -> Option<(u32, u32)> {
    let numbers = said
        .trim()
        .trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut numbers = numbers.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Builds the command; installs the SDKs where what is installed is not what is pinned.
fn prepare() -> Result<Places, String> {
    crate::sh::build_command()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let target = std::path::absolute(target).map_err(text)?;
    let folder = target.join(FOLDER);
    fs::create_dir_all(&folder).map_err(text)?;
    let (python, node) = (folder.join("python"), folder.join("node"));
    installed(&python, "python3", &["requirements.txt"], || {
        let venv = python.display().to_string();
        run("python3", &["-m", "venv", "--clear", &venv])?;
        let pip = python.join("bin/pip").display().to_string();
        let pins = format!("{SCRIPTS}/requirements.txt");
        run(&pip, &["install", "--quiet", "--requirement", &pins])
    })?;
    let pins = ["package.json", "package-lock.json"];
    installed(&node, "node", &pins, || {
        fs::create_dir_all(&node).map_err(text)?;
        copy_into(&node, |name| pins.contains(&name))?;
        // None of the SDKs needs its packages' scripts.
        let line = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        run_in("npm", &line, &node)
    })?;
    // A module finds its packages beside itself.
    copy_into(&node, |name| name.ends_with(".mjs"))?;
    Ok(Places {
        python: python.join("bin/python"),
        node,
        lmbatch: target.join("debug/lmbatch"),
    })
}

/// Installs, unless the stamp says that these pins were installed for this interpreter.
fn installed(
    folder: &Path,
    program: &str,
    pins: &[&str],
    install: impl Fn() -> Result<(), String>,
) -> Result<(), String> {
    let stamp = folder.with_extension("stamp");
    let mut wanted = output(program, &["--version"])?;
    for name in pins {
        let pins = fs::read_to_string(Path::new(SCRIPTS).join(name));
        wanted.push_str(&pins.map_err(|error| format!("{name}: {error}"))?);
    }
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    // Without its stamp a folder that is half done is never taken for whole.
    if fs::exists(&stamp).map_err(text)? {
        fs::remove_file(&stamp).map_err(text)?;
    }
    install()?;
    fs::write(&stamp, wanted).map_err(text)
}

fn copy_into(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), String> {
    for entry in fs::read_dir(SCRIPTS).map_err(text)? {
        let entry = entry.map_err(text)?;
        if entry.file_name().to_str().is_some_and(&wanted) {
            fs::copy(entry.path(), folder.join(entry.file_name())).map_err(text)?;
        }
    }
    Ok(())
}

/// Runs one suite against an emulator of its own, and reads its checks.
fn suite(
    places: &Places,
    program: &str,
    script: &str,
    more: &[&str],
) -> Result<Vec<Check>, String> {
    let name = format!("{script} {}", more.join(" "));
    println!("$ {name}");
    let emulator = serve(&places.lmbatch)?;
    let mut command = if program == "node" {
        let mut command = Command::new("node");
        command.arg(places.node.join(script));
        command
    } else {
        let mut command = Command::new(&places.python);
        command.arg(Path::new(SCRIPTS).join(script));
        // Sources are read where they are; nothing is written beside them.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    };
    // Keys and addresses in this process's environment reach no SDK.
    for variable in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
        let theirs = ["OPENAI_", "ANTHROPIC_", "GOOGLE_", "GEMINI_", "LMBATCH_"];
        if theirs.iter().any(|prefix| variable.starts_with(prefix)) {
            command.env_remove(variable);
        }
    }
    let result = command
        .args(more)
        .env("LMBATCH_INTEROP_URL", &emulator.url)
        .env("LMBATCH_INTEROP_COMMAND", &places.lmbatch)
        .env("NO_PROXY", "127.0.0.1")
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    let said = String::from_utf8_lossy(&result.stdout);
    let checks = table::read(&said).map_err(|error| format!("{name}: {error}"))?;
    let failed = checks.iter().any(|check| !check.ok);
    if checks.is_empty() || (!result.status.success() && !failed) {
        return Err(format!(
            "{name}: {} after {} checks",
            result.status,
            checks.len()
        ));
    }
    Ok(checks)
}

fn serve(lmbatch: &Path) -> Result<Emulator, String> {
    let mut child = Command::new(lmbatch)
        .args(["emulate", "--addr", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", lmbatch.display()))?;
    let said = child.stdout.take().ok_or("the emulator says nothing")?;
    let mut emulator = Emulator {
        child,
        url: String::new(),
    };
    for line in BufReader::new(said).lines().map_while(Result::ok) {
        if let Some(url) = line.strip_prefix("export ANTHROPIC_BASE_URL=") {
            url.clone_into(&mut emulator.url);
            return Ok(emulator);
        }
    }
    Err("the emulator did not start".to_owned())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_however_they_are_said() {
        for (said, expected) in [
            ("Python 3.11.7\n", Some((3, 11))),
            ("v20.20.2", Some((20, 20))),
            ("11.19.1", Some((11, 19))),
            ("", None),
            ("soon", None),
        ] {
            assert_eq!(version(said), expected, "{said}");
        }
    }

    #[test]
    fn an_option_without_a_value_is_refused() {
        let read = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
            Options::read(&args)
        };
        assert_eq!(read(&["--batches", "500"]).unwrap().batches, "500");
        assert!(read(&["--batches"]).is_err() && read(&["--fast", "1"]).is_err());
    }
}
