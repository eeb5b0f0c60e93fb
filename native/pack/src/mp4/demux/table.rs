//! The tables of `stbl` (ISO/IEC 14496-12 §8.6.1, §8.7), read where they lie: no list of samples is ever made, so that memory is
//! bounded by the bytes of `moov`.

use super::Sample;
use crate::{
    PackError,
    mp4::read::{Body, Table, malformed},
};

/// Samples of a waveform that are read as one frame.
const WAVEFORM_SAMPLES: u32 = 1_024;

/// The tables of one track.
#[derive(Debug, Clone)]
pub(super) struct SampleTable {
    /// `stts`: count, delta.
    durations: Table,
    /// `ctts`: count, offset, which is signed in version 1, and in version 0 where QuickTime wrote it.
    offsets: Table,
    /// `stsc`: first chunk, samples per chunk, sample description.
    chunks: Table,
    sizes: Sizes,
    /// `stco` or `co64`.
    chunk_offsets: Table,
    are_large: bool,
    /// `stss`; without it, every sample is a sync sample.
    syncs: Option<Table>,
    samples: u32,
    /// Of a waveform whose samples are samples of sound: bytes of one of all channels. Such samples are read in groups.
    waveform_bytes: Option<u32>,
}

#[derive(Debug, Clone)]
enum Sizes {
    Constant(u32),
    /// Entries of so many bits.
    Table(Table, u8),
}

/// A position in the tables: that of the sample that comes next.
#[derive(Debug, Clone, Default)]
pub(super) struct TableCursor {
    sample: u32,
    dts: i64,
    duration_entry: usize,
    /// Samples of the entry that are behind us.
    duration_used: u32,
    offset_entry: usize,
    offset_used: u32,
    chunk_entry: usize,
    chunk: usize,
    in_chunk: u32,
    /// Bytes of the chunk that are behind us.
    chunk_bytes: u64,
    sync_entry: usize,
}

impl SampleTable {
    /// Reads `stbl` of a file of `file_bytes`, as far as that is known. `waveform_bytes`: of a waveform, bytes of a sample of sound of all
    /// channels.
    pub fn parse(stbl: &Body, waveform_bytes: Option<u32>, file_bytes: u64) -> Result<Self, PackError> {
        let table = |kind: &[u8; 4], entry_bytes, what| match stbl.find(kind)? {
            Some(body) => body.full(what)?.2.table(entry_bytes, what).map(Some),
            None => Ok(None),
        };
        let large = table(b"co64", 8, "co64")?;
        let are_large = large.is_some();
        let chunk_offsets = if are_large { large } else { table(b"stco", 4, "stco")? };
        let (sizes, samples) = parse_sizes(stbl)?;
        // QuickTime counts waveforms in bytes of 1, whatever they are made of. What is larger than a sample of sound, or has a size of its
        // own, is a frame, as recorders write it.
        let is_counted = |bytes: &u32| matches!(sizes, Sizes::Constant(size) if size <= *bytes);
        let waveform_bytes = waveform_bytes.filter(|&bytes| bytes > 0).filter(is_counted);
        // Samples of one size cost a file nothing to claim: no more than it can hold are believed.
        let least_bytes = match (waveform_bytes, &sizes) {
            (Some(bytes), _) => u64::from(bytes),
            (None, Sizes::Constant(bytes)) => u64::from(*bytes),
            (None, Sizes::Table(..)) => 0,
        };
        let most = file_bytes.checked_div(least_bytes).unwrap_or(u64::MAX);
        let samples = samples.min(u32::try_from(most).unwrap_or(u32::MAX));
        Ok(Self {
            durations: table(b"stts", 8, "stts")?.unwrap_or_default(),
            offsets: table(b"ctts", 8, "ctts")?.unwrap_or_default(),
            chunks: table(b"stsc", 12, "stsc")?.unwrap_or_default(),
            sizes,
            chunk_offsets: chunk_offsets.unwrap_or_default(),
            are_large,
            syncs: table(b"stss", 4, "stss")?,
            samples,
            waveform_bytes,
        })
    }

    /// The sample at the cursor; `None` behind the last one. Moves over chunks without samples.
    pub fn peek(&self, cursor: &mut TableCursor) -> Option<Sample> {
        if cursor.sample >= self.samples {
            return None;
        }
        let (per_chunk, description) = self.settle(cursor)?;
        let in_group = match self.waveform_bytes {
            Some(_) => (per_chunk - cursor.in_chunk).min(self.samples - cursor.sample).min(WAVEFORM_SAMPLES),
            None => 1,
        };
        let duration = self.durations.u32(cursor.duration_entry, 4).unwrap_or(0);
        let bytes = u64::from(self.size_of(cursor.sample)) * u64::from(in_group);
        Some(Sample {
            offset: self.chunk_offset(cursor.chunk)?.saturating_add(cursor.chunk_bytes),
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            dts: cursor.dts,
            composition_offset: self.offsets.u32(cursor.offset_entry, 4).map_or(0, |offset| offset as i32),
            duration: duration.saturating_mul(in_group),
            is_sync: self.is_sync(cursor),
            description,
            samples: in_group,
        })
    }

