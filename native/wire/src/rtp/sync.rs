//! One timeline for the tracks of a session, whose clocks begin anywhere.
//!
//! A track begins where its first packet arrives. Sender reports say which of its times belongs to which moment of the sender's
//! wall clock; as soon as two tracks have such, one is moved towards the other: at once as long as nothing of it has been given
//! out, slowly for what nobody sees, with a mark for what everybody would. Sound is never moved for pictures. A report that
//! cannot be true is not used, and without any the times of arrival hold.

use std::time::Instant;

use arcly_codec::MediaKind;

/// Further apart no sender's buffers are: a report that says so lies (clocks that were never set, each track its own).
const MAX_CORRECTION_NS: i128 = 10_000_000_000;
/// Tracks that are apart by less than this are as the sender wants them: what reports say shakes by so much.
const MIN_CORRECTION_NS: i128 = 5_000_000;
/// A correction up to this is made slowly; 200 ms, at the rate below over four seconds.
const MAX_SLEW_NS: i128 = 200_000_000;
/// One twentieth of the time that passes: a movement that nobody sees.
const SLEW_DIVISOR: i64 = 20;
/// Between two reports of a track, wall clock and timestamps may differ by this and a tenth of the time between them.
const MAX_REPORT_ERROR_NS: i128 = 200_000_000;
/// Timestamps that step by so much more or less than the time of arrival are those of a clock that was set.
const MAX_STEP_NS: i128 = 10_000_000_000;

const NS_PER_SECOND: i128 = 1_000_000_000;

/// A track's place in a [`Sync`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SyncTrack(usize);

/// Where an access unit is on the common timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Ticks of the track's RTP clock since the session began. [`Format::ticks_to_bus`](super::Format::ticks_to_bus) makes a bus
    /// time of it.
    pub ticks: i64,
    /// The timeline of this track breaks here.
    pub is_discontinuity: bool,
}

/// The common timeline of a session's tracks.
#[derive(Debug, Default)]
pub struct Sync {
    origin: Option<Instant>,
    tracks: Vec<Track>,
    refused_reports: u64,
}

#[derive(Debug)]
struct Track {
    rate_hz: i64,
    is_audio: bool,
    /// What is added to a timestamp.
    offset: Option<i64>,
    /// Where that should be.
    target: Option<i64>,
    /// Timestamp and arrival of the last access unit.
    last: Option<(i64, Instant)>,
    report: Option<Report>,
    /// A timestamp of the moment that all tracks have in common (`RTP-Info`).
    common: Option<i64>,
}

/// A moment of the sender's wall clock, in nanoseconds since 1900, and the timestamp of it.
#[derive(Debug, Clone, Copy)]
struct Report {
    wall_ns: i128,
    timestamp: i64,
    /// The report in front of it does not say something else, nor does another track since.
    is_trusted: bool,
}

impl Track {
    fn ns(&self, ticks: i64) -> i128 {
        i128::from(ticks) * NS_PER_SECOND / i128::from(self.rate_hz)
    }

    fn ticks(&self, ns: i128) -> i64 {
        i64::try_from(ns * i128::from(self.rate_hz) / NS_PER_SECOND).unwrap_or_default()
    }

    fn trusted(&self) -> Option<Report> {
        self.report.filter(|report| report.is_trusted)
    }

    /// The offset with which a moment that is `shared_ns` on the timeline, and `timestamp` here, is there.
    fn offset_to(&self, shared_ns: i128, timestamp: i64) -> i64 {
        self.ticks(shared_ns).saturating_sub(timestamp)
    }

    /// The offset with which this track goes with another one that has its place.
    fn offset_beside(&self, other: &Track) -> Option<i64> {
        let offset = other.offset?;
        let place = |timestamp: i64| other.ns(timestamp.saturating_add(offset));
        if let (Some(own), Some(report)) = (self.trusted(), other.trusted()) {
            let shared_ns = place(report.timestamp) + own.wall_ns - report.wall_ns;
            return Some(self.offset_to(shared_ns, own.timestamp));
        }
        Some(self.offset_to(place(other.common?), self.common?))
    }

