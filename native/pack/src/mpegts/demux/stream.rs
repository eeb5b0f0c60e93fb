//! One elementary stream: its packets to frames of its track.

use arcly_bus::{FrameFlags, Track, TrackId};
use arcly_codec::{CodecConfig, MediaKind};

use super::super::splice::Splice;
use super::{
    super::BODY_BYTES,
    TsLimits, TsStats,
    essence::{Coding, Essence, Outlet, Output, Unit},
    packet::{Continuity, Packet, Step},
    pes::{Added, Assembler, PesPacket},
    psi::MappedStream,
    section::Sections,
    timeline::Timeline,
};

/// A stream of the chosen program that can be read.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) mapped: MappedStream,
    pub(super) coding: Coding,
    pub(super) track: TrackId,
    pub(super) config: Option<CodecConfig>,
    body: Body,
    outlet: Outlet,
}

#[derive(Debug)]
enum Body {
    Pes { continuity: Continuity, assembler: Assembler, essence: Box<dyn Essence> },
    Sections(Sections),
}

/// What of a program all its streams share.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    pub(super) timeline: &'a mut Timeline,
    pub(super) stats: &'a mut TsStats,
}

impl Stream {
    pub(super) fn new(mapped: MappedStream, coding: Coding, track: TrackId, limits: &TsLimits) -> Self {
        let is_video = coding.codec().kind() == MediaKind::Video;
        let max_bytes = if is_video { limits.video_pes_bytes } else { limits.other_pes_bytes };
        let body = match coding.essence() {
            Some(essence) => {
                Body::Pes { continuity: Continuity::default(), assembler: Assembler::new(max_bytes, is_video), essence }
            }
            None => Body::Sections(Sections::default()),
        };
        let config = coding.config();
        Self { mapped, coding, track, config, body, outlet: Outlet::default() }
    }

    /// The same stream, of which the map says something else now.
    pub(super) fn with_line(mut self, mapped: &MappedStream) -> Self {
        self.mapped.clone_from(mapped);
        self
    }

    /// This stream in the place of one on another PID: it is announced with that one's configuration until its own comes.
    pub(super) fn behind(mut self, moved: &Self) -> Self {
        self.config = self.config.or_else(|| moved.config.clone());
        self.outlet.is_broken = true;
        self
    }

    /// The track, once its configuration is known.
    pub(super) fn track(&self) -> Option<Track> {
        let (config, descriptors) = (self.config.clone()?, &self.mapped.descriptors);
        let is_video = config.kind() == MediaKind::Video;
        let dolby_vision = descriptors.dolby_vision().filter(|_| is_video);
        Some(Track { language: descriptors.language(), dolby_vision, ..Track::new(self.track, config) })
    }

    /// Takes the next packet of its PID. What came of it is then in [`Self::outputs`].
    #[inline]
    pub(super) fn push(&mut self, packet: &Packet<'_>, shared: &mut Shared<'_>) {
        match &mut self.body {
            Body::Sections(sections) => {
                let outlet = &mut self.outlet;
                sections.push(packet, |section| push_section(section, outlet, shared));
            }
            Body::Pes { .. } => self.push_pes(packet, shared),
        }
    }

    /// Takes a packet that says nothing but its counter, if it is the next one and nothing comes of it. Whether it did; if not, nothing
    /// has changed.
    #[inline]
    pub(super) fn push_plain(&mut self, counter: u8, payload: &[u8; BODY_BYTES]) -> bool {
        let Body::Pes { continuity, assembler, .. } = &mut self.body else { return false };
        let is_taken = continuity.is_next(counter) && assembler.append_quietly(payload);
        if is_taken {
            continuity.follow(counter);
        }
        is_taken
    }

    #[inline]
    fn push_pes(&mut self, packet: &Packet<'_>, shared: &mut Shared<'_>) {
        let Body::Pes { continuity, assembler, .. } = &mut self.body else { return };
        let Some(payload) = packet.payload else {
            // With a clock reference the clock says whether something begins: see `begin_at`.
            if packet.discontinuity && packet.pcr_90k.is_none() {
                continuity.follow(packet.counter);
            }
            return;
        };
        let step = continuity.step(packet.counter, packet.discontinuity);
        if step == Step::Next && !packet.unit_start && !packet.is_stuffed {
            if assembler.append(payload) {
                self.settle(shared);
            }
        } else if step == Step::Next || !self.is_repetition(step, payload, shared) {
            self.push_uncommon(packet, payload, shared);
        }
    }

    /// A time base begins in a packet without payload: its counter may be any, and is that of the newest packet with one (§2.4.3.3,
    /// §2.4.3.5). In others it shows whether something was lost.
    pub(super) fn begin_at(&mut self, counter: u8) {
        if let Body::Pes { continuity, .. } = &mut self.body {
            continuity.follow(counter);
        }
    }

