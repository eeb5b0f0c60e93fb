//! Answers on their way over HTTP/1.1: what is small in one piece, what is large without a copy of ours, what many fetch without one of the
//! kernel's, what grows in chunks.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    time::SystemTime,
};

use bytes::{Buf, Bytes};
use hyper::{Response, StatusCode, body::Body as _};
use tokio::io::AsyncWriteExt;

use super::pages::Hot;
use crate::http::{
    body::Body,
    given::Given,
    head::{self, Framing},
    lent::Lent,
};

/// What is smaller is copied behind its head: one buffer is cheaper for the kernel than two.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// Pieces that the kernel is given at a time.
const SLICES_MAX: usize = 64;

/// Sends `response`, which has its length where that is known. `hot` knows what many fetch.
pub(super) async fn answer(stream: &mut Lent, response: Response<Body>, hot: Option<&Hot>) -> io::Result<()> {
    let has_no_body = response.status() == StatusCode::NOT_MODIFIED;
    let exact_bytes = response.body().exact_bytes();
    let is_chunked = exact_bytes.is_none() && !has_no_body;
    let framing = if is_chunked { Framing::Chunked } else { Framing::Sized };
    let room = exact_bytes.map_or(0, |bytes| bytes as usize).min(COPIED_BYTES_MAX);
    let mut out = head::written(&response, framing, SystemTime::now(), room);
    let mut body = response.into_body();
    if is_chunked {
        return chunks(stream, out, body).await;
    }
    let mut large = Vec::new();
    while !has_no_body && let Some(piece) = next(&mut body).await? {
        if large.is_empty() && out.len() + piece.len() <= COPIED_BYTES_MAX {
            out.extend_from_slice(&piece);
        } else {
            large.push(piece);
        }
    }
    if let [whole] = &*large
        && let Some(pages) = hot.and_then(|hot| hot.pages(whole))
    {
        return stream.send_file(&out, &pages, whole.len()).await;
    }
    if large.is_empty() { stream.write_all(&out).await } else { pieces(stream, out, large).await }
}

async fn next(body: &mut Body) -> io::Result<Option<Bytes>> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
    // No file has trailers.
    Ok(frame.transpose()?.and_then(|frame| frame.into_data().ok()).map(Given::into_bytes))
}

async fn pieces(stream: &mut Lent, head: Vec<u8>, mut pieces: Vec<Bytes>) -> io::Result<()> {
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

/// RFC 9112 §7.1: a piece is sent when it is there.
async fn chunks(stream: &mut Lent, head: Vec<u8>, mut body: Body) -> io::Result<()> {
    stream.write_all(&head).await?;
    while let Some(piece) = next(&mut body).await? {
        if !piece.is_empty() {
            let size = format!("{:x}\r\n", piece.len()).into_bytes();
            pieces(stream, size, vec![piece, Bytes::from_static(b"\r\n")]).await?;
        }
    }
    stream.write_all(b"0\r\n\r\n").await
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::http::quick::tests::connected;

    /// A body of unknown length.
    struct Frames(std::vec::IntoIter<Bytes>);

    impl hyper::body::Body for Frames {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, io::Error>>> {
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
        answer(&mut stream, Response::new(Body::many(pieces.clone())), None).await.unwrap();
        answer(&mut stream, Response::new(Body::stream(Frames(pieces.into_iter()))), None).await.unwrap();
        drop(stream);
        let all = reading.await.unwrap();
        let at = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(all[at..at + whole.len()], whole);
        let rest = &all[at + whole.len()..];
        let at = rest.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert!(rest[at..].starts_with(b"64\r\n\x01\x01") && rest.ends_with(b"\r\n0\r\n\r\n"));
    }

    #[tokio::test]
    async fn what_many_fetch_arrives_as_it_is() {
        let (mut peer, mut stream) = connected().await;
        // More than a socket takes at once, and nothing that repeats.
        let part: Bytes = (0..400_000_u32).flat_map(u32::to_le_bytes).collect();
        let (hot, times) = (Hot::default(), 12);
        let expected = part.clone();
        let reading = tokio::spawn(async move {
            let (mut all, mut bodies) = (Vec::new(), 0);
            peer.read_to_end(&mut all).await.unwrap();
            let mut rest = &all[..];
            while !rest.is_empty() {
                let at = rest.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
                assert!(rest.starts_with(b"HTTP/1.1 200 OK\r\n") && rest[at..].starts_with(&expected));
                rest = &rest[at + expected.len()..];
                bodies += 1;
            }
            bodies
        });
        for _ in 0..times {
            answer(&mut stream, Response::new(Body::one(part.clone())), Some(&hot)).await.unwrap();
        }
        assert_eq!(hot.pages(&part).is_some(), cfg!(target_os = "linux"));
        drop(stream);
        assert_eq!(reading.await.unwrap(), times);
    }
}
