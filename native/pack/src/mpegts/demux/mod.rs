//! Transport streams, read: bytes in pieces of any size, however damaged, to frames of the bus.
//!
//! | what | where | clause |
//! |---|---|---|
//! | packets of 188, 192 or 204 bytes, found again behind garbage | `sync` | §2.4.3.3 |
//! | header, adaptation field, continuity | `packet` | §2.4.3.2 to §2.4.3.5 |
//! | sections over many packets, CRC | `section` | §2.4.4 |
//! | PAT, PMT, descriptors | `psi`, `tables` | §2.4.4, §2.6 |
//! | PES packets, unbounded or not | `pes`, `ending` | §2.4.3.6 |
//! | 33-bit times to one timeline | `timeline` | §2.4.3.7 |
//! | which coding, and its frames | `essence` | Table 2-34 and others |
//! | a stream, a program | `stream`, `program` | |
//!
//! Tolerated: marker bits that are not set, programs that are not registered for what they carry, sync bytes and
//! continuity of whatever passes by. Not done: descrambling; buffer models; PIDs that the Program Map does not name.

#[cfg(test)]
mod early;
mod ending;
mod essence;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod late_sets;
#[cfg(test)]
mod objects;
mod packet;
mod pes;
mod program;
mod psi;
#[cfg(test)]
mod remapped;
mod routes;
mod section;
#[cfg(test)]
mod signalled;
mod stream;
#[cfg(test)]
mod surround;
mod sync;
mod tables;
#[cfg(test)]
mod tests;
mod timeline;
#[cfg(test)]
mod unaligned;

use std::{collections::BTreeMap, fmt};

use arcly_bus::{Language, TrackId};
use arcly_codec::Codec;

use self::{
    packet::Packet,
    program::{Program, Sink},
    routes::{Route, Routes},
    section::Sections,
    sync::Sync,
    tables::{Listed, PendingAssociation},
};
use super::PACKET_BYTES;
use crate::{Item, PackError};

/// Which program is read, and what a sender may make the demuxer hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TsOptions {
    /// The `program_number`; `None`: the first whose map comes and names something that can be read.
    pub program: Option<u16>,
    /// Limits of memory.
    pub limits: TsLimits,
}

/// What a sender may make a demuxer hold, for each stream of the chosen program (64 of them at most).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TsLimits {
    /// Bytes of a PES packet of video. Stops a picture that never ends. Default: 16 MiB.
    pub video_pes_bytes: usize,
    /// Bytes of any other PES packet. Default: 1 MiB.
    pub other_pes_bytes: usize,
}

impl Default for TsLimits {
    fn default() -> Self {
        Self { video_pes_bytes: 16 << 20, other_pes_bytes: 1 << 20 }
    }
}

/// What a demuxer has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TsStats {
    /// Packets, null packets and broken ones included.
    pub packets: u64,
    /// Frames given out.
    pub frames: u64,
    /// Bytes that belong to no packet.
    pub skipped_bytes: u64,
    /// Packets with `transport_error_indicator`, or with an adaptation field that does not fit.
    pub broken_packets: u64,
    /// Packets and PES packets that are scrambled.
    pub scrambled_packets: u64,
    /// Packets that came twice (§2.4.3.3 allows it).
    pub duplicate_packets: u64,
    /// Gaps in the continuity counters of what is read.
    pub continuity_errors: u64,
    /// Sections with a wrong CRC, or none of what their PID should have.
    pub broken_sections: u64,
    /// PES packets that were cut off, or larger than their limit, or none.
    pub dropped_pes: u64,
    /// Access units that were malformed, or had no time, or came before their configuration.
    pub dropped_frames: u64,
}

/// A program of a transport stream, as its map says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramInfo {
    /// `program_number`.
    pub number: u16,
    /// Where its map is.
    pub map_pid: u16,
    /// Whether this is the one that is read.
    pub is_chosen: bool,
    /// Its streams; none while its map has not come.
    pub streams: Vec<StreamInfo>,
}

/// An elementary stream of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Where its packets are.
    pub pid: u16,
    /// `stream_type` (Table 2-34).
    pub stream_type: u8,
    /// What it is; `None` when it cannot be read.
    pub codec: Option<Codec>,
    /// What is spoken, if that is said.
    pub language: Option<Language>,
    /// Its track, if its program is chosen.
    pub track: Option<TrackId>,
}

