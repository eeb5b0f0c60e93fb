//! The media playlist of a CMAF track, with parts (RFC 8216bis §4.4.3, §4.4.4, §4.4.5, Appendix B.1).

use std::{fmt::Write, sync::Arc};

use crate::{
    cmaf::{Init, Part, Report, Segment, TrackView},
    date::iso_8601,
    hls::key::{Lock, NO_KEY},
};

/// `EXT-X-VERSION`: `EXT-X-SKIP` is of 9 (RFC 8216bis §8).
const VERSION: u32 = 9;

/// Target durations after which a segment may be left out of a delta update: the least (RFC 8216bis §4.4.3.8).
const SKIP_TARGETS: u64 = 6;

/// Target durations from the end of the playlist within which parts are listed (RFC 8216bis §6.2.2: parts may go when they are more
/// than three target durations from the end).
const PARTS_TARGETS: i64 = 3;

/// Segments of the front that a player who has read the playlist before need not be told again.
pub(crate) fn skippable(view: &TrackView) -> usize {
    let boundary_us =
        i64::try_from(view.target_duration_s() * SKIP_TARGETS).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let mut behind_us = view.open.as_ref().map_or(0, |open| open.parts.iter().map(|part| part.duration_us).sum());
    let within = view.listed().iter().rev().take_while(|segment| {
        // Skipped is what *ends* further from the end of the playlist than the boundary.
        let is_within = behind_us < boundary_us;
        behind_us += segment.duration_us;
        is_within
    });
    view.listed().len() - within.count()
}

/// The text of the playlist, without its first `skipped` segments.
///
/// `EXT-X-DISCONTINUITY-SEQUENCE` is always there, since a tag may not appear later (RFC 8216bis §6.2.1).
pub(crate) fn playlist(view: &TrackView, skipped: usize) -> String {
    let mut writer = Writer::new(view);
    writer.head();
    if skipped > 0 {
        let _ = writeln!(writer.text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
    }
    let behind_us: i64 = view.open.iter().flat_map(|open| &open.parts).map(|part| part.duration_us).sum();
    let mut left_us = behind_us + view.listed().iter().skip(skipped).map(|segment| segment.duration_us).sum::<i64>();
    if let Some(before) = skipped.checked_sub(1).and_then(|last| view.listed().get(last)) {
        // The player knows them: what it has not been told is only what differs.
        writer.epoch = before.epoch;
        writer.init = Some(before.init.clone());
    }
    for segment in view.listed().iter().skip(skipped) {
        writer.segment(segment, left_us);
        left_us -= segment.duration_us;
    }
    writer.tail();
    writer.text
}

struct Writer<'a> {
    view: &'a TrackView,
    text: String,
    parts_us: i64,
    /// Cues in front of this are told of.
    cues_told_us: i64,
    /// Of the segment before.
    epoch: u64,
    init: Option<Arc<Init>>,
    lock: Option<Lock>,
}

impl<'a> Writer<'a> {
    fn new(view: &'a TrackView) -> Self {
        let parts_us =
            i64::try_from(view.target_duration_s()).unwrap_or(i64::MAX).saturating_mul(1_000_000 * PARTS_TARGETS);
        let text = String::with_capacity(512 + 160 * view.listed().len() + 100 * 64);
        Self { view, text, parts_us, cues_told_us: i64::MIN, epoch: first_epoch(view), init: None, lock: None }
    }

