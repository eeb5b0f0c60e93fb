//! What a player can fetch at one moment.

use std::{fmt::Write, sync::Arc};

use arcly_bus::TrackSet;
use bytes::Bytes;

use super::{
    key::{Key, Lock},
    segment::Segment,
    variant::attributes,
    window::Window,
};
use crate::{
    cmaf::DateRange,
    date::iso_8601,
    held::{Held, Movable},
    meter::Meter,
};

/// An immutable snapshot of the playlist and the segments. A new one is made for each complete segment; one that is
/// still held keeps its segments alive.
#[derive(Debug)]
pub struct HlsView {
    media_playlist: Bytes,
    stream_attributes: String,
    /// Oldest first.
    pub(super) segments: Vec<Arc<Segment>>,
    target_duration_s: u64,
    window_bytes: usize,
    window_us: i64,
    ended: bool,
}

impl HlsView {
    /// `None` while the target duration is not settled: a playlist cannot be without one.
    pub(super) fn new(
        window: &Window,
        tracks: &TrackSet,
        meter: &Meter,
        cues: &[Arc<DateRange>],
        ended: bool,
    ) -> Option<Self> {
        let target_duration_s = window.target_duration_s()?;
        Some(Self {
            media_playlist: media_playlist(window, target_duration_s, cues, ended).into(),
            stream_attributes: attributes(tracks, meter),
            segments: window.available().cloned().collect(),
            target_duration_s,
            window_bytes: window.bytes(),
            window_us: window.listed().map(|segment| segment.duration_us).sum(),
            ended,
        })
    }

    /// The media playlist (RFC 8216 §4.3.3). Segments are named relative to it.
    pub fn media_playlist(&self) -> &Bytes {
        &self.media_playlist
    }

    /// A multivariant playlist (RFC 8216 §4.3.4) with this stream as its only variant, at `media_uri`: a URI reference,
    /// percent-encoded by the caller.
    pub fn multivariant(&self, media_uri: &str) -> String {
        format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-STREAM-INF:{}\n{media_uri}\n", self.stream_attributes)
    }

    /// The segment of that name: one of the playlist, or one that left it not long ago.
    pub fn segment(&self, name: &str) -> Option<Held> {
        // Players fetch the newest ones.
        self.segments.iter().rev().find(|segment| segment.name == name).map(|segment| segment.held())
    }

    /// The segments that need not be in memory any more, oldest first, where `memory_us` of the newest stay there
    /// ([`super::HlsConfig::memory`]).
    pub fn movable(&self, memory_us: i64) -> Vec<Arc<dyn Movable>> {
        let least_us = i64::try_from(self.target_duration_s).unwrap_or(i64::MAX).saturating_mul(3_000_000);
        let mut behind_us = 0;
        let old = self.segments.iter().rev().skip_while(|segment| {
            behind_us += segment.duration_us;
            behind_us <= memory_us.max(least_us)
        });
        // Those further back were moved before.
        let old = old.take_while(|segment| segment.memory_bytes() > 0);
        let mut movable: Vec<_> = old.map(|segment| segment.clone() as Arc<dyn Movable>).collect();
        movable.reverse();
        movable
    }

    /// The key of that name, if a segment that can be fetched is encrypted with it.
    pub fn key(&self, name: &str) -> Option<&Key> {
        let locks = self.segments.iter().rev().filter_map(|segment| segment.lock.as_ref());
        locks.map(|lock| &*lock.key).find(|key| key.name == name)
    }

    /// Its segments are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.segments.iter().any(|segment| segment.lock.is_some())
    }

    /// The playlist ends with `EXT-X-ENDLIST`: nothing comes any more.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// `EXT-X-TARGETDURATION`: how often a player comes for the playlist, and so how long it may be cached.
    pub fn target_duration_s(&self) -> u64 {
        self.target_duration_s
    }

    /// Seconds that a player can go back.
    pub fn window_s(&self) -> f64 {
        self.window_us as f64 / 1e6
    }

    /// Memory of all segments of this view.
    pub fn window_bytes(&self) -> usize {
        self.window_bytes
    }
}

/// The text of the media playlist.
///
/// `EXT-X-DISCONTINUITY-SEQUENCE` is always there, since a tag may not appear later (RFC 8216 §6.2.1).
fn media_playlist(window: &Window, target_duration_s: u64, cues: &[Arc<DateRange>], ended: bool) -> String {
    let first = window.listed().next().map_or(0, |segment| segment.sequence);
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{target_duration_s}\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
        window.discontinuity_sequence()
    );
    if window.listed().all(|segment| segment.independent) {
        text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    let mut told: Option<&Lock> = None;
    let mut cues = cues.iter().peekable();
    for segment in window.listed() {
        if let Some(lock) = segment.lock.as_ref().filter(|lock| told.is_none_or(|told| !lock.is_told_by(told))) {
            lock.write(&mut text);
            told = Some(lock);
        }
        let end_us = segment.date_us.map_or(i64::MIN, |date_us| date_us.saturating_add(segment.duration_us));
        while let Some(cue) = cues.next_if(|cue| cue.start_us < end_us) {
            write_cue(&mut text, cue);
        }
        write_segment(&mut text, segment);
    }
    // What is announced ahead.
    cues.for_each(|cue| write_cue(&mut text, cue));
    if ended {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    text
}

fn write_cue(text: &mut String, cue: &DateRange) {
    text.push_str(&cue.text);
    text.push('\n');
}

fn write_segment(text: &mut String, segment: &Segment) {
    if segment.discontinuity {
        text.push_str("#EXT-X-DISCONTINUITY\n");
    }
    if let Some(date_us) = segment.date_us {
        let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", iso_8601(date_us));
    }
    let (seconds, us) = (segment.duration_us / 1_000_000, segment.duration_us % 1_000_000);
    let _ = write!(text, "#EXTINF:{seconds}.{us:06},\n{}\n", segment.name);
}