    /// Whether a clock was set between the last access unit and this one.
    fn is_step(&self, timestamp: i64, now: Instant) -> bool {
        self.last.is_some_and(|(last, came)| {
            let waited_ns = now.saturating_duration_since(came).as_nanos() as i128;
            (self.ns(timestamp.saturating_sub(last)) - waited_ns).abs() > MAX_STEP_NS
        })
    }

    /// Moves the offset towards its target. Returns whether it jumps.
    fn move_to_target(&mut self, timestamp: i64) -> bool {
        let (Some(offset), Some(target)) = (self.offset, self.target) else { return false };
        let (last, _) = self.last.unwrap_or((timestamp, Instant::now()));
        let correction = target.saturating_sub(offset);
        if self.ns(correction).abs() > MAX_SLEW_NS {
            self.offset = Some(target);
            return true;
        }
        let most = timestamp.saturating_sub(last).saturating_abs() / SLEW_DIVISOR;
        self.offset = Some(offset.saturating_add(correction.clamp(-most, most)));
        false
    }
}

impl Sync {
    /// A session without tracks.
    pub fn new() -> Self {
        Self::default()
    }

    /// The timeline begins now, and not with the first access unit.
    pub fn begin(&mut self, now: Instant) {
        self.origin.get_or_insert(now);
    }

    /// Adds a track whose timestamps have this rate.
    pub fn add_track(&mut self, kind: MediaKind, clock_rate_hz: u32) -> SyncTrack {
        self.tracks.push(Track {
            rate_hz: i64::from(clock_rate_hz.max(1)),
            is_audio: kind == MediaKind::Audio,
            offset: None,
            target: None,
            last: None,
            report: None,
            common: None,
        });
        SyncTrack(self.tracks.len() - 1)
    }

    /// A sender report: `ntp` as [`SenderInfo`](super::rtcp::SenderInfo) has it, and the unrolled timestamp of its moment, as
    /// [`Receiver::sender_report`](super::Receiver::sender_report) gives it.
    pub fn sender_report(&mut self, track: SyncTrack, ntp: u64, timestamp: i64) {
        // 0 is a sender without a clock (RFC 3550 §6.4.1).
        let Some(track) = self.tracks.get_mut(track.0).filter(|_| ntp != 0) else { return };
        let wall_ns = i128::from(ntp >> 32) * NS_PER_SECOND + ((i128::from(ntp & 0xffff_ffff) * NS_PER_SECOND) >> 32);
        let agrees = |last: Report| {
            let (wall, own) = (wall_ns - last.wall_ns, track.ns(timestamp.saturating_sub(last.timestamp)));
            (wall - own).abs() <= MAX_REPORT_ERROR_NS + own.abs() / 10
        };
        let is_trusted = track.report.is_none_or(agrees);
        track.report = Some(Report { wall_ns, timestamp, is_trusted });
        if !is_trusted {
            self.refused_reports += 1;
            self.doubt_reports();
        }
        self.set_targets();
    }

    /// A wall clock was set, as it seems: what the tracks have told is of the old one, and nothing is made of it until they tell anew.
    fn doubt_reports(&mut self) {
        self.tracks.iter_mut().filter_map(|track| track.report.as_mut()).for_each(|report| report.is_trusted = false);
    }

    /// Says which unrolled timestamp of a track is the moment that all tracks have in common: `RTP-Info` (RFC 7826 §18.45). It
    /// holds until sender reports say more.
    pub fn common_moment(&mut self, track: SyncTrack, timestamp: i64) {
        if let Some(track) = self.tracks.get_mut(track.0) {
            track.common = Some(timestamp);
        }
        self.set_targets();
    }

    /// The source of a track is another one now, or has begun anew: nothing that was said of its clock holds.
    pub fn restart(&mut self, track: SyncTrack) {
        if let Some(track) = self.tracks.get_mut(track.0) {
            (track.offset, track.target, track.last, track.report, track.common) = (None, None, None, None, None);
        }
    }

    /// As [`Self::restart`], where the timestamps have another rate from now on.
    pub fn restart_at(&mut self, track: SyncTrack, clock_rate_hz: u32) {
        self.restart(track);
        if let Some(track) = self.tracks.get_mut(track.0) {
            track.rate_hz = i64::from(clock_rate_hz.max(1));
        }
    }

