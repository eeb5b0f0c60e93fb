//! What senders and receivers say of the streams (RFC 3550 §6.4).

use std::time::Duration;

use arcly_codec::cursor::Cursor;
use bytes::{BufMut, BytesMut};

/// Seconds from 1900 to 1970.
const NTP_UNIX_SECONDS: u64 = 2_208_988_800;

/// A wall clock time, since 1970, as NTP has it: seconds since 1900 in the upper 32 bits, fractions in the lower.
pub fn ntp_of_unix(since_1970: Duration) -> u64 {
    let seconds = since_1970.as_secs().wrapping_add(NTP_UNIX_SECONDS);
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    seconds << 32 | fraction
}

/// What a sender says of itself (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderInfo {
    /// A moment of the sender's wall clock, as [`ntp_of_unix`] has it; 0 when it has none.
    pub ntp: u64,
    /// The same moment in ticks of the format's clock.
    pub rtp_timestamp: u32,
    /// Packets sent since the beginning.
    pub packets: u32,
    /// Bytes of their payloads.
    pub octets: u32,
}

impl SenderInfo {
    pub(super) fn read(fields: &mut Cursor<'_>) -> Option<Self> {
        Some(Self {
            ntp: u64::from_be_bytes(fields.array()?),
            rtp_timestamp: fields.u32()?,
            packets: fields.u32()?,
            octets: fields.u32()?,
        })
    }

    pub(super) fn write(&self, body: &mut BytesMut) {
        body.put_u64(self.ntp);
        body.put_u32(self.rtp_timestamp);
        body.put_u32(self.packets);
        body.put_u32(self.octets);
    }
}

/// What a receiver says of a source (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// Packets lost since the last report, in 256ths of those expected.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; below 0 when some came twice. 24 bits.
    pub lost: i32,
    /// The greatest sequence number that came, with the wraps above it.
    pub highest_sequence: u32,
    /// How much the spacing of packets varies, in ticks.
    pub jitter: u32,
    /// The middle 32 bits of the NTP time of the last sender report; 0 for none.
    pub last_sender_report: u32,
    /// From its arrival to this report, in 1/65536 s.
    pub delay: u32,
}

impl ReportBlock {
    fn read(fields: &mut Cursor<'_>) -> Option<Self> {
        Some(Self {
            ssrc: fields.u32()?,
            fraction_lost: fields.u8()?,
            // The sign is that of 24 bits.
            lost: ((fields.u24()? << 8) as i32) >> 8,
            highest_sequence: fields.u32()?,
            jitter: fields.u32()?,
            last_sender_report: fields.u32()?,
            delay: fields.u32()?,
        })
    }

    pub(super) fn write(&self, body: &mut BytesMut) {
        body.put_u32(self.ssrc);
        body.put_u32(u32::from(self.fraction_lost) << 24 | self.lost as u32 & 0xff_ffff);
        body.put_u32(self.highest_sequence);
        body.put_u32(self.jitter);
        body.put_u32(self.last_sender_report);
        body.put_u32(self.delay);
    }

    /// The round trip to who sent this, at the moment `ntp` when it comes: from our report that it names (§6.4.1, figure 2).
    /// `None` when it names none, or a moment that has not been.
    pub fn round_trip(&self, ntp: u64) -> Option<Duration> {
        let elapsed = ((ntp >> 16) as u32).wrapping_sub(self.last_sender_report);
        let round_trip = elapsed.checked_sub(self.delay).filter(|_| self.last_sender_report != 0)?;
        // In 1/65536 s. A half of what 32 bits can say is nine hours: it is a time before ours.
        (round_trip < 1 << 31).then(|| Duration::from_micros((u64::from(round_trip) * 1_000_000) >> 16))
    }
}

/// `count` blocks. What follows them is an extension of a profile, and passed over.
pub(super) fn read_blocks(fields: &mut Cursor<'_>, count: u8) -> Option<Vec<ReportBlock>> {
    (0..count).map(|_| ReportBlock::read(fields)).collect()
}
