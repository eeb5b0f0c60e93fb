//! The ADTS header (ISO/IEC 14496-3 §1.A.2.2): seven bytes in front of an access unit, nine with a checksum.

use bytes::Bytes;

use super::{
    AudioSpecificConfig, ID_PCE, SAMPLE_RATES_HZ, sampling_frequency_index, specific::copy_program_config_element,
};
use crate::{CodecError, bit_packer::BitPacker, bits::BitReader};

/// Bytes of the header that [`AdtsWriter`] makes: without a checksum.
pub const ADTS_HEADER_BYTES: usize = 7;

/// Largest frame, header included: 13 bits of `aac_frame_length`.
pub const MAX_ADTS_FRAME_BYTES: usize = 0x1fff;

/// Makes what stands in front of the access units of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdtsWriter {
    /// Everything but `aac_frame_length`.
    template: [u8; ADTS_HEADER_BYTES],
    /// For access units that come without, where the header does not say the channels: who joins needs it in each.
    program_config: Bytes,
}

impl AdtsWriter {
    /// A writer for access units of this configuration. SBR and PS are left for the decoder to discover (§1.6.5.1).
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for what ADTS cannot say: object types other than 1 to 4, sampling rates out of the
    /// table, frames of other than 1024 samples, and the channel configurations above 7.
    pub fn new(config: &AudioSpecificConfig) -> Result<Self, CodecError> {
        let unsupported = |what| CodecError::Unsupported { what };
        let profile = config.object_type.checked_sub(1).filter(|&profile| profile < 4);
        let profile = profile.ok_or(unsupported("audio object type in ADTS: not 1 to 4"))?;
        let index = sampling_frequency_index(config.sample_rate_hz);
        let index = index.ok_or(unsupported("sampling rate in ADTS: not one of the table"))?;
        let channels = Some(config.channel_configuration).filter(|&configuration| configuration <= 7);
        let channels = channels.ok_or(unsupported("channel configuration in ADTS: not 0 to 7"))?;
        if config.samples_per_frame != 1024 {
            return Err(unsupported("frame length in ADTS: not 1024 samples"));
        }
        Ok(Self { template: template(profile, index, channels), program_config: config.raw_program_config()? })
    }

    /// Appends what stands in front of this access unit: the header, and a program_config_element where that is to say the
    /// channels and the access unit does not begin with one.
    ///
    /// # Errors
    /// [`CodecError::LimitExceeded`] when the frame would be larger than [`MAX_ADTS_FRAME_BYTES`]; nothing is appended.
    pub fn put_in_front_of(&self, access_unit: &[u8], into: &mut Vec<u8>) -> Result<(), CodecError> {
        let program_config = if begins_with_program_config(access_unit) { &[] } else { &self.program_config[..] };
        let header = self.header(program_config.len().saturating_add(access_unit.len()))?;
        into.extend_from_slice(&header);
        into.extend_from_slice(program_config);
        Ok(())
    }

    fn header(&self, payload_bytes: usize) -> Result<[u8; ADTS_HEADER_BYTES], CodecError> {
        let seen = payload_bytes.saturating_add(ADTS_HEADER_BYTES);
        let length = u16::try_from(seen).ok().filter(|_| seen <= MAX_ADTS_FRAME_BYTES);
        let max = MAX_ADTS_FRAME_BYTES;
        let length = length.ok_or(CodecError::LimitExceeded { limit: "bytes of an ADTS frame", max, seen })?;
        // 13 bits, the first two of which end byte 3 and the last three of which begin byte 5.
        let [high, middle_low] = length.to_be_bytes();
        let [b0, b1, b2, b3, _, b5, b6] = self.template;
        let b3 = b3 | high >> 3;
        let b4 = high << 5 | middle_low >> 3;
        let b5 = b5 | middle_low << 5;
        Ok([b0, b1, b2, b3, b4, b5, b6])
    }
}

/// Whether an access unit begins with `ID_PCE`, which encoders need not send with each.
pub fn begins_with_program_config(access_unit: &[u8]) -> bool {
    access_unit.first().is_some_and(|&first| u32::from(first >> 5) == ID_PCE)
}

/// MPEG-4, no checksum, one access unit, and a buffer fullness of all ones: variable bit rate.
fn template(profile: u8, sampling_frequency_index: u8, channel_configuration: u8) -> [u8; ADTS_HEADER_BYTES] {
    let b2 = profile << 6 | sampling_frequency_index << 2 | channel_configuration >> 2;
    [0xff, 0xf1, b2, (channel_configuration & 0b11) << 6, 0, 0x1f, 0xfc]
}

