//! One track as it comes: source, order and access units in one.

use std::time::Instant;

use arcly_codec::{CodecConfig, CodecError};
use bytes::Bytes;

use super::{
    AccessUnit, Depacketizer, Format, Limits, Packet,
    counter::Timestamps,
    reception::Reception,
    reorder::{Reorder, ReorderCounts},
    rtcp::{ReportBlock, SenderInfo},
};

/// Receives the packets of one track. A new source (SSRC) takes over when two packets of it follow each other and none of
/// the old one came between them; packets of another payload type are left out.
///
/// Push what comes, then [`poll`](Self::poll) until there is nothing, and call [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) says so.
#[derive(Debug)]
pub struct Receiver {
    format: Format,
    limits: Limits,
    ssrc: Option<u32>,
    /// The first packet of what may be another source.
    candidate: Option<Packet>,
    reorder: Reorder,
    reception: Reception,
    depacketizer: Depacketizer,
    /// Those of the packets that came last, for the times of sender reports.
    timestamps: Timestamps,
    malformed: u64,
    last_error: Option<CodecError>,
}

impl Receiver {
    /// A receiver of `format`, as the session description has it.
    ///
    /// # Errors
    /// As [`Depacketizer::new`].
    pub fn new(format: Format, limits: Limits) -> Result<Self, CodecError> {
        let depacketizer = Depacketizer::new(&format, limits)?;
        let (reorder, reception) = (Reorder::new(&limits), Reception::new(format.clock_rate_hz));
        Ok(Self {
            format,
            limits,
            ssrc: None,
            candidate: None,
            reorder,
            reception,
            depacketizer,
            timestamps: Timestamps::default(),
            malformed: 0,
            last_error: None,
        })
    }

    /// Says which sequence number the first packet has, where that is known (`RTP-Info`): those that overtake it wait.
    pub fn begin_at(&mut self, sequence: u16) {
        self.reorder.begin_at(sequence);
    }

    /// Takes a packet that came at `now`.
    pub fn push(&mut self, now: Instant, packet: Packet) {
        if packet.header.payload_type != self.format.payload_type {
            return;
        }
        let ssrc = *self.ssrc.get_or_insert(packet.header.ssrc);
        if packet.header.ssrc != ssrc {
            return self.consider(now, packet);
        }
        // While the source lives no other takes over, or two that send at a time would take turns.
        self.candidate = None;
        self.accept(now, packet);
        self.depacketize();
    }

    /// Takes a packet that came at `now` and is not read: comfort noise, or another of the formats that were described. Its number is not missing,
    /// since all types of a source are numbered together (RFC 3550 §5.1).
    pub fn pass_over(&mut self, now: Instant, packet: Packet) {
        if self.ssrc == Some(packet.header.ssrc) {
            self.candidate = None;
            self.accept(now, Packet { payload: Bytes::new(), ..packet });
            self.depacketize();
        }
    }

    fn accept(&mut self, now: Instant, packet: Packet) {
        self.reception.count(now, &packet.header);
        self.reorder.push(now, packet);
        // Without a poll of the timer, which nobody needs where everything comes in order.
        self.reorder.handle_timeout(now);
    }

    /// A packet of another source.
    fn consider(&mut self, now: Instant, packet: Packet) {
        let follows = |first: &Packet| {
            first.header.ssrc == packet.header.ssrc && first.header.sequence.wrapping_add(1) == packet.header.sequence
        };
        let Some(first) = self.candidate.take().filter(follows) else {
            self.candidate = Some(packet);
            return;
        };
        self.reorder.flush();
        self.depacketize();
        self.depacketizer.flush();
        self.depacketizer.reset();
        self.ssrc = Some(packet.header.ssrc);
        self.reorder = Reorder::new(&self.limits);
        self.reception = Reception::new(self.format.clock_rate_hz);
        self.timestamps = Timestamps::default();
        self.accept(now, first);
        self.accept(now, packet);
        self.depacketize();
    }

    fn depacketize(&mut self) {
        while let Some(ordered) = self.reorder.poll() {
            if ordered.restarts {
                self.depacketizer.flush();
                self.depacketizer.reset();
                self.timestamps = Timestamps::default();
            }
            self.timestamps.unroll(ordered.packet.header.timestamp);
            if let Err(error) = self.depacketizer.push(&ordered.packet, ordered.lost > 0) {
                self.malformed += 1;
                self.last_error = Some(error);
            }
        }
    }

    /// The next access unit.
    pub fn poll(&mut self) -> Option<AccessUnit> {
        self.depacketizer.poll()
    }

    /// When [`Self::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.reorder.poll_timeout()
    }

    /// Gives up what has been waited for long enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.reorder.handle_timeout(now);
        self.depacketize();
    }

    /// Nothing more will come: what is there is given out.
    pub fn flush(&mut self) {
        self.reorder.flush();
        self.depacketize();
        self.depacketizer.flush();
    }

    /// How packets are read.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// The configuration that holds: what the session description said, or what has come in-band since.
    pub fn config(&self) -> Option<&CodecConfig> {
        self.depacketizer.config()
    }

    /// The source; `None` when nothing has come.
    pub fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// The sequence numbers that are missing in front of packets that wait: what a NACK asks for.
    pub fn missing(&self) -> impl Iterator<Item = u16> {
        self.reorder.missing()
    }

    /// Takes a sender report of `ssrc` that came at `now`. Returns the unrolled timestamp of its moment, for
    /// [`Sync::sender_report`](super::Sync::sender_report); `None` when it is not about this source, or nothing has come of it.
    pub fn sender_report(&mut self, now: Instant, ssrc: u32, info: &SenderInfo) -> Option<i64> {
        if self.ssrc != Some(ssrc) {
            return None;
        }
        self.reception.sender_report(now, info.ntp);
        Some(self.timestamps.peek(info.rtp_timestamp))
    }

    /// The unrolled timestamp of a moment near the packets that came last: of what is said beside the stream (`RTP-Info`).
    pub fn unroll(&self, timestamp: u32) -> i64 {
        self.timestamps.peek(timestamp)
    }

    /// What a receiver report says of the source; `None` when nothing has come.
    pub fn report(&mut self, now: Instant) -> Option<ReportBlock> {
        Some(self.reception.report(now, self.ssrc?))
    }

    /// Packets that came of the source, and how much their spacing varies.
    pub fn reception(&self) -> &Reception {
        &self.reception
    }

    /// What has happened to the packets of the source.
    pub fn counts(&self) -> ReorderCounts {
        self.reorder.counts()
    }

    /// Packets whose payload was refused, and why the last one was.
    pub fn malformed(&self) -> (u64, Option<&CodecError>) {
        (self.malformed, self.last_error.as_ref())
    }

    /// Bytes that are held: of packets that wait and of an access unit that is not complete.
    pub fn buffered_bytes(&self) -> usize {
        self.depacketizer.buffered_bytes() + self.reorder.buffered_bytes()
    }
}
