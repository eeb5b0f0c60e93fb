//! Waveforms: G.711, G.722, linear PCM (RFC 3551 §4.5, RFC 3190). The payload is samples.

use arcly_codec::{CodecConfig, CodecError, pcm::PcmConfig};

use super::{
    depacketizer::{Depacketize, Output},
    packetizer::{Packetize, Payload, Sink},
};
use crate::rtp::{Packet, format::Format};

/// Bytes that hold whole samples of all channels.
fn block_bytes(config: &CodecConfig) -> usize {
    pcm(config).map_or(1, |pcm| pcm.bytes(1).max(1))
}

fn pcm(config: &CodecConfig) -> Option<&PcmConfig> {
    match config {
        CodecConfig::G711A(config)
        | CodecConfig::G711U(config)
        | CodecConfig::G722(config)
        | CodecConfig::Pcm(config) => Some(config),
        _ => None,
    }
}

#[derive(Debug)]
pub(super) struct Packetizer {
    format: Format,
    config: CodecConfig,
    max_bytes: usize,
}

impl Packetizer {
    pub(super) fn new(format: &Format, config: &CodecConfig, max_bytes: usize) -> Self {
        let block = block_bytes(config);
        let (format, config) = (format.clone(), config.clone());
        Self { format, config, max_bytes: (max_bytes / block * block).max(block) }
    }

    /// Ticks of the format's clock that so many bytes last.
    fn ticks(&self, bytes: usize) -> u32 {
        let samples = pcm(&self.config).map_or(0, |pcm| pcm.samples(bytes));
        self.format.ticks_of_bus(i64::from(samples), &self.config) as u32
    }
}

impl Packetize for Packetizer {
    fn packetize(&mut self, access_unit: &[u8], _is_key: bool, sink: Sink<'_>) -> Result<(), CodecError> {
        for (body, index) in access_unit.chunks(self.max_bytes).zip(0..) {
            let timestamp_offset = self.ticks(index * self.max_bytes);
            sink(Payload { head: &[], body, marker: false, timestamp_offset });
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Depacketizer {
    block_bytes: usize,
}

impl Depacketizer {
    pub(super) fn new(config: Option<&CodecConfig>) -> Self {
        Self { block_bytes: config.map_or(1, block_bytes) }
    }
}

impl Depacketize for Depacketizer {
    fn push(&mut self, packet: &Packet, _is_after_gap: bool, out: &mut Output) -> Result<(), CodecError> {
        let bytes = packet.payload.len() / self.block_bytes * self.block_bytes;
        if bytes > 0 {
            out.emit(packet.payload.slice(..bytes), packet.header.timestamp, 0, false);
        }
        if bytes < packet.payload.len() {
            return Err(CodecError::Malformed { what: "samples: the last one is not whole", offset: bytes });
        }
        Ok(())
    }

    fn reset(&mut self) {}

    fn buffered_bytes(&self) -> usize {
        0
    }
}