/// What an ADTS header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdtsHeader {
    /// `audioObjectType` of the core coder: 1 to 4.
    pub object_type: u8,
    /// Sampling rate of the core coder, in Hz.
    pub sample_rate_hz: u32,
    /// Channels: 1 to 6, or 8; 0 when a program_config_element in the access unit says it.
    pub channels: u8,
    /// Bytes of the header: 7, or 9 with a checksum. The access unit begins here.
    pub header_bytes: usize,
    /// Bytes of the frame, header included: at least `header_bytes`. The next header begins here.
    pub frame_bytes: usize,
}

impl AdtsHeader {
    /// The configuration that the access units behind such headers have.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] when a program_config_element says the channels: see [`Self::config_of`].
    pub fn config(&self) -> Result<AudioSpecificConfig, CodecError> {
        AudioSpecificConfig::new(self.object_type, self.sample_rate_hz, self.channels)
    }

    /// The configuration of this access unit, whose program_config_element is taken when the header says no channels. It
    /// must come first in the access unit (ISO/IEC 14496-3 §4.5.2.1.1); encoders send it with some access units only.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] when another element comes first; [`CodecError::Malformed`].
    pub fn config_of(&self, access_unit: &[u8]) -> Result<AudioSpecificConfig, CodecError> {
        if self.channels > 0 {
            return self.config();
        }
        let mut bits = BitReader::new(access_unit);
        if bits.u(3, "id_syn_ele")? != ID_PCE {
            return Err(CodecError::Unsupported {
                what: "AAC without channels: no program_config_element comes first",
            });
        }
        let index = sampling_frequency_index(self.sample_rate_hz);
        let index = index.ok_or(CodecError::Malformed { what: "sampling_frequency_index", offset: 0 })?;
        let mut record = BitPacker::new();
        record.u(5, self.object_type.into());
        record.u(4, index.into());
        // No channel configuration; 1024 samples, nothing else in GASpecificConfig.
        record.u(4 + 3, 0);
        copy_program_config_element(&mut bits, &mut record)?;
        AudioSpecificConfig::parse(record.finish())
    }
}

/// Reads the header at the beginning of `bytes`, which need not hold the whole frame.
///
/// # Errors
/// [`CodecError::Malformed`] when this is no whole header; [`CodecError::Unsupported`] for several access units in one
/// frame (nothing says where the second one begins).
pub fn parse_adts(bytes: &[u8]) -> Result<AdtsHeader, CodecError> {
    let mut bits = BitReader::new(bytes);
    if bits.u(12, "ADTS syncword")? != 0xfff {
        return Err(CodecError::Malformed { what: "ADTS syncword", offset: 0 });
    }
    bits.skip(1, "ID")?;
    if bits.u(2, "layer")? != 0 {
        return Err(CodecError::Malformed { what: "ADTS layer", offset: 1 });
    }
    let header_bytes = if bits.flag("protection_absent")? { 7 } else { 9 };
    let object_type = 1 + bits.u8(2, "profile_ObjectType")?;
    let sample_rate_hz = SAMPLE_RATES_HZ.get(usize::from(bits.u8(4, "sampling_frequency_index")?)).copied();
    let sample_rate_hz = sample_rate_hz.ok_or(CodecError::Malformed { what: "sampling_frequency_index", offset: 2 })?;
    bits.skip(1, "private_bit")?;
    let channels = match bits.u8(3, "channel_configuration")? {
        7 => 8,
        channels => channels,
    };
    bits.skip(4, "original_copy, home and copyright")?;
    let frame_bytes = bits.u(13, "aac_frame_length")? as usize;
    bits.skip(11, "adts_buffer_fullness")?;
    if bits.u(2, "number_of_raw_data_blocks_in_frame")? != 0 {
        return Err(CodecError::Unsupported { what: "several access units in one ADTS frame" });
    }
    if bytes.len() < header_bytes {
        return Err(CodecError::Malformed { what: "crc_check", offset: 7 });
    }
    if frame_bytes < header_bytes {
        return Err(CodecError::Malformed { what: "aac_frame_length", offset: 3 });
    }
    Ok(AdtsHeader { object_type, sample_rate_hz, channels, header_bytes, frame_bytes })
}
