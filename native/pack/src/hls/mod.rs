//! HTTP Live Streaming with MPEG-TS segments (RFC 8216, draft-pantos-hls-rfc8216bis): frames in, playlist and segments out.
//!
//! | what | where | clause of RFC 8216 |
//! |---|---|---|
//! | which frames are let in | `crate::gate` | §3: a segment carries what it needs to be decoded |
//! | where segments end | `cut` | §4.3.2.3, §4.3.3.1 |
//! | a segment | `segment` | §3.2: PAT and PMT first |
//! | dates | `wall` | §4.3.2.6; cues of SCTE-35: `crate::cmaf::cue`, §4.3.2.7 |
//! | listed, still available, freed | `window` | §6.2.1, §6.2.2 |
//! | AES-128 and its keys | `key` | §4.3.2.4, §5.2 |
//! | media playlist, multivariant playlist | `view`, `variant` | §4.3.3, §4.3.4 |
//!
//! Of a stream the first video and the first audio track are carried whose codecs MPEG-TS has, and its data: ID3 as PES packets ("Timed
//! Metadata for HTTP Live Streaming" §2), SCTE-35 as sections.
//!
//! Deviation: where memory or a hostile timeline leaves no choice, the playlist is shorter than three target durations
//! (§6.2.2).

mod cut;
pub(crate) mod key;
pub(crate) mod media;
mod multivariant;
mod segment;
#[cfg(test)]
mod tests;
pub(crate) mod variant;
mod view;
mod wall;
mod window;

use std::{sync::Arc, time::Duration};

use arcly_bus::{Frame, Track, TrackSet};
use arcly_codec::{Codec, MediaKind};

use self::{
    cut::{Candidate, Change, Changes, Cut, Limits, Timeline, last_end_us},
    key::Keyring,
    segment::OpenSegment,
    wall::Wall,
    window::Window,
};
pub use self::{
    key::{Encryption, IvKind, KEY_BYTES, Key, KeySource, RandomKeys},
    multivariant::{Variant, multivariant},
    view::HlsView,
};
use crate::{
    GroupClock, PackError,
    cmaf::cue::Cues,
    gate::{Gate, PATIENCE_SEGMENTS},
    meter::Meter,
    mpegts::{PacketBuffer, TsMuxer},
    time::rescale,
};

/// How a stream is cut, and how much of it is kept.
///
/// Memory of a stream: bit rate × `segment_target` × (2 × `playlist_segments` + 2), and never more than
/// `max_window_bytes` and two segments of `max_segment_bytes`. At 5 Mbit/s and the defaults: 20 MB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HlsConfig {
    /// A segment ends at the first key picture from here on, or a little before. Players stay about three segments behind the live edge, so
    /// this is a third of the latency; shorter ones cost requests. Default: 2 s.
    pub segment_target: Duration,
    /// Segments in the playlist. More of them let a player go further back, and cost memory twice: a segment stays
    /// available as long again. Default: 7.
    pub playlist_segments: usize,
    /// `EXT-X-TARGETDURATION` is at least this, rounded up. It is fixed by the first segment with pictures, and a later GOP that lasts
    /// longer is then cut in its middle: raise this for an encoder with irregular key pictures. Costs latency, since
    /// players measure their distance to the live edge in target durations. Default: 0, as the first segment has it.
    pub target_duration_min: Duration,
    /// The first segment is cut here, key picture or not. Stops a publisher who never sends a second one from keeping the
    /// stream out of sight. Default: 10 s.
    pub first_segment_max: Duration,
    /// A segment is cut before it has more bytes, key picture or not. Stops a publisher of a monstrous bit rate.
    /// Default: 64 MiB, 2 s of 268 Mbit/s.
    pub max_segment_bytes: usize,
    /// Memory of all complete segments of the stream; the oldest are dropped first, and the newest never. Default: 256 MiB.
    pub max_window_bytes: usize,
    /// So much of the window stays in memory, three target durations at least: what is older the host moves away ([`HlsView::movable`]).
    /// What it has not moved when as much again has come, and 10 s, is dropped with all that is older: the window shortens. Default: none,
    /// all of it.
    pub memory: Option<Duration>,
    /// AES-128 of segments. Default: none.
    pub encryption: Option<Encryption>,
}

impl Default for HlsConfig {
    fn default() -> Self {
        Self {
            segment_target: Duration::from_secs(2),
            playlist_segments: 7,
            target_duration_min: Duration::ZERO,
            first_segment_max: Duration::from_secs(10),
            max_segment_bytes: 64 << 20,
            max_window_bytes: 256 << 20,
            memory: None,
            encryption: None,
        }
    }
}

