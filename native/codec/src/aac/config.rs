//! `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1).

use bytes::Bytes;

use super::{
    ID_PCE, SAMPLE_RATES_HZ, channel_configuration, sampling_frequency_index,
    specific::{Specific, copy_program_config_element, general_audio_flags},
};
use crate::{CodecError, bit_packer::BitPacker, bits::BitReader};

/// Largest AudioSpecificConfig. Real ones have 2 to 30 bytes; the longest program_config_element, with its comment of 255
/// bytes, stays below 400. Stops a peer from pinning megabytes with its configuration.
pub const MAX_ASC_BYTES: usize = 1_024;

/// `audioObjectType` of the objects whose meaning is special here (Table 1.17).
const SBR: u8 = 5;
const ER_BSAC: u8 = 22;
const PS: u8 = 29;
pub(super) const ER_AAC_ELD: u8 = 39;

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
    /// Channels of the core coder: 1 to 8, or 24; with a program_config_element as many as that counts, 1 to 93. With
    /// parametric stereo two come out of one.
    pub channels: u8,
    /// `channelConfiguration` (Table 1.19): which loudspeakers these are for; 0 when a program_config_element says it.
    pub channel_configuration: u8,
    /// PCM frames of one access unit at `sample_rate_hz`: 1024, or 960 (AAC-LD and AAC-ELD: 512, or 480).
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
        let mut config = Self::read(&mut BitReader::new(&record), Extent::Record)?;
        config.record = record;
        Ok(config)
    }

    /// Reads an AudioSpecificConfig that begins where `bits` stands, which moves behind it. The record is a copy of its
    /// bits from the first bit of a byte on, as everywhere else.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(super) fn read_embedded(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        let begin = bits.offset();
        let mut copy = BitPacker::new();
        let count = bits.remaining_bits().min(8 * MAX_ASC_BYTES);
        copy.copy(&mut bits.clone(), count, "AudioSpecificConfig")?;
        let aligned = copy.finish();
        let mut reader = BitReader::new(&aligned);
        let mut config = Self::read(&mut reader, Extent::Unknown).map_err(|error| error.shifted(begin))?;
        let mut record = BitPacker::new();
        record.copy(bits, reader.position_bits(), "AudioSpecificConfig")?;
        config.record = record.finish();
        Ok(config)
    }

    fn read(bits: &mut BitReader<'_>, extent: Extent) -> Result<Self, CodecError> {
        let head = Head::read(bits)?;
        let specific = Specific::read(bits, head.object_type, head.channel_configuration)?;
        let extension = match extent {
            _ if head.extension.sbr => head.extension,
            _ if specific.sbr => {
                let output_rate_hz = head.sample_rate_hz.saturating_mul(if specific.is_dual_rate { 2 } else { 1 });
                Extension { sbr: true, ps: false, output_rate_hz }
            }
            Extent::Record => read_sync_extension(bits, head.sample_rate_hz)?,
            Extent::Unknown => head.extension,
        };
        Ok(Self {
            record: Bytes::new(),
            object_type: head.object_type,
            sample_rate_hz: head.sample_rate_hz,
            output_rate_hz: extension.output_rate_hz,
            channels: specific.channels.unwrap_or(head.channels),
            channel_configuration: head.channel_configuration,
            samples_per_frame: specific.samples_per_frame,
            sbr: extension.sbr,
            ps: extension.ps,
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
        let channels = channel_configuration(channels);
        let channels = channels.ok_or(CodecError::Unsupported { what: "number of AAC channels to write" })?;
        Self::parse(build_record(object_type, sample_rate_hz, channels))
    }

    /// The program_config_element of the record as an access unit begins with it (`raw_data_block()`, §4.4.2.1): behind
    /// `ID_PCE`, up to the end of a byte. Empty when the channel configuration says the loudspeakers.
    pub(super) fn raw_program_config(&self) -> Result<Bytes, CodecError> {
        if self.channel_configuration != 0 {
            return Ok(Bytes::new());
        }
        let mut bits = BitReader::new(&self.record);
        Head::read(&mut bits)?;
        general_audio_flags(&mut bits)?;
        let mut raw = BitPacker::new();
        raw.u(3, ID_PCE);
        copy_program_config_element(&mut bits, &mut raw)?;
        Ok(raw.finish())
    }

    /// `mp4a.40.N` (RFC 6381 §3.3), N being the object type that a player must support: 2, 5 (SBR) or 29 (PS). AAC-ELD has
    /// an SBR of its own, which is a part of it.
    pub fn rfc6381(&self) -> String {
        let object_type = match (self.ps, self.sbr) {
            _ if self.object_type == ER_AAC_ELD => ER_AAC_ELD,
            (true, _) => PS,
            (false, true) => SBR,
            (false, false) => self.object_type,
        };
        format!("mp4a.40.{object_type}")
    }
}

/// Where an AudioSpecificConfig ends.
#[derive(Clone, Copy)]
enum Extent {
    /// With its bytes: what is left may be a backward compatible extension.
    Record,
    /// Nobody said: what follows is something else (LATM of version 0, §1.7.3.1).
    Unknown,
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
        // The elements of 7 in the same order, for other loudspeakers; two of them above.
        12 | 14 => 8,
        // 22.2.
        13 => 24,
        _ => return Err(start.malformed("channelConfiguration")),
    };
    Ok((configuration, channels))
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
