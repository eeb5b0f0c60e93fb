//! A file by random access. No I/O: it says which bytes it needs, and is given them.

use std::{collections::VecDeque, time::Duration};

use arcly_bus::Track;
use bytes::Bytes;

use super::{
    MAX_MOOF_BYTES, MAX_MOOV_BYTES, Sample,
    fragment::parse_moof,
    movie::{Movie, MovieTrack},
    track::{Output, Tracks, is_readable},
};
use crate::{
    PackError,
    demux::Item,
    mp4::{
        finalize::Place,
        read::{Body, BoxHeader, LARGE_HEADER_BYTES, malformed},
    },
};

/// Bytes that are asked for at once, so that samples which lie together are read together.
const READ_AHEAD_BYTES: u64 = 256 << 10;
/// The same where only boxes are looked at: a fragment's `moof`, mostly.
const PLACES_AHEAD_BYTES: u64 = 4 << 10;
/// Pieces of the file that are held: tracks that lie apart are read in turns.
const MAX_WINDOWS: usize = 4;
/// Fragments that are looked at in front of their media when a track has nothing left: where each has one track, those of a time lie
/// behind each other. More of them, and the track is silent.
const MAX_AHEAD_MOOFS: u32 = 32;
/// The bytes of those `moof`s.
const MAX_AHEAD_BYTES: u64 = 1 << 20;
/// Fragments whose place is remembered for a seek: four months of two seconds each.
const MAX_MARKS: usize = 1 << 22;

/// What an [`Mp4Index`] does next.
#[derive(Debug, Clone)]
pub enum Step {
    /// It needs these bytes of the file: see [`Mp4Index::supply`].
    Read {
        /// Of the first byte.
        offset: u64,
        /// How many; they do not go beyond the end of the file.
        bytes: usize,
    },
    /// Tracks or a frame.
    Item(Item),
    /// The end of the file, or of what is whole of it.
    End,
}

/// Reads an MP4 file of any kind: `moov` in front or behind, fragmented or not, in the order of decoding times, from any key frame.
///
/// Call [`step`](Self::step) again and again. The bytes it asks for can come from a file, a map of one, or an object store.
#[derive(Debug)]
pub struct Mp4Index {
    file_bytes: u64,
    windows: VecDeque<(u64, Bytes)>,
    /// Where the next box of the file begins that has not been looked at.
    next_box: u64,
    movie: Option<Movie>,
    tracks: Tracks,
    next_dts: Vec<i64>,
    items: VecDeque<Item>,
    announced: Vec<Track>,
    /// `moof`s that were read in front of their media, and their bytes.
    ahead: (u32, u64),
    /// Fragments at which decoding can begin: time in microseconds, offset; by offset.
    marks: Vec<(i64, u64)>,
    /// Where the fragments behind the last mark are looked at next.
    unmarked: u64,
    /// The time that is sought while fragments are only looked at.
    seeking: Option<i64>,
    dropped_frames: u64,
    broken_frames: u64,
    /// Places instead of frames: no media is read.
    places: Option<VecDeque<Place>>,
    /// Tracks that need not be found out.
    known: Vec<Track>,
    /// Bytes that are asked for at once.
    read_ahead: u64,
}

impl Mp4Index {
    /// A reader of a file of that size.
    pub fn new(file_bytes: u64) -> Self {
        Self {
            file_bytes,
            windows: VecDeque::new(),
            next_box: 0,
            movie: None,
            tracks: Tracks::default(),
            next_dts: Vec::new(),
            items: VecDeque::new(),
            announced: Vec::new(),
            ahead: (0, 0),
            marks: Vec::new(),
            unmarked: 0,
            seeking: None,
            dropped_frames: 0,
            broken_frames: 0,
            places: None,
            known: Vec::new(),
            read_ahead: READ_AHEAD_BYTES,
        }
    }

