//! Frames to the bytes of a container.

mod mp4;

use arcly_bus::{Frame, Track, TrackId, TrackSet};
use arcly_codec::MediaKind;
use arcly_pack::{
    PackError,
    flv::{self, FlvMuxer, FlvTag, TagKind, TagRole},
    mpegts::TsMuxer,
};
use arcly_wire::rtmp;

use self::mp4::Mp4;
use super::{
    Framing,
    packet::{Draft, SHARED_BYTES_MIN},
};
use crate::rtsp;

/// A container that is written without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// MPEG-2 transport stream.
    Ts,
    /// Flash video: what browsers with mpegts.js or flv.js and most players take with the least delay. The first track of each kind:
    /// mpegts.js gives up at a tag of another one.
    Flv,
    /// The same with all tracks, which is multitrack of Enhanced RTMP v2.
    MultitrackFlv,
    /// Fragmented MP4, a fragment for each frame: what browsers play by themselves.
    Mp4,
    /// The messages of RTMP, in chunks, of the same tracks as [`Flv`](Self::Flv).
    Rtmp,
    /// The same with all tracks.
    MultitrackRtmp,
    /// RTP, each packet behind the header that RTSP puts in front of it on a connection.
    Rtp,
}

impl Container {
    /// By the ending of a path: `ts`, `flv`, `mp4`.
    pub fn from_ending(ending: &str) -> Option<Self> {
        match ending {
            "ts" => Some(Self::Ts),
            "flv" => Some(Self::Flv),
            "mp4" => Some(Self::Mp4),
            _ => None,
        }
    }

    /// The media type of a response.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Ts => "video/mp2t",
            Self::Flv | Self::MultitrackFlv | Self::Rtmp | Self::MultitrackRtmp => "video/x-flv",
            Self::Mp4 => "video/mp4",
            Self::Rtp => "application/x-rtsp-tunnelled",
        }
    }

    /// The one that has all tracks of a stream, where this has only the first of each kind.
    pub(crate) fn with_all_tracks(self) -> Self {
        match self {
            Self::Flv => Self::MultitrackFlv,
            Self::Rtmp => Self::MultitrackRtmp,
            other => other,
        }
    }

    /// How its viewers are called in lists and events, and when one asks whether it may play.
    pub(crate) fn protocol(self, framing: Framing) -> &'static str {
        match (self, framing) {
            (Self::Ts, Framing::WebSocket) => "ws-ts",
            (Self::Ts, _) => "http-ts",
            (Self::Flv | Self::MultitrackFlv, Framing::WebSocket) => "ws-flv",
            (Self::Flv | Self::MultitrackFlv, _) => "http-flv",
            (Self::Mp4, Framing::WebSocket) => "ws-mp4",
            (Self::Mp4, _) => "http-mp4",
            (Self::Rtmp | Self::MultitrackRtmp, _) => "rtmp",
            (Self::Rtp, _) => "rtsp",
        }
    }

    /// Whether some track of these can be written in it.
    pub(crate) fn has_place_for(self, tracks: &TrackSet) -> bool {
        let mut format = self.format();
        format.configure(tracks).is_ok() && !format.carried(tracks).is_empty()
    }

    pub(crate) fn format(self) -> Box<dyn Format> {
        match self {
            Self::Ts => Box::<Ts>::default(),
            Self::Flv => Box::new(Flv::new(Dialect::File, Tracks::FirstOfKind)),
            Self::MultitrackFlv => Box::new(Flv::new(Dialect::File, Tracks::All)),
            Self::Mp4 => Box::<Mp4>::default(),
            Self::Rtmp => Box::new(Flv::new(Dialect::Messages, Tracks::FirstOfKind)),
            Self::MultitrackRtmp => Box::new(Flv::new(Dialect::Messages, Tracks::All)),
            Self::Rtp => Box::new(rtsp::Packets::new()),
        }
    }
}

/// What a container usually adds to a frame, besides what it adds to each of its bytes.
const ADDED_BYTES: usize = 64;

/// Writes one container. Knows nothing of viewers.
pub(crate) trait Format: Send {
    /// Takes the tracks that come next, and says what viewers need in front of them.
    ///
    /// # Errors
    /// [`PackError`] when it can carry none of them.
    fn configure(&mut self, tracks: &TrackSet) -> Result<Headers, PackError>;

