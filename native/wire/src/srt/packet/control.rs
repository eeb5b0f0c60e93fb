//! Control packets (SRT §3.2).

use super::{HEADER_BYTES, LossReport, word};
use crate::srt::SrtError;

/// Control types (SRT §3.2, table 1).
mod kind {
    pub const HANDSHAKE: u16 = 0;
    pub const KEEP_ALIVE: u16 = 1;
    pub const ACK: u16 = 2;
    pub const NAK: u16 = 3;
    pub const CONGESTION: u16 = 4;
    pub const SHUTDOWN: u16 = 5;
    pub const ACK_ACK: u16 = 6;
    pub const DROP_REQUEST: u16 = 7;
    pub const PEER_ERROR: u16 = 8;
    pub const USER: u16 = 0x7fff;
}

/// What an acknowledgement says (SRT §3.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// To be named in the answer; 0 in a light or small one, which has no answer.
    pub number: u32,
    /// The first sequence number that has not come, 31 bits.
    pub next_sequence: u32,
    /// The rest; none in a light one.
    pub report: Option<AckReport>,
}

/// What the receiver measures. Rates are 0 where the peer left them out (a small ACK).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AckReport {
    /// Round-trip time in microseconds.
    pub rtt_us: u32,
    /// Its variance in microseconds.
    pub rtt_variance_us: u32,
    /// Free places in the receiver's buffer, in packets.
    pub free_packets: u32,
    /// Packets per second.
    pub packets_per_second: u32,
    /// Estimated capacity of the link in packets per second.
    pub link_packets_per_second: u32,
    /// Bytes per second.
    pub bytes_per_second: u32,
}

/// What a key material packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMaterialKind {
    /// SRT_CMD_KMREQ.
    Request,
    /// SRT_CMD_KMRSP.
    Response,
}

/// A control packet behind its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control<'a> {
    /// SRT §3.2.1; read by [`Handshake`](crate::srt::Handshake).
    Handshake(&'a [u8]),
    /// SRT §3.2.3.
    KeepAlive,
    /// SRT §3.2.4.
    Ack(Ack),
    /// SRT §3.2.5.
    Nak(LossReport<'a>),
    /// SRT §3.2.6.
    Congestion,
    /// SRT §3.2.7.
    Shutdown,
    /// SRT §3.2.8: the number of the ACK.
    AckAck(u32),
    /// SRT §3.2.9: give these up. Sequence numbers have 31 bits.
    DropRequest {
        /// 0 where the sender does not know it any more.
        message: u32,
        /// The first one.
        first: u32,
        /// The last one.
        last: u32,
    },
    /// SRT §3.2.10.
    PeerError(u32),
    /// SRT §3.2.2, as a packet of its own.
    KeyMaterial(KeyMaterialKind, &'a [u8]),
    /// Nothing that we know.
    Unknown,
}

impl<'a> Control<'a> {
    pub(super) fn parse(control_type: u16, subtype: u16, info: u32, body: &'a [u8]) -> Result<Self, SrtError> {
        let short = |what| SrtError::malformed(what, HEADER_BYTES + body.len());
        Ok(match (control_type, subtype) {
            (kind::HANDSHAKE, _) => Self::Handshake(body),
            (kind::KEEP_ALIVE, _) => Self::KeepAlive,
            (kind::ACK, _) => Self::Ack(Ack::parse(info, body).ok_or_else(|| short("ACK"))?),
            (kind::NAK, _) => Self::Nak(LossReport { bytes: body }),
            (kind::CONGESTION, _) => Self::Congestion,
            (kind::SHUTDOWN, _) => Self::Shutdown,
            (kind::ACK_ACK, _) => Self::AckAck(info),
            (kind::DROP_REQUEST, _) => {
                let (first, last) = word(body, 0).zip(word(body, 4)).ok_or_else(|| short("drop request"))?;
                Self::DropRequest { message: info, first, last }
            }
            (kind::PEER_ERROR, _) => Self::PeerError(info),
            (kind::USER, 3) => Self::KeyMaterial(KeyMaterialKind::Request, body),
            (kind::USER, 4) => Self::KeyMaterial(KeyMaterialKind::Response, body),
            _ => Self::Unknown,
        })
    }

    /// Appends the whole packet.
    pub fn write(&self, timestamp: u32, destination: u32, out: &mut Vec<u8>) {
        let (control_type, subtype, info) = self.head();
        out.extend_from_slice(&(control_type | 0x8000).to_be_bytes());
        out.extend_from_slice(&subtype.to_be_bytes());
        out.extend_from_slice(&[info.to_be_bytes(), timestamp.to_be_bytes(), destination.to_be_bytes()].concat());
        match self {
            Self::Handshake(body) | Self::KeyMaterial(_, body) => out.extend_from_slice(body),
            Self::Nak(report) => out.extend_from_slice(report.bytes),
            Self::Ack(ack) => ack.write(out),
            Self::DropRequest { first, last, .. } => {
                out.extend_from_slice(&[first.to_be_bytes(), last.to_be_bytes()].concat())
            }
            // These have no contents, but a peer of long ago (UDT) sends and expects a word of padding: readers take both, and with it
            // every packet is as long as its dissectors believe.
            Self::KeepAlive | Self::Shutdown | Self::AckAck(_) => out.extend_from_slice(&[0; 4]),
            Self::Congestion | Self::PeerError(_) | Self::Unknown => {}
        }
    }

    fn head(&self) -> (u16, u16, u32) {
        match self {
            Self::Handshake(_) => (kind::HANDSHAKE, 0, 0),
            Self::KeepAlive => (kind::KEEP_ALIVE, 0, 0),
            Self::Ack(ack) => (kind::ACK, 0, ack.number),
            Self::Nak(_) => (kind::NAK, 0, 0),
            Self::Congestion => (kind::CONGESTION, 0, 0),
            Self::Shutdown => (kind::SHUTDOWN, 0, 0),
            Self::AckAck(number) => (kind::ACK_ACK, 0, *number),
            Self::DropRequest { message, .. } => (kind::DROP_REQUEST, 0, *message),
            Self::PeerError(code) => (kind::PEER_ERROR, 0, *code),
            Self::KeyMaterial(KeyMaterialKind::Request, _) => (kind::USER, 3, 0),
            Self::KeyMaterial(KeyMaterialKind::Response, _) => (kind::USER, 4, 0),
            Self::Unknown => (kind::USER, 0, 0),
        }
    }
}

impl Ack {
    /// A light one has one word, a small one four, a full one seven (SRT §3.2.4).
    fn parse(number: u32, body: &[u8]) -> Option<Self> {
        let next_sequence = word(body, 0)?;
        let at = |index: usize| word(body, index * 4);
        let report = at(3).map(|free_packets| AckReport {
            rtt_us: at(1).unwrap_or_default(),
            rtt_variance_us: at(2).unwrap_or_default(),
            free_packets,
            packets_per_second: at(4).unwrap_or_default(),
            link_packets_per_second: at(5).unwrap_or_default(),
            bytes_per_second: at(6).unwrap_or_default(),
        });
        Some(Self { number, next_sequence, report })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.next_sequence.to_be_bytes());
        if let Some(report) = self.report {
            let times = [report.rtt_us, report.rtt_variance_us, report.free_packets];
            let rates = [report.packets_per_second, report.link_packets_per_second, report.bytes_per_second];
            times.iter().chain(&rates).for_each(|field| out.extend_from_slice(&field.to_be_bytes()));
        }
    }
}
