//! The names of payload formats (RFC 8866 §6.6).

use std::str::FromStr;

use arcly_codec::CodecError;

/// A payload format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// H.264 (RFC 6184).
    H264,
    /// H.265 (RFC 7798).
    H265,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 (RFC 9628).
    Vp9,
    /// AV1 (AOM, RTP Payload Format For AV1).
    Av1,
    /// AAC in access units (RFC 3640).
    Mpeg4Generic,
    /// AAC in LATM (RFC 6416).
    Mp4aLatm,
    /// Opus (RFC 7587).
    Opus,
    /// MPEG audio (RFC 2250).
    Mpa,
    /// MP3 in application data units (RFC 5219).
    MpaRobust,
    /// AC-3 (RFC 4184).
    Ac3,
    /// E-AC-3 (RFC 4598).
    Eac3,
    /// G.711 A-law (RFC 3551).
    Pcma,
    /// G.711 μ-law (RFC 3551).
    Pcmu,
    /// G.722 (RFC 3551).
    G722,
    /// Linear PCM of 16 bits (RFC 3551).
    L16,
    /// Linear PCM of 24 bits (RFC 3190).
    L24,
    /// MPEG-TS (RFC 2250): a container, which the depacketizers here do not open.
    Mp2t,
    /// KLV metadata (RFC 6597).
    Klv,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::H264,
        Self::H265,
        Self::Vp8,
        Self::Vp9,
        Self::Av1,
        Self::Mpeg4Generic,
        Self::Mp4aLatm,
        Self::Opus,
        Self::Mpa,
        Self::MpaRobust,
        Self::Ac3,
        Self::Eac3,
        Self::Pcma,
        Self::Pcmu,
        Self::G722,
        Self::L16,
        Self::L24,
        Self::Mp2t,
        Self::Klv,
    ];

    /// The name in `a=rtpmap`.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
            Self::Mpeg4Generic => "mpeg4-generic",
            Self::Mp4aLatm => "MP4A-LATM",
            Self::Opus => "opus",
            Self::Mpa => "MPA",
            Self::MpaRobust => "mpa-robust",
            Self::Ac3 => "ac3",
            Self::Eac3 => "eac3",
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
            Self::G722 => "G722",
            Self::L16 => "L16",
            Self::L24 => "L24",
            Self::Mp2t => "MP2T",
            Self::Klv => "SMPTE336M",
        }
    }

    /// The media type in front of the name: what stands in `m=`.
    pub fn media(self) -> &'static str {
        match self {
            Self::H264 | Self::H265 | Self::Vp8 | Self::Vp9 | Self::Av1 | Self::Mp2t => "video",
            Self::Klv => "application",
            _ => "audio",
        }
    }

    /// The clock rate of all streams of a format; `None` where it is the sampling rate.
    pub(super) fn usual_clock_rate_hz(self) -> Option<u32> {
        match self {
            Self::Opus => Some(48_000),
            Self::Pcma | Self::Pcmu | Self::G722 => Some(8_000),
            Self::Mpa | Self::MpaRobust => Some(90_000),
            _ if self.media() != "audio" => Some(90_000),
            _ => None,
        }
    }
}

impl FromStr for Encoding {
    type Err = CodecError;

    /// Reads a name in any case, as RFC 8866 §6.6 wants, and those by which senders call the same.
    fn from_str(name: &str) -> Result<Self, CodecError> {
        let found = Self::ALL.into_iter().find(|encoding| encoding.name().eq_ignore_ascii_case(name));
        let other = match name.to_ascii_lowercase().as_str() {
            "hevc" => Some(Self::H265),
            "av1x" => Some(Self::Av1),
            "mp3" => Some(Self::Mpa),
            "klv" => Some(Self::Klv),
            _ => None,
        };
        found.or(other).ok_or(CodecError::Unsupported { what: "RTP payload format" })
    }
}