    /// Moves behind `sample`, which is the one at the cursor.
    pub fn advance(&self, cursor: &mut TableCursor, sample: &Sample) {
        cursor.dts = cursor.dts.saturating_add(i64::from(sample.duration));
        cursor.sample = cursor.sample.saturating_add(sample.samples);
        cursor.in_chunk = cursor.in_chunk.saturating_add(sample.samples);
        cursor.chunk_bytes = cursor.chunk_bytes.saturating_add(u64::from(sample.bytes));
        step(&self.durations, &mut cursor.duration_entry, &mut cursor.duration_used, sample.samples);
        step(&self.offsets, &mut cursor.offset_entry, &mut cursor.offset_used, sample.samples);
        while self.syncs.as_ref().and_then(|syncs| syncs.u32(cursor.sync_entry, 0)).is_some_and(|n| n <= cursor.sample)
        {
            cursor.sync_entry += 1;
        }
    }

    /// Goes to the chunk that has the next sample. Its samples per chunk and its sample description, from 0.
    fn settle(&self, cursor: &mut TableCursor) -> Option<(u32, u32)> {
        loop {
            let number = u32::try_from(cursor.chunk).ok()?.checked_add(1)?;
            while self.chunks.u32(cursor.chunk_entry + 1, 0).is_some_and(|first| first <= number) {
                cursor.chunk_entry += 1;
            }
            let per_chunk = self.chunks.u32(cursor.chunk_entry, 4)?;
            if cursor.in_chunk < per_chunk {
                return Some((per_chunk, self.chunks.u32(cursor.chunk_entry, 8)?.saturating_sub(1)));
            }
            (cursor.in_chunk, cursor.chunk_bytes) = (0, 0);
            cursor.chunk += 1;
            if cursor.chunk >= self.chunk_offsets.len() {
                return None;
            }
        }
    }

    fn chunk_offset(&self, chunk: usize) -> Option<u64> {
        if self.are_large { self.chunk_offsets.u64(chunk) } else { self.chunk_offsets.u32(chunk, 0).map(u64::from) }
    }

    fn size_of(&self, sample: u32) -> u32 {
        if let Some(bytes) = self.waveform_bytes {
            return bytes;
        }
        let index = sample as usize;
        match &self.sizes {
            Sizes::Constant(bytes) => *bytes,
            Sizes::Table(table, 4) => table
                .u8(index / 2)
                .map_or(0, |pair| u32::from(if index.is_multiple_of(2) { pair >> 4 } else { pair & 0x0f })),
            Sizes::Table(table, 8) => table.u8(index).map_or(0, u32::from),
            Sizes::Table(table, 16) => table.u16(index).map_or(0, u32::from),
            Sizes::Table(table, _) => table.u32(index, 0).unwrap_or(0),
        }
    }

    fn is_sync(&self, cursor: &TableCursor) -> bool {
        let Some(syncs) = &self.syncs else { return true };
        syncs.u32(cursor.sync_entry, 0) == Some(cursor.sample.saturating_add(1))
    }

    /// The least composition offset, 0 or less.
    pub fn least_composition_offset(&self) -> i32 {
        (0..self.offsets.len())
            .filter_map(|entry| self.offsets.u32(entry, 4))
            .map(|offset| offset as i32)
            .min()
            .unwrap_or(0)
            .min(0)
    }

    /// The cursor behind the last sample.
    pub fn end(&self) -> TableCursor {
        TableCursor { sample: self.samples, ..TableCursor::default() }
    }

    /// The cursor at the last sync sample that is decoded at `dts` or before it; at the first sample when there is none.
    pub fn seek(&self, dts: i64) -> TableCursor {
        let (mut cursor, mut found) = (TableCursor::default(), TableCursor::default());
        while let Some(sample) = self.peek(&mut cursor) {
            if sample.dts > dts {
                break;
            }
            if sample.is_sync {
                found = cursor.clone();
            }
            self.advance(&mut cursor, &sample);
        }
        found
    }
}

/// Moves `samples` on in a table of counts.
fn step(table: &Table, entry: &mut usize, used: &mut u32, samples: u32) {
    *used = used.saturating_add(samples);
    while let Some(count) = table.u32(*entry, 0) {
        // The last entry holds for all that follow, where a file has too few.
        if *used < count || *entry + 1 >= table.len() {
            return;
        }
        *used -= count;
        *entry += 1;
    }
}

/// `stsz` or `stz2` (§8.7.3).
fn parse_sizes(stbl: &Body) -> Result<(Sizes, u32), PackError> {
    if let Some(body) = stbl.find(b"stsz")? {
        let (_, _, body) = body.full("stsz")?;
        let mut fields = body.fields();
        let (constant, samples) = (fields.u32("stsz sample_size")?, fields.u32("stsz sample_count")?);
        if constant > 0 {
            return Ok((Sizes::Constant(constant), samples));
        }
        return Ok((Sizes::Table(Table::new(body.behind(8, "stsz")?, samples, 4, "stsz")?, 32), samples));
    }
    let Some(body) = stbl.find(b"stz2")? else { return Ok((Sizes::Constant(0), 0)) };
    let (_, _, body) = body.full("stz2")?;
    let mut fields = body.fields();
    let (bits, samples) = (fields.u32("stz2 field_size")? & 0xff, fields.u32("stz2 sample_count")?);
    let behind = body.behind(8, "stz2")?;
    let table = match bits {
        4 => Table::new(behind, samples.div_ceil(2), 1, "stz2")?,
        8 => Table::new(behind, samples, 1, "stz2")?,
        16 => Table::new(behind, samples, 2, "stz2")?,
        _ => return Err(malformed("stz2 field_size", body.offset)),
    };
    Ok((Sizes::Table(table, bits as u8), samples))
}
