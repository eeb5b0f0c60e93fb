//! One track: frames to parts, parts to segments.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use arcly_bus::{Frame, Track, TrackSet};
use arcly_codec::MediaKind;
use bytes::Bytes;

use super::{
    CmafConfig, Init, Part, Segment, TrackView, micros,
    open::OpenSegment,
    pace::Pace,
    timeline::Place,
    view::{OpenView, Report, Told},
    window::Window,
};
use crate::{
    PackError,
    hls::key::Keyring,
    meter::Meter,
    mp4::{Fmp4Muxer, Head, SegmentType},
    time::rescale,
};

/// What the cuts must keep to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The leading track is cut at the first entry from here on.
    pub(super) target_us: i64,
    /// No segment lasts longer.
    pub(super) duration_us: i64,
    pub(super) bytes: usize,
}

/// What happens in front of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// It belongs to the part in the making.
    Nothing,
    Part,
    Segment,
    /// Nothing has come of this track for longer than a segment may last, while the leading one went on: the frame is left out
    /// ([`Lane::fall_silent`]).
    Silence,
    /// The timeline breaks, for all tracks.
    Break,
}

/// What goes on where a track goes that may come again: its names are kept by caches for ever, and no number of its playlist may fall
/// (RFC 8216bis §6.2.2).
#[derive(Debug, Clone, Copy)]
pub(super) struct Past {
    inits: u32,
    next_sequence: u64,
    next_part: u64,
    pace: Pace,
}

impl Past {
    /// That of a track which has never been there.
    pub(super) fn none(config: &CmafConfig) -> Self {
        Self { inits: 0, next_sequence: 0, next_part: 0, pace: Pace::new(micros(config.part_target)) }
    }
}

/// One track in the making.
#[derive(Debug)]
pub(super) struct Lane {
    /// `v0`, `a1`: names the playlist, and the Representation of DASH.
    pub(super) name: String,
    /// In front of the names of files.
    prefix: String,
    pub(super) track: Track,
    muxer: Fmp4Muxer,
    init: Arc<Init>,
    inits: u32,
    pub(super) pace: Pace,
    pub(super) window: Window,
    keyring: Option<Keyring>,
    meter: Meter,
    /// Of the part in the making.
    frames: Vec<Frame>,
    /// Their bytes.
    pending_bytes: usize,
    /// Data tracks that go along.
    event_tracks: Vec<Track>,
    /// Their frames.
    events: Vec<Frame>,
    open: Option<OpenSegment>,
    newest_dts: Option<i64>,
    /// What the newest frame lasted, in ticks.
    step: i64,
    /// The one before it.
    earlier_step: i64,
    frames_in_epoch: u64,
    next_sequence: u64,
    next_part: u64,
    /// Pictures come only from the next key picture on.
    pub(super) awaits_key: bool,
    /// The leading track was cut here: this one follows.
    pub(super) cut_at_us: Option<i64>,
    /// Parts were lost: what comes next does not continue them.
    is_torn: bool,
    /// When it came back from a silence: it is left out until the timeline breaks.
    back_since_us: Option<i64>,
    /// Something has been made since the last view.
    pub(super) is_new: bool,
}

impl Lane {
    /// `v0`, `a1`: each track has its own.
    pub(super) fn name_of(track: &Track) -> String {
        let letter = if track.kind() == MediaKind::Video { 'v' } else { 'a' };
        format!("{letter}{}", track.id.0)
    }

    pub(super) fn new(
        config: &CmafConfig,
        session: &str,
        (track, events): (&Track, &[Track]),
        past: Past,
    ) -> Result<Self, PackError> {
        let name = Self::name_of(track);
        let prefix = format!("{session}-{name}");
        let muxer = Fmp4Muxer::new(&muxed(track, events))?;
        let init = Arc::new(Init {
            name: format!("{prefix}-i{}.mp4", past.inits),
            data: muxer.init_segment().clone(),
            track: track.clone(),
        });
        Ok(Self {
            name,
            prefix,
            muxer,
            init,
            inits: past.inits + 1,
            pace: past.pace,
            window: Window::new(config),
            keyring: config.encryption.as_ref().map(|encryption| Keyring::new(encryption, session)),
            meter: Meter::default(),
            frames: Vec::new(),
            pending_bytes: 0,
            event_tracks: events.to_vec(),
            events: Vec::new(),
            open: None,
            newest_dts: None,
            step: usual_step(track),
            earlier_step: usual_step(track),
            frames_in_epoch: 0,
            next_sequence: past.next_sequence,
            next_part: past.next_part,
            awaits_key: track.kind() == MediaKind::Video,
            cut_at_us: None,
            is_torn: false,
            back_since_us: None,
            is_new: false,
            track: track.clone(),
        })
    }

