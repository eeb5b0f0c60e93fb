//! A part of a recording that is no MP4, as a fragmented MP4 file.

use std::{io, sync::Arc};

use arcly_pack::vod::{ClipPlan, Remux, RemuxPart, Vod};
use bytes::Bytes;

use super::source::Source;
use crate::record::whole::invalid;

/// A file that is written while it is read. How long it is nobody knows before every piece of it was made.
pub struct Remuxed {
    vod: Arc<Vod>,
    sources: Arc<Vec<Arc<dyn Source>>>,
    remux: Remux,
    parts: Vec<RemuxPart>,
    init: Bytes,
}

impl Remuxed {
    /// The part of a recording that `plan` says; `None` when its files are MP4: see [`Clip`](super::Clip).
    ///
    /// # Errors
    /// That MP4 cannot carry it.
    pub fn new(vod: Arc<Vod>, sources: Arc<Vec<Arc<dyn Source>>>, plan: ClipPlan) -> io::Result<Option<Self>> {
        let Some((remux, parts)) = Remux::new(&vod, plan).map_err(invalid)? else { return Ok(None) };
        let init = remux.init_segment();
        Ok(Some(Self { vod, sources, remux, parts, init }))
    }

    /// Into how many pieces it is cut.
    pub fn pieces(&self) -> usize {
        self.parts.len() + 1
    }

    /// A piece of it, always the same.
    ///
    /// # Errors
    /// The source's, or that its files are not what they were.
    pub fn piece(&self, index: usize) -> io::Result<Vec<u8>> {
        let Some(before) = index.checked_sub(1) else { return Ok(self.init.to_vec()) };
        let part = self.parts.get(before).ok_or(io::ErrorKind::NotFound)?;
        let number = u32::try_from(index).map_err(io::Error::other)?;
        let source = self.sources.get(part.piece).ok_or(io::ErrorKind::NotFound)?;
        let file = source.open()?.read_exactly(part.range)?;
        self.remux.fragment(&self.vod, number, part, &file).map_err(invalid)
    }
}
