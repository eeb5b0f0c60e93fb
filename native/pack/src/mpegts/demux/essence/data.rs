//! Timed data in PES packets: ID3 tags (Apple, "Timed Metadata for HTTP Live Streaming") and KLV (MISB ST 1402).

use arcly_bus::FrameFlags;
use bytes::Bytes;

use super::{Essence, Outlet, Unit};

/// ID3: a PES packet is one or more whole tags.
#[derive(Debug)]
pub(super) struct Id3;

impl Essence for Id3 {
    fn unit(&mut self, unit: Unit, outlet: &mut Outlet) {
        let content = unit.content.clone();
        emit(&unit, content, outlet);
    }
}

/// KLV: asynchronous, where a PES packet need not have a time, or in metadata access units.
#[derive(Debug)]
pub(super) struct Klv {
    pub(super) is_sync: bool,
}

impl Essence for Klv {
    fn unit(&mut self, unit: Unit, outlet: &mut Outlet) {
        if !self.is_sync {
            let content = unit.content.clone();
            return emit(&unit, content, outlet);
        }
        let mut rest = unit.content.clone();
        while !rest.is_empty() {
            let Some((cell, behind)) = split_cell(&rest) else { return outlet.drop_frame() };
            emit(&unit, cell, outlet);
            rest = behind;
        }
    }
}

/// `metadata_AU_cell` (§2.12.4): what it holds, and what is behind it.
fn split_cell(bytes: &Bytes) -> Option<(Bytes, Bytes)> {
    let &[_, _, _, high, low] = bytes.first_chunk::<5>()?;
    let end = 5 + usize::from(u16::from_be_bytes([high, low]));
    (end <= bytes.len()).then(|| (bytes.slice(5..end), bytes.slice(end..)))
}

/// At the time of its PES packet, or else now.
fn emit(unit: &Unit, payload: Bytes, outlet: &mut Outlet) {
    let time = unit.times.map(|times| (times.pts_90k, times.dts_90k)).or(unit.now_90k.map(|now| (now, now)));
    match time {
        Some(times) if !payload.is_empty() => outlet.frame(times, 0, FrameFlags::NONE, payload),
        _ => outlet.drop_frame(),
    }
}
