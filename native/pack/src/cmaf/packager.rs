//! All tracks of a stream together.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use arcly_bus::{Frame, Track, TrackSet};
use arcly_codec::{Codec, MediaKind};

use super::{
    CmafConfig, CmafView, Epoch, TrackView,
    cue::Cues,
    lane::{Cut, Lane, Limits, Place},
    micros,
    view::Told,
};
use crate::{
    PackError,
    gate::Gate,
    mp4::{Fmp4Muxer, MAX_TRACKS},
    time::rescale,
};

/// Makes the CMAF of the frames of one publish.
///
/// Of the leading track (the first video, else the first audio) a segment ends at the first key picture at or behind
/// [`CmafConfig::segment_target`]; the other tracks follow at their next frame. A segment ends earlier, at any frame, when it would
/// otherwise outlast the target duration or outgrow [`CmafConfig::max_segment_bytes`]; and where tracks change or time breaks, in all
/// tracks, with a discontinuity behind it.
#[derive(Debug)]
pub struct CmafPackager {
    config: CmafConfig,
    session: String,
    /// As pushed.
    tracks: Arc<TrackSet>,
    /// Data tracks that go along as events.
    events: Vec<Track>,
    lanes: Vec<Lane>,
    gate: Gate,
    epoch: u64,
    epochs: VecDeque<Epoch>,
    target_duration_s: Option<u64>,
    /// Segments of the leading track.
    lead_segments: u64,
    cues: Cues,
    /// As told with the newest frame, in microseconds since 1970.
    now_us: i64,
    start_us: Option<i64>,
    views: Vec<Arc<TrackView>>,
    view: Option<Arc<CmafView>>,
    ended: bool,
}

