//! `moof` (ISO/IEC 14496-12 §8.8.4 to §8.8.12), read where it lies: a run of samples is a cursor over its bytes.

use bytes::Bytes;

use super::{Sample, movie::Movie};
use crate::{
    PackError,
    mp4::read::{Body, malformed},
};

/// Runs in a fragment. Stops a `moof` that is nothing but runs of one sample, which would cost several times its bytes.
const MAX_RUNS: usize = 65_536;
/// Samples of a run that has no bytes for each of them. Each costs time, and the input nothing.
const MAX_UNIFORM_SAMPLES: u32 = 1 << 20;

/// `tfhd` flags (§8.8.7.1).
const BASE_DATA_OFFSET: u32 = 0x00_0001;
const SAMPLE_DESCRIPTION: u32 = 0x00_0002;
const DEFAULT_DURATION: u32 = 0x00_0008;
const DEFAULT_SIZE: u32 = 0x00_0010;
const DEFAULT_FLAGS: u32 = 0x00_0020;
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
/// `trun` flags (§8.8.8.1).
const DATA_OFFSET: u32 = 0x001;
const FIRST_SAMPLE_FLAGS: u32 = 0x004;
const SAMPLE_DURATION: u32 = 0x100;
const SAMPLE_SIZE: u32 = 0x200;
const SAMPLE_FLAGS: u32 = 0x400;
const SAMPLE_COMPOSITION_OFFSET: u32 = 0x800;
/// `sample_is_non_sync_sample` (§8.8.3.1).
const IS_NON_SYNC: u32 = 0x0001_0000;

/// What holds for a sample that does not say otherwise: of `trex`, or of `tfhd` over it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Defaults {
    /// From 1.
    pub description: u32,
    pub duration: u32,
    pub bytes: u32,
    pub flags: u32,
}

/// The samples of one `trun` that have not been read yet.
#[derive(Debug, Clone)]
pub(super) struct Run {
    entries: Bytes,
    /// Where in `entries` the next one begins.
    at: usize,
    flags: u32,
    left: u32,
    first_flags: Option<u32>,
    defaults: Defaults,
    offset: u64,
    dts: i64,
}

/// A run and the index of its track.
pub(super) struct TrackRun {
    pub track: usize,
    pub run: Run,
}

impl Run {
    /// The sample that comes next; `None` behind the last one.
    pub fn peek(&self) -> Option<Sample> {
        if self.left == 0 {
            return None;
        }
        let (fields, _) = self.entries.get(self.at..).unwrap_or_default().as_chunks();
        let mut entry = fields.iter().map(|field| u32::from_be_bytes(*field));
        let mut field = |flag: u32| if self.flags & flag == 0 { None } else { entry.next() };
        let (duration, bytes) = (field(SAMPLE_DURATION), field(SAMPLE_SIZE));
        let (flags, composition_offset) = (field(SAMPLE_FLAGS), field(SAMPLE_COMPOSITION_OFFSET));
        let flags = self.first_flags.or(flags).unwrap_or(self.defaults.flags);
        Some(Sample {
            offset: self.offset,
            bytes: bytes.unwrap_or(self.defaults.bytes),
            dts: self.dts,
            composition_offset: composition_offset.map_or(0, |offset| offset as i32),
            duration: duration.unwrap_or(self.defaults.duration),
            is_sync: flags & IS_NON_SYNC == 0,
            description: self.defaults.description.saturating_sub(1),
            samples: 1,
        })
    }

    /// Moves behind `sample`, which is the next one.
    pub fn advance(&mut self, sample: &Sample) {
        self.left = self.left.saturating_sub(1);
        self.first_flags = None;
        self.offset = sample.end();
        self.dts = self.dts.saturating_add(i64::from(sample.duration));
        self.at = self.at.saturating_add(entry_bytes(self.flags));
    }

    /// Whether there may be bytes at all. Of a run without any nothing comes, and it costs the input nothing.
    fn has_bytes(&self) -> bool {
        self.flags & SAMPLE_SIZE != 0 || self.defaults.bytes > 0
    }

    /// The least composition offset, 0 or less.
    pub fn least_composition_offset(&self) -> i32 {
        if self.flags & SAMPLE_COMPOSITION_OFFSET == 0 {
            return 0;
        }
        let mut run = self.clone();
        let mut least = 0;
        while let Some(sample) = run.peek() {
            least = least.min(sample.composition_offset);
            run.advance(&sample);
        }
        least
    }

    /// Where its data and its time end.
    fn end(&self) -> (u64, i64) {
        let left = u64::from(self.left);
        if self.flags & (SAMPLE_SIZE | SAMPLE_DURATION) == 0 {
            let time = left.saturating_mul(u64::from(self.defaults.duration));
            let bytes = left.saturating_mul(u64::from(self.defaults.bytes));
            return (self.offset.saturating_add(bytes), self.dts.saturating_add_unsigned(time));
        }
        let mut run = self.clone();
        while let Some(sample) = run.peek() {
            run.advance(&sample);
        }
        (run.offset, run.dts)
    }
}

fn entry_bytes(flags: u32) -> usize {
    4 * (flags & (SAMPLE_DURATION | SAMPLE_SIZE | SAMPLE_FLAGS | SAMPLE_COMPOSITION_OFFSET)).count_ones() as usize
}

