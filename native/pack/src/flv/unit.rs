//! Coded frames in the form of the bus, and the configuration that they bring along.

use arcly_codec::{
    Codec, CodecConfig, CodecError, VideoInfo,
    ac3::{Ac3Config, Eac3Config, SyncFrame},
    av1, flac, h264, h265, h266,
    mpeg_audio::{FrameHeader, MpegAudioConfig},
    nal::{Canonical, nal_units},
    opus,
    pcm::PcmConfig,
    vp8, vp9,
};
use bytes::Bytes;

use super::{
    packet::{Coded, Sound},
    pcm,
    track::DemuxTrack,
};

/// An access unit.
#[derive(Debug)]
pub(super) struct Unit {
    /// Empty when there were only parameter sets and delimiters.
    pub payload: Bytes,
    pub is_key: bool,
    /// Samples of sound; 0 for pictures, and where they are not known.
    pub samples: u32,
    /// It brought a configuration that is another one than before.
    pub is_reconfigured: bool,
}

impl Unit {
    fn sound(payload: Bytes, samples: u32, is_reconfigured: bool) -> Self {
        Self { payload, is_key: false, samples, is_reconfigured }
    }
}

impl DemuxTrack {
    /// Whether a frame of `codec` can be made sense of: it was configured, or says itself what it is. In the latter case the
    /// track may become one of another codec.
    pub fn takes(&mut self, codec: Codec) -> bool {
        let says_itself = matches!(
            codec,
            Codec::Mp3 | Codec::Ac3 | Codec::Eac3 | Codec::G711A | Codec::G711U | Codec::Pcm | Codec::Vp8 | Codec::Vp9
        );
        if says_itself {
            self.change_codec(codec);
        }
        says_itself || self.codec == codec && self.config.as_ref().is_some_and(|config| config.codec() == codec)
    }

    /// The access unit of a coded frame; `None` when a frame that would say what it is has not come yet.
    pub fn unit(&mut self, coded: Coded) -> Result<Option<Unit>, CodecError> {
        let Coded { claims_key, sound, payload, .. } = coded;
        match self.codec {
            Codec::H264 | Codec::H265 | Codec::H266 => self.nal_units(payload, claims_key).map(Some),
            Codec::Av1 => self.obus(payload).map(Some),
            Codec::Vp8 | Codec::Vp9 => self.vpx(payload),
            Codec::Mp3 | Codec::Ac3 | Codec::Eac3 => self.framed_sound(payload).map(Some),
            Codec::G711A | Codec::G711U | Codec::Pcm => self.waveform(payload, sound).map(Some),
            _ => {
                let samples = self.samples_of(&payload)?;
                Ok(Some(Unit::sound(payload, samples, false)))
            }
        }
    }

    fn nal_units(&mut self, payload: Bytes, claims_key: bool) -> Result<Unit, CodecError> {
        let (size, late) = (self.nal_length_size, &mut self.late_sets);
        let (payload, config, is_key) = match &self.config {
            Some(CodecConfig::H264(config)) => {
                let mut unit = h264::to_canonical(payload, size)?;
                let is_entry = |unit: &Canonical| h264::is_entry_of_container(&unit.payload, claims_key);
                let config = config.take_parameter_sets(late, &mut unit, is_entry)?;
                let is_key = is_entry(&unit);
                (unit.payload, config.map(CodecConfig::H264), is_key)
            }
            Some(CodecConfig::H265(config)) => {
                let mut unit = h265::to_canonical(payload, size)?;
                let is_entry = |unit: &Canonical| h265::is_random_access(nal_units(&unit.payload, 4).flatten());
                let config = config.take_parameter_sets(late, &mut unit, is_entry)?;
                let is_key = is_entry(&unit);
                (unit.payload, config.map(CodecConfig::H265), is_key)
            }
            Some(CodecConfig::H266(config)) => {
                let mut unit = h266::to_canonical(payload, size)?;
                let is_entry = |unit: &Canonical| h266::is_random_access(nal_units(&unit.payload, 4).flatten());
                let config = config.take_parameter_sets(late, &mut unit, is_entry)?;
                let is_key = is_entry(&unit);
                (unit.payload, config.map(CodecConfig::H266), is_key)
            }
            _ => (payload, None, false),
        };
        let is_reconfigured = config.is_some_and(|config| self.set_config(config));
        Ok(Unit { payload, is_key, samples: 0, is_reconfigured })
    }

    fn obus(&mut self, payload: Bytes) -> Result<Unit, CodecError> {
        let mut unit = av1::to_canonical(payload)?;
        let mut is_reconfigured = false;
        if let Some(header) = &unit.sequence_header {
            let config = match &self.config {
                Some(CodecConfig::Av1(config)) => config.with_sequence_header(header)?,
                _ => Some(av1::Av1Config::from_sequence_header(header)?),
            };
            is_reconfigured = config.is_some_and(|config| self.set_config(CodecConfig::Av1(config)));
        }
        if let Some(CodecConfig::Av1(config)) = &self.config {
            unit = unit.with_sequence_header_of(config);
        }
        Ok(Unit { payload: unit.payload, is_key: unit.is_key, samples: 0, is_reconfigured })
    }

