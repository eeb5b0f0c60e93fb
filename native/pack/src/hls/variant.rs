//! What a multivariant playlist says about pictures and a stream in MPEG-TS (RFC 8216bis §4.4.6.2): measured bit rates, codecs, size.

use std::fmt::Write;

use arcly_bus::{Track, TrackSet};
use arcly_codec::{DynamicRange, MediaKind};

use crate::meter::Meter;

/// The attributes of `EXT-X-STREAM-INF` for a stream of these tracks.
pub(super) fn attributes(tracks: &TrackSet, meter: &Meter) -> String {
    let mut attributes = format!("BANDWIDTH={},AVERAGE-BANDWIDTH={}", meter.peak_bps(), meter.average_bps());
    let codecs = tracks.tracks.iter().filter(|track| track.kind() != MediaKind::Data);
    let codecs: Vec<String> = codecs.map(Track::rfc6381).collect();
    let _ = write!(attributes, ",CODECS=\"{}\"", codecs.join(","));
    if let Some(track) = tracks.first(MediaKind::Video) {
        write_picture(&mut attributes, track, meter.picture_rate_milli(frame_rate(track)));
    }
    attributes
}

/// Sounds of one codec each, by its name: a player that can decode one of them can decode all, and one that can decode none drops no other
/// (RFC 8216bis §4.4.6.1.1).
pub(crate) fn by_codec<T>(sounds: impl IntoIterator<Item = T>, track: impl Fn(&T) -> &Track) -> Vec<(String, Vec<T>)> {
    let mut groups: Vec<(String, Vec<T>)> = Vec::new();
    for sound in sounds {
        let name = track(&sound).config.codec().name().to_ascii_lowercase();
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, group)) => group.push(sound),
            None => groups.push((name, vec![sound])),
        }
    }
    groups
}

/// Frames a second as the parameter sets say it.
pub(crate) fn frame_rate(track: &Track) -> Option<(u32, u32)> {
    track.config.video().and_then(|info| info.frame_rate)
}

/// `SUPPLEMENTAL-CODECS`, `RESOLUTION`, `FRAME-RATE` and `VIDEO-RANGE`, of a video track with so many pictures in 1000 s.
pub(crate) fn write_picture(attributes: &mut String, track: &Track, rate_milli: Option<u64>) {
    if let Some((codec, brand)) = track.supplemental_codec() {
        let _ = write!(attributes, ",SUPPLEMENTAL-CODECS=\"{codec}/{brand}\"");
    }
    let info = track.config.video().unwrap_or_default();
    if info.width > 0 && info.height > 0 {
        let _ = write!(attributes, ",RESOLUTION={}x{}", info.width, info.height);
    }
    if let Some(rate) = rate_milli {
        let _ = write!(attributes, ",FRAME-RATE={}.{:03}", rate / 1000, rate % 1000);
    }
    match track.dynamic_range() {
        Some(DynamicRange::Pq) => attributes.push_str(",VIDEO-RANGE=PQ"),
        Some(DynamicRange::Hlg) => attributes.push_str(",VIDEO-RANGE=HLG"),
        // What players take for granted.
        Some(DynamicRange::Sdr) | None => {}
    }
}
