//! Sound whose frames begin with a sync word: several in a PES packet, or one over many.

use arcly_bus::FrameFlags;
use arcly_codec::{CodecConfig, aac::parse_adts};
use bytes::Bytes;

use super::{Essence, Outlet, Unit};
use crate::time::rescale;

/// What tells frames apart.
pub(super) trait Framing: std::fmt::Debug + Send + Sync {
    /// The first byte of every frame.
    const SYNC_BYTE: u8;

    /// What begins at the first of `bytes`, of which there is at least one.
    fn parse(&self, bytes: &[u8]) -> Parsed;

    /// The configuration of a whole frame.
    fn config(&self, frame: &[u8]) -> Option<CodecConfig>;
}

/// What begins where a frame is looked for.
#[derive(Debug)]
pub(super) enum Parsed {
    Frame(FrameFacts),
    /// Perhaps a frame: more bytes are needed to tell.
    Incomplete,
    Nothing,
}

/// A frame that may not be whole yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FrameFacts {
    /// Bytes in front of what the bus carries.
    pub(super) header_bytes: usize,
    /// All bytes, header included; at least one.
    pub(super) bytes: usize,
    pub(super) samples: u32,
    pub(super) rate_hz: u32,
    /// Frames of one configuration have the same one.
    pub(super) signature: u64,
}

/// How far the wire may be from the grid of the samples: the times of some encoders are whole milliseconds.
const TOLERANCE_MS: i64 = 2;

/// Frames of one stream. Holds less than one frame.
#[derive(Debug)]
pub(super) struct Frames<F> {
    framing: F,
    /// The beginning of a frame whose rest is in the next PES packet.
    carry: Vec<u8>,
    /// The PTS that goes with the frame in `carry`.
    carry_pts_90k: Option<i64>,
    /// The sample behind the newest frame, and the rate it is counted in.
    expected: Option<(i64, u32)>,
    /// Where a frame was expected there was none: the next one counts only if another one follows it.
    is_lost: bool,
    signature: Option<u64>,
}

impl<F: Framing> Frames<F> {
    pub(super) fn new(framing: F) -> Self {
        let (carry_pts_90k, expected, signature) = (None, None, None);
        Self { framing, carry: Vec::new(), carry_pts_90k, expected, is_lost: true, signature }
    }

    /// The time of a frame that begins in a PES packet at `pts_90k`: on the grid of the samples, unless the wire is off it.
    fn start(&self, pts_90k: Option<i64>, rate_hz: u32) -> Option<i64> {
        let expected = self.expected.filter(|(_, rate)| *rate == rate_hz).map(|(expected, _)| expected);
        let Some(pts_90k) = pts_90k else { return expected };
        let wire = rescale(pts_90k, 90_000, rate_hz);
        let tolerance = i64::from(rate_hz) * TOLERANCE_MS / 1_000;
        Some(expected.filter(|expected| (wire - expected).abs() <= tolerance).unwrap_or(wire))
    }

    fn emit(&mut self, facts: FrameFacts, pts_90k: Option<i64>, frame: &[u8], outlet: &mut Outlet) {
        let Some(start) = self.start(pts_90k, facts.rate_hz) else { return outlet.drop_frame() };
        if self.signature != Some(facts.signature) {
            let Some(config) = self.framing.config(frame) else { return outlet.drop_frame() };
            outlet.config(config);
            self.signature = Some(facts.signature);
        }
        let payload = Bytes::copy_from_slice(frame.get(facts.header_bytes..).unwrap_or_default());
        outlet.frame((start, start), facts.samples, FrameFlags::NONE, payload);
        self.expected = Some((start.saturating_add(i64::from(facts.samples)), facts.rate_hz));
    }

