//! What a session is told and has to say.

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;

use super::media::ArrivedPacket;

/// How a datagram travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// One datagram of UDP.
    Udp,
    /// A frame on a TCP connection, see [`crate::webrtc::framing`].
    Tcp,
}

/// A datagram that is to be sent.
#[derive(Debug, Clone)]
pub struct Transmit {
    /// How.
    pub transport: Transport,
    /// To whom.
    pub to: SocketAddr,
    /// The datagram.
    pub bytes: Vec<u8>,
}

/// Where datagrams are sent from.
pub trait Sink {
    /// Takes a datagram, which `write` appends to what stands there; when it says false there is none.
    fn datagram(&mut self, transport: Transport, to: SocketAddr, write: &mut dyn FnMut(&mut Vec<u8>) -> bool);
}

/// What a session has to say. Poll until it is a timeout.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Something has happened.
    Event(Event),
    /// Nothing more; call [`super::Session::handle_timeout`] at that time.
    Timeout(Instant),
}

/// What a datagram was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Not for this session, or nobody's.
    Nothing,
    /// It may have left something to poll; that the peer is where it came from is not proven.
    Something,
    /// The peer's, from where it came. Poll.
    Peer,
}

/// Something that has happened.
#[derive(Debug)]
pub enum Event {
    /// ICE and DTLS are up: media flow from now on.
    Connected,
    /// A publisher's packet, in the order of arrival.
    Packet(ArrivedPacket),
    /// A viewer cannot go on without a key frame (PLI, FIR).
    KeyFrameWanted,
    /// What the path of a viewer carries, in bits per second: from its transport-wide feedback, or its REMB.
    Estimate(u64),
    /// A publisher's message on a data channel (RFC 8831).
    Message(Bytes),
    /// The peer has said goodbye.
    Closed,
}
