//! State folders: ownership, search from the working directory, and links in place of files.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use lmbatch_core::{ErrorKind, Ledger as _};
use lmbatch_ledger::StateFolder;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Gives a path to another user; `false` where the test does not run as root and cannot.
fn give_away(path: &Path) -> bool {
    std::os::unix::fs::lchown(path, Some(54_321), None).is_ok()
}

#[tokio::test]
async fn only_its_user_can_read_a_state_folder() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::write(folder.path().join("a/b/state")).unwrap();
    let ledger = state.ledger().await.unwrap();
    let _claim = ledger.claim("r-1").await.unwrap();
    for folder in [
        state.path().to_path_buf(),
        state.spool(),
        state.path().join("locks"),
    ] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    // The claim is a link, whose mode is irrelevant; its target is a file.
    let claim = fs::read_link(state.path().join("locks/r-1.lock")).unwrap();
    for file in [
        Path::new("ledger.db"),
        Path::new(".gitignore"),
        &Path::new("locks").join(claim),
    ] {
        assert_eq!(mode(&state.path().join(file)), 0o600, "{}", file.display());
    }
    assert!(!state.was_readable());
}

#[test]
fn a_folder_readable_by_others_is_restricted_and_a_writable_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (found, expected) in [
        (0o700, Some(false)),
        (0o755, Some(true)),
        (0o750, Some(true)),
        (0o711, Some(true)),
        (0o770, None),
        (0o777, None),
        (0o702, None),
    ] {
        let path = folder.path().join(format!("{found:o}"));
        fs::create_dir(&path).unwrap();
        chmod(&path, found);
        for opened in [StateFolder::read(&path), StateFolder::write(&path)] {
            match (opened, expected) {
                (Ok(_), Some(_)) => assert_eq!(mode(&path), 0o700),
                (Err(error), None) => {
                    assert_eq!(error.kind(), ErrorKind::Local);
                    let command = format!("chmod 700 {}", path.display());
                    assert!(error.to_string().contains(&command), "{error}");
                }
                (opened, expected) => panic!("{found:o}: {opened:?}, not {expected:?}"),
            }
            if expected == Some(true) {
                chmod(&path, found);
                assert!(StateFolder::read(&path).unwrap().was_readable());
            }
        }
    }
}

#[test]
fn a_folder_of_another_user_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".lmbatch");
    StateFolder::init(folder.path()).unwrap();
    if !give_away(&path) {
        return;
    }
    for opened in [StateFolder::read(&path), StateFolder::write(&path)] {
        let error = opened.unwrap_err().to_string();
        let named = format!("{} belongs to user 54321", path.display());
        assert!(error.contains(&named), "{error}");
    }
    // The search must not skip the folder: another record would be used, and batches would be paid for again.
    assert_eq!(StateFolder::find(folder.path()).unwrap().path, path);
}

#[test]
fn a_file_of_another_user_in_a_folder_is_refused() {
    for name in ["ledger.db", "spool", "locks"] {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::write(folder.path().join("state")).unwrap();
        let path = state.path().join(name);
        match name {
            "ledger.db" => fs::write(&path, "").unwrap(),
            _ => fs::create_dir_all(&path).unwrap(),
        }
        if !give_away(&path) {
            return;
        }
        let error = StateFolder::write(state.path()).unwrap_err().to_string();
        assert!(error.contains("belongs to user 54321"), "{error}");
    }
}

/// Links that another user may have placed: the file behind a link keeps its content, and no file is created.
#[tokio::test]
async fn a_link_in_place_of_a_file_is_not_followed() {
    for name in [
        "lock",
        ".gitignore",
        "state",
        "ledger.db",
        "ledger.db-wal",
        "ledger.db-shm",
        "ledger.db-journal",
        "spool",
        "locks",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let shared = folder.path().join("shared");
        let state = shared.join(".lmbatch");
        for target in [precious.clone(), folder.path().join("new")] {
            fs::create_dir_all(&state).unwrap();
            symlink(&target, state.join(name)).unwrap();
            for opened in [
                StateFolder::write(&state),
                StateFolder::read(&state),
                StateFolder::init(&shared),
            ] {
                let error = opened.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Local, "{name}");
                assert!(
                    error.to_string().contains("not followed"),
                    "{name}: {error}"
                );
            }
            fs::remove_dir_all(&shared).unwrap();
        }
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious", "{name}");
        assert!(!folder.path().join("new").exists(), "{name}");
    }
}

