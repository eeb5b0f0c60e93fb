//! The header of a tag's body: AUDIODATA (FLV §E.4.2), VIDEODATA (§E.4.3), and the forms of Enhanced RTMP v2
//! (ExAudioTagHeader, ExVideoTagHeader), whose body may hold several tracks.

use arcly_codec::Codec;
use bytes::Bytes;

use super::{
    codecs::{
        CODEC_ID_AVC, CODEC_ID_HEVC, codec_of, has_composition_time, sound_format, sound_format_name, video_codec_name,
    },
    error::{FlvError, Foreign},
    fields::Fields,
    packet::{Coded, Content, Packet, Sound, coded_audio, coded_video},
    written::TagRole,
};

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

/// `FrameType` (§E.4.3.1).
const KEY_FRAME: u8 = 1;
/// `FrameType` of a tag that holds a command to the player.
const COMMAND_FRAME: u8 = 5;
/// `IsExHeader`, the top bit of a video body; `FrameType` has the next three.
const EX_HEADER: u8 = 0x80;

/// `VideoPacketType` and `AudioPacketType`, where they are the same, and those of one kind.
pub(super) mod packet_type {
    pub const SEQUENCE_START: u8 = 0;
    pub const CODED_FRAMES: u8 = 1;
    pub const SEQUENCE_END: u8 = 2;
    pub const VIDEO_CODED_FRAMES_X: u8 = 3;
    pub const VIDEO_METADATA: u8 = 4;
    pub const VIDEO_MPEG2_TS_SEQUENCE_START: u8 = 5;
    pub const VIDEO_MULTITRACK: u8 = 6;
    pub const AUDIO_MULTICHANNEL_CONFIG: u8 = 4;
    pub const AUDIO_MULTITRACK: u8 = 5;
    pub const MOD_EX: u8 = 7;
}

/// `AvMultitrackType`.
pub(super) mod multitrack_type {
    pub const ONE_TRACK: u8 = 0;
    pub const MANY_TRACKS: u8 = 1;
    pub const MANY_TRACKS_MANY_CODECS: u8 = 2;
}

/// `TimestampOffsetNano`, a `VideoPacketModExType` and `AudioPacketModExType`.
pub(super) const TIMESTAMP_OFFSET_NANO: u8 = 0;

/// The tracks of a body, one after the other. An error in what one of them holds leaves the others readable.
#[derive(Debug)]
pub(super) struct Packets {
    rest: Fields,
    head: Head,
    layout: Layout,
}

/// What the body of a tag is to somebody who wants to begin in the middle. What cannot be read is [`TagRole::Metadata`].
pub(crate) fn role_of(kind: TagKind, body: Bytes) -> TagRole {
    let mut role = TagRole::Metadata;
    if kind == TagKind::Script {
        return role;
    }
    let Ok(mut packets) = Packets::of(body, kind == TagKind::Video) else { return role };
    while let Some(Ok(packet)) = packets.next() {
        role = match packet.content {
            Content::Coded(Coded { claims_key: true, .. }) => return TagRole::KeyFrame,
            Content::Coded(_) => TagRole::Frame,
            Content::SequenceHeader(_) => TagRole::Configuration,
            Content::EndOfSequence => TagRole::End,
            Content::Metadata(_) | Content::Nothing => role,
        };
    }
    role
}

/// What is said once for all tracks of a body.
#[derive(Debug, Clone, Copy)]
struct Head {
    is_video: bool,
    claims_key: bool,
    packet_type: u8,
    offset_ns: u32,
}

/// How the tracks lie in the rest of the body.
#[derive(Debug)]
enum Layout {
    /// Read already: the only track, in the form from before Enhanced RTMP.
    Ready(Option<Packet>),
    /// The rest is the default track.
    Single([u8; 4]),
    /// A track id, and the rest is that track.
    OneTrack([u8; 4]),
    /// Track id, size, track, and so on. `None`: each has its FourCC in front.
    Many(Option<[u8; 4]>),
}

impl Packets {
    /// Reads VIDEODATA or AUDIODATA up to the first track.
    pub fn of(body: Bytes, is_video: bool) -> Result<Self, FlvError> {
        let rest = Fields::new(body);
        let Some(first) = rest.peek() else { return Ok(Self::ready(rest, None)) };
        if is_video { Self::of_video(rest, first) } else { Self::of_audio(rest, first) }
    }

    fn ready(rest: Fields, packet: Option<Packet>) -> Self {
        let head = Head { is_video: false, claims_key: false, packet_type: 0, offset_ns: 0 };
        Self { rest, head, layout: Layout::Ready(packet) }
    }

    fn of_video(mut rest: Fields, first: u8) -> Result<Self, FlvError> {
        let frame_type = first >> 4 & 0b111;
        let claims_key = frame_type == KEY_FRAME;
        if first & EX_HEADER == 0 {
            if frame_type == COMMAND_FRAME {
                return Ok(Self::ready(rest, None));
            }
            let packet = plain_video(&mut rest, first & 0x0f, claims_key)?;
            return Ok(Self::ready(rest, Some(packet)));
        }
        rest.u8("FrameType")?;
        let head = Head { is_video: true, claims_key, packet_type: first & 0x0f, offset_ns: 0 };
        let head = read_mod_ex(&mut rest, head)?;
        if frame_type == COMMAND_FRAME && head.packet_type != packet_type::VIDEO_METADATA {
            return Ok(Self::ready(rest, None));
        }
        Self::of_tracks(rest, head, packet_type::VIDEO_MULTITRACK)
    }

