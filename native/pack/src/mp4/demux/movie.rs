//! `moov` (ISO/IEC 14496-12 §8.2.1), read.

use std::time::Duration;

use arcly_bus::{Language, TrackId};
use arcly_codec::MediaKind;

use super::{
    MAX_READ_TRACKS,
    entry::{Description, parse_descriptions},
    fragment::Defaults,
    table::SampleTable,
};
use crate::{
    PackError,
    mp4::read::{Body, malformed},
};

/// The tracks of a file.
#[derive(Debug, Clone)]
pub(super) struct Movie {
    pub tracks: Vec<MovieTrack>,
    /// Tracks that cannot be read, and why.
    pub refused: Vec<(u32, PackError)>,
    /// There may be fragments.
    pub is_fragmented: bool,
}

/// One track.
#[derive(Debug, Clone)]
pub(super) struct MovieTrack {
    /// `track_ID`.
    pub number: u32,
    pub id: TrackId,
    /// Ticks per second of its times.
    pub timescale: u32,
    /// In those ticks, as the file says it.
    pub duration: u64,
    pub language: Option<Language>,
    pub edit: Edit,
    pub descriptions: Vec<Description>,
    pub table: SampleTable,
    pub defaults: Defaults,
}

/// What the edit list does to times (§8.6.6): an initial pause, and where in the media the presentation begins.
///
/// Only the first edit that shows something is obeyed. Those behind it, which cut a film out of its media, are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Edit {
    /// In ticks of `movie_timescale`.
    pub pause: u64,
    pub movie_timescale: u32,
    /// In ticks of the track.
    pub media_time: i64,
}

impl Movie {
    /// Reads the body of a `moov` in a file of `file_bytes`, as far as that is known.
    ///
    /// A track that cannot be read is refused by itself.
    ///
    /// # Errors
    /// [`PackError`] when there is no other, or when the box is malformed.
    pub fn parse(moov: &Body, file_bytes: u64) -> Result<Self, PackError> {
        let movie_timescale = parse_movie_timescale(moov)?;
        let defaults = parse_extends(moov)?;
        let mut movie = Self { tracks: Vec::new(), refused: Vec::new(), is_fragmented: defaults.is_some() };
        for child in moov.children() {
            let (kind, trak) = child?;
            if kind != *b"trak" || movie.tracks.len() + movie.refused.len() >= MAX_READ_TRACKS {
                continue;
            }
            match parse_trak(&trak, movie_timescale, file_bytes)? {
                Trak::Read(track) => movie.tracks.push(*track),
                Trak::Refused(number, why) => movie.refused.push((number, why)),
                Trak::NotMedia => {}
            }
        }
        let defaults = defaults.unwrap_or_default();
        for track in &mut movie.tracks {
            let found = defaults.iter().find(|(number, _)| *number == track.number);
            track.defaults = found.map_or_else(Defaults::default, |(_, defaults)| *defaults);
        }
        movie.number_tracks();
        match movie.refused.first() {
            Some((_, why)) if movie.tracks.is_empty() => Err(why.clone()),
            _ => Ok(movie),
        }
    }

    /// The first video track is 0, the first audio track 1, others follow in their order.
    fn number_tracks(&mut self) {
        let kinds: Vec<_> = self.tracks.iter().map(MovieTrack::kind).collect();
        let first = |kind| kinds.iter().position(|&other| other == kind);
        let (first_video, first_audio) = (first(MediaKind::Video), first(MediaKind::Audio));
        let mut others = 2_u8..;
        for (index, track) in self.tracks.iter_mut().enumerate() {
            let id = match Some(index) {
                index if index == first_video => Some(0),
                index if index == first_audio => Some(1),
                _ => others.next(),
            };
            track.id = TrackId(id.unwrap_or(u8::MAX));
        }
    }
}

impl MovieTrack {
    /// How long its media is.
    pub fn duration(&self) -> Duration {
        let timescale = u64::from(self.timescale.max(1));
        let nanos = u128::from(self.duration % timescale) * 1_000_000_000 / u128::from(timescale);
        Duration::new(self.duration / timescale, u32::try_from(nanos).unwrap_or(0))
    }

    /// Pictures or sound.
    pub fn kind(&self) -> MediaKind {
        self.descriptions.iter().find_map(Description::kind).unwrap_or(MediaKind::Data)
    }
}

enum Trak {
    Read(Box<MovieTrack>),
    Refused(u32, PackError),
    /// Neither video nor audio: timecodes, chapters, hints, subtitles.
    NotMedia,
}

