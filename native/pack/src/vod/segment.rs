//! The bytes of a segment: the frames of one track, out of the fragments or parts in which they were recorded.

use arcly_bus::{Frame, FrameFlags, Track, TrackSet};
use bytes::Bytes;

use super::{
    Form, Piece, Segment,
    outline::{Places, demux, within},
};
use crate::{
    PackError,
    container::Container,
    mp4::{Fmp4Muxer, Head, Place, SegmentType, TrackOptions},
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
    let frames = match piece.form {
        Form::Stream(container) => streamed(container, piece, segment, file)?,
        Form::Samples { file_bytes } => sampled(file_bytes, piece, segment, file)?,
    };
    let shift = segment.shift;
    let shifted =
        |frame: Frame| Frame { pts: frame.pts.saturating_add(shift), dts: frame.dts.saturating_add(shift), ..frame };
    let mut frames: Vec<Frame> = frames.into_iter().map(shifted).collect();
    from_zero(&mut frames);
    Ok(frames)
}

/// MP4 with edits may decode the first pictures before the time that is 0, segments may not. They are decoded as soon as may be.
fn from_zero(frames: &mut [Frame]) {
    for (earliest, frame) in (0..).zip(frames) {
        if frame.dts >= earliest {
            break;
        }
        frame.dts = earliest;
    }
}

/// Out of bytes that are a stream of their own.
fn streamed(container: Container, piece: &Piece, segment: &Segment, file: &Bytes) -> Result<Vec<Frame>, PackError> {
    let (_, mut frames) = demux(container, [&piece.init, file])?;
    frames.retain(|frame| frame.track == segment.track);
    if container != Container::Mp4 {
        begin_at(&mut frames, segment.begin_dts);
    }
    Ok(frames)
}

/// Puts the first of these frames of a track at that time. Read from the middle, times of a transport stream and of FLV begin anywhere
/// within their period.
pub(super) fn begin_at(frames: &mut [Frame], begin_dts: i64) {
    let late = frames.first().map_or(0, |first| begin_dts.saturating_sub(first.dts));
    for frame in frames {
        (frame.pts, frame.dts) = (frame.pts.saturating_add(late), frame.dts.saturating_add(late));
    }
}

/// Where the tables in front say.
fn sampled(file_bytes: u64, piece: &Piece, segment: &Segment, file: &Bytes) -> Result<Vec<Frame>, PackError> {
    let changed = PackError::Misuse { what: "the file is not what it was" };
    let mut places = Places::new(file_bytes, piece.init.clone(), piece.outline.tracks.clone());
    let mut frames = Vec::new();
    while frames.len() < segment.frames
        && let Some(place) = places.next_place()?
    {
        let Place { track, offset, bytes, pts, dts, duration, is_key } = place;
        if track == segment.track && dts >= segment.begin_dts {
            let payload = within(file, segment.range.offset, offset, u64::from(bytes)).ok_or(changed.clone())?;
            let flags = if is_key { FrameFlags::KEY } else { FrameFlags::NONE };
            frames.push(Frame { track, flags, pts, dts, duration, payload });
        }
    }
    Ok(frames)
}
