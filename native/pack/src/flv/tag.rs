//! The header of a tag's body: AUDIODATA (FLV §E.4.2), VIDEODATA (§E.4.3), and their Enhanced RTMP v2 forms
//! (ExAudioTagHeader, ExVideoTagHeader).

use std::mem::take;

use bytes::Bytes;

use super::error::{FlvError, Foreign};

/// `TagType` (§E.4.1), or the type of an RTMP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TagKind {
    /// 8.
    Audio,
    /// 9.
    Video,
    /// 18: data in AMF0, `onMetaData` for one.
    Script,
}

/// What the body of a tag holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// The codec's configuration record.
    SequenceHeader(Bytes),
    /// An access unit.
    Coded(Coded),
    /// Nothing more will come in this sequence.
    EndOfSequence,
    /// Nothing for us: an empty body, a command, metadata.
    Nothing,
}

/// An access unit as the wire has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Coded {
    /// The sender calls it a key frame. Audio: false.
    pub claims_key: bool,
    /// Presentation minus decoding time. Audio: 0.
    pub composition_ms: i32,
    pub payload: Bytes,
}

impl Packet {
    /// A record or an access unit of no bytes is nothing: some encoders send these when they have nothing to say.
    fn unless_empty(self) -> Self {
        match &self {
            Self::SequenceHeader(bytes) | Self::Coded(Coded { payload: bytes, .. }) if bytes.is_empty() => {
                Self::Nothing
            }
            _ => self,
        }
    }
}

/// `IsExHeader`, the top bit of a video body; `FrameType` has the next three.
const EX_HEADER: u8 = 0x80;
/// `FrameType`.
const KEY_FRAME: u8 = 1;
/// `FrameType` of a tag that holds a command to the player.
const COMMAND_FRAME: u8 = 5;
/// `CodecID` of AVC.
const AVC: u8 = 7;
/// `SoundFormat` of AAC, and the value by which Enhanced RTMP says that a FourCC follows.
const AAC: u8 = 10;
const EX_AUDIO: u8 = 9;

/// Reads VIDEODATA.
pub(super) fn parse_video(mut body: Bytes) -> Result<Packet, FlvError> {
    let Some(&first) = body.first() else { return Ok(Packet::Nothing) };
    let frame_type = first >> 4 & 0b111;
    if frame_type == COMMAND_FRAME {
        return Ok(Packet::Nothing);
    }
    let claims_key = frame_type == KEY_FRAME;
    let packet = match first & 0x0f {
        packet_type if first & EX_HEADER != 0 => parse_ex_video(&mut body, packet_type, claims_key)?,
        AVC => parse_avc(&mut body, claims_key)?,
        codec_id => return Err(unsupported(video_codec_name(codec_id))),
    };
    Ok(packet.unless_empty())
}

/// AVCVIDEOPACKET (§E.4.3.2).
fn parse_avc(body: &mut Bytes, claims_key: bool) -> Result<Packet, FlvError> {
    let [_, packet_type, composition @ ..]: [u8; 5] = split_header(body, "AVCPacketType and CompositionTime")?;
    match packet_type {
        0 => Ok(Packet::SequenceHeader(take(body))),
        1 => Ok(coded_video(claims_key, composition, take(body))),
        2 => Ok(Packet::EndOfSequence),
        _ => Err(FlvError::Malformed { what: "AVCPacketType", offset: 1 }),
    }
}

/// ExVideoTagHeader with `VideoPacketType` 0 to 3, and the FourCC `avc1`.
fn parse_ex_video(body: &mut Bytes, packet_type: u8, claims_key: bool) -> Result<Packet, FlvError> {
    match packet_type {
        0..=3 => expect_four_cc(body, *b"avc1")?,
        4 => return Ok(Packet::Nothing),
        5 => return Err(unsupported("Enhanced RTMP MPEG-2 TS sequence start")),
        6 => return Err(unsupported("Enhanced RTMP multitrack video")),
        7 => return Err(unsupported("Enhanced RTMP ModEx video")),
        _ => return Err(unsupported("Enhanced RTMP video packet type 8 to 15")),
    }
    match packet_type {
        0 => Ok(Packet::SequenceHeader(take(body))),
        1 => Ok(coded_video(claims_key, split_header(body, "compositionTimeOffset")?, take(body))),
        2 => Ok(Packet::EndOfSequence),
        // CodedFramesX: presentation and decoding time are the same.
        _ => Ok(coded_video(claims_key, [0; 3], take(body))),
    }
}

