//! DASH (ISO/IEC 23009-1): a static manifest, a period for each section.

use std::fmt::Write;

use arcly_bus::Track;
use arcly_codec::MediaKind;

use super::{Vod, cut::Cut, section::Section};
use crate::{
    dash::{picture, sound},
    time::rescale,
};

/// §5.3.1.2. Of a recording that still grows, it has what is there.
pub(super) fn manifest(vod: &Vod) -> String {
    let lasts_us = vod.duration_us();
    let has_dolby_vision = vod.tracks().iter().any(|track| track.dolby_vision.is_some());
    let namespace = if has_dolby_vision { picture::SCTE214 } else { "" };
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"{namespace} profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" type=\"static\" \
         minBufferTime=\"PT4S\" mediaPresentationDuration=\"{}\">\n",
        period_time(lasts_us)
    );
    // What is missing between sections is passed over.
    let mut start_us = 0_i64;
    for (index, section) in vod.sections.iter().enumerate().filter(|(_, section)| section.duration_us() > 0) {
        let (start, lasts) = (period_time(start_us), period_time(section.duration_us()));
        let _ = writeln!(out, "  <Period id=\"{index}\" start=\"{start}\" duration=\"{lasts}\">");
        let number = vod.number(section);
        // What has no name in `codecs` is for nobody, and so it stands back behind what has one (§5.3.7.2).
        let is_named = |track: &Track| !track.rfc6381().is_empty();
        let there = || section.tracks.iter().zip(&section.cuts).filter(|(_, cuts)| !cuts.is_empty());
        let has_named = there().any(|(track, _)| is_named(track));
        for (track, cuts) in there().filter(|(track, _)| is_named(track) || !has_named) {
            put_track(&mut out, section, track, cuts, number);
        }
        out.push_str("  </Period>\n");
        start_us = start_us.saturating_add(section.duration_us());
    }
    out.push_str("</MPD>\n");
    out
}

/// `xs:duration` (XML Schema 2 §3.2.6).
fn period_time(us: i64) -> String {
    let us = us.max(0);
    format!("PT{}.{:06}S", us / 1_000_000, us % 1_000_000)
}

/// §5.3.3, §5.3.5: an adaptation set of one representation.
fn put_track(out: &mut String, section: &Section, track: &Track, cuts: &[Cut], number: u64) {
    let kind = if track.kind() == MediaKind::Video { "video" } else { "audio" };
    let language = track.language.map_or(String::new(), |code| format!(" lang=\"{}\"", code.as_str()));
    let _ = writeln!(
        out,
        "    <AdaptationSet contentType=\"{kind}\" mimeType=\"{kind}/mp4\"{language} segmentAlignment=\"true\" startWithSAP=\"1\">"
    );
    picture::colour(out, track);
    let id = track.id.0;
    let _ = write!(
        out,
        "      <Representation id=\"{id}\" bandwidth=\"{}\" codecs=\"{}\"",
        bandwidth(track, cuts),
        track.rfc6381()
    );
    picture::supplemental(out, track);
    if let Some(info) = track.config.video() {
        let _ = write!(out, " width=\"{}\" height=\"{}\"", info.width, info.height);
        if let Some((numerator, denominator)) = info.frame_rate {
            let _ = write!(out, " frameRate=\"{numerator}/{denominator}\"");
        }
    }
    let _ = writeln!(out, ">");
    sound::channels(out, track);
    let clock_hz = track.clock_rate_hz;
    let offset = rescale(section.begin_us(), 1_000_000, clock_hz);
    let _ = writeln!(
        out,
        "        <SegmentTemplate timescale=\"{clock_hz}\" presentationTimeOffset=\"{offset}\" \
         initialization=\"init-{number}-{id}.mp4\" media=\"{id}-$Time$.m4s\">"
    );
    put_timeline(out, cuts);
    out.push_str("        </SegmentTemplate>\n      </Representation>\n    </AdaptationSet>\n");
}

/// §5.3.9.6.
fn put_timeline(out: &mut String, cuts: &[Cut]) {
    out.push_str("          <SegmentTimeline>\n");
    for cut in cuts.iter().filter(|cut| !cut.is_gap()) {
        let (begin, lasts) = (cut.begin_pts, cut.end_pts.saturating_sub(cut.begin_pts));
        let _ = writeln!(out, "            <S t=\"{begin}\" d=\"{lasts}\"/>");
    }
    out.push_str("          </SegmentTimeline>\n");
}

/// The most bits a second of a segment.
fn bandwidth(track: &Track, cuts: &[Cut]) -> u64 {
    let rate = |cut: &Cut| {
        let ticks = u128::try_from(cut.end_pts.saturating_sub(cut.begin_pts)).unwrap_or(1).max(1);
        u64::try_from(u128::from(cut.bytes) * 8 * u128::from(track.clock_rate_hz) / ticks).unwrap_or(u64::MAX)
    };
    cuts.iter().map(rate).max().unwrap_or(1).max(1)
}
