//! Requests for files as players make them over plain HTTP/1.1, answered without hyper.
//!
//! A playlist is small, and a third of what it costs was hyper's way of a request through its machines. What is read here is only a GET of
//! HTTP/1.1 without a body and without a wish about the connection, for a file that has an end. At anything else (other methods, versions,
//! bodies, upgrades, endless streams, the application's paths, what cannot be parsed) the connection is hyper's from there on, with every byte
//! of that request: hyper decides what is wrong about it, and says so.
//!
//! | clause of RFC 9112 | |
//! |---|---|
//! | §2.2 parsing | by httparse, as hyper does |
//! | §6 a body of a request | hyper |
//! | §7.1 chunked answers | of files in the making |
//! | §9.3 persistence, §9.3.2 pipelining | one request after the other |
//! | §9.6 `Connection: close` | hyper |

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::SystemTime,
};

use bytes::{Buf, Bytes, BytesMut};
use hyper::{
    Request, Response,
    body::Body as _,
    header::{self, HeaderName, HeaderValue},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::{
    body::Body,
    entity::{Answer, Kind, Text},
    lent::Lent,
    server::{HEADER_BYTES_MAX, HEADER_DEADLINE},
    site::{Site, form},
};
use crate::hls::sent::Counter;

/// Headers of a request; one with more is hyper's.
const HEADERS_MAX: usize = 32;
/// Read at least at a time.
const READ_BYTES: usize = 2048;
/// Room for a head.
const HEAD_BYTES: usize = 512;
/// What is smaller is copied behind its head: one buffer is cheaper for the kernel than two.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// Headers that an answer depends on.
const HEARD: [HeaderName; 6] = [
    header::USER_AGENT,
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::IF_NONE_MATCH,
    header::RANGE,
    header::IF_RANGE,
];

/// Those of them on which its form depends.
const FORMING: [HeaderName; 4] = [header::ACCEPT_ENCODING, header::IF_NONE_MATCH, header::RANGE, header::IF_RANGE];

/// Headers of which nothing is known here.
const FOREIGN: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    header::TE,
    header::TRAILER,
];