    /// Whether it writes the frames of this track, which is one of those that it was told of last.
    fn carries(&self, track: TrackId) -> bool;

    /// Those of `tracks`, which it was told of last, that it writes. Readers of what it writes wait for the pictures of no others.
    fn carried(&self, tracks: &TrackSet) -> Vec<Track> {
        tracks.tracks.iter().filter(|track| self.carries(track.id)).cloned().collect()
    }

    /// Appends the packet of one frame; nothing for a frame of a track that it does not carry. A viewer can begin with the packet of a key
    /// frame. `later` is what has come already of the frames behind it.
    ///
    /// # Errors
    /// [`PackError`] for a frame that cannot be written; nothing is appended then.
    fn write(&mut self, frame: &Frame, later: &[Frame], out: &mut Draft) -> Result<(), PackError>;

    /// How many bytes of its own the packet of so long a payload has, about.
    fn own_bytes(&self, payload_bytes: usize) -> usize {
        payload_bytes + payload_bytes / 32 + ADDED_BYTES
    }

    /// Whether viewers of what was written so far, in this framing, can read what comes under these tracks; else the packets end for them,
    /// and begin anew for whoever comes then.
    fn can_go_on(&self, _tracks: &TrackSet, _framing: Framing) -> bool {
        true
    }

    /// The packets that say that nothing more comes, one for each track that says so; each is a frame that follows the last of its track.
    fn end(&mut self) -> Vec<Frame> {
        Vec::new()
    }
}

/// What a viewer needs before it can understand packets. May be empty.
#[derive(Default)]
pub(crate) struct Headers {
    /// At the beginning.
    pub(crate) first: Vec<u8>,
    /// Again, behind a gap: the tracks may have changed in it.
    pub(crate) again: Vec<u8>,
}

/// MPEG-TS. Tables and a clock reference stand in front of each key picture, so nobody needs anything before it.
#[derive(Default)]
struct Ts {
    muxer: Option<TsMuxer>,
    carried: Vec<TrackId>,
    video: Option<TrackId>,
}

impl Format for Ts {
    fn configure(&mut self, tracks: &TrackSet) -> Result<Headers, PackError> {
        let tracks = only(tracks, |track| TsMuxer::supports(track).is_ok());
        self.carried.clear();
        match &mut self.muxer {
            Some(muxer) => muxer.reconfigure(&tracks)?,
            none => *none = Some(TsMuxer::new(&tracks)?),
        }
        self.carried.extend(tracks.tracks.iter().map(|track| track.id));
        self.video = tracks.first(MediaKind::Video).map(|track| track.id);
        Ok(Headers::default())
    }

    fn carries(&self, track: TrackId) -> bool {
        self.carried.contains(&track)
    }

    fn write(&mut self, frame: &Frame, _: &[Frame], Draft { own: out, .. }: &mut Draft) -> Result<(), PackError> {
        let Some(muxer) = self.muxer.as_mut().filter(|_| self.carried.contains(&frame.track)) else { return Ok(()) };
        if frame.is_key() && self.video == Some(frame.track) {
            muxer.start_segment(out);
        }
        muxer.write(frame, out)
    }
}

/// FLV, in its own form or in that of RTMP. Metadata and sequence headers stand in front of a viewer's first tag, and among the tags where
/// they change.
struct Flv {
    muxer: FlvMuxer,
    tags: Vec<FlvTag>,
    /// Something was written: there may be viewers.
    has_begun: bool,
    dialect: Dialect,
    tracks: Tracks,
    carried: Vec<TrackId>,
}

/// Which tracks are written, of those that have a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tracks {
    FirstOfKind,
    All,
}

impl Tracks {
    fn of(self, tracks: &TrackSet) -> TrackSet {
        let carried = only(tracks, |track| FlvMuxer::supports(track, flv::Dialect::default()).is_ok());
        let is_first = |track: &Track| carried.first(track.kind()).is_some_and(|first| first.id == track.id);
        match self {
            Self::FirstOfKind => only(&carried, is_first),
            Self::All => carried,
        }
    }
}