#[tokio::test]
async fn the_nearest_marked_folder_is_found() {
    let home = tempfile::tempdir().unwrap();
    let work = home.path().join("work");
    let deep = work.join("a/b");
    fs::create_dir_all(&deep).unwrap();
    assert_eq!(StateFolder::find(&deep), None);
    // An empty folder, or a file, with that name is ignored.
    fs::create_dir(work.join("a/.lmbatch")).unwrap();
    fs::write(deep.join(".lmbatch"), "").unwrap();
    assert_eq!(StateFolder::find(&deep), None);
    // A folder with a record of an earlier version is found, and reported as not marked.
    let old = StateFolder::write(home.path().join(".lmbatch")).unwrap();
    old.ledger().await.unwrap();
    let found = StateFolder::find(&deep).unwrap();
    assert_eq!(
        (found.path, found.marked),
        (home.path().join(".lmbatch"), false)
    );
    let made = StateFolder::init(&work).unwrap();
    let found = StateFolder::find(&deep).unwrap();
    assert_eq!((&*found.path, found.marked), (made.path(), true));
    // A link with that name is ignored.
    fs::remove_dir(work.join("a/.lmbatch")).unwrap();
    symlink(home.path().join(".lmbatch"), work.join("a/.lmbatch")).unwrap();
    assert_eq!(StateFolder::find(&deep).unwrap().path, made.path());
}

#[test]
fn the_search_stops_at_a_folder_of_another_user() {
    let home = tempfile::tempdir().unwrap();
    let deep = home.path().join("foreign/own");
    fs::create_dir_all(&deep).unwrap();
    StateFolder::init(home.path()).unwrap();
    assert!(StateFolder::find(&deep).is_some());
    if give_away(&home.path().join("foreign")) {
        assert_eq!(StateFolder::find(&deep), None);
    }
}

#[tokio::test]
async fn a_missing_record_is_not_recreated_next_to_requests_of_its_runs() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::write(folder.path().join("state")).unwrap();
    state.ledger().await.unwrap().close().await.unwrap();
    // A new folder, and one whose record was never used, may be started.
    fs::remove_file(state.path().join("ledger.db")).unwrap();
    state.ledger().await.unwrap().close().await.unwrap();
    fs::write(state.spool().join("abcdefghijkl.body-0"), "{}").unwrap();
    let ledger = state.path().join("ledger.db");
    for empty in [true, false] {
        match empty {
            true => fs::write(&ledger, "").unwrap(),
            false => fs::remove_file(&ledger).unwrap(),
        }
        let error = state.ledger().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Local);
        assert!(error.to_string().contains("missing or empty"), "{error}");
    }
    state.rebuilt_ledger().await.unwrap();
}

#[tokio::test]
async fn a_record_that_lacks_a_sent_create_cannot_be_opened_for_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let state = StateFolder::write(&path).unwrap();
    state.ledger().await.unwrap();
    for what in ["posting-0", "created-12"] {
        let mark = state.spool().join(format!("abcdefghijkl.{what}"));
        std::fs::write(&mark, "x").unwrap();
        let error = state.ledger().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Local);
        let text = error.to_string();
        assert!(text.contains("lmbatch-abcdefghijkl-0"), "{text}");
        // Reading and rebuilding remain possible.
        StateFolder::read(&path).unwrap().ledger().await.unwrap();
        state.rebuilt_ledger().await.unwrap();
        std::fs::remove_file(mark).unwrap();
        state.ledger().await.unwrap();
    }
    // A body that was never sent does not count as a mark.
    std::fs::write(state.spool().join("abcdefghijkl.body-0"), "x").unwrap();
    state.ledger().await.unwrap();
}
