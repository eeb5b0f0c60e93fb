//! What a datagram is (RFC 7983), and for whom: all sessions share one port.

use std::net::SocketAddr;

use super::{Transport, stun::Message};

/// A datagram, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// A STUN message (RFC 8489). Not proven: its integrity is the session's to check.
    Stun(Message<'a>),
    /// A DTLS record.
    Dtls,
    /// SRTP or SRTCP.
    Media,
}

/// A datagram that has come, with what it is.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// How it came.
    pub transport: Transport,
    /// Where it came from, as it says.
    pub from: SocketAddr,
    /// All of it.
    pub bytes: &'a [u8],
    /// What it is.
    pub kind: Datagram<'a>,
}

impl<'a> Arrival<'a> {
    /// `None` for what no session can want.
    pub fn new(transport: Transport, from: SocketAddr, bytes: &'a [u8]) -> Option<Self> {
        Some(Self { transport, from, bytes, kind: classify(bytes)? })
    }

    /// The way it took.
    pub(super) fn path(&self) -> (Transport, SocketAddr) {
        (self.transport, self.from)
    }

    /// The check in it, or whatever else is asked by STUN.
    pub(super) fn request(&self) -> Option<&Message<'a>> {
        match &self.kind {
            Datagram::Stun(message) => Some(message).filter(|message| message.is_request()),
            Datagram::Dtls | Datagram::Media => None,
        }
    }
}

/// Tells what a datagram is; `None` for what no session can want.
pub fn classify(bytes: &[u8]) -> Option<Datagram<'_>> {
    match bytes.first()? {
        0..=3 => Message::parse(bytes).map(Datagram::Stun),
        20..=63 if bytes.len() >= 13 => Some(Datagram::Dtls),
        128..=191 if bytes.len() >= 8 => Some(Datagram::Media),
        _ => None,
    }
}
