//! Recorded files on their way to players: what is where in them, segments, and parts of them as files. Blocks: for threads that may.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use arcly_pack::{
    PackError,
    mp4::{Layout, MovieBuilder, Outline, OutlineReader, PlaceReader, PlaceStep, Range, Step},
    vod::{ClipPart, ClipPlan, Piece, Segment, Vod},
};
use bytes::Bytes;

use super::whole::invalid;

/// Bytes read at a time where only boxes are looked at.
const BOX_BYTES: usize = 4 << 10;
/// Bytes of a segment: what nobody records in a few seconds. Stops a file without key frames from filling the memory.
const SEGMENT_BYTES_MAX: u64 = 256 << 20;

/// What is where in a fragmented file, and the bytes in front of its first fragment.
#[derive(Debug, Clone)]
pub struct FileOutline {
    /// What is where.
    pub outline: Arc<Outline>,
    /// `ftyp` and `moov`.
    pub init: Bytes,
}

/// Looks a file through.
///
/// # Errors
/// The disk's, or that it is no fragmented MP4.
pub fn outline(path: &Path) -> io::Result<FileOutline> {
    let file = File::open(path)?;
    let mut reader = OutlineReader::new(file.metadata()?.len());
    while let Some(Step::Read { offset, bytes }) = reader.step().map_err(invalid)? {
        let piece = read_up_to(&file, offset, bytes.max(BOX_BYTES))?;
        if piece.len() < bytes {
            // It has become shorter meanwhile.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        reader.supply(offset, piece);
    }
    let outline = reader.finish();
    let init = read_up_to(&file, 0, usize::try_from(outline.init_bytes).unwrap_or(0))?;
    Ok(FileOutline { outline: Arc::new(outline), init })
}

fn read_up_to(file: &File, offset: u64, bytes: usize) -> io::Result<Bytes> {
    let mut piece = vec![0; bytes];
    let mut filled = 0;
    while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(filled);
    Ok(piece.into())
}

fn read_exactly(file: &File, range: Range) -> io::Result<Bytes> {
    let bytes = usize::try_from(range.bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let piece = read_up_to(file, range.offset, bytes)?;
    if piece.len() < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(piece) }
}

/// The bytes of a segment; `paths` are those of the pieces.
///
/// # Errors
/// The disk's, or that the file is not what it was.
pub fn segment_bytes(vod: &Vod, paths: &[PathBuf], segment: &Segment) -> io::Result<Vec<u8>> {
    if segment.range.bytes > SEGMENT_BYTES_MAX {
        let (limit, max, seen) = ("bytes of a segment", SEGMENT_BYTES_MAX as usize, segment.range.bytes as usize);
        return Err(invalid(PackError::LimitExceeded { limit, max, seen }));
    }
    let path = paths.get(segment.piece).ok_or(io::ErrorKind::NotFound)?;
    let file = read_exactly(&File::open(path)?, segment.range)?;
    vod.segment_bytes(segment, &file).map_err(invalid)
}

/// A part of a recording, as a file that does not exist: made while it is read.
pub struct Clip {
    layout: Layout,
    parts: Vec<PartFile>,
    begin_us: i64,
}

/// Fragments of a file. What a clip is made of is all of them, one behind the other.
struct PartFile {
    file: File,
    part: ClipPart,
    /// Where in what the clip is made of they begin.
    begin: u64,
}

impl Clip {
    /// The part of a recording that `plan` says.
    ///
    /// # Errors
    /// The disk's, or that MP4 cannot carry it.
    pub fn new(vod: &Vod, paths: &[PathBuf], plan: &ClipPlan) -> io::Result<Self> {
        let mut builder = plan.builder().map_err(invalid)?;
        let (mut parts, mut begin) = (Vec::new(), 0);
        for part in &plan.parts {
            let (piece, path) =
                vod.pieces().get(part.piece).zip(paths.get(part.piece)).ok_or(io::ErrorKind::NotFound)?;
            let part = PartFile { file: File::open(path)?, part: part.clone(), begin };
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
        read_exactly(&part.file, Range { offset: part.part.range.offset + within, bytes })
    }
}

impl PartFile {
    /// Notes the samples that are wanted.
    fn note(&self, piece: &Piece, plan: &ClipPlan, builder: &mut MovieBuilder) -> io::Result<()> {
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

    fn read_as_file(&self, piece: &Piece, offset: u64, bytes: usize) -> io::Result<Bytes> {
        let init = usize::try_from(offset).ok().and_then(|from| piece.init.get(from..)).unwrap_or_default();
        let mut all = init.get(..bytes).unwrap_or(init).to_vec();
        let rest = (bytes - all.len()) as u64;
        if rest > 0 {
            let within = (offset + all.len() as u64).saturating_sub(piece.init.len() as u64);
            all.extend_from_slice(&read_exactly(
                &self.file,
                Range { offset: self.part.range.offset + within, bytes: rest },
            )?);
        }
        Ok(all.into())
    }
}
