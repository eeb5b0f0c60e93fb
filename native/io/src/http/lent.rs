//! A connection that hyper drives, and that can be taken away from it: an endless answer is the pump's business.

use std::{
    fs::File,
    future::poll_fn,
    io,
    net::TcpStream as StdStream,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Sleep, sleep},
};

use crate::{lock, tls::Connection};

/// How long a peer may take nothing of what is being written. Stops one that asks for a large file and does not read it.
pub(super) const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// hyper's end of the connection.
pub(crate) struct Lent {
    shared: Arc<Shared>,
    /// Runs while the peer takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    /// What was read of the peer already and is to be read again.
    unread: Bytes,
}

/// Ours, by which it is taken.
#[derive(Clone)]
pub(crate) struct Owner(Arc<Shared>);

/// Ends the connection from outside, if it is still there.
#[derive(Clone)]
pub(crate) struct Breaker(Weak<Shared>);

/// What a connection does once it speaks HTTP no more.
type Then = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Shared {
    /// None once it was taken. Locked by one task only.
    connection: Mutex<Option<Connection>>,
    taken: Notify,
    then: Mutex<Option<Then>>,
}

/// Lends `connection` to whoever gets the first; the second can take it back.
pub(crate) fn lend(connection: Connection) -> (Lent, Owner) {
    let shared =
        Arc::new(Shared { connection: Mutex::new(Some(connection)), taken: Notify::new(), then: Mutex::default() });
    (Lent { shared: shared.clone(), stall: None, unread: Bytes::new() }, Owner(shared))
}

impl Owner {
    /// The socket, no longer known to the runtime and still not blocking; none when it is encrypted, which stays as it was.
    ///
    /// Call it while a request without a body waits for its answer. What the peer has sent beyond that request is lost (nobody pipelines
    /// behind an endless answer); what hyper has not written of an earlier answer, too.
    pub(crate) fn take(&self) -> Option<StdStream> {
        let mut lent = self.0.lock();
        match lent.take()? {
            Connection::Plain(stream) => {
                self.0.taken.notify_one();
                stream.into_std().ok()
            }
            encrypted => {
                *lent = Some(encrypted);
                None
            }
        }
    }

    /// Bounds what the kernel keeps for a peer that does not read, so that it is seen to be slow.
    pub(crate) fn bound_unsent(&self, bytes: u32) {
        if let Some(connection) = self.0.lock().as_ref() {
            connection.bound_unsent(bytes);
        }
    }

    /// For whoever has to end it, and must not keep it open.
    pub(crate) fn breaker(&self) -> Breaker {
        Breaker(Arc::downgrade(&self.0))
    }

    /// Leaves it to the task of the connection to go on with this, when hyper has done its part of an upgrade.
    pub(crate) fn leave(&self, then: impl Future<Output = ()> + Send + 'static) {
        *lock(&self.0.then) = Some(Box::pin(then));
    }

    /// What was left to the task of the connection.
    pub(crate) fn left(&self) -> Option<Then> {
        lock(&self.0.then).take()
    }

    /// Resolves when it was taken: hyper has nothing to do any more.
    pub(crate) async fn taken(&self) {
        self.0.taken.notified().await;
    }
}

impl Breaker {
    /// Closes the connection both ways at once: hyper finds it broken, whatever it waits for.
    pub(crate) fn reset(&self) {
        let shared = self.0.upgrade();
        if let Some(connection) = shared.as_ref().map(|shared| shared.lock()).as_deref().and_then(Option::as_ref) {
            connection.reset();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        lock(&self.connection)
    }

    fn with<T>(&self, body: impl FnOnce(Pin<&mut Connection>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match self.lock().as_mut() {
            Some(connection) => body(Pin::new(connection)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl Lent {
    /// The next one who reads begins with these.
    pub(crate) fn put_back(&mut self, unread: Bytes) {
        self.unread = unread;
    }

    /// Writes `head` and behind it so many `bytes` of `file`, which the kernel does not copy.
    pub(super) async fn send_file(&mut self, head: &[u8], file: &File, bytes: usize) -> io::Result<()> {
        let mut head = head;
        while !head.is_empty() {
            let sent = poll_fn(|context| self.send(context, |it, context| it.poll_send_more(context, head))).await?;
            head = head.get(sent..).unwrap_or_default();
        }
        let mut offset = 0;
        while offset < bytes as u64 {
            let left = bytes - offset as usize;
            let from = &mut offset;
            let sent =
                poll_fn(|context| self.send(context, |it, context| it.poll_send_file(context, file, from, left)));
            if sent.await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Does something that waits for the peer to take what was written; fails when that lasts too long.
    fn send<T>(
        &mut self,
        context: &mut Context<'_>,
        body: impl FnOnce(Pin<&mut Connection>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let done = self.shared.with(|connection| body(connection, context));
        if done.is_ready() {
            self.stall = None;
            return done;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(WRITE_DEADLINE)));
        stall.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Lent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let bytes = self.unread.len().min(buffer.remaining());
            buffer.put_slice(&self.unread.split_to(bytes));
            return Poll::Ready(Ok(()));
        }
        self.shared.with(|connection| connection.poll_read(context, buffer))
    }
}

impl AsyncWrite for Lent {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().send(context, |connection, context| connection.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().send(context, |connection, context| connection.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.shared.lock().as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().send(context, |connection, context| connection.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().send(context, |connection, context| connection.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_given_up_and_a_slow_one_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (mut lent, _owner) = lend(Connection::Plain(stream));
        tokio::time::pause();
        let (start, mut block) = (Instant::now(), vec![0; 1 << 20]);
        let mut reads = 0;
        // The clock runs while nothing else happens. A peer that reads a little now and then stays.
        let error = loop {
            match tokio::time::timeout(WRITE_DEADLINE / 2, lent.write_all(&block)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => break error,
                Err(_) if reads < 5 => {
                    reads += 1;
                    // All that waits in between, so that a window opens.
                    while peer.try_read(&mut block).is_ok() {}
                }
                Err(_) => {}
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= WRITE_DEADLINE);
        assert_eq!(reads, 5);
    }
}
