//! An MP4 file with its tables in front: parts of it that begin with key frames, without reading any media.

use arcly_bus::{Track, TrackId};
use arcly_codec::MediaKind;
use bytes::Bytes;

use super::note;
use crate::{
    PackError,
    mp4::{Fragment, MAX_MOOV_BYTES, Outline, Place, PlaceReader, PlaceStep, Range, Span, Step},
    time::rescale,
};

/// Bytes of a part: past it, it ends at any frame, and players cannot begin with the next one.
const PART_BYTES_MAX: u64 = 64 << 20;
/// How long a part is where every frame will do, and where pictures have ceased, in microseconds.
const PART_US: i64 = 1_000_000;
/// Bytes of a box header with a 64-bit size (ISO/IEC 14496-12 §4.2.2).
const LONGEST_HEADER_BYTES: u64 = 16;
/// Parts of a file that are noted. Those behind are not there.
const PARTS_MAX: usize = 1 << 20;

/// The samples of a file whose tables are held, in the order of decoding.
#[derive(Debug)]
pub struct Places {
    places: PlaceReader,
    /// The bytes in front of the media.
    head: Bytes,
    asked: Option<(u64, usize)>,
}

impl Places {
    /// For a file of so many bytes, of which those in front of the media are `head`, with tracks that a [`SampleOutliner`] has found.
    pub fn new(file_bytes: u64, head: Bytes, tracks: Vec<Track>) -> Self {
        Self { places: PlaceReader::of_tables(file_bytes, tracks), head, asked: None }
    }

    /// The next one; `None` behind the last.
    ///
    /// # Errors
    /// [`PackError`] when the tables are not what they were.
    pub fn next_place(&mut self) -> Result<Option<Place>, PackError> {
        loop {
            match self.places.step()? {
                PlaceStep::Place(place) => return Ok(Some(place)),
                PlaceStep::End => return Ok(None),
                PlaceStep::Tracks(_) => {}
                PlaceStep::Read { offset, bytes } => {
                    // It is given all there is, which may be less than it likes to have; what it needs is there, or never.
                    let from = usize::try_from(offset).unwrap_or(usize::MAX);
                    let is_again = self.asked.replace((offset, bytes)) == Some((offset, bytes));
                    let head = (from < self.head.len() && !is_again).then(|| self.head.slice(from..));
                    let head = head.ok_or(PackError::Misuse { what: "the file is not what it was" })?;
                    self.places.supply(offset, head);
                }
            }
        }
    }
}

/// Looks an MP4 file through by its tables. No I/O: it says which bytes it needs.
#[derive(Debug)]
pub struct SampleOutliner {
    places: PlaceReader,
    lead: Option<Track>,
    /// When its last sample was decoded.
    lead_us: i64,
    open: Option<Part>,
    outline: Outline,
}

/// Samples that belong together.
#[derive(Debug)]
struct Part {
    begin: u64,
    end: u64,
    is_entry: bool,
    begin_us: i64,
    spans: Vec<Span>,
}

impl SampleOutliner {
    /// For a file of so many bytes.
    pub fn new(file_bytes: u64) -> Self {
        Self {
            places: PlaceReader::new(file_bytes),
            lead: None,
            lead_us: i64::MIN,
            open: None,
            outline: Outline::default(),
        }
    }

    /// The bytes that it needs next, or `None` when it has seen all tables.
    ///
    /// # Errors
    /// [`PackError`] when this is no MP4, or nothing that we have written.
    pub fn step(&mut self) -> Result<Option<Step>, PackError> {
        loop {
            match self.places.step()? {
                PlaceStep::Read { offset, bytes } => return Ok(Some(Step::Read { offset, bytes })),
                PlaceStep::Tracks(tracks) => self.know(tracks),
                PlaceStep::Place(place) => self.take(&place),
                PlaceStep::End => return Ok(None),
            }
            if self.outline.fragments.len() >= PARTS_MAX {
                return Ok(None);
            }
        }
    }

    /// Gives it bytes of the file that begin at `offset`: those it has asked for, or more.
    pub fn supply(&mut self, offset: u64, bytes: Bytes) {
        self.places.supply(offset, bytes);
    }

    fn know(&mut self, tracks: Vec<Track>) {
        let video = tracks.iter().find(|track| track.kind() == MediaKind::Video);
        self.lead = video.or(tracks.first()).cloned();
        self.outline.tracks = tracks;
    }

    fn take(&mut self, place: &Place) {
        let at_us = rescale(place.dts, self.clock_hz(place.track), 1_000_000);
        let (begins, is_entry) = self.begins(place, at_us);
        if begins {
            self.close();
        }
        if self.lead.as_ref().is_some_and(|lead| lead.id == place.track) {
            self.lead_us = at_us;
        }
        let end = place.offset.saturating_add(u64::from(place.bytes));
        let part =
            self.open.get_or_insert(Part { begin: place.offset, end, is_entry, begin_us: at_us, spans: Vec::new() });
        part.is_entry |= is_entry;
        (part.begin, part.end) = (part.begin.min(place.offset), part.end.max(end));
        note(&mut part.spans, place.track, (place.pts, place.dts), place.duration, u64::from(place.bytes));
    }

    /// Whether a part begins with this sample, and whether players can begin with it.
    fn begins(&self, place: &Place, at_us: i64) -> (bool, bool) {
        let Some(lead) = &self.lead else { return (true, false) };
        let is_picture = lead.kind() == MediaKind::Video;
        let is_entry = place.track == lead.id && (place.is_key || !is_picture);
        let Some(open) = &self.open else { return (true, is_entry) };
        let is_due = is_picture || at_us.saturating_sub(open.begin_us) >= PART_US;
        let is_alone = place.track != lead.id && at_us.saturating_sub(open.begin_us.max(self.lead_us)) >= PART_US;
        let is_full = open.spans.iter().map(|span| span.bytes).sum::<u64>() > PART_BYTES_MAX;
        // Sound from just before the first picture belongs to it.
        let has_begun = open.is_entry || !self.outline.fragments.is_empty();
        (is_entry && is_due && has_begun || is_full || is_alone, is_entry)
    }

    fn close(&mut self) {
        let Some(part) = self.open.take() else { return };
        let Part { begin, end, is_entry, spans, .. } = part;
        let range = Range { offset: begin, bytes: end - begin };
        self.outline.fragments.push(Fragment { range, is_entry, spans: spans.into() });
    }

    fn clock_hz(&self, id: TrackId) -> u32 {
        self.outline.tracks.iter().find(|track| track.id == id).map_or(90_000, |track| track.clock_rate_hz)
    }

    /// What was found.
    ///
    /// # Errors
    /// [`PackError::Unsupported`] when the tables are not in front.
    pub fn finish(mut self) -> Result<Outline, PackError> {
        self.close();
        let first = self.outline.fragments.iter().map(|fragment| fragment.range.offset).min().unwrap_or(0);
        if first > MAX_MOOV_BYTES + (1 << 16) {
            return Err(PackError::Unsupported { what: "MP4 with its tables behind the media" });
        }
        // Who looks at the header of `mdat` reads as much as the longest header has.
        self.outline.init_bytes = first + LONGEST_HEADER_BYTES;
        Ok(self.outline)
    }
}
