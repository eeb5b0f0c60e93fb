//! Why a connection is refused, as the peer is told: a number in the place of the handshake type (SRT §4.3, table 7).

use std::fmt;

/// A reason. Those from 2000 on are of the application; the ones here are those that libsrt names in its access control guidelines, made
/// after the status codes of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// 1000: no reason is known.
    Unknown,
    /// 1003: there is no room for one more connection.
    Resource,
    /// 1004: the handshake is malformed.
    Rogue,
    /// 1005: too many connections wait for an answer.
    Backlog,
    /// 1007: the server ends.
    Close,
    /// 1008: the peer is older than SRT 1.3.
    Version,
    /// 1009: two cookies of a rendezvous are equal.
    RendezvousCookie,
    /// 1010: the passphrase is another one.
    BadSecret,
    /// 1011: a passphrase is needed, or there should be none.
    Unsecure,
    /// 1012: the peer wants a stream of bytes without messages (file mode).
    MessageApi,
    /// 1013: the peer wants another congestion control.
    Congestion,
    /// 1015: the peer wants a group of connections of a kind that is not spoken.
    Group,
    /// 1016: it took too long.
    Timeout,
    /// 1017: the peer wants another cipher.
    Crypto,
    /// 2400: the stream id says nothing that we understand.
    BadRequest,
    /// 2401: credentials are missing.
    Unauthorized,
    /// 2402: the server is overloaded.
    Overload,
    /// 2403: the credentials do not suffice.
    Forbidden,
    /// 2404: there is no such stream.
    NotFound,
    /// 2405: this cannot be done in the mode that was asked for.
    BadMode,
    /// 2409: somebody publishes it already.
    Conflict,
    /// 2500: an error of the server.
    Internal,
    /// Any other.
    Other(u32),
}

const CODES: [(RejectReason, u32, &str); 22] = [
    (RejectReason::Unknown, 1000, "no reason is known"),
    (RejectReason::Resource, 1003, "there is no room for one more connection"),
    (RejectReason::Rogue, 1004, "the handshake is malformed"),
    (RejectReason::Backlog, 1005, "too many connections wait"),
    (RejectReason::Close, 1007, "the peer is closing"),
    (RejectReason::Version, 1008, "too old a version of SRT"),
    (RejectReason::RendezvousCookie, 1009, "both have the same cookie"),
    (RejectReason::BadSecret, 1010, "the passphrase is another one"),
    (RejectReason::Unsecure, 1011, "a passphrase is needed, or there should be none"),
    (RejectReason::MessageApi, 1012, "file mode is not spoken here"),
    (RejectReason::Congestion, 1013, "another congestion control"),
    (RejectReason::Group, 1015, "such a group of connections is not spoken here"),
    (RejectReason::Timeout, 1016, "it took too long"),
    (RejectReason::Crypto, 1017, "another cipher"),
    (RejectReason::BadRequest, 2400, "the stream id is not understood"),
    (RejectReason::Unauthorized, 2401, "credentials are needed"),
    (RejectReason::Overload, 2402, "overloaded"),
    (RejectReason::Forbidden, 2403, "the credentials do not suffice"),
    (RejectReason::NotFound, 2404, "no such stream"),
    (RejectReason::BadMode, 2405, "not in this mode"),
    (RejectReason::Conflict, 2409, "somebody publishes it already"),
    (RejectReason::Internal, 2500, "an error of the server"),
];

impl RejectReason {
    /// Whether a handshake type is a reason.
    pub(super) fn is_code(word: u32) -> bool {
        (1000..0x8000_0000).contains(&word)
    }

    /// By its number.
    pub fn from_code(code: u32) -> Self {
        CODES.iter().find(|(_, known, _)| *known == code).map_or(Self::Other(code), |(reason, ..)| *reason)
    }

    /// Its number.
    pub fn code(self) -> u32 {
        match self {
            Self::Other(code) => code,
            known => CODES.iter().find(|(reason, ..)| *reason == known).map_or(1000, |(_, code, _)| *code),
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match CODES.iter().find(|(reason, ..)| reason == self) {
            Some((_, code, text)) => write!(f, "{text} ({code})"),
            None => write!(f, "reason {}", self.code()),
        }
    }
}
