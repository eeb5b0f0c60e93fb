//! What is asked of a sender (RFC 4585 §6, RFC 5104 §4.3.1, REMB).

use arcly_codec::{CodecError, cursor::Cursor};
use bytes::{BufMut, BytesMut};

use super::{
    packet::{PAYLOAD_FEEDBACK, RtcpPacket, TRANSPORT_FEEDBACK, write},
    transport::TransportFeedback,
};

/// `FMT` of transport layer feedback.
const NACK: u8 = 1;
pub(super) const TRANSPORT_WIDE: usize = 15;
/// `FMT` of payload-specific feedback.
pub(super) const PICTURE_LOSS: usize = 1;
const FULL_INTRA: usize = 4;
const APPLICATION: usize = 15;
/// What begins the application's feedback that is a REMB.
const REMB: &[u8; 4] = b"REMB";
/// Bits of the mantissa of a bit rate.
const MANTISSA_BITS: u32 = 18;
/// The most that they can say in 64 bits.
const MAX_BIT_RATE_BPS: u64 = ((1 << MANTISSA_BITS) - 1) << (u64::BITS - MANTISSA_BITS);

/// Packets to be sent again (RFC 4585 §6.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// Who asks.
    pub sender: u32,
    /// Of whom.
    pub media: u32,
    /// A sequence number and which of the sixteen behind it are meant too, lowest bit first.
    pub lost: Vec<(u16, u16)>,
}

impl Nack {
    /// Asks for these, in ascending order.
    pub fn new(sender: u32, media: u32, sequences: impl IntoIterator<Item = u16>) -> Self {
        let mut lost: Vec<(u16, u16)> = Vec::new();
        for sequence in sequences {
            match lost.last_mut().map(|(first, mask)| (sequence.wrapping_sub(*first), mask)) {
                Some((step @ 1..=16, mask)) => *mask |= 1 << (step - 1),
                Some((0, _)) => {}
                _ => lost.push((sequence, 0)),
            }
        }
        Self { sender, media, lost }
    }

    /// Those that are meant.
    pub fn sequences(&self) -> impl Iterator<Item = u16> {
        self.lost.iter().flat_map(|&(first, mask)| {
            let behind = (0..16).filter(move |bit| mask >> bit & 1 == 1).map(move |bit| first.wrapping_add(bit + 1));
            std::iter::once(first).chain(behind)
        })
    }

    pub(super) fn write(&self, into: &mut BytesMut) {
        write(into, TRANSPORT_FEEDBACK, usize::from(NACK), |body| {
            body.put_u32(self.sender);
            body.put_u32(self.media);
            for &(first, mask) in &self.lost {
                body.put_u16(first);
                body.put_u16(mask);
            }
        });
    }
}

/// Key frames are asked for (RFC 5104 §4.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullIntraRequest {
    /// Who asks.
    pub sender: u32,
    /// Of whom, and the number of the request: one that repeats the last is the same request.
    pub requests: Vec<(u32, u8)>,
}

impl FullIntraRequest {
    pub(super) fn write(&self, into: &mut BytesMut) {
        write(into, PAYLOAD_FEEDBACK, FULL_INTRA, |body| {
            body.put_u32(self.sender);
            body.put_u32(0);
            for &(ssrc, number) in &self.requests {
                body.put_u32(ssrc);
                body.put_u32(u32::from(number) << 24);
            }
        });
    }
}

/// How much may be sent (draft-alvestrand-rmcat-remb-03).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remb {
    /// Who says it.
    pub sender: u32,
    /// Of all streams together. Written with 18 significant bits.
    pub bit_rate_bps: u64,
    /// Which streams.
    pub ssrcs: Vec<u32>,
}

impl Remb {
    fn read(fields: &mut Cursor<'_>, sender: u32) -> Option<RtcpPacket> {
        let count = fields.u8()?;
        let rate = fields.u24()?;
        let mantissa = u64::from(rate & ((1 << MANTISSA_BITS) - 1));
        // The exponent goes up to 63: what does not fit is more than anybody sends.
        let bit_rate_bps = mantissa.checked_mul(1 << (rate >> MANTISSA_BITS)).unwrap_or(MAX_BIT_RATE_BPS);
        let ssrcs = (0..count).map(|_| fields.u32()).collect::<Option<_>>()?;
        Some(RtcpPacket::Remb(Self { sender, bit_rate_bps, ssrcs }))
    }

    pub(super) fn write(&self, into: &mut BytesMut) {
        let exponent = (u64::BITS - self.bit_rate_bps.leading_zeros()).saturating_sub(MANTISSA_BITS);
        let mantissa = (self.bit_rate_bps >> exponent) as u32;
        write(into, PAYLOAD_FEEDBACK, APPLICATION, |body| {
            body.put_u32(self.sender);
            body.put_u32(0);
            body.put_slice(REMB);
            let ssrcs = self.ssrcs.get(..255).unwrap_or(&self.ssrcs);
            body.put_u32((ssrcs.len() as u32) << 24 | exponent << MANTISSA_BITS | mantissa);
            ssrcs.iter().for_each(|ssrc| body.put_u32(*ssrc));
        });
    }
}

/// Feedback of either kind; `None` when it is malformed.
pub(super) fn read(fields: &mut Cursor<'_>, packet_type: u8, format: u8) -> Result<Option<RtcpPacket>, CodecError> {
    let (Some(sender), Some(media)) = (fields.u32(), fields.u32()) else { return Ok(None) };
    Ok(match (packet_type, usize::from(format)) {
        (TRANSPORT_FEEDBACK, format) if format == usize::from(NACK) => {
            let pairs = fields.rest().as_chunks::<4>().0.iter();
            let lost = pairs.map(|&[p0, p1, b0, b1]| (u16::from_be_bytes([p0, p1]), u16::from_be_bytes([b0, b1])));
            Some(RtcpPacket::Nack(Nack { sender, media, lost: lost.collect() }))
        }
        (TRANSPORT_FEEDBACK, TRANSPORT_WIDE) => TransportFeedback::read(fields, sender, media)?,
        (PAYLOAD_FEEDBACK, PICTURE_LOSS) => Some(RtcpPacket::PictureLoss { sender, media }),
        (PAYLOAD_FEEDBACK, FULL_INTRA) => {
            let entries = fields.rest().as_chunks::<8>().0.iter();
            let requests = entries.map(|&[s0, s1, s2, s3, number, ..]| (u32::from_be_bytes([s0, s1, s2, s3]), number));
            Some(RtcpPacket::FullIntra(FullIntraRequest { sender, requests: requests.collect() }))
        }
        (PAYLOAD_FEEDBACK, APPLICATION) if fields.rest().starts_with(REMB) => {
            fields.take(REMB.len());
            Remb::read(fields, sender)
        }
        _ => Some(RtcpPacket::Other { packet_type }),
    })
}
