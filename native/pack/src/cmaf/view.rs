//! What players can fetch at one moment.

use std::sync::{Arc, OnceLock};

use arcly_bus::Track;
use bytes::Bytes;

use super::{
    Init, Part, Segment,
    segment::pieces,
    window::{LISTED_TARGETS, targets_us},
};
use crate::{
    held::{Away, Held, Movable},
    hls::{
        key::{Key, Lock},
        media,
    },
    meter::Meter,
};

/// An immutable snapshot of a stream. A new one is made for each part; one that is still held keeps its segments alive.
#[derive(Debug)]
pub struct CmafView {
    /// Video first, by the ids of the tracks.
    pub tracks: Vec<Arc<TrackView>>,
    /// Timelines that have segments in them, oldest first.
    pub epochs: Arc<[Epoch]>,
    /// `EXT-X-TARGETDURATION`, of all tracks.
    pub target_duration_s: u64,
    /// Nothing comes any more.
    pub ended: bool,
    /// Segments are never taken off the playlist.
    pub is_event: bool,
    /// Microseconds from 1970 to the beginning of the stream.
    pub start_us: i64,
    /// Microseconds from 1970 when the newest part was made.
    pub made_us: i64,
    /// Schemes of the events in the segments: ID3, SCTE-35.
    pub has_id3: bool,
    /// See `has_id3`.
    pub has_scte35: bool,
}

/// A run of segments without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// Breaks in front of it.
    pub number: u64,
    /// Time of the media at its beginning.
    pub start_us: i64,
    /// Microseconds from the time of the media to the time since 1970.
    pub wall_offset_us: i64,
}

impl CmafView {
    /// The track of that name.
    pub fn track(&self, name: &str) -> Option<&Arc<TrackView>> {
        self.tracks.iter().find(|track| track.name == name)
    }

    /// The track to which the file of that name belongs.
    pub fn owner(&self, file: &str) -> Option<&Arc<TrackView>> {
        self.tracks.iter().find(|track| track.owns(file))
    }

    /// The key of that name, if a segment that can be fetched is encrypted with it.
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.tracks.iter().find_map(|track| track.key(name))
    }

    /// Memory of all segments.
    pub fn window_bytes(&self) -> usize {
        self.tracks.iter().map(|track| track.window_bytes()).sum()
    }

    /// Seconds that a player can go back.
    pub fn window_s(&self) -> f64 {
        let us = |track: &Arc<TrackView>| track.listed().iter().map(|segment| segment.duration_us).sum::<i64>();
        self.tracks.iter().map(us).max().unwrap_or(0) as f64 / 1e6
    }
}

/// How far the playlist of another track goes (RFC 8216bis §4.4.5.4).
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) next_sequence: u64,
    /// Parts of the segment in the making.
    pub(crate) parts: usize,
    /// Parts of the one before it.
    pub(crate) last_parts: usize,
}

/// What a track is told of its stream.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) target_duration_s: u64,
    /// Breaks so far.
    pub(crate) epoch: u64,
    pub(crate) epochs: Arc<[Epoch]>,
    pub(crate) ended: bool,
    pub(crate) is_event: bool,
    pub(crate) reports: Vec<Report>,
    pub(crate) date_ranges: Arc<[Arc<DateRange>]>,
}

/// One `EXT-X-DATERANGE` (RFC 8216bis §4.4.5.1).
#[derive(Debug)]
pub(crate) struct DateRange {
    /// Where its tag stands, in microseconds from 1970.
    pub(crate) start_us: i64,
    /// What it tells of is over: as it was planned, or is known. What has no length is over at once.
    pub(crate) end_us: i64,
    /// The tag.
    pub(crate) text: String,
}

/// The segment in the making, as far as it is cut into parts.
#[derive(Debug)]
pub struct OpenView {
    /// The last part of its URI.
    pub name: String,
    /// See [`Segment::epoch`].
    pub epoch: u64,
    /// See [`Segment::init`].
    pub init: Arc<Init>,
    /// See [`Segment::start`].
    pub start: i64,
    /// See [`Segment::start_us`].
    pub start_us: i64,
    /// See [`Segment::first_part`].
    pub first_part: u64,
    /// At least one.
    pub parts: Vec<Arc<Part>>,
    pub(crate) lock: Option<Lock>,
}

/// What players can fetch of one track.
#[derive(Debug)]
pub struct TrackView {
    /// `v0`, `a1`: names the playlist, and the Representation of DASH.
    pub name: String,
    prefix: String,
    /// Its configuration.
    pub track: Track,
    /// Oldest first.
    segments: Arc<[Arc<Segment>]>,
    /// How many of them have left the playlist.
    retired: usize,
    /// None when the next frame begins a segment.
    pub open: Option<OpenView>,
    next_sequence: u64,
    next_part: u64,
    part_target_us: Option<i64>,
    pub(crate) meter: Meter,
    pub(crate) told: Told,
    playlist: OnceLock<Bytes>,
    delta: OnceLock<Option<Bytes>>,
}

