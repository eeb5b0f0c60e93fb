//! HLS (RFC 8216): a playlist that names the tracks, and one for each.

use std::fmt::Write;

use arcly_bus::{Track, TrackId};
use arcly_codec::MediaKind;

use super::{Vod, cut::Cut, section::Section};
use crate::{
    cmaf::is_carried,
    date::iso_8601,
    hls::variant::{by_codec, frame_rate, write_picture},
    meter::sane_rate_milli,
    time::rescale,
};

/// Bits a second of a track: the most of a segment, and of all together.
struct Rates {
    peak_bps: u64,
    average_bps: u64,
}

fn rates(vod: &Vod, track: TrackId) -> Rates {
    let (mut peak_bps, mut bytes, mut lasts_us) = (0_u64, 0_u64, 0_i64);
    for (track, cuts) in vod.sections.iter().filter_map(|section| section.cuts_of(track)) {
        for cut in cuts.iter().filter(|cut| !cut.is_gap()) {
            let us = duration_us(cut, track).max(1);
            peak_bps = peak_bps.max(bits_per_s(cut.bytes, us));
            bytes = cut.bytes.saturating_add(bytes);
            lasts_us = us.saturating_add(lasts_us);
        }
    }
    Rates { peak_bps, average_bps: bits_per_s(bytes, lasts_us.max(1)) }
}

fn bits_per_s(bytes: u64, us: i64) -> u64 {
    u64::try_from(u128::from(bytes) * 8_000_000 / u128::try_from(us.max(1)).unwrap_or(1)).unwrap_or(u64::MAX)
}

fn duration_us(cut: &Cut, track: &Track) -> i64 {
    let end = rescale(cut.end_pts, track.clock_rate_hz, 1_000_000);
    end.saturating_sub(rescale(cut.begin_pts, track.clock_rate_hz, 1_000_000))
}

/// `EXTINF` and the like: seconds with six digits.
fn seconds(us: i64) -> String {
    let us = us.max(0);
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// Sounds of one codec, and their rates.
struct Group<'a> {
    id: String,
    sounds: Vec<&'a Track>,
    rates: Rates,
}

/// §4.3.4: the first video track with the sounds of each codec in turn; other video tracks are not offered. What live streams do not carry
/// stands back behind what they do, and where that is the pictures there is the sound alone as well.
pub(super) fn multivariant(vod: &Vod) -> String {
    let tracks = vod.tracks();
    let of_kind = |kind| tracks.iter().copied().filter(move |track| track.kind() == kind);
    let videos = || of_kind(MediaKind::Video);
    let pictures = videos().find(|track| is_carried(track)).or(videos().next());
    let mut sounds: Vec<&Track> = of_kind(MediaKind::Audio).filter(|track| is_carried(track)).collect();
    if pictures.is_none() && sounds.is_empty() {
        sounds = of_kind(MediaKind::Audio).collect();
    }
    let groups = groups(vod, sounds);
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    groups.iter().for_each(|group| put_renditions(&mut out, group));
    if let Some(pictures) = pictures {
        put_pictures(&mut out, pictures, &rates(vod, pictures.id), &groups);
    }
    if !pictures.is_some_and(is_carried) {
        groups.iter().for_each(|group| put_sound(&mut out, group));
    }
    out
}

fn groups<'a>(vod: &Vod, sounds: Vec<&'a Track>) -> Vec<Group<'a>> {
    let groups = by_codec(sounds, |sound| sound).into_iter().map(|(id, sounds)| {
        let of_each = sounds.iter().map(|sound| rates(vod, sound.id));
        let rates = of_each.fold(Rates { peak_bps: 0, average_bps: 0 }, |most, rates| Rates {
            peak_bps: most.peak_bps.max(rates.peak_bps),
            average_bps: most.average_bps.max(rates.average_bps),
        });
        Group { id, sounds, rates }
    });
    groups.collect()
}

fn put_renditions(out: &mut String, group: &Group<'_>) {
    for (index, sound) in group.sounds.iter().enumerate() {
        let language = sound.language.map_or(String::new(), |code| format!("LANGUAGE=\"{}\",", code.as_str()));
        let default = if index == 0 { "YES" } else { "NO" };
        let _ = writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{}\",NAME=\"{}\",{language}DEFAULT={default},AUTOSELECT=YES,URI=\"{}.m3u8\"",
            group.id,
            index + 1,
            sound.id.0,
        );
    }
}

