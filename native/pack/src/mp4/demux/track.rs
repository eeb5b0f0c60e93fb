//! One track: its next sample, out of the tables or out of a fragment, and that sample as a frame.

use std::collections::VecDeque;

use arcly_bus::{Frame, FrameFlags, Track};
use arcly_codec::MediaKind;
use bytes::Bytes;

use super::{
    MAX_SAMPLE_BYTES, Sample,
    form::Converted,
    fragment::{Run, TrackRun},
    movie::{Movie, MovieTrack},
    table::TableCursor,
};
use crate::{PackError, mp4::finalize::Place, time::rescale};

/// Samples of a track may share bytes, but not so that a small file is a long stream: together they have no more than so many times the
/// bytes of the file.
const MAX_REUSE: u64 = 2;

/// Ticks per second at which times of different tracks are compared.
const COMMON_CLOCK_HZ: u32 = 1_000_000;

/// A track that is being read.
#[derive(Debug)]
struct TrackReader {
    track: MovieTrack,
    cursor: TableCursor,
    runs: VecDeque<Run>,
    next: Option<Sample>,
    /// Fragments that follow may have something of it: when it has nothing left, they are looked at.
    is_awaited: bool,
    /// Index of the sample entry that holds.
    description: usize,
    /// Ticks of the media by which decoding is earlier than the container says: it may present a sample before that (signed composition
    /// offsets), the bus may not.
    advance: i64,
    /// The next frame does not follow the one before.
    breaks: bool,
}

/// The tracks of a file that are being read.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    readers: Vec<TrackReader>,
    /// Bytes of all samples so far.
    used_bytes: u64,
}

/// What came of a sample.
pub(super) struct Output {
    /// The configuration of the track is another one from this frame on.
    pub changed: bool,
    /// `None` when there is nothing in it to decode, or nothing to decode it with.
    pub frame: Option<Frame>,
}

impl TrackReader {
    fn new(track: MovieTrack) -> Self {
        let advance = -i64::from(track.table.least_composition_offset());
        Self {
            track,
            cursor: TableCursor::default(),
            runs: VecDeque::new(),
            next: None,
            is_awaited: true,
            description: 0,
            advance,
            breaks: false,
        }
    }

    /// Samples of a fragment come behind those that are there.
    fn push_run(&mut self, run: Run) {
        self.advance = self.advance.max(-i64::from(run.least_composition_offset()));
        self.runs.push_back(run);
        self.is_awaited = true;
    }

    /// The sample that comes next.
    fn peek(&mut self) -> Option<Sample> {
        if self.next.is_none() {
            self.next = self.track.table.peek(&mut self.cursor).or_else(|| self.peek_run());
        }
        self.next
    }

    fn peek_run(&mut self) -> Option<Sample> {
        loop {
            match self.runs.front()?.peek() {
                Some(sample) => return Some(sample),
                None => drop(self.runs.pop_front()),
            }
        }
    }

    /// Goes behind the next sample.
    fn step(&mut self) {
        let Some(sample) = self.peek() else { return };
        self.next = None;
        if self.track.table.peek(&mut self.cursor).is_some() {
            self.track.table.advance(&mut self.cursor, &sample);
        } else if let Some(run) = self.runs.front_mut() {
            run.advance(&sample);
        }
    }

    /// Nothing more comes.
    fn stop(&mut self) {
        self.next = None;
        self.runs.clear();
        self.cursor = self.track.table.end();
    }

    /// Goes to the last sync sample that is decoded at `micros` of the presentation or before; see [`Self::micros`].
    fn seek(&mut self, micros: i64) {
        let media = rescale(micros.saturating_sub(self.pause(COMMON_CLOCK_HZ)), COMMON_CLOCK_HZ, self.track.timescale);
        self.cursor = self.track.table.seek(media.saturating_add(self.track.edit.media_time));
        self.forget_fragments();
    }

    /// Fragments will be read again, from elsewhere.
    fn forget_fragments(&mut self) {
        self.next = None;
        self.runs.clear();
        self.is_awaited = true;
        self.breaks = true;
    }

    /// Decoding time of a sample in microseconds of the presentation, to compare tracks with each other.
    fn micros(&self, sample: &Sample) -> i64 {
        self.presentation_time(sample.dts, COMMON_CLOCK_HZ)
    }

    /// A time of the media on the presentation timeline, always from the absolute time.
    fn presentation_time(&self, media: i64, clock_hz: u32) -> i64 {
        let media = media.saturating_sub(self.track.edit.media_time);
        rescale(media, self.track.timescale, clock_hz) + self.pause(clock_hz)
    }

