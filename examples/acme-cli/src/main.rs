//! The `lmbatch` command, with Acme beside lmbatch's own providers.

fn main() -> std::process::ExitCode {
    lmbatch_cli::Cli::new().with(acme_batch::factory()).main()
}
