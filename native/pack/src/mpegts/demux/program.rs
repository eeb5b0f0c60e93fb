//! The chosen program: its streams, their tracks, and one timeline.

use std::collections::VecDeque;

use arcly_bus::{Frame, FrameFlags, Track, TrackId};
use arcly_codec::MediaKind;

use super::{
    super::BODY_BYTES,
    TsLimits, TsStats, UnreadStream,
    essence::{Coding, Output, unread},
    packet::Packet,
    psi::{MAX_STREAMS, MappedStream, ProgramMap},
    stream::{Shared, Stream},
    timeline::{Timeline, signed},
};
use crate::Item;

/// The most between two clock references of a time base; they should be 100 ms apart (§2.7.2).
const MAX_CLOCK_STEP_90K: i64 = 90_000;

/// A program whose frames are given out.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) map: ProgramMap,
    pub(super) streams: Vec<Stream>,
    timeline: Timeline,
    /// The newest clock reference.
    newest_pcr_90k: Option<i64>,
    /// A new time base has begun, and no frame of it has come yet.
    has_new_time_base: bool,
    limits: TsLimits,
}

/// Where a program puts what came.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) items: VecDeque<Item>,
    pub(super) stats: TsStats,
    /// Media of which no track can be made, each once.
    pub(super) unread: Vec<UnreadStream>,
    /// The tracks that were given out last.
    announced: Vec<Track>,
}

impl Sink {
    /// Notes what of a map cannot be read. A sender that changes its map for ever is not noted for ever.
    pub(super) fn note_unread(&mut self, map: &ProgramMap) {
        for mapped in &map.streams {
            let Some(what) = unread(mapped, &map.descriptors) else { continue };
            let stream = UnreadStream { pid: mapped.pid, stream_type: mapped.stream_type, what };
            if self.unread.len() < MAX_STREAMS && !self.unread.contains(&stream) {
                self.unread.push(stream);
            }
        }
    }
}

impl Program {
    /// The program of `map`.
    pub(super) fn new(map: ProgramMap, limits: TsLimits, sink: &mut Sink) -> Self {
        let empty = ProgramMap { streams: Vec::new(), ..map.clone() };
        let mut program = Self {
            map: empty,
            streams: Vec::new(),
            timeline: Timeline::default(),
            newest_pcr_90k: None,
            has_new_time_base: false,
            limits,
        };
        program.follow(map, sink);
        program
    }

    /// Whether a program with this map has anything to give.
    pub(super) fn can_read(map: &ProgramMap) -> bool {
        map.streams.iter().any(|stream| Coding::of(stream, &map.descriptors).is_some())
    }

    /// Goes on with another map, of this program or of the one in its place. Streams of the same PID and coding go on whatever
    /// else is said of them now, those that have moved keep their tracks.
    pub(super) fn follow(&mut self, map: ProgramMap, sink: &mut Sink) {
        if map == self.map {
            return;
        }
        let lines = readable_lines(&map);
        let goes_on = |stream: &Stream| {
            lines.iter().any(|(mapped, coding)| stream.mapped.pid == mapped.pid && stream.coding == *coding)
        };
        let (mut kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.streams).into_iter().partition(goes_on);
        let is_another = map.number != self.map.number && kept.is_empty();
        for (mapped, coding) in &lines {
            let stream = match kept.iter().position(|stream| stream.mapped.pid == mapped.pid) {
                Some(at) => kept.swap_remove(at).with_line(mapped),
                None => self.begin_stream(mapped, *coding, &kept, &gone),
            };
            self.streams.push(stream);
        }
        for mut stream in gone {
            self.finish_stream(&mut stream, sink);
        }
        if is_another {
            (self.newest_pcr_90k, self.has_new_time_base) = (None, true);
        }
        sink.note_unread(&map);
        self.map = map;
        self.announce(sink);
    }

    /// A stream that has moved here from another PID, or a new one. `kept` and `gone` are those of the map before.
    fn begin_stream(&self, mapped: &MappedStream, coding: Coding, kept: &[Stream], gone: &[Stream]) -> Stream {
        let is_taken = |stream: &Stream| self.streams.iter().any(|taken| taken.track == stream.track);
        let mut moved = gone.iter().filter(|stream| stream.coding == coding && !is_taken(stream));
        let same = moved.clone().find(|stream| stream.mapped.descriptors == mapped.descriptors);
        if let Some(moved) = same.or_else(|| moved.next()) {
            return Stream::new(mapped.clone(), coding, moved.track, &self.limits).behind(moved);
        }
        let kind = coding.codec().kind();
        let is_replaced = |stream: &&Stream| stream.mapped.pid == mapped.pid && stream.coding.codec().kind() == kind;
        let replaced = gone.iter().find(is_replaced).filter(|stream| !is_taken(stream));
        let track = replaced.map_or_else(|| self.free_track(kind, &[kept, gone]), |stream| stream.track);
        Stream::new(mapped.clone(), coding, track, &self.limits)
    }

    /// The first free track: 0 is the first video, 1 the first audio track.
    fn free_track(&self, kind: MediaKind, others: &[&[Stream]]) -> TrackId {
        let streams = || self.streams.iter().chain(others.iter().copied().flatten());
        let is_used = |track: TrackId| streams().any(|stream| stream.track == track);
        let first = match kind {
            MediaKind::Video => TrackId(0),
            MediaKind::Audio => TrackId(1),
            MediaKind::Data => TrackId(2),
        };
        if !is_used(first) {
            return first;
        }
        (2..=u8::MAX).map(TrackId).find(|track| !is_used(*track)).unwrap_or(TrackId(u8::MAX))
    }