/// Makes a live HLS stream of the frames of one publish.
///
/// A segment ends at the first key picture at or behind [`HlsConfig::segment_target`], or up to a twentieth before it, in
/// decoding time (without pictures: at the first sound at or behind it). It ends earlier, at any frame, when it would
/// otherwise outlast the target duration or outgrow [`HlsConfig::max_segment_bytes`]; and where tracks change or time
/// breaks, with a discontinuity behind it. Where pictures or sound only come beside the others, or go, that waits for the next key
/// picture; and data tracks come and go as they like.
#[derive(Debug)]
pub struct HlsPackager {
    config: HlsConfig,
    session: String,
    /// As pushed.
    tracks: Arc<TrackSet>,
    /// Those of them that are carried.
    carried: TrackSet,
    muxer: Option<TsMuxer>,
    gate: Gate,
    timeline: Timeline,
    open: Option<OpenSegment>,
    /// What comes next does not continue what was before.
    is_broken: bool,
    changes: Changes,
    next_sequence: u64,
    /// Memory to reserve for the next segment.
    reserve_bytes: usize,
    window: Window,
    keyring: Option<Keyring>,
    meter: Meter,
    wall: Wall,
    cues: Cues,
    view: Option<Arc<HlsView>>,
    ended: bool,
}

impl HlsPackager {
    /// A packager for one publish. Segments are named `{session}-{number}.ts`: a `session` that no other publish of the
    /// same stream has keeps caches from mixing them up. It must be fit for a URI as it is.
    pub fn new(config: HlsConfig, session: &str) -> Self {
        Self {
            window: Window::new(&config),
            keyring: config.encryption.as_ref().map(|encryption| Keyring::new(encryption, &format!("{session}-ts"))),
            config,
            session: session.to_owned(),
            tracks: Arc::default(),
            carried: TrackSet::default(),
            muxer: None,
            gate: Gate::default(),
            timeline: Timeline::default(),
            open: None,
            is_broken: false,
            changes: Changes::default(),
            next_sequence: 0,
            reserve_bytes: 0,
            meter: Meter::default(),
            wall: Wall::default(),
            cues: Cues::default(),
            view: None,
            ended: false,
        }
    }

    /// One of the renditions of a group: they have one wall clock where theirs are near each other. It is to be said in front of all frames.
    pub fn with_clock(mut self, group: Arc<GroupClock>) -> Self {
        self.wall = Wall::of(group);
        self
    }

    /// Says what time it is, as long after the beginning of 1970, for the frames that are pushed next. Segments of which that is known
    /// have dates, and then cues of SCTE-35 are told of as well.
    pub fn tell_time(&mut self, now: Duration) {
        self.wall.tell(now);
    }

    /// Takes the next frame of a stream that has `tracks` now. Returns whether [`Self::view`] has changed.
    ///
    /// Frames of tracks that are not carried, frames without bytes, and what comes before the first key picture are
    /// passed over. If pictures are announced and none come, sound goes on alone after twice the segment target.
    ///
    /// # Errors
    /// [`PackError::Unsupported`] when none of the tracks can be carried, [`PackError::Malformed`] or
    /// [`PackError::LimitExceeded`] for a frame that cannot be written, [`PackError::Misuse`] for one whose track is not
    /// in `tracks`, or behind [`Self::finish`]. The frame is left out and the next one may be pushed.
    pub fn push(&mut self, tracks: &Arc<TrackSet>, frame: &Frame) -> Result<bool, PackError> {
        if self.ended {
            return Err(PackError::Misuse { what: "frame behind the end of the stream" });
        }
        self.follow(tracks)?;
        if self.carried.find(frame.track).is_some_and(|track| track.kind() == MediaKind::Data) {
            return self.append_data(frame).map(|()| false);
        }
        let Some(next) = self.admit(frame)? else { return Ok(false) };
        let changed = self.cut_before(&next);
        self.append(&next)?;
        changed
    }

    /// Ends the stream: completes the open segment and the playlist. Returns whether [`Self::view`] has changed.
    pub fn finish(&mut self) -> bool {
        if std::mem::replace(&mut self.ended, true) {
            return false;
        }
        if let Some(open) = self.open.take() {
            let end_us = last_end_us(&open, &self.limits());
            // What cannot be encrypted is left out: the stream ends without it.
            let _ = self.complete(open, end_us, true);
        }
        if self.window.listed().next().is_some() {
            self.window.settle_target_duration();
        }
        self.renew_view()
    }

