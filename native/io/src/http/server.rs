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
    rt::{TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{runtime::Handle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    ListenError,
    accept::{Acceptor, Listening},
    http::{
        given::Streams,
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
    let builder = builder(Streams::new(owner.breaker()));
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

fn builder(streams: Streams) -> Builder<Streams> {
    let mut builder = Builder::new(streams);
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

    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty};
    use hyper::{Request, Response, body::Incoming, client::conn::http2};
    use hyper_util::rt::TokioExecutor;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        net::{TcpListener, TcpStream},
        time::{Instant, timeout},
    };

    use super::*;
    use crate::{
        Inbox,
        http::{
            Origin, SiteOptions,
            lent::{Owner, WRITE_DEADLINE},
            response::Body,
        },
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

    /// The client of an HTTP/2 connection, what it has asked for, and the other end of the socket that ends with the connection. Nothing else
    /// goes over that socket: the clock would not wait for it.
    struct Client {
        sender: http2::SendRequest<Empty<Bytes>>,
        answer: Incoming,
        peer: TcpStream,
        _owner: Owner,
    }

    impl Client {
        /// It has room for so many bytes of an answer in these pieces.
        async fn with_room_for(bytes: u32, pieces: &[&'static [u8]]) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (_, owner) = lend(Connection::Plain(listener.accept().await.unwrap().0));
            let (ours, theirs) = duplex(64 << 10);
            let streams = Streams::new(owner.breaker());
            let pieces: Vec<_> = pieces.iter().map(|piece| Bytes::from_static(piece)).collect();
            tokio::spawn(async move {
                let service = service_fn(move |_: Request<Incoming>| {
                    let answer = Response::new(Body::many(pieces.clone()));
                    async { Ok::<_, Infallible>(answer) }
                });
                let _ = builder(streams).serve_connection(TokioIo::new(ours), service).await;
            });
            let mut client = http2::Builder::new(TokioExecutor::new());
            client.initial_stream_window_size(bytes);
            let (mut sender, connection) = client.handshake(TokioIo::new(theirs)).await.unwrap();
            // It answers pings.
            tokio::spawn(connection);
            // The clock runs while nothing else happens.
            tokio::time::pause();
            let answer = Self::ask(&mut sender).await;
            Self { sender, answer, peer, _owner: owner }
        }

        async fn ask(sender: &mut http2::SendRequest<Empty<Bytes>>) -> Incoming {
            let request = Request::get("http://localhost/").body(Empty::new()).unwrap();
            sender.send_request(request).await.unwrap().into_body()
        }
    }

    /// Found by review: each answer that a client had asked for and gave no room was kept for it as long as it answered pings: up to 64 segments a
    /// connection, long after everybody else had forgotten them.
    #[tokio::test]
    async fn who_takes_nothing_of_an_answer_over_http2_is_given_it_no_longer() {
        let mut client = Client::with_room_for(0, &[b"abc"]).await;
        let began = Instant::now();
        let came = timeout(WRITE_DEADLINE * 2, client.answer.frame()).await.expect("it is reset");
        assert!(came.unwrap().is_err());
        assert!(began.elapsed() >= WRITE_DEADLINE);
        let _ = Client::ask(&mut client.sender).await;
        let error = client.peer.try_read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "the others go on");
    }

    /// Found by review: of an answer in one piece all was left to the connection with its first byte, which had to end for it, and whatever else
    /// it carried.
    #[tokio::test]
    async fn who_takes_the_beginning_of_a_long_piece_over_http2_keeps_the_connection() {
        let mut client = Client::with_room_for(20_000, &[&[7; 1 << 20]]).await;
        sleep(WRITE_DEADLINE * 2).await;
        let mut taken = 0;
        while let Ok(came) = client.answer.frame().await.expect("it is reset") {
            taken += came.into_data().unwrap().len();
        }
        assert!(taken <= 20_000, "{taken}");
        let _ = Client::ask(&mut client.sender).await;
        let error = client.peer.try_read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "the others go on");
    }

    #[tokio::test]
    async fn who_takes_a_little_now_and_then_over_http2_is_waited_for_and_then_no_longer() {
        let mut client = Client::with_room_for(1, &[b"abc", b"abc"]).await;
        for byte in b"abca" {
            let came = timeout(WRITE_DEADLINE, client.answer.frame()).await.expect("the next byte");
            assert_eq!(came.unwrap().unwrap().into_data().unwrap(), [*byte][..]);
            sleep(WRITE_DEADLINE * 2 / 3).await;
        }
        let error = client.peer.try_read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        // It has begun with the last piece, which is the connection's.
        sleep(WRITE_DEADLINE * 2).await;
        tokio::time::resume();
        assert_eq!(timeout(WRITE_DEADLINE, client.peer.read(&mut [0])).await.expect("the end").unwrap(), 0);
    }
}
