//! Signals that end a self-test, which then cleans up.

use tokio::sync::watch;

use crate::exit::Exit;
use crate::signals::Handling;

type Signal = (Exit, &'static str);

/// First signal that arrived; every wait of the self-test ends with it. A second signal ends the process.
#[derive(Debug, Clone)]
pub(super) struct Stop(watch::Receiver<Option<Signal>>);

impl Stop {
    /// Receives signals until it is dropped.
    pub(super) fn new() -> Self {
        let (sender, receiver) = watch::channel(None);
        let mut handling = Handling::new();
        tokio::spawn(async move {
            tokio::select! {
                signal = handling.stopped() => {
                    sender.send_replace(Some(signal));
                    sender.closed().await;
                }
                () = sender.closed() => {}
            }
        });
        Self(receiver)
    }

    /// Waits for the first signal.
    pub(super) async fn signal(&self) -> Signal {
        let mut receiver = self.0.clone();
        let found = receiver.wait_for(Option::is_some).await;
        let found = found.ok().and_then(|signal| *signal);
        match found {
            Some(signal) => signal,
            // The sender ends with its runtime only.
            None => std::future::pending().await,
        }
    }

    /// Returns a value that receives no signal.
    #[cfg(test)]
    pub(super) fn never() -> Self {
        Self(watch::channel(None).1)
    }
}
