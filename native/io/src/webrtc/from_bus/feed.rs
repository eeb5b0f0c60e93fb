//! A stream, cut into packets once for all its viewers.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use arcly_bus::{Frame, Log, Read, Subscription, Track, TrackId, TrackSet, WakeSlot};
use arcly_codec::{Codec, CodecConfig, MediaKind};
use arcly_wire::{
    rtp::{Format, Packetizer},
    webrtc::{Lane, can_carry},
};

use super::{
    apart::Apart,
    b_frames::{BFrames, Order},
    clock::{FeedClock, micros},
    rate::Rate,
};

/// Bytes of a payload at most: with headers, extensions and SRTP it stays below 1280, which every path of IPv6 carries (RFC 8200 §5).
pub(super) const PAYLOAD_BYTES: usize = 1180;

/// What is kept for joiners: the packets since the last key frame, up to so many and so many bytes. A GOP that outgrows them is not kept;
/// joiners wait for the next key frame then.
const PACKETS_MAX: usize = 32 << 10;
const PACKET_BYTES_MAX: usize = 32 << 20;

/// The same for sound without pictures, where everybody begins with the newest packet.
const SOUND_PACKETS_MAX: usize = 64;

/// Pictures that are announced are not waited for when so much sound has come without one: two seconds of Opus.
const SOUND_ALONE_FRAMES: u32 = 100;

/// Sound that is further than this behind the pictures is left out: a browser would keep what comes at once for later, and play late for a
/// long time. Encoders send it at most a second behind.
const STALE_SOUND_MICROS: i64 = 1_500_000;

/// A rendition has stopped when none of its pictures came for so long while those of another one did all the time.
const STOPPED_AFTER: Duration = Duration::from_secs(2);

/// What is said of a stream with B-frames.
const OUT_OF_ORDER: &str = "its pictures are not sent in the order in which they are shown (B-frames), which WebRTC cannot carry: its \
                            viewers there see only those that come in order. Encode without B-frames to show all";

/// A packet without its header.
pub(crate) struct Packet {
    pub(crate) lane: Lane,
    /// Ticks of the lane's clock, modulo 2³².
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Arc<[u8]>,
    /// On the clock that pictures and sound share.
    pub(crate) micros: i64,
}

/// One stream for all its viewers.
pub(crate) struct Feed {
    log: Arc<Log>,
    sources: Vec<Source>,
    lanes: [Option<Cut>; 2],
    /// The track of messages.
    messages: Option<TrackId>,
    b_frames: BFrames,
    clock: FeedClock,
    /// The latest time of all that was cut.
    newest: i64,
    rate: Rate,
    /// Since when pictures come without a stop, and when the latest came.
    flow: Option<(Instant, Instant)>,
    /// Frames of sound since the last picture.
    sound_run: u32,
    packets: VecDeque<Packet>,
    bytes: usize,
    /// Packets that were there before the first of `packets`.
    gone: u64,
    /// Where the newest key frame begins.
    key: Option<u64>,
    outgrown: bool,
    key_frame_interval: Duration,
    asked_at: Option<Instant>,
    is_over: bool,
    has_other_sound: bool,
    notes: Vec<String>,
}

/// A log that is read, and which lanes of it.
struct Source {
    subscription: Subscription,
    slot: WakeSlot,
    tracks: Option<Arc<TrackSet>>,
    lanes: Vec<Lane>,
}

/// How frames of one track are cut.
struct Cut {
    track: TrackId,
    codec: Codec,
    config: CodecConfig,
    rate_hz: u32,
    packetizer: Packetizer,
    order: Order,
    was_noted: bool,
}

/// The codecs that a stream is played with.
pub(crate) fn playable(tracks: &TrackSet) -> Vec<&Track> {
    let first = |kind| tracks.tracks.iter().find(|track| track.kind() == kind && can_carry(&track.config));
    [first(MediaKind::Video), first(MediaKind::Audio)].into_iter().flatten().collect()
}