/// Answers what comes over a connection, as long as it is of that kind. Returns what was read of the first request that is not; none when
/// the connection is over.
pub(super) async fn serve(stream: &mut Lent, site: &Site, peer: SocketAddr, stop: &CancellationToken) -> Option<Bytes> {
    let mut buffer = BytesMut::new();
    let mut waiting = Waiting::new();
    let stopped = stop.cancelled();
    tokio::pin!(stopped);
    loop {
        let (request, head_bytes) = match parse(&buffer) {
            Ok(whole) => whole,
            Err(Unready::Part) if buffer.len() < HEADER_BYTES_MAX => {
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
        match &answer {
            // Whatever a client asks for besides is one of these.
            Answer::Text(text, kind) if !request.headers().keys().any(|name| FORMING.contains(name)) => {
                write_text(stream, text, *kind, counter.as_ref()).await
            }
            _ => write(stream, form(&request, answer, counter)).await,
        }
        .ok()?;
        if stop.is_cancelled() {
            return None;
        }
        waiting.since = Instant::now();
    }
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

    /// Reads on; false when there is nothing more, or it does not come in time, or the server stops.
    async fn more(
        &mut self,
        stream: &mut Lent,
        buffer: &mut BytesMut,
        mut stopped: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> bool {
        buffer.reserve(READ_BYTES);
        loop {
            tokio::select! {
                biased;
                read = stream.read_buf(buffer) => return matches!(read, Ok(1..)),
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

/// What is no whole request that is answered here.
#[derive(Debug, PartialEq, Eq)]
enum Unready {
    /// It may be the beginning of one.
    Part,
    /// It is something else.
    Other,
}

/// The request that these bytes begin with, and the bytes of its head.
fn parse(bytes: &[u8]) -> Result<(Request<()>, usize), Unready> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let head_bytes = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) => return Err(Unready::Part),
        Err(_) => return Err(Unready::Other),
    };
    let is_plain = parsed.method == Some("GET") && parsed.version == Some(1);
    let target = parsed.path.filter(|target| is_plain && target.starts_with('/'));
    let Some(Ok(target)) = target.map(str::parse) else { return Err(Unready::Other) };
    let mut request = Request::new(());
    *request.uri_mut() = target;
    let mut hosts = 0;
    for found in parsed.headers.iter() {
        let is = |name: &HeaderName| found.name.eq_ignore_ascii_case(name.as_str());
        if FOREIGN.iter().any(is) {
            return Err(Unready::Other);
        }
        hosts += usize::from(is(&header::HOST));
        let Some(name) = HEARD.iter().find(|name| is(name)) else { continue };
        let Ok(value) = HeaderValue::from_bytes(found.value) else { return Err(Unready::Other) };
        request.headers_mut().append(name.clone(), value);
    }
    // §3.2: one, and no more.
    if hosts == 1 { Ok((request, head_bytes)) } else { Err(Unready::Other) }
}

/// A playlist or a manifest as it is: what stands in front of it was written when it was first asked for.
async fn write_text(stream: &mut Lent, text: &Arc<Text>, kind: Kind, counter: Option<&Counter>) -> io::Result<()> {
    let bytes = text.bytes();
    let whole = |response: &Response<Body>| {
        let mut head = head(response, bytes.len());
        head.extend_from_slice(format!("content-length: {}\r\n", bytes.len()).as_bytes());
        head
    };
    let Some(head) = text.head(kind, whole) else {
        let request = Request::new(());
        return write(stream, form(&request, Answer::Text(text.clone(), kind), None)).await;
    };
    let mut out = Vec::with_capacity(head.len() + HEAD_BYTES + bytes.len().min(COPIED_BYTES_MAX));
    out.extend_from_slice(head);
    end_head(&mut out);
    counter.into_iter().for_each(|counter| counter.add(bytes.len()));
    if out.len() + bytes.len() > COPIED_BYTES_MAX {
        return write_pieces(stream, out, vec![bytes.clone()]).await;
    }
    out.extend_from_slice(bytes);
    stream.write_all(&out).await
}

/// The head of an answer up to its date, with room for so many bytes behind it.
fn head(response: &Response<Body>, body_bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + body_bytes.min(COPIED_BYTES_MAX));
    let status = response.status();
    for piece in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or_default(), "\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    for (name, value) in response.headers() {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(piece);
        }
    }
    out
}

fn end_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"date: ");
    out.extend_from_slice(httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
}

async fn write(stream: &mut Lent, response: Response<Body>) -> io::Result<()> {
    let has_no_body = response.status() == hyper::StatusCode::NOT_MODIFIED;
    let exact_bytes = response.body().exact_bytes();
    let mut out = head(&response, exact_bytes.map_or(0, |bytes| bytes as usize));
    let mut body = response.into_body();
    let is_chunked = exact_bytes.is_none() && !has_no_body;
    if is_chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    end_head(&mut out);
    if is_chunked {
        return write_chunks(stream, out, body).await;
    }
    let mut pieces = Vec::new();
    while !has_no_body && let Some(piece) = next(&mut body).await? {
        if pieces.is_empty() && out.len() + piece.len() <= COPIED_BYTES_MAX {
            out.extend_from_slice(&piece);
        } else {
            pieces.push(piece);
        }
    }
    if pieces.is_empty() { stream.write_all(&out).await } else { write_pieces(stream, out, pieces).await }
}

async fn next(body: &mut Body) -> io::Result<Option<Bytes>> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
    // No file has trailers.
    Ok(frame.transpose().map_err(io::Error::other)?.and_then(|frame| frame.into_data().ok()))
}