    /// A reader that gives out where samples are instead of frames: [`Self::poll_place`] behind each [`Self::advance`].
    pub(in crate::mp4) fn places(file_bytes: u64) -> Self {
        Self { places: Some(VecDeque::new()), read_ahead: PLACES_AHEAD_BYTES, ..Self::new(file_bytes) }
    }

    /// [`Self::places`] of a file whose tracks are known: they are not looked for in its media.
    pub(in crate::mp4) fn places_of(file_bytes: u64, known: Vec<Track>) -> Self {
        Self { known, ..Self::places(file_bytes) }
    }

    pub(in crate::mp4) fn poll_place(&mut self) -> Option<Place> {
        self.places.as_mut()?.pop_front()
    }

    /// What comes next.
    ///
    /// # Errors
    /// [`PackError`] when the file cannot be read on; it stays so.
    pub fn step(&mut self) -> Result<Step, PackError> {
        loop {
            if let Some(step) = self.advance()? {
                return Ok(step);
            }
        }
    }

    /// Looks at one sample or one box.
    pub(in crate::mp4) fn advance(&mut self) -> Result<Option<Step>, PackError> {
        if let Some(item) = self.items.pop_front() {
            return Ok(Some(Step::Item(item)));
        }
        if self.seeking.is_none() && self.awaits_a_track() {
            return self.look_ahead();
        }
        match self.tracks.earliest() {
            Some((index, sample)) if self.seeking.is_none() => self.read_sample(index, &sample),
            _ if self.is_over() => match self.seeking.take() {
                Some(micros) => {
                    self.go_to_mark(micros);
                    Ok(None)
                }
                None => Ok(Some(Step::End)),
            },
            _ => self.read_box(),
        }
    }

    /// Gives it bytes of the file that begin at `offset`: those it has asked for, or more.
    pub fn supply(&mut self, offset: u64, bytes: Bytes) {
        if self.windows.len() >= MAX_WINDOWS {
            self.windows.pop_front();
        }
        self.windows.push_back((offset, bytes));
    }

    /// Goes to the last key frame of the first video track that is decoded at `time` of the presentation or before it, the other tracks
    /// with it. The next frame of each track is marked as a discontinuity.
    ///
    /// # Errors
    /// [`PackError::Misuse`] as long as the tracks have not come.
    pub fn seek(&mut self, time: Duration) -> Result<(), PackError> {
        let Some(movie) = &self.movie else { return Err(PackError::Misuse { what: "seek in front of the tracks" }) };
        self.items.retain(|item| matches!(item, Item::Tracks(_)));
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        self.tracks.seek(micros);
        if movie.is_fragmented {
            // Fragments that have been read are marked; the others are looked at first.
            match self.marks.last() {
                Some((last, _)) if micros < *last => self.go_to_mark(micros),
                _ => {
                    self.seeking = Some(micros);
                    self.next_box = self.unmarked;
                }
            }
        }
        Ok(())
    }

    /// Whether `moov` has been read: the tracks have come or will be the next item, and [`Self::seek`] can be used.
    pub fn is_open(&self) -> bool {
        self.movie.is_some()
    }

    /// How long the tracks are, by their tables; `None` for fragments, whose number is not known.
    pub fn duration(&self) -> Option<Duration> {
        let movie = self.movie.as_ref().filter(|movie| !movie.is_fragmented)?;
        movie.tracks.iter().map(MovieTrack::duration).max()
    }

    /// Samples that were left out: they lie outside of the file, or their configuration is not known.
    pub fn dropped_frames(&self) -> u64 {
        self.dropped_frames
    }

    /// Samples that were left out because they are malformed.
    pub fn broken_frames(&self) -> u64 {
        self.broken_frames
    }

    /// Tracks that are not read, by their `track_ID`, and why.
    pub fn refused_tracks(&self) -> &[(u32, PackError)] {
        self.movie.as_ref().map_or(&[], |movie| &movie.refused)
    }

