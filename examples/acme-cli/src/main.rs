//! The `lmbatch` command, with Acme beside lmbatch's own providers.

use lmbatch_cli::{Cli, Emulation};

fn main() -> std::process::ExitCode {
    let cli = Cli::new().with(acme_batch::factory());
    // What `--emulate` talks to.
    let cli = cli.emulating("acme", |route| async move {
        let server = acme_wire::serve(route).await?;
        Ok(Emulation::new(server.url(), server))
    });
    cli.main()
}
