//! The signals a daemon answers to: SIGTERM and SIGINT ask it to end, SIGHUP to read its configuration again.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The streams of the signals, registered when it is made: from then on none of them ends the process by itself.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// Waits until a task is told to stop: the flag is true, or nobody is left who could set it.
pub(crate) async fn stopped(flag: &mut watch::Receiver<bool>) {
    // An error: the sender is gone.
    let _ = flag.wait_for(|stop| *stop).await;
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGTERM or SIGINT: drain and end; the second one: end at once.
    End,
    /// SIGHUP.
    Reload,
}

impl Signals {
    /// Registers them. Needs a running tokio runtime; fails where the system has no more room for handlers.
    pub(crate) fn register() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one. Can be dropped and called again without loss.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}
