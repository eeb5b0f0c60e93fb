//! The chosen program: its streams, their tracks, and one timeline.

use std::collections::VecDeque;

use arcly_bus::{Frame, FrameFlags, Track, TrackId};
use arcly_codec::MediaKind;

use super::{
    super::BODY_BYTES,
    TsLimits, TsStats,
    essence::{Coding, Output},
    packet::Packet,
    psi::{MappedStream, ProgramMap},
    stream::{Shared, Stream},
    timeline::Timeline,
};
use crate::Item;

/// A program whose frames are given out.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) map: ProgramMap,
    pub(super) streams: Vec<Stream>,
    timeline: Timeline,
    /// A new time base has begun, and no frame of it has come yet.
    has_new_time_base: bool,
    limits: TsLimits,
}

/// Where a program puts what came.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) items: VecDeque<Item>,
    pub(super) stats: TsStats,
    /// The tracks that were given out last.
    announced: Vec<Track>,
}

impl Program {
    /// The program of `map`.
    pub(super) fn new(map: ProgramMap, limits: TsLimits, sink: &mut Sink) -> Self {
        let empty = ProgramMap { streams: Vec::new(), ..map.clone() };
        let timeline = Timeline::default();
        let mut program = Self { map: empty, streams: Vec::new(), timeline, has_new_time_base: false, limits };
        program.follow(map, sink);
        program
    }

    /// Whether a program with this map has anything to give.
    pub(super) fn can_read(map: &ProgramMap) -> bool {
        map.streams.iter().any(|stream| Coding::of(stream, &map.descriptors).is_some())
    }

    /// Goes on with another map: streams that stay as they are go on, and keep their tracks.
    pub(super) fn follow(&mut self, map: ProgramMap, sink: &mut Sink) {
        if map == self.map {
            return;
        }
        let mut previous = std::mem::take(&mut self.streams);
        for mapped in &map.streams {
            let Some(coding) = Coding::of(mapped, &map.descriptors) else { continue };
            let is_known = |stream: &Stream| stream.mapped == *mapped && stream.coding == coding;
            if let Some(at) = previous.iter().position(is_known) {
                self.streams.push(previous.swap_remove(at));
            } else if !self.streams.iter().any(|stream| stream.mapped.pid == mapped.pid) {
                let track = self.free_track(coding, mapped, &previous);
                self.streams.push(Stream::new(mapped.clone(), coding, track, &self.limits));
            }
        }
        for mut gone in previous {
            self.finish_stream(&mut gone, sink);
        }
        self.map = map;
        self.announce(sink);
    }

    /// The track of a stream that is replaced, or the first free one: 0 is the first video, 1 the first audio track.
    fn free_track(&self, coding: Coding, mapped: &MappedStream, previous: &[Stream]) -> TrackId {
        let is_used = |track: TrackId| self.streams.iter().chain(previous).any(|stream| stream.track == track);
        let kind = coding.codec().kind();
        let same = |stream: &&Stream| stream.mapped.pid == mapped.pid && stream.coding.codec().kind() == kind;
        if let Some(replaced) = previous.iter().find(same) {
            return replaced.track;
        }
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
        if packet.discontinuity && packet.has_pcr && packet.pid == self.map.pcr_pid {
            self.begin_time_base(index, packet.unit_start, sink);
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

    /// What the packet completes still belongs to the time base before.
    fn begin_time_base(&mut self, index: usize, unit_start: bool, sink: &mut Sink) {
        if let Some(stream) = self.streams.get_mut(index).filter(|_| unit_start) {
            stream.close(&mut Shared { timeline: &mut self.timeline, stats: &mut sink.stats });
            self.give_out(index, sink);
        }
        self.has_new_time_base = true;
    }

    /// A packet of the PID that carries the clock and nothing else.
    pub(super) fn push_clock(&mut self, packet: &Packet<'_>) {
        self.has_new_time_base |= packet.discontinuity && packet.has_pcr;
    }

    /// Packets of the stream at `index` are broken.
    pub(super) fn lose(&mut self, index: usize, stats: &mut TsStats) {
        if let Some(stream) = self.streams.get_mut(index) {
            stream.lose(stats);
        }
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
            if let Output::Frame(frame) = output
                && sink.announced.iter().any(|track| track.id == frame.track)
            {
                self.give_frame(frame, sink);
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
            frame.flags = frame.flags.with(FrameFlags::DISCONTINUITY);
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
