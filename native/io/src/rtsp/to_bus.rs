//! Packets of one publisher to frames of the bus.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use arcly_bus::{BusError, Frame, FrameFlags, Publisher, Track, TrackId};
use arcly_codec::{CodecConfig, MediaKind};
use arcly_wire::{
    rtp::{self, AccessUnit, Depacketizer, Format, Packet},
    rtsp::sdp::Media,
};
use bytes::Bytes;

use super::{
    order::DecodeOrder,
    times::{Report, Times},
    tracks::readable,
};

/// How long the stream waits for tracks whose configuration is in-band, and for reports of their times.
const TRACKS_TIME: Duration = Duration::from_secs(1);
const REPORTS_TIME: Duration = Duration::from_millis(300);
/// Frames that wait for that at most.
const WAITING_MAX: usize = 512;

/// A publish is ended when its faults outweigh what is good, see the same of RTMP.
const BROKEN_WEIGHT: u32 = 10;
const FAULT_MAX: u32 = 1_000 * BROKEN_WEIGHT;

/// What a publisher is told whose stream was ended by somebody else.
pub(crate) const ENDED_HERE: &str = "the stream was ended by the server";

/// A publish: depacketizers, times, and where it goes.
pub(crate) struct ToBus {
    /// By the place in the description; none where the format is not known here, or the track was not set up.
    sources: Vec<Option<Source>>,
    times: Times,
    publisher: Publisher,
    /// Units before the tracks are known.
    waiting: VecDeque<(usize, Duration, AccessUnit)>,
    /// When the first packet came.
    began: Option<Duration>,
    has_tracks: bool,
    frames: u64,
    fault: u32,
    said: HashSet<String>,
    news: Vec<String>,
}

/// One track.
struct Source {
    track: TrackId,
    format: Format,
    depacketizer: Depacketizer,
    config: Option<CodecConfig>,
    order: DecodeOrder,
    /// The last sequence number.
    last: Option<u16>,
    ssrc: Option<u32>,
    /// When the first packet of the unit that is being put together came.
    begun: Duration,
    is_new: bool,
    duration: u32,
}

impl ToBus {
    /// For the tracks of a description that were set up.
    pub(crate) fn new(medias: &[Media], is_set_up: impl Fn(usize) -> bool, publisher: Publisher) -> Self {
        let (mut sources, mut times, mut news) = (Vec::new(), Times::default(), Vec::new());
        let mut numbers = Numbers::default();
        for (place, media) in medias.iter().enumerate() {
            let format = readable(media).filter(|_| is_set_up(place));
            let source = format.and_then(|format| Source::new(format, &mut numbers));
            if source.is_none() && is_set_up(place) {
                let encoding = media.format().map_or("nothing that is explained", |format| &format.encoding);
                let encoding: String = encoding.chars().filter(|c| !c.is_control()).take(32).collect();
                news.push(format!("a track of {} is left out: {encoding} is not known here", media.kind));
            }
            // A track that says nothing must not be waited for.
            let rate = source.as_ref().map_or(1, |source| source.format.clock_rate_hz);
            times.add(rate, source.as_ref().is_some_and(|source| source.format.encoding.media() == "video"));
            sources.push(source);
        }
        Self {
            sources,
            times,
            publisher,
            waiting: VecDeque::new(),
            began: None,
            has_tracks: false,
            frames: 0,
            fault: 0,
            said: HashSet::new(),
            news,
        }
    }

    /// Whether there is a track that can be read.
    pub(crate) fn is_possible(&self) -> bool {
        self.sources.iter().any(Option::is_some)
    }

    /// Whether the stream was ended by somebody else.
    pub(crate) fn is_closed(&self) -> bool {
        self.publisher.log().is_closed()
    }

