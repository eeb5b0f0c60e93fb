//! How FLV names codecs: by a number of four bits, or by the FourCC of Enhanced RTMP.

use arcly_codec::{Codec, MediaKind};

use super::error::{FlvError, Foreign};

/// `CodecID` of AVC (§E.4.3.1).
pub(super) const CODEC_ID_AVC: u8 = 7;
/// Not in the specification: H.265 laid out as AVC is, as many encoders sent it before there was Enhanced RTMP.
pub(super) const CODEC_ID_HEVC: u8 = 12;

/// `SoundFormat` (§E.4.2.1).
pub(super) mod sound_format {
    pub const PCM_PLATFORM: u8 = 0;
    pub const MP3: u8 = 2;
    pub const PCM_LITTLE_ENDIAN: u8 = 3;
    pub const G711_A: u8 = 7;
    pub const G711_U: u8 = 8;
    /// Enhanced RTMP: a FourCC follows.
    pub const EX_HEADER: u8 = 9;
    pub const AAC: u8 = 10;
    pub const MP3_8_KHZ: u8 = 14;
}

/// `VideoFourCc` and `AudioFourCc` of Enhanced RTMP v2, and `vvc1`, which FFmpeg writes.
const FOUR_CCS: [(Codec, [u8; 4]); 12] = [
    (Codec::H264, *b"avc1"),
    (Codec::H265, *b"hvc1"),
    (Codec::H266, *b"vvc1"),
    (Codec::Av1, *b"av01"),
    (Codec::Vp9, *b"vp09"),
    (Codec::Vp8, *b"vp08"),
    (Codec::Aac, *b"mp4a"),
    (Codec::Opus, *b"Opus"),
    (Codec::Mp3, *b".mp3"),
    (Codec::Ac3, *b"ac-3"),
    (Codec::Eac3, *b"ec-3"),
    (Codec::Flac, *b"fLaC"),
];

/// The FourCC of a codec; `None` when Enhanced RTMP has none.
pub fn four_cc(codec: Codec) -> Option<[u8; 4]> {
    FOUR_CCS.iter().find(|(known, _)| *known == codec).map(|(_, four_cc)| *four_cc)
}

/// The codec of a FourCC, of the kind that the tag has.
pub(super) fn codec_of(four_cc: [u8; 4], is_video: bool) -> Result<Codec, FlvError> {
    let found = FOUR_CCS.iter().find(|(codec, known)| *known == four_cc && is_video_codec(*codec) == is_video);
    found.map(|(codec, _)| *codec).ok_or(FlvError::Unsupported { what: Foreign::FourCc(four_cc) })
}

fn is_video_codec(codec: Codec) -> bool {
    codec.kind() == MediaKind::Video
}

/// Whether a coded frame begins with a composition time (CodedFrames of Enhanced RTMP): the codecs whose pictures may be
/// shown in another order than they are decoded and do not say so themselves.
pub(super) fn has_composition_time(codec: Codec) -> bool {
    matches!(codec, Codec::H264 | Codec::H265 | Codec::H266)
}

/// `CodecID` (§E.4.3.1) of what arcly cannot carry.
pub(super) fn video_codec_name(codec_id: u8) -> &'static str {
    match codec_id {
        2 => "Sorenson H.263",
        3 => "Screen video",
        4 => "On2 VP6",
        5 => "On2 VP6 with alpha",
        6 => "Screen video 2",
        _ => "video codec with a reserved id",
    }
}

/// `SoundFormat` (§E.4.2.1) of what arcly cannot carry.
pub(super) fn sound_format_name(sound_format: u8) -> &'static str {
    match sound_format {
        1 => "ADPCM",
        4..=6 => "Nellymoser",
        11 => "Speex",
        _ => "sound format with a reserved number",
    }
}
