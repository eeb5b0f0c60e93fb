//! One codec configuration: the record that a decoder needs before the first access unit.

#[cfg(test)]
mod tests;

use std::str::FromStr;

use bytes::Bytes;

use crate::{
    AudioInfo, CodecError, Hdr, VideoInfo,
    aac::AudioSpecificConfig,
    ac3::{Ac3Config, Eac3Config},
    av1::Av1Config,
    data::DataConfig,
    flac::FlacConfig,
    h264::AvcConfig,
    h265::HevcConfig,
    h266::VvcConfig,
    mpeg_audio::MpegAudioConfig,
    opus::{self, OpusConfig},
    pcm::PcmConfig,
    vp8::Vp8Config,
    vp9::Vp9Config,
};

/// What an elementary stream is to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Timed data: tags, cues, measurements.
    Data,
}

impl MediaKind {
    /// The name in logs and in Python: `video`, `audio`, `data`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Data => "data",
        }
    }
}

/// The coding of an elementary stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// ITU-T H.264 (AVC).
    H264,
    /// ITU-T H.265 (HEVC).
    H265,
    /// ITU-T H.266 (VVC).
    H266,
    /// AOM AV1.
    Av1,
    /// VP9.
    Vp9,
    /// VP8 (RFC 6386).
    Vp8,
    /// MPEG-4 AAC (ISO/IEC 14496-3).
    Aac,
    /// Opus (RFC 6716).
    Opus,
    /// MPEG-1 and MPEG-2 audio, layer III.
    Mp3,
    /// MPEG-1 and MPEG-2 audio, layers I and II.
    Mp2,
    /// AC-3 (ETSI TS 102 366).
    Ac3,
    /// Enhanced AC-3 (ETSI TS 102 366 Annex E).
    Eac3,
    /// FLAC (RFC 9639).
    Flac,
    /// ITU-T G.711, A-law.
    G711A,
    /// ITU-T G.711, μ-law.
    G711U,
    /// ITU-T G.722.
    G722,
    /// Linear PCM: signed, big-endian, channels interleaved.
    Pcm,
    /// ID3 tags (id3.org ID3v2.4): one or more whole tags a frame.
    Id3,
    /// Splice information (ANSI/SCTE 35): one `splice_info_section` a frame.
    Scte35,
    /// Key-length-value metadata (SMPTE ST 336, MISB ST 1402).
    Klv,
    /// What an application says, text or bytes: one message a frame. From WebRTC's data channels (RFC 8831) and to them.
    Message,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::H264,
        Self::H265,
        Self::H266,
        Self::Av1,
        Self::Vp9,
        Self::Vp8,
        Self::Aac,
        Self::Opus,
        Self::Mp3,
        Self::Mp2,
        Self::Ac3,
        Self::Eac3,
        Self::Flac,
        Self::G711A,
        Self::G711U,
        Self::G722,
        Self::Pcm,
        Self::Id3,
        Self::Scte35,
        Self::Klv,
        Self::Message,
    ];

    /// The name that people write: `H264`, `AAC`.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::H266 => "H266",
            Self::Av1 => "AV1",
            Self::Vp9 => "VP9",
            Self::Vp8 => "VP8",
            Self::Aac => "AAC",
            Self::Opus => "Opus",
            Self::Mp3 => "MP3",
            Self::Mp2 => "MP2",
            Self::Ac3 => "AC3",
            Self::Eac3 => "EAC3",
            Self::Flac => "FLAC",
            Self::G711A => "G711A",
            Self::G711U => "G711U",
            Self::G722 => "G722",
            Self::Pcm => "PCM",
            Self::Id3 => "ID3",
            Self::Scte35 => "SCTE35",
            Self::Klv => "KLV",
            Self::Message => "Message",
        }
    }

    /// Pictures, sound or data.
    pub fn kind(self) -> MediaKind {
        match self {
            Self::H264 | Self::H265 | Self::H266 | Self::Av1 | Self::Vp9 | Self::Vp8 => MediaKind::Video,
            Self::Aac
            | Self::Opus
            | Self::Mp3
            | Self::Mp2
            | Self::Ac3
            | Self::Eac3
            | Self::Flac
            | Self::G711A
            | Self::G711U
            | Self::G722
            | Self::Pcm => MediaKind::Audio,
            Self::Id3 | Self::Scte35 | Self::Klv | Self::Message => MediaKind::Data,
        }
    }
}

impl FromStr for Codec {
    type Err = CodecError;

    /// Reads [`Codec::name`], in any case.
    fn from_str(name: &str) -> Result<Self, CodecError> {
        let found = Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name));
        found.ok_or(CodecError::Unsupported { what: "codec name" })
    }
}

