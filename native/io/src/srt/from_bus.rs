//! A stream as a transport stream for all its viewers: muxed once, cut by each viewer's connection into packets of seven.
//!
//! ```text
//! log of frames ──▶ Feed ──▶ log of runs ──▶ cursor ──▶ connection ──▶ packets of 1316 bytes
//! ```
//!
//! A run is a picture and the sound before it, as whole packets of the transport stream: only the last packet of a run is not full. A
//! key picture begins one, so that viewers enter there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use arcly_bus::{
    Frame, FrameFlags, Log, LogBounds, LogWriter, Read, Subscription, SubscriptionOptions, TrackId, TrackSet, WakeSlot,
};
use arcly_codec::MediaKind;
use arcly_pack::mpegts::PACKET_BYTES;
use arcly_wire::srt::SrtConn;
use bytes::Bytes;

use super::joining::Joining;
use crate::{
    bell::Bell,
    egress::{Container, Draft, Format},
};

/// Frames muxed at once.
const BATCH_FRAMES: usize = 64;

/// Rings for the port's task, and says which feed it was.
pub(super) struct FeedBell {
    rung: AtomicBool,
    port: Arc<Bell>,
}

impl Wake for FeedBell {
    fn wake(self: Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.port.ring();
        }
    }
}

/// One stream on its way to viewers.
pub(super) struct Feed {
    source: Subscription,
    format: Box<dyn Format>,
    writer: LogWriter,
    configured: Option<u32>,
    /// The track whose pictures end runs; none in a stream of sound, where each frame does.
    video: Option<TrackId>,
    /// What the next run will be, without its payload.
    next: Option<Frame>,
    /// Of the next run; a transport stream shares nothing.
    draft: Draft,
    slot: WakeSlot,
    bell: Arc<FeedBell>,
    /// Connections that read it.
    pub(super) viewers: Vec<u32>,
}

impl Feed {
    /// Begins at the newest key picture of `source`; `port` rings when something comes.
    pub(super) fn new(source: &Arc<Log>, port: &Arc<Bell>) -> Self {
        let bounds = source.bounds();
        // A transport stream adds some percent, and to sound a half.
        let roomier = |bytes: usize| bytes.saturating_add(bytes / 4);
        let bounds = LogBounds { bytes: roomier(bounds.bytes), gop_bytes: bounds.gop_bytes.map(roomier), ..bounds };
        let bell = Arc::new(FeedBell { rung: AtomicBool::new(false), port: port.clone() });
        let mut feed = Self {
            source: source.tap(),
            format: Container::Ts.format(),
            writer: LogWriter::new(bounds, source.observer()),
            configured: None,
            video: None,
            next: None,
            draft: Draft::new(0, 0),
            slot: WakeSlot::for_pictures(source, Waker::from(bell.clone())),
            bell,
            viewers: Vec::new(),
        };
        feed.read();
        feed
    }

    /// A cursor that begins at the newest key picture.
    pub(super) fn join(&self) -> Subscription {
        // Viewers are counted in the log of frames.
        self.writer.log().subscribe_with(SubscriptionOptions { is_viewer: false, ..SubscriptionOptions::default() })
    }

    /// Whether there is something new to be looked at; and it is told of the next then.
    pub(super) fn take_rung(&self) -> bool {
        self.bell.rung.swap(false, Ordering::AcqRel)
    }

    /// Muxes what waits; false when the stream is over.
    pub(super) fn read(&mut self) -> bool {
        loop {
            self.slot.arm();
            if !self.read_all() {
                self.writer.log().close();
                return false;
            }
            // What came before the arming wakes nobody.
            if !self.source.is_ready() {
                return true;
            }
        }
    }