/// In which form tags are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// As in a file.
    File,
    /// As messages of RTMP, in chunks.
    Messages,
}

impl Dialect {
    fn put(self, tag: &FlvTag, out: &mut Vec<u8>) {
        match self {
            Self::File => tag.write(out),
            Self::Messages => {
                rtmp::egress::put_chunked(message_kind(tag), tag.timestamp_ms, tag.header(), &tag.payload, out);
            }
        }
    }

    /// The last tag of a packet: a payload that is worth it is not copied.
    fn put_last(self, tag: &FlvTag, out: &mut Draft) {
        let FlvTag { timestamp_ms, payload, .. } = tag;
        let own = &mut out.own;
        match self {
            _ if payload.len() < SHARED_BYTES_MIN => self.put(tag, own),
            Self::File => {
                own.extend_from_slice(&tag.file_header());
                own.extend_from_slice(tag.header());
                out.share(payload);
                out.own.extend_from_slice(&tag.previous_tag_size());
            }
            Self::Messages => {
                if rtmp::egress::put_head(message_kind(tag), *timestamp_ms, tag.header(), payload.len(), own) {
                    out.share(payload);
                } else {
                    self.put(tag, own);
                }
            }
        }
    }
}

fn message_kind(tag: &FlvTag) -> rtmp::MediaKind {
    match tag.kind {
        TagKind::Audio => rtmp::MediaKind::Audio,
        TagKind::Video => rtmp::MediaKind::Video,
        TagKind::Script => rtmp::MediaKind::Script,
    }
}

impl Flv {
    fn new(dialect: Dialect, tracks: Tracks) -> Self {
        let (muxer, tags, carried) = (FlvMuxer::default(), Vec::new(), Vec::new());
        Self { muxer, tags, has_begun: false, dialect, tracks, carried }
    }
}

impl Format for Flv {
    fn configure(&mut self, tracks: &TrackSet) -> Result<Headers, PackError> {
        let tracks = self.tracks.of(tracks);
        self.muxer.reconfigure(&tracks);
        let left_out = self.muxer.left_out();
        let carried = tracks.tracks.iter().filter(|track| !left_out.contains(&track.id));
        let has = |kind| carried.clone().any(|track| track.kind() == kind);
        let (has_video, has_audio) = (has(MediaKind::Video), has(MediaKind::Audio));
        self.carried = carried.map(|track| track.id).collect();
        if !has_video && !has_audio {
            return Err(PackError::Unsupported { what: "tracks for FLV" });
        }
        let mut again = Vec::new();
        self.muxer.headers(0).iter().for_each(|tag| self.dialect.put(tag, &mut again));
        let file_header = flv::file_header(has_video, has_audio);
        let first = [if self.dialect == Dialect::File { &file_header[..] } else { &[] }, &again].concat();
        Ok(Headers { first, again })
    }

    fn carries(&self, track: TrackId) -> bool {
        self.carried.contains(&track)
    }

    fn write(&mut self, frame: &Frame, _: &[Frame], out: &mut Draft) -> Result<(), PackError> {
        self.tags.clear();
        self.muxer.write(frame, &mut self.tags)?;
        let is_frame = |tag: &FlvTag| matches!(tag.role, TagRole::KeyFrame | TagRole::Frame);
        if !self.has_begun {
            // In front of the very first frame everybody has the others from the header.
            self.tags.retain(is_frame);
        }
        if let Some((last, before)) = self.tags.split_last() {
            before.iter().for_each(|tag| self.dialect.put(tag, &mut out.own));
            self.dialect.put_last(last, out);
            self.has_begun = true;
        }
        Ok(())
    }

    fn own_bytes(&self, payload_bytes: usize) -> usize {
        ADDED_BYTES + if payload_bytes < SHARED_BYTES_MIN { payload_bytes } else { 0 }
    }
}

/// The tracks that a container can carry.
fn only(tracks: &TrackSet, is_carried: impl Fn(&Track) -> bool) -> TrackSet {
    let tracks = tracks.tracks.iter().filter(|track| is_carried(track)).cloned().collect();
    TrackSet { revision: 0, tracks }
}
