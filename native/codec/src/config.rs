//! One codec configuration: the record that a decoder needs before the first access unit.

use bytes::Bytes;

use crate::{CodecError, aac::AudioSpecificConfig, h264::AvcConfig};

/// What an elementary stream is to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// The coding of an elementary stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// ITU-T H.264 (AVC).
    H264,
    /// MPEG-4 AAC (ISO/IEC 14496-3).
    Aac,
}

impl Codec {
    /// The name that people write: `H264`, `AAC`.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::Aac => "AAC",
        }
    }

    /// Whether the codec carries pictures or sound.
    pub fn kind(self) -> MediaKind {
        match self {
            Self::H264 => MediaKind::Video,
            Self::Aac => MediaKind::Audio,
        }
    }
}

/// The configuration record of one elementary stream, parsed once, its bytes kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecConfig {
    /// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1).
    H264(AvcConfig),
    /// `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1).
    Aac(AudioSpecificConfig),
}

impl CodecConfig {
    /// Reads the record of `codec`.
    ///
    /// # Errors
    /// [`CodecError`] when the record is malformed or says something unsupported.
    pub fn parse(codec: Codec, record: Bytes) -> Result<Self, CodecError> {
        match codec {
            Codec::H264 => AvcConfig::parse(record).map(Self::H264),
            Codec::Aac => AudioSpecificConfig::parse(record).map(Self::Aac),
        }
    }

    /// The coding that this configures.
    pub fn codec(&self) -> Codec {
        match self {
            Self::H264(_) => Codec::H264,
            Self::Aac(_) => Codec::Aac,
        }
    }

    /// Pictures or sound.
    pub fn kind(&self) -> MediaKind {
        self.codec().kind()
    }

    /// The record's bytes: avcC, AudioSpecificConfig.
    pub fn record(&self) -> &Bytes {
        match self {
            Self::H264(config) => &config.record,
            Self::Aac(config) => &config.record,
        }
    }

    /// Ticks per second of the timestamps of such a track on the bus: 90 000 for video, the sample rate for audio.
    pub fn clock_rate_hz(&self) -> u32 {
        match self {
            Self::H264(_) => 90_000,
            Self::Aac(config) => config.sample_rate_hz,
        }
    }

    /// The `codecs` parameter of RFC 6381: `avc1.64001f`, `mp4a.40.2`.
    pub fn rfc6381(&self) -> String {
        match self {
            Self::H264(config) => config.rfc6381(),
            Self::Aac(config) => config.rfc6381(),
        }
    }
}
