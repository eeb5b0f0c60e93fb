//! Pieces of memory into a file, one behind the other, with a call for many.

use std::io::{self, IoSlice, Write};

/// [`Write::write_all`] for pieces that lie anywhere: nothing is copied to put them together.
pub(super) fn write_all(file: &mut impl Write, pieces: &[&[u8]]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut left = slices.as_mut_slice();
    // Passes over empty ones in front.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => IoSlice::advance_slices(&mut left, bytes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes three bytes at a time, is interrupted each second time, and is full behind `room` bytes.
    struct Disk {
        taken: Vec<u8>,
        room: usize,
        calls: usize,
    }

    impl Disk {
        fn new(room: usize) -> Self {
            Self { taken: Vec::new(), room, calls: 0 }
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.calls += 1;
            if self.calls.is_multiple_of(2) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = 3.min(self.room - self.taken.len());
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(count).collect();
            self.taken.extend_from_slice(&bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_pieces_are_written_however_little_is_taken_at_once() {
        let mut disk = Disk::new(100);
        write_all(&mut disk, &[b"", b"moof", b"", b"a", b"whole sample", b""]).unwrap();
        assert_eq!(disk.taken, b"moofawhole sample");
        write_all(&mut disk, &[b"", b""]).unwrap();
        write_all(&mut disk, &[]).unwrap();
        assert_eq!(disk.taken.len(), 17);
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut disk = Disk::new(7);
        let error = write_all(&mut disk, &[b"moof", b"sample"]).unwrap_err();
        assert_eq!((error.kind(), &disk.taken[..]), (io::ErrorKind::WriteZero, &b"moofsam"[..]));
    }
}
