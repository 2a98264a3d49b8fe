//! Claims on runs between processes, and the file descriptors that they use.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests; a child says that it is ready"
)]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use lmbatch_core::{ErrorKind, Ledger as _, Result, RunClaim};
use lmbatch_ledger::{SqliteLedger, StateFolder};
use lmbatch_testing::ledger::run as run_record;

/// Environment variable with the folder in which a child process takes its claims.
const CHILD: &str = "LMBATCH_TEST_CLAIMS_IN";

/// Number of claims that a child process holds.
const CLAIMS: usize = 40;

async fn ledger(folder: &Path) -> SqliteLedger {
    StateFolder::write(folder).unwrap().ledger().await.unwrap()
}

fn run(number: usize) -> String {
    format!("r-{number}")
}

async fn claim_all(ledger: &SqliteLedger) -> Vec<Result<RunClaim>> {
    let mut claims = Vec::new();
    for number in 0..CLAIMS {
        claims.push(ledger.claim(&run(number)).await);
    }
    claims
}

#[tokio::test]
async fn child_that_holds_claims() {
    let Some(folder) = std::env::var_os(CHILD) else {
        return;
    };
    let ledger = ledger(folder.as_ref()).await;
    let claims = claim_all(&ledger).await;
    assert!(claims.iter().all(Result::is_ok), "{claims:?}");
    println!("held");
    // Wait until the parent closes the pipe or ends.
    let _ = std::io::stdin().read_line(&mut String::new());
}

/// Child process that holds claims.
struct Holder(Child, Lines<BufReader<ChildStdout>>);

impl Holder {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_holds_claims", "--nocapture"])
            .env(CHILD, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(out.any(|line| line.unwrap().ends_with("held")));
        Self(child, out)
    }

    /// Kills the process, as in a crash.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn claims_of_another_process_hold_until_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::start(folder.path());
    let ledger = ledger(folder.path()).await;
    let named = format!("advanced by process {}", holder.0.id());
    for claim in claim_all(&ledger).await {
        let error = claim.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains(&named), "{error}");
    }
    holder.kill();
    let claims = claim_all(&ledger).await;
    assert!(claims.iter().all(Result::is_ok), "{claims:?}");
    drop(claims);
    let left = fs::read_dir(folder.path().join("locks")).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn claims_of_a_process_that_exits_are_free() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::start(folder.path());
    holder.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    holder.1.by_ref().for_each(drop);
    assert!(holder.0.wait().unwrap().success());
    let claims = claim_all(&ledger(folder.path()).await).await;
    assert!(claims.iter().all(Result::is_ok), "{claims:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_claim_of_a_killed_process_is_taken_over_by_one_thread() {
    let folder = tempfile::tempdir().unwrap();
    Holder::start(folder.path()).kill();
    let mut takers = Vec::new();
    for _ in 0..4 {
        let ledger = ledger(folder.path()).await;
        takers.push(tokio::spawn(async move {
            // The claims are held until every thread has tried.
            claim_all(&ledger).await
        }));
    }
    let mut taken = [0; CLAIMS];
    let mut all = Vec::new();
    for taker in takers {
        let claims = taker.await.unwrap();
        for (number, claim) in claims.iter().enumerate() {
            taken[number] += usize::from(claim.is_ok());
        }
        all.push(claims);
    }
    // A thread that finds the file locked by another one may fail to get the claim at this moment.
    assert!(taken.iter().all(|count| *count <= 1), "{taken:?}");
    drop(all);
    let claims = claim_all(&ledger(folder.path()).await).await;
    assert!(claims.iter().all(Result::is_ok), "{claims:?}");
}

/// Opens and locks a lock file as version 0.1 does.
fn opened_by_an_earlier_version(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options
        .mode(0o600)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(path)
}

#[tokio::test]
async fn a_lock_of_an_earlier_version_is_respected_and_its_holder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path()).await;
    let path = folder.path().join("locks/r-1.lock");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    for (text, named) in [
        ("4711\n", "advanced by process 4711"),
        ("", "advanced by another process"),
        ("x\n", "advanced by another process"),
    ] {
        let mut file = opened_by_an_earlier_version(&path).unwrap();
        file.try_lock().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let error = ledger.claim("r-1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains(named), "{error}");
        // The state after a crash: the file exists, and is not locked.
        drop(file);
        drop(ledger.claim("r-1").await.unwrap());
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn an_earlier_version_cannot_take_a_claim() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path()).await;
    let path = folder.path().join("locks/r-1.lock");
    let claim = ledger.claim("r-1").await.unwrap();
    assert!(opened_by_an_earlier_version(&path).is_err());
    drop(claim);
    opened_by_an_earlier_version(&path).unwrap();
}

#[tokio::test]
async fn a_copy_of_a_state_folder_holds_no_claims() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ledger_here = ledger(folder.path()).await;
    let _claim = ledger_here.claim("r-1").await.unwrap();
    let copied = Command::new("cp")
        .arg("-a")
        .arg(folder.path().join("."))
        .arg(copy.path())
        .status()
        .unwrap();
    assert!(copied.success());
    ledger(copy.path()).await.claim("r-1").await.unwrap();
    assert!(ledger_here.claim("r-1").await.is_err());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn any_number_of_claims_use_one_file_descriptor() {
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path()).await;
    // Other tests of this process may open files in the meantime, so the claims are many.
    let before = open();
    let mut claims = Vec::new();
    for number in 0..2_000 {
        claims.push(ledger.claim(&run(number)).await.unwrap());
    }
    let during = open();
    assert!(during < before + 100, "{before} and then {during}");
    drop(claims);
    let left = fs::read_dir(folder.path().join("locks")).unwrap().count();
    assert_eq!(left, 0);
}

/// Environment variable with the folder for a child process that has few file descriptors.
const FEW: &str = "LMBATCH_TEST_FEW_FILES_IN";

#[cfg(target_os = "linux")]
#[tokio::test]
async fn child_with_no_file_left() {
    let Some(folder) = std::env::var_os(FEW) else {
        return;
    };
    let ledger = ledger(folder.as_ref()).await;
    ledger.begin(&run_record("r-1"), &[]).await.unwrap();
    // The process uses up its file descriptors, as hundreds of connections would.
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    for epoch in 0..20 {
        let run = ledger.run("r-1").await.unwrap().unwrap();
        assert_eq!(run.epoch, epoch);
        ledger.change(&run, &[]).await.unwrap();
        while let Ok(file) = File::open("/dev/null") {
            taken.push(file);
        }
        // A finished operation releases the files that the reserve needs.
        taken.truncate(taken.len() - 3);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_transition_is_recorded_when_no_file_descriptor_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let child = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_with_no_file_left", "--nocapture"])
        .env(FEW, folder.path())
        .output()
        .unwrap();
    let messages = String::from_utf8_lossy(&child.stderr).into_owned();
    assert!(child.status.success(), "{messages}");
    let out = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(out.contains("1 passed"), "{out}");
}