/// Media of a program that cannot be read; what is no media is none of these. `Display` says what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadStream {
    /// Where its packets are.
    pub pid: u16,
    /// `stream_type` (Table 2-34).
    pub stream_type: u8,
    /// Its name, for a person.
    pub what: &'static str,
}

impl fmt::Display for UnreadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, stream_type, what } = self;
        write!(f, "unsupported {what} (stream type {stream_type:#04x}) at PID {pid:#x}")
    }
}

/// A loss that a continuity counter need not show: 15 missing packets look like a repetition, 16 like none.
const COUNTED_BYTES: usize = 15 * PACKET_BYTES;

/// Reads one program of a transport stream.
///
/// After each [`push`](Self::push), [`poll`](Self::poll) until it is empty. Nothing is an error: what is damaged is dropped and
/// counted, and the next frame of its track is a discontinuity.
///
/// - The first video track is 0, the first audio track 1, others follow. A track is announced when its configuration is known:
///   for most codecs with its first frame. Frames before that are dropped.
/// - Times are those of the stream, on a timeline on which 33 bits never wrap; a new time base (`discontinuity_indicator`) or a
///   jump goes on with the nearest times, and the former marks the next frame.
/// - A PES packet that says its length is given out when it is complete, another one when the next begins.
#[derive(Debug)]
pub struct TsDemuxer {
    sync: Sync,
    core: Core,
}

/// All but the finding of packets.
#[derive(Debug)]
struct Core {
    options: TsOptions,
    routes: Routes,
    association: Sections,
    /// The section of it that came last. Tables are repeated ten times a second, and what is the same says nothing.
    newest_association: Vec<u8>,
    /// Version and sections of the Program Association that is on its way.
    pending: PendingAssociation,
    /// The PIDs of the maps.
    maps: BTreeMap<u16, Sections>,
    /// By number.
    programs: BTreeMap<u16, Listed>,
    chosen: Option<Program>,
    sink: Sink,
}

impl Default for TsDemuxer {
    fn default() -> Self {
        Self::new(TsOptions::default())
    }
}

impl TsDemuxer {
    /// A demuxer that has seen nothing.
    pub fn new(options: TsOptions) -> Self {
        let mut core = Core {
            options,
            routes: Routes::default(),
            association: Sections::default(),
            newest_association: Vec::new(),
            pending: PendingAssociation::default(),
            maps: BTreeMap::new(),
            programs: BTreeMap::new(),
            chosen: None,
            sink: Sink::default(),
        };
        core.route_all();
        Self { sync: Sync::default(), core }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.sync.push(bytes, &mut |packet| self.core.packet(packet));
    }

    /// So many bytes are missing in front of what comes next: the protocol below knows. Of a few the continuity counters tell, and
    /// whose they were. They come round every 16 packets: of more than that, what was begun is dropped in all streams.
    pub fn lose(&mut self, bytes: usize) {
        if bytes >= COUNTED_BYTES
            && let Some(program) = &mut self.core.chosen
        {
            program.lose_all(&mut self.core.sink.stats);
        }
    }

    /// The next item.
    pub fn poll(&mut self) -> Option<Item> {
        self.core.sink.items.pop_front()
    }

    /// Nothing more comes: gives out what is complete now. Poll once more.
    ///
    /// # Errors
    /// Why there never was a frame: [`PackError::Malformed`] when this is no transport stream, [`PackError::Unsupported`] when
    /// it has nothing that can be read.
    pub fn finish(&mut self) -> Result<(), PackError> {
        self.sync.finish(&mut |packet| self.core.packet(packet));
        if let Some(program) = &mut self.core.chosen {
            program.finish(&mut self.core.sink);
        }
        if self.core.sink.stats.frames > 0 { Ok(()) } else { Err(self.obstacle()) }
    }

    /// The programs that the stream has, by number.
    pub fn programs(&self) -> Vec<ProgramInfo> {
        self.core.programs.iter().map(|(number, listed)| self.core.info(*number, listed)).collect()
    }

