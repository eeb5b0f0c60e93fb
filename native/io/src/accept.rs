//! Accepting TCP connections: bounded in number, robust against running out of descriptors, stopped by a token.

use std::{
    fmt,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Inbox,
    bug::BugReport,
    peer::canonical,
    tls::{Connection, TlsIdentity},
};

/// Connections that the kernel may hold for us before they are accepted.
const BACKLOG: i32 = 1024;

/// After a failed `accept` (no descriptors left, say): long enough not to spin, short enough not to be felt.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How long a peer may take for a TLS handshake: stops one that opens connections and says nothing.
const TLS_DEADLINE: Duration = Duration::from_secs(10);

/// How long connections may take to end after the listener was told to stop.
const DRAIN_DEADLINE: Duration = Duration::from_secs(2);

/// A listener could not be opened.
#[derive(Debug)]
pub struct ListenError {
    /// Where it should have listened.
    pub addr: SocketAddr,
    /// What the operating system said.
    pub source: std::io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.addr, self.source)
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A socket that listens, and nobody is accepted yet. Opened at once, so that a port in use is an error of the caller's and not of some task.
pub(crate) struct Listening {
    listener: StdListener,
    addr: SocketAddr,
    lock: Option<Lock>,
}

impl Listening {
    /// Listens on `addr` (port 0: any free one); behind TLS as `identity`, when there is one, which offers the protocols of `alpn`.
    pub(crate) fn on(
        addr: SocketAddr,
        identity: Option<&Arc<TlsIdentity>>,
        alpn: &[&[u8]],
    ) -> Result<Self, ListenError> {
        let failed = |source| ListenError { addr, source };
        let listener = open(addr).map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let tls = identity.map(|identity| identity.acceptor(alpn)).transpose();
        let tls = tls.map_err(|error| failed(std::io::Error::other(error)))?;
        let lock = tls.map(|tls| Lock { tls, takes_plain: false });
        Ok(Self { listener, addr: local, lock })
    }

    /// Whether a peer may speak without TLS where there is one.
    pub(crate) fn taking_plain(self, takes_plain: bool) -> Self {
        Self { lock: self.lock.map(|lock| Lock { takes_plain, ..lock }), ..self }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves each connection by `serve` in a task of its own, at most `connections_max` at a time.
    pub(crate) fn serve<S, F>(
        self,
        runtime: &Handle,
        connections_max: usize,
        inbox: Arc<Inbox>,
        serve: S,
    ) -> Result<Acceptor, ListenError>
    where
        S: Fn(Connection, SocketAddr, CancellationToken) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { listener, addr, lock } = self;
        let _context = runtime.enter();
        let listener = TcpListener::from_std(listener).map_err(|source| ListenError { addr, source })?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let door = Door { lock, serve };
        tasks.spawn(accept(listener, connections_max, inbox, door, stop.clone(), tasks.clone()));
        Ok(Acceptor { stop, tasks })
    }
}

fn open(addr: SocketAddr) -> std::io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A server restarted at once must get its port back although old connections linger in TIME_WAIT.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        // `[::]` serves IPv4 clients too.
        socket.set_only_v6(false)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A running accept loop. Dropping it ends the loop and its connections.