    /// No box follows in which more samples could be.
    fn is_over(&self) -> bool {
        self.movie.as_ref().is_some_and(|movie| !movie.is_fragmented)
            || self.next_box >= self.file_bytes && self.movie.is_some()
    }

    /// Whether a track has nothing left, and may have something in the fragments that follow, which must come in its turn. Of places,
    /// the order within a fragment will do.
    fn awaits_a_track(&mut self) -> bool {
        let is_awaited = self.places.is_none() && !self.is_over() && self.tracks.lacks_one();
        if !is_awaited {
            self.ahead = (0, 0);
        }
        is_awaited
    }

    fn look_ahead(&mut self) -> Result<Option<Step>, PackError> {
        let ((moofs, bytes), at) = (self.ahead, self.next_box);
        if moofs < MAX_AHEAD_MOOFS && bytes < MAX_AHEAD_BYTES {
            if let Ok(step) = self.read_box() {
                return Ok(step);
            }
            // What is broken there is said when all has come that is in front of it.
            self.next_box = at;
        }
        self.tracks.await_no_longer();
        Ok(None)
    }

    /// These bytes of the file, or the step that gets them. Never more than the file has.
    fn bytes(&self, offset: u64, bytes: u64) -> Result<Bytes, Step> {
        let end = offset.saturating_add(bytes).min(self.file_bytes);
        for (begin, window) in self.windows.iter().rev() {
            let Some(from) = offset.checked_sub(*begin) else { continue };
            if end.saturating_sub(*begin) <= window.len() as u64 && from <= window.len() as u64 {
                return Ok(window.slice(from as usize..end.saturating_sub(*begin).max(from) as usize));
            }
        }
        let ahead = end.max(offset.saturating_add(self.read_ahead).min(self.file_bytes));
        Err(Step::Read { offset, bytes: usize::try_from(ahead.saturating_sub(offset)).unwrap_or(usize::MAX) })
    }

    /// Gives out one sample, or leaves one out that cannot be.
    fn read_sample(&mut self, index: usize, sample: &Sample) -> Result<Option<Step>, PackError> {
        if !is_readable(sample) || sample.end() > self.file_bytes {
            self.dropped_frames += u64::from(sample.bytes > 0);
            self.tracks.leave_out(index, sample, self.file_bytes);
            return Ok(None);
        }
        if self.places.is_some()
            && let Some(place) = self.tracks.place(index, sample)?
        {
            self.places.iter_mut().for_each(|places| places.push_back(place));
            self.tracks.step(index, self.file_bytes);
            return Ok(None);
        }
        let payload = match self.bytes(sample.offset, u64::from(sample.bytes)) {
            // Copied: a slice would keep the whole window alive.
            Ok(bytes) => Bytes::copy_from_slice(&bytes),
            Err(step) => return Ok(Some(step)),
        };
        if self.places.is_some() {
            // Only for the configuration that is in it.
            let known = self.tracks.convert(index, sample, payload)?.frame.is_some();
            if known {
                self.announce()
            } else {
                self.tracks.step(index, self.file_bytes)
            }
            return Ok(None);
        }
        self.tracks.step(index, self.file_bytes);
        match self.tracks.convert(index, sample, payload) {
            Ok(Output { changed, frame }) => {
                if changed {
                    self.announce();
                }
                self.dropped_frames += u64::from(frame.is_none());
                self.items.extend(frame.map(Item::Frame));
            }
            Err(_) => self.broken_frames += 1,
        }
        Ok(None)
    }

    fn announce(&mut self) {
        let tracks: Vec<Track> = self.tracks.announced().collect();
        if !tracks.is_empty() && tracks != self.announced {
            self.announced.clone_from(&tracks);
            self.items.push_back(Item::Tracks(tracks));
        }
    }