    fn of_audio(mut rest: Fields, first: u8) -> Result<Self, FlvError> {
        if first >> 4 != sound_format::EX_HEADER {
            let packet = plain_audio(&mut rest, first)?;
            return Ok(Self::ready(rest, Some(packet)));
        }
        rest.u8("SoundFormat")?;
        let head = Head { is_video: false, claims_key: false, packet_type: first & 0x0f, offset_ns: 0 };
        let head = read_mod_ex(&mut rest, head)?;
        Self::of_tracks(rest, head, packet_type::AUDIO_MULTITRACK)
    }

    fn of_tracks(mut rest: Fields, mut head: Head, multitrack: u8) -> Result<Self, FlvError> {
        if head.packet_type != multitrack {
            let layout = Layout::Single(rest.array("FourCC")?);
            return Ok(Self { rest, head, layout });
        }
        let types = rest.u8("AvMultitrackType")?;
        head.packet_type = types & 0x0f;
        if head.packet_type == multitrack || head.packet_type == packet_type::MOD_EX {
            return Err(FlvError::Malformed { what: "packet type within multitrack", offset: rest.offset() - 1 });
        }
        let layout = match types >> 4 {
            multitrack_type::ONE_TRACK => Layout::OneTrack(rest.array("FourCC")?),
            multitrack_type::MANY_TRACKS => Layout::Many(Some(rest.array("FourCC")?)),
            multitrack_type::MANY_TRACKS_MANY_CODECS => Layout::Many(None),
            _ => return Err(unsupported("Enhanced RTMP multitrack type")),
        };
        Ok(Self { rest, head, layout })
    }

    /// The next track; `None` behind the last. A body whose framing breaks has no next one.
    pub fn next(&mut self) -> Option<Result<Packet, FlvError>> {
        match &mut self.layout {
            Layout::Ready(packet) => packet.take().map(Ok),
            Layout::Single(four_cc) => {
                let four_cc = *four_cc;
                Some(self.last_track(four_cc, 0))
            }
            Layout::OneTrack(four_cc) => {
                let four_cc = *four_cc;
                Some(match self.rest.u8("track id") {
                    Ok(track) => self.last_track(four_cc, track),
                    Err(error) => self.end_with(error),
                })
            }
            Layout::Many(_) if self.rest.is_empty() => None,
            Layout::Many(shared) => {
                let shared = *shared;
                let split = split_track(&mut self.rest, shared);
                let track = split.map(|(four_cc, track, data)| read_track(self.head, four_cc, track, data));
                Some(track.unwrap_or_else(|error| self.end_with(error)))
            }
        }
    }

    fn last_track(&mut self, four_cc: [u8; 4], track: u8) -> Result<Packet, FlvError> {
        self.layout = Layout::Ready(None);
        read_track(self.head, four_cc, track, self.rest.rest())
    }

    fn end_with(&mut self, error: FlvError) -> Result<Packet, FlvError> {
        self.layout = Layout::Ready(None);
        Err(error)
    }
}

/// Takes ModEx packets off the front: each changes what follows, and the last names the packet type.
fn read_mod_ex(rest: &mut Fields, mut head: Head) -> Result<Head, FlvError> {
    while head.packet_type == packet_type::MOD_EX {
        let mut size = usize::from(rest.u8("modExDataSize")?) + 1;
        if size == 256 {
            size = usize::from(u16::from_be_bytes(rest.array("modExDataSize")?)) + 1;
        }
        let data = rest.take(size, "modExData")?;
        let types = rest.u8("ModExType")?;
        head.packet_type = types & 0x0f;
        // Of other types nothing is known but that they may be passed over.
        if let (TIMESTAMP_OFFSET_NANO, Some(&[high, middle, low])) = (types >> 4, data.first_chunk()) {
            head.offset_ns = u32::from_be_bytes([0, high, middle, low]);
        }
    }
    Ok(head)
}

/// One track off the front of many: FourCC, id, size, data.
fn split_track(rest: &mut Fields, shared: Option<[u8; 4]>) -> Result<([u8; 4], u8, Fields), FlvError> {
    let four_cc = match shared {
        Some(four_cc) => four_cc,
        None => rest.array("FourCC")?,
    };
    let track = rest.u8("track id")?;
    let [high, middle, low] = rest.array("sizeOfTrack")?;
    let size = u32::from_be_bytes([0, high, middle, low]) as usize;
    Ok((four_cc, track, rest.split(size, "sizeOfTrack")?))
}