async fn write_pieces(stream: &mut Lent, head: Vec<u8>, mut pieces: Vec<Bytes>) -> io::Result<()> {
    pieces.insert(0, head.into());
    let mut at = 0;
    while at < pieces.len() {
        let slices: Vec<_> = pieces.iter().skip(at).take(SLICES_MAX).map(|piece| IoSlice::new(piece)).collect();
        let mut written = stream.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        for piece in pieces.iter_mut().skip(at) {
            let taken = written.min(piece.len());
            piece.advance(taken);
            written -= taken;
            if !piece.is_empty() {
                break;
            }
            at += 1;
        }
    }
    Ok(())
}

/// Pieces that the kernel is given at a time.
const SLICES_MAX: usize = 64;

/// §7.1: a piece is sent when it is there.
async fn write_chunks(stream: &mut Lent, head: Vec<u8>, mut body: Body) -> io::Result<()> {
    stream.write_all(&head).await?;
    while let Some(piece) = next(&mut body).await? {
        if !piece.is_empty() {
            let size = format!("{:x}\r\n", piece.len()).into_bytes();
            write_pieces(stream, size, vec![piece, Bytes::from_static(b"\r\n")]).await?;
        }
    }
    stream.write_all(b"0\r\n\r\n").await
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
    fn a_plain_request_is_read_whole_and_its_beginnings_are_waited_for() {
        let (request, bytes) = parse(format!("{PLAIN}GET").as_bytes()).unwrap();
        assert_eq!(
            (bytes, request.uri().path(), request.uri().query()),
            (PLAIN.len(), "/live/cam/v0.m3u8", Some("a=b"))
        );
        assert_eq!((request.headers().len(), &request.headers()["user-agent"]), (1, &HeaderValue::from_static("p")));
        for end in 0..PLAIN.len() {
            assert_eq!(parse(&PLAIN.as_bytes()[..end]).err(), Some(Unready::Part), "{end}");
        }
    }

    #[test]
    fn everything_else_is_left_to_hyper() {
        let with = |header: &str| PLAIN.replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"));
        let many: String = (0..HEADERS_MAX).map(|n| format!("x{n}: y\r\n")).collect();
        for other in [
            PLAIN.replace("GET", "HEAD"),
            PLAIN.replace("GET", "POST"),
            PLAIN.replace("1.1", "1.0"),
            PLAIN.replace("/live", "http://x/live"),
            PLAIN.replace("Host: x\r\n", ""),
            with("host: y"),
            with("Content-Length: 0"),
            with("transfer-encoding: chunked"),
            with("Connection: close"),
            with("Connection: upgrade\r\nupgrade: websocket"),
            with("Expect: 100-continue"),
            with(many.trim_end()),
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
            "\x16\x03\x01\0\r\n\r\n".into(),
        ] {
            assert_eq!(parse(other.as_bytes()).err(), Some(Unready::Other), "{other}");
        }
    }

    async fn connected() -> (TcpStream, Lent) {
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

    /// A body of unknown length.
    struct Frames(std::vec::IntoIter<Bytes>);

    impl hyper::body::Body for Frames {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, hyper::Error>>> {
            std::task::Poll::Ready(self.0.next().map(|piece| Ok(hyper::body::Frame::data(piece))))
        }
    }

    #[tokio::test]
    async fn pieces_and_chunks_arrive_as_they_are() {
        let (mut peer, mut stream) = connected().await;
        let pieces: Vec<Bytes> = (0..200_u8).map(|n| Bytes::from(vec![n; usize::from(n) * 100])).collect();
        let whole = pieces.concat();
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).await.unwrap();
            all
        });
        write(&mut stream, Response::new(Body::many(pieces.clone()))).await.unwrap();
        write(&mut stream, Response::new(Body::stream(Frames(pieces.into_iter())))).await.unwrap();
        drop(stream);
        let all = reading.await.unwrap();
        let at = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(all[at..at + whole.len()], whole);
        let rest = &all[at + whole.len()..];
        let at = rest.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert!(rest[at..].starts_with(b"64\r\n\x01\x01") && rest.ends_with(b"\r\n0\r\n\r\n"));
    }
}
