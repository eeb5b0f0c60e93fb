//! How long a file is that nobody has measured while it was written: that of a recorder that died.

use std::{path::Path, time::Duration};

use arcly_bus::{Frame, Track};
use arcly_pack::Item;

use super::segment::micros;
use crate::file::{FileError, MediaReader};

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Length {
    /// Frames.
    pub frames: u64,
    /// From the first to behind the last one.
    pub duration: Duration,
}

/// Reads a file from its beginning to its end.
///
/// # Errors
/// [`FileError`] when it cannot be read or is none of the containers. One that breaks off is as long as it is up to there.
pub fn measure(path: &Path) -> Result<Length, FileError> {
    let mut reader = MediaReader::open(path)?;
    let (mut tracks, mut frames, mut span): (Vec<Track>, u64, Option<(i64, i64)>) = (Vec::new(), 0, None);
    while let Ok(Some(item)) = reader.next_item() {
        match item {
            Item::Tracks(found) => tracks = found,
            Item::Frame(frame) => {
                let (begin, end) = ends(&frame, &tracks);
                frames += 1;
                span = Some(span.map_or((begin, end), |(first, last)| (first.min(begin), last.max(end))));
            }
            Item::EndOfSequence => {}
        }
    }
    let lasts = span.map_or(0, |(first, last)| u64::try_from(last.saturating_sub(first)).unwrap_or(0));
    Ok(Length { frames, duration: Duration::from_micros(lasts) })
}

fn ends(frame: &Frame, tracks: &[Track]) -> (i64, i64) {
    let clock_hz = tracks.iter().find(|track| track.id == frame.track).map_or(90_000, |track| track.clock_rate_hz);
    (micros(frame.dts, clock_hz), micros(frame.dts.saturating_add(i64::from(frame.duration)), clock_hz))
}
