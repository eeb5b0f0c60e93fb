//! What of a file a request is answered with: all of it, a range, a compressed form, or nothing because it is known already.
//!
//! | clause of RFC 9110 | |
//! |---|---|
//! | §8.8.3 ETag, §13.1.2 If-None-Match, §15.4.5 304 | done |
//! | §14 ranges: one, §13.1.5 If-Range | done; several at once are answered with all of it, which §14.2 allows |
//! | §12.5.3 Accept-Encoding: gzip | done, for playlists |

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use hyper::{
    Method, Response, StatusCode,
    header::{self, HeaderMap, HeaderValue},
};

use super::{
    body::Body,
    response::{answer, error},
    text::Text,
};

/// What there is for a request, before it is known which form of it is wanted.
pub(crate) enum Answer {
    /// A playlist or a manifest.
    Text(Arc<Text>, Kind),
    /// Media whose name was never used before and never will be again, in pieces.
    Media(Vec<Bytes>, Kind),
    /// An answer that has one form only.
    Said(Response<Body>),
}

/// What something is, and who may keep it for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) content_type: &'static str,
    pub(crate) cache: &'static str,
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        Self::Said(response)
    }
}

/// Gives of `answer`, which is for `path`, what the request asks for.
pub(crate) fn negotiate(method: &Method, path: &str, asked: &HeaderMap, answer: Answer) -> Response<Body> {
    match answer {
        Answer::Said(response) => response,
        Answer::Text(text, kind) => text.answer(kind, asked),
        Answer::Media(pieces, kind) => segment(pieces, kind, method, path, asked),
    }
}

/// Says the length, where it is known, and leaves the body out where only the head was asked for: hyper does so for HTTP/1 alone.
pub(super) fn sized(method: &Method, mut response: Response<Body>) -> Response<Body> {
    let can_have_body = !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(bytes) = response.body().exact_bytes().filter(|_| can_have_body) {
        response.headers_mut().insert(header::CONTENT_LENGTH, bytes.into());
    }
    if *method == Method::HEAD {
        *response.body_mut() = Body::UNSAID;
    }
    response
}

const BYTES: HeaderValue = HeaderValue::from_static("bytes");

