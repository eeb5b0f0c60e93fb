//! What of a file a request is answered with: all of it, a range, a compressed form, or nothing because it is known already.
//!
//! | clause of RFC 9110 | |
//! |---|---|
//! | §8.8.3 ETag, §13.1.2 If-None-Match, §15.4.5 304 | done |
//! | §14 ranges: one, §13.1.5 If-Range | done; several at once are answered with all of it, which §14.2 allows |
//! | §12.5.3 Accept-Encoding: gzip | done, for playlists |

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    ops::Range,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::BodyExt;
use hyper::{
    Method, Response, StatusCode,
    header::{self, HeaderMap, HeaderValue},
};

use super::response::{Body, Pieces, Unsaid, error};

/// The bytes of an answer, for whoever makes a part or another form of it. Travels beside the body.
#[derive(Debug, Clone)]
pub(crate) struct Whole(pub(crate) Vec<Bytes>);

/// Smaller texts do not become smaller on the wire.
const GZIP_BYTES_MIN: usize = 512;
/// Playlists of which tag and compressed form are kept: two for each track of a hundred streams.
const TEXTS_MAX: usize = 256;

/// Tags and compressed forms of playlists: made once, however many ask.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    made: Mutex<VecDeque<Arc<Text>>>,
}

/// A playlist and what was made of it.
#[derive(Debug)]
struct Text {
    /// Held, so that its address is nobody else's.
    bytes: Bytes,
    tag: u64,
    gzip: OnceLock<Bytes>,
}

impl Text {
    fn new(bytes: Bytes) -> Self {
        Self { tag: hash(&bytes), bytes, gzip: OnceLock::new() }
    }

    fn gzip(&self) -> &Bytes {
        self.gzip.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            // Memory takes everything.
            let written = encoder.write_all(&self.bytes).and_then(|()| encoder.finish());
            written.map(Bytes::from).unwrap_or_default()
        })
    }
}

