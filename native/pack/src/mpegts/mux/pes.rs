//! The PES packet (§2.4.3.6) of one access unit.

use arcly_bus::Frame;

use super::super::TIME_BITS;
use super::{
    TS_EPOCH_90K,
    form::{Content, Form},
    packet::{Adaptation, Packetizer, Pid},
};
use crate::time::rescale;

/// The PES packet of one access unit.
pub(super) struct Pes<'a> {
    stream_id: u8,
    pts_90k: i64,
    /// Only when it differs from the PTS (§2.4.3.7).
    dts_90k: Option<i64>,
    prefix: &'a [u8],
    content: Content,
    /// What was made beside the payload.
    made: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Pes<'a> {
    /// `frame` with its times in 90 kHz and its content, as `form` has measured it.
    #[inline]
    pub(super) fn new(
        stream_id: u8,
        form: &'a Form,
        frame: &'a Frame,
        times: Times,
        (content, made): (Content, &'a [u8]),
    ) -> Self {
        let Times { pts_90k, dts_90k } = times;
        let prefix = form.prefix(frame.is_key());
        let dts_90k = ((pts_90k - dts_90k) & TIME_MASK != 0).then_some(dts_90k);
        Self { stream_id, pts_90k, dts_90k, prefix, content, made, payload: &frame.payload }
    }

    /// Appends the transport packets of this PES packet.
    #[inline]
    pub(super) fn write(&self, pid: &mut Pid, adaptation: Adaptation, out: &mut Vec<u8>) {
        let times_bytes = if self.dts_90k.is_some() { 10 } else { 5 };
        let bytes = self.content_bytes() + usize::from(times_bytes);
        let mut packets = Packetizer::begin(*pid, adaptation, FIXED_HEADER_BYTES + bytes, out);
        self.write_header(&mut packets, times_bytes, self.packet_length(bytes));
        self.write_content(&mut packets);
        *pid = packets.finish();
    }

    /// `PES_packet_length`: the bytes behind that field; 0, unbounded, is for video only (§2.4.3.7).
    fn packet_length(&self, bytes: usize) -> u16 {
        if self.content.is_unbounded() { 0 } else { u16::try_from(3 + bytes).unwrap_or(0) }
    }

    /// Everything in front of the content; '10', `data_alignment_indicator`: it begins with a delimiter or a sync word.
    #[inline]
    fn write_header(&self, packets: &mut Packetizer<'_>, times_bytes: u8, packet_length: u16) {
        let times_flags = if self.dts_90k.is_some() { 0b11 } else { 0b10 };
        let start = 1 << 40 | u64::from(self.stream_id) << 32 | u64::from(packet_length) << 16;
        packets.put(&(start | 0x84 << 8 | u64::from(times_flags) << 6).to_be_bytes());
        let [_, _, pts @ ..] = (u64::from(times_bytes) << 40 | timestamp(times_flags, self.pts_90k)).to_be_bytes();
        packets.put(&pts);
        if let Some(dts_90k) = self.dts_90k {
            let [_, _, _, dts @ ..] = timestamp(0b01, dts_90k).to_be_bytes();
            packets.put(&dts);
        }
    }

    fn content_bytes(&self) -> usize {
        self.prefix.len() + self.content.bytes(self.payload, self.made)
    }

    fn write_content(&self, packets: &mut Packetizer<'_>) {
        packets.put(self.prefix);
        self.content.write(self.payload, self.made, packets);
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
const FIXED_HEADER_BYTES: usize = 9;