/// Segments of the leading track after which one that has none is not waited for.
const PATIENCE_SEGMENTS: u64 = 3;

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
            gate: Gate::default(),
            epoch: 0,
            epochs: VecDeque::new(),
            target_duration_s: None,
            lead_segments: 0,
            cues: Cues::default(),
            now_us: 0,
            start_us: None,
            views: Vec::new(),
            view: None,
            ended: false,
        }
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
        let place = self.place(index, frame);
        let appended = self.lanes.get_mut(index).map_or(Ok(()), |lane| lane.append(frame, place));
        let changed = self.renew_view();
        cut.and(appended).and_then(|()| self.end_full_event()).map(|()| changed)
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

    /// What players can fetch now; `None` until the first segment is complete.
    pub fn view(&self) -> Option<Arc<CmafView>> {
        self.view.clone()
    }

    /// Takes over changes of the tracks.
    fn follow(&mut self, tracks: &Arc<TrackSet>) -> Result<(), PackError> {
        if Arc::ptr_eq(&self.tracks, tracks) {
            return Ok(());
        }
        let carried: Vec<&Track> = tracks.tracks.iter().filter(|track| is_carried(track)).take(MAX_TRACKS).collect();
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
        self.break_timeline()?;
        let had_video =
            self.lanes.iter().find(|lane| lane.track.kind() == MediaKind::Video).map(|lane| lane.track.clone());
        let mut known = std::mem::take(&mut self.lanes);
        for (index, track) in carried.iter().enumerate() {
            // One of the tracks carries the events.
            let events = if index == 0 { self.events.as_slice() } else { &[] };
            let same = known.iter().position(|lane| lane.track.id == track.id && lane.track.kind() == track.kind());
            let mut lane = match same {
                Some(same) => known.swap_remove(same),
                None => Lane::new(&self.config, &self.session, track, events)?,
            };
            lane.reconfigure(track, events)?;
            self.lanes.push(lane);
        }
        self.lanes.sort_by_key(|lane| (lane.track.kind() != MediaKind::Video, lane.track.id));
        match carried.iter().find(|track| track.kind() == MediaKind::Video) {
            None => self.gate.expect_no_video(),
            video if video.copied() != had_video.as_ref() => self.gate.await_key(),
            Some(_) => {}
        }
        self.views.retain(|view| self.lanes.iter().any(|lane| lane.name == view.name));
        Ok(())
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
            && let Some(epoch) = self.epochs.back()
        {
            let us = rescale(frame.pts, track.clock_rate_hz, 1_000_000);
            self.cues.push(&frame.payload, us.saturating_add(epoch.wall_offset_us));
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
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(()) };
        match lane.cut(frame, index == lead, &limits) {
            Cut::Nothing => Ok(()),
            Cut::Part => lane.close_part(Some(frame.dts)),
            Cut::Segment => {
                let at_us = lane.us(frame.dts);
                let written = lane.close_segment(Some(frame.dts), settled);
                if index == lead {
                    self.lead_segments += 1;
                    self.lanes.iter_mut().for_each(|lane| lane.cut_at_us = Some(at_us));
                    if settled.is_none() {
                        self.settle();
                    }
                }
                written
            }
            Cut::Break => self.break_timeline(),
        }
    }

    /// Ends the present timeline in all tracks, if there is anything in it.
    fn break_timeline(&mut self) -> Result<(), PackError> {
        if !self.lanes.iter().any(Lane::has_begun) {
            return Ok(());
        }
        let written = self.close_epoch();
        self.lead_segments += 1;
        // A segment that ended only because the timeline broke says nothing on how long segments of this stream are.
        if self.target_duration_s.is_none() && self.lead_segments > PATIENCE_SEGMENTS {
            self.settle();
        }
        written
    }

    fn close_epoch(&mut self) -> Result<(), PackError> {
        let (limits, settled) = (self.limits(), self.target_duration_s);
        let mut result = Ok(());
        for lane in &mut self.lanes {
            result = lane.close_epoch(&limits, settled).and(result);
        }
        self.epoch += 1;
        result
    }

    /// Where a segment that begins with `frame` would be; begins a timeline with it if there is none.
    fn place(&mut self, index: usize, frame: &Frame) -> Place {
        let us = self.lanes.get(index).map_or(0, |lane| lane.us(frame.dts));
        let offset_us = self.now_us.saturating_sub(us);
        match self.epochs.back_mut().filter(|epoch| epoch.number == self.epoch) {
            // Frames may come in a burst at first: the one that was longest on its way came first. No playlist has said it yet.
            Some(epoch) if self.target_duration_s.is_none() => {
                epoch.wall_offset_us = epoch.wall_offset_us.min(offset_us);
                epoch.start_us = epoch.start_us.min(us);
            }
            Some(_) => {}
            None => {
                // Behind the end of the one before, whatever the clock says.
                let newest = self.epochs.back().map_or((0, 0), |epoch| (epoch.number, epoch.wall_offset_us));
                let ends = self.lanes.iter().filter_map(Lane::end_us).filter(|(epoch, _)| *epoch == newest.0);
                let end_us = ends.map(|(_, us)| us.saturating_add(newest.1)).max().unwrap_or(0);
                let wall_offset_us = offset_us.max(end_us.saturating_sub(us));
                self.epochs.push_back(Epoch { number: self.epoch, start_us: us, wall_offset_us });
            }
        }
        let wall_offset_us = self.epochs.back().map_or(0, |epoch| epoch.wall_offset_us);
        Place { epoch: self.epoch, wall_offset_us }
    }

    /// Fixes the target duration: every `EXTINF`, rounded, is at most that (RFC 8216bis §4.4.3.1), of all tracks.
    fn settle(&mut self) {
        let longest_us = |lane: &Lane| lane.window.longest_us().unwrap_or(0).max(lane.elapsed_us());
        let longest_us = self.lanes.iter().map(longest_us).max().unwrap_or(0);
        // The other tracks are cut a frame later.
        let longest_s = u64::try_from((longest_us + FOLLOWER_US + 500_000) / 1_000_000).unwrap_or(0);
        let target_us = u64::try_from(micros(self.config.segment_target)).unwrap_or(0);
        self.target_duration_s = Some(longest_s.max(target_us.div_ceil(1_000_000)).max(1));
        for lane in &mut self.lanes {
            lane.pace.publish();
            lane.is_new = true;
        }
        self.start_us = self.epochs.front().map(|epoch| epoch.start_us.saturating_add(epoch.wall_offset_us));
    }

    /// An event that has reached its limit of bytes is over: nothing may leave its playlist.
    fn end_full_event(&mut self) -> Result<(), PackError> {
        if !self.lanes.iter().any(|lane| lane.window.is_full()) {
            return Ok(());
        }
        self.finish();
        let max = self.config.max_window_bytes;
        Err(PackError::LimitExceeded { limit: "bytes of an event", max, seen: max })
    }

    fn limits(&self) -> Limits {
        let target_us = micros(self.config.segment_target);
        // Rounded to the nearest second, a segment must not exceed the target duration.
        let settled_us = self.target_duration_s.map(|seconds| micros(Duration::from_secs(seconds)) + 499_999);
        let first_us = micros(self.config.first_segment_max).max(target_us + target_us / 2);
        Limits { target_us, duration_us: settled_us.unwrap_or(first_us), bytes: self.config.max_segment_bytes }
    }

    fn renew_view(&mut self) -> bool {
        let Some(target_duration_s) = self.target_duration_s else { return false };
        if !self.lanes.iter().any(|lane| lane.is_new) || !self.is_complete() {
            return false;
        }
        let lanes: Vec<&Lane> = self.lanes.iter().filter(|lane| lane.window.longest_us().is_some()).collect();
        let epochs: Arc<[Epoch]> = self.epochs.iter().copied().collect();
        let reports: Vec<_> = lanes.iter().map(|lane| lane.report()).collect();
        let mut views = Vec::with_capacity(lanes.len());
        for lane in lanes {
            let known = self.views.iter().find(|view| view.name == lane.name);
            if let Some(known) = known.filter(|_| !lane.is_new) {
                views.push(known.clone());
                continue;
            }
            let reports = reports.iter().filter(|report| report.name != lane.name).cloned().collect();
            let (ended, is_event, epoch) = (self.ended, self.config.is_event, self.epoch);
            let date_ranges = self.cues.date_ranges();
            let epochs = epochs.clone();
            let told = Told { target_duration_s, epoch, epochs, ended, is_event, reports, date_ranges };
            views.push(Arc::new(lane.view(told)));
        }
        self.lanes.iter_mut().for_each(|lane| lane.is_new = false);
        self.views = views;
        self.forget_epochs();
        self.view = Some(Arc::new(self.snapshot(target_duration_s)));
        true
    }

    fn snapshot(&self, target_duration_s: u64) -> CmafView {
        let has = |codec| self.events.iter().any(|track| track.config.codec() == codec);
        CmafView {
            tracks: self.views.clone(),
            epochs: self.epochs.iter().copied().collect(),
            target_duration_s,
            ended: self.ended,
            is_event: self.config.is_event,
            start_us: self.start_us.unwrap_or(0),
            made_us: self.now_us,
            has_id3: has(Codec::Id3),
            has_scte35: has(Codec::Scte35),
        }
    }

    /// Whether every track has a segment, or has been waited for long enough: a player reads once which tracks there are.
    fn is_complete(&self) -> bool {
        let has_all = self.lanes.iter().all(|lane| lane.window.longest_us().is_some());
        let has_any = self.lanes.iter().any(|lane| lane.window.longest_us().is_some());
        has_any && (has_all || self.ended || self.view.is_some() || self.lead_segments >= PATIENCE_SEGMENTS)
    }

    /// Lets go of timelines that no segment is of, and of cues that are over.
    fn forget_epochs(&mut self) {
        let oldest = self.views.iter().filter_map(|view| view.listed().first()).map(|segment| segment.epoch).min();
        let Some(oldest) = oldest else { return };
        while self.epochs.len() > 1 && self.epochs.front().is_some_and(|epoch| epoch.number < oldest) {
            self.epochs.pop_front();
        }
        let begins = self.views.iter().filter_map(|view| {
            let first = view.listed().first()?;
            Some(view.program_us(first.epoch, first.start_us))
        });
        let begins = begins.min().unwrap_or(0);
        self.cues.forget_before(begins);
    }
}

/// How much later than the leading track another one may be cut, for the target duration to hold for it too.
const FOLLOWER_US: i64 = 100_000;

/// Whether players take that codec in CMAF.
fn is_carried(track: &Track) -> bool {
    let is_known = !matches!(track.config.codec(), Codec::Vp8 | Codec::Mp2) && !track.config.rfc6381().is_empty();
    track.kind() != MediaKind::Data && is_known && Fmp4Muxer::supports(track).is_ok()
}

/// Whether it goes along as `emsg`.
fn is_event(track: &Track) -> bool {
    matches!(track.config.codec(), Codec::Id3 | Codec::Scte35)
}

fn micros_since_1970(now: Duration) -> i64 {
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}