pub(crate) struct Acceptor {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Acceptor {
    /// Ends the loop and asks connections to end; resolves when they have, or after a deadline.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        let _ = timeout(DRAIN_DEADLINE, self.tasks.wait()).await;
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a connection passes through.
#[derive(Clone)]
struct Door<S> {
    lock: Option<Lock>,
    serve: S,
}

/// TLS at a door.
#[derive(Clone)]
struct Lock {
    tls: TlsAcceptor,
    /// Who does not begin with TLS is served as it comes.
    takes_plain: bool,
}

impl Lock {
    /// The connection behind the door; none when it did not get through.
    async fn open(self, stream: TcpStream, peer: SocketAddr, inbox: &Inbox) -> Option<Connection> {
        let opening = async {
            if self.takes_plain && !begins_with_tls(&stream).await? {
                return Ok(Connection::Plain(stream));
            }
            Ok::<_, std::io::Error>(Connection::Tls(Box::new(self.tls.accept(stream).await?.into())))
        };
        match timeout(TLS_DEADLINE, opening).await {
            Ok(Ok(connection)) => return Some(connection),
            Ok(Err(error)) => inbox.warn(format!("{peer}: no TLS with this peer: {error}")),
            Err(_) => inbox.warn(format!("{peer}: no TLS handshake within {} s", TLS_DEADLINE.as_secs())),
        }
        None
    }
}

impl<S, F: Future<Output = ()>> Door<S>
where
    S: Fn(Connection, SocketAddr, CancellationToken) -> F,
{
    async fn enter(self, stream: TcpStream, peer: SocketAddr, stop: CancellationToken, place: Place) {
        let stream = match self.lock {
            None => Connection::Plain(stream),
            // Boxed: the handshake would make the task larger for as long as the connection lives.
            Some(lock) => match Box::pin(lock.open(stream, peer, &place.report.inbox)).await {
                Some(stream) => stream,
                None => return,
            },
        };
        (self.serve)(stream, peer, stop).await;
    }
}

/// The first byte of a handshake (RFC 8446 §5.1); no method of HTTP begins with it (RFC 9110 §5.6.2).
const TLS_HANDSHAKE: u8 = 22;

/// Whether a peer begins with TLS. What it says is left where it is.
async fn begins_with_tls(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [TLS_HANDSHAKE];
    stream.peek(&mut first).await.map(|_| first == [TLS_HANDSHAKE])
}

/// That of a connection among those of a listener. A panic ends its task only, and is told.
struct Place {
    report: BugReport<Peer>,
    _permit: OwnedSemaphorePermit,
}

/// Written out when there is something to say: places are many.
struct Peer(SocketAddr);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection of {}", self.0)
    }
}

async fn accept<S, F>(
    listener: TcpListener,
    connections_max: usize,
    inbox: Arc<Inbox>,
    door: Door<S>,
    stop: CancellationToken,
    tasks: TaskTracker,
) where
    S: Fn(Connection, SocketAddr, CancellationToken) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(connections_max));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                inbox.warn(format!("cannot accept a connection: {error}"));
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Ok(_permit) = places.clone().try_acquire_owned() else {
            inbox.warn(format!("{peer} was turned away: all {connections_max} connections are in use"));
            continue;
        };
        let peer = canonical(peer);
        // Media is sent in whole frames: waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let place = Place { report: BugReport::of(Peer(peer), inbox.clone()), _permit };
        tasks.spawn(door.clone().enter(stream, peer, stop.clone(), place));
    }
}

#[cfg(test)]
mod tests {
    use std::{task::Waker, time::Instant};

    use super::*;
    use crate::Notice;

    /// Tasks are no shelter for bugs: whoever runs arcly is told, and the next connection is served.
    #[tokio::test]
    async fn a_panic_ends_one_connection_and_is_told() {
        let inbox = Inbox::new(Waker::noop().clone());
        let listening = Listening::on("127.0.0.1:0".parse().unwrap(), None, &[]).unwrap();
        let addr = listening.addr();
        let serve = |_, _, _| async { panic!("on purpose") };
        let acceptor = listening.serve(&Handle::current(), 1, inbox.clone(), serve).unwrap();
        for _ in 0..2 {
            let _peer = TcpStream::connect(addr).await.unwrap();
            let deadline = Instant::now() + Duration::from_secs(60);
            let told = loop {
                match inbox.pop() {
                    Some(notice) => break notice,
                    None => tokio::time::sleep(Duration::from_millis(1)).await,
                }
                assert!(Instant::now() < deadline, "nothing is told");
            };
            assert!(matches!(told, Notice::Bug(text) if text.contains("127.0.0.1")));
        }
        acceptor.stop().await;
    }
}
