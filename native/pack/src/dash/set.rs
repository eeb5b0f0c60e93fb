//! `AdaptationSet`, `Representation`, `SegmentTemplate` and `SegmentTimeline`.

use std::{fmt::Write, sync::Arc};

use arcly_bus::Language;
use arcly_codec::{Codec, DynamicRange, MediaKind};

use super::{picture, sound};
use crate::{
    cmaf::{Epoch, Init, OpenView, TrackView},
    group_clock::ONE_CLOCK_US,
    hls::Variant,
    time::rescale,
};

/// A Period.
pub(super) struct Moment {
    pub(super) epoch: Epoch,
    /// Microseconds from 1970 to its beginning.
    pub(super) begins_us: i64,
    /// Nothing is behind it.
    pub(super) is_newest: bool,
}

/// A track of one of the streams, and where its files are.
struct Source<'a> {
    base: &'a str,
    track: &'a Arc<TrackView>,
    has_id3: bool,
    has_scte35: bool,
}

/// Tracks among which a player may switch: pictures of one codec and role, or one sound (§5.3.3.1).
#[derive(PartialEq, Eq)]
struct Sameness {
    codec: Codec,
    language: Option<Language>,
    /// Several sounds of a language are not the same.
    sound: Option<u8>,
    /// Nor are pictures that a screen must be told of.
    range: Option<DynamicRange>,
    name: String,
}

impl Sameness {
    fn of(track: &TrackView) -> Self {
        let sound = (track.track.kind() == MediaKind::Audio).then_some(track.track.id.0);
        let (codec, range) = (track.track.config.codec(), track.track.dynamic_range());
        // What stands alone has another name than its codec.
        let name = track.track.rfc6381().split('.').next().unwrap_or_default().to_owned();
        Self { codec, language: track.track.language, sound, range, name }
    }
}

/// Cuts so near together are one.
const SAME_CUT_US: i64 = 10_000;

