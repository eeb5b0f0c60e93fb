//! Frames to an init segment and fragments: fragmented MP4, and CMAF where there is one track (ISO/IEC 23000-19).

use arcly_bus::{Frame, Track, TrackId, TrackSet};
use arcly_codec::{Codec, CodecConfig, MediaKind};
use bytes::{BufMut, Bytes};

use super::{
    entry::{self, BitRate, Extras},
    fragment::{self, Head, Room, Run, Written, payloads},
    movie::{self, Edit, Trak, put_empty_tables, put_movie_extends, put_movie_header, put_trak},
    write::put_box,
};
use crate::PackError;

/// Tracks in a file.
pub const MAX_TRACKS: usize = 16;

/// What is known of a track beyond its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrackOptions {
    /// Ticks of the track's clock by which its media is written later than it is presented; an edit list takes them away again, so
    /// that presentation times are those of the frames. `None`: the pre-skip of Opus, else nothing.
    ///
    /// This is room in front of 0: for the priming of an audio encoder, whose first frames have negative times, and for pictures that are
    /// decoded before 0 because they are reordered.
    pub delay: Option<u32>,
    /// Bit rates, for `btrt` and `esds`.
    pub bit_rate: Option<BitRate>,
}

/// Writes the frames of a stream as fragmented MP4.
///
/// An init segment holds for all fragments until [`Self::reconfigure`]. Times are those of the frames, in the clocks of the tracks:
/// nothing is summed up, so that there is no drift and a gap stays a gap. Frames of tracks that it was not given are passed over, so that
/// several muxers of one track each, and one of all, can be fed from the same frames.
///
/// ID3 and SCTE-35 frames become `emsg` boxes in front of the fragment with which they come. Other data tracks are refused.
#[derive(Debug, Clone)]
pub struct Fmp4Muxer {
    tracks: Vec<MuxTrack>,
    events: Vec<EventTrack>,
    init_segment: Bytes,
    sequence_number: u32,
}

/// A track with samples.
#[derive(Debug, Clone)]
pub(super) struct MuxTrack {
    pub track: Track,
    pub number: u32,
    /// Added to each time.
    pub delay: u32,
    /// How long the newest sample was taken to last.
    pub newest_step: u32,
    /// Its decoding time.
    pub newest_dts: Option<i64>,
    /// Of the fragment in the making.
    pub run: Run,
}

/// A data track.
#[derive(Debug, Clone)]
pub(super) struct EventTrack {
    pub id: TrackId,
    pub codec: Codec,
    pub clock_rate_hz: u32,
}

impl Fmp4Muxer {
    /// A muxer for these tracks.
    ///
    /// # Errors
    /// As [`Self::reconfigure`].
    pub fn new(tracks: &TrackSet) -> Result<Self, PackError> {
        Self::with_options(tracks, |_| TrackOptions::default())
    }

    /// A muxer that is told more about the tracks.
    ///
    /// # Errors
    /// As [`Self::reconfigure`].
    pub fn with_options(tracks: &TrackSet, options: impl Fn(&Track) -> TrackOptions) -> Result<Self, PackError> {
        let mut muxer = Self { tracks: Vec::new(), events: Vec::new(), init_segment: Bytes::new(), sequence_number: 1 };
        muxer.reconfigure_with_options(tracks, options)?;
        Ok(muxer)
    }

    /// Whether MP4 can carry this track.
    ///
    /// # Errors
    /// [`PackError::Unsupported`] naming what it cannot carry.
    pub fn supports(track: &Track) -> Result<(), PackError> {
        if is_event(track) { Ok(()) } else { entry::check(track) }
    }

    /// Goes on with other tracks. True when the init segment is another one now, which then has to be sent before the next fragment.
    ///
    /// # Errors
    /// [`PackError::Misuse`] when there is no track with samples, [`PackError::LimitExceeded`] when there are more than [`MAX_TRACKS`],
    /// [`PackError::Unsupported`] for a codec that cannot be carried. Nothing has changed then.
    pub fn reconfigure(&mut self, tracks: &TrackSet) -> Result<bool, PackError> {
        self.reconfigure_with_options(tracks, |_| TrackOptions::default())
    }