    fn head(&mut self) {
        let (view, target_s) = (self.view, self.view.target_duration_s());
        let first = view.listed().first().map_or(view.next_sequence(), |segment| segment.sequence);
        let _ = write!(self.text, "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{target_s}\n");
        self.server_control();
        let _ =
            write!(self.text, "#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n", first_epoch(view));
        if view.told.is_event {
            self.text.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n");
        }
        if view.listed().iter().all(|segment| segment.independent) {
            self.text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
    }

    /// §4.4.3.7, §4.4.3.8. Delta updates are not worth it where all is within the boundary: then nothing is ever skipped.
    fn server_control(&mut self) {
        let skip_s = self.view.target_duration_s() * SKIP_TARGETS;
        let _ = write!(self.text, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={skip_s}.0");
        let Some(target_us) = self.view.part_target_us() else {
            self.text.push('\n');
            return;
        };
        let _ = writeln!(
            self.text,
            ",PART-HOLD-BACK={}\n#EXT-X-PART-INF:PART-TARGET={}",
            Seconds(3 * target_us),
            Seconds(target_us)
        );
    }

    fn segment(&mut self, segment: &Segment, left_us: i64) {
        let ends_us = self.view.program_us(segment.epoch, segment.start_us).saturating_add(segment.duration_us);
        self.date_ranges(ends_us);
        self.place(segment.epoch, &segment.init, segment.start_us);
        self.key(segment.lock.as_ref());
        if left_us <= self.parts_us {
            self.parts(&segment.parts());
        }
        let _ = write!(self.text, "#EXTINF:{},\n{}\n", Seconds(segment.duration_us), segment.name);
    }

    /// What stands in front of a segment: discontinuities, what its decoder needs, when it was.
    fn place(&mut self, epoch: u64, init: &Arc<Init>, start_us: i64) {
        // A break within which this track had nothing counts for it too: sequence numbers of tracks must agree.
        (self.epoch..epoch).for_each(|_| self.text.push_str("#EXT-X-DISCONTINUITY\n"));
        if self.init.as_ref().is_none_or(|known| known.name != init.name) {
            // A header is in the clear: nobody need know its IV, as §4.4.4.5 would have it under a key.
            if self.lock.take().is_some() {
                self.text.push_str(NO_KEY);
            }
            let _ = writeln!(self.text, "#EXT-X-MAP:URI=\"{}\"", init.name);
        }
        let program = iso_8601(self.view.program_us(epoch, start_us));
        let _ = writeln!(self.text, "#EXT-X-PROGRAM-DATE-TIME:{program}");
        (self.epoch, self.init) = (epoch, Some(init.clone()));
    }

    /// What a segment and its parts are encrypted with, where that is not what was said before.
    fn key(&mut self, lock: Option<&Lock>) {
        let Some(lock) = lock else { return };
        if self.lock.as_ref().is_none_or(|known| !lock.is_told_by(known)) {
            lock.write(&mut self.text);
            self.lock = Some(lock.clone());
        }
    }

    fn parts(&mut self, parts: &[Arc<Part>]) {
        if self.view.part_target_us().is_none() {
            return;
        }
        for part in parts {
            let _ = write!(self.text, "#EXT-X-PART:DURATION={},URI=\"{}\"", Seconds(part.duration_us), part.name);
            self.text.push_str(if part.independent { ",INDEPENDENT=YES\n" } else { "\n" });
        }
    }

    /// The cues that begin before `ends_us`, the end of a segment. In front of the first one stand those of what is left out: of the
    /// segments that were skipped, since the server does not skip cues (`CAN-SKIP-DATERANGES`, §4.4.5.2), and of breaks that began before
    /// the window.
    fn date_ranges(&mut self, ends_us: i64) {
        let told_us = self.cues_told_us;
        self.cues_told_us = told_us.max(ends_us);
        let is_within = |at_us: i64| at_us >= told_us && at_us < ends_us;
        for range in self.view.told.date_ranges.iter().filter(|range| is_within(range.start_us)) {
            self.text.push_str(&range.text);
            self.text.push('\n');
        }
    }

    /// The segment in the making, and what comes behind it.
    fn tail(&mut self) {
        let view = self.view;
        // Those announced ahead too: players take one that is not there any more as gone.
        self.date_ranges(i64::MAX);
        if let Some(open) = view.open.as_ref().filter(|_| view.part_target_us().is_some()) {
            self.place(open.epoch, &open.init, open.start_us);
            self.key(open.lock.as_ref());
            self.parts(&open.parts);
        }
        if view.ended() {
            self.text.push_str("#EXT-X-ENDLIST\n");
            return;
        }
        if view.part_target_us().is_none() {
            return;
        }
        let _ = writeln!(self.text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}\"", view.next_part_name());
        view.told.reports.iter().for_each(|report| write_report(&mut self.text, "", report));
    }
}

/// `LAST-MSN` is that of the last segment of which something is listed (§4.4.5.4). `base` is in front of the playlist's name.
pub(crate) fn write_report(text: &mut String, base: &str, report: &Report) {
    let _ = write!(text, "#EXT-X-RENDITION-REPORT:URI=\"{base}{}.m3u8\",LAST-MSN=", report.name);
    let _ = match (report.parts, report.next_sequence) {
        (0, next) => writeln!(text, "{},LAST-PART={}", next.saturating_sub(1), report.last_parts.saturating_sub(1)),
        (parts, next) => writeln!(text, "{next},LAST-PART={}", parts - 1),
    };
}

/// The number of breaks in front of the playlist.
fn first_epoch(view: &TrackView) -> u64 {
    let of_open = || view.open.as_ref().map_or(view.told.epoch, |open| open.epoch);
    view.listed().first().map_or_else(of_open, |segment| segment.epoch)
}

/// Microseconds as a decimal number of seconds.
pub(crate) struct Seconds(pub(crate) i64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}
