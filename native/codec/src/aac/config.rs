//! `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1).

use bytes::Bytes;

use super::{SAMPLE_RATES_HZ, channel_configuration, sampling_frequency_index};
use crate::{CodecError, bits::BitReader};

/// Largest AudioSpecificConfig. Real ones have 2 to 30 bytes; the longest program_config_element, with its comment of 255
/// bytes, stays below 400. Stops a peer from pinning megabytes with its configuration.
pub const MAX_ASC_BYTES: usize = 1_024;

/// `audioObjectType` of the objects whose meaning is special here (Table 1.17).
const SBR: u8 = 5;
const ER_BSAC: u8 = 22;
const ER_AAC_LD: u8 = 23;
const PS: u8 = 29;

/// Sampling rates that an escape can say. Below 1 kHz a tick would be longer than the milliseconds of most containers.
const ESCAPED_RATES_HZ: std::ops::RangeInclusive<u32> = 1_000..=192_000;

/// `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioSpecificConfig {
    /// The record itself.
    pub record: Bytes,
    /// `audioObjectType` of the core coder, escape resolved: 2 is AAC LC. (SBR and PS are in `sbr` and `ps`.)
    pub object_type: u8,
    /// Sampling rate of the core coder, in Hz: also the clock rate of the track.
    pub sample_rate_hz: u32,
    /// Output sampling rate in Hz: twice the core's with SBR, else the same.
    pub output_rate_hz: u32,
    /// Channels: 1 to 8; 0 when a program_config_element says it.
    pub channels: u8,
    /// PCM frames of one access unit at `sample_rate_hz`: 1024, or 960 (AAC-LD: 512, or 480).
    pub samples_per_frame: u32,
    /// Spectral band replication is signalled.
    pub sbr: bool,
    /// Parametric stereo is signalled.
    pub ps: bool,
}

impl AudioSpecificConfig {
    /// Reads an AudioSpecificConfig. Bytes behind it are kept in `record` and not judged.
    ///
    /// # Errors
    /// [`CodecError`] when the record is malformed or not AAC.
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        if record.len() > MAX_ASC_BYTES {
            let (max, seen) = (MAX_ASC_BYTES, record.len());
            return Err(CodecError::LimitExceeded { limit: "bytes of an AudioSpecificConfig", max, seen });
        }
        let mut bits = BitReader::new(&record);
        let head = Head::read(&mut bits)?;
        let frame_length_flag = skip_ga_specific_config(&mut bits, &head)?;
        let extension =
            if head.extension.sbr { head.extension } else { read_sync_extension(&mut bits, head.sample_rate_hz)? };
        Ok(Self {
            object_type: head.object_type,
            sample_rate_hz: head.sample_rate_hz,
            output_rate_hz: extension.output_rate_hz,
            channels: head.channels,
            samples_per_frame: samples_per_frame(head.object_type, frame_length_flag),
            sbr: extension.sbr,
            ps: extension.ps,
            record,
        })
    }

    /// The configuration of an encoder without SBR: `object_type` 2 is AAC LC.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for what the fields of the record cannot say.
    pub fn new(object_type: u8, sample_rate_hz: u32, channels: u8) -> Result<Self, CodecError> {
        if !(1..=4).contains(&object_type) {
            return Err(CodecError::Unsupported { what: "audio object type to write: not AAC Main, LC, SSR or LTP" });
        }
        let channels = channel_configuration(channels).filter(|&configuration| configuration > 0);
        let channels = channels.ok_or(CodecError::Unsupported { what: "number of AAC channels to write" })?;
        Self::parse(build_record(object_type, sample_rate_hz, channels))
    }

    /// `mp4a.40.N` (RFC 6381 §3.3), N being the object type that a player must support: 2, 5 (SBR) or 29 (PS).
    pub fn rfc6381(&self) -> String {
        let object_type = match (self.ps, self.sbr) {
            (true, _) => 29,
            (false, true) => 5,
            (false, false) => self.object_type,
        };
        format!("mp4a.40.{object_type}")
    }
}

