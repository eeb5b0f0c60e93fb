//! A stream in pieces of any size: fragmented MP4, and whole files that have `moov` in front.

use std::collections::VecDeque;

use arcly_bus::{Frame, Track};
use bytes::{Buf, Bytes, BytesMut};

use super::{
    MAX_MOOF_BYTES, MAX_MOOV_BYTES, Sample,
    event::{Events, MAX_EVENT_BYTES},
    fragment::parse_moof,
    movie::Movie,
    track::{Output, Tracks, is_readable},
};
use crate::{
    PackError,
    demux::Item,
    mp4::read::{Body, BoxHeader, malformed},
    time::rescale,
};

/// Media that is held so that tracks come in the order of their times. Beyond it, they come in the order of their bytes.
const MAX_HELD_BYTES: usize = 32 << 20;

/// Turns MP4 into frames while it comes in.
///
/// After each [`push`](Self::push), [`poll`](Self::poll) until it is empty; at the end of the input, [`finish`](Self::finish). Frames of
/// several tracks come by their decoding times where the layout allows it. A file whose `moov` is behind its media can only be read
/// by [`Mp4Index`](super::Mp4Index).
#[derive(Debug, Default)]
pub struct Mp4Demuxer {
    /// What is needed of the bytes from `begin` on.
    buffer: BytesMut,
    /// Where in the stream the buffer begins.
    begin: u64,
    /// Where the next box begins, which may be far ahead.
    next_box: u64,
    /// What is in front of this is not needed any more, whether it has come yet or not.
    passed: u64,
    /// The stream is known to have so many bytes: a box began there, or a sample ended.
    known: u64,
    movie: Option<Movie>,
    tracks: Tracks,
    next_dts: Vec<i64>,
    events: Events,
    items: VecDeque<Item>,
    failed: Option<PackError>,
    dropped_frames: u64,
    broken_frames: u64,
    /// Where the presentation has come to.
    end_90k: i64,
    newest_tracks: Vec<Track>,
}

