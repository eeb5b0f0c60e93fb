//! Sound whose frames begin with a sync word: several in a PES packet, or one over many.

use arcly_bus::FrameFlags;
use arcly_codec::CodecConfig;
use bytes::Bytes;

use super::{
    Essence, Outlet, Unit,
    framing::{FrameFacts, Framing, Parsed},
    grid::Grid,
};

/// Frames of one stream. Holds less than one frame.
#[derive(Debug)]
pub(super) struct Frames<F> {
    framing: F,
    grid: Grid,
    /// The beginning of a frame whose rest is in the next PES packet.
    carry: Vec<u8>,
    /// The PTS that goes with the frame in `carry`.
    carry_pts_90k: Option<i64>,
    /// Where a frame was expected there was none: the next one counts only if another one follows it.
    is_lost: bool,
    /// The configuration that holds, and the signature of frames that have it.
    known: Option<(u64, CodecConfig)>,
}

impl<F: Framing> Frames<F> {
    pub(super) fn new(framing: F) -> Self {
        let (carry, carry_pts_90k, known) = (Vec::new(), None, None);
        Self { framing, grid: Grid::default(), carry, carry_pts_90k, is_lost: true, known }
    }

    /// Whether the configuration of a frame is known: its own, or that of the frames before it with the same signature.
    fn configure(&mut self, facts: &FrameFacts, frame: &[u8], outlet: &mut Outlet) -> bool {
        let known = self.known.as_ref().filter(|(signature, _)| *signature == facts.signature);
        if known.is_some() && !facts.is_described {
            return true;
        }
        let Some(config) = self.framing.config(frame) else { return known.is_some() };
        if known.is_none_or(|(_, known)| !self.framing.goes_on(known, &config)) {
            outlet.config(config.clone());
            self.known = Some((facts.signature, config));
        }
        true
    }

    fn emit(&mut self, facts: &FrameFacts, pts_90k: Option<i64>, frame: &[u8], outlet: &mut Outlet) {
        if !self.configure(facts, frame, outlet) {
            return outlet.drop_frame();
        }
        let Some(start) = self.grid.place(pts_90k, facts.rate_hz, facts.samples) else { return outlet.drop_frame() };
        let payload = Bytes::copy_from_slice(frame.get(facts.header_bytes..).unwrap_or_default());
        if payload.is_empty() {
            return outlet.drop_frame();
        }
        outlet.frame((start, start), facts.samples, FrameFlags::NONE, payload);
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
                    self.emit(&facts, wire, frame, outlet);
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

    fn lose(&mut self, _outlet: &mut Outlet) {
        self.carry.clear();
        self.carry_pts_90k = None;
        self.is_lost = true;
    }

    fn buffered_bytes(&self) -> usize {
        self.carry.len()
    }
}