/// What there is under the name of a file.
#[derive(Debug)]
pub enum Found {
    /// All of it.
    Whole(Vec<Bytes>),
    /// All of it, where the host has moved it.
    Away(Away),
    /// A segment of which there are these pieces so far.
    Growing(Vec<Bytes>),
    /// It is the next one to be made.
    Coming,
    /// It is too old, or was never made.
    Nothing,
}

/// What a player who asks for a playlist waits for (RFC 8216bis §6.2.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// `_HLS_msn`.
    pub sequence: u64,
    /// `_HLS_part`.
    pub part: Option<u64>,
}

impl TrackView {
    #[expect(clippy::too_many_arguments, reason = "it is a snapshot of one struct, made in one place")]
    pub(crate) fn new(
        name: String,
        prefix: String,
        track: Track,
        (segments, retired): (Arc<[Arc<Segment>]>, usize),
        open: Option<OpenView>,
        (next_sequence, next_part): (u64, u64),
        part_target_us: Option<i64>,
        meter: Meter,
        told: Told,
    ) -> Self {
        Self {
            name,
            prefix,
            track,
            segments,
            retired,
            open,
            next_sequence,
            next_part,
            part_target_us,
            meter,
            told,
            playlist: OnceLock::new(),
            delta: OnceLock::new(),
        }
    }

    /// The media playlist (RFC 8216bis §4.4.3). Files are named relative to it.
    pub fn playlist(&self) -> &Bytes {
        self.playlist.get_or_init(|| media::playlist(self, 0).into())
    }

    /// The media playlist without what the player knows already (RFC 8216bis §6.2.5.1): the whole one where nothing can be left out.
    pub fn delta_update(&self) -> &Bytes {
        let delta = self.delta.get_or_init(|| {
            let skipped = media::skippable(self);
            (skipped > 0).then(|| media::playlist(self, skipped).into())
        });
        delta.as_ref().unwrap_or_else(|| self.playlist())
    }

    /// The segments in the playlist, oldest first.
    pub fn listed(&self) -> &[Arc<Segment>] {
        self.segments.get(self.retired..).unwrap_or_default()
    }

    /// Microseconds from 1970 to `start_us` of a timeline.
    pub(crate) fn program_us(&self, epoch: u64, start_us: i64) -> i64 {
        let epoch = self.told.epochs.iter().find(|known| known.number == epoch);
        start_us.saturating_add(epoch.map_or(0, |epoch| epoch.wall_offset_us))
    }

    /// In front of the names of its files.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Nothing comes any more.
    pub fn ended(&self) -> bool {
        self.told.ended
    }

    /// `PART-TARGET`; `None` when there are no parts.
    pub fn part_target_us(&self) -> Option<i64> {
        self.part_target_us
    }

    /// `EXT-X-TARGETDURATION`.
    pub fn target_duration_s(&self) -> u64 {
        self.told.target_duration_s
    }

    /// Name of the part that comes next, whichever segment it belongs to.
    pub fn next_part_name(&self) -> String {
        format!("{}-p{}.m4s", self.prefix, self.next_part)
    }

    /// Media Sequence Number of the segment in the making, or of the next one.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Whether the playlist has what a player waits for.
    pub fn has(&self, awaited: Awaited) -> bool {
        let awaited = self.meant_by(awaited);
        let parts = self.open.as_ref().map_or(0, |open| open.parts.len() as u64);
        let is_open = awaited.sequence == self.next_sequence && awaited.part.is_some_and(|part| part < parts);
        awaited.sequence < self.next_sequence || is_open || self.ended()
    }

    /// Behind the last part of the newest segment is the first one of the next (RFC 8216bis §6.2.5.2): nobody knows how many there will be
    /// before it is complete.
    fn meant_by(&self, awaited: Awaited) -> Awaited {
        let newest = self.segments.last().filter(|newest| newest.sequence == awaited.sequence);
        let parts = newest.filter(|_| self.part_target_us.is_some()).map_or(0, |newest| newest.parts().len() as u64);
        let is_behind = parts > 0 && awaited.part.is_some_and(|part| part >= parts);
        if is_behind { Awaited { sequence: self.next_sequence, part: Some(0) } } else { awaited }
    }

    /// Whether it is so far ahead that nobody who has read the playlist can mean it: "greater than the last Media Sequence Number
    /// plus two", or beyond the last part by the Advance Part Limit (RFC 8216bis §6.2.5.2).
    pub fn is_far(&self, awaited: Awaited) -> bool {
        let Some(target_us) = self.part_target_us else { return awaited.sequence > self.next_sequence + 1 };
        // Three, or as many as are made in three seconds where they are shorter than one.
        let limit = if target_us >= 1_000_000 { 3 } else { (3_000_000 + target_us - 1) / target_us.max(1) };
        let parts = self.open.as_ref().map_or(0, |open| open.parts.len() as u64);
        let latest = parts.saturating_sub(1) + u64::try_from(limit).unwrap_or(0);
        let is_far_part =
            |sequence: u64| awaited.sequence == sequence && awaited.part.is_some_and(|part| part > latest);
        awaited.sequence > self.next_sequence + 1
            || is_far_part(self.next_sequence)
            || is_far_part(self.next_sequence + 1)
    }

