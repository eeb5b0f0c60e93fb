//! AAC in LOAS (ISO/IEC 14496-3 §1.7.2), which is what `stream_type` 0x11 has.

use arcly_bus::FrameFlags;
use arcly_codec::{
    CodecConfig,
    aac::latm::{AudioMuxElement, LoasReader, StreamMuxConfig},
};

use super::{Essence, Outlet, Unit, grid::Grid};

/// Elements of one stream.
#[derive(Debug, Default)]
pub(super) struct Latm {
    reader: LoasReader,
    grid: Grid,
    config: Option<StreamMuxConfig>,
    /// The PTS that goes with the element whose rest is in the next PES packet.
    carry_pts_90k: Option<i64>,
}

impl Latm {
    fn element(&mut self, bytes: &[u8], mut pts_90k: Option<i64>, outlet: &mut Outlet) {
        let Ok(element) = AudioMuxElement::parse(bytes, self.config.as_ref()) else { return outlet.drop_frame() };
        if let Some(config) = element.config.filter(|config| self.config.as_ref() != Some(config)) {
            outlet.config(CodecConfig::Aac(config.audio.clone()));
            self.config = Some(config);
        }
        let Some(audio) = self.config.as_ref().map(|config| &config.audio) else { return outlet.drop_frame() };
        for unit in element.access_units {
            match self.grid.place(pts_90k.take(), audio.sample_rate_hz, audio.samples_per_frame) {
                Some(start) => outlet.frame((start, start), audio.samples_per_frame, FrameFlags::NONE, unit),
                None => outlet.drop_frame(),
            }
        }
    }
}

impl Essence for Latm {
    fn unit(&mut self, unit: Unit, outlet: &mut Outlet) {
        let mut is_carried = self.reader.buffered_bytes() > 0;
        let mut pts_90k = unit.times.map(|times| times.pts_90k);
        let mut elements = Vec::new();
        self.reader.feed(&unit.content, |element| elements.push(element));
        for element in elements {
            let wire = if std::mem::take(&mut is_carried) { self.carry_pts_90k.take() } else { pts_90k.take() };
            self.element(&element, wire, outlet);
        }
        if !is_carried {
            self.carry_pts_90k = pts_90k;
        }
    }

    fn lose(&mut self, _outlet: &mut Outlet) {
        self.reader.reset();
        self.carry_pts_90k = None;
    }

    fn buffered_bytes(&self) -> usize {
        self.reader.buffered_bytes()
    }
}