fn coded_video(claims_key: bool, composition: [u8; 3], payload: Bytes) -> Packet {
    // SI24: a signed number of 24 bits.
    let [high, middle, low] = composition;
    let composition_ms = i32::from_be_bytes([high, middle, low, 0]) >> 8;
    Packet::Coded(Coded { claims_key, composition_ms, payload })
}

/// Reads AUDIODATA.
pub(super) fn parse_audio(mut body: Bytes) -> Result<Packet, FlvError> {
    let Some(&first) = body.first() else { return Ok(Packet::Nothing) };
    let packet = match first >> 4 {
        AAC => parse_aac(&mut body)?,
        EX_AUDIO => parse_ex_audio(&mut body, first & 0x0f)?,
        sound_format => return Err(unsupported(sound_format_name(sound_format))),
    };
    Ok(packet.unless_empty())
}

/// AACAUDIODATA (§E.4.2.2). What the first byte says of rate and channels is not meant for AAC.
fn parse_aac(body: &mut Bytes) -> Result<Packet, FlvError> {
    let [_, packet_type]: [u8; 2] = split_header(body, "AACPacketType")?;
    match packet_type {
        0 => Ok(Packet::SequenceHeader(take(body))),
        1 => Ok(coded_audio(take(body))),
        _ => Err(FlvError::Malformed { what: "AACPacketType", offset: 1 }),
    }
}

/// ExAudioTagHeader with `AudioPacketType` 0 to 2, and the FourCC `mp4a`.
fn parse_ex_audio(body: &mut Bytes, packet_type: u8) -> Result<Packet, FlvError> {
    match packet_type {
        0..=2 => expect_four_cc(body, *b"mp4a")?,
        4 => return Ok(Packet::Nothing),
        5 => return Err(unsupported("Enhanced RTMP multitrack audio")),
        7 => return Err(unsupported("Enhanced RTMP ModEx audio")),
        _ => return Err(unsupported("Enhanced RTMP audio packet type 3, 6 or 8 to 15")),
    }
    match packet_type {
        0 => Ok(Packet::SequenceHeader(take(body))),
        1 => Ok(coded_audio(take(body))),
        _ => Ok(Packet::EndOfSequence),
    }
}

fn coded_audio(payload: Bytes) -> Packet {
    Packet::Coded(Coded { claims_key: false, composition_ms: 0, payload })
}

/// Takes the first `N` bytes off.
fn split_header<const N: usize>(body: &mut Bytes, what: &'static str) -> Result<[u8; N], FlvError> {
    let header = *body.first_chunk().ok_or(FlvError::Malformed { what, offset: body.len() })?;
    drop(body.split_to(N));
    Ok(header)
}

/// Takes the first byte and the FourCC off.
fn expect_four_cc(body: &mut Bytes, expected: [u8; 4]) -> Result<(), FlvError> {
    let [_, four_cc @ ..]: [u8; 5] = split_header(body, "FourCC")?;
    if four_cc == expected { Ok(()) } else { Err(FlvError::Unsupported { what: Foreign::FourCc(four_cc) }) }
}

fn unsupported(name: &'static str) -> FlvError {
    FlvError::Unsupported { what: Foreign::Named(name) }
}

/// `CodecID` (§E.4.3.1), and 12, by which some encoders said H.265 before there was Enhanced RTMP.
fn video_codec_name(codec_id: u8) -> &'static str {
    match codec_id {
        2 => "Sorenson H.263",
        3 => "Screen video",
        4 => "On2 VP6",
        5 => "On2 VP6 with alpha",
        6 => "Screen video 2",
        12 => "H.265 as video codec 12 (Enhanced RTMP has the FourCC hvc1)",
        _ => "video codec with a reserved id",
    }
}

/// `SoundFormat` (§E.4.2.1).
fn sound_format_name(sound_format: u8) -> &'static str {
    match sound_format {
        0 | 3 => "linear PCM",
        1 => "ADPCM",
        2 | 14 => "MP3",
        4..=6 => "Nellymoser",
        7 => "G.711 A-law",
        8 => "G.711 mu-law",
        11 => "Speex",
        _ => "sound format with a reserved number",
    }
}
