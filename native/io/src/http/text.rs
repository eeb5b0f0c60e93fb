//! Playlists and manifests: one text, its forms, and what leaves of them again and again.

use std::{
    io::Write,
    sync::{Arc, Mutex, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hyper::{
    Method, Response, StatusCode,
    header::{self, HeaderMap, HeaderValue},
};

use super::{
    body::Body,
    entity::{Kind, hash, is_known, not_modified, sized, text_of},
    head,
    response::answer,
};
use crate::lock;

/// Smaller texts do not become smaller on the wire.
const GZIP_BYTES_MIN: usize = 512;
/// Of a longer text no whole answer is kept: it is sent in two pieces.
const WHOLE_BYTES_MAX: usize = 16 << 10;

const VARY_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// A text and its other forms: made once, however many ask.
#[derive(Debug)]
pub(crate) struct Text {
    plain: Form,
    gzip: OnceLock<Form>,
}

/// One form of a text. Two forms are two entities.
#[derive(Debug)]
struct Form {
    bytes: Bytes,
    /// By which it is told from others. None of what nobody keeps.
    tag: Option<HeaderValue>,
    whole: Mutex<Option<Whole>>,
}

/// An answer as it leaves over HTTP/1.1. It has a date, so it is one for a second.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    second: u64,
    cache: &'static str,
    pub(crate) bytes: Bytes,
    /// How many of them are the text.
    pub(crate) body_bytes: usize,
}

impl Form {
    fn new(bytes: Bytes, tag: Option<HeaderValue>) -> Self {
        Self { bytes, tag, whole: Mutex::default() }
    }
}

impl Text {
    /// A text that caches may keep.
    pub(crate) fn kept(bytes: Bytes) -> Arc<Self> {
        // Hexadecimal digits are always a value.
        let tag = HeaderValue::from_str(&format!("\"{:016x}\"", hash(&bytes))).ok();
        Arc::new(Self { plain: Form::new(bytes, tag), gzip: OnceLock::new() })
    }

    /// A text that nobody will ask for again.
    pub(crate) fn passing(bytes: impl Into<Bytes>) -> Arc<Self> {
        Arc::new(Self { plain: Form::new(bytes.into(), None), gzip: OnceLock::new() })
    }

    /// As it is.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.plain.bytes
    }

    /// The form that is asked for, and whether it is the compressed one.
    fn form(&self, asked: &HeaderMap) -> (&Form, bool) {
        let is_gzip = self.plain.bytes.len() >= GZIP_BYTES_MIN && takes_gzip(asked);
        (if is_gzip { self.gzip() } else { &self.plain }, is_gzip)
    }

    fn gzip(&self) -> &Form {
        self.gzip.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            // Memory takes everything.
            let written = encoder.write_all(&self.plain.bytes).and_then(|()| encoder.finish());
            let tag = self.plain.tag.as_ref().and_then(|tag| tag.to_str().ok());
            let tag = tag.and_then(|tag| HeaderValue::from_str(&format!("{}-gz\"", tag.trim_end_matches('"'))).ok());
            Form::new(written.map(Bytes::from).unwrap_or_default(), tag)
        })
    }

    /// The answer to a GET with those headers.
    pub(crate) fn answer(&self, kind: Kind, asked: &HeaderMap) -> Response<Body> {
        let (form, is_gzip) = self.form(asked);
        let mut response = match form.tag.as_ref().filter(|tag| is_known(tag, asked)) {
            Some(_) => not_modified(kind),
            None => answer(StatusCode::OK, Body::one(form.bytes.clone()), kind.content_type, kind.cache),
        };
        let headers = response.headers_mut();
        headers.insert(header::VARY, VARY_ENCODING);
        headers.extend(form.tag.as_ref().map(|tag| (header::ETAG, tag.clone())));
        if is_gzip && response.status() == StatusCode::OK {
            response.headers_mut().insert(header::CONTENT_ENCODING, GZIP);
        }
        response
    }

    /// The same over HTTP/1.1, head and all, for whoever asks within the same second; none where it is to be made for one alone.
    pub(crate) fn whole(&self, kind: Kind, asked: &HeaderMap, now: SystemTime) -> Option<Whole> {
        let form = self.form(asked).0;
        let is_shared = form.tag.is_some() && form.bytes.len() <= WHOLE_BYTES_MAX;
        if !is_shared || asked.contains_key(header::IF_NONE_MATCH) {
            return None;
        }
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut known = lock(&form.whole);
        if let Some(whole) = known.as_ref().filter(|whole| whole.second == second && whole.cache == kind.cache) {
            return Some(whole.clone());
        }
        let response = sized(&Method::GET, self.answer(kind, asked));
        let mut bytes = head::written(&response, head::Framing::Sized, now, form.bytes.len());
        bytes.extend_from_slice(&form.bytes);
        let whole = Whole { second, cache: kind.cache, bytes: bytes.into(), body_bytes: form.bytes.len() };
        Some(known.insert(whole).clone())
    }
}

