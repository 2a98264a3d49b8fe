//! Completions for shells and manual pages, from the definition of the arguments.

use std::path::Path;

use clap_complete::Shell;

use crate::exit::{Exit, Failure};
use crate::{args, hints, terminal};

/// Prints the completions of this program for a shell.
pub(crate) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let arg0 = std::env::args_os().next();
    let program = hints::program(arg0.as_deref());
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(program), program, &mut script);
    let script = String::from_utf8(script)
        .map_err(|error| Failure::failed(format!("the script is not UTF-8: {error}")))?;
    terminal::out(script.trim_end());
    Ok(Exit::Usable)
}

/// Writes a manual page for this program and for each of its commands into a folder.
pub(crate) fn man(folder: &Path) -> Result<Exit, Failure> {
    clap_mangen::generate_to(args::command("lmbatch"), folder)
        .map_err(|error| Failure::failed(format!("{}: {error}", folder.display())))?;
    Ok(Exit::Usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_manual_page() {
        let folder = tempfile::tempdir().unwrap();
        man(folder.path()).unwrap();
        for command in args::command("lmbatch").get_subcommands() {
            let page = folder
                .path()
                .join(format!("lmbatch-{}.1", command.get_name()));
            assert!(command.is_hide_set() || page.exists(), "{}", page.display());
        }
        assert!(folder.path().join("lmbatch.1").exists());
    }

    #[test]
    fn completions_know_every_command() {
        let mut script = Vec::new();
        clap_complete::generate(
            Shell::Bash,
            &mut args::command("lmbatch"),
            "lmbatch",
            &mut script,
        );
        let script = String::from_utf8(script).unwrap();
        for command in args::command("lmbatch").get_subcommands() {
            assert!(
                command.is_hide_set() || script.contains(command.get_name()),
                "{}",
                command.get_name()
            );
        }
    }

    #[test]
    fn every_example_can_be_parsed() {
        for (name, line) in crate::examples::all() {
            let words = line.split(" > ").next().unwrap();
            let words = shlex::split(words).unwrap();
            assert_eq!(words[1], name, "{line}");
            let parsed = args::command("lmbatch").try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }

    #[test]
    fn examples_name_the_program_as_it_was_called() {
        let mut acme = args::command("acme");
        let purge = acme.find_subcommand_mut("purge").unwrap();
        let help = purge.render_help().to_string();
        assert!(
            help.contains("    acme purge --older-than 90d --dry-run"),
            "{help}"
        );
    }
}