    /// Lets go of all segments, while nobody watches. What is pushed next goes on behind them as behind a break: numbers go on, and there is
    /// no [`Self::view`] before a segment is complete.
    pub fn rest(&mut self) {
        if let Some(open) = self.open.take() {
            let end_us = last_end_us(&open, &self.limits());
            // What cannot be encrypted is let go of anyhow.
            let _ = self.complete(open, end_us, false);
        }
        if self.carried.first(MediaKind::Video).is_some() {
            self.gate.await_key();
        }
        self.window.clear();
        (self.is_broken, self.view) = (self.next_sequence > 0, None);
    }

    /// What players can fetch now; `None` until the first segment is complete.
    pub fn view(&self) -> Option<Arc<HlsView>> {
        self.view.clone()
    }

    /// Takes over changes of the tracks.
    fn follow(&mut self, tracks: &Arc<TrackSet>) -> Result<(), PackError> {
        if Arc::ptr_eq(&self.tracks, tracks) {
            return Ok(());
        }
        let carried = carried_tracks(tracks);
        if carried.tracks.iter().all(|track| track.kind() == MediaKind::Data) {
            return Err(PackError::Unsupported { what: "codecs of all tracks in MPEG-TS" });
        }
        if carried.tracks != self.carried.tracks {
            self.reconfigure(carried)?;
        }
        self.tracks = Arc::clone(tracks);
        Ok(())
    }

    fn reconfigure(&mut self, carried: TrackSet) -> Result<(), PackError> {
        match &mut self.muxer {
            Some(muxer) => muxer.reconfigure(&carried)?,
            None => self.muxer = Some(TsMuxer::new(&carried)?),
        }
        match carried.first(MediaKind::Video) {
            None => self.gate.expect_no_video(),
            video if video != self.carried.first(MediaKind::Video) => self.gate.await_key(),
            Some(_) => {}
        }
        self.changes.note(&carried);
        self.carried = carried;
        Ok(())
    }