    /// Whether a file of that name is one of this track.
    pub fn owns(&self, file: &str) -> bool {
        file.strip_prefix(self.prefix.as_str()).is_some_and(|rest| rest.starts_with('-'))
    }

    /// What there is under that name.
    pub fn find(&self, file: &str) -> Found {
        let name = file.strip_prefix(self.prefix.as_str()).and_then(|rest| rest.strip_prefix('-'));
        let Some((name, ending)) = name.and_then(|name| name.rsplit_once('.')) else { return Found::Nothing };
        match (name.strip_prefix('i'), name.strip_prefix('p'), ending) {
            (Some(_), _, "mp4") => self.find_init(file).map_or(Found::Nothing, |data| Found::Whole(vec![data])),
            (_, Some(number), "m4s") => number.parse().map_or(Found::Nothing, |number| self.find_part(number)),
            (_, _, "m4s") => name.parse().map_or(Found::Nothing, |sequence| self.find_segment(sequence)),
            _ => Found::Nothing,
        }
    }

    fn find_init(&self, file: &str) -> Option<Bytes> {
        let of_segments = self.segments.iter().map(|segment| &segment.init);
        let mut inits = of_segments.chain(self.open.as_ref().map(|open| &open.init)).rev();
        inits.find(|init| init.name == file).map(|init| init.data.clone())
    }

    fn find_part(&self, number: u64) -> Found {
        if number >= self.next_part {
            return if number == self.next_part && !self.ended() { Found::Coming } else { Found::Nothing };
        }
        let in_parts = |first: u64, parts: &[Arc<Part>]| {
            let index = usize::try_from(number.checked_sub(first)?).ok()?;
            parts.get(index).map(|part| part.data.clone())
        };
        let of_open = self.open.as_ref().and_then(|open| in_parts(open.first_part, &open.parts));
        let found = of_open.or_else(|| {
            let behind = self.segments.partition_point(|segment| segment.first_part <= number);
            let segment = self.segments.get(behind.checked_sub(1)?)?;
            in_parts(segment.first_part, &segment.parts())
        });
        found.map_or(Found::Nothing, |data| Found::Whole(vec![data]))
    }

    fn find_segment(&self, sequence: u64) -> Found {
        if sequence >= self.next_sequence {
            return match &self.open {
                _ if sequence > self.next_sequence || self.ended() => Found::Nothing,
                // What is encrypted in one piece is nothing before it is whole.
                Some(open) if open.lock.is_none() => Found::Growing(pieces(&open.parts)),
                Some(_) | None => Found::Coming,
            };
        }
        let first = self.segments.first().map_or(0, |first| first.sequence);
        let index = sequence.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        let found = index.and_then(|index| self.segments.get(index));
        found.map_or(Found::Nothing, |segment| match segment.held() {
            Held::Here(pieces) => Found::Whole(pieces),
            Held::Away(away) => Found::Away(away),
        })
    }

    fn window_bytes(&self) -> usize {
        let of_open = self.open.iter().flat_map(|open| &open.parts).map(|part| part.data.len());
        self.segments.iter().map(|segment| segment.memory_bytes()).chain(of_open).sum()
    }

    fn key(&self, name: &str) -> Option<&Key> {
        let of_open = self.open.as_ref().and_then(|open| open.lock.as_ref());
        let of_segments = self.segments.iter().rev().filter_map(|segment| segment.lock.as_ref());
        of_open.into_iter().chain(of_segments).map(|lock| &*lock.key).find(|key| key.name == name)
    }

    /// Its segments are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.segments.iter().any(|segment| segment.lock.is_some())
    }

    /// Whether its playlist tells how far others are: one with parts that goes on (RFC 8216bis §4.4.5.4).
    pub fn reports_others(&self) -> bool {
        self.part_target_us.is_some() && !self.ended()
    }

    /// Writes the `EXT-X-RENDITION-REPORT` of this track for the playlist of another one, from which `base` leads to it.
    pub fn write_report(&self, base: &str, text: &mut String) {
        let parts = self.open.as_ref().map_or(0, |open| open.parts.len());
        let last_parts = self.segments.last().map_or(0, |segment| segment.parts().len());
        let report = Report { name: self.name.clone(), next_sequence: self.next_sequence, parts, last_parts };
        media::write_report(text, base, &report);
    }

    /// The segments that need not be in memory any more, oldest first, where `memory_us` of the newest stay there
    /// ([`super::CmafConfig::memory`]).
    pub fn movable(&self, memory_us: i64) -> Vec<Arc<dyn Movable>> {
        let memory_us = memory_us.max(targets_us(self.target_duration_s(), LISTED_TARGETS));
        let mut behind_us = 0;
        let old = self.segments.iter().rev().skip_while(|segment| {
            behind_us += segment.duration_us;
            behind_us <= memory_us
        });
        // Those further back were moved before.
        let old = old.take_while(|segment| segment.memory_bytes() > 0);
        let mut movable: Vec<_> = old.map(|segment| segment.clone() as Arc<dyn Movable>).collect();
        movable.reverse();
        movable
    }
}