/// All sets of one kind.
pub(super) fn write_sets(text: &mut String, variants: &[Variant<'_>], moment: &Moment, kind: MediaKind) {
    let mut sets: Vec<(Sameness, Vec<Source<'_>>)> = Vec::new();
    for (index, variant) in variants.iter().enumerate() {
        // The sound of the first stream is that of all. What other streams had before a break of this one is not told.
        if index > 0 && (kind == MediaKind::Audio || !moment.is_newest) {
            continue;
        }
        for track in variant.view.tracks.iter().filter(|track| track.track.kind() == kind) {
            // Events are in the first track of a stream, whichever that is.
            let has_events = variant.view.tracks.first().is_some_and(|first| Arc::ptr_eq(first, track));
            let has_id3 = has_events && variant.view.has_id3;
            let has_scte35 = has_events && variant.view.has_scte35;
            let source = Source { base: variant.base, track, has_id3, has_scte35 };
            let sameness = Sameness::of(track);
            match sets.iter_mut().find(|(known, _)| *known == sameness) {
                Some((_, sources)) => sources.push(source),
                None => sets.push((sameness, vec![source])),
            }
        }
    }
    let first_id = if kind == MediaKind::Video { 0 } else { 100 };
    for (index, (sameness, sources)) in sets.iter().enumerate() {
        let mut inside = String::new();
        sources.iter().for_each(|source| write_representation(&mut inside, source, moment));
        if !inside.is_empty() {
            let is_aligned = are_aligned(sources, moment);
            write_set(text, first_id + index, sameness, sources, &inside, (kind, is_aligned));
        }
    }
}

/// Whether all are cut at the same moments, as far as they are listed (§5.3.3.2).
fn are_aligned(sources: &[Source<'_>], moment: &Moment) -> bool {
    let [_, _, ..] = sources else { return true };
    let cuts = |source| Timeline::of(source, moment).map(|timeline| timeline.cuts_us()).unwrap_or_default();
    let mut all = sources.iter().map(cuts).filter(|cuts| !cuts.is_empty());
    let first = all.next().unwrap_or_default();
    all.all(|cuts| {
        let from = first.first().max(cuts.first()).map_or(0, |us| us - SAME_CUT_US);
        let until = first.last().min(cuts.last()).map_or(0, |us| us + SAME_CUT_US);
        let common = |cuts: &[i64]| cuts.iter().copied().filter(|us| (from..=until).contains(us)).collect::<Vec<_>>();
        let (ours, theirs) = (common(&first), common(&cuts));
        ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(one, other)| (one - other).abs() <= SAME_CUT_US)
    })
}

fn write_set(
    text: &mut String,
    id: usize,
    sameness: &Sameness,
    sources: &[Source<'_>],
    inside: &str,
    (kind, is_aligned): (MediaKind, bool),
) {
    let content = if kind == MediaKind::Video { "video" } else { "audio" };
    let _ = write!(text, "<AdaptationSet id=\"{id}\" contentType=\"{content}\" mimeType=\"{content}/mp4\"");
    if let Some(language) = sameness.language {
        let _ = write!(text, " lang=\"{}\"", language.as_str());
    }
    let is_independent = sources.iter().all(|source| source.track.listed().iter().all(|segment| segment.independent));
    text.push_str(if is_aligned { " segmentAlignment=\"true\"" } else { "" });
    text.push_str(if is_independent { " startWithSAP=\"1\">\n" } else { ">\n" });
    if let Some(first) = sources.first() {
        picture::colour(text, &first.track.track);
    }
    let has = |is: fn(&Source<'_>) -> bool| sources.iter().any(is);
    for (is_there, scheme) in [
        (has(|source| source.has_id3), "https://aomedia.org/emsg/ID3"),
        (has(|source| source.has_scte35), "urn:scte:scte35:2013:bin"),
    ] {
        if is_there {
            let _ = writeln!(text, "<InbandEventStream schemeIdUri=\"{scheme}\" value=\"\"/>");
        }
    }
    text.push_str(inside);
    text.push_str("</AdaptationSet>\n");
}

/// Nothing where the track has no segments in this Period.
fn write_representation(text: &mut String, source: &Source<'_>, moment: &Moment) {
    let Some(timeline) = Timeline::of(source, moment) else { return };
    // Of a Period that is over it is told as it was then.
    let (track, described) = (source.track, &timeline.init.track);
    let config = &described.config;
    let id = format!("{}{}", source.base.trim_start_matches("../"), track.name);
    let _ = write!(
        text,
        "<Representation id=\"{id}\" codecs=\"{}\" bandwidth=\"{}\"",
        described.rfc6381(),
        track.meter.peak_bps().max(1)
    );
    picture::supplemental(text, described);
    if let Some(info) = config.video() {
        let _ = write!(text, " width=\"{}\" height=\"{}\"", info.width, info.height);
        if let Some(rate) = track.meter.picture_rate_milli(info.frame_rate) {
            let _ = match rate % 1_000 {
                0 => write!(text, " frameRate=\"{}\"", rate / 1_000),
                _ => write!(text, " frameRate=\"{rate}/1000\""),
            };
        }
    }
    if let Some(info) = config.audio() {
        let _ = write!(text, " audioSamplingRate=\"{}\"", info.sample_rate_hz);
    }
    text.push_str(">\n");
    sound::channels(text, described);
    timeline.write(text, source, moment);
    text.push_str("</Representation>\n");
}

/// Lets each segment last until the next one begins. Durations are of decoding, starts of presentation: where pictures are reordered in
/// another way, or a time was repaired, they differ by a little.
fn join(segments: &mut [(i64, i64)]) {
    let starts: Vec<i64> = segments.iter().skip(1).map(|(start, _)| *start).collect();
    for ((start, duration), next) in segments.iter_mut().zip(starts) {
        if next > *start {
            *duration = next - *start;
        }
    }
}

/// The segment in the making, where players are told of its parts.
fn told_open<'a>(track: &'a TrackView, epoch: &Epoch) -> Option<&'a OpenView> {
    track.open.as_ref().filter(|open| open.epoch == epoch.number && track.part_target_us().is_some())
}

/// Whether a track has something in a Period of which players are told.
pub(super) fn has(track: &TrackView, epoch: &Epoch) -> bool {
    told_open(track, epoch).is_some() || track.listed().iter().any(|segment| segment.epoch == epoch.number)
}

/// The segments of a track in a Period.
struct Timeline {
    init: Arc<Init>,
    /// Number of the first one.
    number: u64,
    /// Earliest presentation time and duration, in ticks.
    segments: Vec<(i64, i64)>,
    /// Microseconds from the time of the media to the time since 1970.
    wall_offset_us: i64,
}

impl Timeline {
    fn of(source: &Source<'_>, moment: &Moment) -> Option<Self> {
        let track = source.track;
        // Another stream has breaks of its own: what it has now is told. A timeline begins with its first frame, when players have nothing of it.
        let newest = || track.told.epochs.iter().rev().find(|epoch| has(track, epoch)).copied();
        let epoch = if source.base.is_empty() { moment.epoch } else { newest()? };
        let listed = track.listed().iter().filter(|segment| segment.epoch == epoch.number);
        let mut segments: Vec<(i64, i64)> = listed.clone().map(|segment| (segment.start, segment.duration)).collect();
        let first = listed.clone().next();
        let (mut number, mut init) = (first.map(|first| first.sequence), first.map(|first| first.init.clone()));
        let open = told_open(track, &epoch);
        if let Some(open) = open {
            // It will last as long as the one before it, as far as one can know; the next MPD says it.
            let rate = open.init.track.clock_rate_hz;
            let target = i64::try_from(track.target_duration_s()).unwrap_or(1) * i64::from(rate);
            segments.push((open.start, segments.last().map_or(target, |(_, duration)| *duration)));
            number.get_or_insert(track.next_sequence());
            init.get_or_insert_with(|| open.init.clone());
        }
        join(&mut segments);
        let (own_us, first_us) = (epoch.wall_offset_us, moment.epoch.wall_offset_us);
        let has_one_clock = own_us.saturating_sub(first_us).saturating_abs() < ONE_CLOCK_US;
        let wall_offset_us = if has_one_clock { first_us } else { own_us };
        // Of a clock that began behind the Period nothing can be said in it, since times are unsigned (§5.3.9.2.2): the next one is begun for it.
        let begins_behind = !source.base.is_empty() && moment.begins_us < wall_offset_us;
        if begins_behind {
            return None;
        }
        Some(Self { init: init?, number: number?, segments, wall_offset_us })
    }

    /// When each segment begins, in microseconds since 1970.
    fn cuts_us(&self) -> Vec<i64> {
        let rate = self.init.track.clock_rate_hz;
        let us = |(start, _): &(i64, i64)| rescale(*start, rate, 1_000_000).saturating_add(self.wall_offset_us);
        self.segments.iter().map(us).collect()
    }

    /// §5.3.9.4, §5.3.9.6.
    fn write(&self, text: &mut String, source: &Source<'_>, moment: &Moment) {
        let (track, base) = (source.track, source.base);
        let rate = self.init.track.clock_rate_hz;
        let offset = rescale(moment.begins_us.saturating_sub(self.wall_offset_us), 1_000_000, rate).max(0);
        let _ = write!(
            text,
            "<SegmentTemplate timescale=\"{rate}\" presentationTimeOffset=\"{offset}\" initialization=\"{base}{}\" \
             media=\"{base}{}-$Number$.m4s\" startNumber=\"{}\"",
            self.init.name,
            track.prefix(),
            self.number
        );
        let last_us = track.listed().last().map_or(0, |segment| segment.duration_us);
        if let Some(part_us) = track.part_target_us().filter(|part_us| !track.ended() && *part_us < last_us) {
            let early_ms = (last_us - part_us) / 1_000;
            let _ = write!(
                text,
                " availabilityTimeOffset=\"{}.{:03}\" availabilityTimeComplete=\"false\"",
                early_ms / 1_000,
                early_ms % 1_000
            );
        }
        text.push_str(">\n<SegmentTimeline>");
        self.write_segments(text);
        text.push_str("</SegmentTimeline>\n</SegmentTemplate>\n");
    }

    fn write_segments(&self, text: &mut String) {
        let mut segments = self.segments.iter().copied().peekable();
        let mut expected = None;
        while let Some((start, duration)) = segments.next() {
            text.push_str("<S");
            if expected != Some(start) {
                let _ = write!(text, " t=\"{}\"", start.max(0));
            }
            let _ = write!(text, " d=\"{duration}\"");
            let mut end = start.saturating_add(duration);
            let mut repeats = 0;
            while segments.next_if(|next| *next == (end, duration)).is_some() {
                end = end.saturating_add(duration);
                repeats += 1;
            }
            if repeats > 0 {
                let _ = write!(text, " r=\"{repeats}\"");
            }
            text.push_str("/>");
            expected = Some(end);
        }
    }
}
