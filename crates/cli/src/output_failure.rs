//! Failures of outputs: which step failed, at which path, and what to do about it.

use std::io;

use crate::exit::Failure;

/// Step of an output that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Reading of an existing file, which is compared with the outputs of the run.
    Compare,
    /// Creation of the file.
    Create,
    /// Writing of the file, to its end.
    Write,
    /// Renaming of the complete file, or its upload.
    Appear,
}

/// Returns the failure of an output at a path, with what to do where the cause is known.
pub(crate) fn failure(step: Step, path: &str, error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    let what =
        match step {
            Step::Compare => {
                "cannot be read, and is compared with the outputs of the run before it is replaced"
            }
            Step::Create => "cannot be created",
            Step::Write => "cannot be written",
            Step::Appear if error.kind() == Kind::AlreadyExists => {
                return Failure::failed(format!(
                "output file {path} appeared while the command was at work, and is not replaced"
            ))
            .hint("move that file away, choose another path with -o, or overwrite it with --force");
            }
            Step::Appear => "is complete but cannot be renamed to its final name",
        };
    let failure = Failure::failed(format!("output {path} {what}: {error}"));
    let cure = match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => "free some space on its disk",
        Kind::FileTooLarge => "raise the limit on the size of a file (ulimit -f)",
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => {
            "give this user the right to write there"
        }
        Kind::NotFound | Kind::NotADirectory => "create its folder again",
        Kind::IsADirectory => "move the folder of this name away",
        _ => return failure.hint("choose another path with -o"),
    };
    failure.hint(format!("{cure}, or choose another path with -o"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_step_the_path_and_the_cure() {
        use io::ErrorKind as Kind;
        for (step, kind, message, hint) in [
            (
                Step::Appear,
                Kind::AlreadyExists,
                "output file a/out.jsonl appeared while the command was at work, and is not replaced",
                "overwrite it with --force",
            ),
            (
                Step::Appear,
                Kind::IsADirectory,
                "output a/out.jsonl is complete but cannot be renamed to its final name: ",
                "move the folder of this name away, or choose another path with -o",
            ),
            (
                Step::Create,
                Kind::PermissionDenied,
                "output a/out.jsonl cannot be created: ",
                "give this user the right to write there, or choose",
            ),
            (
                Step::Write,
                Kind::StorageFull,
                "output a/out.jsonl cannot be written: ",
                "free some space on its disk, or choose",
            ),
            (
                Step::Write,
                Kind::FileTooLarge,
                "output a/out.jsonl cannot be written: ",
                "raise the limit on the size of a file (ulimit -f), or choose",
            ),
            (
                Step::Compare,
                Kind::Other,
                "output a/out.jsonl cannot be read, ",
                "choose another path with -o",
            ),
        ] {
            let failure = failure(step, "a/out.jsonl", &kind.into());
            assert!(failure.message.starts_with(message), "{}", failure.message);
            let found = failure.hint.unwrap_or_default();
            assert!(found.contains(hint), "{found}");
        }
    }
}
