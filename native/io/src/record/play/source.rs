//! Where the bytes of a recorded file come from.

use std::{fs::File, io, os::unix::fs::FileExt, path::PathBuf};

use arcly_pack::mp4::Range;
use bytes::Bytes;

/// A recorded file, somewhere.
pub trait Source: Send + Sync {
    /// Makes it ready to be read.
    ///
    /// # Errors
    /// It is not there, or cannot be had.
    fn open(&self) -> io::Result<Box<dyn Opened>>;
}

/// A recorded file that is being read.
pub trait Opened: Send + Sync {
    /// How many bytes it has.
    ///
    /// # Errors
    /// It cannot be told.
    fn bytes(&self) -> io::Result<u64>;

    /// Its bytes from `offset` on, fewer than asked for only at its end.
    ///
    /// # Errors
    /// It cannot be read.
    fn read_up_to(&self, offset: u64, bytes: usize) -> io::Result<Bytes>;

    /// These bytes of it.
    ///
    /// # Errors
    /// It cannot be read, or ends before.
    fn read_exactly(&self, range: Range) -> io::Result<Bytes> {
        let bytes = usize::try_from(range.bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let piece = self.read_up_to(range.offset, bytes)?;
        if piece.len() < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(piece) }
    }
}

impl Source for PathBuf {
    fn open(&self) -> io::Result<Box<dyn Opened>> {
        Ok(Box::new(File::open(self)?))
    }
}

impl Opened for File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_up_to(&self, offset: u64, bytes: usize) -> io::Result<Bytes> {
        let mut piece = vec![0; bytes];
        let mut filled = 0;
        while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        piece.truncate(filled);
        Ok(piece.into())
    }
}
