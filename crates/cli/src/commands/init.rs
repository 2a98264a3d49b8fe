//! `lmbatch init`: creates a state folder for a project.

use std::path::PathBuf;

use lmbatch::durable::StateFolder;

use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::{remote, terminal};

/// Creates a state folder in a folder, for commands that run there and below.
pub(crate) async fn init(session: &Session, folder: Option<PathBuf>) -> Result<Exit, Failure> {
    let parent = folder.unwrap_or_else(|| PathBuf::from("."));
    remote::local("FOLDER", &parent)?;
    let parent = std::path::absolute(&parent).unwrap_or(parent);
    let state = StateFolder::init(&parent)?;
    session.opened(state.ledger().await?);
    terminal::out(&state.path().display().to_string());
    if state.was_readable() {
        terminal::message("note: other users could read it; its mode is 700 now");
    }
    Ok(Exit::Usable)
}