    /// Media of the program that is read of which no track can be made, or of all programs where none has anything else. Each once, 64
    /// at most, in the order in which the maps named it.
    pub fn unread(&self) -> &[UnreadStream] {
        &self.core.sink.unread
    }

    /// What was seen so far.
    pub fn stats(&self) -> TsStats {
        TsStats { skipped_bytes: self.sync.skipped_bytes(), ..self.core.sink.stats }
    }

    /// Bytes that have come and of which nothing was given out yet.
    pub fn buffered_bytes(&self) -> usize {
        let sections = self.core.maps.values().chain([&self.core.association]).map(Sections::buffered_bytes);
        let streams = self.core.chosen.as_ref().map_or(0, Program::buffered_bytes);
        self.sync.buffered_bytes() + sections.sum::<usize>() + streams
    }

    fn obstacle(&self) -> PackError {
        let Core { programs, options, chosen, sink, .. } = &self.core;
        let is_wanted = |number: &u16| options.program.is_none_or(|wanted| wanted == *number);
        match chosen {
            _ if !self.sync.has_found() => PackError::Malformed { what: "transport stream: no packets", offset: 0 },
            _ if programs.is_empty() => PackError::Malformed { what: "transport stream: no programs", offset: 0 },
            None if !programs.keys().any(is_wanted) => PackError::Unsupported { what: "program: not in this stream" },
            None => PackError::Unsupported { what: "codecs of all elementary streams" },
            Some(_) if sink.stats.scrambled_packets > 0 => PackError::Unsupported { what: "scrambled program" },
            Some(_) => PackError::Malformed { what: "elementary streams: no frames", offset: 0 },
        }
    }
}

impl Core {
    #[inline]
    fn packet(&mut self, bytes: &[u8; PACKET_BYTES]) {
        self.sink.stats.packets += 1;
        if !self.plain_packet(bytes) {
            self.any_packet(bytes);
        }
    }

    /// Nearly every packet: the next one of its stream, all payload, in the middle of a PES packet. Whether it was one, and was taken.
    #[inline]
    fn plain_packet(&mut self, [_, high, low, control, payload @ ..]: &[u8; PACKET_BYTES]) -> bool {
        // Neither broken nor the start of a unit; neither scrambled nor with an adaptation field.
        if high & 0xC0 != 0 || control & 0xF0 != 0x10 {
            return false;
        }
        let pid = u16::from_be_bytes([high & 0x1F, *low]);
        match (self.routes.of(pid), &mut self.chosen) {
            (Route::Stream(index), Some(program)) => program.push_plain(usize::from(index), control & 0x0F, payload),
            _ => false,
        }
    }

    #[inline(never)]
    fn any_packet(&mut self, bytes: &[u8; PACKET_BYTES]) {
        let Some(packet) = Packet::parse(bytes).filter(|packet| !packet.is_broken) else {
            return self.broken_packet(bytes);
        };
        let route = self.routes.of(packet.pid);
        match (route, &mut self.chosen) {
            (Route::Stream(index), Some(program)) if !packet.is_scrambled => {
                program.push(usize::from(index), &packet, &mut self.sink);
            }
            _ => self.uncommon_packet(&packet, route),
        }
    }

    #[inline(never)]
    fn uncommon_packet(&mut self, packet: &Packet<'_>, route: Route) {
        if packet.is_scrambled && route != Route::Nowhere {
            self.sink.stats.scrambled_packets += 1;
            return self.lose(route);
        }
        match route {
            // There are no streams where no program is chosen.
            Route::Nowhere | Route::Stream(_) => {}
            Route::Association => self.push_association(packet),
            Route::Map => self.push_map(packet),
            Route::Clock => self.chosen.iter_mut().for_each(|program| program.push_clock(packet, None, &mut self.sink)),
        }
    }

    /// Its PID may be wrong too, but nearly always it is not.
    fn broken_packet(&mut self, &[_, high, low, ..]: &[u8; PACKET_BYTES]) {
        self.sink.stats.broken_packets += 1;
        let pid = u16::from_be_bytes([high & 0x1F, low]);
        self.lose(self.routes.of(pid));
    }

    fn lose(&mut self, route: Route) {
        if let (Route::Stream(index), Some(program)) = (route, &mut self.chosen) {
            program.lose(usize::from(index), &mut self.sink.stats);
        }
    }
}
