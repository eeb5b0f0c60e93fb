//! A sample's bytes in the form of the bus, and what they say about the configuration.

use arcly_codec::{
    Codec, CodecConfig,
    ac3::{Ac3Config, Eac3Config, SyncFrame},
    av1::{self, Av1Config},
    h264::{self, AvcConfig, Canonical, nal_units},
    h265::{self, HevcConfig},
    h266::{self, VvcConfig},
    mpeg_audio::{FrameHeader, MpegAudioConfig},
    vp8::{self, Vp8Config},
    vp9::{self, Vp9Config},
};
use bytes::Bytes;

use super::entry::Description;
use crate::PackError;

/// How samples become frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// NAL units behind lengths of 1, 2 or 4 bytes.
    Nal {
        /// Bytes of a length.
        length_size: u8,
    },
    /// OBUs.
    Av1,
    /// A frame of VP8 or VP9.
    Vp,
    /// A frame of MPEG audio, whose header is its configuration.
    MpegAudio,
    /// A syncframe of AC-3 or E-AC-3 without its box.
    Ac3,
    /// As it is.
    Raw,
    /// A waveform.
    Pcm(Waveform),
}

impl Form {
    /// Whether samples are in the form of the bus as they are.
    pub fn is_canonical(self) -> bool {
        matches!(self, Self::Nal { length_size: 4 } | Self::Av1 | Self::Vp | Self::MpegAudio | Self::Ac3 | Self::Raw)
            || self == Self::Pcm(Waveform::Big)
    }
}

/// How a waveform is stored. On the bus it is signed and big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waveform {
    Big,
    Little {
        /// Bytes of a sample of one channel: 2, 3 or 4.
        bytes: u8,
    },
    Unsigned8,
}

/// A sample in the form of the bus.
pub(super) struct Converted {
    /// Empty when the sample had nothing but parameter sets.
    pub payload: Bytes,
    pub is_key: bool,
    /// The configuration is another one from this sample on.
    pub changed: bool,
}

impl Description {
    /// Brings a sample into the form of the bus and keeps the configuration that it brings along.
    ///
    /// A picture at which decoding can begin is known by its bytes; what the container says decides only where those are not enough
    /// (recovery points, I pictures).
    pub fn convert(&mut self, sample: Bytes, claims_sync: bool) -> Result<Converted, PackError> {
        match self.form {
            Form::Nal { length_size } => self.convert_nal(sample, length_size, claims_sync),
            Form::Av1 => self.convert_av1(sample),
            Form::Vp => self.convert_vp(sample),
            Form::MpegAudio => {
                let config = self.config.is_none().then(|| mpeg_audio_config(&sample)).transpose()?;
                Ok(sound(sample, self.replace(config)))
            }
            Form::Ac3 => {
                let config = self.config.is_none().then(|| ac3_config(&sample)).transpose()?;
                Ok(sound(sample, self.replace(config)))
            }
            Form::Pcm(waveform) => Ok(sound(to_big_endian(sample, waveform), false)),
            Form::Raw => Ok(sound(sample, false)),
        }
    }

    fn convert_nal(&mut self, sample: Bytes, length_size: u8, claims_sync: bool) -> Result<Converted, PackError> {
        let mut canonical = match self.codec {
            Codec::H265 => h265::to_canonical(sample, length_size)?,
            Codec::H266 => h266::to_canonical(sample, length_size)?,
            _ => h264::to_canonical(sample, length_size)?,
        };
        let codec = self.codec;
        let is_entry = |unit: &Canonical| match codec {
            Codec::H265 => h265::is_random_access(nal_units(&unit.payload, 4).flatten()),
            Codec::H266 => h266::is_random_access(nal_units(&unit.payload, 4).flatten()),
            _ => h264::is_entry_of_container(&unit.payload, claims_sync),
        };
        let config = self.take_parameter_sets(&mut canonical, is_entry)?;
        let changed = self.replace(config);
        let is_key = is_entry(&canonical);
        Ok(Converted { payload: canonical.payload, is_key, changed })
    }

    fn convert_av1(&mut self, sample: Bytes) -> Result<Converted, PackError> {
        let mut canonical = av1::to_canonical(sample)?;
        let config = match (&self.config, &canonical.sequence_header) {
            (Some(CodecConfig::Av1(config)), Some(header)) => config.with_sequence_header(&owned_one(header))?,
            (None, Some(header)) => Some(Av1Config::from_sequence_header(header)?),
            _ => None,
        };
        let changed = self.replace(config.map(CodecConfig::Av1));
        if let Some(CodecConfig::Av1(config)) = &self.config {
            canonical = canonical.with_sequence_header_of(config);
        }
        Ok(Converted { payload: canonical.payload, is_key: canonical.is_key, changed })
    }