    /// Places an access unit with an unrolled timestamp that came at `now`.
    pub fn place(&mut self, track: SyncTrack, timestamp: i64, now: Instant) -> Placed {
        let origin = *self.origin.get_or_insert(now);
        let beside = self.offset_beside_another(track, timestamp, now);
        let Some(track) = self.tracks.get_mut(track.0) else {
            return Placed { ticks: timestamp, is_discontinuity: false };
        };
        let arrival = track.offset_to(now.saturating_duration_since(origin).as_nanos() as i128, timestamp);
        let is_step = track.is_step(timestamp, now);
        let is_discontinuity = if track.offset.is_none() || is_step {
            if is_step {
                (track.report, track.common) = (None, None);
            }
            track.offset = Some(beside.filter(|_| !is_step).unwrap_or(arrival));
            track.target = None;
            is_step
        } else {
            track.move_to_target(timestamp)
        };
        track.last = Some((timestamp, now));
        let ticks = timestamp.saturating_add(track.offset.unwrap_or_default());
        if is_discontinuity {
            self.set_targets();
        }
        Placed { ticks, is_discontinuity }
    }

    /// Reports that could not be true.
    pub fn refused_reports(&self) -> u64 {
        self.refused_reports
    }

    /// Where a track that has no place yet belongs beside those that have; `None` when nothing true says it.
    fn offset_beside_another(&self, track: SyncTrack, timestamp: i64, now: Instant) -> Option<i64> {
        let own = self.tracks.get(track.0).filter(|own| own.offset.is_none())?;
        let mut others: Vec<&Track> = self.tracks.iter().filter(|other| other.offset.is_some()).collect();
        others.sort_by_key(|other| !other.is_audio);
        let offset = others.into_iter().find_map(|other| own.offset_beside(other))?;
        // It must be near to now: what a report says of another clock (`rtptime=0` of cameras that do not know) is hours away, and no later
        // report may move it so far.
        let now_ns = now.saturating_duration_since(self.origin?).as_nanos() as i128;
        ((own.ns(timestamp.saturating_add(offset)) - now_ns).abs() <= MAX_CORRECTION_NS).then_some(offset)
    }