    /// What is left of it when its track has gone.
    pub(super) fn past(&self) -> Past {
        Past { inits: self.inits, next_sequence: self.next_sequence, next_part: self.next_part, pace: self.pace }
    }

    /// What comes next must be a key picture, if it is one.
    pub(super) fn await_key(&mut self) {
        self.awaits_key = self.track.kind() == MediaKind::Video;
    }

    /// Goes on with other tracks of events, or with another configuration: then the segment in the making must have been completed.
    pub(super) fn reconfigure(&mut self, track: &Track, events: &[Track]) -> Result<(), PackError> {
        // What waits for its part goes out with it, though its track is gone.
        let is_awaited = |gone: &&Track| {
            let is_of = |frame: &Frame| frame.track == gone.id;
            self.events.iter().any(is_of) && events.iter().all(|track| track.id != gone.id)
        };
        let event_tracks: Vec<Track> =
            events.iter().chain(self.event_tracks.iter().filter(is_awaited)).cloned().collect();
        if self.muxer.reconfigure(&muxed(track, &event_tracks))? {
            let name = format!("{}-i{}.mp4", self.prefix, self.inits);
            self.init = Arc::new(Init { name, data: self.muxer.init_segment().clone(), track: track.clone() });
            self.inits += 1;
            self.meter.forget_pictures();
        }
        self.track = track.clone();
        self.event_tracks = event_tracks;
        Ok(())
    }

    pub(super) fn us(&self, ticks: i64) -> i64 {
        rescale(ticks, self.track.clock_rate_hz, 1_000_000)
    }

    /// Whether something of the present timeline is in it.
    pub(super) fn has_begun(&self) -> bool {
        self.frames_in_epoch > 0
    }

    /// How long the segment in the making is by now.
    pub(super) fn elapsed_us(&self) -> i64 {
        let open = self.open.as_ref().zip(self.newest_dts);
        open.map_or(0, |(open, newest)| self.us(newest.saturating_add(self.step)) - open.start_us)
    }

    /// What must be cut in front of `frame`.
    pub(super) fn cut(&self, frame: &Frame, is_lead: bool, limits: &Limits) -> Cut {
        let is_marked = frame.is_discontinuity() && self.has_begun();
        if is_marked || self.is_torn || self.newest_dts.is_some_and(|newest| frame.dts <= newest) {
            return Cut::Break;
        }
        let dts_us = self.us(frame.dts);
        if let Some(since_us) = self.back_since_us {
            // The leading track may have no key picture for long, or not go on.
            return if dts_us - since_us > limits.duration_us { Cut::Break } else { Cut::Nothing };
        }
        let Some(open) = self.open.as_ref().filter(|_| !self.frames.is_empty()) else { return Cut::Nothing };
        // Of what is lost between two frames nothing follows for the next one. But a segment had better end too early than too late.
        let least_us = self.us(Self::frame_ticks(frame, self.step.min(self.earlier_step)));
        let most_us = self.us(Self::frame_ticks(frame, self.step.max(self.earlier_step)));
        let elapsed_us = dts_us - open.start_us;
        let in_part_us = dts_us - open.announced_us();
        if elapsed_us > limits.duration_us {
            return if is_lead { Cut::Break } else { Cut::Silence };
        }
        let bytes = open.bytes + self.pending_bytes;
        let is_too_big = bytes.saturating_add(frame.payload.len()) > limits.bytes;
        if self.is_due(frame, dts_us, elapsed_us, is_lead, limits)
            || elapsed_us + most_us > limits.duration_us
            || is_too_big
        {
            return Cut::Segment;
        }
        if self.pace.is_full(in_part_us, least_us) { Cut::Part } else { Cut::Nothing }
    }

    /// Whether a segment should end here. A little before the target is as good: times are rounded to milliseconds on some ways.
    fn is_due(&self, frame: &Frame, dts_us: i64, elapsed_us: i64, is_lead: bool, limits: &Limits) -> bool {
        let is_time = if is_lead {
            elapsed_us >= limits.target_us - limits.target_us / 20
        } else {
            self.cut_at_us.is_some_and(|at_us| dts_us >= at_us)
        };
        self.is_entry(frame) && is_time
    }

    /// Whether decoding can begin with `frame`.
    pub(super) fn is_entry(&self, frame: &Frame) -> bool {
        self.track.kind() != MediaKind::Video || frame.is_key()
    }

    /// How long `frame` will last: as it says, or else `step`.
    fn frame_ticks(frame: &Frame, step: i64) -> i64 {
        if frame.duration > 0 { i64::from(frame.duration) } else { step }
    }

