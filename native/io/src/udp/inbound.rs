//! What one call has received.

use std::net::{IpAddr, SocketAddr};

use super::system::BATCH;

/// Bytes of a slot where the kernel may give us many datagrams as one: the most that it does.
const COALESCED_SLOT_BYTES: usize = 64 << 10;
/// Bytes of a slot otherwise: more than any path of the internet carries without fragments, and what media protocols send.
const SLOT_BYTES: usize = 2 << 10;
/// Slots for coalesced datagrams: with some 40 in each, more are not waiting.
const COALESCED_SLOTS: usize = 16;

/// A buffer that is filled again and again. Its memory is touched by the kernel only as far as it is needed.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(super) memory: Vec<u8>,
    pub(super) slot_bytes: usize,
    pub(super) filled: Vec<Filled>,
    /// Datagrams that were larger than a slot, and so were lost.
    pub(super) truncated: u64,
    /// As the kernel counts (modulo 2^32) what it had to drop because we did not read in time.
    pub(super) overflowed: u32,
}

/// A slot with something in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filled {
    pub(super) slot: usize,
    pub(super) bytes: usize,
    /// Bytes of each datagram in it but the last one.
    pub(super) segment_bytes: usize,
    pub(super) peer: SocketAddr,
    pub(super) local: Option<IpAddr>,
}

/// One datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    /// Who sent it. IPv4 peers of a socket of both families look like IPv4.
    pub(crate) peer: SocketAddr,
    /// The address that it was sent to, where [`UdpOptions::local_addresses`](super::UdpOptions) asks for it.
    pub(crate) local: Option<IpAddr>,
    /// Its payload; never empty.
    pub(crate) bytes: &'a [u8],
}

impl Inbound {
    pub(super) fn new(coalesced: bool) -> Self {
        let (slots, slot_bytes) = if coalesced { (COALESCED_SLOTS, COALESCED_SLOT_BYTES) } else { (BATCH, SLOT_BYTES) };
        Self {
            memory: vec![0; slots * slot_bytes],
            slot_bytes,
            filled: Vec::with_capacity(slots),
            truncated: 0,
            overflowed: 0,
        }
    }

    /// One without memory: what stands in for a buffer that is lent out.
    pub(crate) fn none() -> Self {
        Self { memory: Vec::new(), slot_bytes: 1, filled: Vec::new(), truncated: 0, overflowed: 0 }
    }

    /// What the last call has received, in its order.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.filled.iter().flat_map(|filled| {
            let at = filled.slot * self.slot_bytes;
            let bytes = self.memory.get(at..at + filled.bytes).unwrap_or_default();
            let Filled { peer, local, .. } = *filled;
            bytes.chunks(filled.segment_bytes.max(1)).map(move |bytes| Datagram { peer, local, bytes })
        })
    }

    /// Datagrams that were lost since the beginning, because they were too large, or because nobody read in time.
    pub(crate) fn lost(&self) -> u64 {
        self.truncated + u64::from(self.overflowed)
    }
}
