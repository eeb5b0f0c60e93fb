//! Packets as the body of a response: for connections that are encrypted or carry several responses, and so belong to hyper.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, Weak, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};

use arcly_bus::{Read, Subscription, WakeSlot};
use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Instant, sleep};

use super::{
    Head,
    joiner::Seat,
    line::Wants,
    list::{Entry, Record},
    packet::Packet,
    packets::PacketLog,
    patience::Patience,
    pump::JUDGE_EVERY,
};
use crate::lock;

/// How often somebody looks whether a viewer takes what it is given.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An endless body. It holds its place in the log only; hyper asks for more when the peer has taken what it got.
pub(crate) struct PacketBody {
    packets: Arc<PacketLog>,
    cursor: Subscription<Packet>,
    /// The task that polled last, and how it is woken.
    task: Option<(Waker, WakeSlot<Packet>)>,
    /// Revision of the tracks of the last packet; none before the first one.
    told: Option<u32>,
    /// Waits behind a header.
    next: Option<Bytes>,
    wants: Wants,
    entry: Entry,
    behind_max: Duration,
    /// When it was last looked whether it is too far behind.
    judged_at: Option<Instant>,
    /// Since when what was given out last is being sent; none while the stream is waited for.
    given_at: Arc<Mutex<Option<Instant>>>,
    _counted: arcly_bus::Viewer,
    /// Keeps the packets coming.
    _lease: Arc<()>,
}

impl PacketBody {
    pub(crate) fn new(
        packets: &Arc<PacketLog>,
        entry: Entry,
        counted: arcly_bus::Viewer,
        lease: Arc<()>,
        behind_max: Duration,
    ) -> Self {
        Self {
            packets: packets.clone(),
            cursor: packets.join(),
            task: None,
            told: None,
            next: None,
            wants: Wants::default(),
            entry,
            behind_max,
            judged_at: None,
            given_at: Arc::default(),
            _counted: counted,
            _lease: lease,
        }
    }

    /// For a viewer to whom somebody else has sent until now: it goes on where that ended.
    pub(crate) fn resume(packets: &Arc<PacketLog>, seat: Seat, lease: Arc<()>, behind_max: Duration) -> Self {
        let Seat { cursor, told, wants, entry, counted } = seat;
        let mut body = Self::new(packets, entry, counted, lease, behind_max);
        // Other packets are in use where the channel was made anew meanwhile.
        if Arc::ptr_eq(cursor.log(), packets.log()) {
            (body.cursor, body.told, body.wants) = (cursor, told, wants);
        } else {
            body.want(wants);
        }
        body
    }

    /// Somebody has to look whether the viewer is stuck: who gives nobody room is never asked here.
    pub(crate) fn watch(&self, stall_max: Duration) -> Watch {
        Watch { given_at: Arc::downgrade(&self.given_at), record: Arc::downgrade(&self.entry.0), stall_max }
    }

    /// How long the viewer is waited for by whoever writes to it, where that is us.
    pub(crate) fn patience(&self, stall_max: Duration) -> Patience {
        Patience::new(self.entry.0.clone(), stall_max)
    }

    /// Goes on where it is with what is wanted; who wanted nothing, at the newest key picture, if that is ahead.
    pub(crate) fn want(&mut self, wants: Wants) {
        if self.wants == wants {
            return;
        }
        let was = std::mem::replace(&mut self.wants, wants);
        self.packets.choose(&mut self.cursor, wants);
        if was.paused && !wants.paused {
            self.cursor.rejoin();
        }
        if wants.has_more_than(&was) {
            self.told = None;
        }
    }

    /// What goes in front of all.
    pub(crate) fn begin(&mut self, head: Head) -> Bytes {
        head.make(&mut self.cursor)
    }

    /// What tells the viewer, in the framing of these packets, that this was all.
    pub(crate) fn end(&self) -> Bytes {
        self.packets.framing.end()
    }

    /// Has this task woken by the next packet, and when it is to go. A new place is taken for another task only: each registers with the stream,
    /// beside all others.
    fn arm(&mut self, waker: &Waker) {
        let known = self.task.take().filter(|(known, _)| known.will_wake(waker));
        let (_, slot) = self.task.insert(known.unwrap_or_else(|| {
            self.entry.0.wake_on_kick(waker);
            (waker.clone(), WakeSlot::new(self.packets.log(), waker.clone()))
        }));
        slot.arm();
    }

    /// Moves a viewer that is too slow to the newest key picture. Only now and then: who has just come may have much to catch up on.
    fn judge(&mut self) {
        let now = Instant::now();
        if now.duration_since(*self.judged_at.get_or_insert(now)) >= JUDGE_EVERY {
            self.judged_at = Some(now);
            if self.cursor.behind() > self.behind_max {
                self.cursor.skip_ahead();
            }
        }
    }

    fn look(&mut self) -> Poll<Option<Bytes>> {
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(next));
        }
        if self.entry.0.is_kicked() {
            return Poll::Ready(None);
        }
        if self.wants.paused {
            return if self.packets.log().is_closed() { Poll::Ready(None) } else { Poll::Pending };
        }
        if self.wants.chooses_by_kind() {
            self.packets.choose(&mut self.cursor, self.wants);
        }
        self.judge();
        let batch = match self.cursor.read(1) {
            Read::Frames(batch) => batch,
            Read::Empty => {
                // Who has read all there was is not behind, however much comes at once.
                self.judged_at = None;
                return Poll::Pending;
            }
            Read::Ended | Read::Evicted => return Poll::Ready(None),
        };
        let needs_header = self.wants.needs_header(self.told, &batch);
        let (is_first, revision) = (self.told.is_none(), batch.tracks.revision);
        let packet = batch.frames.first().map(|packet| packet.pieces.to_bytes());
        self.entry.0.frames.fetch_add(1, Relaxed);
        self.entry.0.dropped.store(self.cursor.missed(), Relaxed);
        self.told = Some(revision);
        let header = if needs_header { self.packets.header(revision, is_first) } else { Bytes::new() };
        if header.is_empty() {
            return Poll::Ready(packet);
        }
        self.next = packet;
        Poll::Ready(Some(header))
    }
}

