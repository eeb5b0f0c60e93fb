//! The whole way of hostile tags: FLV demuxer, bus, MPEG-TS and HLS.

use std::{sync::Arc, time::Duration};

use arcly_bus::{BusError, Frame, LogBounds, LogWriter, Publisher, Read, Subscription, TrackSet};
use arcly_codec::CodecConfig;
use arcly_pack::{
    Item, PackError,
    flv::{Dialect, FlvDemuxer, FlvError, FlvMuxOptions, FlvMuxer, FlvTag, TagKind},
    hls::{HlsConfig, HlsPackager},
    mpegts::TsMuxer,
};
use bytes::Bytes;

use super::Target;
use crate::{
    checks::{FrameChecks, PacketChecks, ViewChecks, check_payload},
    flv::{AUDIO, Tag, VIDEO, publishes, read_tags},
    flv_edits::edit_tags,
    mutate::{Input, MAX_INPUT_BYTES},
    play_back,
};

/// Small limits, so that they are reached; a key picture of the demo clip just passes.
const LOG_BOUNDS: LogBounds =
    LogBounds { frames: 128, bytes: 40 << 10, gop_frames: None, gop_bytes: None, max_lag: None };
/// What `LogBounds` promises: an eighth more, and a frame.
const LOG_BYTES_MAX: usize = LOG_BOUNDS.bytes + LOG_BOUNDS.bytes / 8 + LOG_BOUNDS.bytes;
/// Frames beyond the bound: dropped a chunk at a time, and not the one in which a GOP begins that is within the bound.
const LOG_FRAMES_MAX: usize = LOG_BOUNDS.frames + 2 * 64;

const SEGMENT_BYTES: usize = 32 << 10;
const WINDOW_BYTES: usize = 128 << 10;
/// A segment is cut in front of the frame that would be too much, judged by its payload: with packet headers (8 in 188),
/// parameter sets (no more than the input) and clock references (250 packets a jump) the last one may get past the limit.
const SEGMENT_BYTES_MAX: usize = SEGMENT_BYTES + MAX_INPUT_BYTES / 16 * 18 + 2 * 250 * 188;
/// A window with one segment may be larger than its limit. A third of the memory of a segment may be unused.
const VIEW_BYTES_MAX: usize = SEGMENT_BYTES_MAX / 3 * 4;

/// No input has more: each of them may hold many tracks, and renew the playlist.
const MAX_TAGS: usize = 200;
/// No tag gives more: a hundred that waited, and two for each track of its own, of which none is shorter than 4 bytes.
const MAX_ITEMS: usize = 100 + 2 * MAX_INPUT_BYTES / 4;
/// Tags between two looks of the reader that lags.
const LAG_TAGS: u64 = 150;

pub const TARGET: Target =
    Target { name: "flv_tags", vectors: publishes, edit: Some(edit_tags), buffered_bytes_max: VIEW_BYTES_MAX, run };

fn run(input: &Input) -> usize {
    let mut path = Path::new(play_back::is_due(&input.bytes).then(|| {
        // One of the two dialects an input: both would take the time of all the rest.
        let is_enhanced = input.bytes.len() % 2 == 1;
        Packagers::new(is_enhanced)
    }));
    read_tags(&input.bytes).into_iter().take(MAX_TAGS).for_each(|tag| path.push(tag));
    path.end()
}

/// From the tag to the view.
struct Path {
    demuxer: FlvDemuxer,
    publisher: Publisher,
    tags: u64,
    /// Their payloads, to know by the last reference which of them the log still has.
    published: Vec<Bytes>,
    /// One input of eight is muxed again and packaged: it takes the time of many inputs of the demuxer and the bus.
    packager: Reader<Option<Packagers>>,
    laggard: Reader<()>,
}

/// A cursor, and what follows its frames.
struct Reader<T> {
    cursor: Subscription,
    frames: u64,
    checks: FrameChecks,
    sink: T,
}

impl Path {
    fn new(packagers: Option<Packagers>) -> Self {
        let publisher = Publisher::new(LogWriter::new(LOG_BOUNDS, Arc::new(())), Box::new(()));
        Self {
            demuxer: FlvDemuxer::new(),
            tags: 0,
            published: Vec::new(),
            packager: Reader::new(publisher.log().tap(), packagers),
            laggard: Reader::new(publisher.log().subscribe(), ()),
            publisher,
        }
    }