    fn read_all(&mut self) -> bool {
        let Self { source, format, writer, configured, video, next, draft, .. } = self;
        let is_alive = loop {
            match source.read(BATCH_FRAMES) {
                Read::Frames(batch) => {
                    if *configured != Some(batch.tracks.revision) {
                        flush(writer, next, &mut draft.own);
                        *configured = Some(batch.tracks.revision);
                        // Without a track that can be carried nothing is written, until others come.
                        let _ = format.configure(batch.tracks);
                        if writer.set_tracks(format.carried(batch.tracks)).is_err() {
                            break false;
                        }
                        *video = writer.tracks().first(MediaKind::Video).map(|track| track.id);
                    }
                    for frame in batch.frames {
                        let is_picture = video.is_none_or(|video| video == frame.track);
                        if is_picture && frame.is_key() {
                            flush(writer, next, &mut draft.own);
                        }
                        let before = draft.own.len();
                        if format.write(frame, &[], draft).is_err() {
                            draft.own.truncate(before); // What this container cannot hold is left out.
                        } else if (is_picture || next.is_none()) && draft.own.len() > before {
                            // A run with a picture is one of pictures: by runs of sound the log sees that pictures fail to come.
                            *next = Some(Frame { payload: Bytes::new(), ..frame.clone() });
                        }
                        if is_picture {
                            flush(writer, next, &mut draft.own);
                        }
                    }
                }
                Read::Empty => break true,
                Read::Ended | Read::Evicted => break false,
            }
        };
        flush(writer, next, &mut draft.own);
        is_alive
    }
}

/// Bytes of a transport stream in a packet: seven of its own, as every peer sends them.
const TS_PAYLOAD_BYTES: usize = 7 * PACKET_BYTES;

/// What a player may need to take what is due.
const DELIVERY_MARGIN: Duration = Duration::from_millis(100);

/// A place in the runs of a feed, on its way into a connection.
pub(super) struct Outlet {
    cursor: Subscription,
    /// In the run in front.
    offset: usize,
    /// Before all has been given that there was when it joined.
    joining: Option<Box<Joining>>,
    /// When the run in front may be given, where it waits for that.
    release: Option<Duration>,
    /// The stream has ended and all of it has arrived: when the peer has delivered it, too.
    farewell: Option<Duration>,
}

/// What was given to a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Given {
    pub(super) runs: u64,
    pub(super) bytes: u64,
}

/// Nothing more will be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The stream has ended, and the peer has delivered all of it.
    Stream,
    /// It was overtaken too often.
    Slow,
}

impl Outlet {
    pub(super) fn new(cursor: Subscription) -> Self {
        Self { cursor, offset: 0, joining: Some(Box::default()), release: None, farewell: None }
    }

    /// Gives what there is to the machine, as far as it has room.
    pub(super) fn give(&mut self, now: Duration, machine: &mut SrtConn) -> Result<Given, Over> {
        let payload_max = machine.payload_max();
        let whole = payload_max.min(TS_PAYLOAD_BYTES) / PACKET_BYTES * PACKET_BYTES;
        let packet_bytes = if whole == 0 { payload_max } else { whole };
        let mut given = Given::default();
        self.release = None;
        loop {
            let batch = match self.cursor.peek(1) {
                Read::Frames(batch) => batch,
                Read::Empty => {
                    self.joining = None;
                    return Ok(given);
                }
                Read::Ended => return if self.is_delivered(now, machine) { Err(Over::Stream) } else { Ok(given) },
                Read::Evicted => return Err(Over::Slow),
            };
            let Some(frame) = batch.frames.first() else { return Ok(given) };
            if self.offset == 0
                && let Some(joining) = &mut self.joining
            {
                self.release = joining.wait(now, shown_us(batch.tracks, frame), machine.unacknowledged());
                if self.release.is_some() {
                    return Ok(given);
                }
            }
            let run = &frame.payload;
            while self.offset < run.len() && machine.room() > 0 {
                let end = run.len().min(self.offset + packet_bytes);
                machine.send(now, &run.slice(self.offset..end));
                self.offset = end;
            }
            if self.offset < run.len() {
                return Ok(given);
            }
            given.runs += 1;
            given.bytes += run.len() as u64;
            self.cursor.advance(1);
            self.offset = 0;
        }
    }

