//! Packets as the body of a response: for connections that are encrypted or carry several responses, and so belong to hyper.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
};

use arcly_bus::{Read, Subscription, WakeSlot};
use bytes::Bytes;
use hyper::body::{Body, Frame};

use super::{Head, line::Wants, list::Entry, packets::PacketLog};

/// An endless body. It holds its place in the log only; hyper asks for more when the peer has taken what it got.
pub(crate) struct PacketBody {
    packets: Arc<PacketLog>,
    cursor: Subscription,
    /// Who waits is the task that polled last.
    slot: Option<WakeSlot>,
    has_header: bool,
    /// Waits behind a header.
    next: Option<Bytes>,
    wants: Wants,
    entry: Entry,
    _counted: arcly_bus::Viewer,
    /// Keeps the packets coming.
    _lease: Arc<()>,
}

impl PacketBody {
    pub(crate) fn new(packets: &Arc<PacketLog>, entry: Entry, counted: arcly_bus::Viewer, lease: Arc<()>) -> Self {
        Self {
            packets: packets.clone(),
            cursor: packets.join(),
            slot: None,
            has_header: false,
            next: None,
            wants: Wants::default(),
            entry,
            _counted: counted,
            _lease: lease,
        }
    }

    /// Goes on at the newest key picture, with what is wanted.
    pub(crate) fn want(&mut self, wants: Wants) {
        if self.wants != wants {
            self.wants = wants;
            self.cursor = self.packets.join_for(wants);
            (self.has_header, self.next) = (false, None);
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
        let batch = match self.cursor.read(1) {
            Read::Frames(batch) => batch,
            Read::Empty => return Poll::Pending,
            Read::Ended | Read::Evicted => return Poll::Ready(None),
        };
        let (is_first, revision) = (!self.has_header, batch.tracks.revision);
        let needs_header = batch.discontinuity || is_first;
        let packet = batch.frames.first().map(|frame| frame.payload.clone());
        self.entry.0.frames.fetch_add(1, Relaxed);
        self.entry.0.dropped.store(self.cursor.missed(), Relaxed);
        self.has_header = true;
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
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut found = self.look();
        if found.is_pending() {
            let slot = WakeSlot::new(self.packets.log(), context.waker().clone());
            slot.arm();
            self.slot = Some(slot);
            // What came before the arming wakes nobody.
            found = self.look();
        }
        found.map(|packet| {
            packet.map(|packet| {
                self.entry.0.bytes.fetch_add(packet.len() as u64, Relaxed);
                Ok(Frame::data(packet))
            })
        })
    }
}
