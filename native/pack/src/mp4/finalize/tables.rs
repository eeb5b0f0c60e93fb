//! The samples of a track as the tables of `stbl` (ISO/IEC 14496-12 §8.6, §8.7), in their final form while they come: a day of them costs
//! what the tables cost.

use arcly_bus::Track;
use arcly_codec::MediaKind;
use bytes::BufMut;

use super::Place;
use crate::{
    PackError,
    mp4::{
        mux::{TrackOptions, usual_step},
        write::put_full_box,
    },
    time::rescale,
};

/// Chunks last about so long: tracks that are read together lie together.
const CHUNK_MICROS: i64 = 500_000;
const MICROS_HZ: u32 = 1_000_000;

/// One track.
#[derive(Debug)]
pub(super) struct Tables {
    pub track: Track,
    pub options: TrackOptions,
    pub chunks: Vec<Chunk>,
    pub first: Option<Place>,
    /// The least presentation time.
    pub first_pts: i64,
    /// Behind the last sample that is presented.
    pub end_pts: i64,
    newest: Option<Place>,
    newest_step: u32,
    samples: u32,
    sizes: Vec<u8>,
    durations: Runs,
    composition_offsets: Runs,
    syncs: Vec<u8>,
    sync_count: u32,
}

/// Samples of one track that follow each other in the old file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub micros: i64,
    /// In the old file.
    pub offset: u64,
    pub bytes: u64,
    pub samples: u32,
}

/// Numbers with their counts.
#[derive(Debug, Default)]
struct Runs {
    entries: Vec<u8>,
    count: u32,
    value: u32,
}

impl Runs {
    fn push(&mut self, value: u32) {
        if self.count > 0 && self.value != value {
            self.end();
        }
        self.value = value;
        self.count += 1;
    }

    fn end(&mut self) {
        if self.count > 0 {
            self.entries.put_u32(self.count);
            self.entries.put_u32(self.value);
        }
        self.count = 0;
    }

    fn put(&self, out: &mut Vec<u8>, kind: &[u8; 4], version: u8) {
        put_full_box(out, kind, version, 0, |out| {
            out.put_u32(u32::try_from(self.entries.len() / 8).unwrap_or(0));
            out.put_slice(&self.entries);
        });
    }
}

impl Tables {
    pub fn new(track: &Track, options: TrackOptions) -> Self {
        Self {
            newest_step: usual_step(track),
            track: track.clone(),
            options,
            chunks: Vec::new(),
            first: None,
            first_pts: i64::MAX,
            end_pts: i64::MIN,
            newest: None,
            samples: 0,
            sizes: Vec::new(),
            durations: Runs::default(),
            composition_offsets: Runs::default(),
            syncs: Vec::new(),
            sync_count: 0,
        }
    }

    /// Takes the next sample.
    pub fn note(&mut self, place: &Place) -> Result<(), PackError> {
        let offset = place.pts.saturating_sub(place.dts);
        let limit = "ticks between decoding and presentation";
        let (max, seen) = (i32::MAX as usize, usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX));
        let offset = i32::try_from(offset).map_err(|_| PackError::LimitExceeded { limit, max, seen })?;
        if let Some(newest) = self.newest {
            self.newest_step = step(newest.dts, place.dts)?;
            self.durations.push(self.newest_step);
        }
        self.composition_offsets.push(offset as u32);
        self.samples += 1;
        self.sizes.put_u32(place.bytes);
        if place.is_key {
            self.syncs.put_u32(self.samples);
            self.sync_count += 1;
        }
        self.first.get_or_insert(*place);
        self.first_pts = self.first_pts.min(place.pts);
        self.end_pts = self.end_pts.max(place.pts.saturating_add(i64::from(self.last_step(place))));
        self.note_chunk(place);
        self.newest = Some(*place);
        Ok(())
    }

    fn note_chunk(&mut self, place: &Place) {
        let micros = rescale(place.dts, self.track.clock_rate_hz, MICROS_HZ);
        let follows = |chunk: &&mut Chunk| {
            chunk.offset.checked_add(chunk.bytes) == Some(place.offset) && micros - chunk.micros < CHUNK_MICROS
        };
        match self.chunks.last_mut().filter(follows) {
            Some(chunk) => {
                chunk.bytes += u64::from(place.bytes);
                chunk.samples += 1;
            }
            None => {
                let bytes = u64::from(place.bytes);
                self.chunks.push(Chunk { micros, offset: place.offset, bytes, samples: 1 });
            }
        }
    }

    /// What a sample lasts behind which there is none.
    fn last_step(&self, place: &Place) -> u32 {
        if place.duration > 0 { place.duration } else { self.newest_step }
    }

    /// There are no more samples. What all of them last, in decoding.
    pub fn end(&mut self) -> u64 {
        let (Some(first), Some(newest)) = (self.first, self.newest) else { return 0 };
        let last = self.last_step(&newest);
        self.durations.push(last);
        self.durations.end();
        self.composition_offsets.end();
        u64::try_from(newest.dts.saturating_sub(first.dts)).unwrap_or(0).saturating_add(u64::from(last))
    }

    /// All tables but `stsd`; the chunks lie at `offsets`.
    pub fn put(&self, out: &mut Vec<u8>, offsets: &[u64], are_large: bool) {
        self.durations.put(out, b"stts", 0);
        // All zero: not needed (§8.6.1.3).
        if self.composition_offsets.entries.chunks(8).any(|entry| entry.get(4..) != Some(&[0; 4])) {
            self.composition_offsets.put(out, b"ctts", 1);
        }
        if self.track.kind() == MediaKind::Video && self.sync_count < self.samples {
            put_full_box(out, b"stss", 0, 0, |out| {
                out.put_u32(self.sync_count);
                out.put_slice(&self.syncs);
            });
        }
        self.put_chunk_sizes(out);
        put_full_box(out, b"stsz", 0, 0, |out| {
            out.put_u32(0);
            out.put_u32(self.samples);
            out.put_slice(&self.sizes);
        });
        put_full_box(out, if are_large { b"co64" } else { b"stco" }, 0, 0, |out| {
            out.put_u32(u32::try_from(offsets.len()).unwrap_or(0));
            for &offset in offsets {
                if are_large { out.put_u64(offset) } else { out.put_u32(offset as u32) }
            }
        });
    }

    /// `stsc`: an entry for each chunk that has another number of samples than the one before.
    fn put_chunk_sizes(&self, out: &mut Vec<u8>) {
        let mut entries = Vec::new();
        let mut newest = 0;
        for (number, chunk) in (1_u32..).zip(&self.chunks) {
            if chunk.samples != newest {
                entries.put_u32(number);
                entries.put_u32(chunk.samples);
                entries.put_u32(1);
                newest = chunk.samples;
            }
        }
        put_full_box(out, b"stsc", 0, 0, |out| {
            out.put_u32(u32::try_from(entries.len() / 12).unwrap_or(0));
            out.put_slice(&entries);
        });
    }
}

fn step(from: i64, to: i64) -> Result<u32, PackError> {
    let ticks = to.saturating_sub(from);
    if ticks < 0 {
        return Err(PackError::Misuse { what: "decoding times that go back within a file" });
    }
    let (max, seen) = (u32::MAX as usize, usize::try_from(ticks).unwrap_or(usize::MAX));
    u32::try_from(ticks).map_err(|_| PackError::LimitExceeded { limit: "ticks between two samples", max, seen })
}