    /// Whether a packet that is not the next one is the one before again. If not, something is missing in front of it.
    #[cold]
    fn is_repetition(&mut self, step: Step, payload: &[u8], shared: &mut Shared<'_>) -> bool {
        let Body::Pes { assembler, .. } = &self.body else { return false };
        if step == Step::Same && assembler.ends_with(payload) {
            shared.stats.duplicate_packets += 1;
            return true;
        }
        shared.stats.continuity_errors += 1;
        self.lose(shared.stats);
        false
    }

    #[inline(never)]
    fn push_uncommon(&mut self, packet: &Packet<'_>, payload: &[u8], shared: &mut Shared<'_>) {
        let Body::Pes { assembler, .. } = &mut self.body else { return };
        if packet.unit_start {
            let closed = assembler.close();
            let begun = assembler.begin(payload);
            self.take(closed, shared);
            self.take(begun, shared);
        } else if assembler.append(payload) {
            self.settle(shared);
        }
        if packet.is_stuffed
            && let Body::Pes { assembler, .. } = &mut self.body
        {
            let ended = assembler.stuffed();
            self.take(ended, shared);
        }
    }

    fn settle(&mut self, shared: &mut Shared<'_>) {
        if let Body::Pes { assembler, .. } = &mut self.body {
            let added = assembler.settle();
            self.take(added, shared);
        }
    }

    /// Packets are missing or broken: what has begun is dropped, and the next frame says so.
    pub(super) fn lose(&mut self, stats: &mut TsStats) {
        match &mut self.body {
            Body::Sections(sections) => sections.reset(),
            Body::Pes { assembler, essence, .. } => {
                stats.dropped_pes += u64::from(assembler.drop_open());
                essence.lose(&mut self.outlet);
            }
        }
        self.outlet.is_broken = true;
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self, shared: &mut Shared<'_>) {
        self.close(shared);
        if let Body::Pes { essence, .. } = &mut self.body {
            essence.finish(&mut self.outlet);
        }
    }

    /// The next PES packet is about to begin.
    pub(super) fn close(&mut self, shared: &mut Shared<'_>) {
        if let Body::Pes { assembler, .. } = &mut self.body {
            let added = assembler.close();
            self.take(added, shared);
        }
    }

    /// What is open of a PES packet whose end only the next one would tell is whole.
    pub(super) fn close_unbounded(&mut self, shared: &mut Shared<'_>) {
        if let Body::Pes { assembler, .. } = &self.body
            && assembler.is_unbounded()
        {
            self.close(shared);
        }
    }

    fn take(&mut self, added: Added, shared: &mut Shared<'_>) {
        match added {
            Added::Nothing => {}
            Added::Packet(packet) if packet.is_scrambled => shared.stats.scrambled_packets += 1,
            Added::Packet(packet) => self.take_packet(packet, shared),
            Added::Dropped => {
                shared.stats.dropped_pes += 1;
                self.lose(shared.stats);
            }
        }
    }

    fn take_packet(&mut self, packet: PesPacket, shared: &mut Shared<'_>) {
        let times = packet.pts.map(|pts| shared.timeline.unroll(pts, packet.dts));
        let unit = Unit { content: packet.content, times, now_90k: shared.timeline.newest_90k() };
        if let Body::Pes { essence, .. } = &mut self.body {
            essence.unit(unit, &mut self.outlet);
        }
    }

    /// What came, oldest first; taken at once, the list to be given back by [`Self::recycle`]. A configuration is to be
    /// announced, a frame goes out.
    pub(super) fn outputs(&mut self, stats: &mut TsStats) -> Vec<Output> {
        stats.dropped_frames += std::mem::take(&mut self.outlet.dropped_frames);
        let mut outputs = std::mem::take(&mut self.outlet.outputs);
        for output in &mut outputs {
            if let Output::Frame(frame) = output {
                frame.track = self.track;
            }
        }
        outputs
    }

    /// Takes back the list, so that there is one and not one for each frame.
    pub(super) fn recycle(&mut self, outputs: Vec<Output>) {
        self.outlet.outputs = outputs;
    }

    pub(super) fn has_outputs(&self) -> bool {
        !self.outlet.outputs.is_empty() || self.outlet.dropped_frames > 0
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        match &self.body {
            Body::Sections(sections) => sections.buffered_bytes(),
            Body::Pes { assembler, essence, .. } => assembler.buffered_bytes() + essence.buffered_bytes(),
        }
    }
}

/// A section of SCTE 35 is a frame: decoded now, presented when the splice is.
fn push_section(section: &[u8], outlet: &mut Outlet, shared: &mut Shared<'_>) {
    let Some(found) = Splice::parse(section) else {
        shared.stats.broken_sections += 1;
        return;
    };
    let at_90k = found.pts_time.map(|time| shared.timeline.nearest(time + found.pts_adjustment));
    let Some(now_90k) = shared.timeline.newest_90k() else { return outlet.drop_frame() };
    let times = (at_90k.unwrap_or(now_90k).max(now_90k), now_90k);
    outlet.frame(times, 0, FrameFlags::NONE, bytes::Bytes::copy_from_slice(section));
}