impl Body for PacketBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        *lock(&self.given_at) = None;
        let mut found = self.look();
        if found.is_pending() {
            self.arm(context.waker());
            // What came before the arming wakes nobody.
            found = self.look();
        }
        found.map(|packet| {
            packet.map(|packet| {
                self.entry.0.bytes.fetch_add(packet.len() as u64, Relaxed);
                *lock(&self.given_at) = Some(Instant::now());
                Ok(Frame::data(packet))
            })
        })
    }
}

/// A look at a body from outside of it.
pub(crate) struct Watch {
    given_at: Weak<Mutex<Option<Instant>>>,
    record: Weak<Record>,
    /// How long the viewer may take nothing.
    stall_max: Duration,
}

impl Watch {
    /// Waits until the viewer has taken nothing for too long, or is to be ended while it does: true; or until it has gone.
    pub(crate) async fn stuck(self) -> bool {
        let stall_max = self.stall_max;
        loop {
            sleep(LOOK_EVERY.min(stall_max)).await;
            let (Some(given_at), Some(record)) = (self.given_at.upgrade(), self.record.upgrade()) else { return false };
            let waits = lock(&given_at).map(|since| since.elapsed());
            if waits.is_some_and(|waits| waits >= stall_max || record.is_kicked() && waits >= LOOK_EVERY) {
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use arcly_bus::{LogBounds, LogWriter, StreamKey};
    use tokio::{
        runtime::Handle,
        time::{advance, timeout},
    };

    use super::{
        super::{
            Container, Egress, EgressOptions, Framing, List, Watcher,
            packets::PacketWriter,
            tests::{log_of_pictures, publish_pictures},
        },
        *,
    };
    use crate::Inbox;

    fn watcher() -> Watcher {
        let key = StreamKey::new("live", "cam").unwrap();
        Watcher { key, protocol: "http-flv", peer: ([127, 0, 0, 1], 1).into(), agent: String::new() }
    }

    /// Found by reading: it was found out with the next packet, and of a stream that is still there came none.
    #[tokio::test]
    async fn who_is_ended_while_nothing_comes_goes_at_once() {
        let source = LogWriter::new(LogBounds::default(), Arc::new(()));
        let egress = Egress::new(Handle::current(), EgressOptions::default(), Inbox::new(Waker::noop().clone()));
        let ticket = egress.admit(source.log(), watcher()).ok().unwrap();
        let mut body = ticket.body(Container::Flv, Framing::Bare).ok().unwrap();
        let watching =
            tokio::spawn(async move { poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.is_none() });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!watching.is_finished() && egress.kick(1));
        assert!(timeout(Duration::from_secs(1), watching).await.expect("it goes").unwrap());
    }

    /// What packets of FLV are made of, and a viewer of them who has joined at the second of two seconds.
    fn stage() -> (LogWriter, PacketWriter, PacketBody) {
        let mut source = log_of_pictures(LogBounds { frames: 4096, ..LogBounds::default() });
        let mut writer = PacketWriter::new(source.log(), Container::Flv, Framing::Bare);
        publish_pictures(&mut source, 0..60);
        writer.feed();
        let entry = List::new(Inbox::new(Waker::noop().clone())).enter(watcher(), 1).unwrap();
        let counted = source.log().viewer("http-flv");
        let body = PacketBody::new(writer.packets(), entry, counted, Arc::default(), Duration::from_secs(5));
        (source, writer, body)
    }

    fn at_ms(tag: &[u8]) -> u32 {
        u32::from_be_bytes([tag[7], tag[4], tag[5], tag[6]])
    }

    /// What it gives next.
    async fn next(body: &mut PacketBody) -> Bytes {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        frame.unwrap().unwrap().into_data().unwrap()
    }

    /// Found by reading: over TLS and HTTP/2 a viewer was as far behind as the log of packets reaches.
    #[tokio::test(start_paused = true)]
    async fn a_viewer_that_falls_behind_goes_on_at_the_newest_key_picture() {
        let (mut source, mut writer, mut body) = stage();
        assert_eq!(&next(&mut body).await[..3], b"FLV");
        assert_eq!(at_ms(&next(&mut body).await), 1000);
        publish_pictures(&mut source, 60..180);
        writer.feed();
        advance(Duration::from_secs(4)).await;
        assert_eq!(at_ms(&next(&mut body).await), 1033, "this is not too far");
        publish_pictures(&mut source, 180..610);
        writer.feed();
        advance(Duration::from_secs(14)).await;
        assert_eq!(next(&mut body).await[0], 18, "the headers again");
        assert_eq!(at_ms(&next(&mut body).await), 20_000);
        assert!(body.entry.0.dropped.load(Relaxed) > 500);
    }

    /// Found by reading: whoever had read all lost what a publisher sent behind a stall, all at once.
    #[tokio::test(start_paused = true)]
    async fn who_has_read_all_is_not_behind_however_much_comes_at_once() {
        let (mut source, mut writer, mut body) = stage();
        while timeout(Duration::from_secs(2), next(&mut body)).await.is_ok() {}
        advance(Duration::from_secs(7)).await;
        publish_pictures(&mut source, 60..270);
        writer.feed();
        assert_eq!(at_ms(&next(&mut body).await), 2000, "the next picture");
        assert_eq!(body.entry.0.dropped.load(Relaxed), 0);
    }
}