    /// Frames published so far.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Problems that were not told yet.
    pub(crate) fn problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// Takes a packet of a track, in the order of its numbers; `now` is by any clock. An error ends the publish and is its reason.
    pub(crate) fn packet(&mut self, place: usize, is_rtcp: bool, payload: Bytes, now: Duration) -> Result<(), String> {
        if is_rtcp {
            if let Some(report) = Report::parse(&payload) {
                self.times.on_report(place, report);
            }
            return Ok(());
        }
        self.began.get_or_insert(now);
        let Some(Some(source)) = self.sources.get_mut(place) else { return Ok(()) };
        match source.push(payload, now) {
            Ok(Pushed::Fine) => self.fault = self.fault.saturating_sub(1),
            Ok(Pushed::AnotherSource) => self.times.reset(place),
            Err(problem) => self.complain(problem)?,
        }
        self.take_units(place)?;
        self.begin_when_ready(now)
    }

    fn take_units(&mut self, place: usize) -> Result<(), String> {
        while let Some(Some(source)) = self.sources.get_mut(place)
            && let Some(unit) = source.depacketizer.poll()
        {
            let arrived = source.begun;
            if self.has_tracks {
                self.publish(place, arrived, unit)?;
            } else {
                source.note(&unit);
                self.waiting.push_back((place, arrived, unit));
            }
        }
        Ok(())
    }

    /// Begins the stream when its tracks are known, or have been waited for long enough.
    fn begin_when_ready(&mut self, now: Duration) -> Result<(), String> {
        if self.has_tracks || self.waiting.is_empty() {
            return Ok(());
        }
        let waited = now.saturating_sub(self.began.unwrap_or(now));
        let sources = || self.sources.iter().flatten();
        let are_known = sources().all(|source| source.config.is_some());
        // A track of which nothing has come says nothing about its times either.
        let are_told = self.sources.len() < 2 || self.times.are_told();
        let is_ready = are_known && (are_told || waited >= REPORTS_TIME);
        if !is_ready && waited < TRACKS_TIME && self.waiting.len() < WAITING_MAX {
            return Ok(());
        }
        if !self.set_tracks()? {
            return Ok(());
        }
        self.has_tracks = true;
        for (place, arrived, unit) in std::mem::take(&mut self.waiting) {
            self.publish(place, arrived, unit)?;
        }
        Ok(())
    }

    /// Says what the tracks are; false when none is known.
    fn set_tracks(&mut self) -> Result<bool, String> {
        let known = self.sources.iter().flatten().filter_map(|source| Some((source.track, source.config.clone()?)));
        let mut tracks: Vec<Track> = known.map(|(id, config)| Track::new(id, config)).collect();
        tracks.sort_unstable_by_key(|track| track.id);
        if tracks.is_empty() {
            self.waiting.clear();
            return Ok(false);
        }
        self.publisher.set_tracks(tracks).map_err(|_| ENDED_HERE.to_owned())?;
        Ok(true)
    }

    fn publish(&mut self, place: usize, arrived: Duration, mut unit: AccessUnit) -> Result<(), String> {
        let Some(Some(source)) = self.sources.get_mut(place) else { return Ok(()) };
        // What came with units that waited is known already.
        if source.note(&unit) {
            self.set_tracks()?;
        }
        let Some(Some(source)) = self.sources.get_mut(place) else { return Ok(()) };
        let Some(config) = &source.config else { return Ok(()) };
        let ticks = self.times.place(place, unit.timestamp, arrived);
        let pts = source.format.ticks_to_bus(ticks, config);
        let is_video = self.times.is_video(place);
        let dts = if is_video { source.order.dts(pts) } else { pts };
        let mut flags = if unit.is_key { FrameFlags::KEY } else { FrameFlags::NONE };
        if std::mem::take(&mut source.is_new) {
            flags = flags.with(FrameFlags::DISCONTINUITY);
        }
        let payload = std::mem::take(&mut unit.payload);
        let frame = Frame { track: source.track, flags, pts, dts, duration: source.duration, payload };
        self.frames += 1;
        match self.publisher.publish(frame) {
            Ok(()) => Ok(()),
            Err(BusError::Closed) => Err(ENDED_HERE.into()),
            Err(error) => {
                self.say(error.to_string());
                Ok(())
            }
        }
    }

    /// The stream, for another sender to go on with it.
    pub(crate) fn into_publisher(mut self) -> Publisher {
        self.flush();
        self.publisher
    }

    /// Ends the stream.
    pub(crate) fn end(mut self, reason: String) {
        self.flush();
        self.publisher.end(reason);
    }