impl Texts {
    /// What is known of `bytes`, which are told by where they lie: a playlist is one buffer for all who ask.
    fn of(&self, bytes: &Bytes) -> Arc<Text> {
        let is_it = |text: &&Arc<Text>| text.bytes.as_ptr() == bytes.as_ptr() && text.bytes.len() == bytes.len();
        let find = |made: &VecDeque<Arc<Text>>| made.iter().rev().find(is_it).cloned();
        if let Some(known) = find(&self.lock()) {
            return known;
        }
        let text = Arc::new(Text::new(bytes.clone()));
        let mut made = self.lock();
        if let Some(known) = find(&made) {
            return known;
        }
        if made.len() >= TEXTS_MAX {
            made.pop_front();
        }
        made.push_back(text.clone());
        text
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Text>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives of `response`, which is the whole answer for `path`, what the request asks for.
pub(crate) fn negotiate(
    texts: &Texts,
    method: &Method,
    path: &str,
    asked: &HeaderMap,
    mut response: Response<Body>,
) -> Response<Body> {
    let Some(Whole(pieces)) = response.extensions_mut().remove() else { return response };
    if response.status() != StatusCode::OK {
        return response;
    }
    let cache = text_of(response.headers(), header::CACHE_CONTROL);
    let is_kept = !cache.contains("no-store");
    match pieces.as_slice() {
        [bytes] if is_text(response.headers()) => {
            let text = if is_kept { texts.of(bytes) } else { Arc::new(Text::new(bytes.clone())) };
            playlist(&text, is_kept, asked, response)
        }
        _ if is_kept => segment(pieces, method, path, asked, response),
        _ => response,
    }
}

fn playlist(text: &Text, is_kept: bool, asked: &HeaderMap, mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let is_gzip = text.bytes.len() >= GZIP_BYTES_MIN && takes_gzip(asked);
    if is_kept {
        // Two forms are two entities.
        let tag = format!("\"{:016x}{}\"", text.tag, if is_gzip { "-gz" } else { "" });
        if let Some(known) = not_modified(&tag, asked, &mut response) {
            return known;
        }
    }
    if is_gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        *response.body_mut() = Pieces::new(vec![text.gzip().clone()]).boxed();
    }
    response
}

fn segment(
    pieces: Vec<Bytes>,
    method: &Method,
    path: &str,
    asked: &HeaderMap,
    mut response: Response<Body>,
) -> Response<Body> {
    // Its name was never used before and never will be again: it says which bytes these are.
    let tag = format!("\"{:016x}\"", hash(path.as_bytes()));
    if let Some(known) = not_modified(&tag, asked, &mut response) {
        return known;
    }
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let is_same = text_of(asked, header::IF_RANGE);
    let range = text_of(asked, header::RANGE);
    if range.is_empty() || *method != Method::GET || !(is_same.is_empty() || is_same == tag) {
        return response;
    }
    let total = pieces.iter().map(Bytes::len).sum();
    match byte_range(range, total) {
        None => response,
        Some(Err(())) => {
            let mut refusal = error(StatusCode::RANGE_NOT_SATISFIABLE, "there are not so many bytes");
            put(refusal.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{total}"));
            refusal
        }
        Some(Ok(range)) => {
            let said = format!("bytes {}-{}/{total}", range.start, range.end.saturating_sub(1));
            put(response.headers_mut(), header::CONTENT_RANGE, &said);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            *response.body_mut() = Pieces::new(cut(pieces, range)).boxed();
            response
        }
    }
}

/// Says the tag; where the client has the entity already, the answer is that.
fn not_modified(tag: &str, asked: &HeaderMap, response: &mut Response<Body>) -> Option<Response<Body>> {
    put(response.headers_mut(), header::ETAG, tag);
    let known = text_of(asked, header::IF_NONE_MATCH);
    // The weak comparison (§13.1.2).
    let is_it = |known: &str| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag;
    if !known.split(',').map(str::trim).any(is_it) {
        return None;
    }
    let mut known = std::mem::take(response);
    *known.status_mut() = StatusCode::NOT_MODIFIED;
    known.headers_mut().remove(header::CONTENT_TYPE);
    *known.body_mut() = Unsaid.boxed();
    Some(known)
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

fn is_text(headers: &HeaderMap) -> bool {
    let kind = text_of(headers, header::CONTENT_TYPE);
    kind.contains("mpegurl") || kind.contains("xml")
}

/// Whether `gzip` is acceptable, and not only as what is left (§12.5.3).
fn takes_gzip(asked: &HeaderMap) -> bool {
    let takes = |offer: &str| {
        let (coding, parameters) = offer.split_once(';').unwrap_or((offer, ""));
        let weight = parameters.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
        coding.trim().eq_ignore_ascii_case("gzip") && weight.is_none_or(|weight| weight > 0.0)
    };
    text_of(asked, header::ACCEPT_ENCODING).split(',').any(takes)
}

fn text_of(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn put(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    // Hexadecimal digits and numbers are always a value.
    headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::http::response::{full, media};

    const PLAYLIST: &str = "application/vnd.apple.mpegurl";

    fn asked(headers: &[(header::HeaderName, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    async fn body(response: Response<Body>) -> Vec<u8> {
        response.into_body().collect().await.unwrap().to_bytes().to_vec()
    }

    fn of_segment(headers: &[(header::HeaderName, &str)]) -> Response<Body> {
        let pieces = [&b"0123"[..], b"45", b"6789"].map(Bytes::from_static).to_vec();
        let response = media(pieces, "video/mp4", "public, max-age=3600, immutable");
        negotiate(&Texts::default(), &Method::GET, "/live/cam/a-1.m4s", &asked(headers), response)
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
    async fn playlists_are_compressed_once_for_who_takes_that() {
        let (texts, text) = (Texts::default(), Bytes::from("#EXTM3U\n".repeat(200)));
        let answer = |encodings: &str| {
            let response = full(StatusCode::OK, text.clone(), PLAYLIST, "public, max-age=1");
            let asked = asked(&[(header::ACCEPT_ENCODING, encodings)]);
            negotiate(&texts, &Method::GET, "/live/cam/v0.m3u8", &asked, response)
        };
        let mut tags = Vec::new();
        for (encodings, is_gzip) in
            [("gzip, br", true), ("br;q=1.0, gzip;q=0.5", true), ("gzip;q=0", false), ("br", false)]
        {
            let response = answer(encodings);
            assert_eq!(text_of(response.headers(), header::VARY), "Accept-Encoding");
            assert_eq!(response.headers().contains_key(header::CONTENT_ENCODING), is_gzip, "{encodings}");
            tags.push(text_of(response.headers(), header::ETAG).to_owned());
            let mut bytes = body(response).await;
            if is_gzip {
                assert!(bytes.len() < text.len() / 10);
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
                bytes = plain;
            }
            assert_eq!(bytes, text);
        }
        assert_eq!((tags[0] == tags[1], tags[2] == tags[3], tags[0] == tags[2]), (true, true, false));
        assert_eq!(texts.lock().len(), 1);
        for n in 0..2 * TEXTS_MAX {
            texts.of(&Bytes::from(format!("{n}")));
        }
        assert_eq!(texts.lock().len(), TEXTS_MAX);
    }

    #[tokio::test]
    async fn what_belongs_to_one_viewer_has_no_tag() {
        let response = full(StatusCode::OK, "#EXTM3U\n", PLAYLIST, "private, no-store");
        let response = negotiate(&Texts::default(), &Method::GET, "/x", &HeaderMap::new(), response);
        assert!(!response.headers().contains_key(header::ETAG));
        assert_eq!(body(response).await, b"#EXTM3U\n");
    }
}