    /// [`Self::reconfigure`], told more about the tracks.
    ///
    /// # Errors
    /// As there.
    pub fn reconfigure_with_options(
        &mut self,
        tracks: &TrackSet,
        options: impl Fn(&Track) -> TrackOptions,
    ) -> Result<bool, PackError> {
        let (events, samples): (Vec<&Track>, Vec<&Track>) = tracks.tracks.iter().partition(|track| is_event(track));
        check_count(samples.len())?;
        let described: Vec<_> = samples.into_iter().map(|track| (track, options(track))).collect();
        let init_segment = init_segment(&described)?;
        let changed = self.init_segment != init_segment;
        let before = std::mem::take(&mut self.tracks);
        let known = |track: &Track| before.iter().find(|known| known.track.id == track.id);
        self.tracks =
            described.iter().map(|(track, options)| MuxTrack::new(track, options).behind(known(track))).collect();
        self.events = events.into_iter().map(EventTrack::new).collect();
        self.init_segment = init_segment;
        Ok(changed)
    }

    /// `ftyp` and `moov`.
    pub fn init_segment(&self) -> &Bytes {
        &self.init_segment
    }

    /// The same muxer in front of the fragment of that number, counted from 1: what it writes does not depend on what was written before.
    pub fn at_fragment(&self, number: u32) -> Self {
        Self { sequence_number: number, ..self.clone() }
    }

    /// Appends one fragment with these frames: the boxes that `head` asks for, then `moof` and `mdat`. Of one access unit or of a whole
    /// segment. Where there is no frame with bytes of a track with samples, there is no `moof`.
    ///
    /// A sample lasts until the next one of its track is decoded. The last one of the fragment lasts until [`Head::next`] of its track
    /// if that is said, else as long as its frame says, else as long as the one before it; of pictures that come one in a fragment, rather as
    /// long as the longest of the last ones.
    ///
    /// # Errors
    /// [`PackError::Misuse`] when decoding times go back within the fragment (a break in the timeline: cut there),
    /// [`PackError::Unsupported`] for a time that is negative even behind [`TrackOptions::delay`], [`PackError::LimitExceeded`] for 4 GiB
    /// and more in one fragment, or for 2^32 ticks and more between two frames. Nothing has been written then.
    pub fn write_fragment(&mut self, frames: &[Frame], head: &Head, out: &mut Vec<u8>) -> Result<(), PackError> {
        self.write_head(frames, head, Room::Fragment, out)?;
        payloads(&self.tracks, frames).for_each(|payload| out.extend_from_slice(payload));
        Ok(())
    }

    /// [`Self::write_fragment`] in pieces: appends what is in front of the samples to `out`; their payloads follow, in this order. For
    /// whoever writes pieces with one call, and so copies no sample.
    ///
    /// # Errors
    /// As there.
    pub fn write_fragment_head<'f>(
        &mut self,
        frames: &'f [Frame],
        head: &Head,
        out: &mut Vec<u8>,
    ) -> Result<Vec<&'f Bytes>, PackError> {
        self.write_head(frames, head, Room::Head, out)?;
        Ok(payloads(&self.tracks, frames).collect())
    }

    fn write_head(&mut self, frames: &[Frame], head: &Head, room: Room, out: &mut Vec<u8>) -> Result<(), PackError> {
        let mut written =
            Written { tracks: &mut self.tracks, events: &self.events, sequence_number: self.sequence_number };
        let has_samples = written.write_head(frames, head, room, out)?;
        self.sequence_number = self.sequence_number.wrapping_add(u32::from(has_samples));
        Ok(())
    }

    /// Appends a chunk that says of the first track that there is no sample for so long.
    pub(crate) fn write_empty(&mut self, dts: i64, ticks: i64, out: &mut Vec<u8>) {
        let Some(track) = self.tracks.first() else { return };
        fragment::put_empty(track, self.sequence_number, dts, ticks, out);
        self.sequence_number = self.sequence_number.wrapping_add(1);
    }
}