/// The configuration record of one elementary stream, parsed once, its bytes kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecConfig {
    /// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1).
    H264(AvcConfig),
    /// `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §8.3.3.1).
    H265(HevcConfig),
    /// `VvcDecoderConfigurationRecord` (ISO/IEC 14496-15 §11.2.4.2).
    H266(VvcConfig),
    /// `AV1CodecConfigurationRecord` (AV1-ISOBMFF §2.3).
    Av1(Av1Config),
    /// `VPCodecConfigurationRecord` (VP-ISOBMFF).
    Vp9(Vp9Config),
    /// `VPCodecConfigurationRecord` (VP-ISOBMFF).
    Vp8(Vp8Config),
    /// `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1).
    Aac(AudioSpecificConfig),
    /// `OpusHead` (RFC 7845 §5.1).
    Opus(OpusConfig),
    /// A frame header (ISO/IEC 11172-3 §2.4.1.3).
    Mp3(MpegAudioConfig),
    /// A frame header (ISO/IEC 11172-3 §2.4.1.3).
    Mp2(MpegAudioConfig),
    /// `AC3SpecificBox` (ETSI TS 102 366 §F.4).
    Ac3(Ac3Config),
    /// `EC3SpecificBox` (ETSI TS 102 366 §F.6).
    Eac3(Eac3Config),
    /// The metadata blocks of a stream (RFC 9639 §8).
    Flac(FlacConfig),
    /// See [`PcmConfig`].
    G711A(PcmConfig),
    /// See [`PcmConfig`].
    G711U(PcmConfig),
    /// See [`PcmConfig`].
    G722(PcmConfig),
    /// See [`PcmConfig`].
    Pcm(PcmConfig),
    /// Empty.
    Id3(DataConfig),
    /// Empty.
    Scte35(DataConfig),
    /// Empty.
    Klv(DataConfig),
    /// Empty.
    Message(DataConfig),
}

impl CodecConfig {
    /// Reads the record of `codec`.
    ///
    /// # Errors
    /// [`CodecError`] when the record is malformed or says something unsupported.
    pub fn parse(codec: Codec, record: Bytes) -> Result<Self, CodecError> {
        match codec {
            Codec::H264 => AvcConfig::parse(record).map(Self::H264),
            Codec::H265 => HevcConfig::parse(record).map(Self::H265),
            Codec::H266 => VvcConfig::parse(record).map(Self::H266),
            Codec::Av1 => Av1Config::parse(record).map(Self::Av1),
            Codec::Vp9 => Vp9Config::parse(record).map(Self::Vp9),
            Codec::Vp8 => Vp8Config::parse(record).map(Self::Vp8),
            Codec::Aac => AudioSpecificConfig::parse(record).map(Self::Aac),
            Codec::Opus => OpusConfig::parse(record).map(Self::Opus),
            Codec::Mp3 => MpegAudioConfig::parse(record)?.of_layers(3..=3).map(Self::Mp3),
            Codec::Mp2 => MpegAudioConfig::parse(record)?.of_layers(1..=2).map(Self::Mp2),
            Codec::Ac3 => Ac3Config::parse(record).map(Self::Ac3),
            Codec::Eac3 => Eac3Config::parse(record).map(Self::Eac3),
            Codec::Flac => FlacConfig::parse(record).map(Self::Flac),
            Codec::G711A => PcmConfig::parse(record).map(Self::G711A),
            Codec::G711U => PcmConfig::parse(record).map(Self::G711U),
            Codec::G722 => PcmConfig::parse(record).map(Self::G722),
            Codec::Pcm => PcmConfig::parse(record).map(Self::Pcm),
            Codec::Id3 => Ok(Self::Id3(DataConfig::default())),
            Codec::Scte35 => Ok(Self::Scte35(DataConfig::default())),
            Codec::Klv => Ok(Self::Klv(DataConfig::default())),
            Codec::Message => Ok(Self::Message(DataConfig::default())),
        }
    }

    /// The coding that this configures.
    pub fn codec(&self) -> Codec {
        match self {
            Self::H264(_) => Codec::H264,
            Self::H265(_) => Codec::H265,
            Self::H266(_) => Codec::H266,
            Self::Av1(_) => Codec::Av1,
            Self::Vp9(_) => Codec::Vp9,
            Self::Vp8(_) => Codec::Vp8,
            Self::Aac(_) => Codec::Aac,
            Self::Opus(_) => Codec::Opus,
            Self::Mp3(_) => Codec::Mp3,
            Self::Mp2(_) => Codec::Mp2,
            Self::Ac3(_) => Codec::Ac3,
            Self::Eac3(_) => Codec::Eac3,
            Self::Flac(_) => Codec::Flac,
            Self::G711A(_) => Codec::G711A,
            Self::G711U(_) => Codec::G711U,
            Self::G722(_) => Codec::G722,
            Self::Pcm(_) => Codec::Pcm,
            Self::Id3(_) => Codec::Id3,
            Self::Scte35(_) => Codec::Scte35,
            Self::Klv(_) => Codec::Klv,
            Self::Message(_) => Codec::Message,
        }
    }