/// What stands in front of the configuration of the core coder.
struct Head {
    object_type: u8,
    sample_rate_hz: u32,
    channel_configuration: u8,
    channels: u8,
    extension: Extension,
}

/// What is said of SBR and PS.
struct Extension {
    sbr: bool,
    ps: bool,
    output_rate_hz: u32,
}

impl Head {
    fn read(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        let mut object_type = audio_object_type(bits)?;
        let sample_rate_hz = sampling_frequency(bits)?;
        let (channel_configuration, channels) = channels(bits)?;
        let mut extension = Extension { sbr: false, ps: false, output_rate_hz: sample_rate_hz };
        // Hierarchical signalling (§1.6.5.2): the core coder's type comes second.
        if matches!(object_type, SBR | PS) {
            extension = Extension { sbr: true, ps: object_type == PS, output_rate_hz: sampling_frequency(bits)? };
            object_type = audio_object_type(bits)?;
        }
        Ok(Self { object_type, sample_rate_hz, channel_configuration, channels, extension })
    }
}

/// `GetAudioObjectType()`.
fn audio_object_type(bits: &mut BitReader<'_>) -> Result<u8, CodecError> {
    match bits.u8(5, "audioObjectType")? {
        31 => Ok(32 + bits.u8(6, "audioObjectTypeExt")?),
        object_type => Ok(object_type),
    }
}

fn sampling_frequency(bits: &mut BitReader<'_>) -> Result<u32, CodecError> {
    let start = bits.clone();
    let index = bits.u8(4, "samplingFrequencyIndex")?;
    if index == 0xf {
        let rate = bits.u(24, "samplingFrequency")?;
        return ESCAPED_RATES_HZ.contains(&rate).then_some(rate).ok_or_else(|| start.malformed("samplingFrequency"));
    }
    let rate = SAMPLE_RATES_HZ.get(usize::from(index)).copied();
    rate.ok_or_else(|| start.malformed("samplingFrequencyIndex"))
}

/// `channelConfiguration` and the number of channels that it means (Table 1.19).
fn channels(bits: &mut BitReader<'_>) -> Result<(u8, u8), CodecError> {
    let start = bits.clone();
    let configuration = bits.u8(4, "channelConfiguration")?;
    let channels = match configuration {
        0..=6 => configuration,
        7 => 8,
        11 => 7,
        // The elements of 7 in the same order, for other loudspeakers.
        12 => 8,
        13 | 14 => return Err(CodecError::Unsupported { what: "AAC channel configuration 13 or 14" }),
        _ => return Err(start.malformed("channelConfiguration")),
    };
    Ok((configuration, channels))
}

/// `GASpecificConfig()` (§4.4.1) and `epConfig`. Returns `frameLengthFlag`.
fn skip_ga_specific_config(bits: &mut BitReader<'_>, head: &Head) -> Result<bool, CodecError> {
    let error_resilient = match head.object_type {
        1..=4 => false,
        17 | 19 | ER_AAC_LD => true,
        _ => return Err(CodecError::Unsupported { what: "audio object type: not AAC Main, LC, SSR, LTP or LD" }),
    };
    let frame_length_flag = bits.flag("frameLengthFlag")?;
    if bits.flag("dependsOnCoreCoder")? {
        bits.skip(14, "coreCoderDelay")?;
    }
    let extension_flag = bits.flag("extensionFlag")?;
    if head.channel_configuration == 0 {
        skip_program_config_element(bits)?;
    }
    if extension_flag {
        let resilience_flags = if error_resilient { 3 } else { 0 };
        bits.skip(resilience_flags + 1, "extensionFlag3")?;
    }
    if error_resilient && bits.u(2, "epConfig")? > 1 {
        return Err(CodecError::Unsupported { what: "AAC error protection (epConfig 2 or 3)" });
    }
    Ok(frame_length_flag)
}

