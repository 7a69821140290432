//! How long a client may leave an answer unread: a connection on which no write goes on for too long is closed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::limits;

/// How long one connection is waited for. Whoever answers a request on it has it too, and may make it longer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patience {
    follows: Arc<AtomicBool>,
}

impl Patience {
    /// From now on it carries events: its reader may rest, and is told afterwards what it has missed.
    pub(crate) fn follow(&self) {
        self.follows.store(true, Ordering::Relaxed);
    }

    fn time(&self) -> std::time::Duration {
        match self.follows.load(Ordering::Relaxed) {
            true => limits::EVENTS_WRITE_TIME_MAX,
            false => limits::WRITE_TIME_MAX,
        }
    }
}

/// A connection whose writes fail once none has gone on for that long.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    patience: Patience,
    /// Rings when the write that waits has waited too long.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncWrite + Unpin> Patient<S> {
    pub(super) fn new(stream: S, patience: Patience) -> Self {
        Self {
            stream,
            patience,
            alarm: None,
        }
    }

    fn write<T>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = write(Pin::new(&mut self.stream), context);
        if written.is_ready() {
            self.alarm = None;
            return written;
        }
        let time = self.patience.time();
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(alarm.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |stream, context| {
            stream.poll_write_vectored(context, parts)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(context, |stream, context| stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(context, |stream, context| stream.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;

    /// Writes more than its reader takes, who reads a byte at each of these seconds. When it was given up, in seconds.
    async fn given_up_after(patience: &Patience, reads_at: &[u64]) -> u64 {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let mut patient = Patient::new(ours, patience.clone());
        let begin = Instant::now();
        let reads_at = reads_at.to_vec();
        let reading = tokio::spawn(async move {
            for second in reads_at {
                tokio::time::sleep_until(begin + Duration::from_secs(second)).await;
                theirs.read_u8().await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        let error = patient.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        reading.abort();
        begin.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_given_up_and_who_reads_slowly_is_not() {
        let patience = Patience::default();
        assert_eq!(given_up_after(&patience, &[]).await, 15);
        assert_eq!(given_up_after(&patience, &[10, 20, 30]).await, 45);
        patience.follow();
        assert_eq!(given_up_after(&patience, &[]).await, 300);
    }
}