    /// Takes the next packet of the stream at `index`.
    #[inline]
    pub(super) fn push(&mut self, index: usize, packet: &Packet<'_>, sink: &mut Sink) {
        if packet.pcr_90k.is_some() && packet.pid == self.map.pcr_pid {
            self.push_clock(packet, Some(index), sink);
        }
        let Some(stream) = self.streams.get_mut(index) else { return };
        stream.push(packet, &mut Shared { timeline: &mut self.timeline, stats: &mut sink.stats });
        if stream.has_outputs() {
            self.give_out(index, sink);
        }
    }

    /// Takes a packet of the stream at `index` that says nothing but its counter. Whether it did; if not, nothing has changed.
    #[inline]
    pub(super) fn push_plain(&mut self, index: usize, counter: u8, payload: &[u8; BODY_BYTES]) -> bool {
        self.streams.get_mut(index).is_some_and(|stream| stream.push_plain(counter, payload))
    }

    /// A packet of the PID that carries the clock, which may be that of the stream at `index`. Gateways say of references that simply go
    /// on that a new time base begins with them: none does.
    pub(super) fn push_clock(&mut self, packet: &Packet<'_>, index: Option<usize>, sink: &mut Sink) {
        let Some(pcr_90k) = packet.pcr_90k else { return };
        let previous = self.newest_pcr_90k.replace(pcr_90k);
        let goes_on = |previous: i64| (0..=MAX_CLOCK_STEP_90K).contains(&signed(pcr_90k - previous));
        if packet.discontinuity && previous.is_some_and(|previous| !goes_on(previous)) {
            // What goes on in this packet goes on.
            let open = index.filter(|_| packet.payload.is_some() && !packet.unit_start);
            self.begin_time_base(open, sink);
            if let Some(stream) =
                index.filter(|_| packet.payload.is_none()).and_then(|index| self.streams.get_mut(index))
            {
                stream.begin_at(packet.counter);
            }
        }
    }

    /// What has come, but for the stream at `open`, still belongs to the time base before.
    #[cold]
    fn begin_time_base(&mut self, open: Option<usize>, sink: &mut Sink) {
        for index in (0..self.streams.len()).filter(|index| Some(*index) != open) {
            if let Some(stream) = self.streams.get_mut(index) {
                stream.close_unbounded(&mut Shared { timeline: &mut self.timeline, stats: &mut sink.stats });
            }
            self.give_out(index, sink);
        }
        self.has_new_time_base = true;
    }

    /// Packets of the stream at `index` are broken.
    pub(super) fn lose(&mut self, index: usize, stats: &mut TsStats) {
        if let Some(stream) = self.streams.get_mut(index) {
            stream.lose(stats);
        }
    }

    /// Packets are missing, of whichever stream.
    pub(super) fn lose_all(&mut self, stats: &mut TsStats) {
        self.streams.iter_mut().for_each(|stream| stream.lose(stats));
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self, sink: &mut Sink) {
        for index in 0..self.streams.len() {
            if let Some(stream) = self.streams.get_mut(index) {
                stream.finish(&mut Shared { timeline: &mut self.timeline, stats: &mut sink.stats });
            }
            self.give_out(index, sink);
        }
    }

    /// The last frames of a stream that the map has no more; still under the tracks that were.
    fn finish_stream(&mut self, stream: &mut Stream, sink: &mut Sink) {
        stream.finish(&mut Shared { timeline: &mut self.timeline, stats: &mut sink.stats });
        for output in stream.outputs(&mut sink.stats) {
            match output {
                // There is no room for it any more, nor for what it is of.
                Output::Config(config) if stream.config.as_ref() != Some(&config) => break,
                Output::Frame(frame) if sink.announced.iter().any(|track| track.id == frame.track) => {
                    self.give_frame(frame, sink);
                }
                _ => {}
            }
        }
    }

    fn give_out(&mut self, index: usize, sink: &mut Sink) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let mut outputs = stream.outputs(&mut sink.stats);
        for output in outputs.drain(..) {
            match output {
                Output::Config(config) => {
                    if let Some(stream) = self.streams.get_mut(index) {
                        stream.config = Some(config);
                    }
                    self.announce(sink);
                }
                Output::Frame(frame) => self.give_frame(frame, sink),
            }
        }
        if let Some(stream) = self.streams.get_mut(index) {
            stream.recycle(outputs);
        }
    }

    fn give_frame(&mut self, mut frame: Frame, sink: &mut Sink) {
        if std::mem::take(&mut self.has_new_time_base) {
            frame.flags = frame.flags.with(FrameFlags::NEW_TIMELINE);
        }
        sink.stats.frames += 1;
        sink.items.push_back(Item::Frame(frame));
    }

    /// Gives out the tracks, if they are others now.
    fn announce(&mut self, sink: &mut Sink) {
        let mut tracks: Vec<Track> = self.streams.iter().filter_map(Stream::track).collect();
        tracks.sort_by_key(|track| track.id);
        if tracks != sink.announced {
            sink.items.push_back(Item::Tracks(tracks.clone()));
            sink.announced = tracks;
        }
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.streams.iter().map(Stream::buffered_bytes).sum()
    }
}

/// What can be read of a map. Of the lines with one PID the first counts.
fn readable_lines(map: &ProgramMap) -> Vec<(MappedStream, Coding)> {
    let mut lines: Vec<(MappedStream, Coding)> = Vec::new();
    for mapped in &map.streams {
        let Some(coding) = Coding::of(mapped, &map.descriptors) else { continue };
        if !lines.iter().any(|(known, _)| known.pid == mapped.pid) {
            lines.push((mapped.clone(), coding));
        }
    }
    lines
}
