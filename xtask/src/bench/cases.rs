//! Cases of the bench: each provider and size, in rounds in which the programs take turns.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::measure::{Used, ask, measure, text};
use super::options::Options;

/// A provider and a number of requests, with the most that it may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    /// As the floor calls it.
    dialect: &'static str,
    requests: u64,
    /// Most processor time, in times that of the floor.
    ratio: f64,
    /// Most processor time in milliseconds, where there is such a limit.
    cpu_ms: Option<f64>,
    /// Most memory in MiB, where there is such a limit.
    mib: Option<f64>,
    /// Most wall time, as a share of the processor time, where there is such a limit.
    overlap: Option<f64>,
}

const fn case(dialect: &'static str, requests: u64, ratio: f64) -> Case {
    Case {
        dialect,
        requests,
        ratio,
        cpu_ms: None,
        mib: None,
        overlap: None,
    }
}

pub(super) const CASES: [Case; 7] = [
    Case {
        cpu_ms: Some(25.0),
        ..case("openai", 1_000, 5.0)
    },
    Case {
        mib: Some(32.0),
        overlap: Some(0.65),
        ..case("openai", 50_000, 5.0)
    },
    Case {
        mib: Some(40.0),
        ..case("openai", 1_000_000, 5.5)
    },
    case("anthropic", 1_000, 5.0),
    case("anthropic", 50_000, 5.0),
    case("google", 50_000, 5.0),
    case("google-inline", 10_000, 6.0),
];

/// Milliseconds between two polls of a batch, for every program.
const POLL: &str = "20";

/// Costs of one run, and the times of its calls.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) used: Used,
    phases: serde_json::Value,
}

impl Run {
    /// Milliseconds until the upload began, of the upload, until the results were asked for, of the download, and
    /// behind it.
    pub(super) fn phases(&self) -> [f64; 5] {
        let at = |phase: &str, end: usize| self.phases[phase][end].as_f64();
        let began = at("upload", 0).unwrap_or(self.used.began);
        let uploaded = at("upload", 1).unwrap_or(began);
        let asked = at("download", 0).unwrap_or(uploaded);
        let downloaded = at("download", 1).unwrap_or(asked);
        let moments = [
            self.used.began,
            began,
            uploaded,
            asked,
            downloaded,
            self.used.ended,
        ];
        std::array::from_fn(|phase| (moments[phase + 1] - moments[phase]) / 1e3)
    }
}

/// Programs of a case, each by its median round.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) case: Case,
    pub(super) floor: Run,
    pub(super) lmbatch: Run,
    pub(super) beside: Option<Run>,
}

impl Case {
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.dialect, self.requests)
    }

    pub(super) fn measure(
        &self,
        folder: &Path,
        url: &str,
        options: &Options,
    ) -> Result<Measured, String> {
        let input = folder.join(format!("{}.jsonl", self.requests));
        if !input.exists() {
            write_input(&input, self.requests).map_err(text)?;
        }
        let paths = Paths {
            input,
            output: folder.join("out.jsonl"),
            state: folder.join("state"),
        };
        // A million takes minutes, and differs little from round to round.
        let rounds = match self.requests {
            1_000_000.. => 1,
            _ => options.rounds,
        };
        let (mut floor, mut ours, mut beside) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            floor.push(self.floor(&paths, url)?);
            ours.push(self.lmbatch("target/release/lmbatch", &paths, url)?);
            if let Some(program) = &options.beside {
                beside.push(self.lmbatch(program, &paths, url)?);
            }
        }
        Ok(Measured {
            case: *self,
            floor: median(floor).ok_or("no rounds")?,
            lmbatch: median(ours).ok_or("no rounds")?,
            beside: median(beside),
        })
    }

    fn floor(&self, paths: &Paths, url: &str) -> Result<Run, String> {
        let (input, output) = (paths.input.display(), paths.output.display());
        let (input, output) = (input.to_string(), output.to_string());
        let floor = "target/release/floor";
        timed(url, &[floor, self.dialect, &input, &output, url, POLL])
    }

    fn lmbatch(&self, program: &str, paths: &Paths, url: &str) -> Result<Run, String> {
        // What an earlier round left is no part of this one.
        let _ = std::fs::remove_dir_all(&paths.state);
        let (input, output) = (paths.input.display(), paths.output.display());
        let (input, output) = (input.to_string(), output.to_string());
        let state = paths.state.display().to_string();
        let (provider, base, more): (_, _, &[&str]) = match self.dialect {
            "openai" => ("openai", format!("{url}/v1"), &[]),
            "google-inline" => ("google", url.to_owned(), &["--route", "inline"]),
            "anthropic" => ("anthropic", url.to_owned(), &["--max-tokens", "4096"]),
            other => (other, url.to_owned(), &[]),
        };
        let (model, poll) = (format!("{provider}/m"), format!("{POLL}ms"));
        let mut line = vec![program, "run", &input, "-o", &output, "-m", &model];
        line.extend(["--base-url", &base, "--poll-interval", &poll]);
        line.extend(["--force", "--quiet", "--state-dir", &state]);
        line.extend(more);
        timed(url, &line)
    }
}

struct Paths {
    input: PathBuf,
    output: PathBuf,
    state: PathBuf,
}

fn timed(url: &str, command: &[&str]) -> Result<Run, String> {
    let used = measure(command)?;
    let phases = ask(url, "/times")?;
    Ok(Run { used, phases })
}

fn median(mut all: Vec<Run>) -> Option<Run> {
    all.sort_by(|a, b| a.used.cpu_ms.total_cmp(&b.used.cpu_ms));
    let middle = all.len() / 2;
    (middle < all.len()).then(|| all.swap_remove(middle))
}

impl Measured {
    /// Processor time in times that of the floor.
    pub(super) fn ratio(&self) -> f64 {
        self.lmbatch.used.cpu_ms / self.floor.used.cpu_ms
    }

    /// Returns the costs above their limits.
    pub(super) fn beyond(&self) -> Option<String> {
        let (case, used) = (self.case, self.lmbatch.used);
        let mut beyond = Vec::new();
        let mut must = |what: &str, is: f64, most: Option<f64>| {
            if let Some(most) = most
                && is > most
            {
                beyond.push(format!("{what} {is:.2}, must be at most {most}"));
            }
        };
        must("processor time ÷ floor", self.ratio(), Some(case.ratio));
        must("processor time in ms", used.cpu_ms, case.cpu_ms);
        must("memory in MiB", used.peak_mib, case.mib);
        must(
            "wall ÷ processor time",
            used.wall_ms() / used.cpu_ms,
            case.overlap,
        );
        let name = case.name();
        (!beyond.is_empty()).then(|| format!("{name}: {}", beyond.join("; ")))
    }
}

/// Requests of a kilobyte each: words, escapes, and letters that are not ASCII.
fn write_input(path: &Path, requests: u64) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    let text = r#"Say \"why\" in the naïve café:\n- Größe über alles,\n- 東京 and \u00e9, and\n- C:\\temp\\x. "#;
    let text = text.repeat(9);
    for number in 0..requests {
        writeln!(out, r#"{{"id":{number},"prompt":"{number} {text}"}}"#)?;
    }
    out.flush()
}