    fn pause(&self, clock_hz: u32) -> i64 {
        let pause = i64::try_from(self.track.edit.pause).unwrap_or(0);
        rescale(pause, self.track.edit.movie_timescale, clock_hz)
    }

    /// As it is announced; `None` as long as its configuration is not known.
    fn announced(&self) -> Option<Track> {
        let description = self.track.descriptions.get(self.description)?;
        let (config, language) = (description.config.clone()?, self.track.language);
        let (dolby_vision, hdr) = (description.dolby_vision, description.hdr);
        Some(Track { language, dolby_vision, hdr, ..Track::new(self.track.id, config) })
    }

    /// A sample as a frame. The caller has gone behind it already.
    fn convert(&mut self, sample: &Sample, payload: Bytes) -> Result<Output, PackError> {
        let index = sample.description as usize;
        let Some(description) = self.track.descriptions.get_mut(index) else {
            return Err(PackError::Unsupported { what: "sample without a sample entry" });
        };
        let Converted { payload, is_key, changed } = description.convert(payload, sample.is_sync)?;
        let other = std::mem::replace(&mut self.description, index) != index;
        let changed = (changed || other) && description.config.is_some();
        let Some(clock_hz) = description.config.as_ref().map(|config| config.clock_rate_hz()) else {
            return Ok(Output { changed: false, frame: None });
        };
        let frame = (!payload.is_empty()).then(|| self.frame(sample, payload, is_key, clock_hz));
        Ok(Output { changed, frame })
    }

    /// PTS, DTS and duration of a sample on the bus.
    fn times(&self, sample: &Sample, clock_hz: u32) -> (i64, i64, u32) {
        let media_pts = sample.dts.saturating_add(i64::from(sample.composition_offset));
        let pts = self.presentation_time(media_pts, clock_hz);
        let dts = self.presentation_time(sample.dts.saturating_sub(self.advance), clock_hz).min(pts);
        let end = self.presentation_time(media_pts.saturating_add(i64::from(sample.duration)), clock_hz);
        (pts, dts, u32::try_from(end.saturating_sub(pts)).unwrap_or(0))
    }

    /// Where a sample is; `None` as long as the configuration of its track is not known.
    fn place(&self, sample: &Sample) -> Result<Option<Place>, PackError> {
        let Some(description) = self.track.descriptions.get(sample.description as usize) else { return Ok(None) };
        if !description.form.is_canonical() {
            return Err(PackError::Unsupported { what: "recording whose samples are not in the form of the bus" });
        }
        let Some(config) = &description.config else { return Ok(None) };
        let (pts, dts, duration) = self.times(sample, config.clock_rate_hz());
        let Sample { offset, bytes, is_sync, .. } = *sample;
        Ok(Some(Place { track: self.track.id, offset, bytes, pts, dts, duration, is_key: is_sync }))
    }

    fn frame(&mut self, sample: &Sample, payload: Bytes, is_key: bool, clock_hz: u32) -> Frame {
        let (pts, dts, duration) = self.times(sample, clock_hz);
        let breaks = std::mem::take(&mut self.breaks);
        let key = if is_key { FrameFlags::KEY } else { FrameFlags::NONE };
        let flags = key.with(if breaks { FrameFlags::DISCONTINUITY } else { FrameFlags::NONE });
        Frame { track: self.track.id, flags, pts, dts, duration, payload }
    }
}

/// Whether a sample can be read at all.
pub(super) fn is_readable(sample: &Sample) -> bool {
    (1..=MAX_SAMPLE_BYTES).contains(&sample.bytes)
}

impl Tracks {
    /// All of a movie, at their first samples.
    pub fn new(movie: &Movie) -> Self {
        Self { readers: movie.tracks.iter().cloned().map(TrackReader::new).collect(), used_bytes: 0 }
    }

    pub fn len(&self) -> usize {
        self.readers.len()
    }

    /// The tracks whose configuration is known.
    pub fn announced(&self) -> impl Iterator<Item = Track> {
        self.readers.iter().filter_map(TrackReader::announced)
    }

    /// Takes what is known of tracks from elsewhere, where only their first samples would say it.
    pub fn know(&mut self, tracks: &[Track]) {
        for reader in &mut self.readers {
            let Some(track) = tracks.iter().find(|track| track.id == reader.track.id) else { continue };
            let description = reader.track.descriptions.get_mut(reader.description);
            if let Some(description) = description.filter(|description| description.config.is_none()) {
                description.config = Some(track.config.clone());
            }
        }
    }