    /// What is whole and still here.
    fn flush(&mut self) {
        for place in 0..self.sources.len() {
            if let Some(Some(source)) = self.sources.get_mut(place) {
                source.depacketizer.flush();
            }
            drop(self.take_units(place));
        }
        if !self.has_tracks && self.set_tracks().is_ok_and(|are_known| are_known) {
            self.has_tracks = true;
            for (place, arrived, unit) in std::mem::take(&mut self.waiting) {
                drop(self.publish(place, arrived, unit));
            }
        }
    }

    fn complain(&mut self, problem: String) -> Result<(), String> {
        self.fault += BROKEN_WEIGHT;
        self.say(format!("{problem}: the packet is left out"));
        if self.fault > FAULT_MAX {
            return Err(format!("too many broken packets, the last: {problem}"));
        }
        Ok(())
    }

    fn say(&mut self, problem: String) {
        // An attacker could make many different texts: past a few, silence.
        if self.said.len() < 8 && self.said.insert(problem.clone()) {
            self.news.push(problem);
        }
    }
}

/// Numbers of tracks: the first video is 0, the first audio 1, further ones follow.
#[derive(Default)]
struct Numbers {
    has_video: bool,
    has_audio: bool,
    further: u8,
}

impl Numbers {
    fn next(&mut self, kind: MediaKind) -> TrackId {
        match kind {
            MediaKind::Video if !std::mem::replace(&mut self.has_video, true) => TrackId(0),
            MediaKind::Audio if !std::mem::replace(&mut self.has_audio, true) => TrackId(1),
            _ => {
                self.further = self.further.saturating_add(1);
                TrackId(1 + self.further)
            }
        }
    }
}

/// What became of a packet.
enum Pushed {
    Fine,
    /// It is of another source than those before: its times are others.
    AnotherSource,
}

impl Source {
    fn new(format: Format, numbers: &mut Numbers) -> Option<Self> {
        let depacketizer = Depacketizer::new(&format, rtp::Limits::default()).ok()?;
        let kind = match format.encoding.media() {
            "video" => MediaKind::Video,
            "audio" => MediaKind::Audio,
            _ => MediaKind::Data,
        };
        let config = depacketizer.config().cloned();
        let mut source = Self {
            track: numbers.next(kind),
            format,
            depacketizer,
            config: None,
            order: DecodeOrder::default(),
            last: None,
            ssrc: None,
            begun: Duration::ZERO,
            is_new: false,
            duration: 0,
        };
        config.into_iter().for_each(|config| source.configure(config));
        Some(source)
    }

    fn configure(&mut self, config: CodecConfig) {
        self.order.configure(&config);
        let samples = config.audio().map_or(0, |audio| audio.samples_per_frame);
        (self.duration, self.config) = (samples, Some(config));
    }

    /// Takes what a unit says of its configuration; whether that is another one than before.
    fn note(&mut self, unit: &AccessUnit) -> bool {
        let config = unit.config.as_deref().filter(|config| self.config.as_ref() != Some(config)).cloned();
        let is_other = config.is_some();
        config.into_iter().for_each(|config| self.configure(config));
        is_other
    }

    fn push(&mut self, payload: Bytes, now: Duration) -> Result<Pushed, String> {
        let packet = Packet::parse(payload).map_err(|error| error.to_string())?;
        // Another format than the one that was agreed on: comfort noise, redundancy.
        if packet.header.payload_type != self.format.payload_type {
            return Ok(Pushed::Fine);
        }
        let is_other = self.ssrc.replace(packet.header.ssrc).is_some_and(|ssrc| ssrc != packet.header.ssrc);
        if is_other {
            self.depacketizer.reset();
            self.order.reset();
            (self.last, self.is_new) = (None, true);
        }
        let sequence = packet.header.sequence;
        let is_gap = self.last.is_some_and(|last| sequence != last.wrapping_add(1));
        self.last = Some(sequence);
        if self.depacketizer.buffered_bytes() == 0 {
            self.begun = now;
        }
        let pushed = self.depacketizer.push(&packet, is_gap).map_err(|error| error.to_string());
        pushed.map(|()| if is_other { Pushed::AnotherSource } else { Pushed::Fine })
    }
}