impl Feed {
    /// Reads `log` from its newest key frame on, and what stands in other logs from those. `waker` is called when there is more.
    pub(crate) fn new(
        log: &Arc<Log>,
        apart: &Apart,
        waker: &Waker,
        key_frame_interval: Duration,
        b_frames: BFrames,
    ) -> Self {
        let source = |log: &Arc<Log>, lanes| Source {
            subscription: log.tap(),
            slot: WakeSlot::new(log, waker.clone()),
            tracks: None,
            lanes,
        };
        let sources = apart.beside(log).into_iter().map(|(log, lanes)| source(log, lanes)).collect();
        Self {
            log: log.clone(),
            sources,
            lanes: [None, None],
            messages: None,
            b_frames,
            clock: FeedClock::default(),
            newest: i64::MIN,
            rate: Rate::default(),
            flow: None,
            sound_run: 0,
            packets: VecDeque::new(),
            bytes: 0,
            gone: 0,
            key: None,
            outgrown: false,
            key_frame_interval,
            asked_at: None,
            is_over: false,
            has_other_sound: false,
            notes: Vec::new(),
        }
    }

    /// Whether the stream has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether sound is made for it, and its own comes in a codec now that needs no making.
    pub(crate) fn has_other_sound(&self) -> bool {
        self.has_other_sound
    }

    /// What a person may want to know of it, once each.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Whether there are pictures.
    pub(crate) fn has_video(&self) -> bool {
        self.lanes[0].is_some()
    }

    /// Whether there is something in it: a log whose key frame is forgotten gives nothing until the next one, sound neither.
    pub(crate) fn has_begun(&self) -> bool {
        self.lanes.iter().any(Option::is_some)
    }

    /// The coding of a lane now.
    pub(crate) fn codec(&self, lane: Lane) -> Option<Codec> {
        self.lanes.get(index(lane))?.as_ref().map(|cut| cut.codec)
    }

    /// Behind the newest packet.
    pub(crate) fn end(&self) -> u64 {
        self.gone + self.packets.len() as u64
    }

    /// Where somebody who comes now begins; `None`: at the next key frame.
    pub(crate) fn entry(&self) -> Option<u64> {
        if self.has_video() { self.key } else { Some(self.end()) }
    }

    /// The same for who takes sound alone while pictures that are announced do not come.
    pub(crate) fn entry_at_sound(&self) -> Option<u64> {
        self.is_sound_alone().then(|| self.end())
    }

    /// Whether pictures are announced and none comes, and there is no key frame to begin with. A log begins with sound for no other reason.
    fn is_sound_alone(&self) -> bool {
        self.has_video() && self.key.is_none() && (self.flow.is_none() || self.sound_run >= SOUND_ALONE_FRAMES)
    }

    /// A packet that is kept.
    pub(crate) fn packet(&self, at: u64) -> Option<&Packet> {
        self.packets.get(usize::try_from(at.checked_sub(self.gone)?).ok()?)
    }

    /// What its pictures take, in bits per second; 0 while that is not known.
    pub(crate) fn bits_per_s(&self) -> u64 {
        self.rate.bits_per_s()
    }

    /// Whether its pictures have stopped while those of another rendition come.
    pub(crate) fn has_stopped_beside(&self, other: &Self) -> bool {
        let Some((since, came)) = other.flow else { return false };
        let Some((_, latest)) = self.flow else { return self.is_sound_alone() };
        came.saturating_duration_since(since.max(latest)) >= STOPPED_AFTER
    }

    /// The moment that sender reports say of a packet.
    pub(crate) fn moment(&self, micros: i64, now: Instant) -> Instant {
        self.clock.moment(micros, now)
    }

    /// Passes a viewer's wish for a key frame on, unless one was passed on just now.
    pub(crate) fn request_key_frame(&mut self, now: Instant) {
        if self.asked_at.is_none_or(|asked| now.saturating_duration_since(asked) >= self.key_frame_interval) {
            self.asked_at = Some(now);
            self.log.request_keyframe();
        }
    }

