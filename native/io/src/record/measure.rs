//! How long a file is that nobody has measured while it was written: that of a recorder that died.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use arcly_bus::{Frame, Track, TrackId};
use arcly_pack::{Item, container::Container};

use super::{
    play::{Known, outline},
    segment::micros,
};
use crate::file::{FileError, MediaReader};

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Length {
    /// Frames.
    pub frames: u64,
    /// From the first to behind the last one.
    pub duration: Duration,
}

/// Reads a file from its beginning to its end, or only the boxes of one that has some: a server that was killed has gigabytes to measure
/// before it listens.
///
/// # Errors
/// [`FileError`] when it cannot be read or is none of the containers. One that breaks off is as long as it is up to there.
pub fn measure(path: &Path) -> Result<Length, FileError> {
    let reader = MediaReader::open(path)?;
    if reader.container() == Container::Mp4
        && let Ok(length) = measure_boxes(path.to_owned())
    {
        return Ok(length);
    }
    Ok(measure_frames(reader))
}

fn measure_boxes(path: PathBuf) -> io::Result<Length> {
    let outline = outline(&path, &Known::default())?.outline;
    let (mut frames, mut span) = (0, None);
    for at in outline.fragments.iter().flat_map(|fragment| &fragment.spans) {
        frames += u64::from(at.frames);
        span = wider(span, in_micros(&outline.tracks, at.track, (at.begin_dts, at.end_dts)));
    }
    Ok(Length { frames, duration: lasts(span) })
}

fn measure_frames(mut reader: MediaReader) -> Length {
    let (mut tracks, mut frames, mut span): (Vec<Track>, u64, Option<(i64, i64)>) = (Vec::new(), 0, None);
    while let Ok(Some(item)) = reader.next_item() {
        match item {
            Item::Tracks(found) => tracks = found,
            Item::Frame(Frame { track, dts, duration, .. }) => {
                frames += 1;
                span = wider(span, in_micros(&tracks, track, (dts, dts.saturating_add(i64::from(duration)))));
            }
            Item::EndOfSequence => {}
        }
    }
    Length { frames, duration: lasts(span) }
}

fn in_micros(tracks: &[Track], id: TrackId, (begin, end): (i64, i64)) -> (i64, i64) {
    let clock_hz = tracks.iter().find(|track| track.id == id).map_or(90_000, |track| track.clock_rate_hz);
    (micros(begin, clock_hz), micros(end, clock_hz))
}

fn wider(span: Option<(i64, i64)>, (begin, end): (i64, i64)) -> Option<(i64, i64)> {
    Some(span.map_or((begin, end), |(first, last)| (first.min(begin), last.max(end))))
}

fn lasts(span: Option<(i64, i64)>) -> Duration {
    Duration::from_micros(span.map_or(0, |(first, last)| u64::try_from(last.saturating_sub(first)).unwrap_or(0)))
}
