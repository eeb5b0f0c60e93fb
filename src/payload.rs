//! Payloads for frames that come from Python or C.

use bytes::{Bytes, BytesMut};

/// Small payloads share an allocation of this size: cheaper than one each, and once more when they are read. A reader that keeps
/// one frame keeps so much.
const SLAB_BYTES: usize = 32 << 10;

/// What counts as small.
const SMALL_BYTES: usize = SLAB_BYTES / 16;

/// Copies payloads, small ones into shared memory.
#[derive(Default)]
pub struct Slab {
    rest: BytesMut,
}

impl Slab {
    /// A payload of the same bytes.
    ///
    /// Always inline, as all of the way from here to the slot in the log: what goes through memory is read back in other pieces than it
    /// was written in, and each such read waits for the stores before it. That and the same in the log were 11 ns of 54 for a publish and a read.
    #[inline(always)]
    pub fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.len() > SMALL_BYTES {
            return Bytes::copy_from_slice(bytes);
        }
        if self.rest.capacity() < bytes.len() {
            self.rest = BytesMut::with_capacity(SLAB_BYTES);
        }
        self.rest.extend_from_slice(bytes);
        self.rest.split().freeze()
    }
}