    /// Samples of a fragment come behind those that are there.
    pub fn push_run(&mut self, TrackRun { track, run }: TrackRun) {
        if let Some(reader) = self.readers.get_mut(track) {
            reader.push_run(run);
        }
    }

    /// Whether a track has nothing left of which more is awaited.
    pub fn lacks_one(&mut self) -> bool {
        self.readers.iter_mut().any(|reader| reader.is_awaited && reader.peek().is_none())
    }

    /// Those that have nothing left are silent for a while, or for good: they are not awaited before something comes of them.
    pub fn await_no_longer(&mut self) {
        for reader in &mut self.readers {
            reader.is_awaited = reader.peek().is_some();
        }
    }

    /// The next sample of each track that has one, with its index.
    pub fn peek(&mut self) -> impl Iterator<Item = (usize, Sample)> {
        self.readers.iter_mut().enumerate().filter_map(|(index, reader)| Some((index, reader.peek()?)))
    }

    /// Of these, the one that is decoded first.
    pub fn earliest(&mut self) -> Option<(usize, Sample)> {
        let mut earliest: Option<(i64, usize, Sample)> = None;
        for (index, reader) in self.readers.iter_mut().enumerate() {
            let Some(sample) = reader.peek() else { continue };
            let at = reader.micros(&sample);
            if earliest.as_ref().is_none_or(|(first, ..)| at < *first) {
                earliest = Some((at, index, sample));
            }
        }
        earliest.map(|(_, index, sample)| (index, sample))
    }

    /// Goes behind the next sample of a track, in a file that is known to have `file_bytes`. Where the samples claim more than can be
    /// in them, nothing more comes.
    pub fn step(&mut self, index: usize, file_bytes: u64) {
        let Some(reader) = self.readers.get_mut(index) else { return };
        self.used_bytes = self.used_bytes.saturating_add(reader.peek().map_or(0, |sample| u64::from(sample.bytes)));
        reader.step();
        if self.used_bytes > file_bytes.saturating_mul(MAX_REUSE) {
            self.readers.iter_mut().for_each(TrackReader::stop);
        }
    }

    /// Goes behind a sample that cannot be read. One that is too large ends its track: nothing says that there are any bytes for all
    /// that may follow it.
    pub fn leave_out(&mut self, index: usize, sample: &Sample, file_bytes: u64) {
        if sample.bytes > MAX_SAMPLE_BYTES { self.stop(index) } else { self.step(index, file_bytes) }
    }

    /// Nothing more comes of a track.
    pub fn stop(&mut self, index: usize) {
        self.readers.get_mut(index).into_iter().for_each(TrackReader::stop);
    }

    /// A sample as a frame.
    pub fn convert(&mut self, index: usize, sample: &Sample, payload: Bytes) -> Result<Output, PackError> {
        let reader = self.readers.get_mut(index);
        reader.map_or(Ok(Output { changed: false, frame: None }), |reader| reader.convert(sample, payload))
    }

    /// Where a sample is; `None` as long as the configuration of its track is not known.
    pub fn place(&self, index: usize, sample: &Sample) -> Result<Option<Place>, PackError> {
        self.readers.get(index).map_or(Ok(None), |reader| reader.place(sample))
    }

    /// Goes to a time of the presentation: each track to its last sync sample before it, the others to that of the first video track.
    /// Where samples are in fragments, these are forgotten. Returns the time that was found.
    pub fn seek(&mut self, micros: i64) -> i64 {
        self.used_bytes = 0;
        let video = self.readers.iter().position(|reader| reader.track.kind() == MediaKind::Video);
        let mut micros = micros;
        if let Some(reader) = video.and_then(|video| self.readers.get_mut(video)) {
            reader.seek(micros);
            micros = reader.peek().map_or(micros, |sample| reader.micros(&sample));
        }
        let others = self.readers.iter_mut().enumerate().filter(|(index, _)| Some(*index) != video);
        others.for_each(|(_, reader)| reader.seek(micros));
        micros
    }

    /// Fragments will be read from elsewhere.
    pub fn forget_fragments(&mut self) {
        self.used_bytes = 0;
        self.readers.iter_mut().for_each(TrackReader::forget_fragments);
    }

    /// When the first sample of a run is decoded, in microseconds of the presentation, and whether decoding can begin there.
    pub fn start(&self, run: &TrackRun) -> Option<(i64, bool)> {
        let (reader, sample) = (self.readers.get(run.track)?, run.run.peek()?);
        let is_video = reader.track.kind() == MediaKind::Video;
        let has_video = self.readers.iter().any(|reader| reader.track.kind() == MediaKind::Video);
        Some((reader.micros(&sample), sample.is_sync && (is_video || !has_video)))
    }
}