impl MuxTrack {
    fn new(track: &Track, options: &TrackOptions) -> Self {
        let (number, delay) = (movie::track_number(track), delay(track, options));
        let newest_step = usual_step(track);
        Self { number, delay, newest_step, newest_dts: None, run: Run::default(), track: track.clone() }
    }

    /// The same, as it goes on where it was there before: pictures come no faster for another configuration.
    fn behind(self, before: Option<&Self>) -> Self {
        match before.filter(|before| before.track.clock_rate_hz == self.track.clock_rate_hz) {
            Some(&Self { newest_dts, .. }) => Self { newest_dts, ..self },
            None => self,
        }
    }
}

impl EventTrack {
    fn new(track: &Track) -> Self {
        Self { id: track.id, codec: track.config.codec(), clock_rate_hz: track.clock_rate_hz }
    }
}

fn is_event(track: &Track) -> bool {
    matches!(track.config.codec(), Codec::Id3 | Codec::Scte35)
}

fn check_count(seen: usize) -> Result<(), PackError> {
    match seen {
        0 => Err(PackError::Misuse { what: "MP4 without a track that has samples" }),
        1..=MAX_TRACKS => Ok(()),
        _ => Err(PackError::LimitExceeded { limit: "tracks in an MP4 file", max: MAX_TRACKS, seen }),
    }
}

/// See [`TrackOptions::delay`].
pub(super) fn delay(track: &Track, options: &TrackOptions) -> u32 {
    options.delay.unwrap_or_else(|| match &track.config {
        // Opus-ISOBMFF §4.4: an edit list says what a player throws away.
        CodecConfig::Opus(config) => u32::from(config.pre_skip),
        _ => 0,
    })
}

/// What one sample lasts where nothing else says it.
pub(super) fn usual_step(track: &Track) -> u32 {
    match track.kind() {
        MediaKind::Audio => track.config.audio().map_or(0, |info| info.samples_per_frame).max(1),
        _ => match track.config.video().and_then(|info| info.frame_rate) {
            Some((numerator, denominator)) => {
                let ticks = u64::from(track.clock_rate_hz) * u64::from(denominator) / u64::from(numerator.max(1));
                u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
            }
            None => (track.clock_rate_hz / 30).max(1),
        },
    }
}

fn init_segment(tracks: &[(&Track, TrackOptions)]) -> Result<Bytes, PackError> {
    let mut out = Vec::new();
    put_box(&mut out, b"ftyp", |out| {
        out.put_slice(movie::FRAGMENTED);
        // A CMAF track file has one track (ISO/IEC 23000-19 §7.2).
        out.put_slice(if tracks.len() == 1 { b"cmfc" } else { b"" });
        movie::put_brands(out, tracks.iter().map(|(track, _)| *track));
    });
    let mut traks = Vec::new();
    for (track, options) in tracks {
        let delay = delay(track, options);
        let edit = (delay > 0).then_some(Edit { movie_duration: 0, media_time: Some(u64::from(delay)) });
        let extras = Extras { bit_rate: options.bit_rate };
        let edits = edit.into_iter().collect();
        let trak = Trak { track, extras, movie_duration: 0, media_duration: 0, edits };
        put_trak(&mut traks, &trak, put_empty_tables)?;
    }
    let numbers = tracks.iter().map(|(track, _)| movie::track_number(track));
    put_box(&mut out, b"moov", |out| {
        put_movie_header(out, 0, numbers.max().unwrap_or(0) + 1);
        out.put_slice(&traks);
        put_movie_extends(out, &tracks.iter().map(|(track, _)| *track).collect::<Vec<_>>());
    });
    Ok(out.into())
}