/// A track of Enhanced RTMP: `data` begins behind FourCC, id and size.
fn read_track(head: Head, four_cc: [u8; 4], track: u8, mut data: Fields) -> Result<Packet, FlvError> {
    let codec = codec_of(four_cc, head.is_video)?;
    let content = if head.is_video { ex_video(head, codec, &mut data)? } else { ex_audio(head, &mut data)? };
    Ok(Packet { track, codec, offset_ns: head.offset_ns, at: data.offset(), content: content.unless_empty() })
}

fn ex_video(head: Head, codec: Codec, data: &mut Fields) -> Result<Content, FlvError> {
    let claims_key = head.claims_key;
    match head.packet_type {
        packet_type::SEQUENCE_START => Ok(Content::SequenceHeader(data.take_rest())),
        packet_type::CODED_FRAMES if has_composition_time(codec) => {
            let composition = data.array("compositionTimeOffset")?;
            Ok(coded_video(claims_key, composition, data.take_rest()))
        }
        // CodedFramesX: presentation and decoding time are the same.
        packet_type::CODED_FRAMES | packet_type::VIDEO_CODED_FRAMES_X => {
            Ok(coded_video(claims_key, [0; 3], data.take_rest()))
        }
        packet_type::SEQUENCE_END => Ok(Content::EndOfSequence),
        packet_type::VIDEO_METADATA => Ok(Content::Metadata(data.take_rest())),
        packet_type::VIDEO_MPEG2_TS_SEQUENCE_START => {
            Err(unsupported("AV1 configured by an MPEG-2 TS descriptor (MPEG2TSSequenceStart); send SequenceStart"))
        }
        _ => Err(unsupported("Enhanced RTMP video packet type 8 to 15")),
    }
}

fn ex_audio(head: Head, data: &mut Fields) -> Result<Content, FlvError> {
    match head.packet_type {
        packet_type::SEQUENCE_START => Ok(Content::SequenceHeader(data.take_rest())),
        packet_type::CODED_FRAMES => Ok(coded_audio(None, data.take_rest())),
        packet_type::SEQUENCE_END => Ok(Content::EndOfSequence),
        // The codec's own data says it too.
        packet_type::AUDIO_MULTICHANNEL_CONFIG => Ok(Content::Nothing),
        _ => Err(unsupported("Enhanced RTMP audio packet type 3, 6 or 8 to 15")),
    }
}

/// VIDEODATA from before Enhanced RTMP: AVCVIDEOPACKET (§E.4.3.2), also for H.265.
fn plain_video(rest: &mut Fields, codec_id: u8, claims_key: bool) -> Result<Packet, FlvError> {
    let codec = match codec_id {
        CODEC_ID_AVC => Codec::H264,
        CODEC_ID_HEVC => Codec::H265,
        _ => return Err(unsupported(video_codec_name(codec_id))),
    };
    let [_, packet_type, composition @ ..]: [u8; 5] = rest.array("AVCPacketType and CompositionTime")?;
    let at = rest.offset();
    let content = match packet_type {
        0 => Content::SequenceHeader(rest.take_rest()),
        1 => coded_video(claims_key, composition, rest.take_rest()),
        2 => Content::EndOfSequence,
        _ => return Err(FlvError::Malformed { what: "AVCPacketType", offset: 1 }),
    };
    Ok(Packet { track: 0, codec, offset_ns: 0, at, content: content.unless_empty() })
}

/// AUDIODATA from before Enhanced RTMP.
fn plain_audio(rest: &mut Fields, first: u8) -> Result<Packet, FlvError> {
    let sound = Sound::of(first);
    rest.u8("SoundFormat")?;
    let (codec, content) = match first >> 4 {
        sound_format::AAC => (Codec::Aac, aac(rest)?),
        sound_format::MP3 | sound_format::MP3_8_KHZ => (Codec::Mp3, coded_audio(None, rest.take_rest())),
        sound_format::G711_A => (Codec::G711A, coded_audio(Some(sound.of_g711()), rest.take_rest())),
        sound_format::G711_U => (Codec::G711U, coded_audio(Some(sound.of_g711()), rest.take_rest())),
        // "Platform endian" was the sender's: all that are left are little-endian.
        sound_format::PCM_PLATFORM | sound_format::PCM_LITTLE_ENDIAN => {
            (Codec::Pcm, coded_audio(Some(sound), rest.take_rest()))
        }
        sound_format => return Err(unsupported(sound_format_name(sound_format))),
    };
    let at = if codec == Codec::Aac { 2 } else { 1 };
    Ok(Packet { track: 0, codec, offset_ns: 0, at, content: content.unless_empty() })
}

/// AACAUDIODATA (§E.4.2.2). What the first byte says of rate and channels is not meant for AAC.
fn aac(rest: &mut Fields) -> Result<Content, FlvError> {
    match rest.u8("AACPacketType")? {
        0 => Ok(Content::SequenceHeader(rest.take_rest())),
        1 => Ok(coded_audio(None, rest.take_rest())),
        _ => Err(FlvError::Malformed { what: "AACPacketType", offset: 1 }),
    }
}

fn unsupported(name: &'static str) -> FlvError {
    FlvError::Unsupported { what: Foreign::Named(name) }
}
