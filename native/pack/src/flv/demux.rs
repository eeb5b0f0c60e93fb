//! One publish: tags to track configurations and frames in the form of the bus.

use std::collections::VecDeque;

use arcly_bus::{Frame, FrameFlags, Track, TrackId};
use arcly_codec::{Codec, MediaKind};
use bytes::Bytes;

use super::{
    clock::{Moment, Timeline},
    colour::ColourInfo,
    error::FlvError,
    gate::Gate,
    packet::{Coded, Content, Packet},
    script::Declared,
    tag::{Packets, TagKind},
    track::DemuxTrack,
    unit::Unit,
};
use crate::Item;

/// The track that video of FLV becomes: the only one, or that of `videoTrackId` 0. Track n of multitrack video is 2 n.
pub const VIDEO_TRACK: TrackId = TrackId(0);
/// The track that audio of FLV becomes: the only one, or that of `audioTrackId` 0. Track n of multitrack audio is 2 n + 1.
pub const AUDIO_TRACK: TrackId = TrackId(1);
/// Tracks of a publish. Stops a sender that names all 256 ids, each with a configuration that lives as long as the stream.
pub const MAX_TRACKS: usize = 16;

/// Ticks per second of a video track.
const VIDEO_CLOCK_HZ: u32 = 90_000;

/// Turns the tags of one publish, in their order, into frames.
///
/// After each [`push`](Self::push), [`poll`](Self::poll) until it is empty. An error concerns one track of one tag; what
/// follows can be pushed.
///
/// - A repeated sequence header says nothing; a different one is a new configuration.
/// - Parameter sets that an access unit brings along are taken out of it; where they differ, they are a new configuration.
/// - A frame is a key frame when what is in it says so, whatever the tag says; or, for encoders which never send another
///   IDR picture (open GOPs, intra refresh), when the tag claims it and the access unit has a recovery point or is an I picture.
/// - Video times are the wire's; audio times are put back onto the grid of the samples.
/// - Tracks come out in front of the next frame, however many sequence headers there were.
/// - Where script data announces pictures and sound, nothing comes out until both are there, or for about a second: so
///   readers see one set of tracks and not one after the other.
#[derive(Debug, Default)]
pub struct FlvDemuxer {
    timeline: Timeline,
    /// By ascending id.
    tracks: Vec<DemuxTrack>,
    items: VecDeque<Item>,
    /// The tracks of the last announcement in `items`, given out or not.
    announced: Vec<Track>,
    /// They may be others now.
    tracks_changed: bool,
    gate: Gate,
    dropped_frames: u64,
}

impl FlvDemuxer {
    /// A demuxer that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next tag. `body` is kept, not copied, when it is in the form of the bus.
    ///
    /// # Errors
    /// [`FlvError`]: nothing came of this tag, or of one of its tracks. `Unsupported` is said again for each tag of such
    /// a track.
    pub fn push(&mut self, kind: TagKind, timestamp_ms: u32, body: Bytes) -> Result<(), FlvError> {
        if kind == TagKind::Script {
            // In mid-stream an announcement would come too late.
            if self.tracks.is_empty() {
                self.gate.expect(Declared::of(&body));
            }
            return Ok(());
        }
        let is_video = kind == TagKind::Video;
        let body_bytes = body.len();
        let mut packets = Packets::of(body, is_video)?;
        let mut result = Ok(());
        while let Some(packet) = packets.next() {
            let packet = packet.map(|packet| packet.without_ballast(body_bytes));
            let outcome = packet.and_then(|packet| self.push_packet(is_video, timestamp_ms, packet));
            // The first fault is told; the other tracks of the tag are not concerned.
            result = result.and(outcome);
        }
        result
    }

    /// The next item.
    pub fn poll(&mut self) -> Option<Item> {
        if self.gate.is_open() { self.items.pop_front() } else { None }
    }

    /// Nothing more will be pushed: what waits for a track that never came can be polled.
    pub fn finish(&mut self) {
        self.gate.open();
    }

    /// Frames that were dropped because they came before the sequence header of their track.
    pub fn dropped_frames(&self) -> u64 {
        self.dropped_frames
    }

    /// What the sender said about the colour of a video track beside its configuration (`colorInfo`), if it did.
    pub fn colour_info(&self, track: TrackId) -> Option<ColourInfo> {
        let colour = self.tracks.iter().find(|known| known.id == track)?.colour;
        (colour != ColourInfo::default()).then_some(colour)
    }

    fn push_packet(&mut self, is_video: bool, timestamp_ms: u32, packet: Packet) -> Result<(), FlvError> {
        let Packet { track, codec, offset_ns, at, content } = packet;
        match content {
            Content::SequenceHeader(record) => {
                let track = self.track(is_video, track, codec)?;
                track.change_codec(codec);
                let is_new = track.config.is_none();
                if track.configure(&record).map_err(FlvError::at(at))? {
                    let id = track.id;
                    self.on_change(id, is_new);
                }
            }
            Content::Coded(coded) => {
                let id = self.track(is_video, track, codec)?.id;
                self.push_coded(id, codec, (timestamp_ms, offset_ns), coded).map_err(|error| error.shifted(at))?;
            }
            Content::Metadata(body) => {
                let colour = ColourInfo::parse(&body).map_err(|error| error.shifted(at))?;
                let track = self.track(is_video, track, codec)?;
                let (id, before) = (track.id, track.colour);
                track.colour = colour.unwrap_or(before);
                if track.config.is_some() && track.colour.hdr != before.hdr {
                    self.on_change(id, false);
                }
            }
            Content::EndOfSequence => self.put(Item::EndOfSequence, None),
            Content::Nothing => {}
        }
        Ok(())
    }