    fn push(&mut self, tag: Tag) {
        let kind = match tag.kind & 0x1f {
            AUDIO => TagKind::Audio,
            VIDEO => TagKind::Video,
            _ => TagKind::Script,
        };
        let result = self.demuxer.push(kind, tag.timestamp_ms, tag.body.into());
        let items: Vec<_> = std::iter::from_fn(|| self.demuxer.poll()).collect();
        // A tag may hold many tracks, and let out what waited.
        assert!(items.len() <= MAX_ITEMS, "{} items and {result:?}", items.len());
        items.into_iter().for_each(|item| self.publish(item));
        self.packager.read(usize::MAX);
        self.tags += 1;
        if self.tags.is_multiple_of(LAG_TAGS) {
            self.laggard.read(8);
        }
    }

    fn publish(&mut self, item: Item) {
        match item {
            Item::Tracks(tracks) => {
                assert_ne!(tracks, self.publisher.tracks().tracks, "a change that changes nothing");
                assert_eq!(self.publisher.set_tracks(tracks), Ok(()));
            }
            Item::Frame(frame) => self.publish_frame(frame),
            Item::EndOfSequence => {}
        }
    }

    fn publish_frame(&mut self, frame: Frame) {
        let payload = frame.payload.clone();
        let tracks = self.publisher.tracks().clone();
        let config = tracks.find(frame.track).map(|track| &track.config);
        assert!(config.is_some(), "tracks come in front of their frames");
        config.into_iter().for_each(|config: &CodecConfig| check_payload(config, &frame));
        match self.publisher.publish(frame) {
            Ok(()) => self.published.push(payload),
            Err(error) => {
                let expected = BusError::FrameTooLarge { limit: LOG_BOUNDS.bytes, seen: payload.len() };
                assert!(error == expected && payload.len() > LOG_BOUNDS.bytes, "{error}");
            }
        }
    }

    /// Ends the stream; what the views held at most.
    fn end(mut self) -> usize {
        self.demuxer.finish();
        while let Some(item) = self.demuxer.poll() {
            self.publish(item);
        }
        // Alive until its frames are counted.
        let _log = self.publisher.log().clone();
        self.publisher.end("the end of the input");
        assert!(self.packager.read(usize::MAX), "the end of the log");
        while !self.laggard.read(8) {}
        for (frames, missed) in [self.packager.counts(), self.laggard.counts()] {
            assert!(frames + missed <= self.published.len() as u64, "{frames} read and {missed} missed");
        }
        let held = self.packager.sink.as_mut().map_or(0, Packagers::end);
        drop((self.packager.cursor, self.laggard.cursor));
        let kept = self.published.iter().filter(|payload| !payload.is_unique());
        let (frames, bytes) = kept.fold((0, 0), |(frames, bytes), payload| (frames + 1, bytes + payload.len()));
        assert!(frames <= LOG_FRAMES_MAX && bytes <= LOG_BYTES_MAX, "the log holds {frames} frames of {bytes} bytes");
        held
    }
}

/// What takes frames from the bus.
trait Sink {
    fn take(&mut self, tracks: &Arc<TrackSet>, frame: &Frame);
}

impl Sink for () {
    fn take(&mut self, _: &Arc<TrackSet>, _: &Frame) {}
}

impl<T: Sink> Sink for Option<T> {
    fn take(&mut self, tracks: &Arc<TrackSet>, frame: &Frame) {
        self.iter_mut().for_each(|sink| sink.take(tracks, frame));
    }
}

impl<T: Sink> Reader<T> {
    fn new(cursor: Subscription, sink: T) -> Self {
        Self { cursor, frames: 0, checks: FrameChecks::default(), sink }
    }

    /// Reads all there is, at most `max` at a time; whether that was the end.
    fn read(&mut self, max: usize) -> bool {
        loop {
            match self.cursor.read(max) {
                Read::Frames(batch) => {
                    for (index, frame) in batch.frames.iter().enumerate() {
                        self.checks.check(batch.tracks, frame, index == 0 && batch.discontinuity);
                        self.sink.take(batch.tracks, frame);
                    }
                    self.frames += batch.frames.len() as u64;
                }
                Read::Empty => return false,
                Read::Ended | Read::Evicted => return true,
            }
        }
    }

    /// Frames read and missed.
    fn counts(&self) -> (u64, u64) {
        (self.frames, self.cursor.missed())
    }
}

/// A transport stream of all tracks, and HLS.
struct Packagers {
    tracks: Arc<TrackSet>,
    muxer: Option<TsMuxer>,
    flv: Remux,
    packets: PacketChecks,
    out: Vec<u8>,
    hls: HlsPackager,
    views: ViewChecks,
    held: usize,
}

