//! Responses with the headers that every media response carries.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};

use crate::{http::entity::Whole, play::PlayDenial};

pub(crate) type Body = BoxBody<Bytes, hyper::Error>;

/// Media may be played from any page: that is what a media origin is for.
const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");

/// What a page may read besides (Fetch §3.3.6): players estimate the latency by `Date`.
const EXPOSED: HeaderValue = HeaderValue::from_static("Content-Range, Date, ETag");

pub(crate) fn full(
    status: StatusCode,
    body: impl Into<Bytes>,
    content_type: &'static str,
    cache: &'static str,
) -> Response<Body> {
    let bytes = body.into();
    let body = Full::new(bytes.clone()).map_err(|never: Infallible| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if status == StatusCode::OK {
        response.extensions_mut().insert(Whole(vec![bytes]));
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The body that a HEAD leaves out and of which nobody knows the length, so that none is said.
pub(crate) struct Unsaid;

impl hyper::body::Body for Unsaid {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, hyper::Error>>> {
        Poll::Ready(None)
    }
}

/// Bytes that lie in several pieces, of which the sum is known.
pub(crate) struct Pieces {
    pieces: std::vec::IntoIter<Bytes>,
    left: u64,
}

impl Pieces {
    pub(crate) fn new(pieces: Vec<Bytes>) -> Self {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces: pieces.into_iter(), left }
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, hyper::Error>>> {
        let piece = self.pieces.next();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(hyper::body::Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.left)
    }
}

/// A whole file of media.
pub(crate) fn media(pieces: Vec<Bytes>, content_type: &'static str, cache: &'static str) -> Response<Body> {
    let mut response = endless(Pieces::new(pieces.clone()).boxed(), content_type, cache);
    response.extensions_mut().insert(Whole(pieces));
    response
}

/// An answer without an end.
pub(crate) fn endless(body: Body, content_type: &'static str, cache: &'static str) -> Response<Body> {
    let mut response = full(StatusCode::OK, Bytes::new(), content_type, cache);
    response.extensions_mut().remove::<Whole>();
    *response.body_mut() = body;
    response
}

/// A refusal that a person can read. Never cached: the stream may be there a second later.
pub(crate) fn error(status: StatusCode, text: &'static str) -> Response<Body> {
    full(status, format!("{text}\n"), "text/plain; charset=utf-8", "no-store")
}

/// What a viewer is told who may not play.
pub(crate) fn denied(denial: PlayDenial) -> Response<Body> {
    match denial {
        PlayDenial::Unauthenticated => {
            let mut response = error(StatusCode::UNAUTHORIZED, "this stream needs a token");
            // A 401 must name a scheme (RFC 9110 §11.6.1).
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
        PlayDenial::Forbidden => error(StatusCode::FORBIDDEN, "you may not play this stream"),
        PlayDenial::NotFound => error(StatusCode::NOT_FOUND, "no such stream is live"),
        PlayDenial::Failed => error(StatusCode::SERVICE_UNAVAILABLE, "nobody decided whether you may play this stream"),
    }
}

/// The answer to a CORS preflight (Fetch §3.3.5) or to a plain OPTIONS.
pub(crate) fn options() -> Response<Body> {
    let mut response = full(StatusCode::NO_CONTENT, Bytes::new(), "text/plain; charset=utf-8", "no-store");
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.insert(header::ALLOW, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers
        .insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Range, If-None-Match, Authorization"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

pub(crate) fn method_not_allowed() -> Response<Body> {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "media is fetched with GET");
    response.headers_mut().insert(header::ALLOW, METHODS);
    response
}

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// A body that comes from the application, passed on as it arrives.
pub(crate) fn streamed(response: Response<Incoming>) -> Response<Body> {
    response.map(BodyExt::boxed)
}
