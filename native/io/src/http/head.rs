//! What stands in front of a body over HTTP/1.1.

use std::time::SystemTime;

use hyper::Response;

/// Room for a head.
const HEAD_BYTES: usize = 512;

/// How the end of a body is told (RFC 9112 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its length, which is among the headers, or by there being none.
    Sized,
    /// By chunks.
    Chunked,
}

/// The head of `response`, with room for so many bytes behind it.
pub(super) fn written<B>(response: &Response<B>, framing: Framing, now: SystemTime, room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + room);
    let status = response.status();
    for piece in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or_default(), "\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    for (name, value) in response.headers() {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(piece);
        }
    }
    if framing == Framing::Chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"date: ");
    out.extend_from_slice(httpdate::fmt_http_date(now).as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out
}
