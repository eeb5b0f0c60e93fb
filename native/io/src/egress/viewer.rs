//! One viewer: a cursor in the log of packets, an offset in the packet in front, and a socket.

#[cfg(test)]
mod tests;

use std::{
    io::{self, IoSlice},
    net::TcpStream,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Waker,
    time::Instant,
};

use arcly_bus::{Read, Subscription};
use bytes::{Buf, Bytes, BytesMut};

use super::{
    EgressOptions, Framing,
    ears::Ears,
    joiner::{Joiner, Seat},
    line::{Line, News, Wants},
    list::Entry,
    packet::{Packet, parts_from},
    packets::PacketLog,
    socket::{has_hung_up, send},
};

/// Bytes that are put together for a pass, at most: a key picture of some 20 Mbit/s.
const JOINED_BYTES_MAX: usize = 256 << 10;

/// Viewers for whom it is worth it.
const JOINED_VIEWERS_MIN: usize = 4;

/// Pieces in one write of a viewer that is not where the others are.
const OWN_SLICES: usize = 64;

pub(crate) struct Viewer {
    socket: TcpStream,
    cursor: Subscription<Packet>,
    /// Bytes of the packet at the cursor that have been sent.
    offset: usize,
    /// Goes out before the packet at the cursor; mostly empty.
    front: Bytes,
    /// Revision of the tracks of the last packet that began; none before the first one, in front of which the container needs the most.
    told: Option<u32>,
    /// Has been told what it needs in front of the packet at the cursor, where that is a first one or follows a gap.
    is_led_in: bool,
    /// The socket takes no more: the poller says when it does.
    blocked: bool,
    /// The stream has ended, and the end is in `front`.
    ending: bool,
    /// When the socket last took something.
    progress: Instant,
    /// Bytes and frames that the list was not told of yet.
    untold: (u64, u64),
    entry: Entry,
    _counted: arcly_bus::Viewer,
    line: Option<Arc<Line>>,
    /// Of a viewer whom the pump itself listens to.
    ears: Option<Box<Ears>>,
    wants: Wants,
    leaves: bool,
}

/// What all viewers that keep up are about to be sent, made once for a pass.
pub(crate) struct Common<'a> {
    pub(crate) packets: &'a [Packet],
    pub(crate) slices: Vec<IoSlice<'a>>,
    pub(crate) bytes: usize,
    /// Some viewer has news, or is to go.
    pub(crate) has_tidings: bool,
}

impl<'a> Common<'a> {
    /// Several pieces are put together in `joined`, unless they are large or for few: one copy for all, where the kernel would else fetch the
    /// same list of slices for each.
    pub(crate) fn new(packets: &'a [Packet], joined: &'a mut Vec<u8>, viewers: usize, has_tidings: bool) -> Self {
        let bytes = packets.iter().map(|packet| packet.pieces.len()).sum();
        let is_many = packets.len() > 1 || packets.iter().any(|packet| packet.pieces.is_shared());
        let parts = parts_from(packets.iter().map(|packet| &packet.pieces), 0);
        let slices = if is_many && viewers >= JOINED_VIEWERS_MIN && bytes <= JOINED_BYTES_MAX {
            joined.clear();
            parts.for_each(|part| joined.extend_from_slice(part));
            vec![IoSlice::new(joined)]
        } else {
            parts.map(IoSlice::new).collect()
        };
        Self { packets, slices, bytes, has_tidings }
    }
}

/// How a viewer stands after it was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// It has everything, or its socket is full.
    Waits,
    /// It is to be let go.
    Over(End),
}

/// Why a viewer is let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The stream has ended and it has everything.
    Stream,
    /// It has gone.
    Gone,
    /// It was too slow for too long.
    Slow,
    /// Somebody ended it.
    Kicked,
    /// It asked for the end, and has all packets that had begun.
    Left,
}

impl Viewer {
    pub(crate) fn new(joiner: Joiner, packets: &PacketLog, now: Instant) -> Self {
        let Joiner { socket, head, entry, counted, line } = joiner;
        // What was said before it came here.
        let News { said, wants, leaves } = line.as_ref().map(|line| line.take_news()).unwrap_or_default();
        let wants = wants.unwrap_or_default();
        let mut cursor = packets.join_for(wants);
        let front = join(&head.make(&mut cursor), &said.freeze());
        Self {
            socket,
            cursor,
            offset: 0,
            front,
            told: None,
            is_led_in: false,
            blocked: false,
            ending: false,
            progress: now,
            untold: (0, 0),
            entry,
            _counted: counted,
            line,
            ears: (packets.framing == Framing::WebSocket).then(Box::default),
            wants,
            leaves,
        }
    }

