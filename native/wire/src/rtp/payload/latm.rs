//! AAC in LATM (RFC 6416 §6): the payload is an AudioMuxElement, or a fragment of one.

use arcly_codec::{
    CodecConfig, CodecError,
    aac::{
        AudioSpecificConfig,
        latm::{AudioMuxElement, LatmWriter, MAX_ELEMENT_BYTES, StreamMuxConfig},
    },
};

use super::{
    depacketizer::{Depacketize, Output},
    fragments::{Fragments, Whole},
    packetizer::{Packetize, Payload, Sink},
};
use crate::rtp::{Packet, format::Format};

/// With the configuration in each element (`cpresent=1`), so that a reader can enter anywhere.
#[derive(Debug)]
pub(super) struct Packetizer {
    writer: LatmWriter,
    max_bytes: usize,
}

impl Packetizer {
    pub(super) fn new(config: &AudioSpecificConfig, max_bytes: usize) -> Self {
        Self { writer: LatmWriter::new(config.clone()), max_bytes }
    }
}

impl Packetize for Packetizer {
    fn packetize(&mut self, access_unit: &[u8], _is_key: bool, sink: Sink<'_>) -> Result<(), CodecError> {
        if access_unit.is_empty() {
            return Ok(());
        }
        let element = self.writer.element(access_unit)?;
        let mut fragments = element.chunks(self.max_bytes).peekable();
        while let Some(body) = fragments.next() {
            sink(Payload { head: &[], body, marker: fragments.peek().is_none(), timestamp_offset: 0 });
        }
        Ok(())
    }

    fn reconfigure(&mut self, config: &CodecConfig) {
        if let CodecConfig::Aac(config) = config {
            self.writer = LatmWriter::new(config.clone());
        }
    }
}

#[derive(Debug)]
pub(super) struct Depacketizer {
    fragments: Fragments,
    /// An element has been read: until then what comes may be the rest of one.
    has_begun: bool,
    /// The configuration is in the elements.
    is_in_band: bool,
    mux_config: Option<StreamMuxConfig>,
    clock_rate_hz: u32,
}

impl Depacketizer {
    pub(super) fn new(format: &Format, mux_config: Option<StreamMuxConfig>, max_bytes: usize) -> Self {
        Self {
            fragments: Fragments::new(max_bytes.min(MAX_ELEMENT_BYTES)),
            has_begun: false,
            // 1 where nothing is said (RFC 6416 §7.4.1).
            is_in_band: format.parameters.number("cpresent") != Some(0),
            mux_config,
            clock_rate_hz: format.clock_rate_hz,
        }
    }

    fn emit(&mut self, (element, timestamp): Whole, out: &mut Output) -> Result<(), CodecError> {
        let element = match &self.mux_config {
            Some(config) if !self.is_in_band => AudioMuxElement::parse_without_config(&element, config),
            previous => AudioMuxElement::parse(&element, previous.as_ref()),
        };
        let has_begun = std::mem::replace(&mut self.has_begun, true);
        let element = match element {
            Ok(element) => element,
            Err(error) => {
                out.lose();
                return if has_begun { Err(error) } else { Ok(()) };
            }
        };
        if let Some(config) = element.config {
            out.set_config(CodecConfig::Aac(config.audio.clone()));
            self.mux_config = Some(config);
        }
        let audio = self.mux_config.as_ref().map(|config| &config.audio);
        let (samples, rate) = audio.map_or((1_024, 1), |audio| (audio.samples_per_frame, audio.sample_rate_hz.max(1)));
        for (unit, index) in element.access_units.into_iter().zip(0_u64..) {
            // At most 64 of 1024.
            let ticks = index * u64::from(samples) * u64::from(self.clock_rate_hz) / u64::from(rate);
            out.emit(unit, timestamp, ticks as u32, false);
        }
        Ok(())
    }
}

impl Depacketize for Depacketizer {
    fn push(&mut self, packet: &Packet, is_after_gap: bool, out: &mut Output) -> Result<(), CodecError> {
        if let Some(whole) = self.fragments.turn(packet, is_after_gap, out) {
            self.emit(whole, out)?;
        }
        // Nothing says where an element begins but the end of the one in front: behind a gap it may be the rest of one.
        let begins = self.fragments.is_empty() && !is_after_gap;
        if let Some(whole) = self.fragments.push(&packet.payload, begins, packet.header.marker, out)? {
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
        self.has_begun = false;
    }

    fn buffered_bytes(&self) -> usize {
        self.fragments.len()
    }
}
