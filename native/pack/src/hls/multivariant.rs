//! The multivariant playlist of CMAF tracks (RFC 8216bis §4.4.6): one stream, or several that show the same in other sizes.

use std::{fmt::Write, sync::Arc};

use arcly_bus::Track;
use arcly_codec::MediaKind;

use super::variant::{by_codec, frame_rate, write_picture};
use crate::cmaf::{CmafView, TrackView};

/// A stream of a group, and where its playlists are.
pub struct Variant<'a> {
    /// What it has now.
    pub view: &'a CmafView,
    /// In front of the names of its playlists: empty, or `../cam~720p/`. A URI reference, percent-encoded by the caller.
    pub base: &'a str,
}

/// The playlist for a group of streams, the best one first. `query` is put behind each URI: empty, or `?session=…`.
///
/// The sound of the first stream that has some is that of all: renditions of the same scene differ in their pictures.
pub fn multivariant(variants: &[Variant<'_>], query: &str) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:9\n");
    let of_kind = |variant: &Variant<'_>, kind: MediaKind| {
        variant.view.tracks.iter().filter(|track| track.track.kind() == kind).cloned().collect::<Vec<_>>()
    };
    let is_independent = |variant: &Variant<'_>| {
        variant.view.tracks.iter().all(|track| track.listed().iter().all(|segment| segment.independent))
    };
    if variants.iter().all(is_independent) {
        text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    let with_sound = variants.iter().find(|variant| !of_kind(variant, MediaKind::Audio).is_empty());
    let (sounds, sound_base) =
        with_sound.map(|variant| (of_kind(variant, MediaKind::Audio), variant.base)).unwrap_or_default();
    let groups = by_codec(sounds, |sound| &sound.track).into_iter();
    let groups: Vec<Group> = groups.map(|(id, tracks)| Group { id, tracks }).collect();
    groups.iter().for_each(|group| write_renditions(&mut text, group, sound_base, query));
    let mut has_pictures = false;
    for variant in variants {
        for pictures in of_kind(variant, MediaKind::Video) {
            has_pictures = true;
            write_video(&mut text, &pictures, &groups, variant.base, query);
        }
    }
    if !has_pictures {
        groups.iter().for_each(|group| write_audio(&mut text, group, sound_base, query));
    }
    text
}

/// Sounds of one codec.
struct Group {
    id: String,
    tracks: Vec<Arc<TrackView>>,
}

impl Group {
    fn peak_bps(&self) -> u64 {
        self.tracks.iter().map(|track| track.meter.peak_bps()).max().unwrap_or(0)
    }

    fn average_bps(&self) -> u64 {
        self.tracks.iter().map(|track| track.meter.average_bps()).max().unwrap_or(0)
    }

    fn codecs(&self) -> impl Iterator<Item = String> {
        let mut codecs: Vec<String> = self.tracks.iter().map(|track| track.track.rfc6381()).collect();
        codecs.dedup();
        codecs.into_iter()
    }
}

/// `EXT-X-MEDIA` (§4.4.6.1).
fn write_renditions(text: &mut String, group: &Group, base: &str, query: &str) {
    for (index, sound) in group.tracks.iter().enumerate() {
        let _ =
            write!(text, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{}\",NAME=\"{}\"", group.id, name(&group.tracks, sound));
        if let Some(language) = sound.track.language {
            let _ = write!(text, ",LANGUAGE=\"{}\"", language.as_str());
        }
        text.push_str(if index == 0 { ",DEFAULT=YES,AUTOSELECT=YES" } else { ",DEFAULT=NO,AUTOSELECT=YES" });
        write_channels(text, &sound.track);
        let _ = writeln!(text, ",URI=\"{base}{}.m3u8{query}\"", sound.name);
    }
}

/// `CHANNELS`. Of objects it is their number, and how they are coded.
fn write_channels(text: &mut String, sound: &Track) {
    let channels = sound.config.audio().map_or(0, |info| info.channels);
    let _ = match sound.config.joc_complexity() {
        Some(objects) => write!(text, ",CHANNELS=\"{objects}/JOC\""),
        None if channels > 0 => write!(text, ",CHANNELS=\"{channels}\""),
        None => return,
    };
}

/// A name that no other one of the group has (§4.4.6.1.1).
fn name(tracks: &[Arc<TrackView>], sound: &TrackView) -> String {
    let language = |track: &Track| track.language.map(|language| language.as_str().to_owned());
    let own = language(&sound.track);
    let is_alone = tracks.iter().filter(|other| language(&other.track) == own).count() == 1;
    own.filter(|_| is_alone).unwrap_or_else(|| format!("Audio {}", sound.track.id.0))
}