    /// Asks to be woken; true when there is something already.
    pub(crate) fn arm(&mut self) -> bool {
        self.sources.iter_mut().fold(false, |is_ready, source| {
            source.slot.arm();
            is_ready | source.subscription.is_ready()
        })
    }

    /// Cuts what has come.
    pub(crate) fn read(&mut self, now: Instant) {
        // Not before: what came in front of the key frame in one go with it has only now been sent to all who keep up.
        if let Some(key) = self.key {
            self.drop_front(usize::try_from(key.saturating_sub(self.gone)).unwrap_or_default());
        }
        let mut sources = std::mem::take(&mut self.sources);
        for source in &mut sources {
            self.read_source(source, now);
        }
        self.sources = sources;
    }

    fn read_source(&mut self, source: &mut Source, now: Instant) {
        // Messages have no times that anything is told by.
        let is_first = source.tracks.is_none() && source.lanes != [Lane::Data];
        loop {
            match source.subscription.read(usize::MAX) {
                Read::Frames(batch) => {
                    if source.tracks.as_ref().is_none_or(|tracks| !Arc::ptr_eq(tracks, batch.tracks)) {
                        source.tracks = Some(batch.tracks.clone());
                        self.take_tracks(batch.tracks, &source.lanes);
                    }
                    if is_first {
                        self.begin(batch.frames, batch.tracks, now);
                    }
                    for frame in batch.frames {
                        self.cut(frame, &source.lanes, now);
                    }
                }
                Read::Empty => return,
                // Without sound of its own a stream goes on in silence, without messages too; without pictures it is over.
                Read::Ended | Read::Evicted => {
                    self.is_over |= source.lanes.contains(&Lane::Video);
                    return;
                }
            }
        }
    }

    /// What is there already has come over some time: the newest of it is of now.
    fn begin(&mut self, frames: &[Frame], tracks: &TrackSet, now: Instant) {
        let time = |frame: &Frame| tracks.find(frame.track).map(|track| micros(frame.pts, track.clock_rate_hz));
        if let Some(newest) = frames.iter().filter_map(time).max() {
            self.clock.begin(newest, now);
        }
    }

    fn take_tracks(&mut self, tracks: &TrackSet, lanes: &[Lane]) {
        if lanes.contains(&Lane::Data) {
            let track = tracks.tracks.iter().find(|track| track.config.codec() == Codec::Message);
            self.messages = track.map(|track| track.id);
        }
        let playable = playable(tracks);
        if lanes.contains(&Lane::Video) && !lanes.contains(&Lane::Audio) {
            self.has_other_sound = playable.iter().any(|track| track.kind() == MediaKind::Audio);
        }
        for lane in lanes {
            let track = playable.iter().find(|track| lane_of(track.kind()) == Some(*lane));
            let Some(cut) = self.lanes.get_mut(index(*lane)) else { continue };
            match (cut.as_mut(), track) {
                (Some(cut), Some(track)) if cut.codec == track.config.codec() => cut.reconfigure(track),
                (_, Some(track)) => *cut = Cut::new(track, self.b_frames),
                (_, None) => *cut = None,
            }
        }
    }

