//! An outline as bytes, to be kept beside a file that would otherwise have to be read from its beginning to its end, or piece by piece from
//! far away.
//!
//! Numbers are big-endian. Tracks are not in it: the part in which the last one was found tells them again.
//!
//! | bytes | what |
//! |---|---|
//! | 1, 1 | version, container |
//! | 8 | bytes of the file |
//! | 4, n | what is in front of the first frame |
//! | 4, 4 | the part that tells the tracks; parts |
//! | of each part: 8, 8, 1, 1 | its range, whether players can begin with it, spans |
//! | of each span: 1, 8, 8, 8, 4, 8 | as [`Span`] |

use arcly_bus::TrackId;
use bytes::{Buf, BufMut, Bytes};

use super::demux;
use crate::{
    PackError,
    container::Container,
    mp4::{Fragment, Outline, Range, Span},
};

/// 1 had parts of transport streams without their pictures.
const VERSION: u8 = 2;
/// Containers by their number.
const CONTAINERS: [Container; 3] = [Container::MpegTs, Container::Flv, Container::Mp4];
/// Of a part and of a span: what is in the way of a count that asks for more than there is.
const PART_BYTES: usize = 8 + 8 + 1 + 1;
const SPAN_BYTES: usize = 1 + 8 + 8 + 8 + 4 + 8;

/// An outline that was kept, without its tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedOutline {
    container: Container,
    /// Of the file, when it was packed. One of another size is another one.
    pub file_bytes: u64,
    init: Bytes,
    /// The part that tells the tracks.
    pub tracks_in: Range,
    fragments: Vec<Fragment>,
}

/// The outline of a fragmented MP4 file. Its boxes say it, too, but one by one. `None` when there is too much of it.
pub fn pack_fragments(outline: &Outline, init: &[u8], file_bytes: u64) -> Option<Vec<u8>> {
    let has = |fragment: &Fragment, track: TrackId| fragment.spans.iter().any(|span| span.track == track);
    let has_all = |fragment: &Fragment| outline.tracks.iter().all(|track| has(fragment, track.id));
    let tracks_in = outline.fragments.iter().position(has_all).unwrap_or(0);
    pack(outline, Container::Mp4, file_bytes, init, tracks_in)
}

pub(super) fn pack(
    outline: &Outline,
    container: Container,
    file_bytes: u64,
    init: &[u8],
    tracks_in: usize,
) -> Option<Vec<u8>> {
    let number = CONTAINERS.iter().position(|known| *known == container)?;
    let mut out = vec![VERSION, u8::try_from(number).ok()?];
    out.put_u64(file_bytes);
    out.put_u32(u32::try_from(init.len()).ok()?);
    out.put_slice(init);
    out.put_u32(u32::try_from(tracks_in).ok()?);
    out.put_u32(u32::try_from(outline.fragments.len()).ok()?);
    for Fragment { range, is_entry, spans } in &outline.fragments {
        out.put_u64(range.offset);
        out.put_u64(range.bytes);
        out.put_u8(u8::from(*is_entry));
        out.put_u8(u8::try_from(spans.len()).ok()?);
        for Span { track, begin_dts, end_dts, first_pts, frames, bytes } in spans {
            out.put_u8(track.0);
            out.put_i64(*begin_dts);
            out.put_i64(*end_dts);
            out.put_i64(*first_pts);
            out.put_u32(*frames);
            out.put_u64(*bytes);
        }
    }
    Some(out)
}

impl PackedOutline {
    /// Reads what [`StreamOutliner::pack`](super::StreamOutliner::pack) or [`pack_fragments`] made.
    ///
    /// # Errors
    /// [`PackError::Malformed`] when it is cut off, or of another version.
    pub fn parse(packed: &Bytes) -> Result<Self, PackError> {
        let (all, mut rest) = (packed.len(), packed.clone());
        parse(&mut rest).ok_or(PackError::Malformed { what: "kept outline", offset: all - rest.len() })
    }

    /// The outline, and what is in front of its first part; `part` has the bytes of [`Self::tracks_in`].
    ///
    /// # Errors
    /// [`PackError`] when the part cannot be read: it is not that file.
    pub fn with_part(self, part: &[u8]) -> Result<(Outline, Bytes), PackError> {
        let (tracks, _) = demux(self.container, [&self.init, part])?;
        let known = |track: TrackId| tracks.iter().any(|found| found.id == track);
        if !self.fragments.iter().flat_map(|fragment| &fragment.spans).all(|span| known(span.track)) {
            return Err(PackError::Malformed { what: "kept outline of another file", offset: 0 });
        }
        Ok((Outline { init_bytes: self.init.len() as u64, tracks, fragments: self.fragments }, self.init))
    }

    /// What kind of file it is of.
    pub fn container(&self) -> Container {
        self.container
    }
}

fn parse(rest: &mut Bytes) -> Option<PackedOutline> {
    if rest.try_get_u8().ok()? != VERSION {
        return None;
    }
    let container = *CONTAINERS.get(usize::from(rest.try_get_u8().ok()?))?;
    let file_bytes = rest.try_get_u64().ok()?;
    let init_bytes = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    let init = (init_bytes <= rest.len()).then(|| rest.split_to(init_bytes))?;
    let tracks_in = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    let count = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    let mut fragments = Vec::with_capacity(count.min(rest.len() / PART_BYTES));
    for _ in 0..count {
        fragments.push(fragment(rest, file_bytes)?);
    }
    let tracks_in = fragments.get(tracks_in)?.range;
    rest.is_empty().then_some(PackedOutline { container, file_bytes, init, tracks_in, fragments })
}

fn fragment(rest: &mut Bytes, file_bytes: u64) -> Option<Fragment> {
    let range = Range { offset: rest.try_get_u64().ok()?, bytes: rest.try_get_u64().ok()? };
    if range.offset.checked_add(range.bytes)? > file_bytes {
        return None;
    }
    let is_entry = rest.try_get_u8().ok()? != 0;
    let count = usize::from(rest.try_get_u8().ok()?);
    let mut spans = Vec::with_capacity(count.min(rest.len() / SPAN_BYTES));
    for _ in 0..count {
        spans.push(Span {
            track: TrackId(rest.try_get_u8().ok()?),
            begin_dts: rest.try_get_i64().ok()?,
            end_dts: rest.try_get_i64().ok()?,
            first_pts: rest.try_get_i64().ok()?,
            frames: rest.try_get_u32().ok()?,
            bytes: rest.try_get_u64().ok()?,
        });
    }
    Some(Fragment { range, is_entry, spans: spans.into() })
}
