//! What a connection tells the one who drives it.

use bytes::Bytes;

use super::{PlayAnswer, Transport, sdp::Description};

/// Something that the peer did.
#[derive(Debug)]
pub enum Event {
    /// The peer wants to play. Answer with [`accept_play`](super::ServerConn::accept_play) or [`refuse`](super::ServerConn::refuse).
    PlayRequested(Ask),
    /// The peer wants to publish what it describes. Answer with [`accept_publish`](super::ServerConn::accept_publish) or
    /// [`refuse`](super::ServerConn::refuse).
    PublishRequested(Ask, Box<Description>),
    /// The play begins or goes on. The answer has to reach the peer in front of the first packet.
    Playing(Box<PlayAnswer>),
    /// The viewer wants nothing for a while. It was answered.
    Paused,
    /// The viewer has given up its paused session for another one: nothing more of that play is wanted.
    Abandoned,
    /// The publish begins: packets follow. It was answered.
    Recording,
    /// A packet of a track that was set up, of an accepted session.
    Packet(MediaPacket),
    /// The peer ended its session. It was answered. Not reported when the connection itself ends.
    Ended,
}

/// Who asks for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The path as it was written, with its slash in front; percent-encoded and unchecked.
    pub path: String,
    /// What stood behind `?`; may be empty.
    pub query: String,
    /// `Authorization`: as it came, or as Basic where the password was looked at here. May be empty.
    pub authorization: String,
    /// What the peer calls itself. May be empty.
    pub agent: String,
    /// It wants to speak, too: [`BACK_CHANNEL`](super::BACK_CHANNEL).
    pub back_channel: bool,
}

/// A packet between the messages of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPacket {
    /// The track, by its place in the description.
    pub media: usize,
    /// RTCP and not RTP.
    pub is_rtcp: bool,
    /// The packet.
    pub payload: Bytes,
}

/// How a track of a session travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSetup {
    /// The track, by its place in the description.
    pub media: usize,
    /// As it was agreed upon.
    pub transport: Transport,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// Credentials are missing, or wrong: 401.
    Unauthenticated,
    /// They do not suffice, or the name is taken: 403.
    Forbidden,
    /// There is no such stream: 404.
    NotFound,
    /// No stream can have this name: 400.
    BadName,
    /// Nothing in it can be carried: 415.
    Unsupported,
    /// Through no fault of the peer: 503.
    Failed,
}

impl Denial {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::BadName => 400,
            Self::Unsupported => 415,
            Self::Failed => 503,
        }
    }
}
