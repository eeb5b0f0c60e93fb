//! MPEG audio (RFC 2250 §3.5): one frame or more, or a fragment of one.

use arcly_codec::{
    CodecConfig, CodecError,
    cursor::Cursor,
    mpeg_audio::{FrameHeader, MAX_FRAME_BYTES, MpegAudioConfig},
};
use bytes::Bytes;

use super::{
    depacketizer::{Depacketize, Output},
    packetizer::{Packetize, Payload, Sink},
    partial::{Added, Partial},
};
use crate::rtp::Packet;

/// `MBZ` and `Frag_offset`.
const HEAD_BYTES: usize = 4;

#[derive(Debug)]
pub(super) struct Packetizer {
    max_bytes: usize,
}

impl Packetizer {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes: max_bytes - HEAD_BYTES }
    }
}

impl Packetize for Packetizer {
    fn packetize(&mut self, access_unit: &[u8], _is_key: bool, sink: Sink<'_>) -> Result<(), CodecError> {
        let (max, seen) = (usize::from(u16::MAX), access_unit.len());
        if seen > max {
            return Err(CodecError::LimitExceeded { limit: "bytes of an MPEG audio frame", max, seen });
        }
        for (body, index) in access_unit.chunks(self.max_bytes).zip(0..) {
            let [o0, o1] = ((index * self.max_bytes) as u16).to_be_bytes();
            sink(Payload { head: &[0, 0, o0, o1], body, marker: false, timestamp_offset: 0 });
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Depacketizer {
    clock_rate_hz: u32,
    partial: Partial,
}

impl Depacketizer {
    pub(super) fn new(clock_rate_hz: u32) -> Self {
        Self { clock_rate_hz, partial: Partial::default() }
    }

    /// The frames of a payload, the last of which may be the first fragment of one.
    fn read_frames(&mut self, packet: &Packet, out: &mut Output) -> Result<(), CodecError> {
        let (mut offset, mut samples) = (HEAD_BYTES, 0_u64);
        let timestamp = packet.header.timestamp;
        while offset < packet.payload.len() {
            let rest = packet.payload.slice(offset..);
            let header = FrameHeader::parse(&rest).map_err(|error| error.shifted(offset))?;
            let ticks = samples * u64::from(self.clock_rate_hz) / u64::from(header.sample_rate_hz);
            let frame_bytes = header.frame_bytes();
            if frame_bytes > rest.len() {
                self.partial.begin(&rest, frame_bytes.min(MAX_FRAME_BYTES), timestamp.wrapping_add(ticks as u32));
                break;
            }
            emit(rest.slice(..frame_bytes), &header, timestamp, ticks as u32, out);
            offset += frame_bytes.max(1);
            samples += u64::from(header.samples_per_frame());
        }
        Ok(())
    }

    /// Another fragment; `false` when this packet is none of the frame.
    fn continue_partial(&mut self, fragment: &[u8], frag_offset: usize, out: &mut Output) -> bool {
        if frag_offset != self.partial.len() {
            return false;
        }
        let added = self.partial.add(fragment);
        if let Some(Added::Whole(frame, timestamp)) = &added
            && let Ok(header) = FrameHeader::parse(frame)
        {
            emit(frame.clone(), &header, *timestamp, 0, out);
        }
        added.is_some()
    }
}

fn emit(frame: Bytes, header: &FrameHeader, timestamp: u32, ticks: u32, out: &mut Output) {
    let config = MpegAudioConfig::from_header(header);
    out.set_config(if header.layer == 3 { CodecConfig::Mp3(config) } else { CodecConfig::Mp2(config) });
    out.emit(frame, timestamp, ticks, false);
}

impl Depacketize for Depacketizer {
    fn push(&mut self, packet: &Packet, is_after_gap: bool, out: &mut Output) -> Result<(), CodecError> {
        let mut fields = Cursor::new(&packet.payload);
        let malformed = |offset| CodecError::Malformed { what: "MPEG audio payload header", offset };
        let frag_offset = fields.u16().and_then(|_| fields.u16()).ok_or(malformed(0));
        let frag_offset = usize::from(frag_offset.inspect_err(|_| out.lose())?);
        if !is_after_gap && self.continue_partial(fields.rest(), frag_offset, out) {
            return Ok(());
        }
        self.partial.give_up(out);
        if frag_offset != 0 {
            // The rest of a frame that was given up, or whose beginning is lost.
            out.mark_loss();
            return Ok(());
        }
        self.read_frames(packet, out).inspect_err(|_| out.lose())
    }

    fn flush(&mut self, out: &mut Output) {
        self.partial.give_up(out);
    }

    fn reset(&mut self) {
        self.partial = Partial::default();
    }

    fn buffered_bytes(&self) -> usize {
        self.partial.len()
    }
}