    /// Pictures, sound or data.
    pub fn kind(&self) -> MediaKind {
        self.codec().kind()
    }

    /// The record's bytes: avcC, AudioSpecificConfig.
    pub fn record(&self) -> &Bytes {
        match self {
            Self::H264(config) => &config.record,
            Self::H265(config) => &config.record,
            Self::H266(config) => &config.record,
            Self::Av1(config) => &config.record,
            Self::Vp9(config) => &config.record,
            Self::Vp8(config) => &config.record,
            Self::Aac(config) => &config.record,
            Self::Opus(config) => &config.record,
            Self::Mp3(config) | Self::Mp2(config) => &config.record,
            Self::Ac3(config) => &config.record,
            Self::Eac3(config) => &config.record,
            Self::Flac(config) => &config.record,
            Self::G711A(config) | Self::G711U(config) | Self::G722(config) | Self::Pcm(config) => &config.record,
            Self::Id3(config) | Self::Scte35(config) | Self::Klv(config) | Self::Message(config) => &config.record,
        }
    }

    /// Ticks per second of the timestamps of such a track on the bus: the sample rate for audio, else 90 000.
    pub fn clock_rate_hz(&self) -> u32 {
        match self {
            Self::Aac(config) => config.sample_rate_hz,
            // RFC 7845 §4: whatever the encoder was fed with.
            Self::Opus(_) => opus::CLOCK_RATE_HZ,
            _ => self.audio().map_or(90_000, |info| info.sample_rate_hz.max(1)),
        }
    }

    /// The `codecs` parameter of RFC 6381: `avc1.64001f`, `mp4a.40.2`. Empty for what has none.
    pub fn rfc6381(&self) -> String {
        match self {
            Self::H264(config) => config.rfc6381(),
            Self::H265(config) => config.rfc6381(),
            Self::H266(config) => config.rfc6381(),
            Self::Av1(config) => config.rfc6381(),
            Self::Vp9(config) => config.rfc6381(),
            Self::Vp8(config) => config.rfc6381(),
            Self::Aac(config) => config.rfc6381(),
            Self::Opus(config) => config.rfc6381(),
            Self::Mp3(config) | Self::Mp2(config) => config.rfc6381(),
            Self::Ac3(config) => config.rfc6381(),
            Self::Eac3(config) => config.rfc6381(),
            Self::Flac(config) => config.rfc6381(),
            _ => String::new(),
        }
    }

    /// Facts of a video configuration; `None` for others.
    pub fn video(&self) -> Option<VideoInfo> {
        match self {
            Self::H264(config) => Some(config.info.clone()),
            Self::H265(config) => Some(config.info.clone()),
            Self::H266(config) => Some(config.info.clone()),
            Self::Av1(config) => Some(config.info.clone()),
            Self::Vp9(config) => Some(config.info.clone()),
            Self::Vp8(config) => Some(config.info.clone()),
            _ => None,
        }
    }

    /// What the record itself says about HDR; other streams say it in-band.
    pub fn hdr(&self) -> Hdr {
        match self {
            Self::H265(config) => config.hdr(),
            Self::H266(config) => config.hdr(),
            _ => Hdr::default(),
        }
    }

    /// How many objects are coded within at most (E-AC-3 with JOC, ETSI TS 103 420); `None` where there are but channels.
    pub fn joc_complexity(&self) -> Option<u8> {
        match self {
            Self::Eac3(config) => config.joc_complexity,
            _ => None,
        }
    }

    /// Facts of an audio configuration; `None` for others.
    pub fn audio(&self) -> Option<AudioInfo> {
        match self {
            Self::Aac(config) => Some(AudioInfo {
                sample_rate_hz: config.output_rate_hz,
                // Parametric stereo makes two of one.
                channels: if config.ps { config.channels.max(2) } else { config.channels },
                samples_per_frame: config.samples_per_frame,
                bits_per_sample: 0,
            }),
            Self::Opus(config) => Some(config.info),
            Self::Mp3(config) | Self::Mp2(config) => Some(config.info),
            Self::Ac3(config) => Some(config.info),
            Self::Eac3(config) => Some(config.info),
            Self::Flac(config) => Some(config.info),
            Self::Pcm(config) => Some(config.info),
            // The bits are those of the code.
            Self::G711A(config) | Self::G711U(config) | Self::G722(config) => {
                Some(AudioInfo { bits_per_sample: 0, ..config.info })
            }
            _ => None,
        }
    }
}