    /// Cuts `bytes` into frames. `pts_90k` belongs to the first frame that begins behind `old_bytes`, which are of an earlier
    /// PES packet (§2.4.3.7). Returns how many bytes are done with.
    fn cut(&mut self, bytes: &[u8], old_bytes: usize, mut pts_90k: Option<i64>, outlet: &mut Outlet) -> usize {
        let mut carry_pts_90k = self.carry_pts_90k.take();
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.frame_at(rest) {
                Parsed::Frame(facts) => {
                    let Some(frame) = rest.get(..facts.bytes) else { break };
                    let wire = if at >= old_bytes { pts_90k.take() } else { carry_pts_90k.take() };
                    at += facts.bytes;
                    self.is_lost = false;
                    self.emit(facts, wire, frame, outlet);
                }
                Parsed::Incomplete => break,
                Parsed::Nothing => {
                    at += self.pass_over(rest, outlet);
                    carry_pts_90k = None;
                }
            }
        }
        self.carry_pts_90k = if at >= old_bytes { pts_90k } else { carry_pts_90k };
        at
    }

    /// Bytes up to where a frame may begin.
    fn pass_over(&mut self, bytes: &[u8], outlet: &mut Outlet) -> usize {
        if !std::mem::replace(&mut self.is_lost, true) {
            outlet.drop_frame();
        }
        let next = bytes.iter().skip(1).position(|byte| *byte == F::SYNC_BYTE);
        next.map_or(bytes.len(), |next| next + 1)
    }

    /// The frame at the first byte; one that does not follow another must be followed by one.
    fn frame_at(&self, bytes: &[u8]) -> Parsed {
        let parsed = self.framing.parse(bytes);
        let Parsed::Frame(facts) = &parsed else { return parsed };
        let behind = bytes.get(facts.bytes..).filter(|behind| self.is_lost && !behind.is_empty());
        match behind.map(|behind| self.framing.parse(behind)) {
            Some(Parsed::Nothing) => Parsed::Nothing,
            _ => parsed,
        }
    }
}

impl<F: Framing> Essence for Frames<F> {
    fn unit(&mut self, unit: Unit, outlet: &mut Outlet) {
        let pts_90k = unit.times.map(|times| times.pts_90k);
        if self.carry.is_empty() {
            let used = self.cut(&unit.content, 0, pts_90k, outlet);
            return self.carry.extend_from_slice(unit.content.get(used..).unwrap_or_default());
        }
        let mut bytes = std::mem::take(&mut self.carry);
        let old_bytes = bytes.len();
        bytes.extend_from_slice(&unit.content);
        let used = self.cut(&bytes, old_bytes, pts_90k, outlet);
        bytes.drain(..used);
        self.carry = bytes;
    }

    fn lose(&mut self) {
        self.carry.clear();
        self.carry_pts_90k = None;
        self.is_lost = true;
    }

    fn buffered_bytes(&self) -> usize {
        self.carry.len()
    }
}

/// AAC in ADTS (ISO/IEC 14496-3 §1.A.2).
#[derive(Debug)]
pub(super) struct Adts;

/// Bytes of the longer header.
const ADTS_HEADER_BYTES: usize = 9;

impl Framing for Adts {
    const SYNC_BYTE: u8 = 0xFF;

    fn parse(&self, bytes: &[u8]) -> Parsed {
        let is_sync = matches!(bytes, [0xFF] | [0xFF, 0xF0 | 0xF1 | 0xF8 | 0xF9, ..]);
        match parse_adts(bytes) {
            _ if !is_sync => Parsed::Nothing,
            Err(_) if bytes.len() < ADTS_HEADER_BYTES => Parsed::Incomplete,
            Err(_) => Parsed::Nothing,
            Ok(header) => Parsed::Frame(FrameFacts {
                header_bytes: header.header_bytes,
                bytes: header.frame_bytes,
                samples: 1024,
                rate_hz: header.sample_rate_hz,
                signature: u64::from(header.sample_rate_hz) << 16
                    | u64::from(header.object_type) << 8
                    | u64::from(header.channels),
            }),
        }
    }

    fn config(&self, frame: &[u8]) -> Option<CodecConfig> {
        parse_adts(frame).ok()?.config().ok().map(CodecConfig::Aac)
    }
}
