//! Handshake packets (SRT §3.2.1): what stands in them. Who says what when is in `listener`, `caller` and `rendezvous`.

mod extension;
mod group;
mod reject;

use std::net::{IpAddr, Ipv6Addr};

pub(super) use extension::STREAM_ID_BYTES_MAX;
pub use extension::{Extensions, HsMessage, flags};
pub use group::{GroupKind, Membership};
pub use reject::RejectReason;

use super::{SrtError, packet::word};

/// Bytes in front of extensions.
pub const HANDSHAKE_BYTES: usize = 48;

/// The Extension Field of an induction response: this is SRT (SRT §4.3.1.1.2).
pub(super) const MAGIC: u16 = 0x4a17;

/// The version of the handshake that is spoken here.
pub(super) const VERSION: u32 = 5;

/// What a handshake packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeType {
    /// Two peers look for each other.
    WaveAHand,
    /// The first step of a caller, and its answer.
    Induction,
    /// The second one.
    Conclusion,
    /// The end of a rendezvous.
    Agreement,
    /// The connection is refused.
    Reject(RejectReason),
    /// Nothing that we know.
    Unknown(u32),
}

impl HandshakeType {
    fn from_word(word: u32) -> Self {
        match word {
            0 => Self::WaveAHand,
            1 => Self::Induction,
            0xffff_ffff => Self::Conclusion,
            0xffff_fffe => Self::Agreement,
            code if RejectReason::is_code(code) => Self::Reject(RejectReason::from_code(code)),
            other => Self::Unknown(other),
        }
    }

    fn to_word(self) -> u32 {
        match self {
            Self::WaveAHand => 0,
            Self::Induction => 1,
            Self::Conclusion => 0xffff_ffff,
            Self::Agreement => 0xffff_fffe,
            Self::Reject(reason) => reason.code(),
            Self::Unknown(word) => word,
        }
    }
}

/// A handshake packet behind its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// 4 in the first packet of a caller, else 5.
    pub version: u32,
    /// The Encryption Field: a key length in units of 8 bytes, or 0.
    pub encryption: u16,
    /// The Extension Field: flags, or 0x4A17, by the type.
    pub extension: u16,
    /// The sequence number of the first data packet, 31 bits.
    pub initial_sequence: u32,
    /// Bytes of the largest IP packet.
    pub mtu: u32,
    /// Packets that may be on their way.
    pub flow_window: u32,
    /// What this is.
    pub kind: HandshakeType,
    /// The socket of the sender.
    pub socket_id: u32,
    /// Of the listener, or in a rendezvous of the sender.
    pub cookie: u32,
    /// The address that the sender sends to.
    pub peer: IpAddr,
    /// What follows.
    pub extensions: Extensions,
}

/// Flags of the Extension Field in a conclusion (SRT §3.2.1, table 3).
pub(super) mod field {
    pub const HS: u16 = 1;
    pub const KM: u16 = 2;
    pub const CONFIG: u16 = 4;
}

impl Handshake {
    /// One with nothing in it.
    pub(super) fn new(kind: HandshakeType, socket_id: u32, peer: IpAddr) -> Self {
        Self {
            version: VERSION,
            encryption: 0,
            extension: 0,
            initial_sequence: 0,
            mtu: 1500,
            flow_window: 8192,
            kind,
            socket_id,
            cookie: 0,
            peer,
            extensions: Extensions::default(),
        }
    }

    /// Reads what stands behind the header of a handshake packet.
    ///
    /// # Errors
    /// [`SrtError::Malformed`].
    pub fn parse(body: &[u8]) -> Result<Self, SrtError> {
        let Some((fixed, rest)) = body.split_at_checked(HANDSHAKE_BYTES) else {
            return Err(SrtError::malformed("handshake", body.len()));
        };
        let at = |offset| word(fixed, offset).unwrap_or_default();
        let (kind, extension, version) = (HandshakeType::from_word(at(20)), at(4) as u16, at(0));
        let has_extensions = kind == HandshakeType::Conclusion && version >= VERSION && extension != 0;
        let extensions = if has_extensions { Extensions::parse(rest)? } else { Extensions::default() };
        Ok(Self {
            version,
            encryption: (at(4) >> 16) as u16,
            extension,
            initial_sequence: at(8) & 0x7fff_ffff,
            mtu: at(12),
            flow_window: at(16),
            kind,
            socket_id: at(24),
            cookie: at(28),
            peer: address(fixed.get(32..).unwrap_or_default()),
            extensions,
        })
    }

    /// Appends what stands behind the header. The Extension Field of a conclusion follows from its extensions.
    pub fn write(&self, out: &mut Vec<u8>) {
        let is_conclusion = self.kind == HandshakeType::Conclusion;
        let extension = if is_conclusion { self.extensions.field() } else { self.extension };
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&[self.encryption.to_be_bytes(), extension.to_be_bytes()].concat());
        let words =
            [self.initial_sequence, self.mtu, self.flow_window, self.kind.to_word(), self.socket_id, self.cookie];
        words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
        write_address(self.peer, out);
        if is_conclusion {
            self.extensions.write(out);
        }
    }
}

/// Four words, each of them with its bytes turned around: peers write their own, little-endian, memory. Nobody reads it.
fn address(bytes: &[u8]) -> IpAddr {
    let mut turned = [0; 16];
    for (place, word) in turned.chunks_exact_mut(4).zip(bytes.chunks_exact(4)) {
        place.iter_mut().zip(word.iter().rev()).for_each(|(place, byte)| *place = *byte);
    }
    let [a, b, c, d, rest @ ..] = turned;
    if rest == [0; 12] { IpAddr::from([a, b, c, d]) } else { Ipv6Addr::from(turned).into() }
}

fn write_address(address: IpAddr, out: &mut Vec<u8>) {
    let mut bytes = [0; 16];
    match address.to_canonical() {
        IpAddr::V4(v4) => bytes.iter_mut().zip(v4.octets()).for_each(|(place, byte)| *place = byte),
        IpAddr::V6(v6) => bytes = v6.octets(),
    }
    bytes.chunks_exact(4).for_each(|word| out.extend(word.iter().rev()));
}