fn parse_movie_timescale(moov: &Body) -> Result<u32, PackError> {
    let (version, _, body) = moov.require(b"mvhd", "moov without mvhd")?.full("mvhd")?;
    let mut fields = body.fields();
    fields.skip(if version == 1 { 16 } else { 8 }, "mvhd")?;
    fields.u32("mvhd timescale")
}

/// `trex` by track; `None` without `mvex`.
fn parse_extends(moov: &Body) -> Result<Option<Vec<(u32, Defaults)>>, PackError> {
    let Some(mvex) = moov.find(b"mvex")? else { return Ok(None) };
    let mut defaults = Vec::new();
    for child in mvex.children() {
        let (kind, body) = child?;
        if kind != *b"trex" || defaults.len() >= MAX_READ_TRACKS {
            continue;
        }
        let (_, _, body) = body.full("trex")?;
        let mut fields = body.fields();
        let mut field = || fields.u32("trex");
        let (number, description, duration, bytes, flags) = (field()?, field()?, field()?, field()?, field()?);
        defaults.push((number, Defaults { description, duration, bytes, flags }));
    }
    Ok(Some(defaults))
}

fn parse_trak(trak: &Body, movie_timescale: u32, file_bytes: u64) -> Result<Trak, PackError> {
    let (version, _, tkhd) = trak.require(b"tkhd", "trak without tkhd")?.full("tkhd")?;
    let mut fields = tkhd.fields();
    fields.skip(if version == 1 { 16 } else { 8 }, "tkhd")?;
    let number = fields.u32("tkhd track_ID")?;
    let mdia = trak.require(b"mdia", "trak without mdia")?;
    let (_, _, hdlr) = mdia.require(b"hdlr", "mdia without hdlr")?.full("hdlr")?;
    let mut fields = hdlr.fields();
    fields.skip(4, "hdlr")?;
    if !matches!(&fields.array("hdlr handler_type")?, b"vide" | b"soun") {
        return Ok(Trak::NotMedia);
    }
    let (timescale, duration, language) = parse_mdhd(&mdia)?;
    let stbl = mdia.require(b"minf", "mdia without minf")?.require(b"stbl", "minf without stbl")?;
    let descriptions = match parse_descriptions(&stbl, timescale) {
        Ok(descriptions) => descriptions,
        Err(why) => return Ok(Trak::Refused(number, why)),
    };
    let waveform_bytes = descriptions.iter().find_map(|description| description.waveform_bytes);
    Ok(Trak::Read(Box::new(MovieTrack {
        number,
        id: TrackId(0),
        timescale,
        duration,
        language,
        edit: parse_edits(trak, movie_timescale)?,
        table: SampleTable::parse(&stbl, waveform_bytes, file_bytes)?,
        descriptions,
        defaults: Defaults::default(),
    })))
}

fn parse_mdhd(mdia: &Body) -> Result<(u32, u64, Option<Language>), PackError> {
    let (version, _, body) = mdia.require(b"mdhd", "mdia without mdhd")?.full("mdhd")?;
    let mut fields = body.fields();
    fields.skip(if version == 1 { 16 } else { 8 }, "mdhd")?;
    let timescale = fields.u32("mdhd timescale")?;
    if timescale == 0 {
        return Err(malformed("mdhd timescale", body.offset));
    }
    let duration = fields.versioned(version, "mdhd duration")?;
    let packed = fields.u16("mdhd language")?;
    let letters = [packed >> 10 & 0x1f, packed >> 5 & 0x1f, packed & 0x1f].map(|letter| 0x60 | letter as u8);
    // QuickTime has numbers of the Macintosh here, which are no letters.
    let language = std::str::from_utf8(&letters).ok().and_then(Language::new);
    Ok((timescale, duration, language))
}

fn parse_edits(trak: &Body, movie_timescale: u32) -> Result<Edit, PackError> {
    let mut edit = Edit { pause: 0, movie_timescale, media_time: 0 };
    let Some(elst) = trak.find(b"edts")?.map(|edts| edts.find(b"elst")).transpose()?.flatten() else { return Ok(edit) };
    let (version, _, body) = elst.full("elst")?;
    let mut fields = body.fields();
    for _ in 0..fields.u32("elst entry_count")? {
        let duration = fields.versioned(version, "elst")?;
        let media_time = match version {
            1 => fields.u64("elst media_time")? as i64,
            _ => i64::from(fields.u32("elst media_time")? as i32),
        };
        fields.skip(4, "elst media_rate")?;
        if media_time >= 0 {
            edit.media_time = media_time;
            break;
        }
        edit.pause = edit.pause.saturating_add(duration);
    }
    Ok(edit)
}
