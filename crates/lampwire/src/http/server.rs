//! The listening socket and its connections: bounded in number, and none held for long by a client that says nothing or reads nothing.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::door::Remote;
use super::limits;
use super::patience::{Patience, Patient};
use crate::current::Current;
use crate::driver::tls::web::Acceptor;
use crate::driver::tls::why;
use crate::signals::stopped;

/// A bound socket that does not answer yet.
pub(crate) struct Listener {
    socket: TcpListener,
    /// The one that counts when a connection begins.
    pub(crate) tls: Option<Current<Acceptor>>,
    /// Where it is bound.
    pub(crate) local: SocketAddr,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({}://{})", self.scheme(), self.local)
    }
}

impl Listener {
    /// Binds it; with `tls` it speaks HTTPS and nothing else. Needs a running tokio runtime.
    pub(crate) fn bind(address: SocketAddr, tls: Option<Acceptor>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let socket = TcpListener::from_std(listener)?;
        Ok(Self {
            local: socket.local_addr()?,
            socket,
            tls: tls.map(|tls| Current::new(Arc::new(tls))),
        })
    }

    /// How its addresses begin: `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }
}

/// Serves until `stop` is told true (or dropped); then open requests have a moment to end.
pub(crate) async fn serve(listener: Listener, routes: Router, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut troubles = Troubles::default();
    loop {
        tokio::select! {
            accepted = accept(&listener, &room, &mut troubles) => {
                let (stream, remote, permit) = accepted;
                connections.spawn(converse(
                    stream,
                    Remote(remote),
                    listener.tls.as_ref().map(Current::get),
                    permit,
                    routes.clone(),
                    stop.clone(),
                ));
            }
            // Takes the ended ones out, so that the set holds only what lives.
            Some(_) = connections.join_next() => (),
            () = stopped(&mut stop) => break,
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    // What is still open then is cut by dropping the set.
    let _ = tokio::time::timeout(limits::END_TIME_MAX, all).await;
}

/// The next connection, once there is room for one.
async fn accept(
    listener: &Listener,
    room: &Arc<Semaphore>,
    troubles: &mut Troubles,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = Arc::clone(room).acquire_owned().await else {
            // Never: the semaphore is not closed.
            std::future::pending().await
        };
        match listener.socket.accept().await {
            Ok((stream, remote)) => return (stream, remote, permit),
            Err(error) => {
                // Out of file descriptors, most likely: the next one may fare better in a moment.
                if let Some(more) = troubles.admit(Instant::now()) {
                    tracing::warn!("an HTTP connection could not be taken: {error}{more}");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// What goes wrong ten times a second is told now and then, with how often it did.
#[derive(Debug, Default)]
struct Troubles {
    told_at: Option<Instant>,
    held_back: u64,
}

impl Troubles {
    /// What to add to the line, if one is to be written now.
    fn admit(&mut self, now: Instant) -> Option<String> {
        if let Some(told_at) = self.told_at
            && now < told_at + limits::TROUBLE_TOLD
        {
            self.held_back += 1;
            return None;
        }
        self.told_at = Some(now);
        Some(match std::mem::take(&mut self.held_back) {
            0 => String::new(),
            count => format!(" (and {count} times since this was last said)"),
        })
    }
}

/// Everything that happens on one connection.
async fn converse(
    stream: TcpStream,
    remote: Remote,
    tls: Option<Arc<Acceptor>>,
    permit: OwnedSemaphorePermit,
    routes: Router,
    stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_send_buffer_size(limits::SEND_BUFFER_BYTES);
    match tls {
        None => speak(stream, remote, routes, stop).await,
        Some(tls) => match timeout(limits::HEADER_TIME_MAX, tls.0.accept(stream)).await {
            Ok(Ok(stream)) => speak(stream, remote, routes, stop).await,
            Ok(Err(error)) => {
                tracing::debug!("an HTTPS connection is refused: {}", why(&error));
            }
            Err(_) => {
                tracing::debug!("an HTTPS connection is refused: its handshake took too long");
            }
        },
    }
    drop(permit);
}

/// HTTP over whatever bytes go by.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    remote: Remote,
    routes: Router,
    mut stop: watch::Receiver<bool>,
) {
    let patience = Patience::default();
    let stream = TokioIo::new(Patient::new(stream, patience.clone()));
    let routes = TowerToHyperService::new(routes);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(patience.clone());
        request.extensions_mut().insert(remote);
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER_TIME_MAX)
        .serve_connection(stream, answer);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => note(result),
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            note(connection.await);
        }
    }
}

fn note(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::trace!("an HTTP connection ended: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_that_stays_is_told_now_and_then() {
        let mut troubles = Troubles::default();
        let begin = Instant::now();
        let told: Vec<String> = (0..250)
            .filter_map(|number| troubles.admit(begin + Duration::from_millis(100 * number)))
            .collect();
        assert_eq!(
            told,
            [
                "",
                " (and 99 times since this was last said)",
                " (and 99 times since this was last said)"
            ]
        );
    }
}
