//! Responses with the headers that every media response carries.

use std::io;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Method, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderMap, HeaderValue},
};

pub(crate) use super::body::Body;
use crate::play::PlayDenial;

/// Media may be played from any page: that is what a media origin is for.
const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");

/// What a page may read besides (Fetch §3.3.6): players estimate the latency by `Date`.
const EXPOSED: HeaderValue = HeaderValue::from_static("Content-Range, Date, ETag");

/// What a page may ask with (Fetch §3.3.5): players tell by headers how they fare (CTA-5004 §3), and a browser asks for nothing where these are
/// not allowed.
const ASKED_WITH: HeaderValue = HeaderValue::from_static(
    "Range, If-None-Match, Authorization, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status",
);

const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Headers of an answer: room for all of them at once.
const HEADERS: usize = 12;

/// An answer with the headers that all have.
pub(crate) fn answer(
    status: StatusCode,
    body: Body,
    content_type: &'static str,
    cache: &'static str,
) -> Response<Body> {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// An answer that is all there.
pub(crate) fn full(
    status: StatusCode,
    body: impl Into<Bytes>,
    content_type: &'static str,
    cache: &'static str,
) -> Response<Body> {
    answer(status, Body::one(body.into()), content_type, cache)
}

/// An answer without an end.
pub(crate) fn endless(body: Body, content_type: &'static str, cache: &'static str) -> Response<Body> {
    answer(StatusCode::OK, body, content_type, cache)
}

/// A refusal that a person can read. Never cached: the stream may be there a second later.
pub(crate) fn error(status: StatusCode, text: &'static str) -> Response<Body> {
    full(status, format!("{text}\n"), "text/plain; charset=utf-8", "no-store")
}

/// What a viewer is told who may not play.
pub(crate) fn denied(denial: PlayDenial) -> Response<Body> {
    match denial {
        PlayDenial::Unauthenticated => {
            let mut response = error(StatusCode::UNAUTHORIZED, "this stream needs a token, or a name and a password");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
            response
        }
        PlayDenial::Forbidden => error(StatusCode::FORBIDDEN, "you may not play this stream"),
        PlayDenial::NotFound => error(StatusCode::NOT_FOUND, "no such stream is live"),
        PlayDenial::Failed => error(StatusCode::SERVICE_UNAVAILABLE, "nobody decided whether you may play this stream"),
    }
}

/// The answer to a CORS preflight (Fetch §3.3.5) or to a plain OPTIONS.
fn options() -> Response<Body> {
    let mut response = full(StatusCode::NO_CONTENT, Bytes::new(), "text/plain; charset=utf-8", "no-store");
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.insert(header::ALLOW, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ASKED_WITH);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

/// The answer to a request for media by which none is fetched; none to a GET or HEAD.
pub(crate) fn no_fetch(method: &Method) -> Option<Response<Body>> {
    match *method {
        Method::GET | Method::HEAD => None,
        Method::OPTIONS => Some(options()),
        _ => Some(method_not_allowed()),
    }
}

fn method_not_allowed() -> Response<Body> {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "media is fetched with GET");
    response.headers_mut().insert(header::ALLOW, METHODS);
    response
}

/// Whether a script of a page asks. Browsers say of a request what it is for (Fetch Metadata §2.2).
pub(crate) fn is_script(asked: &HeaderMap) -> bool {
    asked.get("sec-fetch-mode").is_some_and(|mode| mode != "navigate")
}

/// Scripts are not asked for a password: the browser would ask whoever looks at the page, and let the script wait.
pub(crate) fn spare_scripts(is_script: bool, mut response: Response<Body>) -> Response<Body> {
    if is_script && response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A 401 names the schemes that will do (RFC 9110 §11.6.1). Players keep the password that they have until one asks for it by Basic, with its
/// realm (RFC 7617 §2), and FFmpeg finds it in front only.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"arcly\", Bearer");

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// A body that comes from the application, passed on as it arrives.
pub(crate) fn streamed(response: Response<Incoming>) -> Response<Body> {
    response.map(|body| Body::stream(body.map_err(io::Error::other)))
}