    /// Where each track should be beside the one that stays: sound before pictures.
    fn set_targets(&mut self) {
        let is_known = |track: &Track| track.offset.is_some() && track.trusted().is_some();
        let reference = self.tracks.iter().position(|track| track.is_audio && is_known(track));
        let Some(reference) = reference.or(self.tracks.iter().position(is_known)) else { return };
        for index in 0..self.tracks.len() {
            let (Some(track), Some(other)) = (self.tracks.get(index), self.tracks.get(reference)) else { continue };
            let target = if index == reference { None } else { track.trusted().and(track.offset_beside(other)) };
            let correction = target.zip(track.offset).map(|(target, offset)| track.ns(target.saturating_sub(offset)));
            let is_plausible = correction.is_none_or(|correction| correction.abs() <= MAX_CORRECTION_NS);
            self.refused_reports += u64::from(!is_plausible);
            let is_needed = correction.is_some_and(|correction| correction.abs() > MIN_CORRECTION_NS);
            if let Some(track) = self.tracks.get_mut(index) {
                track.target = target.filter(|_| is_plausible && is_needed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The sender's wall clock when the session begins, as NTP has it.
    const WALL: u64 = 3_900_000_000 << 32;
    const VIDEO_START: i64 = 1_000_000;
    const AUDIO_START: i64 = 77;

    fn ntp(since_start: Duration) -> u64 {
        WALL + ((since_start.as_nanos() << 32) / 1_000_000_000) as u64
    }

    struct Session {
        sync: Sync,
        video: SyncTrack,
        audio: SyncTrack,
        start: Instant,
    }

    impl Session {
        fn new() -> Self {
            let mut sync = Sync::new();
            let video = sync.add_track(MediaKind::Video, 90_000);
            let audio = sync.add_track(MediaKind::Audio, 48_000);
            Self { sync, video, audio, start: Instant::now() }
        }

        /// Milliseconds on the timeline of the picture that is taken at `at_ms` and arrives `late_ms` later.
        fn video(&mut self, at_ms: i64, late_ms: i64) -> (i64, bool) {
            let now = self.start + Duration::from_millis((at_ms + late_ms) as u64);
            let placed = self.sync.place(self.video, VIDEO_START + at_ms * 90, now);
            (placed.ticks / 90, placed.is_discontinuity)
        }

        fn audio(&mut self, at_ms: i64, late_ms: i64) -> (i64, bool) {
            let now = self.start + Duration::from_millis((at_ms + late_ms) as u64);
            let placed = self.sync.place(self.audio, AUDIO_START + at_ms * 48, now);
            (placed.ticks / 48, placed.is_discontinuity)
        }

        fn video_report(&mut self, at_ms: i64) {
            self.sync.sender_report(self.video, ntp(Duration::from_millis(at_ms as u64)), VIDEO_START + at_ms * 90);
        }

        fn audio_report(&mut self, at_ms: i64) {
            self.sync.sender_report(self.audio, ntp(Duration::from_millis(at_ms as u64)), AUDIO_START + at_ms * 48);
        }
    }

    #[test]
    fn without_reports_the_arrival_holds_and_stays() {
        let mut session = Session::new();
        assert_eq!((session.video(0, 50), session.audio(0, 50)), ((0, false), (0, false)));
        for at_ms in (100..60_000).step_by(100) {
            assert_eq!(session.video(at_ms, at_ms % 70), (at_ms, false));
            assert_eq!(session.audio(at_ms, 500), (at_ms, false));
        }
    }

    /// The report of both came before the second track did.
    #[test]
    fn reports_in_time_place_a_track_at_once() {
        let mut session = Session::new();
        session.video(0, 300);
        session.video_report(0);
        session.audio_report(0);
        assert_eq!(session.audio(20, 20), (20, false), "300 ms too late by its arrival");
    }

    /// A picture that arrives 150 ms after its sound is moved, by no more than a twentieth, and never backwards.
    #[test]
    fn small_corrections_are_made_slowly() {
        let mut session = Session::new();
        session.audio(0, 0);
        session.video(0, 150);
        session.audio_report(0);
        session.video_report(0);
        let mut last = 150;
        for at_ms in (40..4_000).step_by(40) {
            let (placed, is_discontinuity) = session.video(at_ms, 150);
            assert!(placed - last >= 37 && placed >= at_ms && !is_discontinuity, "{at_ms}: {placed} after {last}");
            last = placed;
            assert_eq!(session.audio(at_ms, 0), (at_ms, false), "sound stays");
        }
        assert_eq!(session.video(4_000, 150), (4_000, false));
    }

    #[test]
    fn large_corrections_are_made_once_and_marked() {
        let mut session = Session::new();
        session.video(0, 0);
        session.audio(0, 900);
        session.video_report(1_000);
        session.audio_report(1_000);
        assert_eq!(session.video(2_000, 0), (2_900, true));
        assert_eq!(session.video(2_040, 0), (2_940, false));
        assert_eq!(session.audio(2_000, 900), (2_900, false));
    }

    /// The wall clocks of cameras: never set, of each track its own, and set while it runs.
    #[test]
    fn reports_that_lie_change_nothing() {
        let mut session = Session::new();
        session.video(0, 0);
        session.audio(0, 0);
        session.sync.sender_report(session.video, 0, VIDEO_START);
        session.sync.sender_report(session.video, 5 << 32, VIDEO_START);
        session.audio_report(0);
        assert_eq!((session.video(40, 0), session.sync.refused_reports()), ((40, false), 1));
        let mut session = Session::new();
        session.video(0, 0);
        session.audio(0, 0);
        session.video_report(0);
        session.audio_report(0);
        // Set by an hour: at first of one track only, then of both.
        let hour = 3_600_u64 << 32;
        for at_ms in [5_000, 10_000] {
            let wall = ntp(Duration::from_millis(at_ms)) + hour;
            session.sync.sender_report(session.video, wall, VIDEO_START + at_ms as i64 * 90);
            assert_eq!(session.video(at_ms as i64, 0), (at_ms as i64, false));
            session.sync.sender_report(session.audio, wall, AUDIO_START + at_ms as i64 * 48);
            assert_eq!(session.video(at_ms as i64 + 40, 0), (at_ms as i64 + 40, false));
        }
        assert!(session.sync.refused_reports() >= 2);
    }

    /// A bug it had: pictures jumped by a small step of the sender's clock, and back when the reports of sound told of it too.
    #[test]
    fn a_step_of_the_wall_clock_that_one_track_tells_first_moves_nothing() {
        for (step_ms, audio_first_ms) in [(2_000, 2_000), (-2_000, 2_000), (2_000, 4_500), (1_000, 0)] {
            let mut session = Session::new();
            let wall =
                |at_ms: i64| ntp(Duration::from_millis((at_ms + if at_ms < 6_200 { 0 } else { step_ms }) as u64));
            for at_ms in (0..30_000).step_by(20) {
                if at_ms % 1_000 == 0 {
                    session.sync.sender_report(session.video, wall(at_ms), VIDEO_START + at_ms * 90);
                }
                if at_ms % 5_000 == audio_first_ms {
                    session.sync.sender_report(session.audio, wall(at_ms), AUDIO_START + at_ms * 48);
                }
                assert_eq!(session.video(at_ms, 0), (at_ms, false), "{step_ms} {audio_first_ms}");
                assert_eq!(session.audio(at_ms, 0), (at_ms, false), "{step_ms} {audio_first_ms}");
            }
        }
    }

    /// A camera that sets its RTP clock anew, and one that is another camera.
    #[test]
    fn a_clock_that_was_set_begins_where_it_arrives() {
        let mut session = Session::new();
        session.video(0, 0);
        let now = session.start + Duration::from_secs(1);
        let placed = session.sync.place(session.video, VIDEO_START + 5_000_000_000, now);
        assert_eq!(placed, Placed { ticks: 90_000, is_discontinuity: true });
        session.sync.restart(session.video);
        let placed = session.sync.place(session.video, 5, now + Duration::from_secs(1));
        assert_eq!(placed.ticks, 180_000);
    }

    #[test]
    fn a_common_moment_serves_until_reports_come() {
        let mut session = Session::new();
        session.sync.common_moment(session.video, VIDEO_START);
        session.sync.common_moment(session.audio, AUDIO_START);
        session.audio(0, 0);
        assert_eq!(session.video(40, 400), (40, false));
    }

    /// Found by reading: a track whose `rtptime`, or whose first report, was of another clock was hours away from the others, for good.
    #[test]
    fn what_is_said_of_another_clock_places_no_track() {
        let elsewhere = AUDIO_START - 3_600 * 48_000;
        let mut session = Session::new();
        session.sync.common_moment(session.video, VIDEO_START);
        session.sync.common_moment(session.audio, elsewhere);
        session.video(0, 0);
        assert_eq!(session.audio(0, 0), (0, false));
        let mut session = Session::new();
        session.video_report(0);
        session.sync.sender_report(session.audio, ntp(Duration::ZERO), elsewhere);
        session.video(0, 0);
        assert_eq!(session.audio(0, 40), (40, false));
        // True reports are heard as ever: sound is 40 ms late, pictures go to it.
        for at_ms in (1_000..3_000).step_by(1_000) {
            session.video_report(at_ms);
            session.audio_report(at_ms);
        }
        assert_eq!(session.video(4_000, 0), (4_040, false));
    }

    /// It was placed by its arrival: what was known of its clock was said long before its first frame.
    #[test]
    fn a_track_that_begins_late_is_placed_by_an_early_report() {
        let mut session = Session::new();
        session.video(0, 0);
        session.video_report(0);
        session.audio_report(0);
        assert_eq!(session.audio(60_000, 300), (60_000, false));
    }

    /// A file that is published ten times as fast as it plays, and one after a pause.
    #[test]
    fn the_pace_of_arrival_is_not_the_timeline() {
        let mut session = Session::new();
        for at_ms in (0..60_000).step_by(100) {
            assert_eq!(session.video(at_ms, -at_ms * 9 / 10), (at_ms, false));
        }
    }
}