/// One `EXT-X-STREAM-INF` (§4.4.6.2) for each group of sounds, or one without.
fn write_video(text: &mut String, pictures: &TrackView, groups: &[Group], base: &str, query: &str) {
    let mut one = |group: Option<&Group>| {
        let peak = pictures.meter.peak_bps() + group.map_or(0, Group::peak_bps);
        let average = pictures.meter.average_bps() + group.map_or(0, Group::average_bps);
        let codecs = std::iter::once(pictures.track.rfc6381()).chain(group.into_iter().flat_map(Group::codecs));
        let codecs: Vec<String> = codecs.collect();
        let _ = write!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},CODECS=\"{}\"",
            codecs.join(",")
        );
        write_picture(text, &pictures.track, pictures.meter.picture_rate_milli(frame_rate(&pictures.track)));
        if let Some(group) = group {
            let _ = write!(text, ",AUDIO=\"{}\"", group.id);
        }
        let _ = writeln!(text, "\n{base}{}.m3u8{query}", pictures.name);
    };
    if groups.is_empty() {
        one(None);
    }
    groups.iter().for_each(|group| one(Some(group)));
}

/// A stream without pictures: its first sound is the variant.
fn write_audio(text: &mut String, group: &Group, base: &str, query: &str) {
    let Some(first) = group.tracks.first() else { return };
    let codecs: Vec<String> = group.codecs().collect();
    let _ = write!(
        text,
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\",AUDIO=\"{}\"\n{base}{}.m3u8{query}\n",
        group.peak_bps(),
        group.average_bps(),
        codecs.join(","),
        group.id,
        first.name
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arcly_bus::{Language, TrackId};
    use arcly_codec::{Codec, CodecConfig, DolbyVision};

    use super::*;
    use crate::{
        cmaf::{CmafConfig, CmafPackager},
        testing::{Recipe, Rng, VIDEO, audio_track, track_set, video_track},
    };

    const RECIPE: Recipe = Recipe {
        picture_90k: 3_600,
        gop: 25,
        b_frames: false,
        sample_rate_hz: 48_000,
        seconds: 5,
        start_90k: 0,
        max_picture_bytes: 400,
    };

    /// A stream of these tracks; further sounds are copies of the first.
    fn view(tracks: &[Track], recipe: Recipe) -> Arc<CmafView> {
        let set = track_set(tracks);
        let mut packager = CmafPackager::new(CmafConfig::default(), "s");
        for frame in recipe.frames(&mut Rng(1)) {
            let copies = tracks.iter().filter(|track| (track.id == VIDEO) == (frame.track == VIDEO));
            for track in copies {
                let frame = arcly_bus::Frame { track: track.id, ..frame.clone() };
                packager.push(&set, &frame, Duration::from_secs(1_000)).unwrap();
            }
        }
        packager.view().unwrap()
    }

    fn text(view: &CmafView) -> String {
        multivariant(&[Variant { view, base: "" }], "?session=1")
    }

    #[test]
    fn sounds_are_renditions_with_their_languages_and_names_of_their_own() {
        let sound = |id, language| {
            let language = Language::new(language);
            Track { id: TrackId(id), language, ..audio_track(48_000) }
        };
        let tracks = [video_track(), sound(1, "eng"), sound(2, "deu"), sound(3, "und")];
        let text = text(&view(&tracks, RECIPE));
        let media: Vec<&str> = text.lines().filter(|line| line.starts_with("#EXT-X-MEDIA:")).collect();
        let rest = "CHANNELS=\"2\",URI=";
        assert_eq!(
            media,
            [
                format!(
                    "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"eng\",LANGUAGE=\"eng\",DEFAULT=YES,AUTOSELECT=YES,{rest}\"a1.m3u8?session=1\""
                ),
                format!(
                    "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"deu\",LANGUAGE=\"deu\",DEFAULT=NO,AUTOSELECT=YES,{rest}\"a2.m3u8?session=1\""
                ),
                format!(
                    "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"Audio 3\",DEFAULT=NO,AUTOSELECT=YES,{rest}\"a3.m3u8?session=1\""
                ),
            ]
        );
        let variant = text.lines().find(|line| line.starts_with("#EXT-X-STREAM-INF:")).unwrap();
        assert!(
            variant.contains("CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO=\"aac\""),
            "{variant}"
        );
        assert!(text.ends_with("\nv0.m3u8?session=1\n"));
    }

    /// Found by a reader: it was read and told to nobody, so players took the six channels below.
    #[test]
    fn objects_are_said_with_their_number() {
        const DEC3: [u8; 8] = [0x02, 0x00, 0x20, 0x0f, 0x02, 0x02, 0x01, 0x0c];
        for (record, channels) in [(&DEC3[..], "12/JOC"), (&DEC3[..6], "8")] {
            let config = CodecConfig::parse(Codec::Eac3, record.to_vec().into()).unwrap();
            let sound = Track::new(TrackId(1), config);
            let text = text(&view(&[video_track(), sound], RECIPE));
            assert!(text.contains(&format!(",CHANNELS=\"{channels}\",URI=\"a1.m3u8")), "{text}");
        }
    }

    #[test]
    fn the_bandwidth_is_that_of_what_was_made() {
        let view = view(&[video_track(), audio_track(48_000)], RECIPE);
        let text = text(&view);
        let number = |name: &str| {
            text.split_once(&format!("{name}=")).unwrap().1.split(',').next().unwrap().parse::<f64>().unwrap()
        };
        let bits = |track: &TrackView| {
            let bytes: usize = track.listed().iter().map(|segment| segment.bytes).sum();
            bytes as f64 * 8e6 / track.listed().iter().map(|segment| segment.duration_us).sum::<i64>() as f64
        };
        let average: f64 = view.tracks.iter().map(|track| bits(track)).sum();
        assert!((number("AVERAGE-BANDWIDTH") - average).abs() < 10.0, "{average}: {text}");
        assert!(number("BANDWIDTH") >= number("AVERAGE-BANDWIDTH"));
        let peak =
            view.tracks[0].listed().iter().map(|segment| segment.bytes as i64 * 8_000_000 / segment.duration_us).max();
        assert!(number("BANDWIDTH") >= peak.unwrap() as f64);
    }

    #[test]
    fn sound_alone_is_its_own_variant_and_pictures_alone_have_no_group() {
        let sound = text(&view(&[audio_track(48_000)], Recipe { picture_90k: 0, ..RECIPE }));
        assert!(sound.contains("CODECS=\"mp4a.40.2\",AUDIO=\"aac\"\na1.m3u8?session=1\n"), "{sound}");
        let pictures = text(&view(&[video_track()], Recipe { sample_rate_hz: 0, ..RECIPE }));
        assert!(!pictures.contains("AUDIO") && pictures.contains("CODECS=\"avc1.64001f\""), "{pictures}");
    }

    /// The variant of a track of that transfer and Dolby Vision.
    fn variant(transfer: u8, dolby_vision: Option<(u8, u8)>) -> String {
        let mut track = video_track();
        if let CodecConfig::H264(config) = &mut track.config {
            config.info.colour.transfer = transfer;
        }
        track.dolby_vision = dolby_vision.map(|(profile, compatibility)| {
            DolbyVision::parse(&[1, 0, profile << 1, 7 << 3 | 0b101, compatibility << 4]).unwrap()
        });
        let text = text(&view(&[track], Recipe { sample_rate_hz: 0, ..RECIPE }));
        text.lines().find(|line| line.starts_with("#EXT-X-STREAM-INF:")).unwrap().to_owned()
    }

    #[test]
    fn high_dynamic_range_is_said() {
        for (transfer, range) in [(16, Some("PQ")), (18, Some("HLG")), (1, None), (14, None)] {
            let variant = variant(transfer, None);
            assert_eq!(variant.split_once("VIDEO-RANGE=").map(|(_, range)| range), range, "{variant}");
            assert!(!variant.contains("SUPPLEMENTAL"));
        }
    }

    /// §4.4.6.2: beside CODECS where others show it too, in CODECS where they do not.
    #[test]
    fn dolby_vision_is_said_beside_the_codec_or_for_it() {
        for (transfer, found, expected) in [
            (18, (8, 4), "CODECS=\"avc1.64001f\",SUPPLEMENTAL-CODECS=\"dva1.08.07/db4h\",.*VIDEO-RANGE=HLG"),
            // HLG for receivers that do not know it.
            (14, (8, 4), "CODECS=\"avc1.64001f\",SUPPLEMENTAL-CODECS=\"dva1.08.07/db4g\",.*VIDEO-RANGE=HLG"),
            (16, (8, 1), "CODECS=\"avc1.64001f\",SUPPLEMENTAL-CODECS=\"dva1.08.07/db1p\",.*VIDEO-RANGE=PQ"),
            (1, (9, 2), "CODECS=\"avc1.64001f\",SUPPLEMENTAL-CODECS=\"dva1.09.07/db2g\",.*FRAME-RATE=29.970"),
            (2, (5, 0), "CODECS=\"dva1.05.07\",RESOLUTION=1280x720,.*VIDEO-RANGE=PQ"),
        ] {
            let variant = variant(transfer, Some(found));
            let (begin, end) = expected.split_once(".*").unwrap();
            assert!(variant.contains(begin) && variant.ends_with(end), "{variant}");
        }
    }
}