    /// A key frame of another size is another configuration: the record does not say the size, the sample entry does.
    fn convert_vp(&mut self, sample: Bytes) -> Result<Converted, PackError> {
        let is_vp9 = self.codec == Codec::Vp9;
        let is_key = if is_vp9 { vp9::is_key(&sample) } else { vp8::is_key(&sample) };
        if !is_key {
            return Ok(Converted { payload: sample, is_key, changed: false });
        }
        let config = match &self.config {
            Some(CodecConfig::Vp9(config)) => {
                let Vp9Config { info, .. } = Vp9Config::from_frame(&sample, None)?;
                let is_same = (config.info.width, config.info.height) == (info.width, info.height);
                (!is_same).then(|| CodecConfig::Vp9(config.clone().with_size(info.width, info.height)))
            }
            Some(CodecConfig::Vp8(config)) => {
                let Vp8Config { info, .. } = Vp8Config::from_frame(&sample)?;
                let is_same = (config.info.width, config.info.height) == (info.width, info.height);
                (!is_same).then(|| CodecConfig::Vp8(config.clone().with_size(info.width, info.height)))
            }
            _ if is_vp9 => Some(CodecConfig::Vp9(Vp9Config::from_frame(&sample, None)?)),
            _ => Some(CodecConfig::Vp8(Vp8Config::from_frame(&sample)?)),
        };
        let changed = self.replace(config);
        Ok(Converted { payload: sample, is_key, changed })
    }

    /// The configuration behind the parameter sets of an access unit, if it is another one.
    fn take_parameter_sets(
        &mut self,
        canonical: &mut Canonical,
        is_entry: impl Fn(&Canonical) -> bool,
    ) -> Result<Option<CodecConfig>, PackError> {
        let late = &mut self.late_sets;
        Ok(match &self.config {
            Some(CodecConfig::H264(config)) => {
                config.take_parameter_sets(late, canonical, is_entry)?.map(CodecConfig::H264)
            }
            Some(CodecConfig::H265(config)) => {
                config.take_parameter_sets(late, canonical, is_entry)?.map(CodecConfig::H265)
            }
            Some(CodecConfig::H266(config)) => {
                config.take_parameter_sets(late, canonical, is_entry)?.map(CodecConfig::H266)
            }
            _ => first_config(self.codec, canonical)?,
        })
    }

    fn replace(&mut self, config: Option<CodecConfig>) -> bool {
        let changed = config.is_some();
        self.config = config.or(self.config.take());
        changed
    }
}

/// The configuration that the parameter sets of an access unit make, where there was none.
fn first_config(codec: Codec, Canonical { vps, sps, pps, .. }: &Canonical) -> Result<Option<CodecConfig>, PackError> {
    if sps.is_empty() {
        return Ok(None);
    }
    let (vps, sps, pps) = (owned(vps), owned(sps), owned(pps));
    Ok(Some(match codec {
        Codec::H265 => CodecConfig::H265(HevcConfig::from_parameter_sets(vps, sps, pps)?),
        Codec::H266 => CodecConfig::H266(VvcConfig::from_parameter_sets(vps, sps, pps)?),
        _ => CodecConfig::H264(AvcConfig::from_parameter_sets(sps, pps)?),
    }))
}

fn sound(payload: Bytes, changed: bool) -> Converted {
    Converted { payload, is_key: false, changed }
}

fn mpeg_audio_config(frame: &[u8]) -> Result<CodecConfig, PackError> {
    let config = MpegAudioConfig::from_header(&FrameHeader::parse(frame)?);
    Ok(if config.layer == 3 { CodecConfig::Mp3(config) } else { CodecConfig::Mp2(config) })
}

fn ac3_config(frame: &[u8]) -> Result<CodecConfig, PackError> {
    let first = SyncFrame::parse(frame)?;
    if first.is_eac3() {
        return Ok(CodecConfig::Eac3(Eac3Config::from_access_unit(frame)?));
    }
    Ok(CodecConfig::Ac3(Ac3Config::from_syncframe(&first)?))
}

fn owned_one(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// Copies: a slice would keep the sample alive for as long as the configuration.
fn owned(sets: &[Bytes]) -> Vec<Bytes> {
    sets.iter().map(owned_one).collect()
}

fn to_big_endian(sample: Bytes, waveform: Waveform) -> Bytes {
    let mut samples = match waveform {
        Waveform::Big => return sample,
        _ => sample.to_vec(),
    };
    match waveform {
        Waveform::Little { bytes } => samples.chunks_exact_mut(usize::from(bytes).max(1)).for_each(<[u8]>::reverse),
        _ => samples.iter_mut().for_each(|sample| *sample ^= 0x80),
    }
    samples.into()
}