    /// Tells whoever reads from the connection that this has ended, and gives the seat back of one that left in order.
    pub(crate) fn hang_up(mut self, end: End) {
        self.tell();
        let Self { line: Some(line), cursor, told, wants, entry, _counted: counted, .. } = self else { return };
        if end == End::Left {
            line.give_back(Seat { cursor, told, wants, entry, counted });
        }
        line.hang_up(end);
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Whether what it sends is read here.
    pub(crate) fn is_listened_to(&self) -> bool {
        self.ears.is_some()
    }

    /// Reads what it has sent; whether there is something to be done about it.
    pub(crate) fn hear(&mut self) -> bool {
        self.ears.as_mut().is_some_and(|ears| ears.hear(&self.socket))
    }

    /// Writes what waits, until nothing does or the socket takes no more.
    pub(crate) fn serve(&mut self, packets: &PacketLog, common: Option<&Common<'_>>, now: Instant) -> Served {
        let listens = common.is_none_or(|common| common.has_tidings);
        loop {
            if listens {
                if self.entry.0.is_kicked() {
                    return Served::Over(End::Kicked);
                }
                self.take_news(packets);
            }
            match self.step(packets, common) {
                Ok(Step::Sent(bytes)) => self.count(bytes, now),
                Ok(Step::Common(bytes)) => {
                    self.count(bytes, now);
                    return Served::Waits;
                }
                Ok(Step::Idle) => return Served::Waits,
                Ok(Step::Over(end)) => return Served::Over(end),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Served::Waits;
                }
                Err(_) => return Served::Over(End::Gone),
            }
            if self.blocked {
                return Served::Waits;
            }
        }
    }

    fn count(&mut self, bytes: usize, now: Instant) {
        self.progress = now;
        self.untold.0 += bytes as u64;
    }

    /// Tells the list what was sent.
    pub(super) fn tell(&mut self) {
        let (bytes, frames) = std::mem::take(&mut self.untold);
        self.entry.0.bytes.fetch_add(bytes, Relaxed);
        self.entry.0.frames.fetch_add(frames, Relaxed);
    }

    /// Has `waker` woken when there is news for it, or it is to go.
    pub(crate) fn wake_on_tidings(&self, waker: &Waker) {
        self.entry.0.wake_on_kick(waker);
        self.line.iter().for_each(|line| line.wake_on_news(waker.clone()));
    }

    /// Whether there is news for it besides packets.
    pub(crate) fn has_news(&self) -> bool {
        !self.blocked && self.line.as_ref().is_some_and(|line| line.has_news())
    }

    /// Takes news in, between two packets.
    fn take_news(&mut self, packets: &PacketLog) {
        // Behind all that waits: who pings and does not read is owed the newest answer, not a growing queue of them.
        if let Some(ears) = self.ears.as_mut().filter(|_| self.offset == 0 && self.front.is_empty()) {
            while let Some(answer) = ears.take_answer() {
                self.front = join(&self.front, &answer);
            }
            self.leaves |= ears.is_closed();
        }
        let Some(line) = self.line.as_ref().filter(|line| self.offset == 0 && line.has_news()) else { return };
        let News { said, wants, leaves } = line.take_news();
        self.leaves |= leaves;
        self.front = join(&self.front, &said.freeze());
        if let Some(wants) = wants.filter(|wants| *wants != self.wants) {
            let was = std::mem::replace(&mut self.wants, wants);
            packets.choose(&mut self.cursor, wants);
            // Times do not fall: what it has been sent is not sent again.
            if was.paused && !wants.paused {
                self.cursor.rejoin();
            }
            if wants.has_more_than(&was) {
                (self.told, self.is_led_in) = (None, false);
            }
        }
    }

    /// One write.
    fn step(&mut self, packets: &PacketLog, common: Option<&Common<'_>>) -> io::Result<Step> {
        if self.leaves && self.offset == 0 {
            return if self.front.is_empty() { Ok(Step::Over(End::Left)) } else { self.send_front() };
        }
        if self.wants.paused && self.offset == 0 {
            let is_over = self.front.is_empty() && packets.log().is_closed();
            return if is_over { Ok(Step::Over(End::Stream)) } else { self.send_front() };
        }
        if self.wants.chooses_by_kind() {
            packets.choose(&mut self.cursor, self.wants);
        }
        let batch = match self.cursor.peek(usize::MAX) {
            Read::Frames(batch) => batch,
            Read::Evicted => return Ok(Step::Over(End::Slow)),
            Read::Ended if self.ending && self.front.is_empty() => return Ok(Step::Over(End::Stream)),
            Read::Ended => {
                if !self.ending {
                    self.ending = true;
                    self.front = join(&self.front, &packets.framing.end());
                }
                return self.send_front();
            }
            Read::Empty => return self.send_front(),
        };
        // The mark of a gap stays until the packet behind it has gone out whole, which may take many writes.
        if !self.is_led_in && self.wants.needs_header(self.told, &batch) {
            self.front = join(&self.front, &packets.header(batch.tracks.revision, self.told.is_none()));
            self.is_led_in = true;
        }
        self.told = Some(batch.tracks.revision);
        let is_plain = self.front.is_empty() && self.offset == 0;
        let common = common.filter(|common| is_plain && std::ptr::eq(common.packets, batch.frames));
        let (wanted, sent) = match common {
            Some(common) => (common.bytes, send(&self.socket, &common.slices)?),
            None => send_own(&self.socket, &self.front, self.offset, batch.frames)?,
        };
        self.blocked = sent < wanted;
        let (passed, offset) = pass(&mut self.front, self.offset, batch.frames, sent);
        self.cursor.advance(passed);
        self.offset = offset;
        self.is_led_in &= passed == 0;
        self.untold.1 += passed as u64;
        let has_all = common.is_some() && !self.blocked;
        Ok(if has_all { Step::Common(sent) } else { Step::Sent(sent) })
    }

