//! The header of the PES packet (§2.4.3.6) of one access unit.

use arcly_bus::Frame;

use super::super::TIME_BITS;
use super::{TS_EPOCH_90K, packet::put};
use crate::time::rescale;

/// Everything in front of the content of a PES packet.
pub(super) struct Header {
    /// Prefix, `stream_id` and `PES_packet_length`, in front of 16 bits. As one number: what is stored in parts and loaded as a whole waits
    /// until all that was stored before is in the cache.
    start: u64,
    pts_90k: i64,
    /// Only when it differs from the PTS (§2.4.3.7).
    dts_90k: Option<i64>,
}

impl Header {
    /// `content_bytes` are those behind the header; `None` leaves the length open, which is for video only (§2.4.3.7).
    #[inline(always)]
    pub(super) fn new(stream_id: u8, Times { pts_90k, dts_90k }: Times, content_bytes: Option<usize>) -> Self {
        let dts_90k = ((pts_90k - dts_90k) & TIME_MASK != 0).then_some(dts_90k);
        let mut header = Self { start: 1 << 40 | u64::from(stream_id) << 32, pts_90k, dts_90k };
        if let Some(content_bytes) = content_bytes {
            // The bytes behind that field, or 0.
            let packet_length = u16::try_from(header.bytes() - START_BYTES + content_bytes).unwrap_or(0);
            header.start |= u64::from(packet_length) << 16;
        }
        header
    }

    /// Bytes of the header.
    #[inline(always)]
    pub(super) fn bytes(&self) -> usize {
        FIXED_BYTES + usize::from(self.times_bytes())
    }

    fn times_bytes(&self) -> u8 {
        if self.dts_90k.is_some() { 10 } else { 5 }
    }

    /// Writes the header, which the first transport packet always has room for; what is left of that.
    ///
    /// '10', `data_alignment_indicator`: the content begins with a delimiter or a sync word.
    #[inline(always)]
    pub(super) fn write<'a>(&self, room: &'a mut [u8]) -> &'a mut [u8] {
        let times_flags = if self.dts_90k.is_some() { 0b11 } else { 0b10 };
        let [_, _, pts @ ..] =
            (u64::from(self.times_bytes()) << 40 | timestamp(times_flags, self.pts_90k)).to_be_bytes();
        let room = put(room, (self.start | 0x84 << 8 | u64::from(times_flags) << 6).to_be_bytes());
        let room = put(room, pts);
        let Some(dts_90k) = self.dts_90k else { return room };
        let [_, _, _, dts @ ..] = timestamp(0b01, dts_90k).to_be_bytes();
        put(room, dts)
    }
}

/// The times of an access unit, as they are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) pts_90k: i64,
    pub(super) dts_90k: i64,
}

impl Times {
    /// Those of `frame`, whose clock has `clock_rate_hz`.
    #[inline(always)]
    pub(super) fn of(frame: &Frame, clock_rate_hz: u32) -> Self {
        let ticks_90k = |ticks| rescale(ticks, clock_rate_hz, 90_000) + TS_EPOCH_90K;
        let dts_90k = ticks_90k(frame.dts);
        // Some encoders write negative composition offsets, but nothing is shown before it is decoded (§2.7.5).
        Self { pts_90k: ticks_90k(frame.pts).max(dts_90k), dts_90k }
    }
}

/// PTS or DTS in 40 bits: 33 in three groups, each closed by a marker bit (§2.4.3.6).
fn timestamp(prefix: u8, time_90k: i64) -> u64 {
    let time = (time_90k & TIME_MASK).cast_unsigned();
    let field = u64::from(prefix) << 36 | (time >> 30) << 33 | 1 << 32 | (time >> 15 & 0x7FFF) << 17 | 1 << 16;
    field | (time & 0x7FFF) << 1 | 1
}

/// PTS and DTS are counted modulo 2^33.
const TIME_MASK: i64 = (1 << TIME_BITS) - 1;
/// Up to and with `PES_header_data_length`.
const FIXED_BYTES: usize = 9;
/// Up to and with `PES_packet_length`.
const START_BYTES: usize = 6;
