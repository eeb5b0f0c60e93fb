//! What is to be sent: datagrams side by side in one buffer, those of equal size to one destination as one message.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use super::{DATAGRAM_BYTES_MAX, system::Message};

/// Datagrams in one message at most (`UDP_MAX_SEGMENTS` of Linux before 6.9; 128 since).
const SEGMENTS_MAX: usize = 64;

/// Datagrams on their way to the kernel, bounded in bytes. What does not find room is dropped and counted: datagrams that are
/// late are worth less than those that come behind them, and whoever needs them asks again.
#[derive(Debug)]
pub(crate) struct Outbound {
    bytes: Vec<u8>,
    messages: Vec<Pending>,
    /// Messages in front that have been sent.
    sent: usize,
    bytes_max: usize,
    dropped: u64,
    last_error: Option<io::ErrorKind>,
}

/// Datagrams to one destination: a range of [`Outbound::bytes`].
#[derive(Debug, Clone, Copy)]
struct Pending {
    to: SocketAddr,
    from: Option<IpAddr>,
    start: usize,
    end: usize,
    /// Bytes of each datagram but the last one.
    segment_bytes: usize,
}

impl Pending {
    fn bytes(&self) -> usize {
        self.end - self.start
    }

    /// Whether one more datagram of so many bytes belongs to it: only the last one of a message may be shorter than the others.
    fn takes(&self, to: SocketAddr, from: Option<IpAddr>, bytes: usize) -> bool {
        let is_whole = self.bytes().is_multiple_of(self.segment_bytes);
        self.to == to
            && self.from == from
            && is_whole
            && bytes <= self.segment_bytes
            && self.bytes() + bytes <= DATAGRAM_BYTES_MAX
            && self.bytes() / self.segment_bytes < SEGMENTS_MAX
    }
}

impl Outbound {
    /// A queue that holds at most so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), messages: Vec::new(), sent: 0, bytes_max, dropped: 0, last_error: None }
    }

    /// Adds one datagram, given in pieces; false when it was dropped because the queue is full. Datagrams to one destination
    /// that follow each other are cheap. `from`: the address of ours that it comes from, where there are several; none for
    /// the system's choice.
    pub(crate) fn push(&mut self, to: SocketAddr, from: Option<IpAddr>, pieces: &[&[u8]]) -> bool {
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        self.push_with(to, from, bytes, |out| {
            let mut rest = out;
            for piece in pieces {
                // They have as many bytes as `out`: never shorter.
                let Some((place, behind)) = rest.split_at_mut_checked(piece.len()) else { return };
                place.copy_from_slice(piece);
                rest = behind;
            }
        })
    }

    /// Adds one datagram of so many bytes, which `write` fills in; it is not called when the queue is full.
    pub(crate) fn push_with(
        &mut self,
        to: SocketAddr,
        from: Option<IpAddr>,
        bytes: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> bool {
        // Nobody listens on port 0; asked to send there, the kernel would refuse the message with all that is in it.
        let is_possible = bytes > 0 && bytes <= DATAGRAM_BYTES_MAX && to.port() != 0;
        if !is_possible || !self.has_room(bytes) {
            self.dropped += 1;
            return false;
        }
        let start = self.bytes.len();
        self.bytes.resize(start + bytes, 0);
        if let Some(place) = self.bytes.get_mut(start..) {
            write(place);
        }
        self.join(to, from, start);
        true
    }

    /// Adds one datagram, which `write` appends behind what waits, with no copy in between; false when it says that there is none. There
    /// has to be [room](Self::has_room) for it.
    pub(crate) fn append(
        &mut self,
        to: SocketAddr,
        from: Option<IpAddr>,
        write: impl FnOnce(&mut Vec<u8>) -> bool,
    ) -> bool {
        let start = self.bytes.len();
        let is_written = write(&mut self.bytes);
        let bytes = self.bytes.len().saturating_sub(start);
        if is_written && bytes > 0 && bytes <= DATAGRAM_BYTES_MAX && to.port() != 0 {
            self.join(to, from, start);
        } else {
            self.bytes.truncate(start);
            self.dropped += u64::from(is_written);
        }
        is_written
    }

    /// The bytes from `start` on are a datagram: of the last message, or of a new one.
    fn join(&mut self, to: SocketAddr, from: Option<IpAddr>, start: usize) {
        let end = self.bytes.len();
        match self.messages.get_mut(self.sent..).and_then(<[_]>::last_mut) {
            Some(last) if last.takes(to, from, end - start) => last.end = end,
            _ => self.messages.push(Pending { to, from, start, end, segment_bytes: end - start }),
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.len() == self.sent
    }

    /// Bytes that wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        let first = self.messages.get(self.sent);
        first.map_or(0, |first| self.bytes.len() - first.start)
    }

    /// Datagrams that were never sent: no room here, or refused by the system.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What the system said to the last one that it refused, once.
    pub(crate) fn take_error(&mut self) -> Option<io::ErrorKind> {
        self.last_error.take()
    }

    /// Drops what waits.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
        self.sent = 0;
    }

    /// Whether so many bytes more may wait.
    pub(crate) fn has_room(&mut self, bytes: usize) -> bool {
        if self.bytes.len() + bytes > self.bytes_max {
            self.compact();
        }
        self.bytes.len() + bytes <= self.bytes_max
    }

    /// Gives back the room of what has been sent.
    fn compact(&mut self) {
        let Some(first) = self.messages.get(self.sent) else { return self.clear() };
        let gone = first.start;
        self.bytes.drain(..gone);
        self.messages.drain(..self.sent);
        self.sent = 0;
        for message in &mut self.messages {
            message.start -= gone;
            message.end -= gone;
        }
    }

    /// What waits, as messages for the system. `segment_bytes_max`: datagrams that are larger go one by one.
    pub(super) fn messages(&self, segment_bytes_max: usize) -> impl Iterator<Item = Message<'_>> {
        self.messages.iter().skip(self.sent).flat_map(move |message| {
            let bytes = self.bytes.get(message.start..message.end).unwrap_or_default();
            let together = message.segment_bytes <= segment_bytes_max;
            let Pending { to, from, segment_bytes, .. } = *message;
            bytes.chunks(if together { bytes.len() } else { segment_bytes }).map(move |bytes| {
                let segment_bytes = (bytes.len() > segment_bytes).then_some(segment_bytes);
                Message { to, from, bytes, segment_bytes }
            })
        })
    }

    /// So many bytes of it were sent: whole datagrams.
    pub(super) fn advance(&mut self, mut bytes: usize) {
        while let Some(message) = self.messages.get_mut(self.sent) {
            let taken = bytes.min(message.bytes());
            message.start += taken;
            bytes -= taken;
            if message.start < message.end {
                return;
            }
            self.sent += 1;
        }
        self.clear();
    }

    /// The system refuses the first message, of so many bytes.
    pub(super) fn refuse_first(&mut self, bytes: usize, error: io::ErrorKind) {
        let segment_bytes = self.messages.get(self.sent).map_or(1, |first| first.segment_bytes);
        self.dropped += bytes.div_ceil(segment_bytes) as u64;
        self.last_error = Some(error);
        self.advance(bytes);
    }
}
