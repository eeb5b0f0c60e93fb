//! The RTP packet (RFC 3550 §5.1).

use arcly_codec::{CodecError, cursor::Cursor};
use bytes::{BufMut, Bytes};

use super::extension::Extensions;

/// Bytes of a header without contributing sources and extensions.
pub const HEADER_BYTES: usize = 12;

/// What every packet says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// With video the last packet of a picture; with most audio the first one behind silence.
    pub marker: bool,
    /// Which format the payload has: 0 to 127, by what the session has agreed on.
    pub payload_type: u8,
    /// Counts packets, modulo 2¹⁶.
    pub sequence: u16,
    /// Time of the first sample of the payload in ticks of the format's clock, modulo 2³², from any beginning.
    pub timestamp: u32,
    /// The source: one clock, one sequence.
    pub ssrc: u32,
}

impl Header {
    /// Writes the header of a packet that has neither contributing sources nor extensions.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [r0, r1, r2, r3] = self.ssrc.to_be_bytes();
        [0x80, self.second_byte(), s0, s1, t0, t1, t2, t3, r0, r1, r2, r3]
    }

    /// Writes the header with these header extensions: identifier and data each (RFC 8285), in the short form where all fit
    /// into it. Those that fit into neither form are left out.
    pub fn write_with_extensions(&self, extensions: &[(u8, &[u8])], into: &mut impl BufMut) {
        let mut header = self.to_bytes();
        if let Some(first) = header.first_mut().filter(|_| !extensions.is_empty()) {
            *first |= 0x10;
        }
        into.put_slice(&header);
        Extensions::write(extensions, into);
    }

    fn second_byte(self) -> u8 {
        u8::from(self.marker) << 7 | self.payload_type & 0x7f
    }
}

/// A packet as it came, its parts sharing the memory of the datagram.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packet {
    /// The fields that are always there.
    pub header: Header,
    /// Identifiers of the sources that a mixer has put together, four bytes each; see [`Self::csrcs`].
    pub csrc_bytes: Bytes,
    /// Header extensions.
    pub extensions: Extensions,
    /// What the format makes of it, without padding. Empty in packets that only probe the network.
    pub payload: Bytes,
}

impl Packet {
    /// Reads a datagram, or what stood behind the length of an interleaved one (RFC 7826 §14).
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when it is another version than 2, or shorter than it says.
    pub fn parse(datagram: Bytes) -> Result<Self, CodecError> {
        let mut fields = Cursor::new(&datagram);
        let malformed = |what, offset| CodecError::Malformed { what, offset };
        let first = fields.u8().ok_or(malformed("RTP header", 0))?;
        if first >> 6 != 2 {
            return Err(malformed("RTP version", 0));
        }
        let header = Self::read_header(&mut fields).ok_or(malformed("RTP header", fields.offset()))?;
        let csrcs = fields.take(4 * usize::from(first & 0xf)).ok_or(malformed("CSRC list", fields.offset()))?;
        let csrc_bytes = slice(&datagram, csrcs);
        let extensions = if first & 0x10 == 0 {
            Extensions::default()
        } else {
            Extensions::read(&datagram, &mut fields).ok_or(malformed("RTP header extension", fields.offset()))?
        };
        let padding = if first & 0x20 == 0 { 0 } else { padding_bytes(fields.rest()) };
        let payload_bytes = fields.rest().len().checked_sub(padding).filter(|_| first & 0x20 == 0 || padding > 0);
        let payload_bytes = payload_bytes.ok_or(malformed("RTP padding", datagram.len().saturating_sub(1)))?;
        let payload = slice(&datagram, fields.rest().get(..payload_bytes).unwrap_or_default());
        Ok(Self { header, csrc_bytes, extensions, payload })
    }

    fn read_header(fields: &mut Cursor<'_>) -> Option<Header> {
        let second = fields.u8()?;
        Some(Header {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: fields.u16()?,
            timestamp: fields.u32()?,
            ssrc: fields.u32()?,
        })
    }

    /// The sources that a mixer has put together.
    pub fn csrcs(&self) -> impl Iterator<Item = u32> {
        self.csrc_bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_be_bytes(*bytes))
    }
}

/// Whether a datagram that is RTP or RTCP is RTCP, by the numbers that RFC 5761 §4 keeps apart.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

/// The last byte says how many there are, itself included (RFC 3550 §5.1). 0 when there is none.
fn padding_bytes(payload: &[u8]) -> usize {
    payload.last().map_or(0, |&count| usize::from(count))
}

/// A part of the datagram that shares its memory; nothing costs nothing.
pub(super) fn slice(datagram: &Bytes, part: &[u8]) -> Bytes {
    if part.is_empty() { Bytes::new() } else { datagram.slice_ref(part) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header =
        Header { marker: true, payload_type: 96, sequence: 0x1234, timestamp: 0x89ab_cdef, ssrc: 0xfeed_beef };

    fn parse(bytes: &[u8]) -> Result<Packet, CodecError> {
        Packet::parse(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn a_plain_packet_is_twelve_bytes_and_its_payload() {
        let bytes = [&HEADER.to_bytes()[..], b"media"].concat();
        assert_eq!(bytes[..12], [0x80, 0xe0, 0x12, 0x34, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xed, 0xbe, 0xef]);
        let packet = parse(&bytes).unwrap();
        assert_eq!((packet.header, packet.payload.as_ref()), (HEADER, &b"media"[..]));
        assert!(packet.csrcs().next().is_none() && packet.extensions.is_empty());
        for end in 0..12 {
            assert!(parse(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn sources_extensions_and_padding_are_around_the_payload() {
        let mut bytes = HEADER.to_bytes().to_vec();
        bytes[0] = 0xb2;
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]);
        bytes.extend(b"media\0\0\x03");
        let packet = parse(&bytes).unwrap();
        assert_eq!(packet.csrcs().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(packet.extensions.get(1), Some(&[0xaa][..]));
        assert_eq!(packet.payload.as_ref(), b"media");
        for end in 0..28 {
            assert!(parse(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn padding_that_is_not_there_is_refused_and_padding_alone_is_no_payload() {
        let padded = |padding: &[u8]| {
            let mut bytes = HEADER.to_bytes().to_vec();
            bytes[0] |= 0x20;
            parse(&[&bytes, padding].concat())
        };
        assert!(padded(&[0, 0, 0, 4]).unwrap().payload.is_empty());
        for wrong in [&[][..], &[0], &[1, 0], &[0, 0, 4]] {
            assert!(padded(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn other_versions_and_rtcp_are_told_apart() {
        assert!(parse(&[0x40; 12]).is_err());
        assert!(is_rtcp(&[0x80, 200, 0, 6]) && is_rtcp(&[0x81, 206]) && !is_rtcp(&HEADER.to_bytes()) && !is_rtcp(&[]));
    }
}
