//! The log of packets: what a stream is in one format, as immutable bytes. It is made of the same ring as the log of frames; a packet is a
//! frame with other bytes: same time, same track, same mark of a key picture.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use arcly_bus::{Frame, Log, LogBounds, LogWriter, Read, Subscription, SubscriptionOptions, TrackFilter};
use arcly_codec::MediaKind;
use bytes::Bytes;

use super::{
    Container, Framing,
    format::{Format, Headers},
    line::Wants,
};
use crate::lock;

/// Headers of earlier configurations that viewers may still come to: as many changes as a log can hold.
const HEADERS_MAX: usize = 64;

/// Frames muxed at once.
const BATCH_FRAMES: usize = 64;

/// The packets of one stream in one format.
pub(crate) struct PacketLog {
    log: Arc<Log>,
    /// What viewers need in front of packets, by the revision of the tracks of these packets.
    headers: Mutex<VecDeque<Header>>,
    pub(crate) framing: Framing,
}

impl PacketLog {
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// A cursor that begins at the newest key picture.
    pub(crate) fn join(&self) -> Subscription {
        // Viewers are counted in the log of frames.
        self.log.subscribe_with(SubscriptionOptions { is_viewer: false, ..SubscriptionOptions::default() })
    }

    /// The same, without the kinds of tracks that are not wanted.
    pub(crate) fn join_for(&self, wants: Wants) -> Subscription {
        let is_wanted = |kind| match kind {
            MediaKind::Video => wants.video,
            MediaKind::Audio => wants.audio,
            MediaKind::Data => true,
        };
        let tracks = self.log.tracks();
        let ids = tracks.tracks.iter().filter(|track| is_wanted(track.kind())).map(|track| track.id);
        let ids = ids.filter(|id| wants.only.contains(*id));
        let tracks = if wants.audio && wants.video { wants.only } else { TrackFilter::only(ids) };
        self.log.subscribe_with(SubscriptionOptions { is_viewer: false, tracks, ..SubscriptionOptions::default() })
    }

    /// What a viewer needs whose next packet is under these tracks and is its first, or follows a gap.
    pub(crate) fn header(&self, revision: u32, is_first: bool) -> Bytes {
        let headers = lock(&self.headers);
        let header = headers.iter().find(|header| header.revision == revision);
        header.map(|header| if is_first { &header.first } else { &header.again }).cloned().unwrap_or_default()
    }

    fn put_header(&self, revision: u32, headers: &Headers) {
        let wrap = |bytes| self.framing.wrap(bytes);
        let header = Header { revision, first: wrap(&headers.first), again: wrap(&headers.again) };
        let mut headers = lock(&self.headers);
        if headers.len() == HEADERS_MAX {
            headers.pop_front();
        }
        headers.push_back(header);
    }
}

struct Header {
    revision: u32,
    first: Bytes,
    again: Bytes,
}

/// Fills a log of packets from a log of frames. Dropping it ends the packets for their viewers.
pub(crate) struct PacketWriter {
    source: Subscription,
    format: Box<dyn Format>,
    writer: LogWriter,
    packets: Arc<PacketLog>,
    /// Revision of the tracks of the source that the format was told of.
    configured: Option<u32>,
    has_ended: bool,
}

/// What the source had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fed {
    /// Nothing more by now.
    Everything,
    /// Nothing more for ever.
    Ended,
}

impl PacketWriter {
    /// Begins at the newest key picture of `source`.
    pub(crate) fn new(source: &Arc<Log>, container: Container, framing: Framing) -> Self {
        let bounds = source.bounds();
        // A container adds to the payload: TS some percent, and to small frames much more.
        let roomier = |bytes: usize| bytes.saturating_add(bytes / 4);
        let gop_bytes = bounds.gop_bytes.map(roomier);
        // Who is further behind than half of what the log of frames keeps has long been moved on; the present GOP is kept anyhow.
        let (frames, gop_frames) = (bounds.frames.div_ceil(2), Some(bounds.gop_frames.unwrap_or(bounds.frames)));
        let bounds = LogBounds { frames, bytes: roomier(bounds.bytes), gop_frames, gop_bytes, ..bounds };
        let writer = LogWriter::new(bounds, source.observer());
        let packets = Arc::new(PacketLog { log: writer.log().clone(), headers: Mutex::default(), framing });
        let (source, format) = (source.tap(), container.format());
        Self { source, format, writer, packets, configured: None, has_ended: false }
    }

    pub(crate) fn packets(&self) -> &Arc<PacketLog> {
        &self.packets
    }

    /// Whether more frames wait than were fed.
    pub(crate) fn has_news(&mut self) -> bool {
        self.source.is_ready()
    }

    /// Writes the packets of all frames that wait.
    pub(crate) fn feed(&mut self) -> Fed {
        while !self.has_ended {
            match self.source.read(BATCH_FRAMES) {
                Read::Frames(batch) => {
                    let is_other = self.configured.is_some_and(|revision| revision != batch.tracks.revision);
                    if is_other && !self.format.can_go_on(batch.tracks) {
                        self.say_goodbye();
                        break;
                    }
                    if self.configured != Some(batch.tracks.revision) {
                        self.configured = Some(batch.tracks.revision);
                        // Without a track that can be carried nothing is written, until others come.
                        let headers = self.format.configure(batch.tracks).unwrap_or_default();
                        if self.writer.set_tracks(batch.tracks.tracks.clone()).is_err() {
                            return Fed::Ended;
                        }
                        self.packets.put_header(self.writer.tracks().revision, &headers);
                    }
                    for frame in batch.frames {
                        // A frame that this container cannot hold is left out: the stream goes on.
                        let payload = packet(&mut *self.format, self.packets.framing, frame);
                        if let Some(payload) = payload.filter(|payload| !payload.is_empty()) {
                            let _ = self.writer.publish(Frame { payload, ..frame.clone() });
                        }
                    }
                }
                Read::Empty => return Fed::Everything,
                Read::Ended | Read::Evicted => self.say_goodbye(),
            }
        }
        Fed::Ended
    }

    fn say_goodbye(&mut self) {
        self.has_ended = true;
        for frame in self.format.end() {
            let payload = self.packets.framing.wrap(&frame.payload);
            let _ = self.writer.publish(Frame { payload, ..frame });
        }
    }
}

/// The packet of a frame, written where it stays.
fn packet(format: &mut dyn Format, framing: Framing, frame: &Frame) -> Option<Bytes> {
    let (head_bytes, payload_bytes) = (framing.head_bytes(), frame.payload.len());
    let mut framed = Vec::with_capacity(head_bytes + payload_bytes + payload_bytes / 32 + CONTAINER_BYTES);
    framed.resize(head_bytes, 0);
    format.write(frame, &mut framed).ok()?;
    Some(framing.close(framed))
}

/// What a container usually adds to a frame, besides what it adds to each of its bytes.
const CONTAINER_BYTES: usize = 64;
