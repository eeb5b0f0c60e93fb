//! Chunks of all tracks in the order of their times, and `moov` in front of them.

use bytes::{BufMut, Bytes};

use super::tables::{Chunk, Tables};
use crate::{
    PackError,
    mp4::{
        entry::Extras,
        movie::{Edit, MOVIE_CLOCK_HZ, Trak, WITH_TABLES, put_brands, put_movie_header, put_trak, track_number},
        write::put_box,
    },
    time::rescale,
};

/// Bytes of a file that are copied as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Of the first one.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
}

/// How a file is put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// `ftyp`, `moov`, and the header of `mdat`.
    pub head: Bytes,
    /// What follows: ranges of the old file, in this order.
    pub media: Vec<Range>,
}

impl Layout {
    /// Bytes of the whole file.
    pub fn bytes(&self) -> u64 {
        self.head.len() as u64 + self.media.iter().map(|range| range.bytes).sum::<u64>()
    }
}

/// Header of an `mdat` that has a `largesize`; it always does, so that its place does not depend on its size.
const MDAT_HEADER_BYTES: u64 = 16;

/// `zero`: the time of the frames that becomes 0 of the movie, in its clock.
pub(super) fn lay_out(mut tables: Vec<Tables>, zero: i64) -> Result<Layout, PackError> {
    tables.retain(|tables| tables.first.is_some());
    if tables.is_empty() {
        return Err(PackError::Misuse { what: "MP4 without samples" });
    }
    let durations: Vec<u64> = tables.iter_mut().map(Tables::end).collect();
    let (order, media) = interleave(&tables);
    let media_bytes: u64 = media.iter().map(|range| range.bytes).sum();
    // The offsets do not change the size of their boxes, only their width does.
    let begin = head(&tables, &durations, zero, &order, (0, false))?.len() as u64 + MDAT_HEADER_BYTES;
    let slack = 4 * order.len() as u64;
    let are_large = begin.saturating_add(slack).saturating_add(media_bytes) > u64::from(u32::MAX);
    let begin = if are_large { begin + slack } else { begin };
    let mut head = head(&tables, &durations, zero, &order, (begin, are_large))?;
    head.put_u32(1);
    head.put_slice(b"mdat");
    head.put_u64(MDAT_HEADER_BYTES + media_bytes);
    Ok(Layout { head: head.into(), media })
}

/// Which chunk comes where: the index of its track, the chunk, and the bytes in front of it.
type Order = Vec<(usize, u64)>;

fn interleave(tables: &[Tables]) -> (Order, Vec<Range>) {
    let all =
        tables.iter().enumerate().flat_map(|(track, tables)| tables.chunks.iter().map(move |chunk| (track, chunk)));
    let mut chunks: Vec<(usize, &Chunk)> = all.collect();
    // Stable: the chunks of a track stay in their order.
    chunks.sort_by_key(|(_, chunk)| chunk.micros);
    let (mut order, mut media) = (Vec::with_capacity(chunks.len()), Vec::<Range>::new());
    let mut begin = 0;
    for (track, chunk) in chunks {
        order.push((track, begin));
        begin += chunk.bytes;
        match media.last_mut() {
            Some(range) if range.offset.checked_add(range.bytes) == Some(chunk.offset) => range.bytes += chunk.bytes,
            _ => media.push(Range { offset: chunk.offset, bytes: chunk.bytes }),
        }
    }
    (order, media)
}

fn head(
    tables: &[Tables],
    durations: &[u64],
    zero: i64,
    order: &Order,
    (begin, are_large): (u64, bool),
) -> Result<Vec<u8>, PackError> {
    let mut out = Vec::new();
    put_box(&mut out, b"ftyp", |out| {
        out.put_slice(WITH_TABLES);
        put_brands(out, tables.iter().map(|tables| &tables.track));
    });
    let mut traks = Vec::new();
    let mut movie_duration = 0;
    for (index, (tables, &media_duration)) in tables.iter().zip(durations).enumerate() {
        let edits = edits(tables, zero);
        let track_duration = edits.iter().map(|edit| edit.movie_duration).sum();
        movie_duration = movie_duration.max(track_duration);
        let extras = Extras { bit_rate: tables.options.bit_rate };
        let trak = Trak { track: &tables.track, extras, movie_duration: track_duration, media_duration, edits };
        let offsets = order.iter().filter(|(track, _)| *track == index).map(|(_, at)| begin + at);
        let offsets: Vec<u64> = offsets.collect();
        put_trak(&mut traks, &trak, |out| tables.put(out, &offsets, are_large))?;
    }
    let numbers = tables.iter().map(|tables| track_number(&tables.track));
    put_box(&mut out, b"moov", |out| {
        put_movie_header(out, movie_duration, numbers.max().unwrap_or(0) + 1);
        out.put_slice(&traks);
    });
    Ok(out)
}

/// When the first frame is presented, in the clock of the movie. What is before 0 already is priming, and stays before 0.
pub(super) fn first_presented(tables: &[Tables]) -> i64 {
    let first = tables.iter().map(|tables| rescale(tables.first_pts, tables.track.clock_rate_hz, MOVIE_CLOCK_HZ));
    first.min().unwrap_or(0).max(0)
}

/// A pause up to the first frame that is presented, then all of the media from there on.
fn edits(tables: &Tables, zero: i64) -> Vec<Edit> {
    let clock_hz = tables.track.clock_rate_hz;
    let first_dts = tables.first.map_or(0, |place| place.dts);
    let zero_ticks = rescale(zero, MOVIE_CLOCK_HZ, clock_hz);
    let begin_pts = tables.first_pts.max(zero_ticks);
    let pause = rescale(begin_pts, clock_hz, MOVIE_CLOCK_HZ) - zero;
    let shown = rescale(tables.end_pts.saturating_sub(begin_pts), clock_hz, MOVIE_CLOCK_HZ);
    let pause = Edit { movie_duration: u64::try_from(pause).unwrap_or(0), media_time: None };
    let media_time = u64::try_from(begin_pts.saturating_sub(first_dts)).unwrap_or(0);
    let media = Edit { movie_duration: u64::try_from(shown).unwrap_or(0), media_time: Some(media_time) };
    if pause.movie_duration > 0 { vec![pause, media] } else { vec![media] }
}
