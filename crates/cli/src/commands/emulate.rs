//! `lmbatch emulate`: serves emulated provider APIs for the SDKs of any language.

use std::net::SocketAddr;

use crate::args::EmulatorArgs;
use crate::emulation;
use crate::exit::{Exit, Failure};
use crate::signals::Handling;
use crate::terminal;

pub(crate) async fn emulate(addr: SocketAddr, options: &EmulatorArgs) -> Result<Exit, Failure> {
    let builder = options.apply(emulation::builder().addr(addr))?;
    // The server runs until a signal ends it.
    let mut handling = Handling::new();
    let emulator = builder.start().await;
    let mut emulator = emulator.map_err(|error| {
        Failure::failed(format!("cannot listen on {addr}: {error}"))
            .hint("--addr 127.0.0.1:0 listens on a free port")
    })?;
    for (name, value) in emulator.environment() {
        terminal::out(&format!("export {name}={value}"));
    }
    terminal::message(&format!(
        "emulating on {}; stop with Ctrl-C",
        emulator.addr()
    ));
    tokio::select! {
        () = emulator.wait() => {}
        _ = handling.stopped() => {}
    }
    Ok(Exit::Usable)
}
