//! What is where in a recorded file, whatever kind it is.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use arcly_pack::{
    PackError,
    container::{Container, SNIFF_BYTES},
    mp4::{Outline, OutlineReader, Step},
    vod::{Form, PackedOutline, SampleOutliner, StreamOutliner, pack_fragments},
};
use bytes::Bytes;

use super::source::{Opened, Source};
use crate::record::whole::invalid;

/// Bytes read at a time where only boxes are looked at.
const BOX_BYTES: usize = 4 << 10;
/// Bytes read at a time where all of them are looked at.
const READ_BYTES: usize = 1 << 20;

/// What is where in a file, and the bytes in front of its first fragment.
#[derive(Debug, Clone)]
pub struct FileOutline {
    /// What is where.
    pub outline: Arc<Outline>,
    /// What is in front: `ftyp` and `moov`, the tables of a transport stream, sequence headers.
    pub init: Bytes,
    /// How bytes become frames.
    pub form: Form,
    /// Of a file that was read from its beginning to its end: the outline as bytes, to be kept, so that this is done once.
    pub packed: Option<Bytes>,
    /// How far that has come.
    progress: Option<Arc<Mutex<StreamOutliner>>>,
}

impl FileOutline {
    /// That of a stream as far as it has been looked through, without a look at its file.
    ///
    /// # Errors
    /// Its last part cannot be read.
    pub(in crate::record) fn so_far(container: Container, progress: &Mutex<StreamOutliner>) -> io::Result<Self> {
        let found = progress.lock().unwrap_or_else(PoisonError::into_inner).outline();
        let (outline, init) = found.map_err(invalid)?;
        let (outline, form) = (Arc::new(outline), Form::Stream(container));
        Ok(Self { outline, init, form, packed: None, progress: None })
    }

    /// Bytes of memory that it takes, about.
    pub fn bytes(&self) -> usize {
        let fragments = &self.outline.fragments;
        let spans: usize = fragments.iter().map(|fragment| size_of_val(&*fragment.spans)).sum();
        self.init.len() + size_of_val(&**fragments) + spans + self.packed.as_ref().map_or(0, Bytes::len)
    }
}

/// What is known of a file before it is looked at.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What was found in it when it was shorter.
    pub before: Option<FileOutline>,
    /// What was kept of it when it was whole.
    pub packed: Option<Bytes>,
    /// More of it will come.
    pub grows: bool,
}

/// Looks a file through. Of one whose outline was kept one part is read.
///
/// # Errors
/// The source's, or that it is no recording.
pub fn outline(source: &dyn Source, known: &Known) -> io::Result<FileOutline> {
    let file = source.open()?;
    if let Some(packed) = &known.packed {
        // One that is of another file, or of another version, is as good as none.
        if let Ok(found) = unpack(&*file, packed) {
            return Ok(found);
        }
    }
    let mut found = look_through(&*file, known.before.as_ref())?;
    // What is complete need not be gone on with.
    if let Some(progress) = found.progress.take_if(|_| !known.grows) {
        let packed = progress.lock().unwrap_or_else(PoisonError::into_inner).pack().map_err(invalid)?;
        found.packed = packed.map(Bytes::from);
    }
    Ok(found)
}

/// The outline of a whole file as bytes, to be kept when the file goes where each read takes long; `None` where few tell it again.
///
/// # Errors
/// As [`outline`].
pub fn pack_outline(source: &dyn Source) -> io::Result<Option<Bytes>> {
    let found = outline(source, &Known::default())?;
    if found.form != Form::Stream(Container::Mp4) {
        return Ok(found.packed);
    }
    let file_bytes = source.open()?.bytes()?;
    Ok(pack_fragments(&found.outline, &found.init, file_bytes).map(Bytes::from))
}

fn unpack(file: &dyn Opened, packed: &Bytes) -> io::Result<FileOutline> {
    let packed = PackedOutline::parse(packed).map_err(invalid)?;
    if packed.file_bytes != file.bytes()? {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let form = Form::Stream(packed.container());
    let part = file.read_up_to(packed.tracks_in.offset, usize::try_from(packed.tracks_in.bytes).unwrap_or(0))?;
    let (outline, init) = packed.with_part(&part).map_err(invalid)?;
    Ok(FileOutline { outline: Arc::new(outline), init, form, packed: None, progress: None })
}

fn look_through(file: &dyn Opened, before: Option<&FileOutline>) -> io::Result<FileOutline> {
    if let Some(before) = before
        && let Some(progress) = before.progress.clone()
    {
        return go_on(file, progress, before.form);
    }
    match Container::sniff(&file.read_up_to(0, SNIFF_BYTES)?) {
        Some(Container::Mp4) => match fragments(file) {
            Err(error) if is_unsupported(&error) => samples(file),
            found => found,
        },
        Some(container) => {
            let outliner = StreamOutliner::new(container).map_err(invalid)?;
            go_on(file, Arc::new(Mutex::new(outliner)), Form::Stream(container))
        }
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "neither MPEG-TS, FLV nor MP4")),
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<PackError>());
    matches!(inner, Some(PackError::Unsupported { .. }))
}

fn fragments(file: &dyn Opened) -> io::Result<FileOutline> {
    let mut reader = OutlineReader::new(file.bytes()?);
    while let Some(step) = reader.step().map_err(invalid)? {
        let (offset, piece) = answer(file, &step)?;
        reader.supply(offset, piece);
    }
    let outline = reader.finish();
    let init = file.read_up_to(0, usize::try_from(outline.init_bytes).unwrap_or(0))?;
    Ok(FileOutline {
        outline: Arc::new(outline),
        init,
        form: Form::Stream(Container::Mp4),
        packed: None,
        progress: None,
    })
}

fn samples(file: &dyn Opened) -> io::Result<FileOutline> {
    let file_bytes = file.bytes()?;
    let mut outliner = SampleOutliner::new(file_bytes);
    while let Some(step) = outliner.step().map_err(invalid)? {
        let (offset, piece) = answer(file, &step)?;
        outliner.supply(offset, piece);
    }
    let outline = outliner.finish().map_err(invalid)?;
    let init = file.read_up_to(0, usize::try_from(outline.init_bytes).unwrap_or(0))?;
    Ok(FileOutline {
        outline: Arc::new(outline),
        init,
        form: Form::Samples { file_bytes },
        packed: None,
        progress: None,
    })
}

/// The bytes that a reader asks for, or more.
fn answer(file: &dyn Opened, step: &Step) -> io::Result<(u64, Bytes)> {
    let Step::Read { offset, bytes } = *step else { return Ok((0, Bytes::new())) };
    let piece = file.read_up_to(offset, bytes.max(BOX_BYTES))?;
    // It may have become shorter meanwhile.
    if piece.len() < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok((offset, piece)) }
}

/// Reads what has come behind what was read before.
fn go_on(file: &dyn Opened, progress: Arc<Mutex<StreamOutliner>>, form: Form) -> io::Result<FileOutline> {
    let mut outliner = progress.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let piece = file.read_up_to(outliner.position(), READ_BYTES)?;
        if piece.is_empty() {
            break;
        }
        outliner.push(&piece).map_err(invalid)?;
    }
    let (outline, init) = outliner.outline().map_err(invalid)?;
    drop(outliner);
    Ok(FileOutline { outline: Arc::new(outline), init, form, packed: None, progress: Some(progress) })
}
