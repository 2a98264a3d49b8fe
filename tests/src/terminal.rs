//! The command on a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

/// Runs a command with a terminal as standard input and standard error, and types an answer at the question. Returns the
/// exit code and everything on the terminal.
///
/// # Panics
/// If there is no terminal, or the command cannot be started.
pub fn on_terminal(command: &mut Command, answer: &str) -> (Option<i32>, String) {
    let pty = nix::pty::openpty(None, None).unwrap_or_else(|error| panic!("a terminal: {error}"));
    let slave = || {
        let copy = pty.slave.try_clone();
        Stdio::from(copy.unwrap_or_else(|error| panic!("a terminal: {error}")))
    };
    command.stdin(slave()).stderr(slave()).stdout(Stdio::null());
    let started = command.spawn();
    let mut child = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // The command holds copies of its own.
    command.stdin(Stdio::null()).stderr(Stdio::null());
    drop(pty.slave);
    let mut master = File::from(pty.master);
    let (mut text, mut has_answered) = (String::new(), false);
    let mut buffer = [0; 4096];
    // Reading fails once the other end is closed.
    while let Ok(read @ 1..) = master.read(&mut buffer) {
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        if text.contains("[y/N]") && !has_answered {
            has_answered = true;
            let typed = master.write_all(answer.as_bytes());
            assert!(typed.is_ok(), "{typed:?}: {text}");
        }
    }
    let ended = child.wait();
    (ended.ok().and_then(|status| status.code()), text)
}
