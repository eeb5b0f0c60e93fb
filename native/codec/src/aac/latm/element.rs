//! `AudioMuxElement()` (ISO/IEC 14496-3 §1.7.3.2).

use bytes::Bytes;

use super::{
    super::AudioSpecificConfig,
    mux_config::{FrameLength, StreamMuxConfig},
};
use crate::{CodecError, bit_packer::BitPacker, bits::BitReader};

/// Largest element that is read. That of LOAS has a length of 13 bits; that of RTP is one packet, or some.
pub const MAX_ELEMENT_BYTES: usize = 65_536;

/// The access units of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioMuxElement {
    /// The configuration that stood in front of them, if one did. It holds for what follows, too.
    pub config: Option<StreamMuxConfig>,
    /// Raw access units, in order; those of no bytes are left out.
    pub access_units: Vec<Bytes>,
}

impl AudioMuxElement {
    /// Reads an element with `muxConfigPresent` 1: LOAS, and RTP with `cpresent=1`. `previous` is the configuration of an
    /// element before, which this one may say to have too.
    ///
    /// # Errors
    /// [`CodecError`] when it is malformed or unsupported, or refers to a configuration that there was none of.
    pub fn parse(bytes: &[u8], previous: Option<&StreamMuxConfig>) -> Result<Self, CodecError> {
        check_bytes(bytes.len())?;
        let mut bits = BitReader::new(bytes);
        if !bits.flag("useSameStreamMux")? {
            let config = StreamMuxConfig::read(&mut bits)?;
            let access_units = access_units(&mut bits, &config)?;
            return Ok(Self { config: Some(config), access_units });
        }
        let previous = previous.ok_or(CodecError::Malformed { what: "useSameStreamMux", offset: 0 })?;
        Ok(Self { config: None, access_units: access_units(&mut bits, previous)? })
    }

    /// Reads an element with `muxConfigPresent` 0: RTP with `cpresent=0`, where the configuration is in SDP.
    ///
    /// # Errors
    /// [`CodecError`] when it is malformed.
    pub fn parse_without_config(bytes: &[u8], config: &StreamMuxConfig) -> Result<Self, CodecError> {
        check_bytes(bytes.len())?;
        Ok(Self { config: None, access_units: access_units(&mut BitReader::new(bytes), config)? })
    }
}

fn check_bytes(seen: usize) -> Result<(), CodecError> {
    if seen <= MAX_ELEMENT_BYTES {
        return Ok(());
    }
    Err(CodecError::LimitExceeded { limit: "bytes of an AudioMuxElement", max: MAX_ELEMENT_BYTES, seen })
}

/// `PayloadLengthInfo()` and `PayloadMux()` of each subframe, then the other data.
fn access_units(bits: &mut BitReader<'_>, config: &StreamMuxConfig) -> Result<Vec<Bytes>, CodecError> {
    let mut units = Vec::with_capacity(usize::from(config.sub_frames));
    for _ in 0..config.sub_frames {
        let bytes = match config.frame_length {
            FrameLength::Fixed { bits } => bits as usize / 8,
            FrameLength::Variable => slot_bytes(bits)?,
        };
        let mut unit = BitPacker::with_capacity(bytes.min(bits.remaining_bits() / 8));
        unit.copy(bits, 8 * bytes, "PayloadMux")?;
        if bytes > 0 {
            units.push(unit.finish());
        }
    }
    bits.skip(config.other_data_bits as usize, "otherDataBit")?;
    Ok(units)
}

/// `MuxSlotLengthBytes`: the sum of bytes up to and with the first that is not 255.
fn slot_bytes(bits: &mut BitReader<'_>) -> Result<usize, CodecError> {
    let mut bytes = 0;
    loop {
        let more = bits.u(8, "MuxSlotLengthBytes")?;
        bytes += more as usize;
        if more != 255 {
            return Ok(bytes);
        }
    }
}

/// Makes the elements of one track, each with its configuration, so that a reader can enter anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatmWriter {
    audio: AudioSpecificConfig,
}

impl LatmWriter {
    /// A writer for access units of this configuration.
    pub fn new(audio: AudioSpecificConfig) -> Self {
        Self { audio }
    }

    /// The element of an access unit, with `muxConfigPresent` 1.
    ///
    /// # Errors
    /// [`CodecError::LimitExceeded`] when it would be larger than [`MAX_ELEMENT_BYTES`].
    pub fn element(&self, access_unit: &[u8]) -> Result<Bytes, CodecError> {
        let mut bits = BitPacker::with_capacity(access_unit.len() + access_unit.len() / 255 + 64);
        bits.flag(false);
        StreamMuxConfig::write(&mut bits, &self.audio);
        for _ in 0..access_unit.len() / 255 {
            bits.u(8, 255);
        }
        bits.u(8, (access_unit.len() % 255) as u32);
        bits.put(access_unit);
        let element = bits.finish();
        check_bytes(element.len())?;
        Ok(element)
    }
}