/// A variant for each group of sounds, or one without.
fn put_pictures(out: &mut String, pictures: &Track, own: &Rates, groups: &[Group<'_>]) {
    let mut put = |group: Option<&Group<'_>>| {
        let sum = |rate: fn(&Rates) -> u64| rate(own).saturating_add(group.map_or(0, |group| rate(&group.rates)));
        let rates = Rates { peak_bps: sum(|rates| rates.peak_bps), average_bps: sum(|rates| rates.average_bps) };
        let sounds = group.into_iter().flat_map(|group| group.sounds.iter().copied());
        put_stream(out, &rates, std::iter::once(pictures).chain(sounds));
        write_picture(out, pictures, frame_rate(pictures).and_then(sane_rate_milli));
        if let Some(group) = group {
            let _ = write!(out, ",AUDIO=\"{}\"", group.id);
        }
        let _ = write!(out, "\n{}.m3u8\n", pictures.id.0);
    };
    if groups.is_empty() {
        put(None);
    }
    groups.iter().for_each(|group| put(Some(group)));
}

/// A variant without pictures: the first sound of its group.
fn put_sound(out: &mut String, group: &Group<'_>) {
    let Some(first) = group.sounds.first() else { return };
    put_stream(out, &group.rates, group.sounds.iter().copied());
    let _ = write!(out, ",AUDIO=\"{}\"\n{}.m3u8\n", group.id, first.id.0);
}

/// What all variants begin with.
fn put_stream<'a>(out: &mut String, rates: &Rates, tracks: impl Iterator<Item = &'a Track>) {
    let Rates { peak_bps, average_bps } = rates;
    let _ = write!(out, "#EXT-X-STREAM-INF:BANDWIDTH={peak_bps},AVERAGE-BANDWIDTH={average_bps}");
    let mut codecs: Vec<String> = Vec::new();
    for codec in tracks.map(Track::rfc6381).filter(|codec| !codec.is_empty()) {
        if !codecs.contains(&codec) {
            codecs.push(codec);
        }
    }
    if !codecs.is_empty() {
        let _ = write!(out, ",CODECS=\"{}\"", codecs.join(","));
    }
}

/// §4.3.3: all segments of a track.
pub(super) fn media(vod: &Vod, id: TrackId) -> Option<String> {
    vod.tracks().into_iter().find(|track| track.id == id)?;
    let kind = if vod.has_ended { "VOD" } else { "EVENT" };
    let mut out = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-PLAYLIST-TYPE:{kind}\n#EXT-X-INDEPENDENT-SEGMENTS\n",
        target_s(vod, id)
    );
    for (index, section) in vod.sections.iter().enumerate() {
        if index > 0 {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        put_section(&mut out, vod, section, id);
    }
    if vod.has_ended {
        out.push_str("#EXT-X-ENDLIST\n");
    }
    Some(out)
}

/// The longest segment, rounded to the nearest second (§4.3.3.1).
fn target_s(vod: &Vod, id: TrackId) -> i64 {
    let sections = vod.sections.iter().filter_map(|section| listed(section, id));
    let longest_us = sections.flat_map(|(track, cuts)| cuts.iter().map(|cut| duration_us(cut, track))).max();
    (longest_us.unwrap_or(0).saturating_add(500_000) / 1_000_000).max(1)
}

/// The segments of a track; where a section has none of it, those of the one that goes on meanwhile (§4.4.4.7 of RFC 8216bis).
fn listed(section: &Section, id: TrackId) -> Option<(&Track, &[Cut])> {
    let has_some = |(_, cuts): &(&Track, &[Cut])| !cuts.is_empty();
    let any = || section.tracks.iter().find_map(|track| section.cuts_of(track.id).filter(has_some));
    section.cuts_of(id).filter(has_some).or_else(any)
}

fn put_section(out: &mut String, vod: &Vod, section: &Section, id: TrackId) {
    let Some((track, cuts)) = listed(section, id) else { return };
    if track.id != id {
        cuts.iter().for_each(|cut| put_gap(out, duration_us(cut, track), id));
        return;
    }
    let _ = writeln!(out, "#EXT-X-MAP:URI=\"init-{}-{}.mp4\"", vod.number(section), id.0);
    if let Some(began_ms) = vod.pieces.get(section.first_piece).map(|piece| piece.began_unix_ms) {
        let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", date_time(began_ms));
    }
    for cut in cuts {
        let lasts_us = duration_us(cut, track);
        if cut.is_gap() {
            put_gap(out, lasts_us, id);
        } else {
            let _ = write!(out, "#EXTINF:{},\n{}-{}.m4s\n", seconds(lasts_us), id.0, cut.begin_pts);
        }
    }
}

fn put_gap(out: &mut String, lasts_us: i64, id: TrackId) {
    let _ = write!(out, "#EXTINF:{},\n#EXT-X-GAP\n{}-gap.m4s\n", seconds(lasts_us), id.0);
}

/// Milliseconds of Unix time as a date.
pub(super) fn date_time(unix_ms: u64) -> String {
    iso_8601(i64::try_from(unix_ms).unwrap_or(0).saturating_mul(1000))
}
