//! AC-3 (RFC 4184) and E-AC-3 (RFC 4598): frames, or fragments of one.

use arcly_codec::{
    CodecConfig, CodecError,
    ac3::{Ac3Config, Eac3Config, StreamType, SyncFrame, syncframes},
};
use bytes::Bytes;

use super::{
    depacketizer::{Depacketize, Output},
    fragments::{Fragments, Whole},
    packetizer::{Packetize, Payload, Sink},
};
use crate::rtp::Packet;

/// Bytes of the payload header.
const HEAD_BYTES: usize = 2;
/// `FT` of AC-3 (RFC 4184 §4.1.1): whole frames; the first fragment, with five eighths of the frame or less; another one.
const WHOLE: u8 = 0;
const FIRST_LARGE: u8 = 1;
const FIRST_SMALL: u8 = 2;
const FURTHER: u8 = 3;
/// `F` of E-AC-3 (RFC 4598 §4.2.1): a fragment.
const FRAGMENT: u8 = 1;

/// Which of the two payload headers there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ac3,
    Eac3,
}

#[derive(Debug)]
pub(super) struct Packetizer {
    kind: Kind,
    max_bytes: usize,
}

impl Packetizer {
    pub(super) fn new(kind: Kind, max_bytes: usize) -> Self {
        Self { kind, max_bytes: max_bytes - HEAD_BYTES }
    }

    fn fragment_type(&self, is_first: bool, fragment: &[u8], frame: &[u8]) -> u8 {
        match self.kind {
            Kind::Eac3 => FRAGMENT,
            Kind::Ac3 if !is_first => FURTHER,
            // The first five eighths are checked by a checksum of their own (RFC 4184 §4.1.1).
            Kind::Ac3 if fragment.len() * 8 >= frame.len() * 5 => FIRST_LARGE,
            Kind::Ac3 => FIRST_SMALL,
        }
    }

    fn fragment(&self, frame: &[u8], is_last_frame: bool, sink: Sink<'_>) {
        let count = u8::try_from(frame.len().div_ceil(self.max_bytes)).unwrap_or(u8::MAX);
        let mut fragments = frame.chunks(self.max_bytes).peekable();
        let mut is_first = true;
        while let Some(body) = fragments.next() {
            let head = [self.fragment_type(std::mem::take(&mut is_first), body, frame), count];
            let marker = is_last_frame && fragments.peek().is_none();
            sink(Payload { head: &head, body, marker, timestamp_offset: 0 });
        }
    }
}

impl Packetize for Packetizer {
    /// All syncframes of the access unit together, or each in fragments.
    fn packetize(&mut self, access_unit: &[u8], _is_key: bool, sink: Sink<'_>) -> Result<(), CodecError> {
        let frames = || syncframes(access_unit);
        if access_unit.len() <= self.max_bytes {
            let count = u8::try_from(frames().count().max(1)).unwrap_or(u8::MAX);
            sink(Payload { head: &[WHOLE, count], body: access_unit, marker: true, timestamp_offset: 0 });
            return Ok(());
        }
        let mut frames = frames().peekable();
        while let Some(frame) = frames.next() {
            self.fragment(frame?.1, frames.peek().is_none(), sink);
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Depacketizer {
    kind: Kind,
    fragments: Fragments,
    clock_rate_hz: u32,
}

impl Depacketizer {
    pub(super) fn new(kind: Kind, clock_rate_hz: u32, max_bytes: usize) -> Self {
        Self { kind, fragments: Fragments::new(max_bytes), clock_rate_hz }
    }

    /// Cuts a run of syncframes into access units: one begins with each independent substream 0 (ETSI TS 102 366 §E.1.3.1.2).
    fn emit(&self, (run, timestamp): Whole, out: &mut Output) -> Result<(), CodecError> {
        let (mut begin, mut end, mut samples, mut unit_samples) = (0, 0, 0_u64, 0);
        for frame in syncframes(&run) {
            let (header, bytes) = frame.inspect_err(|_| out.lose())?;
            if bytes.len() < header.frame_bytes {
                out.lose();
                return Err(CodecError::Malformed { what: "AC-3 syncframe", offset: end });
            }
            if end == 0 && !begins_access_unit(&header) {
                // More channels of a frame that is not there.
                out.lose();
                return Ok(());
            }
            if begins_access_unit(&header) && end > begin {
                self.emit_unit(run.slice(begin..end), timestamp, samples, out);
                samples += u64::from(std::mem::take(&mut unit_samples));
                begin = end;
            }
            unit_samples = unit_samples.max(header.samples);
            end += bytes.len();
        }
        if end > begin {
            self.emit_unit(run.slice(begin..end), timestamp, samples, out);
        }
        Ok(())
    }

    /// `samples`: those in front of it since the time of the packet.
    fn emit_unit(&self, unit: Bytes, timestamp: u32, samples: u64, out: &mut Output) {
        let Ok(header) = SyncFrame::parse(&unit) else { return out.lose() };
        let config = if header.is_eac3() {
            Eac3Config::from_access_unit(&unit).map(CodecConfig::Eac3)
        } else {
            Ac3Config::from_syncframe(&header).map(CodecConfig::Ac3)
        };
        if let Ok(config) = config
            && !goes_on(out.config(), &config)
        {
            out.set_config(config);
        }
        let ticks = samples * u64::from(self.clock_rate_hz) / u64::from(header.sample_rate_hz.max(1));
        out.emit(unit, timestamp, ticks as u32, false);
    }

    fn is_whole(&self, head: u8) -> bool {
        match self.kind {
            Kind::Ac3 => head & 0b11 == WHOLE,
            Kind::Eac3 => head & FRAGMENT == 0,
        }
    }
}

/// Whether what `said` says is but another bit rate of E-AC-3, which varies from one access unit to the next.
fn goes_on(known: Option<&CodecConfig>, said: &CodecConfig) -> bool {
    match (known, said) {
        (Some(CodecConfig::Eac3(known)), CodecConfig::Eac3(said)) => known.is_same_sound(said),
        _ => false,
    }
}

fn begins_access_unit(header: &SyncFrame) -> bool {
    header.substream.is_none_or(|substream| substream.stream_type != StreamType::Dependent && substream.id == 0)
}

impl Depacketize for Depacketizer {
    fn push(&mut self, packet: &Packet, is_after_gap: bool, out: &mut Output) -> Result<(), CodecError> {
        if let Some(whole) = self.fragments.turn(packet, is_after_gap, out) {
            self.emit(whole, out)?;
        }
        let Some((&[head, _], data)) = packet.payload.split_first_chunk::<HEAD_BYTES>() else {
            out.lose();
            return Err(CodecError::Malformed { what: "AC-3 payload header", offset: packet.payload.len() });
        };
        if self.is_whole(head) && !self.fragments.is_open() {
            return self.emit((packet.payload.slice(HEAD_BYTES..), packet.header.timestamp), out);
        }
        // A further substream begins like a frame, within the same access unit.
        let begins =
            self.fragments.is_empty() && SyncFrame::parse(data).is_ok_and(|header| begins_access_unit(&header));
        if let Some(whole) = self.fragments.push(data, begins, packet.header.marker, out)? {
            self.emit(whole, out)?;
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Output) {
        if let Some(whole) = self.fragments.flush(out) {
            // What is refused has been counted.
            drop(self.emit(whole, out));
        }
    }

    fn reset(&mut self) {
        self.fragments.reset();
    }

    fn buffered_bytes(&self) -> usize {
        self.fragments.len()
    }
}