/// Whether `gzip` is acceptable, and not only as what is left (RFC 9110 §12.5.3).
fn takes_gzip(asked: &HeaderMap) -> bool {
    let takes = |offer: &str| {
        let (coding, parameters) = offer.split_once(';').unwrap_or((offer, ""));
        let weight = parameters.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
        coding.trim().eq_ignore_ascii_case("gzip") && weight.is_none_or(|weight| weight > 0.0)
    };
    text_of(asked, header::ACCEPT_ENCODING).split(',').any(takes)
}

#[cfg(test)]
mod tests {
    use std::{io::Read, time::Duration};

    use http_body_util::BodyExt;

    use super::*;

    const PLAYLIST: Kind = Kind { content_type: "application/vnd.apple.mpegurl", cache: "public, max-age=1" };

    fn asked(headers: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[tokio::test]
    async fn playlists_are_compressed_once_for_who_takes_that() {
        let text = Text::kept(Bytes::from("#EXTM3U\n".repeat(200)));
        let mut tags = Vec::new();
        for (encodings, is_gzip) in
            [("gzip, br", true), ("br;q=1.0, gzip;q=0.5", true), ("gzip;q=0", false), ("br", false)]
        {
            let response = text.answer(PLAYLIST, &asked(&[(header::ACCEPT_ENCODING, encodings)]));
            assert_eq!(text_of(response.headers(), header::VARY), "Accept-Encoding");
            assert_eq!(response.headers().contains_key(header::CONTENT_ENCODING), is_gzip, "{encodings}");
            tags.push(text_of(response.headers(), header::ETAG).to_owned());
            let mut bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
            if is_gzip {
                assert!(bytes.len() < text.bytes().len() / 10);
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
                bytes = plain;
            }
            assert_eq!(bytes, text.bytes()[..]);
        }
        assert_eq!((tags[0] == tags[1], tags[2] == tags[3], tags[0] == tags[2]), (true, true, false));
        assert_eq!(tags[0], format!("{}-gz\"", tags[2].trim_end_matches('"')));
    }

    #[test]
    fn a_whole_answer_is_one_for_a_second_a_form_and_who_may_keep_it() {
        let text = Text::kept(Bytes::from("#EXTM3U\n".repeat(100)));
        let (plain, gzip) = (asked(&[]), asked(&[(header::ACCEPT_ENCODING, "gzip")]));
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        let whole = |kind, asked, ms| text.whole(kind, asked, at(ms)).unwrap().bytes;
        let first = whole(PLAYLIST, &plain, 784_111_777_000);
        assert_eq!(whole(PLAYLIST, &plain, 784_111_777_999).as_ptr(), first.as_ptr());
        assert!(first.starts_with(b"HTTP/1.1 200 OK\r\n") && first.ends_with(&text.bytes()[..]));
        let said = String::from_utf8(first.to_vec()).unwrap();
        for line in ["content-length: 800", "cache-control: public, max-age=1", "date: Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(said.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line}");
        }
        let later = whole(PLAYLIST, &plain, 784_111_778_000);
        assert!(String::from_utf8(later.to_vec()).unwrap().contains("08:49:38"));
        let other = Kind { cache: "private, no-cache", ..PLAYLIST };
        assert!(String::from_utf8(whole(other, &plain, 784_111_778_000).to_vec()).unwrap().contains("no-cache"));
        let packed = text.whole(PLAYLIST, &gzip, at(784_111_778_000)).unwrap();
        assert!(packed.bytes.ends_with(&text.gzip().bytes) && packed.body_bytes == text.gzip().bytes.len());
    }

    #[test]
    fn what_is_for_one_alone_has_no_whole_answer() {
        let long = Text::kept(Bytes::from("#EXTM3U\n".repeat(WHOLE_BYTES_MAX / 8 + 1)));
        let known = asked(&[(header::IF_NONE_MATCH, "*")]);
        let now = SystemTime::now();
        assert!(long.whole(PLAYLIST, &asked(&[]), now).is_none());
        assert!(Text::passing("#EXTM3U\n").whole(PLAYLIST, &asked(&[]), now).is_none());
        assert!(Text::kept(Bytes::from("#EXTM3U\n")).whole(PLAYLIST, &known, now).is_none());
    }
}
