//! Programs that are measured, and the provider that they talk to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::resource::{UsageWho, getrusage};

/// Costs of one run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    pub(super) cpu_ms: f64,
    pub(super) peak_mib: f64,
    /// Microseconds since 1970 at which it began and ended.
    pub(super) began: f64,
    pub(super) ended: f64,
}

impl Used {
    pub(super) fn wall_ms(&self) -> f64 {
        (self.ended - self.began) / 1e3
    }
}

pub(super) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Works in a temporary folder.
pub(super) fn in_a_folder<T>(work: impl FnOnce(&Path) -> Result<T, String>) -> Result<T, String> {
    let folder = std::env::temp_dir().join(format!("lmbatch-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(text)?;
    let worked = work(&folder);
    // What stays in the temporary folder is swept with it.
    let _ = std::fs::remove_dir_all(&folder);
    worked
}

pub(super) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Starts a provider, which says where it listens.
pub(super) fn serve(command: &[&str]) -> Result<(Server, String), String> {
    let (program, args) = command.split_first().ok_or("no provider to start")?;
    let mut child = Command::new(program)
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(text)?;
    let mut base = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut base).map_err(text)?;
    }
    Ok((Server(child), base.trim().to_owned()))
}

/// Variables of the providers' keys.
const KEYS: [&str; 3] = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"];

/// Runs a command below a process of its own, whose children are only it.
pub(super) fn measure(command: &[&str]) -> Result<Used, String> {
    let own = std::env::current_exe().map_err(text)?;
    let output = Command::new(own)
        .arg("measure")
        .args(command)
        .envs(KEYS.map(|name| (name, "k")))
        .output()
        .map_err(text)?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<f64> = said
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    match numbers.as_slice() {
        [cpu_ms, peak_mib, began, ended] => Ok(Used {
            cpu_ms: *cpu_ms,
            peak_mib: *peak_mib,
            began: *began,
            ended: *ended,
        }),
        _ => Err(format!("nothing was measured: {said}")),
    }
}

/// Runs one command and prints what it used: milliseconds of processor time, MiB at its peak, and when it began
/// and ended.
pub(crate) fn measure_one(command: &[String]) -> Result<(), String> {
    let (program, args) = command.split_first().ok_or("no command to measure")?;
    let began = now();
    let status = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .status()
        .map_err(text)?;
    let ended = now();
    if !status.success() {
        return Err(format!("{program}: {status}"));
    }
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(text)?;
    let ms =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 * 1e3 + time.tv_usec() as f64 / 1e3;
    println!(
        "{} {} {began} {ended}",
        ms(used.user_time()) + ms(used.system_time()),
        used.max_rss() as f64 / 1024.0
    );
    Ok(())
}

/// Microseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the bench has no Clock")]
fn now() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros())
}

/// Asks a provider of the bench, over a socket of its own.
pub(super) fn ask(url: &str, path: &str) -> Result<serde_json::Value, String> {
    let host = url.trim_start_matches("http://").trim_end_matches("/v1");
    let mut stream = TcpStream::connect(host).map_err(text)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    )
    .map_err(text)?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    // The provider keeps the connection: the answer is whole when its last brace has come.
    while !answer.ends_with(b"}") {
        match stream.read(&mut piece).map_err(text)? {
            0 => break,
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    serde_json::from_str(body).map_err(text)
}
