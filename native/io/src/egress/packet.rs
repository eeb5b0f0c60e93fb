//! One packet: the bytes that a container makes of a frame. Most of them are the frame's payload, and where the container leaves that as it
//! is, the packet has it from the frame: not copied, and kept once however many formats a stream leaves in.

use arcly_bus::{Entry, Frame};
use bytes::{Bytes, BytesMut};

/// Payloads below this are copied: one piece is sent faster than three, and so small a block is at the allocator's hand.
pub(super) const SHARED_BYTES_MIN: usize = 1024;

/// A packet in the log.
pub(crate) struct Packet {
    /// What it was made of, without its payload.
    frame: Frame,
    pub(crate) pieces: Pieces,
}

impl Packet {
    pub(super) fn new(frame: &Frame, pieces: Pieces) -> Self {
        Self { frame: Frame { payload: Bytes::new(), ..*frame }, pieces }
    }
}

impl Entry for Packet {
    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }

    /// Those of the payload too: the log of frames may drop it first.
    fn bytes(&self) -> usize {
        self.pieces.len()
    }
}

/// The bytes of a packet: its own, and somewhere between them those that it shares with its frame.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    own: Bytes,
    shared: Bytes,
    /// So many of our own stand in front of the shared ones.
    at: usize,
}

impl Pieces {
    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.own.len() + self.shared.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.shared.is_empty()
    }

    /// Whether not all of them are its own.
    pub(super) fn is_shared(&self) -> bool {
        !self.shared.is_empty()
    }

    /// Those that the container has written: all, of a container that shares nothing.
    pub(crate) fn own(&self) -> &Bytes {
        &self.own
    }

    /// One behind the other they are the packet; some may be empty.
    pub(super) fn parts(&self) -> [&[u8]; 3] {
        let (front, back) = self.own.split_at_checked(self.at).unwrap_or((&self.own, &[]));
        [front, &self.shared, back]
    }

    /// All in one piece: a copy, when some are shared.
    pub(super) fn to_bytes(&self) -> Bytes {
        self.from(0)
    }

    /// The same of what is behind the first `offset` bytes.
    pub(super) fn from(&self, offset: usize) -> Bytes {
        if !self.is_shared() {
            return self.own.slice(offset.min(self.own.len())..);
        }
        let mut all = BytesMut::with_capacity(self.len().saturating_sub(offset));
        parts_from(std::slice::from_ref(self), offset).for_each(|part| all.extend_from_slice(part));
        all.freeze()
    }
}

/// The parts of packets behind each other, without the first `offset` bytes. None is empty.
pub(super) fn parts_from<'a>(
    pieces: impl IntoIterator<Item = &'a Pieces>,
    mut offset: usize,
) -> impl Iterator<Item = &'a [u8]> {
    pieces.into_iter().flat_map(Pieces::parts).filter_map(move |part| {
        let skipped = offset.min(part.len());
        offset -= skipped;
        part.get(skipped..).filter(|part| !part.is_empty())
    })
}

/// A packet that is being written.
pub(crate) struct Draft {
    /// What the container writes, behind what the framing has left free.
    pub(crate) own: Vec<u8>,
    shared: Bytes,
    at: usize,
}

impl Draft {
    /// With so many bytes left free in front, and room for so many more.
    pub(crate) fn new(head_bytes: usize, room_bytes: usize) -> Self {
        let mut own = Vec::with_capacity(head_bytes + room_bytes);
        own.resize(head_bytes, 0);
        Self { own, shared: Bytes::new(), at: 0 }
    }

    /// Puts `payload` behind what is written, without a copy. Once in a packet: a second one is copied.
    pub(super) fn share(&mut self, payload: &Bytes) {
        if self.shared.is_empty() {
            (self.shared, self.at) = (payload.clone(), self.own.len());
        } else {
            self.own.extend_from_slice(payload);
        }
    }

    /// Bytes, with those left free.
    pub(super) fn len(&self) -> usize {
        self.own.len() + self.shared.len()
    }

    /// What was written, from byte `start` on.
    pub(super) fn close(self, start: usize) -> Pieces {
        let mut own = Bytes::from(self.own);
        let own = own.split_off(start.min(own.len()));
        Pieces { own, shared: self.shared, at: self.at.saturating_sub(start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(own: &[u8], at: usize, shared: &[u8]) -> Pieces {
        Pieces { own: Bytes::copy_from_slice(own), shared: Bytes::copy_from_slice(shared), at }
    }

    #[test]
    fn a_payload_stands_where_it_was_put_and_is_the_frames_own() {
        let payload = Bytes::from_static(b"payload");
        let mut draft = Draft::new(4, 16);
        draft.own.extend_from_slice(b"head");
        draft.share(&payload);
        draft.own.extend_from_slice(b"tail");
        draft.share(&Bytes::from_static(b"again"));
        assert_eq!(draft.len(), 4 + 4 + 7 + 4 + 5);
        let pieces = draft.close(3);
        assert_eq!(&pieces.to_bytes()[..], b"\0headpayloadtailagain");
        assert_eq!(pieces.parts()[1].as_ptr(), payload.as_ptr());
    }

    #[test]
    fn what_is_left_of_a_packet_is_the_same_from_every_byte() {
        for pieces in [pieces(b"headtail", 4, b"payload"), pieces(b"headpayloadtail", 0, b""), pieces(b"tail", 0, b"a")]
        {
            let whole = pieces.to_bytes();
            for offset in 0..=whole.len() {
                assert_eq!(pieces.from(offset), whole.slice(offset..));
            }
        }
        let two = [pieces(b"ad", 1, b"bc"), pieces(b"ef", 2, b"")];
        for offset in 0..4 {
            let all: Vec<&[u8]> = parts_from(&two, offset).collect();
            assert_eq!(all.concat(), b"abcdef"[offset..]);
            assert!(all.iter().all(|part| !part.is_empty()));
        }
    }
}