/// Reads the body of a `moof` that begins at `moof_offset`. Fragments of tracks that are not in `movie` are passed over.
///
/// `next_dts` is where each track of the movie has come to: it holds for a fragment without `tfdt`, and is moved on.
pub(super) fn parse_moof(
    moof: &Body,
    moof_offset: u64,
    movie: &Movie,
    next_dts: &mut [i64],
) -> Result<Vec<TrackRun>, PackError> {
    let mut runs = Vec::new();
    // Without any other base, the data of a track follows that of the one before (§8.8.7.1).
    let mut implicit_base = moof_offset;
    for child in moof.children() {
        let (kind, traf) = child?;
        if kind == *b"traf" {
            implicit_base = parse_traf(&traf, moof_offset, implicit_base, movie, next_dts, &mut runs)?;
        }
    }
    Ok(runs)
}

/// Returns where the data of the fragment ends.
fn parse_traf(
    traf: &Body,
    moof_offset: u64,
    implicit_base: u64,
    movie: &Movie,
    next_dts: &mut [i64],
    runs: &mut Vec<TrackRun>,
) -> Result<u64, PackError> {
    let (number, flags, base, defaults) = parse_tfhd(traf, movie)?;
    let base = match base {
        Some(base) => base,
        None if flags & DEFAULT_BASE_IS_MOOF != 0 => moof_offset,
        None => implicit_base,
    };
    let track = movie.tracks.iter().position(|track| track.number == number);
    let mut dts = track.and_then(|track| next_dts.get(track)).copied().unwrap_or(0);
    let mut offset = base;
    for child in traf.children() {
        let (kind, body) = child?;
        match &kind {
            b"tfdt" => dts = parse_tfdt(&body)?,
            b"trun" => {
                let run = parse_trun(&body, base, offset, dts, defaults)?;
                (offset, dts) = run.end();
                if runs.len() >= MAX_RUNS {
                    return Err(PackError::LimitExceeded {
                        limit: "runs in a moof",
                        max: MAX_RUNS,
                        seen: runs.len() + 1,
                    });
                }
                runs.extend(track.filter(|_| run.has_bytes()).map(|track| TrackRun { track, run }));
            }
            _ => {}
        }
    }
    if let Some(next) = track.and_then(|track| next_dts.get_mut(track)) {
        *next = dts;
    }
    Ok(offset)
}

/// Track, flags, base data offset, defaults.
fn parse_tfhd(traf: &Body, movie: &Movie) -> Result<(u32, u32, Option<u64>, Defaults), PackError> {
    let (_, flags, body) = traf.require(b"tfhd", "traf without tfhd")?.full("tfhd")?;
    let mut fields = body.fields();
    let number = fields.u32("tfhd track_ID")?;
    let base = if flags & BASE_DATA_OFFSET == 0 { None } else { Some(fields.u64("tfhd base_data_offset")?) };
    let trex =
        movie.tracks.iter().find(|track| track.number == number).map_or_else(Defaults::default, |track| track.defaults);
    let defaults = Defaults {
        description: fields.optional(flags, SAMPLE_DESCRIPTION, "tfhd")?.unwrap_or(trex.description),
        duration: fields.optional(flags, DEFAULT_DURATION, "tfhd")?.unwrap_or(trex.duration),
        bytes: fields.optional(flags, DEFAULT_SIZE, "tfhd")?.unwrap_or(trex.bytes),
        flags: fields.optional(flags, DEFAULT_FLAGS, "tfhd")?.unwrap_or(trex.flags),
    };
    Ok((number, flags, base, defaults))
}

fn parse_tfdt(tfdt: &Body) -> Result<i64, PackError> {
    let (version, _, body) = tfdt.full("tfdt")?;
    let time = body.fields().versioned(version, "tfdt")?;
    // Half of the range is 3 million years of 90 kHz.
    i64::try_from(time).map_err(|_| malformed("tfdt", body.offset))
}

fn parse_trun(trun: &Body, base: u64, offset: u64, dts: i64, defaults: Defaults) -> Result<Run, PackError> {
    let (_, flags, body) = trun.full("trun")?;
    let mut fields = body.fields();
    let left = fields.u32("trun sample_count")?;
    let data_offset = fields.optional(flags, DATA_OFFSET, "trun data_offset")?;
    let first_flags = fields.optional(flags, FIRST_SAMPLE_FLAGS, "trun first_sample_flags")?;
    let entry_bytes = entry_bytes(flags);
    let table_bytes = entry_bytes.checked_mul(left as usize);
    let behind = body.behind(fields.position(), "trun")?;
    let table_bytes = table_bytes.filter(|&bytes| bytes <= behind.bytes.len());
    let table_bytes = table_bytes.ok_or(malformed("trun sample_count", body.offset))?;
    if entry_bytes == 0 && left > MAX_UNIFORM_SAMPLES {
        let (max, seen) = (MAX_UNIFORM_SAMPLES as usize, left as usize);
        return Err(PackError::LimitExceeded { limit: "samples of a run", max, seen });
    }
    let offset = match data_offset {
        Some(data_offset) => base.checked_add_signed(i64::from(data_offset as i32)),
        None => Some(offset),
    };
    let offset = offset.ok_or(malformed("trun data_offset", body.offset))?;
    Ok(Run { entries: behind.bytes.slice(..table_bytes), at: 0, flags, left, first_flags, defaults, offset, dts })
}