impl Mp4Demuxer {
    /// A demuxer that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`PackError`] when this is no MP4 that can be read in pieces; it is said again for each piece that follows. What came before it
    /// can be polled. A sample that is broken is no error: see [`Self::broken_frames`].
    pub fn push(&mut self, piece: &[u8]) -> Result<(), PackError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.take(piece);
        self.failed = result.clone().err();
        result
    }

    /// The input is over: gives out what was held for the order of times.
    pub fn finish(&mut self) {
        if self.failed.is_none() {
            while self.read_sample(true) {}
        }
    }

    /// The next item.
    pub fn poll(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    /// Samples that were left out: their bytes came before they were described, or their configuration later than they, or they are
    /// larger than is taken.
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

    /// Bytes held, of media and of boxes that are not whole.
    pub fn buffered_bytes(&self) -> usize {
        let items = self.items.iter().map(|item| match item {
            Item::Frame(frame) => frame.payload.len(),
            _ => 0,
        });
        self.buffer.len() + items.sum::<usize>()
    }

    fn end(&self) -> u64 {
        self.begin + self.buffer.len() as u64
    }

    fn take(&mut self, mut piece: &[u8]) -> Result<(), PackError> {
        while !piece.is_empty() {
            // What nobody waits for is never copied.
            if self.buffer.is_empty() && self.passed > self.begin {
                let skipped = usize::try_from(self.passed - self.begin).unwrap_or(usize::MAX).min(piece.len());
                self.begin += skipped as u64;
                piece = piece.get(skipped..).unwrap_or_default();
                continue;
            }
            // In steps, so that a piece of any size does not have to be held at once.
            let (step, rest) = piece.split_at(piece.len().min(STEP_BYTES));
            self.buffer.extend_from_slice(step);
            piece = rest;
            self.read()?;
        }
        Ok(())
    }

    /// Reads all that is whole by now.
    fn read(&mut self) -> Result<(), PackError> {
        loop {
            while self.read_sample(false) {}
            let is_read = self.read_box()?;
            self.drop_front();
            if !is_read {
                return Ok(());
            }
        }
    }

    /// The first byte that is still needed.
    fn wanted_from(&mut self) -> u64 {
        let samples = self.tracks.peek().map(|(_, sample)| sample.offset).min();
        // Of media that comes in before it is described, nothing is kept.
        self.next_box.min(samples.unwrap_or(u64::MAX))
    }

    fn drop_front(&mut self) {
        self.passed = self.wanted_from().max(self.passed);
        let count =
            usize::try_from(self.passed.saturating_sub(self.begin)).unwrap_or(usize::MAX).min(self.buffer.len());
        self.buffer.advance(count);
        self.begin += count as u64;
    }

    /// Bytes of the stream that are in the buffer.
    fn bytes(&self, offset: u64, count: u64) -> Option<&[u8]> {
        let begin = usize::try_from(offset.checked_sub(self.begin)?).ok()?;
        let end = begin.checked_add(usize::try_from(count).ok()?)?;
        self.buffer.get(begin..end)
    }

    /// Reads the next box of the file; false when it is not whole.
    fn read_box(&mut self) -> Result<bool, PackError> {
        let offset = self.next_box;
        let Some(available) = self.end().checked_sub(offset) else { return Ok(false) };
        let begin = self.bytes(offset, available).unwrap_or_default();
        let Some(header) = BoxHeader::parse(begin, offset)? else { return Ok(false) };
        self.known = self.known.max(offset);
        let box_end = header.size.map_or(u64::MAX, |size| offset.saturating_add(size));
        if header.kind == *b"mdat" && self.movie.is_none() {
            return Err(PackError::Unsupported { what: "MP4 with moov behind its media, in pieces" });
        }
        let Some(max) = max_bytes(&header.kind) else {
            self.next_box = box_end;
            return Ok(true);
        };
        let size = header.size.ok_or(malformed("box without an end", offset))?;
        if size > max {
            let clamp = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
            return Err(PackError::LimitExceeded { limit: "bytes of a box", max: clamp(max), seen: clamp(size) });
        }
        if size > available {
            return Ok(false);
        }
        let at = offset + header.header_bytes;
        let body = self.bytes(at, size - header.header_bytes).unwrap_or_default();
        let body = Body { bytes: Bytes::copy_from_slice(body), offset: at };
        self.next_box = box_end;
        self.read_whole_box(&header.kind, &body, offset)?;
        Ok(true)
    }

    fn read_whole_box(&mut self, kind: &[u8; 4], body: &Body, offset: u64) -> Result<(), PackError> {
        match kind {
            b"moov" => self.read_moov(body),
            b"moof" => self.read_moof(body, offset),
            _ => {
                let event = self.events.read(body, self.end_90k)?;
                if let Some(event) = event {
                    if event.is_new_track {
                        self.announce();
                    }
                    self.items.push_back(Item::Frame(event.frame));
                }
                Ok(())
            }
        }
    }

    /// A stream has a new `moov` when its configuration changes, or just again.
    fn read_moov(&mut self, body: &Body) -> Result<(), PackError> {
        while self.read_sample(true) {}
        let movie = Movie::parse(body, u64::MAX)?;
        self.tracks = Tracks::new(&movie);
        self.next_dts = vec![0; self.tracks.len()];
        self.movie = Some(movie);
        self.announce();
        Ok(())
    }

    fn read_moof(&mut self, body: &Body, offset: u64) -> Result<(), PackError> {
        let Some(movie) = &self.movie else { return Err(malformed("moof in front of moov", offset)) };
        let runs = parse_moof(body, offset, movie, &mut self.next_dts)?;
        runs.into_iter().for_each(|run| self.tracks.push_run(run));
        Ok(())
    }

    /// Says all tracks that are known, if they are others than before.
    fn announce(&mut self) {
        let tracks: Vec<Track> = self.tracks.announced().chain(self.events.tracks()).collect();
        if !tracks.is_empty() && tracks != self.newest_tracks {
            self.newest_tracks.clone_from(&tracks);
            self.items.push_back(Item::Tracks(tracks));
        }
    }

    /// Gives out one sample, or leaves one out that cannot be; false when the next one is not there yet. `any`: in the order of the
    /// bytes, if that of the times cannot be had.
    ///
    /// What comes out depends on the bytes alone, not on how they were cut: samples lie in front of the box that is read next, and what is
    /// in front of all that is still needed is gone at once.
    fn read_sample(&mut self, any: bool) -> bool {
        let is_read = self.read_next_sample(any);
        self.drop_front();
        is_read
    }

    fn read_next_sample(&mut self, any: bool) -> bool {
        let Some((index, sample)) = self.tracks.earliest() else { return false };
        if !is_readable(&sample) || sample.offset < self.passed {
            return self.leave_out(index, &sample);
        }
        let end = self.end().min(self.next_box);
        if sample.end() <= end {
            return self.give_out(index, &sample);
        }
        let is_full = self.buffer.len() >= MAX_HELD_BYTES;
        if !any && !is_full {
            return false;
        }
        let passed = self.passed;
        let whole = self
            .tracks
            .peek()
            .filter(|(_, sample)| sample.offset >= passed && sample.end() <= end && is_readable(sample));
        match whole.min_by_key(|(_, sample)| sample.offset) {
            Some((index, sample)) => self.give_out(index, &sample),
            // Something is described that is so far ahead that nothing can be kept for it.
            None if is_full => {
                self.dropped_frames += 1;
                self.tracks.stop(index);
                true
            }
            None => false,
        }
    }

    fn leave_out(&mut self, index: usize, sample: &Sample) -> bool {
        self.dropped_frames += u64::from(sample.bytes > 0);
        self.tracks.leave_out(index, sample, self.known);
        true
    }

    fn give_out(&mut self, index: usize, sample: &Sample) -> bool {
        let payload = self.bytes(sample.offset, u64::from(sample.bytes)).map(Bytes::copy_from_slice);
        let payload = payload.unwrap_or_default();
        self.known = self.known.max(sample.end());
        self.tracks.step(index, self.known);
        match self.tracks.convert(index, sample, payload) {
            Ok(Output { changed, frame }) => {
                if changed {
                    self.announce();
                }
                self.dropped_frames += u64::from(frame.is_none());
                if let Some(frame) = frame {
                    self.remember(&frame);
                    self.items.push_back(Item::Frame(frame));
                }
            }
            Err(_) => self.broken_frames += 1,
        }
        true
    }

    fn remember(&mut self, frame: &Frame) {
        let clock_hz =
            self.newest_tracks.iter().find(|track| track.id == frame.track).map_or(1, |track| track.clock_rate_hz);
        self.end_90k = rescale(frame.pts.saturating_add(i64::from(frame.duration)), clock_hz, 90_000);
    }
}

/// A piece is read in steps of so many bytes.
const STEP_BYTES: usize = 1 << 20;

/// Boxes that are read whole, and how large they may be.
fn max_bytes(kind: &[u8; 4]) -> Option<u64> {
    match kind {
        b"moov" => Some(MAX_MOOV_BYTES),
        b"moof" => Some(MAX_MOOF_BYTES),
        b"emsg" => Some(MAX_EVENT_BYTES),
        _ => None,
    }
}
