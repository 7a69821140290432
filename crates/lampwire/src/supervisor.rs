//! What the service manager is told: that the node is ready, that it lives, how it stands, and that it ends (sd_notify(3)).
//!
//! The manager gives a datagram socket by name in NOTIFY_SOCKET, and in WATCHDOG_USEC the time after which a service that has said nothing is
//! killed. Without them nothing is told. Every sign of life is sent by the node's own task, so a node that is stuck gives none, however well the
//! rest of the process does.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use lampwire_core::{Behind, Node, Now, PeerCounts};
use tokio::time::MissedTickBehavior;

use crate::driver::Handle;

/// How often the manager is told how the node stands, where no watchdog asks for more.
const STATUS_PERIOD: Duration = Duration::from_secs(10);

/// The shortest pause between two signs of life: a watchdog of a few milliseconds is a mistake, and must not keep the node busy.
const BEAT_MIN: Duration = Duration::from_millis(10);

/// The way to the service manager, if there is one.
#[derive(Debug)]
pub(crate) struct Supervisor {
    way: Option<(UnixDatagram, SocketAddr)>,
    /// The pause between two signs of life: half of the watchdog's time, so that one may be late.
    period: Duration,
}

impl Supervisor {
    /// The one that the environment names. A name that cannot be used is told in the log: the manager then waits in vain.
    pub(crate) fn from_environment() -> Self {
        let name = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let way = name.and_then(|name| match way_to(&name) {
            Ok(way) => Some(way),
            Err(error) => {
                tracing::warn!(
                    "NOTIFY_SOCKET={} cannot be used, the service manager is told nothing: {error}",
                    name.display()
                );
                None
            }
        });
        let variable = |name| std::env::var(name).ok();
        let own = std::process::id();
        Self {
            way,
            period: period(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), own),
        }
    }

    /// Says that the node is ready as soon as it answers, and from then on that it lives and how it stands, until it has ended.
    pub(crate) fn follow(self: &Arc<Self>, node: Handle) {
        if self.way.is_none() {
            return;
        }
        let told = Arc::clone(self);
        tokio::spawn(async move {
            let mut beats = tokio::time::interval(told.period);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut first = "READY=1\n";
            loop {
                beats.tick().await;
                let Ok(behind) = node.behind().await else {
                    return;
                };
                let beat = Arc::clone(&told);
                let work = move |node: &mut Node, now| {
                    let summary = summary(node, now, &behind);
                    beat.tell(&format!("{first}WATCHDOG=1\nSTATUS={summary}"));
                };
                if node.ask(work).await.is_err() {
                    return;
                }
                first = "";
            }
        });
    }

    /// Says that the node has begun to end.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=ending in order");
    }

    /// Sends it, or leaves it: a manager that does not read must not hold up the node, and the next sign of life comes soon.
    fn tell(&self, message: &str) {
        if let Some((socket, manager)) = &self.way {
            let _ = socket.send_to_addr(message.as_bytes(), manager);
        }
    }
}

/// A socket, and the address of this name: a path, or after an `@` the name of an abstract socket.
fn way_to(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let manager = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "it is neither a path nor an abstract socket",
            ));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, manager))
}

/// The pause between two signs of life, by WATCHDOG_USEC and WATCHDOG_PID: a watchdog that is meant for another process does not count.
fn period(microseconds: Option<String>, process: Option<String>, own: u32) -> Duration {
    let meant = process.is_none_or(|process| process.parse() == Ok(own));
    let watchdog = microseconds.and_then(|text| text.parse().ok());
    match watchdog.map(Duration::from_micros) {
        Some(watchdog) if meant && !watchdog.is_zero() => {
            (watchdog / 2).clamp(BEAT_MIN, STATUS_PERIOD)
        }
        _ => STATUS_PERIOD,
    }
}

/// One line on how the node stands, as `systemctl status` shows it.
fn summary(node: &Node, now: Now, behind: &Behind) -> String {
    let PeerCounts { up, down, unknown } = node.peer_counts(now);
    let behind = node.total_behind(behind);
    format!(
        "{up} of {} peers up, {} states, {behind} behind",
        up + down + unknown,
        node.states()
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn half_of_the_watchdogs_time_and_never_too_often() {
        let of = |time: &str, process: Option<&str>| {
            period(Some(time.to_owned()), process.map(str::to_owned), 7)
        };
        assert_eq!(of("2000000", None), Duration::from_secs(1));
        assert_eq!(of("2000000", Some("7")), Duration::from_secs(1));
        assert_eq!(of("2000000", Some("8")), STATUS_PERIOD);
        assert_eq!(of("60000000", None), STATUS_PERIOD);
        assert_eq!(of("1", None), BEAT_MIN);
        for nothing in ["0", "", "soon", "-1"] {
            assert_eq!(of(nothing, None), STATUS_PERIOD);
        }
        assert_eq!(period(None, None, 7), STATUS_PERIOD);
    }

    #[test]
    fn only_paths_and_abstract_sockets_are_names() {
        for name in ["/run/notify", "@lampwire-test"] {
            assert!(way_to(OsStr::new(name)).is_ok(), "{name}");
        }
        for name in ["vsock:2:1234", "notify"] {
            assert!(way_to(OsStr::new(name)).is_err(), "{name}");
        }
    }
}
