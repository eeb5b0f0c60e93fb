//! The HTTP listener: HTTP/1.1 and HTTP/2 by hyper, one task per connection.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::runtime::Handle;
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
    let answering = owner.clone();
    let service = service_fn(move |request| {
        let (site, owner) = (site.clone(), answering.clone());
        async move { Ok::<_, Infallible>(site.answer(request, asker, &owner).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE).max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // What a client does wrong ends its own connection and is nobody's news.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = owner.taken() => return,
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
