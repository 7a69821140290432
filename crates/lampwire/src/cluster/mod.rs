//! The way to NATS: connects, keeps the own site's bucket, puts, reads and says what the node wants, and tells it what happened.
//!
//! One thread of its own owns the connection (`link.rs`); the driver's loop hands it orders and takes happenings over two bounded channels and never
//! waits for it. What the core expects of this is written at [`lampwire_core::BusCommand`] and [`lampwire_core::BusInput`].
//!
//! A connection that is lost is not mended: everything of it is dropped, what was to be written with it, and another is made. So nothing that was
//! asked for on one connection is done on the next.

mod bucket;
mod limits;
mod link;
mod login;
mod patience;
mod reader;
mod status;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Message;
use lampwire_conf::Cluster;
use lampwire_core::{BusCommand, BusInput, Notice};
use lampwire_sip::EntityId;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;

pub(crate) use self::status::{Figures, Status};

/// Something that happened on the bus.
#[derive(Debug)]
pub(crate) enum Happened {
    /// There is a connection.
    Up { server: String },
    /// There is none any more, or it could not be made.
    Down { why: String },
    /// A bucket is being read.
    Opened {
        site: Arc<str>,
        incarnation: u64,
        whole: bool,
        pending: u64,
        last: u64,
    },
    /// A key was read.
    Record {
        site: Arc<str>,
        at: u64,
        pending: u64,
        /// As it came: its subject ends with the key, which begins there.
        message: Message,
        key: usize,
        /// A mark stands there instead of a value.
        withdrawn: bool,
    },
    /// A bucket is not read any more.
    Failed { site: Arc<str>, why: String },
    /// A put, a withdrawal or an erasure was done or not.
    Stored {
        number: u64,
        result: Result<u64, String>,
    },
    /// Somebody said something.
    Said {
        /// As it came: its subject ends with the topic, which begins there.
        message: Message,
        topic: usize,
    },
    /// A line for the log.
    Notice(Notice),
}

impl Happened {
    /// What the node is told of it; a line for the log is not for the node.
    pub(crate) fn input(&self) -> Result<BusInput<'_>, &Notice> {
        Ok(match self {
            Self::Up { server } => BusInput::Up { server },
            Self::Down { why } => BusInput::Down { why },
            &Self::Opened {
                ref site,
                incarnation,
                whole,
                pending,
                last,
            } => BusInput::Opened {
                site,
                incarnation,
                whole,
                pending,
                last,
            },
            &Self::Record {
                ref site,
                at,
                pending,
                ref message,
                key,
                withdrawn,
            } => BusInput::Record {
                site,
                at,
                pending,
                key: message.subject.get(key..).unwrap_or_default(),
                value: (!withdrawn).then_some(&message.payload),
            },
            Self::Failed { site, why } => BusInput::Failed { site, why },
            Self::Stored { number, result } => BusInput::Stored {
                number: *number,
                result: result.as_ref().map(|at| *at).map_err(String::as_str),
            },
            Self::Said { message, topic } => BusInput::Said {
                topic: message.subject.get(*topic..).unwrap_or_default(),
                bytes: &message.payload,
            },
            Self::Notice(notice) => return Err(notice),
        })
    }
}

/// What the node wants done, and of which connection it spoke.
#[derive(Debug)]
struct Order {
    /// How many connections it had been told of.
    connection: u64,
    command: BusCommand,
}

/// The driver's end of it.
#[derive(Debug)]
pub(crate) struct Bus {
    orders: mpsc::Sender<Order>,
    happened: mpsc::Receiver<Happened>,
    /// How many connections the node was told of.
    connection: u64,
    /// That the thread has ended was told.
    ended: bool,
    status: Arc<Status>,
}

impl Bus {
    /// Begins to connect, as the node of this entity id. Fails where the system has no thread for it.
    pub(crate) fn start(settings: &Cluster, own: EntityId) -> io::Result<Self> {
        // Where only the server wants TLS, the client goes by what the process has; another one is as good.
        let _ = ring::default_provider().install_default();
        let (orders, received) = mpsc::channel(limits::ORDERS_WAITING);
        let (tell, happened) = mpsc::channel(limits::HAPPENINGS_WAITING);
        let status = Arc::new(Status::default());
        let link = link::Link::new(settings.clone(), own, received, tell, Arc::clone(&status));
        std::thread::Builder::new()
            .name("nats".to_owned())
            .spawn(move || link.run())?;
        Ok(Self {
            orders,
            happened,
            connection: 0,
            ended: false,
            status,
        })
    }

    /// How it stands, for whoever asks.
    pub(crate) fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// The next thing that happened. Can be dropped and called again without loss.
    pub(crate) async fn next(&mut self) -> Happened {
        match self.happened.recv().await {
            Some(happened) => self.note(happened),
            // The thread has ended, which only a fault in it can bring about: that is told once.
            None if std::mem::replace(&mut self.ended, true) => std::future::pending().await,
            None => {
                self.status.up.store(false, Ordering::Relaxed);
                Happened::Down {
                    why: "what connects to NATS has ended by a fault of its own; restart the node"
                        .to_owned(),
                }
            }
        }
    }

    /// The next thing, if there is one now.
    pub(crate) fn ready(&mut self) -> Option<Happened> {
        let happened = self.happened.try_recv().ok()?;
        Some(self.note(happened))
    }

    fn note(&mut self, happened: Happened) -> Happened {
        if matches!(happened, Happened::Up { .. }) {
            self.connection += 1;
        }
        let waiting = self.happened.len() as u64;
        let figure = &self.status.happenings_waiting;
        figure.store(waiting, Ordering::Relaxed);
        happened
    }

    /// Does what the node wants done. Gives what becomes of it at once where it cannot even be begun.
    pub(crate) fn obey(&mut self, command: BusCommand) -> Option<Happened> {
        let order = Order {
            connection: self.connection,
            command,
        };
        let refused = self.orders.try_send(order);
        let waiting = self.orders.max_capacity() - self.orders.capacity();
        let figure = &self.status.orders_waiting;
        figure.store(waiting as u64, Ordering::Relaxed);
        let (mpsc::error::TrySendError::Full(order) | mpsc::error::TrySendError::Closed(order)) =
            refused.err()?;
        let why = || "more waits for the connection than may".to_owned();
        match order.command {
            BusCommand::Read { site, .. } => Some(Happened::Failed {
                site: site.into(),
                why: why(),
            }),
            BusCommand::Put { number, .. }
            | BusCommand::Withdraw { number, .. }
            | BusCommand::Erase { number, .. } => Some(Happened::Stored {
                number,
                result: Err(why()),
            }),
            BusCommand::Say { .. } => {
                status::count(&self.status.unsaid);
                None
            }
        }
    }

    /// Ends it once what is on its way has come there, or after a while.
    pub(crate) async fn close(self) {
        let Self {
            orders,
            mut happened,
            ..
        } = self;
        drop(orders);
        // The channel ends with the thread. What it still says is for nobody.
        let ended = async { while happened.recv().await.is_some() {} };
        let _ = timeout(limits::CLOSING_MAX + Duration::from_secs(1), ended).await;
    }
}

/// A reason for people: not longer than it may be, and on one line.
fn reason(text: &str) -> String {
    let line = text
        .chars()
        .map(|it| if it.is_control() { ' ' } else { it });
    line.take(limits::REASON_MAX).collect()
}