impl Packagers {
    fn new(is_enhanced: bool) -> Self {
        let dialect = if is_enhanced { Dialect::Enhanced } else { Dialect::Classic };
        let config = HlsConfig {
            segment_target: Duration::from_millis(500),
            playlist_segments: 3,
            first_segment_max: Duration::from_secs(2),
            max_segment_bytes: SEGMENT_BYTES,
            max_window_bytes: WINDOW_BYTES,
            ..HlsConfig::default()
        };
        Self {
            tracks: Arc::default(),
            muxer: None,
            flv: Remux::new(dialect, is_enhanced),
            packets: PacketChecks::default(),
            out: Vec::new(),
            hls: HlsPackager::new(config, "session"),
            views: ViewChecks::default(),
            held: 0,
        }
    }

    /// The tracks are others: the muxer goes on with them, or not at all if it cannot carry one of them.
    fn follow(&mut self, tracks: &Arc<TrackSet>) {
        self.tracks = Arc::clone(tracks);
        let carried = tracks.tracks.iter().all(|track| TsMuxer::supports(track).is_ok());
        match &mut self.muxer {
            Some(muxer) if carried => assert_eq!(muxer.reconfigure(tracks), Ok(())),
            Some(_) => self.muxer = None,
            None if carried => self.muxer = TsMuxer::new(tracks).ok(),
            None => {}
        }
        assert_eq!(self.muxer.is_some(), carried, "a track that is supported can be carried");
    }

    fn mux(&mut self, frame: &Frame) {
        let Some(muxer) = &mut self.muxer else { return self.packets = PacketChecks::default() };
        self.out.clear();
        let result = muxer.write(frame, &mut self.out);
        check_pack_result(&result);
        assert_eq!(result.is_ok(), !self.out.is_empty(), "packets, or an error and nothing");
        self.packets.check(&self.out);
    }

    fn show(&mut self) {
        let Some(view) = self.hls.view() else { return };
        self.views.check(&view, SEGMENT_BYTES_MAX);
        self.held = view.window_bytes().max(self.held);
    }

    /// Ends the playlist; what the views held at most.
    fn end(&mut self) -> usize {
        self.hls.finish();
        self.show();
        self.held
    }
}

impl Sink for Packagers {
    fn take(&mut self, tracks: &Arc<TrackSet>, frame: &Frame) {
        if !Arc::ptr_eq(&self.tracks, tracks) {
            self.follow(tracks);
            self.flv.muxer.reconfigure(tracks);
        }
        self.flv.push(frame);
        self.mux(frame);
        let result = self.hls.push(tracks, frame);
        check_pack_result(&result);
        if result == Ok(true) {
            self.show();
        }
    }
}

/// FLV again, and what is read of it.
struct Remux {
    muxer: FlvMuxer,
    demuxer: FlvDemuxer,
    tags: Vec<FlvTag>,
}

impl Remux {
    fn new(dialect: Dialect, nanosecond_offsets: bool) -> Self {
        let muxer = FlvMuxer::new(FlvMuxOptions { dialect, nanosecond_offsets, ..FlvMuxOptions::default() });
        Self { muxer, demuxer: FlvDemuxer::new(), tags: Vec::new() }
    }

    /// What is read is what was written, unless it waits or has lost the key frame that it needs.
    fn push(&mut self, frame: &Frame) {
        self.tags.clear();
        check_pack_result(&self.muxer.write(frame, &mut self.tags));
        for tag in &self.tags {
            let result = self.demuxer.push(tag.kind, tag.timestamp_ms, tag.body());
            let is_documented = matches!(result, Ok(()) | Err(FlvError::LimitExceeded { .. }));
            assert!(is_documented, "{result:?} of {:?}", tag.header());
        }
        let items = std::iter::from_fn(|| self.demuxer.poll());
        let read: Vec<_> =
            items.filter_map(|item| if let Item::Frame(read) = item { Some(read) } else { None }).collect();
        // More come out where some waited for a track.
        if let [read] = &read[..] {
            assert_eq!(read.payload.len(), frame.payload.len(), "another payload than was written");
        }
        // What the log has let go must be free.
        self.tags.clear();
    }
}

/// Frames of the bus have its form: the only things that are left are codecs, and access units too long for ADTS.
fn check_pack_result<T>(result: &Result<T, PackError>) {
    let is_documented = matches!(result, Ok(_) | Err(PackError::Unsupported { .. } | PackError::LimitExceeded { .. }));
    assert!(is_documented, "{:?}", result.as_ref().err());
}