/// `program_config_element()` (§4.4.1.1). Within an AudioSpecificConfig its alignment counts from the beginning of the
/// record, as the reader's does.
fn skip_program_config_element(bits: &mut BitReader<'_>) -> Result<(), CodecError> {
    bits.skip(4 + 2 + 4, "element_instance_tag, object_type and sampling_frequency_index")?;
    let front = bits.u8(4, "num_front_channel_elements")?;
    let side = bits.u8(4, "num_side_channel_elements")?;
    let back = bits.u8(4, "num_back_channel_elements")?;
    let lfe = bits.u8(2, "num_lfe_channel_elements")?;
    let assoc_data = bits.u8(3, "num_assoc_data_elements")?;
    let coupling = bits.u8(4, "num_valid_cc_elements")?;
    for (mixdown_bits, what) in [(4, "mono_mixdown"), (4, "stereo_mixdown"), (3, "matrix_mixdown")] {
        if bits.flag(what)? {
            bits.skip(mixdown_bits, what)?;
        }
    }
    // Five bits: is_cpe or cc_element_is_ind_sw, and a tag. Four bits: a tag.
    let element_bits = 5 * (usize::from(front) + usize::from(side) + usize::from(back) + usize::from(coupling))
        + 4 * (usize::from(lfe) + usize::from(assoc_data));
    bits.skip(element_bits, "elements of program_config_element")?;
    bits.align();
    let comment_bytes = bits.u8(8, "comment_field_bytes")?;
    bits.skip(8 * usize::from(comment_bytes), "comment_field_data")
}

/// Backward compatible signalling (§1.6.5.3): SBR, and PS behind it, where an older reader sees bits to spare.
fn read_sync_extension(bits: &mut BitReader<'_>, sample_rate_hz: u32) -> Result<Extension, CodecError> {
    const SYNC_SBR: u32 = 0x2b7;
    const SYNC_PS: u32 = 0x548;
    let mut extension = Extension { sbr: false, ps: false, output_rate_hz: sample_rate_hz };
    if bits.remaining_bits() < 16 || bits.u(11, "syncExtensionType")? != SYNC_SBR {
        return Ok(extension);
    }
    let extension_type = audio_object_type(bits)?;
    if extension_type == ER_BSAC {
        return Err(CodecError::Unsupported { what: "audio object type BSAC as an extension" });
    }
    if extension_type == SBR && bits.flag("sbrPresentFlag")? {
        extension.sbr = true;
        extension.output_rate_hz = sampling_frequency(bits)?;
        let has_ps = bits.remaining_bits() >= 12 && bits.u(11, "syncExtensionType")? == SYNC_PS;
        extension.ps = has_ps && bits.flag("psPresentFlag")?;
    }
    Ok(extension)
}

fn samples_per_frame(object_type: u8, frame_length_flag: bool) -> u32 {
    match (object_type, frame_length_flag) {
        (ER_AAC_LD, false) => 512,
        (ER_AAC_LD, true) => 480,
        (_, false) => 1024,
        (_, true) => 960,
    }
}

/// Object type, rate, channels, and a GASpecificConfig of three zero bits: 1024 samples, nothing else.
fn build_record(object_type: u8, sample_rate_hz: u32, channel_configuration: u8) -> Bytes {
    let (object_type, channels) = (u64::from(object_type), u64::from(channel_configuration));
    let (record, size) = match sampling_frequency_index(sample_rate_hz) {
        Some(index) => (object_type << 11 | u64::from(index) << 7 | channels << 3, 2),
        None => (object_type << 35 | 0xf << 31 | u64::from(sample_rate_hz & 0xff_ffff) << 7 | channels << 3, 5),
    };
    let bytes = record.to_be_bytes();
    bytes.last_chunk::<5>().map_or_else(Bytes::new, |tail| Bytes::copy_from_slice(tail).split_off(5 - size))
}