    /// The frame with its times, if it is one to write.
    fn admit<'a>(&mut self, frame: &'a Frame) -> Result<Option<Candidate<'a>>, PackError> {
        let Some(track) = self.carried.find(frame.track) else { return self.pass_over(frame) };
        let Some(muxer) = &self.muxer else { return Ok(None) };
        if !muxer.accepts(frame)? {
            return Ok(None);
        }
        let kind = track.kind();
        let us = |ticks| rescale(ticks, track.clock_rate_hz, 1_000_000);
        let (dts_us, duration_us) = (us(frame.dts), us(i64::from(frame.duration)));
        if !self.gate.admits(frame, kind, dts_us, micros(self.config.segment_target).saturating_mul(2)) {
            return Ok(None);
        }
        let is_entry = match kind {
            MediaKind::Video => frame.is_key(),
            MediaKind::Audio | MediaKind::Data => !self.gate.video_is_open(),
        };
        Ok(Some(Candidate { frame, kind, dts_us, duration_us, is_entry }))
    }

    /// A frame of a track that is not carried.
    fn pass_over<T>(&self, frame: &Frame) -> Result<Option<T>, PackError> {
        match self.tracks.find(frame.track) {
            Some(_) => Ok(None),
            None => Err(PackError::Misuse { what: "frame of a track that is not in the set" }),
        }
    }

    /// Completes the open segment if it ends in front of `next`.
    fn cut_before(&mut self, next: &Candidate<'_>) -> Result<bool, PackError> {
        let Some(open) = &self.open else { return Ok(false) };
        let Some(cut) = self.timeline.cut(open, next, &self.limits()) else { return Ok(false) };
        let Some(open) = self.open.take() else { return Ok(false) };
        let completed = self.complete(open, cut.end_us, !cut.discontinuity);
        self.open_segment(next, cut);
        completed.map(|()| self.renew_view())
    }

    /// Writes a frame into the open segment, which it begins if there is none.
    fn append(&mut self, next: &Candidate<'_>) -> Result<(), PackError> {
        if self.open.is_none() {
            let discontinuity = std::mem::take(&mut self.is_broken);
            self.open_segment(next, Cut { end_us: next.dts_us, discontinuity });
        }
        let (Some(open), Some(muxer)) = (&mut self.open, &mut self.muxer) else { return Ok(()) };
        muxer.write_in(next.frame, &mut open.packets)?;
        self.wall.note(next.dts_us);
        open.count(next.frame, next.kind, self.timeline.advance(next));
        Ok(())
    }

    /// Data goes along with what is there: nothing begins or ends with it.
    fn append_data(&mut self, frame: &Frame) -> Result<(), PackError> {
        let (Some(open), Some(muxer)) = (&mut self.open, &mut self.muxer) else { return Ok(()) };
        muxer.write_in(frame, &mut open.packets)?;
        self.note_cue(frame);
        Ok(())
    }

    fn note_cue(&mut self, frame: &Frame) {
        let Some(track) = self.carried.find(frame.track).filter(|track| track.config.codec() == Codec::Scte35) else {
            return;
        };
        if let Some(at_us) = self.wall.date_us(rescale(frame.pts, track.clock_rate_hz, 1_000_000)) {
            self.cues.push(&frame.payload, at_us);
        }
    }

    /// Begins a segment with `next`, behind `cut`.
    fn open_segment(&mut self, next: &Candidate<'_>, cut: Cut) {
        let Some(muxer) = &mut self.muxer else { return };
        let mut packets = PacketBuffer::with_capacity(self.reserve_bytes);
        muxer.start_segment_in(&mut packets);
        self.timeline.begin_segment(cut.discontinuity);
        if cut.discontinuity {
            self.wall.begin_anew();
        }
        let is_told = cut.discontinuity || self.view.is_none();
        if self.changes.begin_segment(is_told) != Change::Nothing {
            self.meter.forget_pictures();
        }
        self.open = Some(OpenSegment::new(next, cut.discontinuity, packets));
    }

    /// Puts a full segment into the window. One without frames is none.
    fn complete(&mut self, open: OpenSegment, end_us: i64, settles: bool) -> Result<(), PackError> {
        if open.is_empty() {
            return Ok(());
        }
        let name = format!("{}-{}.ts", self.session, self.next_sequence);
        // The next one is about as large; a little more, so that it need not grow.
        self.reserve_bytes = open.packets.len() + open.packets.len() / 8;
        let lock = self.keyring.as_mut().map(|keyring| keyring.lock(self.next_sequence)).transpose()?;
        let start_us = open.start_us;
        let mut segment = open.complete(self.next_sequence, name, end_us, lock)?;
        segment.date_us = self.wall.date(start_us, segment.duration_us);
        self.next_sequence += 1;
        self.meter.add(segment.bytes, segment.duration_us, segment.pictures, self.window.target_duration_s());
        // Sound that waits for pictures says nothing on how long segments with them are.
        let awaits_pictures = segment.pictures == 0 && self.carried.first(MediaKind::Video).is_some();
        let is_patient = awaits_pictures && self.next_sequence < PATIENCE_SEGMENTS;
        self.window.push(segment, settles && !is_patient);
        Ok(())
    }

    fn renew_view(&mut self) -> bool {
        if let Some(first_us) = self.window.listed().find_map(|segment| segment.date_us) {
            self.cues.forget_before(first_us);
        }
        let view = HlsView::new(&self.window, &self.carried, &self.meter, &self.cues.date_ranges(), self.ended);
        let changed = view.is_some();
        self.view = view.map(Arc::new).or(self.view.take());
        changed
    }

    fn limits(&self) -> Limits {
        let target_us = micros(self.config.segment_target);
        // Rounded to the nearest second, a segment must not exceed the target duration (RFC 8216 §4.3.3.1).
        let settled_us = self.window.target_duration_s().map(|seconds| micros(Duration::from_secs(seconds)) + 500_000);
        let first_us = micros(self.config.first_segment_max).max(target_us + target_us / 2);
        // Before the first view nobody has seen the tracks without what came beside them.
        let change = self.changes.change();
        let change = if change == Change::Beside && self.view.is_none() { Change::Nothing } else { change };
        Limits { change, target_us, duration_us: settled_us.unwrap_or(first_us), bytes: self.config.max_segment_bytes }
    }
}

/// The tracks of a stream that its segments carry: of pictures and sounds the first one that MPEG-TS has a form for, and all data.
fn carried_tracks(tracks: &TrackSet) -> TrackSet {
    let is_carried = |track: &Track| TsMuxer::supports(track).is_ok();
    let is_first = |track: &&Track| {
        let of_kind = |other: &&Track| other.kind() == track.kind() && is_carried(other);
        tracks.tracks.iter().find(of_kind) == Some(track)
    };
    let is_wanted = |track: &&Track| if track.kind() == MediaKind::Data { is_carried(track) } else { is_first(track) };
    TrackSet { revision: tracks.revision, tracks: tracks.tracks.iter().filter(is_wanted).cloned().collect() }
}

fn micros_since_1970(now: Duration) -> i64 {
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

/// Whole microseconds, a day at most: sums of such times cannot overflow.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.min(LONGEST_TIME).as_micros()).unwrap_or(i64::MAX)
}

/// The most that a configured time counts for.
const LONGEST_TIME: Duration = Duration::from_secs(86_400);
