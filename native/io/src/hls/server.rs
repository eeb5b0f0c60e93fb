//! HLS over HTTP: which file of which stream, and the headers that let players and caches do right.

use std::{sync::Arc, time::Duration};

use arcly_pack::hls::HlsView;
use bytes::Bytes;
use hyper::{Response, StatusCode};

use crate::{
    Inbox,
    hls::HlsOutput,
    http::response::{Body, denied, error, full},
    play::{PlayAsk, ask},
};

/// How long the first viewer of a new stream is held while its first segment is being made.
const FIRST_SEGMENT_DEADLINE: Duration = Duration::from_secs(15);

const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl"; // RFC 8216 §4
const SEGMENT_TYPE: &str = "video/mp2t";

/// A multivariant playlist names one viewer's session: no cache may hand it to another.
const CACHE_MULTIVARIANT: &str = "private, no-store";
/// A media playlist changes with every segment.
const CACHE_PLAYLIST: &str = "no-cache";
/// A segment never changes and its name is never used again.
const CACHE_SEGMENT: &str = "public, max-age=3600, immutable";

/// A file of the HLS presentation of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum File {
    /// `index.m3u8`
    Multivariant,
    /// `media.m3u8`
    Media,
    /// `3f9a1c-17.ts`
    Segment(String),
}

impl File {
    /// The file with that name; none when HLS has no such file.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "index.m3u8" => Some(Self::Multivariant),
            "media.m3u8" => Some(Self::Media),
            _ => name.ends_with(".ts").then(|| Self::Segment(name.to_owned())),
        }
    }
}

/// Who must be asked before somebody plays, and who asks; none when everybody may.
pub(crate) type Gate<'a> = Option<(&'a Inbox, PlayAsk)>;

/// Answers a GET or HEAD for `file`; `query` is the raw text behind `?`.
///
/// With a gate a viewer is judged once, when it asks for the multivariant playlist. The session that it is given there opens the
/// media playlist; segments have names that only a media playlist tells.
pub(crate) async fn serve(output: Arc<HlsOutput>, file: File, query: &str, gate: Gate<'_>) -> Response<Body> {
    let gated = gate.is_some();
    match (&file, gate) {
        (File::Multivariant, Some((inbox, asked))) => {
            if let Err(denial) = ask(inbox, asked).await {
                return denied(denial);
            }
        }
        (File::Media, Some(_)) if !session(query).is_some_and(|session| output.knows_session(session)) => {
            return error(StatusCode::FORBIDDEN, "no such session: begin with index.m3u8");
        }
        _ => {}
    }
    match file {
        File::Multivariant => match output.first_view(FIRST_SEGMENT_DEADLINE).await {
            Some(view) => multivariant(&output, &view, gated),
            None => error(StatusCode::NOT_FOUND, "the stream has no complete segment yet"),
        },
        File::Media => match output.first_view(FIRST_SEGMENT_DEADLINE).await {
            Some(view) => media(&output, &view, query),
            None => error(StatusCode::NOT_FOUND, "the stream has no complete segment yet"),
        },
        File::Segment(name) => match output.view().and_then(|view| view.segment(&name).cloned()) {
            Some(bytes) => counted(&output, bytes, SEGMENT_TYPE, CACHE_SEGMENT),
            None => error(StatusCode::NOT_FOUND, "no such segment: it is too old, or was never made"),
        },
    }
}

fn multivariant(output: &Arc<HlsOutput>, view: &HlsView, gated: bool) -> Response<Body> {
    let session = if gated { output.admit_session() } else { Some(output.open_session()) };
    let Some(session) = session else {
        return error(StatusCode::SERVICE_UNAVAILABLE, "too many viewers");
    };
    let media_uri = format!("media.m3u8?session={session}");
    counted(output, view.multivariant(&media_uri).into(), PLAYLIST_TYPE, CACHE_MULTIVARIANT)
}

fn media(output: &Arc<HlsOutput>, view: &HlsView, query: &str) -> Response<Body> {
    if let Some(session) = session(query) {
        output.touch_session(session);
    }
    counted(output, view.media_playlist().clone(), PLAYLIST_TYPE, CACHE_PLAYLIST)
}

fn session(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("session="))
}

fn counted(output: &HlsOutput, body: Bytes, content_type: &'static str, cache: &'static str) -> Response<Body> {
    output.count_sent(body.len());
    full(StatusCode::OK, body, content_type, cache)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_files_of_hls_or_nothing() {
        assert_eq!(File::named("index.m3u8"), Some(File::Multivariant));
        assert_eq!(File::named("media.m3u8"), Some(File::Media));
        assert_eq!(File::named("a-1.ts"), Some(File::Segment("a-1.ts".into())));
        for other in ["", "index.html", "other.m3u8", "ts", "app.js"] {
            assert_eq!(File::named(other), None, "{other}");
        }
    }
}
