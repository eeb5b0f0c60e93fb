//! A connection that hyper drives, and that can be taken away from it: an endless answer is the pump's business.

use std::{
    io,
    net::TcpStream as StdStream,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

use crate::tls::Connection;

/// hyper's end of the connection.
pub(crate) struct Lent(Arc<Shared>);

/// Ours, by which it is taken.
#[derive(Clone)]
pub(crate) struct Owner(Arc<Shared>);

/// Ends the connection from outside, if it is still there.
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
    (Lent(shared.clone()), Owner(shared))
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
        *self.0.then.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(then));
    }

    /// What was left to the task of the connection.
    pub(crate) fn left(&self) -> Option<Then> {
        self.0.then.lock().unwrap_or_else(PoisonError::into_inner).take()
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
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, body: impl FnOnce(Pin<&mut Connection>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match self.lock().as_mut() {
            Some(connection) => body(Pin::new(connection)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for Lent {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.with(|connection| connection.poll_read(context, buffer))
    }
}

impl AsyncWrite for Lent {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.with(|connection| connection.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.with(|connection| connection.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.lock().as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.with(|connection| connection.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.with(|connection| connection.poll_shutdown(context))
    }
}