    /// Whether the peer has delivered the whole stream. Players that are told the end before throw away what they hold.
    fn is_delivered(&mut self, now: Duration, machine: &SrtConn) -> bool {
        let until = || now + machine.send_delay() + DELIVERY_MARGIN;
        machine.is_drained() && now >= *self.farewell.get_or_insert_with(until)
    }

    /// When to give more, or to say that it is over, where nothing else tells.
    pub(super) fn due(&self) -> Option<Duration> {
        self.release.or(self.farewell)
    }

    /// Runs that wait.
    pub(super) fn lag(&self) -> u64 {
        self.cursor.log().published().saturating_sub(self.cursor.position())
    }

    /// Runs that it was too slow for.
    pub(super) fn missed(&self) -> u64 {
        self.cursor.missed()
    }
}

/// When a frame is decoded, and so shown or soon.
fn shown_us(tracks: &TrackSet, frame: &Frame) -> i64 {
    let clock_rate_hz = tracks.find(frame.track).map_or(1, |track| track.clock_rate_hz.max(1));
    let us = i128::from(frame.dts) * 1_000_000 / i128::from(clock_rate_hz);
    i64::try_from(us).unwrap_or(0)
}

/// Publishes the run that is complete.
fn flush(writer: &mut LogWriter, next: &mut Option<Frame>, bytes: &mut Vec<u8>) {
    if let Some(frame) = next.take() {
        let payload = Bytes::copy_from_slice(bytes);
        let flags = if frame.is_key() { FrameFlags::KEY } else { FrameFlags::NONE };
        let _ = writer.publish(Frame { payload, flags, ..frame });
    }
    bytes.clear();
}

#[cfg(test)]
mod tests {
    use arcly_bus::{Track, TrackId};
    use arcly_codec::{Codec, CodecConfig};

    use super::*;
    use crate::egress::tests::{log_of_pictures, log_of_unknown_pictures, publish_pictures, publish_unknown_pictures};

    /// A run begins with the sound in front of its picture: no run of sound, or the log would take the pictures to be absent.
    #[test]
    fn a_run_with_a_picture_is_one_of_pictures() {
        let mut source = log_of_pictures(LogBounds::default());
        let sound = CodecConfig::parse(Codec::Aac, Bytes::from_static(&[0x11, 0x90])).unwrap();
        let pictures = source.tracks().tracks[0].clone();
        let (video, audio) = (pictures.id, TrackId(1));
        source.set_tracks(vec![pictures, Track::new(audio, sound)]).unwrap();
        publish_pictures(&mut source, 0..1);
        let mut feed = Feed::new(source.log(), &Arc::<Bell>::default());
        let mut cursor = feed.join();
        for n in 1..4 {
            let (dts, payload) = (1920 * n, Bytes::from_static(&[0x21; 4]));
            let flags = FrameFlags::NONE;
            source.publish(Frame { track: audio, flags, pts: dts, dts, duration: 1024, payload }).unwrap();
            publish_pictures(&mut source, n..n + 1);
            feed.read();
        }
        while let Read::Frames(batch) = cursor.read(1) {
            assert_eq!(batch.frames[0].track, video);
        }
        assert_eq!(cursor.position(), 4);
    }

    /// Found by reading: viewers waited for ever for a key picture of a track that was left out, and no sound reached them.
    #[test]
    fn who_gets_sound_alone_because_the_pictures_have_no_place_waits_for_no_picture() {
        let mut source = log_of_unknown_pictures();
        publish_unknown_pictures(&mut source, 0..3);
        let feed = Feed::new(source.log(), &Arc::<Bell>::default());
        assert!(matches!(feed.join().read(1), Read::Frames(_)));
    }
}