fn segment(pieces: Vec<Bytes>, kind: Kind, method: &Method, path: &str, asked: &HeaderMap) -> Response<Body> {
    // Its name says which bytes these are.
    let tag = format!("\"{:016x}\"", hash(path.as_bytes()));
    let Ok(tag) = HeaderValue::from_maybe_shared(Bytes::from(tag)) else { return not_modified(kind) };
    let mut response =
        if is_known(&tag, asked) { not_modified(kind) } else { ranged(pieces, kind, method, &tag, asked) };
    if response.status() != StatusCode::RANGE_NOT_SATISFIABLE {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn ranged(pieces: Vec<Bytes>, kind: Kind, method: &Method, tag: &HeaderValue, asked: &HeaderMap) -> Response<Body> {
    let is_same = asked.get(header::IF_RANGE).is_none_or(|known| known == tag);
    let range = asked.get(header::RANGE).filter(|_| is_same && *method == Method::GET);
    let range = range.and_then(|range| range.to_str().ok());
    let total = pieces.iter().map(Bytes::len).sum();
    let (status, said, pieces) = match range.and_then(|range| byte_range(range, total)) {
        None => (StatusCode::OK, None, pieces),
        Some(Ok(range)) => {
            let said = format!("bytes {}-{}/{total}", range.start, range.end.saturating_sub(1));
            (StatusCode::PARTIAL_CONTENT, Some(said), cut(pieces, range))
        }
        Some(Err(())) => {
            let mut refusal = error(StatusCode::RANGE_NOT_SATISFIABLE, "there are not so many bytes");
            put(refusal.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{total}"));
            return refusal;
        }
    };
    let mut response = answer(status, Body::many(pieces), kind.content_type, kind.cache);
    response.headers_mut().insert(header::ACCEPT_RANGES, BYTES);
    if let Some(said) = said {
        put(response.headers_mut(), header::CONTENT_RANGE, &said);
    }
    response
}

/// Whether the client has the entity with that tag already: by the weak comparison (§13.1.2).
pub(super) fn is_known(tag: &HeaderValue, asked: &HeaderMap) -> bool {
    let Some(known) = asked.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok()) else { return false };
    let is_it = |known: &str| known == "*" || known.strip_prefix("W/").unwrap_or(known).as_bytes() == tag.as_bytes();
    known.split(',').map(str::trim).any(is_it)
}

pub(super) fn not_modified(kind: Kind) -> Response<Body> {
    let mut known = answer(StatusCode::NOT_MODIFIED, Body::UNSAID, kind.content_type, kind.cache);
    known.headers_mut().remove(header::CONTENT_TYPE);
    known
}

/// One range of `total` bytes (§14.1.2); `None` where the header is to be passed over, an error where nothing of it is there.
fn byte_range(text: &str, total: usize) -> Option<Result<Range<usize>, ()>> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let range = match (first.trim(), last.trim()) {
        // A list of ranges has a comma in what is no number then.
        ("", suffix) => total.saturating_sub(number(suffix)?)..total,
        (first, "") => number(first)?..total,
        (first, last) => number(first)?..number(last)?.saturating_add(1).min(total),
    };
    let is_backwards =
        !last.trim().is_empty() && number(last).zip(number(first)).is_some_and(|(last, first)| last < first);
    if is_backwards {
        return None;
    }
    Some(if range.start < range.end { Ok(range) } else { Err(()) })
}

fn cut(pieces: Vec<Bytes>, range: Range<usize>) -> Vec<Bytes> {
    let mut at = 0;
    let mut part = |piece: Bytes| {
        let (start, end) = (at, at + piece.len());
        at = end;
        let (first, last) = (range.start.clamp(start, end), range.end.clamp(start, end));
        (first < last).then(|| piece.slice(first - start..last - start))
    };
    pieces.into_iter().filter_map(&mut part).collect()
}

pub(super) fn text_of(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn put(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    // Hexadecimal digits and numbers are always a value.
    headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
}

pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    const PLAYLIST: Kind = Kind { content_type: "application/vnd.apple.mpegurl", cache: "public, max-age=1" };
    const SEGMENT: Kind = Kind { content_type: "video/mp4", cache: "public, max-age=3600, immutable" };

    fn asked(headers: &[(header::HeaderName, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    async fn body(response: Response<Body>) -> Vec<u8> {
        response.into_body().collect().await.unwrap().to_bytes().to_vec()
    }

    fn of_segment(headers: &[(header::HeaderName, &str)]) -> Response<Body> {
        let pieces = [&b"0123"[..], b"45", b"6789"].map(Bytes::from_static).to_vec();
        negotiate(&Method::GET, "/live/cam/a-1.m4s", &asked(headers), Answer::Media(pieces, SEGMENT))
    }

    #[tokio::test]
    async fn one_range_is_given_and_what_is_none_is_passed_over() {
        for (range, status, bytes, said) in [
            ("bytes=0-0", 206, &b"0"[..], "bytes 0-0/10"),
            ("bytes=3-6", 206, b"3456", "bytes 3-6/10"),
            ("bytes=8-", 206, b"89", "bytes 8-9/10"),
            ("bytes=-3", 206, b"789", "bytes 7-9/10"),
            ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
            ("bytes=4-99", 206, b"456789", "bytes 4-9/10"),
            ("bytes=5-2", 200, b"0123456789", ""),
            ("bytes=0-1,4-5", 200, b"0123456789", ""),
            ("seconds=1-2", 200, b"0123456789", ""),
            ("bytes=x-", 200, b"0123456789", ""),
        ] {
            let response = of_segment(&[(header::RANGE, range)]);
            assert_eq!(response.status(), status, "{range}");
            assert_eq!(text_of(response.headers(), header::CONTENT_RANGE), said, "{range}");
            assert_eq!(body(response).await, bytes, "{range}");
        }
        for range in ["bytes=10-", "bytes=-0", "bytes=99-100"] {
            let response = of_segment(&[(header::RANGE, range)]);
            assert_eq!(response.status(), 416, "{range}");
            assert_eq!(text_of(response.headers(), header::CONTENT_RANGE), "bytes */10");
        }
    }

    #[tokio::test]
    async fn a_range_of_another_entity_is_all_of_this_one() {
        let tag = text_of(of_segment(&[]).headers(), header::ETAG).to_owned();
        let range = (header::RANGE, "bytes=0-1");
        assert_eq!(of_segment(&[range.clone(), (header::IF_RANGE, &tag)]).status(), 206);
        assert_eq!(of_segment(&[range, (header::IF_RANGE, "\"other\"")]).status(), 200);
    }

    #[tokio::test]
    async fn what_the_client_has_is_not_sent_again() {
        let tag = text_of(of_segment(&[]).headers(), header::ETAG).to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".into()] {
            let response = of_segment(&[(header::IF_NONE_MATCH, &known)]);
            assert_eq!(response.status(), 304, "{known}");
            assert_eq!(text_of(response.headers(), header::ETAG), tag);
            assert!(response.headers().contains_key(header::CACHE_CONTROL));
            assert!(body(response).await.is_empty());
        }
        assert_eq!(of_segment(&[(header::IF_NONE_MATCH, "\"x\"")]).status(), 200);
    }

    #[tokio::test]
    async fn what_belongs_to_one_viewer_has_no_tag() {
        let answer = Answer::Text(Text::passing("#EXTM3U\n"), PLAYLIST);
        let response = negotiate(&Method::GET, "/x", &HeaderMap::new(), answer);
        assert!(!response.headers().contains_key(header::ETAG));
        assert_eq!(body(response).await, b"#EXTM3U\n");
    }
}