    /// The track with this id of the wire, which is made when it is new.
    fn track(&mut self, is_video: bool, number: u8, codec: Codec) -> Result<&mut DemuxTrack, FlvError> {
        let too_many = |limit, max, seen| FlvError::LimitExceeded { limit, max, seen };
        if number > 127 {
            return Err(too_many("track id of Enhanced RTMP", 127, usize::from(number)));
        }
        let id = TrackId(2 * number + u8::from(!is_video));
        let index = match self.tracks.binary_search_by_key(&id, |track| track.id) {
            Ok(index) => index,
            Err(_) if self.tracks.len() >= MAX_TRACKS => {
                return Err(too_many("tracks", MAX_TRACKS, MAX_TRACKS + 1));
            }
            Err(index) => {
                self.tracks.insert(index, DemuxTrack::new(id, codec));
                index
            }
        };
        // It is there: found, or put there.
        self.tracks.get_mut(index).ok_or(too_many("tracks", MAX_TRACKS, index))
    }

    /// `time`: the timestamp in milliseconds, and nanoseconds on top of it. Offsets of errors count from the payload.
    fn push_coded(&mut self, id: TrackId, codec: Codec, time: (u32, u32), coded: Coded) -> Result<(), FlvError> {
        let Some(track) = self.tracks.iter_mut().find(|track| track.id == id) else { return Ok(()) };
        if !track.takes(codec) {
            return self.drop_frame();
        }
        // Only frames move the timeline: encoders put sequence headers and script data at 0 in mid-stream.
        let moment = Moment { ms: self.timeline.unroll(time.0)?, offset_ns: time.1 };
        let is_new = track.config.is_none();
        let composition_ms = coded.composition_ms;
        let unit = track.unit(coded)?;
        if unit.as_ref().is_some_and(|unit| unit.is_reconfigured) {
            self.on_change(id, is_new);
        }
        match unit {
            None => self.drop_frame(),
            Some(unit) if unit.payload.is_empty() => Ok(()),
            Some(unit) => {
                self.put_frame(id, moment, composition_ms, unit);
                Ok(())
            }
        }
    }

    fn put_frame(&mut self, id: TrackId, moment: Moment, composition_ms: i32, unit: Unit) {
        let Some(track) = self.tracks.iter_mut().find(|track| track.id == id) else { return };
        let (dts, pts, duration) = match track.codec.kind() {
            MediaKind::Audio => {
                let start = track.grid.snap(moment, unit.samples);
                (start, start, unit.samples)
            }
            _ => {
                let (dts, pts) = picture_times(moment, composition_ms);
                (dts, pts, 0)
            }
        };
        let flags = if unit.is_key { FrameFlags::KEY } else { FrameFlags::NONE };
        let bytes = unit.payload.len();
        self.announce();
        let frame = Frame { track: id, flags, pts, dts, duration, payload: unit.payload };
        self.put(Item::Frame(frame), Some((bytes, moment.ms)));
    }

    /// The tracks are others: `id` was configured, for the first time when it `is_new`.
    fn on_change(&mut self, id: TrackId, is_new: bool) {
        self.tracks_changed = true;
        if self.gate.is_open() || !is_new {
            return;
        }
        // None of its frames waits yet, so that it can have been there from the beginning.
        let Some(track) = self.tracks.iter().find(|track| track.id == id).and_then(DemuxTrack::track) else { return };
        for item in &mut self.items {
            if let Item::Tracks(tracks) = item {
                insert(tracks, &track);
                self.announced.clone_from(tracks);
            }
        }
        let has =
            |kind| self.tracks.iter().any(|track| track.config.as_ref().is_some_and(|config| config.kind() == kind));
        if has(MediaKind::Video) && has(MediaKind::Audio) {
            self.gate.open();
        }
    }

    /// Announces the tracks in front of a frame, if they are others than before.
    pub(super) fn announce(&mut self) {
        if !std::mem::take(&mut self.tracks_changed) {
            return;
        }
        let tracks: Vec<Track> = self.tracks.iter().filter_map(DemuxTrack::track).collect();
        if tracks != self.announced {
            self.announced.clone_from(&tracks);
            self.put(Item::Tracks(tracks), None);
        }
    }

    fn put(&mut self, item: Item, frame: Option<(usize, i64)>) {
        self.items.push_back(item);
        self.gate.count(frame);
    }

    fn drop_frame(&mut self) -> Result<(), FlvError> {
        self.dropped_frames += 1;
        Ok(())
    }
}

/// By ascending id.
fn insert(tracks: &mut Vec<Track>, track: &Track) {
    let at = tracks.partition_point(|known| known.id < track.id);
    tracks.insert(at, track.clone());
}

/// Decoding and presentation time. The nanoseconds are said of the presentation; where pictures are not reordered, both
/// are the same time.
fn picture_times(moment: Moment, composition_ms: i32) -> (i64, i64) {
    let shown = Moment { ms: moment.ms + i64::from(composition_ms), ..moment };
    let decoded = if composition_ms == 0 { moment } else { Moment { offset_ns: 0, ..moment } };
    (decoded.ticks(VIDEO_CLOCK_HZ), shown.ticks(VIDEO_CLOCK_HZ))
}
