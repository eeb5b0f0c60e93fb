//! The HTTP listener: HTTP/1.1 and HTTP/2 by hyper, one task per connection.

use std::{
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{runtime::Handle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    ListenError,
    accept::{Acceptor, Listening},
    http::{
        lent::lend,
        quick,
        site::{Asker, Site},
    },
    tls::{Connection, TlsIdentity},
};

/// Browsers speak HTTP/2 only where it was agreed upon (RFC 9113 §3.2).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How long a client may take to send the head of a request: stops one that sends a byte a minute.
pub(super) const HEADER_DEADLINE: Duration = Duration::from_secs(10);

/// Bytes of a request's head.
pub(super) const HEADER_BYTES_MAX: usize = 16 << 10;

/// Requests in flight on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 64;

/// How often an idle HTTP/2 connection is asked whether it lives, and how long it may take to say so.
const HTTP2_PING: Duration = Duration::from_secs(20);

/// A listening HTTP origin. Dropping it ends its connections.
pub struct HttpListener {
    acceptor: Acceptor,
    addr: SocketAddr,
}

impl HttpListener {
    /// Listens on `addr` (port 0: any free one) and serves `site`, to `connections_max` at a time; over TLS when there is a `tls`, and then
    /// without it only where it `takes_plain`: whoever does not begin with a handshake.
    ///
    /// # Errors
    /// [`ListenError`] when the address cannot be had.
    pub fn bind(
        runtime: &Handle,
        addr: SocketAddr,
        connections_max: usize,
        tls: Option<&Arc<TlsIdentity>>,
        takes_plain: bool,
        site: Arc<Site>,
    ) -> Result<Self, ListenError> {
        let listening = Listening::on(addr, tls, &ALPN)?.taking_plain(takes_plain);
        let (addr, inbox) = (listening.addr(), site.inbox().clone());
        let serve = move |stream, peer, stop| {
            let scheme = if matches!(stream, Connection::Tls(_)) { "https" } else { "http" };
            serve(stream, Asker { peer, scheme }, stop, site.clone())
        };
        let acceptor = listening.serve(runtime, connections_max, inbox, serve)?;
        Ok(Self { acceptor, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops listening; answers that have begun are finished. Endless ones are for [`Site::close`] to end, before this.
    pub async fn stop(&self) {
        self.acceptor.stop().await;
    }
}

async fn serve(stream: Connection, asker: Asker, stop: CancellationToken, site: Arc<Site>) {
    let (mut stream, owner) = lend(stream);
    // With TLS it costs more than it saves, and HTTP/2 is agreed upon there.
    if asker.scheme == "http" {
        match quick::serve(&mut stream, &site, asker.peer, &stop).await {
            Some(unread) => stream.put_back(unread),
            None => return,
        }
    }
    let (answering, has_asked) = (owner.clone(), Arc::new(AtomicBool::new(false)));
    let asking = has_asked.clone();
    let service = service_fn(move |request| {
        asking.store(true, Relaxed);
        let (site, owner) = (site.clone(), answering.clone());
        async move { Ok::<_, Infallible>(site.answer(request, asker, &owner).await) }
    });
    let builder = builder();
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // What a client does wrong ends its own connection and is nobody's news.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = owner.taken() => return,
        () = silence(&has_asked) => return,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                _ = connection => {}
                () = owner.taken() => return,
            }
        }
    }
    if let Some(then) = owner.left() {
        tokio::select! {
            () = then => {}
            () = stop.cancelled() => {}
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE).max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING);
    builder
}

/// Resolves when a client has asked for nothing in time. Between the first byte and the head of a request hyper has no deadline: it waits for
/// what tells HTTP/1 from HTTP/2, and for the rest of a preface, for ever.
async fn silence(has_asked: &AtomicBool) {
    sleep(HEADER_DEADLINE).await;
    if has_asked.load(Relaxed) {
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
        time::{Instant, timeout},
    };

    use super::*;
    use crate::{
        Inbox,
        http::{Origin, SiteOptions},
    };

    /// Found by reading: who began with a part of HTTP/2's preface and said nothing more, or nothing at all behind a handshake of TLS, had its
    /// place for ever.
    #[tokio::test]
    async fn who_asks_for_nothing_is_not_waited_for() {
        for (scheme, said) in
            [("http", "PRI * HTTP/2.0\r\n\r\n"), ("http", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ("https", "")]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, from) = listener.accept().await.unwrap();
            peer.write_all(said.as_bytes()).await.unwrap();
            let inbox = Inbox::new(Waker::noop().clone());
            let site = Site::new(&Handle::current(), SiteOptions::default(), Origin::new(), inbox);
            let asker = Asker { peer: from, scheme };
            // The clock runs while nothing else happens.
            tokio::time::pause();
            let began = Instant::now();
            let served = serve(Connection::Plain(stream), asker, CancellationToken::new(), site);
            assert!(timeout(HEADER_DEADLINE * 6, served).await.is_ok(), "{scheme} {said:?}");
            assert!(began.elapsed() >= HEADER_DEADLINE);
            tokio::time::resume();
        }
    }
}