    /// A record does not say the size, and need not be there: a key frame configures.
    fn vpx(&mut self, payload: Bytes) -> Result<Option<Unit>, CodecError> {
        let is_vp9 = self.codec == Codec::Vp9;
        let is_key = if is_vp9 { vp9::is_key(&payload) } else { vp8::is_key(&payload) };
        let mut is_reconfigured = false;
        if is_key {
            let record = vp_record(self.sequence_header());
            let config = if is_vp9 { vp9_config(&payload, record)? } else { vp8_config(&payload, record)? };
            is_reconfigured = self.set_config(config);
        }
        let is_configured = self.config.as_ref().is_some_and(|config| config.codec() == self.codec);
        Ok(is_configured.then_some(Unit { payload, is_key, samples: 0, is_reconfigured }))
    }

    /// Sound whose frames have headers. Bit rates and the like may differ from frame to frame: only other facts make another
    /// configuration.
    fn framed_sound(&mut self, payload: Bytes) -> Result<Unit, CodecError> {
        let config = match self.codec {
            Codec::Mp3 => CodecConfig::Mp3(MpegAudioConfig::from_header(&FrameHeader::parse(&payload)?)),
            Codec::Ac3 => CodecConfig::Ac3(Ac3Config::from_syncframe(&SyncFrame::parse(&payload)?)?),
            _ => CodecConfig::Eac3(Eac3Config::from_access_unit(&payload)?),
        };
        let known = self.config.as_ref().is_some_and(|known| is_same_sound(known, &config));
        let is_reconfigured = !known && self.set_config(config);
        let samples = self.samples_of(&payload)?;
        Ok(Unit::sound(payload, samples, is_reconfigured))
    }

    /// What FLV says in front of each piece of a waveform is its configuration.
    fn waveform(&mut self, payload: Bytes, sound: Option<Sound>) -> Result<Unit, CodecError> {
        let Some(Sound { rate_hz, bits, channels }) = sound else { return Ok(Unit::sound(payload, 0, false)) };
        let format = PcmConfig::new(rate_hz, channels, bits)?;
        let samples = format.samples(payload.len());
        let (payload, config) = match self.codec {
            Codec::G711A => (payload, CodecConfig::G711A(format)),
            Codec::G711U => (payload, CodecConfig::G711U(format)),
            _ => (pcm::to_bus(&payload, bits), CodecConfig::Pcm(format)),
        };
        let is_reconfigured = self.set_config(config);
        Ok(Unit::sound(payload, samples, is_reconfigured))
    }

    fn samples_of(&self, payload: &[u8]) -> Result<u32, CodecError> {
        match &self.config {
            Some(CodecConfig::Aac(config)) => Ok(config.samples_per_frame),
            Some(CodecConfig::Opus(_)) => opus::packet_samples(payload),
            Some(CodecConfig::Flac(_)) => Ok(flac::FrameHeader::parse(payload)?.block_samples),
            Some(CodecConfig::Mp3(_)) => Ok(FrameHeader::parse(payload)?.samples_per_frame()),
            Some(config) => Ok(config.audio().map_or(0, |info| info.samples_per_frame)),
            None => Ok(0),
        }
    }
}

/// The body of `vpcC`: some send the whole box's body, with version and flags in front.
fn vp_record(record: &Bytes) -> Bytes {
    match record.strip_prefix(&[1, 0, 0, 0]) {
        Some(body) => record.slice_ref(body),
        None => record.clone(),
    }
}

/// What the key frame says, or what the record says where they agree: it knows more of the colour, and the level.
fn vp9_config(frame: &[u8], record: Bytes) -> Result<CodecConfig, CodecError> {
    let said = vp9::Vp9Config::from_frame(frame, None)?;
    let agreed = vp9::Vp9Config::parse(record).ok().filter(|config| agree(&config.info, &said.info));
    let config = agreed.map(|config| config.with_size(said.info.width, said.info.height));
    Ok(CodecConfig::Vp9(config.unwrap_or(said)))
}

fn vp8_config(frame: &[u8], record: Bytes) -> Result<CodecConfig, CodecError> {
    let said = vp8::Vp8Config::from_frame(frame)?;
    let agreed = vp8::Vp8Config::parse(record).ok().filter(|config| agree(&config.info, &said.info));
    let config = agreed.map(|config| config.with_size(said.info.width, said.info.height));
    Ok(CodecConfig::Vp8(config.unwrap_or(said)))
}

fn agree(record: &VideoInfo, frame: &VideoInfo) -> bool {
    (record.profile, record.bit_depth, record.chroma) == (frame.profile, frame.bit_depth, frame.chroma)
}

fn is_same_sound(known: &CodecConfig, new: &CodecConfig) -> bool {
    match (known, new) {
        (CodecConfig::Eac3(known), CodecConfig::Eac3(new)) => known.is_same_sound(new),
        _ => known.codec() == new.codec() && known.audio() == new.audio(),
    }
}
