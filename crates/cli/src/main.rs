//! The `lmbatch` command.

fn main() -> std::process::ExitCode {
    lmbatch_cli::Cli::new().main()
}
