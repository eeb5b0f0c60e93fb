//! Requests for files as players make them over plain HTTP/1.1, answered without hyper.
//!
//! A playlist is small, and a third of what it costs was hyper's way of a request through its machines. What is read here is only a GET of
//! HTTP/1.1 without a body and without a wish about the connection ([`PlainGet`]), for a file that has an end. At anything else (other
//! methods, versions, bodies, upgrades, endless streams, the application's paths, what cannot be parsed) the connection is hyper's from there
//! on, with every byte of that request: hyper decides what is wrong about it, and says so.
//!
//! | clause of RFC 9112 | |
//! |---|---|
//! | §2.2 parsing, §3.2 `Host` | [`PlainGet`] |
//! | §6 a body of a request | hyper |
//! | §7.1 chunked answers | of files in the making |
//! | §9.3 persistence, §9.3.2 pipelining | one request after the other |
//! | §9.6 `Connection: close` | hyper |

pub(crate) mod pages;
mod write;

use std::{io, net::SocketAddr, pin::Pin, time::SystemTime};

use arcly_wire::http::{HEARD, NotPlain, PlainGet, can_end};
use bytes::{Buf, Bytes, BytesMut};
use hyper::{
    Request,
    header::{self, HeaderName, HeaderValue},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::{
    entity::Answer,
    lent::Lent,
    server::{HEADER_BYTES_MAX, HEADER_DEADLINE},
    site::{Site, form},
};
use crate::hls::sent::Counter;

/// Read at least at a time.
const READ_BYTES: usize = 2048;

/// The headers that an answer depends on, in the order of [`HEARD`].
const NAMES: [HeaderName; HEARD.len()] = [
    header::USER_AGENT,
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::IF_NONE_MATCH,
    header::RANGE,
    header::IF_RANGE,
    HeaderName::from_static("sec-fetch-mode"),
];

/// Answers what comes over a connection, as long as it is of that kind. Returns what was read of the first request that is not; none when
/// the connection is over.
pub(super) async fn serve(stream: &mut Lent, site: &Site, peer: SocketAddr, stop: &CancellationToken) -> Option<Bytes> {
    let mut buffer = BytesMut::new();
    let mut waiting = Waiting::new();
    let stopped = stop.cancelled();
    tokio::pin!(stopped);
    loop {
        let (request, head_bytes) = match read(&buffer) {
            Ok(whole) => whole,
            Err(NotPlain::Part) if buffer.len() < HEADER_BYTES_MAX => {
                if !waiting.more(stream, &mut buffer, stopped.as_mut()).await {
                    return None;
                }
                continue;
            }
            Err(_) => return Some(buffer.freeze()),
        };
        let found = tokio::select! {
            // Most answers are there at once.
            biased;
            found = site.file(&request, peer) => found,
            () = gone(stream, &mut buffer) => return None,
        };
        let Some((answer, counter)) = found else { return Some(buffer.freeze()) };
        buffer.advance(head_bytes);
        send(stream, &request, answer, counter).await.ok()?;
        if stop.is_cancelled() {
            return None;
        }
        waiting.since = Instant::now();
    }
}

/// The request that these bytes begin with, and the bytes of its head.
fn read(bytes: &[u8]) -> Result<(Request<()>, usize), NotPlain> {
    let plain = PlainGet::parse(bytes)?;
    let mut request = Request::new(());
    *request.uri_mut() = plain.target.parse().map_err(|_| NotPlain::Other)?;
    for (name, value) in NAMES.iter().zip(plain.heard) {
        let Some(value) = value else { continue };
        let value = HeaderValue::from_bytes(value).map_err(|_| NotPlain::Other)?;
        request.headers_mut().insert(name, value);
    }
    Ok((request, plain.head_bytes))
}

async fn send(stream: &mut Lent, request: &Request<()>, answer: Answer, counter: Option<Counter>) -> io::Result<()> {
    if let Answer::Text(text, kind) = &answer
        && let Some(whole) = text.whole(*kind, request.headers(), SystemTime::now())
    {
        counter.iter().for_each(|counter| counter.add(whole.body_bytes));
        return stream.write_all(&whole.bytes).await;
    }
    let output = counter.as_ref().map(|counter| counter.output().clone());
    write::answer(stream, form(request, answer, counter), output.as_ref().map(|output| output.hot())).await
}

/// Resolves when the peer has left, or has ended its side: nobody waits for the answer then. What it says meanwhile is put behind its request,
/// up to a limit.
async fn gone(stream: &mut Lent, buffer: &mut BytesMut) {
    while buffer.len() < HEADER_BYTES_MAX {
        buffer.reserve(READ_BYTES);
        if !matches!(stream.read_buf(buffer).await, Ok(1..)) {
            return;
        }
    }
    std::future::pending().await
}

/// The time that a peer has for the head of a request. Its timer is set again when it fires, not at each request.
struct Waiting {
    timer: Pin<Box<Sleep>>,
    since: Instant,
}

impl Waiting {
    fn new() -> Self {
        let since = Instant::now();
        Self { timer: Box::pin(sleep_until(since + HEADER_DEADLINE)), since }
    }

    /// Reads on, until what is there may be whole; false when there is nothing more, or it does not come in time, or the server stops.
    async fn more(
        &mut self,
        stream: &mut Lent,
        buffer: &mut BytesMut,
        mut stopped: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> bool {
        loop {
            buffer.reserve(READ_BYTES);
            let known = buffer.len();
            tokio::select! {
                biased;
                read = stream.read_buf(buffer) => {
                    if !matches!(read, Ok(1..)) {
                        return false;
                    }
                    let is_first = known == 0;
                    if is_first || buffer.len() >= HEADER_BYTES_MAX || buffer.get(known..).is_some_and(can_end) {
                        return true;
                    }
                }
                () = self.timer.as_mut() => {
                    let until = self.since + HEADER_DEADLINE;
                    if until <= Instant::now() {
                        return false;
                    }
                    self.timer.as_mut().reset(until);
                }
                () = stopped.as_mut() => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::{
        Inbox,
        http::{Origin, SiteOptions, lent::lend},
        tls::Connection,
    };

    const PLAIN: &str = "GET /live/cam/v0.m3u8?a=b HTTP/1.1\r\nHost: x\r\nUser-Agent: p\r\nOrigin: y\r\n\r\n";

    #[test]
    fn what_is_heard_of_a_request_is_in_its_headers() {
        assert_eq!(NAMES.each_ref().map(HeaderName::as_str), HEARD);
        let lines: String = HEARD.iter().map(|name| format!("{name}: of {name}\r\n")).collect();
        let text = format!("GET /a?b HTTP/1.1\r\nhost: x\r\n{lines}\r\n");
        let (request, head_bytes) = read(text.as_bytes()).unwrap();
        assert_eq!((head_bytes, request.uri().query(), request.headers().len()), (text.len(), Some("b"), HEARD.len()));
        assert!(HEARD.iter().all(|name| request.headers()[*name] == format!("of {name}")));
        // What is no target for hyper's types is hyper's to refuse.
        assert_eq!(read(b"GET /a\xff\xff HTTP/1.1\r\nhost: x\r\n\r\n").err(), Some(NotPlain::Other));
    }

    pub(super) async fn connected() -> (TcpStream, Lent) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (peer, lend(Connection::Plain(listener.accept().await.unwrap().0)).0)
    }

    #[tokio::test]
    async fn requests_are_answered_one_after_the_other_until_one_is_another_ones() {
        let (mut peer, mut stream) = connected().await;
        let runtime = tokio::runtime::Handle::current();
        let site =
            Site::new(&runtime, SiteOptions::default(), Origin::new(), Inbox::new(std::task::Waker::noop().clone()));
        let other = "POST /x HTTP/1.1\r\n";
        peer.write_all(format!("{PLAIN}{PLAIN}{other}").as_bytes()).await.unwrap();
        let address = peer.local_addr().unwrap();
        let served = async { serve(&mut stream, &site, address, &CancellationToken::new()).await };
        let more = async {
            peer.write_all(b"host: x\r\n\r\n").await.unwrap();
            let mut said = vec![0; 4096];
            let mut text = String::new();
            while text.matches("no such stream is live\n").count() < 2 {
                let read = peer.read(&mut said).await.unwrap();
                assert_ne!(read, 0);
                text += std::str::from_utf8(&said[..read]).unwrap();
            }
            text
        };
        let (left, text) = tokio::join!(served, more);
        assert_eq!(left.unwrap(), format!("{other}host: x\r\n\r\n"));
        assert_eq!(text.matches("HTTP/1.1 404 Not Found\r\n").count(), 2);
        assert_eq!((text.matches("content-length: 23\r\n").count(), text.matches("\r\ndate: ").count()), (2, 2));
    }

    #[tokio::test]
    async fn a_head_that_comes_byte_by_byte_is_answered() {
        let (mut peer, mut stream) = connected().await;
        let runtime = tokio::runtime::Handle::current();
        let site =
            Site::new(&runtime, SiteOptions::default(), Origin::new(), Inbox::new(std::task::Waker::noop().clone()));
        let (address, stop) = (peer.local_addr().unwrap(), CancellationToken::new());
        peer.set_nodelay(true).unwrap();
        let saying = async {
            for byte in PLAIN.as_bytes() {
                peer.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            let mut said = [0; 12];
            peer.read_exact(&mut said).await.unwrap();
            drop(peer);
            said
        };
        let (said, left) = tokio::join!(saying, serve(&mut stream, &site, address, &stop));
        assert_eq!((&said, left), (b"HTTP/1.1 404", None));
    }

    #[tokio::test]
    async fn whoever_leaves_is_not_waited_for_and_what_was_said_before_is_kept() {
        let (mut peer, mut stream) = connected().await;
        let mut buffer = BytesMut::from(PLAIN);
        peer.write_all(PLAIN.as_bytes()).await.unwrap();
        drop(peer);
        gone(&mut stream, &mut buffer).await;
        assert_eq!(buffer, format!("{PLAIN}{PLAIN}"));
        // Who says more than is kept is waited for, and is not read.
        let (mut peer, mut stream) = connected().await;
        let mut full = BytesMut::zeroed(HEADER_BYTES_MAX);
        peer.write_all(PLAIN.as_bytes()).await.unwrap();
        drop(peer);
        let mut noop = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::pin::pin!(gone(&mut stream, &mut full)).poll(&mut noop).is_pending());
        assert_eq!(full.len(), HEADER_BYTES_MAX);
    }
}
