//! What a connection tells the one who drives it.

use bytes::Bytes;

/// Something that the peer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer named its application; it was answered.
    Connected(ConnectInfo),
    /// The peer wants to publish. Answer with [`accept_publish`](super::ServerConn::accept_publish) or
    /// [`reject_publish`](super::ServerConn::reject_publish).
    PublishRequested(PublishRequest),
    /// The peer wants to play. Answer with [`reject_play`](super::ServerConn::reject_play).
    PlayRequested(PlayRequest),
    /// Media of an accepted publish. What comes before the acceptance is dropped: encoders wait for it.
    Media(Media),
    /// The peer ended a publish, accepted or still undecided. Not reported when the connection itself ends.
    PublishEnded {
        /// The message stream, as in the request.
        stream_id: u32,
    },
}

/// Who connected, and to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectInfo {
    /// The application without its query and outer slashes: `live`, `live/inst`.
    pub app: String,
    /// What followed `?` in the application or else in `tcUrl`, as sent; may be empty.
    pub query: String,
    /// The URL that the peer dialled, as it says; may be empty.
    pub tc_url: String,
    /// What the peer calls itself: `FMLE/3.0 (compatible; Lavf59.27.100)`; may be empty.
    pub flash_ver: String,
}

/// A wish to publish. The names are unchecked, and empty when the peer gave none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// The message stream: the handle for the answer.
    pub stream_id: u32,
    /// Everything but the last part of the path `app/name`: `live`, `live/inst`.
    pub app: String,
    /// The last part of that path, without its query.
    pub stream: String,
    /// What followed `?` in the name and in the application, joined by `&`; as sent, not decoded.
    pub query: String,
}

/// A wish to play. Names are not empty, and otherwise unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayRequest {
    /// The message stream: the handle for the answer.
    pub stream_id: u32,
    /// As in [`PublishRequest::app`].
    pub app: String,
    /// As in [`PublishRequest::stream`].
    pub stream: String,
    /// As in [`PublishRequest::query`].
    pub query: String,
}

/// One audio, video or data message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// The message stream of the publish.
    pub stream_id: u32,
    /// What the body is.
    pub kind: MediaKind,
    /// Milliseconds, absolute, modulo 2^32, as on the wire.
    pub timestamp_ms: u32,
    /// The body of an FLV tag; never empty. Shared with nothing, except among the parts of an aggregate message.
    pub body: Bytes,
}

/// What a media body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// The body of an FLV audio tag.
    Audio,
    /// The body of an FLV video tag.
    Video,
    /// The body of an FLV script tag (`onMetaData` …), without `@setDataFrame` in front.
    Script,
}

/// Why a publish is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishRejection {
    /// The name is not valid or is taken.
    BadName,
    /// The peer may not publish there.
    Unauthorized,
    /// It is the server that cannot.
    Failed,
}
