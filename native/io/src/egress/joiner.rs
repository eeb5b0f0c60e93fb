//! Who comes to be written to, and what is left of one who goes in order.

use std::{net::TcpStream, sync::Arc};

use arcly_bus::{Read, Subscription};
use bytes::Bytes;

use super::{
    line::{Line, Wants},
    list::Entry,
    packet::Packet,
};

/// Somebody who is to be written to.
pub(crate) struct Joiner {
    pub(crate) socket: TcpStream,
    /// What is sent before anything else: the head of the response.
    pub(crate) head: Head,
    pub(crate) entry: Entry,
    /// Counts it with the stream.
    pub(crate) counted: arcly_bus::Viewer,
    /// To whoever reads from the connection.
    pub(crate) line: Option<Arc<Line>>,
}

type MakeHead = dyn FnOnce(&[Packet]) -> Bytes + Send;

/// What is sent in front of the packets.
pub(crate) enum Head {
    /// Whatever the packets are.
    Bytes(Bytes),
    /// It says which is the first: made of the packets that are there, none when they are still to come.
    OfPackets(Box<MakeHead>),
}

impl Head {
    pub(crate) fn make(self, cursor: &mut Subscription<Packet>) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::OfPackets(make) => match cursor.peek(usize::MAX) {
                Read::Frames(batch) => make(batch.frames),
                _ => make(&[]),
            },
        }
    }
}

/// What a viewer has, without its socket: with it somebody else can go on sending, behind the last packet that was sent.
pub(crate) struct Seat {
    pub(crate) cursor: Subscription<Packet>,
    /// Revision of the tracks that it was told of last; none before its first packet.
    pub(crate) told: Option<u32>,
    pub(crate) wants: Wants,
    pub(crate) entry: Entry,
    pub(crate) counted: arcly_bus::Viewer,
}
