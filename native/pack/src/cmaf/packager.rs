//! All tracks of a stream together.

mod show;

use std::{collections::HashMap, sync::Arc, time::Duration};

use arcly_bus::{Frame, Track, TrackId, TrackSet};
use arcly_codec::{Codec, MediaKind};

use super::{
    CmafConfig, CmafView, TrackView,
    cue::Cues,
    lane::{Cut, Lane, Limits, Past},
    micros,
    timeline::{Place, Timelines},
};
use crate::{
    GroupClock, PackError,
    gate::{Gate, PATIENCE_SEGMENTS},
    mp4::{Fmp4Muxer, MAX_TRACKS},
    time::rescale,
};

/// Makes the CMAF of the frames of one publish.
///
/// Of the leading track (the first video, else the first audio) a segment ends at the first key picture at or behind
/// [`CmafConfig::segment_target`]; the other tracks follow at their next frame. A segment ends earlier, at any frame, when it would
/// otherwise outlast the target duration or outgrow [`CmafConfig::max_segment_bytes`]; and where tracks change or time breaks, in all
/// tracks, with a discontinuity behind it. Where tracks only come beside the others or come back from a silence, or another rendition of
/// the group has broken, that waits for the next key picture; and data tracks come and go as they like.
#[derive(Debug)]
pub struct CmafPackager {
    config: CmafConfig,
    session: String,
    /// As pushed.
    tracks: Arc<TrackSet>,
    /// Data tracks that go along as events.
    events: Vec<Track>,
    lanes: Vec<Lane>,
    /// The timeline ends at the next key picture: a track has come since it began, and a view had been there before it; or one came back
    /// from a silence.
    breaks_at_key: bool,
    /// Of tracks that were there before, by name: no more than there are ids.
    past: HashMap<String, Past>,
    gate: Gate,
    timelines: Timelines,
    target_duration_s: Option<u64>,
    /// Segments of the leading track.
    lead_segments: u64,
    cues: Cues,
    /// As told with the newest frame, in microseconds since 1970.
    now_us: i64,
    start_us: Option<i64>,
    views: Vec<Arc<TrackView>>,
    view: Option<Arc<CmafView>>,
    /// A segment was completed since the bytes were counted last.
    has_segment: bool,
    is_shortened: bool,
    ended: bool,
}

/// A segment has at most this part of the memory of a stream.
const SEGMENTS_MIN: usize = 8;

impl CmafPackager {
    /// A packager for one publish. Files are named `{session}-{track}-…`: a `session` that no other publish of the same stream has keeps
    /// caches from mixing them up. It must be fit for a URI as it is.
    pub fn new(config: CmafConfig, session: &str) -> Self {
        Self {
            config,
            session: session.to_owned(),
            tracks: Arc::default(),
            events: Vec::new(),
            lanes: Vec::new(),
            breaks_at_key: false,
            past: HashMap::new(),
            gate: Gate::default(),
            timelines: Timelines::default(),
            target_duration_s: None,
            lead_segments: 0,
            cues: Cues::default(),
            now_us: 0,
            start_us: None,
            views: Vec::new(),
            view: None,
            has_segment: false,
            is_shortened: false,
            ended: false,
        }
    }

    /// One of the renditions of a group: they have one wall clock where theirs are near each other, and as many breaks. It is to be said in
    /// front of all frames.
    pub fn with_clock(mut self, group: Arc<GroupClock>) -> Self {
        self.timelines = Timelines::of(group);
        self
    }

    /// Takes the next frame of a stream that has `tracks` now; `now` is the time since 1970 (UTC) at which it came. Returns whether
    /// [`Self::view`] has changed.
    ///
    /// Frames of tracks that are not carried, frames without bytes, and what comes before the first key picture are
    /// passed over. If pictures are announced and none come, sound goes on alone after twice the segment target.
    ///
    /// # Errors
    /// [`PackError::Unsupported`] when none of the tracks can be carried or for a time below 0, [`PackError::LimitExceeded`] for a frame
    /// that cannot be written or when an event has reached the limit of bytes, [`PackError::Misuse`] for a frame whose track is not in
    /// `tracks`, or behind [`Self::finish`]. What was refused is left out and the next frame may be pushed.
    pub fn push(&mut self, tracks: &Arc<TrackSet>, frame: &Frame, now: Duration) -> Result<bool, PackError> {
        if self.ended {
            return Err(PackError::Misuse { what: "frame behind the end of the stream" });
        }
        self.now_us = micros_since_1970(now);
        self.follow(tracks)?;
        if self.take_event(frame) {
            return Ok(false);
        }
        let Some(index) = self.admit(frame)? else { return Ok(false) };
        let cut = self.cut_before(index, frame);
        let has_segment = std::mem::take(&mut self.has_segment);
        if has_segment {
            self.shed();
        }
        let place = self.place(index, frame);
        let appended = self.lanes.get_mut(index).map_or(Ok(()), |lane| lane.append(frame, place));
        let changed = self.renew_view();
        cut.and(appended).and_then(|()| if has_segment { self.end_full_event() } else { Ok(()) }).map(|()| changed)
    }

