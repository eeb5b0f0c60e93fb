//! The bytes of a segment: the frames of one track, out of the fragments in which they were recorded.

use arcly_bus::{Frame, Track, TrackSet};
use bytes::Bytes;

use super::{Piece, Segment};
use crate::{
    Item, PackError,
    mp4::{Fmp4Muxer, Head, Mp4Demuxer, SegmentType, TrackOptions},
};

/// A muxer of that track alone, which leaves times as they are: those of segments are said in playlists.
pub(super) fn muxer(track: &Track) -> Result<Fmp4Muxer, PackError> {
    let tracks = TrackSet { revision: 1, tracks: vec![track.clone()] };
    Fmp4Muxer::with_options(&tracks, |_| TrackOptions { delay: Some(0), ..TrackOptions::default() })
}

pub(super) fn bytes(piece: &Piece, segment: &Segment, file: &Bytes) -> Result<Vec<u8>, PackError> {
    let missing = PackError::Misuse { what: "segment of a track that is not there" };
    let track = piece.outline.tracks.iter().find(|track| track.id == segment.track).ok_or(missing)?;
    let frames = frames(piece, segment, file)?;
    let mut out = Vec::new();
    let next = segment.next_dts.map(|dts| (segment.track, dts));
    let head = Head { segment_type: Some(SegmentType::Segment), next: next.as_slice(), ..Head::default() };
    muxer(track)?.write_fragment(&frames, &head, &mut out)?;
    Ok(out)
}

fn frames(piece: &Piece, segment: &Segment, file: &Bytes) -> Result<Vec<Frame>, PackError> {
    let mut demuxer = Mp4Demuxer::new();
    let mut frames = Vec::new();
    for bytes in [&piece.init, file] {
        demuxer.push(bytes)?;
        while let Some(item) = demuxer.poll() {
            frames.extend(shifted(item, segment));
        }
    }
    demuxer.finish();
    while let Some(item) = demuxer.poll() {
        frames.extend(shifted(item, segment));
    }
    Ok(frames)
}

fn shifted(item: Item, segment: &Segment) -> Option<Frame> {
    match item {
        Item::Frame(frame) if frame.track == segment.track => {
            let (pts, dts) = (frame.pts.saturating_add(segment.shift), frame.dts.saturating_add(segment.shift));
            Some(Frame { pts, dts, ..frame })
        }
        _ => None,
    }
}
