//! What is where in recorded files of all kinds, so that they can be played like fragmented ones: at key frames.
//!
//! - `units`: packets of a transport stream and tags of FLV, and which of them a part may begin with.
//! - `stream`: transport streams and FLV, read from their beginning to their end.
//! - `sets`: the parameter sets in front of parts of a transport stream.
//! - `packed`: what was found, as bytes.
//! - `samples`: MP4 with `moov` in front, by its tables.
//!
//! Fragmented MP4 has an outline already: [`OutlineReader`](crate::mp4::OutlineReader).

mod packed;
mod samples;
mod sets;
mod stream;
#[cfg(test)]
mod tests;
mod units;

use arcly_bus::{Frame, Track, TrackId};
use bytes::Bytes;

pub use self::{
    packed::{PackedOutline, pack_fragments},
    samples::{Places, SampleOutliner},
    stream::StreamOutliner,
};
use crate::{
    Item, PackError,
    container::{Container, ContainerDemuxer},
    mp4::Span,
};

/// How the bytes of a file become frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Those in front of the first fragment, and any fragments behind them, are a stream of their own: fragmented MP4, MPEG-TS, FLV.
    Stream(Container),
    /// The tables in front say where samples are: MP4.
    Samples {
        /// Of the whole file.
        file_bytes: u64,
    },
}

/// Tracks and frames of bytes that are a stream of their own.
pub(super) fn demux(container: Container, pieces: [&[u8]; 2]) -> Result<(Vec<Track>, Vec<Frame>), PackError> {
    let mut demuxer = ContainerDemuxer::new(container, None);
    let (mut tracks, mut frames) = (Vec::new(), Vec::new());
    let mut take = |demuxer: &mut ContainerDemuxer| {
        while let Some(item) = demuxer.poll() {
            match item {
                Item::Tracks(found) => tracks = found,
                Item::Frame(frame) => frames.push(frame),
                Item::EndOfSequence => {}
            }
        }
    };
    for bytes in pieces {
        demuxer.push(bytes)?;
        take(&mut demuxer);
    }
    // Why there never was a frame does not matter: there is none.
    let _ = demuxer.finish();
    take(&mut demuxer);
    Ok((tracks, frames))
}

/// What a fragment has of a track, with another frame: times in ticks of the track's clock.
fn note(spans: &mut Vec<Span>, track: TrackId, (pts, dts): (i64, i64), duration: u32, bytes: u64) {
    let Some(span) = spans.iter_mut().find(|span| span.track == track) else {
        let end_dts = dts.saturating_add(i64::from(duration));
        spans.push(Span { track, begin_dts: dts, end_dts, first_pts: pts, frames: 1, bytes });
        return;
    };
    // Where the length of the last frame is not known, it is that of those before it.
    let mean = dts.saturating_sub(span.begin_dts) / i64::from(span.frames.max(1));
    span.end_dts = dts.saturating_add(if duration > 0 { i64::from(duration) } else { mean });
    span.first_pts = span.first_pts.min(pts);
    span.frames = span.frames.saturating_add(1);
    span.bytes = span.bytes.saturating_add(bytes);
}

/// Bytes of a file that are held: `begin` is the place of the first of them.
pub(super) fn within(bytes: &Bytes, begin: u64, offset: u64, size: u64) -> Option<Bytes> {
    let from = usize::try_from(offset.checked_sub(begin)?).ok()?;
    let end = from.checked_add(usize::try_from(size).ok()?)?;
    (end <= bytes.len()).then(|| bytes.slice(from..end))
}