    /// Takes a frame, behind the cut that [`Self::cut`] has asked for.
    ///
    /// # Errors
    /// When there is no key to encrypt it with: it is left out.
    pub(super) fn append(&mut self, frame: &Frame, place: Place) -> Result<(), PackError> {
        if self.back_since_us.is_some() {
            self.await_key();
            return Ok(());
        }
        if let Some(newest) = self.newest_dts {
            self.earlier_step = std::mem::replace(&mut self.step, frame.dts.saturating_sub(newest));
        }
        if self.open.is_none() {
            let start_us = self.us(frame.dts);
            let lock = self.keyring.as_mut().map(|keyring| keyring.lock(self.next_sequence)).transpose()?;
            self.open = Some(OpenSegment::new(frame, start_us, place, self.next_part, self.track.kind(), lock));
            self.cut_at_us = self.cut_at_us.filter(|at_us| *at_us > start_us);
        }
        self.newest_dts = Some(frame.dts);
        self.frames_in_epoch += 1;
        self.pending_bytes += frame.payload.len();
        self.frames.push(frame.clone());
        Ok(())
    }

    /// Takes a frame of a data track, which goes out with the part in the making.
    pub(super) fn append_event(&mut self, frame: &Frame) {
        if self.open.is_some() && self.events.len() < EVENTS_MAX {
            self.events.push(frame.clone());
        }
    }

    /// Completes the part in the making, in front of a frame that is decoded at `next_dts`, or of nothing.
    pub(super) fn close_part(&mut self, next_dts: Option<i64>) -> Result<(), PackError> {
        self.write_part(next_dts, false)
    }

    fn write_part(&mut self, next_dts: Option<i64>, is_last: bool) -> Result<(), PackError> {
        let (Some(open), Some(last)) = (&self.open, self.frames.last()) else { return Ok(()) };
        let last_ticks = i64::from(last.duration).max(if last.duration > 0 { 0 } else { self.step.max(1) });
        let end_dts = next_dts.unwrap_or(last.dts.saturating_add(last_ticks));
        let (count, kind) = (self.frames.len(), self.track.kind());
        let independent = kind != MediaKind::Video || self.frames.iter().any(Frame::is_key);
        let start_pts = self.frames.iter().map(|frame| frame.pts).min();
        let is_first = open.parts.is_empty();
        let program = Duration::from_micros(u64::try_from(open.program_us()).unwrap_or(0));
        let next = [(self.track.id, end_dts)];
        let head = Head {
            segment_type: Some(if is_first { SegmentType::Segment } else { SegmentType::Chunk }),
            wall_clock: is_first.then_some(program),
            next: &next,
            ..Head::default()
        };
        let mut data = Vec::new();
        self.frames.append(&mut self.events);
        let written = self.muxer.write_fragment(&self.frames, &head, &mut data);
        self.frames.clear();
        self.pending_bytes = 0;
        self.is_torn |= written.is_err();
        written?;
        let duration_us = self.us(end_dts) - open.announced_us();
        self.pace.see(duration_us, count, is_last);
        let step_us = if is_last { i64::MAX / 2 } else { self.us(self.step.min(self.earlier_step)) };
        let mut pieces = self.pace.divide(duration_us, step_us).into_iter();
        let Some(open) = &mut self.open else { return Ok(()) };
        open.start_pts = open.start_pts.or(start_pts);
        open.end_dts = end_dts;
        open.frames += count as u64;
        self.add_part(data.into(), pieces.next().unwrap_or(duration_us), independent, false)?;
        pieces.try_for_each(|piece_us| self.add_empty_part(piece_us))
    }

    /// What is left of a frame that lasts longer than a part may.
    fn add_empty_part(&mut self, duration_us: i64) -> Result<(), PackError> {
        let Some(open) = &self.open else { return Ok(()) };
        let ticks = |us| rescale(us, 1_000_000, self.track.clock_rate_hz);
        let mut data = Vec::new();
        self.muxer.write_empty(ticks(open.announced_us()), ticks(duration_us), &mut data);
        self.add_part(data.into(), duration_us, false, true)
    }

