//! Opus packets, each behind a control header ("Opus in MPEG-2 Transport Streams").

use arcly_bus::FrameFlags;
use arcly_codec::opus::{CLOCK_RATE_HZ, ControlHeader, packet_samples};

use super::{Essence, Outlet, Unit, grid::Grid};

/// Packets of one stream: a PES packet has whole ones.
#[derive(Debug, Default)]
pub(super) struct Opus {
    grid: Grid,
}

impl Essence for Opus {
    fn unit(&mut self, unit: Unit, outlet: &mut Outlet) {
        let mut pts_90k = unit.times.map(|times| times.pts_90k);
        let mut at = 0;
        while let Some(rest) = unit.content.get(at..).filter(|rest| !rest.is_empty()) {
            let Ok(header) = ControlHeader::parse(rest) else { return outlet.drop_frame() };
            let begin = at + header.header_bytes;
            let end = begin + header.payload_bytes;
            at = end;
            let packet = unit.content.get(begin..end).and_then(|packet| packet_samples(packet).ok());
            let Some(samples) = packet else { return outlet.drop_frame() };
            match self.grid.place(pts_90k.take(), CLOCK_RATE_HZ, samples) {
                Some(start) => {
                    let kept = samples.saturating_sub(u32::from(header.end_trim));
                    outlet.frame((start, start), kept, FrameFlags::NONE, unit.content.slice(begin..end));
                }
                None => outlet.drop_frame(),
            }
        }
    }
}
