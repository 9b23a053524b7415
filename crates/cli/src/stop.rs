//! Ctrl-C and SIGTERM: the first one asks for an orderly end, the second one ends at once.

use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The exit status of a program that was interrupted.
pub const INTERRUPTED: u8 = 130;

/// How long what is under way may take to end.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Stop {
    requested: watch::Receiver<bool>,
}

impl Stop {
    /// Listens from now on.
    pub fn listen() -> Stop {
        let (sender, requested) = watch::channel(false);
        tokio::spawn(async move {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                // The signals then end the process as they always did.
                return std::future::pending().await;
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if sender.send_replace(true) {
                    std::process::exit(INTERRUPTED.into());
                }
            }
        });
        Stop { requested }
    }

    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    pub async fn wait(&self) {
        let mut requested = self.requested.clone();
        if requested.wait_for(|requested| *requested).await.is_err() {
            std::future::pending().await
        }
    }

    /// What `work` gives, or nothing as soon as it is time to stop.
    pub async fn unless<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            outcome = work => Some(outcome),
            () = self.wait() => None,
        }
    }

    /// What `work` gives, or nothing if it has not ended some seconds after the request to stop.
    pub async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let over = async {
            self.wait().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            outcome = work => Some(outcome),
            () = over => None,
        }
    }
}