    /// Ends the stream: completes what is open, and the playlists. Returns whether [`Self::view`] has changed.
    pub fn finish(&mut self) -> bool {
        if std::mem::replace(&mut self.ended, true) {
            return false;
        }
        let had_content = self.lanes.iter().any(Lane::has_begun);
        let _ = self.close_epoch();
        if had_content && self.target_duration_s.is_none() {
            self.settle();
        }
        self.lanes.iter_mut().for_each(|lane| lane.is_new = true);
        self.renew_view()
    }

    /// Lets go of all segments, while nobody watches. What is pushed next goes on behind them as behind a break: numbers go on, and there is
    /// no [`Self::view`] before a segment is complete.
    pub fn rest(&mut self) {
        // What cannot be written of the segments in the making is let go of anyhow.
        let _ = self.break_timeline();
        if self.lanes.iter().any(|lane| lane.track.kind() == MediaKind::Video) {
            self.gate.await_key();
        }
        self.lanes.iter_mut().for_each(Lane::rest);
        self.lead_segments = 0;
        (self.views, self.view) = (Vec::new(), None);
    }

    /// What players can fetch now; `None` until the first segment is complete.
    pub fn view(&self) -> Option<Arc<CmafView>> {
        self.view.clone()
    }

    /// Takes over changes of the tracks.
    fn follow(&mut self, tracks: &Arc<TrackSet>) -> Result<(), PackError> {
        if Arc::ptr_eq(&self.tracks, tracks) {
            return Ok(());
        }
        let mut carried: Vec<&Track> =
            tracks.tracks.iter().filter(|track| is_carried(track)).take(MAX_TRACKS).collect();
        carried.sort_by_key(|track| order_of(track));
        if carried.is_empty() {
            return Err(PackError::Unsupported { what: "codecs of all tracks in CMAF" });
        }
        let is_same = carried.iter().copied().eq(self.lanes.iter().map(|lane| &lane.track));
        let events: Vec<Track> = tracks.tracks.iter().filter(|track| is_event(track)).cloned().collect();
        if !is_same || events != self.events {
            self.events = events;
            self.reconfigure(&carried)?;
        }
        self.tracks = Arc::clone(tracks);
        Ok(())
    }

    fn reconfigure(&mut self, carried: &[&Track]) -> Result<(), PackError> {
        let is_more = self.goes_on_with(carried);
        if is_more {
            // Players of DASH look for other tracks where a Period begins: one does at the next key picture.
            self.breaks_at_key |= self.view.is_some() && carried.len() > self.lanes.len();
        } else {
            self.break_timeline()?;
            self.lanes.iter_mut().for_each(Lane::await_key);
        }
        let had_video =
            self.lanes.iter().find(|lane| lane.track.kind() == MediaKind::Video).map(|lane| lane.track.clone());
        let mut known = std::mem::take(&mut self.lanes);
        // Also of those that stay: should one be refused, it comes again.
        self.past.extend(known.iter().map(|lane| (lane.name.clone(), lane.past())));
        for (index, track) in carried.iter().enumerate() {
            // One of the tracks carries the events: the first one.
            let events = if index == 0 { self.events.as_slice() } else { &[] };
            let name = Lane::name_of(track);
            let mut lane = match known.iter().position(|lane| lane.name == name) {
                Some(same) => known.swap_remove(same),
                None => {
                    let past = self.past.get(&name).copied().unwrap_or_else(|| Past::none(&self.config));
                    Lane::new(&self.config, &self.session, (track, events), past)?
                }
            };
            lane.reconfigure(track, events)?;
            self.lanes.push(lane);
        }
        match carried.iter().find(|track| track.kind() == MediaKind::Video) {
            None => self.gate.expect_no_video(),
            video if video.copied() != had_video.as_ref() => self.gate.await_key(),
            Some(_) => {}
        }
        self.views.retain(|view| self.lanes.iter().any(|lane| lane.name == view.name));
        Ok(())
    }

    /// Whether all tracks stay as they are, also the one with the events: others begin beside them.
    fn goes_on_with(&self, carried: &[&Track]) -> bool {
        let mut known = self.lanes.iter().map(|lane| &lane.track);
        known.clone().next() == carried.first().copied() && known.all(|track| carried.contains(&track))
    }

