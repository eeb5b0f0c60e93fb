//! A part of a recording as a file that does not exist: made while it is read.

use std::{io, sync::Arc};

use arcly_pack::{
    mp4::{Layout, MovieBuilder, PlaceReader, PlaceStep, Range},
    vod::{ClipPart, ClipPlan, Form, Piece, Places, Vod},
};
use bytes::Bytes;

use super::source::{Opened, Source};
use crate::record::whole::invalid;

/// A part of a recording, as a file that does not exist: made while it is read.
pub struct Clip {
    layout: Layout,
    parts: Vec<PartFile>,
    begin_us: i64,
}

/// Fragments of a file. What a clip is made of is all of them, one behind the other.
struct PartFile {
    file: Box<dyn Opened>,
    part: ClipPart,
    /// Where in what the clip is made of they begin.
    begin: u64,
}

impl Clip {
    /// The part of a recording that `plan` says.
    ///
    /// # Errors
    /// The disk's, or that MP4 cannot carry it.
    pub fn new(vod: &Vod, sources: &[Arc<dyn Source>], plan: &ClipPlan) -> io::Result<Self> {
        let mut builder = plan.builder().map_err(invalid)?;
        let (mut parts, mut begin) = (Vec::new(), 0);
        for part in &plan.parts {
            let (piece, source) =
                vod.pieces().get(part.piece).zip(sources.get(part.piece)).ok_or(io::ErrorKind::NotFound)?;
            let part = PartFile { file: source.open()?, part: part.clone(), begin };
            part.note(piece, plan, &mut builder)?;
            begin += part.part.range.bytes;
            parts.push(part);
        }
        Ok(Self { layout: builder.finish().map_err(invalid)?, parts, begin_us: plan.begin_us })
    }

    /// Bytes of all of it.
    pub fn bytes(&self) -> u64 {
        self.layout.bytes()
    }

    /// When it begins, in microseconds of the recording.
    pub fn begin_us(&self) -> i64 {
        self.begin_us
    }

    /// Up to `max` of its bytes from `offset` on; none behind its end.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        let head = &self.layout.head;
        if let Some(rest) =
            usize::try_from(offset).ok().and_then(|from| head.get(from..)).filter(|rest| !rest.is_empty())
        {
            return Ok(head.slice_ref(rest.get(..max).unwrap_or(rest)));
        }
        let mut at = head.len() as u64;
        for range in &self.layout.media {
            if offset < at + range.bytes {
                let within = offset - at;
                return self.read_media(range.offset + within, (range.bytes - within).min(max as u64));
            }
            at += range.bytes;
        }
        Ok(Bytes::new())
    }

    fn read_media(&self, offset: u64, bytes: u64) -> io::Result<Bytes> {
        let index = self.parts.partition_point(|part| part.begin <= offset);
        let part = index.checked_sub(1).and_then(|index| self.parts.get(index)).ok_or(io::ErrorKind::NotFound)?;
        let within = offset - part.begin;
        let bytes = bytes.min(part.part.range.bytes.saturating_sub(within));
        part.file.read_exactly(Range { offset: part.part.range.offset + within, bytes })
    }
}

impl PartFile {
    /// Notes the samples that are wanted.
    fn note(&self, piece: &Piece, plan: &ClipPlan, builder: &mut MovieBuilder) -> io::Result<()> {
        if let Form::Samples { file_bytes } = piece.form {
            return self.note_samples(file_bytes, piece, plan, builder);
        }
        // To the reader it is a file of its own: what is in front of the fragments, and they.
        let init_bytes = piece.init.len() as u64;
        let mut reader = PlaceReader::new(init_bytes + self.part.range.bytes);
        loop {
            match reader.step().map_err(invalid)? {
                PlaceStep::Read { offset, bytes } => reader.supply(offset, self.read_as_file(piece, offset, bytes)?),
                PlaceStep::Tracks(_) => {}
                PlaceStep::Place(place) => {
                    let offset = self.begin + place.offset.saturating_sub(init_bytes);
                    if let Some(place) = plan.place(&self.part, place, offset) {
                        builder.note(&place).map_err(invalid)?;
                    }
                }
                PlaceStep::End => return Ok(()),
            }
        }
    }

    fn note_samples(
        &self,
        file_bytes: u64,
        piece: &Piece,
        plan: &ClipPlan,
        builder: &mut MovieBuilder,
    ) -> io::Result<()> {
        let Range { offset, bytes } = self.part.range;
        let mut places = Places::new(file_bytes, piece.init.clone(), piece.outline.tracks.clone());
        while let Some(place) = places.next_place().map_err(invalid)? {
            let Some(within) = place.offset.checked_sub(offset).filter(|within| *within < bytes) else { continue };
            if let Some(place) = plan.place(&self.part, place, self.begin + within) {
                builder.note(&place).map_err(invalid)?;
            }
        }
        Ok(())
    }

    fn read_as_file(&self, piece: &Piece, offset: u64, bytes: usize) -> io::Result<Bytes> {
        let init = usize::try_from(offset).ok().and_then(|from| piece.init.get(from..)).unwrap_or_default();
        let mut all = init.get(..bytes).unwrap_or(init).to_vec();
        let rest = (bytes - all.len()) as u64;
        if rest > 0 {
            let within = (offset + all.len() as u64).saturating_sub(piece.init.len() as u64);
            let range = Range { offset: self.part.range.offset + within, bytes: rest };
            all.extend_from_slice(&self.file.read_exactly(range)?);
        }
        Ok(all.into())
    }
}