    fn add_part(&mut self, data: Bytes, duration_us: i64, independent: bool, empty: bool) -> Result<(), PackError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let name = format!("{}-p{}.m4s", self.prefix, self.next_part);
        self.next_part += 1;
        let data = open.encrypt(data, empty)?;
        open.add(Part { name, data, duration_us, independent, empty });
        self.is_new = true;
        Ok(())
    }

    /// Completes the segment in the making.
    pub(super) fn close_segment(
        &mut self,
        next_dts: Option<i64>,
        target_duration_s: Option<u64>,
    ) -> Result<(), PackError> {
        let written = self.write_part(next_dts, true);
        let Some(mut open) = self.open.take().filter(|open| !open.parts.is_empty()) else { return written };
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let pictures = if self.track.kind() == MediaKind::Video { open.frames } else { 0 };
        let (bytes, content) = open.content()?;
        self.meter.add(bytes, open.duration_us, pictures, target_duration_s);
        let segment = Segment {
            sequence,
            name: format!("{}-{sequence}.m4s", self.prefix),
            epoch: open.place.epoch,
            init: self.init.clone(),
            start: open.start_pts.unwrap_or(open.start_dts),
            duration: open.end_dts.saturating_sub(open.start_dts),
            duration_us: open.duration_us,
            start_us: open.start_us,
            independent: open.independent,
            first_part: open.first_part,
            bytes,
            frames: open.frames,
            lock: open.lock,
            content: Mutex::new(content),
        };
        self.window.push(segment, target_duration_s);
        self.is_new = true;
        written
    }

    /// Ends what belongs to the present timeline.
    pub(super) fn close_epoch(&mut self, limits: &Limits, target_duration_s: Option<u64>) -> Result<(), PackError> {
        let written = self.close_at_last_frame(limits, target_duration_s);
        self.events.clear();
        (self.newest_dts, self.frames_in_epoch, self.cut_at_us, self.is_torn) = (None, 0, None, false);
        self.back_since_us = None;
        written
    }

    /// Ends its segment, for it comes back from a silence at `back_us`, and is left out from there until the timeline breaks. No playlist
    /// has holes, and a break here would take the pictures away up to their next key.
    pub(super) fn fall_silent(
        &mut self,
        back_us: i64,
        limits: &Limits,
        target_duration_s: Option<u64>,
    ) -> Result<(), PackError> {
        self.back_since_us = Some(back_us);
        self.close_at_last_frame(limits, target_duration_s)
    }

    /// Completes the segment in the making. Its last frame lasts as long as it says, or as the one before it, within the limit.
    fn close_at_last_frame(&mut self, limits: &Limits, target_duration_s: Option<u64>) -> Result<(), PackError> {
        let end_dts = self.open.as_ref().zip(self.frames.last()).map(|(open, last)| {
            let ticks = if last.duration > 0 { i64::from(last.duration) } else { self.step.max(1) };
            let rate = self.track.clock_rate_hz;
            let latest = rescale(open.start_us.saturating_add(limits.duration_us), 1_000_000, rate) - 1;
            last.dts.saturating_add(ticks).min(latest).max(last.dts + 1)
        });
        self.close_segment(end_dts, target_duration_s)
    }

    /// Lets go of all segments. The one in the making must have been completed.
    pub(super) fn rest(&mut self) {
        self.window.clear();
        self.await_key();
        self.is_new = false;
    }

    /// Time of the media behind the newest segment, and the timeline to which that belongs.
    pub(super) fn end_us(&self) -> Option<(u64, i64)> {
        self.window.newest().map(|newest| (newest.epoch, newest.start_us.saturating_add(newest.duration_us)))
    }

    /// Memory of its segments, and of what is in the making.
    pub(super) fn bytes(&self) -> usize {
        self.window.bytes() + self.open.as_ref().map_or(0, |open| open.bytes) + self.pending_bytes
    }

    /// The place up to which it is made, for the playlists of other tracks.
    pub(super) fn report(&self) -> Report {
        let parts = self.open.as_ref().map_or(0, |open| open.parts.len());
        let last_parts = self.window.newest().map_or(0, |segment| segment.parts().len());
        Report { name: self.name.clone(), next_sequence: self.next_sequence, parts, last_parts }
    }

    /// What players can be told now.
    pub(super) fn view(&self, told: Told) -> TrackView {
        let open = self.open.as_ref().map(|open| OpenView {
            name: format!("{}-{}.m4s", self.prefix, self.next_sequence),
            epoch: open.place.epoch,
            init: self.init.clone(),
            start: open.start_pts.unwrap_or(open.start_dts),
            start_us: open.start_us,
            first_part: open.first_part,
            parts: open.parts.clone(),
            lock: open.lock.clone(),
        });
        TrackView::new(
            self.name.clone(),
            self.prefix.clone(),
            self.track.clone(),
            (self.window.shared(), self.window.retired()),
            open.filter(|open| !open.parts.is_empty()),
            (self.next_sequence, self.next_part),
            self.pace.target_us(),
            self.meter.clone(),
            told,
        )
    }
}

/// Events that wait for one part.
const EVENTS_MAX: usize = 64;

fn muxed(track: &Track, events: &[Track]) -> TrackSet {
    TrackSet { revision: 0, tracks: std::iter::once(track).chain(events).cloned().collect() }
}

/// What a frame of sound lasts by its configuration, in ticks; 0 where that does not say it.
fn usual_step(track: &Track) -> i64 {
    i64::from(track.config.audio().map_or(0, |info| info.samples_per_frame))
}