    /// The lane of a frame that is one to write.
    fn admit(&mut self, frame: &Frame) -> Result<Option<usize>, PackError> {
        let Some(index) = self.lanes.iter().position(|lane| lane.track.id == frame.track) else {
            let is_known = self.tracks.find(frame.track).is_some();
            let unknown = PackError::Misuse { what: "frame of a track that is not in the set" };
            return if is_known { Ok(None) } else { Err(unknown) };
        };
        if frame.payload.is_empty() {
            return Ok(None);
        }
        if frame.dts < 0 {
            return Err(PackError::Unsupported { what: "decoding time below 0 in CMAF" });
        }
        let patience_us = micros(self.config.segment_target).saturating_mul(2);
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(None) };
        let kind = lane.track.kind();
        if !self.gate.admits(frame, kind, lane.us(frame.dts), patience_us) {
            return Ok(None);
        }
        lane.awaits_key &= !frame.is_key();
        Ok(Some(index).filter(|_| !lane.awaits_key || kind != MediaKind::Video))
    }

    /// Takes a frame of a data track; false when it is none.
    fn take_event(&mut self, frame: &Frame) -> bool {
        let Some(track) = self.events.iter().find(|track| track.id == frame.track) else { return false };
        if track.config.codec() == Codec::Scte35
            && let Some(offset_us) = self.timelines.wall_offset_us()
        {
            let us = rescale(frame.pts, track.clock_rate_hz, 1_000_000);
            self.cues.push(&frame.payload, us.saturating_add(offset_us));
            self.lanes.iter_mut().for_each(|lane| lane.is_new = true);
        }
        if let Some(lane) = self.lanes.first_mut() {
            lane.append_event(frame);
        }
        true
    }

    /// The track whose cuts the others follow.
    fn lead(&self) -> usize {
        let is_video = |lane: &Lane| lane.track.kind() == MediaKind::Video;
        let open_video = self.lanes.iter().position(|lane| is_video(lane) && !lane.awaits_key);
        open_video.or_else(|| self.lanes.iter().position(|lane| !is_video(lane))).unwrap_or(0)
    }

    /// Cuts what must be cut in front of `frame`.
    fn cut_before(&mut self, index: usize, frame: &Frame) -> Result<(), PackError> {
        let (lead, limits, settled) = (self.lead(), self.limits(), self.target_duration_s);
        let breaks = self.breaks_at_key || (settled.is_some() && self.timelines.is_behind());
        self.begin_together(index, lead, frame);
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(()) };
        match lane.cut(frame, index == lead, &limits) {
            Cut::Nothing => Ok(()),
            Cut::Part => lane.close_part(Some(frame.dts)),
            Cut::Segment if index == lead && lane.is_entry(frame) && breaks => {
                let written = self.close_epoch();
                self.timelines.end_in_time();
                written
            }
            Cut::Segment => {
                let at_us = lane.us(frame.dts);
                let written = lane.close_segment(Some(frame.dts), settled);
                self.has_segment = true;
                if index == lead {
                    self.lead_segments += 1;
                    self.lanes.iter_mut().for_each(|lane| lane.cut_at_us = Some(at_us));
                    if settled.is_none() && !self.awaits_pictures() {
                        self.settle();
                    }
                }
                written
            }
            // Nobody has been told of anything that could be spoilt.
            Cut::Silence if settled.is_none() => self.break_timeline(),
            Cut::Silence => {
                let written = lane.fall_silent(lane.us(frame.dts), &limits, settled);
                (self.has_segment, self.breaks_at_key) = (true, true);
                written
            }
            Cut::Break => self.break_timeline(),
        }
    }

    /// Where the leading track begins behind others, they are cut too: a segment of theirs would last longer than one of its.
    fn begin_together(&mut self, index: usize, lead: usize, frame: &Frame) {
        let begins = |lane: &&Lane| index == lead && !lane.has_begun();
        let Some(at_us) = self.lanes.get(index).filter(begins).map(|lane| lane.us(frame.dts)) else { return };
        let early = self.lanes.iter_mut().filter(|lane| lane.elapsed_us() > FOLLOWER_US);
        early.for_each(|lane| lane.cut_at_us = Some(at_us));
    }

    /// Whether sound leads only as long as no key picture comes: it says nothing on how long segments of this stream are, and no view has
    /// told of it.
    fn awaits_pictures(&self) -> bool {
        let mut videos = self.lanes.iter().filter(|lane| lane.track.kind() == MediaKind::Video).peekable();
        videos.peek().is_some() && videos.all(|lane| lane.awaits_key) && self.lead_segments < PATIENCE_SEGMENTS
    }

    /// Ends the present timeline in all tracks, if there is anything in it.
    fn break_timeline(&mut self) -> Result<(), PackError> {
        if !self.lanes.iter().any(Lane::has_begun) {
            return Ok(());
        }
        let written = self.close_epoch();
        self.timelines.end();
        self.lead_segments += 1;
        // A segment that ended only because the timeline broke says nothing on how long segments of this stream are.
        if self.target_duration_s.is_none() && self.lead_segments > PATIENCE_SEGMENTS {
            self.settle();
        }
        written
    }

    /// Completes the segments of all tracks.
    fn close_epoch(&mut self) -> Result<(), PackError> {
        let (limits, settled) = (self.limits(), self.target_duration_s);
        let mut result = Ok(());
        for lane in &mut self.lanes {
            result = lane.close_epoch(&limits, settled).and(result);
        }
        (self.has_segment, self.breaks_at_key) = (true, false);
        result
    }

    /// Where a segment that begins with `frame` would be.
    fn place(&mut self, index: usize, frame: &Frame) -> Place {
        let us = self.lanes.get(index).map_or(0, |lane| lane.us(frame.dts));
        let ends = self.lanes.iter().filter_map(Lane::end_us);
        self.timelines.place((us, self.now_us), ends, self.target_duration_s.is_none())
    }

    /// Fixes the target duration: every `EXTINF`, rounded, is at most that (RFC 8216bis §4.4.3.1), of all tracks.
    fn settle(&mut self) {
        let longest_us = |lane: &Lane| lane.window.longest_us().unwrap_or(0).max(lane.elapsed_us());
        let longest_us = self.lanes.iter().map(longest_us).max().unwrap_or(0);
        // The other tracks are cut a frame later.
        let longest_s = u64::try_from((longest_us + FOLLOWER_US + 500_000) / 1_000_000).unwrap_or(0);
        let target_us = u64::try_from(micros(self.config.segment_target)).unwrap_or(0);
        self.target_duration_s = Some(longest_s.max(target_us.div_ceil(1_000_000)).max(1));
        self.lanes.iter_mut().for_each(|lane| lane.is_new = true);
        self.timelines.settle();
        self.start_us = self.timelines.start_us();
    }

    /// An event that has reached its limit of bytes is over: nothing may leave its playlist.
    fn end_full_event(&mut self) -> Result<(), PackError> {
        let max = self.config.max_window_bytes;
        if !self.config.is_event || self.bytes() < max {
            return Ok(());
        }
        self.finish();
        Err(PackError::LimitExceeded { limit: "bytes of an event", max, seen: max })
    }

    /// Keeps to the limit of bytes: memory comes before the promise of availability.
    fn shed(&mut self) {
        let mut bytes = if self.config.is_event { 0 } else { self.bytes() };
        while bytes > self.config.max_window_bytes {
            let oldest = |lane: &Lane| lane.window.droppable().map(|segment| (segment.epoch, segment.start_us));
            let lanes = self.lanes.iter_mut().filter_map(|lane| Some((oldest(lane)?, lane)));
            let Some((_, lane)) = lanes.min_by_key(|(oldest, _)| *oldest) else { return };
            lane.window.drop_oldest();
            self.is_shortened = true;
            bytes = self.bytes();
        }
    }

    /// Memory of all segments, and of what is in the making.
    fn bytes(&self) -> usize {
        self.lanes.iter().map(Lane::bytes).sum()
    }

    /// Whether [`CmafConfig::max_window_bytes`] has made the window shorter than it was meant to be.
    pub fn is_shortened(&self) -> bool {
        self.is_shortened
    }

    /// Whether nothing comes any more: it was finished, or is an event that is full.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn limits(&self) -> Limits {
        let target_us = micros(self.config.segment_target);
        // Rounded to the nearest second, a segment must not exceed the target duration.
        let settled_us = self.target_duration_s.map(|seconds| micros(Duration::from_secs(seconds)) + 499_999);
        let first_us = micros(self.config.first_segment_max).max(target_us + target_us / 2);
        let bytes = self.config.max_segment_bytes.min(self.config.max_window_bytes / SEGMENTS_MIN);
        Limits { target_us, duration_us: settled_us.unwrap_or(first_us), bytes }
    }
}

/// How much later than the leading track another one may be cut, for the target duration to hold for it too.
const FOLLOWER_US: i64 = 100_000;

/// Whether players take that codec in CMAF.
pub(crate) fn is_carried(track: &Track) -> bool {
    let is_known = !matches!(track.config.codec(), Codec::Vp8 | Codec::Mp2) && !track.config.rfc6381().is_empty();
    track.kind() != MediaKind::Data && is_known && Fmp4Muxer::supports(track).is_ok()
}

/// Where a track stands among the others: video first.
fn order_of(track: &Track) -> (bool, TrackId) {
    (track.kind() != MediaKind::Video, track.id)
}

/// Whether it goes along as `emsg`.
fn is_event(track: &Track) -> bool {
    matches!(track.config.codec(), Codec::Id3 | Codec::Scte35)
}

fn micros_since_1970(now: Duration) -> i64 {
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}
