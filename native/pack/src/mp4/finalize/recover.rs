//! The end of a recording that was cut off: the process died, or the disk was full.

use crate::mp4::{
    demux::Step,
    read::{BoxHeader, LARGE_HEADER_BYTES},
};

/// Finds how many bytes of a fragmented file are whole: up to the end of the last fragment that has all its media. Cut there, it is a
/// valid file, and new fragments can be appended.
///
/// Only headers are read: like [`Mp4Index`](crate::mp4::Mp4Index), it says which bytes it needs.
#[derive(Debug)]
pub struct WholeFragments {
    file_bytes: u64,
    next_box: u64,
    whole: u64,
    has_movie: bool,
    has_fragment: bool,
    supplied: Option<(u64, Vec<u8>)>,
}

impl WholeFragments {
    /// For a file of so many bytes.
    pub fn new(file_bytes: u64) -> Self {
        Self { file_bytes, next_box: 0, whole: 0, has_movie: false, has_fragment: false, supplied: None }
    }

    /// The bytes that it needs next, or `None` when [`Self::whole_bytes`] is known.
    pub fn step(&mut self) -> Option<Step> {
        loop {
            let left = self.file_bytes.checked_sub(self.next_box).filter(|&left| left >= 8)?;
            let wanted = left.min(LARGE_HEADER_BYTES as u64) as usize;
            let found =
                self.supplied.as_ref().filter(|(offset, bytes)| *offset == self.next_box && bytes.len() >= wanted);
            let Some((_, bytes)) = found else { return Some(Step::Read { offset: self.next_box, bytes: wanted }) };
            // What is no box, and a box without an end, is where it was cut off.
            let header = BoxHeader::parse(bytes, self.next_box).ok().flatten()?;
            let size = header.size.filter(|&size| size <= left)?;
            self.pass(&header.kind, size);
        }
    }

    /// Gives it the bytes that it asked for.
    pub fn supply(&mut self, offset: u64, bytes: &[u8]) {
        self.supplied = Some((offset, bytes.get(..LARGE_HEADER_BYTES).unwrap_or(bytes).to_vec()));
    }

    /// Bytes of whole fragments with their init segment, as far as has been looked; 0 when not even that is whole.
    pub fn whole_bytes(&self) -> u64 {
        self.whole
    }

    fn pass(&mut self, kind: &[u8; 4], size: u64) {
        self.next_box += size;
        match kind {
            b"moov" => self.has_movie = true,
            b"moof" => self.has_fragment = true,
            _ => {}
        }
        let ends_fragment = kind == b"mdat" && std::mem::take(&mut self.has_fragment);
        if self.has_movie && (ends_fragment || kind == b"moov") {
            self.whole = self.next_box;
        }
    }
}