    fn cut(&mut self, frame: &Frame, lanes: &[Lane], now: Instant) {
        if lanes.contains(&Lane::Data) && self.messages == Some(frame.track) {
            return self.keep_message(frame);
        }
        // The other source has ids of its own.
        let lane = match &self.lanes {
            [Some(cut), _] if cut.track == frame.track && lanes.contains(&Lane::Video) => Lane::Video,
            [_, Some(cut)] if cut.track == frame.track && lanes.contains(&Lane::Audio) => Lane::Audio,
            _ => return,
        };
        let Some(Some(cut)) = self.lanes.get_mut(index(lane)) else { return };
        if lane == Lane::Video && !cut.order.takes(frame) {
            if !std::mem::replace(&mut cut.was_noted, true) {
                self.notes.push(OUT_OF_ORDER.into());
            }
            return;
        }
        self.sound_run = if lane == Lane::Video { 0 } else { self.sound_run.saturating_add(1) };
        if lane == Lane::Video {
            let goes_on = self.flow.filter(|(_, latest)| now.saturating_duration_since(*latest) < STOPPED_AFTER);
            self.flow = Some((goes_on.map_or(now, |(since, _)| since), now));
        }
        let micros = self.clock.take(micros(frame.pts, cut.rate_hz), now);
        if lane == Lane::Audio && self.newest.saturating_sub(micros) > STALE_SOUND_MICROS {
            return;
        }
        self.newest = self.newest.max(micros);
        let timestamp = frame.pts.wrapping_add(self.clock.shift_ticks(cut.rate_hz)) as u32;
        let is_key = lane == Lane::Video && frame.is_key();
        let (start, packets, bytes) = (self.packets.len(), &mut self.packets, &mut self.bytes);
        let mut rate = (lane == Lane::Video).then_some(&mut self.rate);
        // What is malformed is left out: the encoder has gone wrong, and decoders go on at the next key frame.
        let _ = cut.packetizer.packetize(&frame.payload, is_key, &mut |payload| {
            let mut whole = Vec::with_capacity(payload.len());
            payload.write(&mut whole);
            *bytes += whole.len();
            if let Some(rate) = &mut rate {
                rate.count(whole.len(), micros);
            }
            let timestamp = timestamp.wrapping_add(payload.timestamp_offset);
            packets.push_back(Packet { lane, timestamp, marker: payload.marker, payload: whole.into(), micros });
        });
        self.keep(start, is_key);
    }

    /// A message goes with what was cut before it: its own time is told to nobody.
    fn keep_message(&mut self, frame: &Frame) {
        let (start, micros) = (self.packets.len(), self.newest);
        self.bytes += frame.payload.len();
        let payload = Arc::from(&frame.payload[..]);
        self.packets.push_back(Packet { lane: Lane::Data, timestamp: 0, marker: true, payload, micros });
        self.keep(start, false);
    }

    /// Forgets what no joiner needs.
    fn keep(&mut self, start: usize, is_key: bool) {
        if is_key {
            (self.key, self.outgrown) = (Some(self.gone + start as u64), false);
        } else if !self.has_video() || self.is_sound_alone() {
            self.drop_front(self.packets.len().saturating_sub(SOUND_PACKETS_MAX));
        }
        if self.packets.len() > PACKETS_MAX || self.bytes > PACKET_BYTES_MAX {
            if !std::mem::replace(&mut self.outgrown, true) {
                self.notes.push("the distance between key frames is too long: viewers wait for the next one".into());
            }
            self.key = None;
            self.drop_front(self.packets.len() / 2);
        }
    }

    fn drop_front(&mut self, count: usize) {
        let count = count.min(self.packets.len());
        let dropped: usize = self.packets.drain(..count).map(|packet| packet.payload.len()).sum();
        self.bytes -= dropped;
        self.gone += count as u64;
    }
}

impl Cut {
    fn new(track: &Track, b_frames: BFrames) -> Option<Self> {
        let format = Format::of(0, &track.config).ok()?;
        let packetizer = Packetizer::new(&format, &track.config, PAYLOAD_BYTES).ok()?;
        Some(Self {
            track: track.id,
            codec: track.config.codec(),
            config: track.config.clone(),
            rate_hz: track.clock_rate_hz,
            packetizer,
            order: Order::new(b_frames),
            was_noted: false,
        })
    }

    fn reconfigure(&mut self, track: &Track) {
        self.track = track.id;
        self.rate_hz = track.clock_rate_hz;
        if self.config != track.config {
            self.packetizer.reconfigure(&track.config);
            self.config = track.config.clone();
        }
    }
}

fn lane_of(kind: MediaKind) -> Option<Lane> {
    match kind {
        MediaKind::Video => Some(Lane::Video),
        MediaKind::Audio => Some(Lane::Audio),
        MediaKind::Data => None,
    }
}

fn index(lane: Lane) -> usize {
    match lane {
        Lane::Video => 0,
        Lane::Audio => 1,
        Lane::Data => 2,
    }
}
