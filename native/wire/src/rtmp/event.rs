//! What a connection tells the one who drives it.

use std::time::Duration;

use bytes::Bytes;

/// Something that the peer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer named its application; it was answered.
    Connected(ConnectInfo),
    /// The peer wants to publish. Answer with [`accept_publish`](super::ServerConn::accept_publish) or
    /// [`reject_publish`](super::ServerConn::reject_publish).
    PublishRequested(PublishRequest),
    /// The peer wants to play. Answer with [`accept_play`](super::ServerConn::accept_play) or
    /// [`reject_play`](super::ServerConn::reject_play).
    PlayRequested(PlayRequest),
    /// A viewer changes what it wants of a play, accepted or asked for. It is answered, once the play is accepted.
    PlayChanged {
        /// The message stream, as in the request.
        stream_id: u32,
        /// What.
        change: PlayChange,
    },
    /// The peer ended a play, accepted or still undecided. Not reported when the connection itself ends.
    PlayEnded {
        /// The message stream, as in the request.
        stream_id: u32,
    },
    /// Media of an accepted publish. What comes before the acceptance follows it.
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
    /// `user:password` of `tcUrl`, as sent, not decoded; may be empty.
    pub userinfo: String,
    /// What the peer can do of Enhanced RTMP.
    pub capabilities: Capabilities,
}

/// What a peer can do of Enhanced RTMP; nothing when it said nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// FourCCs that it decodes, encodes or passes on, of both kinds, in its order; `*` is all of them. From `fourCcList` of v1 and the
    /// info maps of v2.
    pub four_ccs: Vec<String>,
    /// `capsEx`: 1 reconnect, 2 multitrack, 4 ModEx, 8 nanosecond offsets.
    pub caps_ex: u32,
}

impl Capabilities {
    /// `capsEx`: the peer obeys a request to reconnect.
    pub const RECONNECT: u32 = 0x01;
    /// `capsEx`: the peer reads multitrack.
    pub const MULTITRACK: u32 = 0x02;
    /// `capsEx`: the peer reads ModEx packets.
    pub const MOD_EX: u32 = 0x04;
    /// `capsEx`: the peer applies nanosecond offsets.
    pub const TIMESTAMP_NANO_OFFSET: u32 = 0x08;

    /// Whether all bits of `flag` are set.
    pub fn can(&self, flag: u32) -> bool {
        self.caps_ex & flag == flag
    }

    /// Whether the peer takes a codec by its FourCC.
    pub fn takes(&self, four_cc: &str) -> bool {
        self.four_ccs.iter().any(|known| known == "*" || known == four_cc)
    }
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
    /// `live`, `record` or `append`; `live` when the peer did not say.
    pub publish_type: String,
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
    /// From where; live streams have only one place.
    pub start: PlayStart,
    /// For how long; `None` is to the end.
    pub duration: Option<Duration>,
    /// Whether it takes the place of what was played before, as by default. Else it begins when that has ended.
    pub reset: bool,
}

/// From where to play (RTMP §7.2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayStart {
    /// -2, and the default: the live stream, or a recording when there is none.
    LiveOrRecorded,
    /// -1.
    Live,
    /// A recording, from this time on.
    At(Duration),
}

/// What a viewer changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayChange {
    /// It pauses (true) or goes on (false). A live stream goes on at its newest key frame.
    Paused(bool),
    /// It wants sound, or none (`receiveAudio`).
    Audio(bool),
    /// It wants pictures, or none (`receiveVideo`).
    Video(bool),
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