    fn send_front(&mut self) -> io::Result<Step> {
        if self.front.is_empty() {
            return Ok(if self.ending { Step::Over(End::Stream) } else { Step::Idle });
        }
        let sent = send(&self.socket, &[IoSlice::new(&self.front)])?;
        self.blocked = sent < self.front.len();
        self.front.advance(sent);
        Ok(Step::Sent(sent))
    }

    /// Looks, now and then, whether it is too slow: it is moved to the newest key frame, behind the packet that it is in; who takes
    /// nothing for too long is let go, and so is who has hung up, once there was nothing to write for as long.
    pub(crate) fn judge(&mut self, options: &EgressOptions, now: Instant) -> Served {
        self.tell();
        if self.entry.0.is_kicked() {
            return Served::Over(End::Kicked);
        }
        if now.duration_since(self.progress) >= options.stall_max {
            if self.blocked {
                return Served::Over(End::Slow);
            }
            // Nothing was written to it by which one would see that it is gone.
            if has_hung_up(&self.socket) {
                return Served::Over(End::Gone);
            }
        }
        if self.blocked && self.cursor.behind() > options.behind_max {
            self.skip();
        }
        // Nothing waits for who wants nothing now.
        let behind = self.cursor.log().published().saturating_sub(self.cursor.position());
        let lag = if self.wants.paused { 0 } else { behind };
        self.entry.0.lag_frames.store(lag, Relaxed);
        self.entry.0.dropped.store(self.cursor.missed(), Relaxed);
        Served::Waits
    }

    /// Gives up what waits, but for the rest of the packet that has begun: a container survives a gap between packets, not one within.
    fn skip(&mut self) {
        let begun = match self.cursor.peek(1) {
            Read::Frames(batch) if self.offset > 0 => {
                batch.frames.first().map(|packet| packet.pieces.from(self.offset))
            }
            _ => None,
        };
        if let Some(rest) = begun {
            self.cursor.advance(1);
            self.front = join(&self.front, &rest);
            self.offset = 0;
        }
        self.cursor.skip_ahead();
        self.is_led_in = false;
    }
}

enum Step {
    Sent(usize),
    /// All that the pass has for those who keep up: to look for more is the pass's business, once for all of them.
    Common(usize),
    Idle,
    Over(End),
}

fn join(front: &Bytes, more: &Bytes) -> Bytes {
    match (front.is_empty(), more.is_empty()) {
        (true, _) => more.clone(),
        (_, true) => front.clone(),
        _ => {
            let mut both = BytesMut::with_capacity(front.len() + more.len());
            both.extend_from_slice(front);
            both.extend_from_slice(more);
            both.freeze()
        }
    }
}

/// Writes `front` and what follows `offset` of `packets`, as far as one write goes; how much that was, and how much was taken.
fn send_own(socket: &TcpStream, front: &[u8], offset: usize, packets: &[Packet]) -> io::Result<(usize, usize)> {
    let mut slices: [IoSlice<'_>; OWN_SLICES] = std::array::from_fn(|_| IoSlice::new(&[]));
    let front = Some(front).filter(|front| !front.is_empty());
    let parts = front.into_iter().chain(parts_from(packets.iter().map(|packet| &packet.pieces), offset));
    let (mut count, mut wanted) = (0, 0);
    for (slice, part) in slices.iter_mut().zip(parts) {
        *slice = IoSlice::new(part);
        (count, wanted) = (count + 1, wanted + part.len());
    }
    let sent = send(socket, slices.get(..count).unwrap_or_default())?;
    Ok((wanted, sent))
}

/// Passes over `sent` bytes of `front` and of `packets` from `offset` on; how many packets that completes, and the offset in the next one.
fn pass(front: &mut Bytes, mut offset: usize, packets: &[Packet], sent: usize) -> (usize, usize) {
    let of_front = sent.min(front.len());
    front.advance(of_front);
    let (mut left, mut passed) = (sent - of_front, 0);
    for packet in packets {
        let rest = packet.pieces.len() - offset;
        if left < rest {
            offset += left;
            break;
        }
        (left, offset, passed) = (left - rest, 0, passed + 1);
    }
    (passed, offset)
}