    /// Looks at the next box of the file.
    fn read_box(&mut self) -> Result<Option<Step>, PackError> {
        let offset = self.next_box;
        if offset >= self.file_bytes {
            return Err(malformed("MP4 without moov", self.file_bytes));
        }
        let header = match self.bytes(offset, LARGE_HEADER_BYTES as u64) {
            Ok(bytes) => BoxHeader::parse(&bytes, offset)?,
            Err(step) => return Ok(Some(step)),
        };
        // A header that is cut off is the end.
        let size = header.and_then(|header| header.size).unwrap_or(self.file_bytes - offset);
        let kind = header.map_or(*b"    ", |header| header.kind);
        let max = match &kind {
            b"moov" if self.movie.is_none() => MAX_MOOV_BYTES,
            b"moof" if self.movie.is_some() => MAX_MOOF_BYTES,
            _ => {
                self.next_box = offset.saturating_add(size);
                return Ok(None);
            }
        };
        if size > max {
            let clamp = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
            return Err(PackError::LimitExceeded { limit: "bytes of a box", max: clamp(max), seen: clamp(size) });
        }
        if size > self.file_bytes - offset {
            // The end of a recording that was cut off.
            self.next_box = self.file_bytes;
            return if self.movie.is_some() { Ok(None) } else { Err(malformed("moov longer than the file", offset)) };
        }
        let bytes = match self.bytes(offset, size) {
            Ok(bytes) => bytes,
            Err(step) => return Ok(Some(step)),
        };
        self.next_box = offset.saturating_add(size);
        let header_bytes = header.map_or(8, |header| header.header_bytes);
        let body = Body { bytes: bytes.slice(header_bytes as usize..), offset: offset.saturating_add(header_bytes) };
        if kind == *b"moov" {
            self.read_moov(&body)?
        } else {
            self.read_moof(&body, offset)?
        }
        Ok(None)
    }

    fn read_moov(&mut self, body: &Body) -> Result<(), PackError> {
        // Its tables are looked at for as long as the file is read; a slice would keep the window alive.
        let body = Body { bytes: Bytes::copy_from_slice(&body.bytes), offset: body.offset };
        let movie = Movie::parse(&body, self.file_bytes)?;
        self.tracks = Tracks::new(&movie);
        self.tracks.know(&self.known);
        self.next_dts = vec![0; self.tracks.len()];
        if movie.is_fragmented {
            // Fragments need not be behind it.
            self.unmarked = self.next_box;
        }
        self.movie = Some(movie);
        self.announce();
        Ok(())
    }

    fn read_moof(&mut self, body: &Body, offset: u64) -> Result<(), PackError> {
        let Some(movie) = &self.movie else { return Ok(()) };
        // Its runs wait for their turn; slices would keep the window alive.
        let body = &Body { bytes: Bytes::copy_from_slice(&body.bytes), offset: body.offset };
        let runs = parse_moof(body, offset, movie, &mut self.next_dts)?;
        let start = runs.iter().filter_map(|run| self.tracks.start(run)).find(|(_, is_key)| *is_key);
        if offset >= self.unmarked {
            self.unmarked = self.next_box;
            if let Some((micros, _)) = start.filter(|_| self.marks.len() < MAX_MARKS) {
                self.marks.push((micros, offset));
            }
        }
        match (self.seeking, start) {
            (Some(sought), Some((micros, _))) if micros > sought => {
                self.seeking = None;
                self.go_to_mark(sought);
            }
            (Some(_), _) => {}
            (None, _) => {
                self.ahead = (self.ahead.0 + 1, self.ahead.1 + body.bytes.len() as u64);
                runs.into_iter().for_each(|run| self.tracks.push_run(run));
            }
        }
        Ok(())
    }

    /// Reads on at the last fragment that begins at that time or before it.
    fn go_to_mark(&mut self, micros: i64) {
        let found = self.marks.iter().rev().find(|(at, _)| *at <= micros).or(self.marks.first());
        self.next_box = found.map_or(self.file_bytes, |(_, offset)| *offset);
        self.ahead = (0, 0);
        self.tracks.forget_fragments();
    }
}
