//! The MPD as a whole.

use std::fmt::Write;

use arcly_codec::MediaKind;

use super::{
    picture::SCTE214,
    set::{Moment, has, write_sets},
};
use crate::{
    cmaf::{CmafView, Epoch, TrackView},
    date::iso_8601,
    hls::Variant,
};

/// The MPD of a group of streams, the one with the time and the sound first. `location` is where to fetch the next one, `clock` where
/// the time can be had; both are URI references, percent-encoded by the caller.
pub fn mpd(variants: &[Variant<'_>], location: &str, clock: &str) -> String {
    let Some(view) = variants.first().map(|variant| variant.view) else { return String::new() };
    let mut text = String::with_capacity(4096);
    text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"");
    if variants.iter().any(|variant| variant.view.tracks.iter().any(|track| track.track.dolby_vision.is_some())) {
        text.push_str(SCTE214);
    }
    text.push_str(
        " profiles=\"urn:mpeg:dash:profile:isoff-live:2011,http://www.dashif.org/guidelines/low-latency-live-v5\"",
    );
    let origin_us = if view.ended { first_us(view) } else { view.start_us };
    write_times(&mut text, view, origin_us);
    if !view.ended {
        let _ = writeln!(text, "<Location>{location}</Location>");
        write_service(&mut text, view);
    }
    write_periods(&mut text, variants, origin_us);
    if !view.ended {
        let _ = writeln!(text, "<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"{clock}\"/>");
    }
    text.push_str("</MPD>\n");
    text
}

/// The rest of the attributes of `MPD` (§5.3.1.2).
fn write_times(text: &mut String, view: &CmafView, origin_us: i64) {
    let target_s = view.target_duration_s;
    if view.ended {
        let duration = IsoDuration(end_us(view) - origin_us);
        let _ = writeln!(
            text,
            " type=\"static\" mediaPresentationDuration=\"{duration}\" minBufferTime=\"PT{target_s}S\">"
        );
        return;
    }
    let _ = write!(
        text,
        " type=\"dynamic\" availabilityStartTime=\"{}\" publishTime=\"{}\" minimumUpdatePeriod=\"PT{target_s}S\" \
         minBufferTime=\"PT{target_s}S\" maxSegmentDuration=\"{}\"",
        iso_8601(origin_us),
        iso_8601(view.made_us),
        // Rounded, segments are at most that long.
        IsoDuration(i64::try_from(target_s).unwrap_or(0) * 1_000_000 + 500_000)
    );
    if !view.is_event {
        let depth_us = listed_us(view);
        let _ = write!(text, " timeShiftBufferDepth=\"{}\"", IsoDuration(depth_us));
    }
    let _ = writeln!(text, " suggestedPresentationDelay=\"{}\">", IsoDuration(delay_us(view)));
}

/// How far behind players should be (annex K).
fn write_service(text: &mut String, view: &CmafView) {
    let target_ms = delay_us(view) / 1_000;
    let _ = writeln!(
        text,
        "<ServiceDescription id=\"0\"><Latency target=\"{target_ms}\" min=\"{}\" max=\"{}\"/><PlaybackRate min=\"0.95\" \
         max=\"1.1\"/></ServiceDescription>",
        target_ms / 2,
        target_ms * 3
    );
}

/// With parts: three of them, and a segment, since a player hears of one that begins when it next fetches the MPD. Else three segments.
fn delay_us(view: &CmafView) -> i64 {
    let target_us = i64::try_from(view.target_duration_s).unwrap_or(0) * 1_000_000;
    let part_us = view.tracks.iter().filter_map(|track| track.part_target_us()).max();
    part_us.map_or(3 * target_us, |part_us| target_us + 3 * part_us)
}

/// A `Period` for each timeline (§5.3.2).
fn write_periods(text: &mut String, variants: &[Variant<'_>], origin_us: i64) {
    let Some(view) = variants.first().map(|variant| variant.view) else { return };
    let begun = view.epochs.iter().filter(|epoch| view.tracks.iter().any(|track| has(track, epoch)));
    // The first one always: an MPD without a Period is none.
    let told: Vec<&Epoch> =
        begun.enumerate().filter(|(index, it)| *index == 0 || is_told(view, it)).map(|(_, it)| it).collect();
    for (index, &epoch) in told.iter().enumerate() {
        let begins_us = epoch.start_us.saturating_add(epoch.wall_offset_us).max(origin_us);
        let _ = writeln!(text, "<Period id=\"{}\" start=\"{}\">", epoch.number, IsoDuration(begins_us - origin_us));
        let moment = Moment { epoch: *epoch, begins_us, is_newest: index + 1 == told.len() };
        write_sets(text, variants, &moment, MediaKind::Video);
        write_sets(text, variants, &moment, MediaKind::Audio);
        text.push_str("</Period>\n");
    }
}

/// Whether players are told of a Period: when all tracks have something in it, for what begins without pictures is played without them. A
/// track that has nothing where another has two whole segments is not waited for.
fn is_told(view: &CmafView, epoch: &Epoch) -> bool {
    let whole = |track: &TrackView| track.listed().iter().filter(|segment| segment.epoch == epoch.number).count();
    view.ended || view.tracks.iter().all(|track| has(track, epoch)) || view.tracks.iter().any(|track| whole(track) >= 2)
}

/// When the oldest listed segment begins, in microseconds since 1970.
fn first_us(view: &CmafView) -> i64 {
    let firsts = view.tracks.iter().filter_map(|track| {
        let first = track.listed().first()?;
        Some(track.program_us(first.epoch, first.start_us))
    });
    firsts.min().unwrap_or(view.start_us)
}

fn end_us(view: &CmafView) -> i64 {
    let ends = view.tracks.iter().filter_map(|track| {
        let last = track.listed().last()?;
        Some(track.program_us(last.epoch, last.start_us.saturating_add(last.duration_us)))
    });
    ends.max().unwrap_or(view.start_us)
}

/// What every track has listed.
fn listed_us(view: &CmafView) -> i64 {
    let listed = view.tracks.iter().map(|track| track.listed().iter().map(|segment| segment.duration_us).sum());
    listed.min().unwrap_or(0)
}

/// `xs:duration` of microseconds.
pub(super) struct IsoDuration(pub(super) i64);

impl std::fmt::Display for IsoDuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let us = self.0.max(0);
        write!(f, "PT{}.{:06}S", us / 1_000_000, us % 1_000_000)
    }
}
