//! Transport streams, written: one program.
//!
//! | what | where | clause |
//! |---|---|---|
//! | packet, adaptation field, stuffing, continuity | `packet`, `packetizer` | §2.4.3.2 to §2.4.3.5 |
//! | PES packet, PTS and DTS | `pes` | §2.4.3.6 |
//! | what each codec looks like in it | `form` | §2.14.1 and on; ADTS: ISO/IEC 13818-7 §6.2 |
//! | PCR, time base, discontinuities | `clock` | §2.4.2.2, §2.4.3.5, §2.7.2 |
//! | PAT and PMT, descriptors | `psi`, `descriptor` | §2.4.4, §2.6 |
//! | seven packets for a datagram | `groups` | RFC 2250 §2 |
//! | SCTE 35 | `splice` | ANSI/SCTE 35 §8, §9.6 |
//!
//! One PES packet an access unit. A frame is measured first and then written once, straight into the output: nothing is
//! buffered, nothing but the output grows, and an error leaves both as they were.
//!
//! Deviations: buffer levels of the T-STD (§2.4.2) are not modelled, since the rate is that of the source; the 27 MHz
//! extension of the PCR is always 0, since times come in 90 kHz.

mod av1;
mod buffer;
mod clock;
mod descriptor;
mod form;
mod groups;
mod packet;
mod packetizer;
mod pes;
mod pieces;
mod psi;
mod splice;

use std::{collections::BTreeMap, mem};

use arcly_bus::{Frame, Track, TrackId, TrackSet};
use arcly_codec::{CodecConfig, MediaKind};

pub(super) use self::psi::PMT_PID;
pub use self::{
    buffer::PacketBuffer,
    groups::{GROUP_BYTES, PacketGroups},
};
use self::{
    clock::{Clock, PCR_INTERVAL_90K},
    form::{Content, Form},
    packet::{Adaptation, COUNTER_START, Pcr, Pid, write_pcr_packet, write_section},
    packetizer::write_pes,
    pes::Times,
    psi::{Entry, Tables},
};
use crate::PackError;

/// Added to every PTS and DTS, in 90 kHz: a stream that begins at 0 has a PCR of 0.3 s, not a negative one, and there is
/// room for pictures that are decoded a little before 0.
pub const TS_EPOCH_90K: i64 = 90_000;

/// Elementary streams in a program. Keeps the PMT within the 1 021 bytes that a section may have (§2.4.4.9).
pub const MAX_TRACKS: usize = 16;

/// Writes the frames of a stream as one program of a transport stream.
///
/// Track `n` has the PID 0x100 + `n`. Clock references travel with the first video track, else with the first one, at
/// most 40 ms apart; PAT and PMT come at most 100 ms apart (both in stream time). Where frames are further apart,
/// packets are put in between. A picture or sound that is more than 10 s off the others, or not behind its predecessor in the same
/// track, begins a new time base with `discontinuity_indicator` set.
#[derive(Debug)]
pub struct TsMuxer {
    streams: Vec<Elementary>,
    /// Index into `streams` of the one whose PID carries the clock.
    pcr_stream: usize,
    tables: Tables,
    tables_state: TablesState,
    version: u8,
    clock: Clock,
    /// Continuity counters of the PIDs of earlier configurations; at most one a track id.
    retired: BTreeMap<u16, u8>,
    /// Of the frame in the making: what is written beside its payload. Kept for the next one.
    made: Vec<u8>,
    /// What was written of one frame, before it is appended to a `Vec`. Kept for the next one.
    packets: PacketBuffer,
}

/// One elementary stream.
#[derive(Debug)]
struct Elementary {
    track: TrackId,
    clock_rate_hz: u32,
    form: Form,
    /// Its parameter sets are others than before, and not written yet.
    owes_sets: bool,
    pid: Pid,
    stream_id: u8,
    /// Its access units carry the clock of the program.
    carries_clock: bool,
    /// The clock of the program follows its decoding times. Data are told on time bases of their own, hours from the pictures: they
    /// move it only where there is nothing else.
    moves_clock: bool,
    /// Decoding of the program can begin at any of its access units, and not only at key frames.
    is_entry: bool,
    /// Decoding time of the newest access unit of the present time base.
    newest_dts_90k: Option<i64>,
}

/// How old PAT and PMT are, in the time of the clock references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TablesState {
    /// To be written before anything else.
    Due,
    /// In front of the reference that comes next.
    JustWritten,
    /// In front of this reference.
    WrittenAt { pcr_90k: i64 },
}

impl TsMuxer {
    /// A muxer for these tracks, with version 0 of the PMT.
    ///
    /// # Errors
    /// As [`Self::reconfigure`].
    pub fn new(tracks: &TrackSet) -> Result<Self, PackError> {
        Self::new_with_version(tracks, 0)
    }

    /// A muxer whose PMT has this version (modulo 32): for a stream that goes on from another muxer.
    ///
    /// # Errors
    /// As [`Self::reconfigure`].
    pub fn new_with_version(tracks: &TrackSet, version: u8) -> Result<Self, PackError> {
        let mut muxer = Self {
            streams: Vec::new(),
            pcr_stream: 0,
            tables: Tables::new(),
            tables_state: TablesState::Due,
            version: version.wrapping_sub(1),
            clock: Clock::default(),
            retired: BTreeMap::new(),
            made: Vec::new(),
            packets: PacketBuffer::default(),
        };
        muxer.reconfigure(tracks)?;
        Ok(muxer)
    }

    /// Whether a transport stream can carry this track.
    ///
    /// # Errors
    /// [`PackError::Unsupported`] naming what it cannot carry.
    pub fn supports(track: &Track) -> Result<(), PackError> {
        Form::of(track).map(drop)
    }

    /// Goes on with other tracks: a PMT of the next version and a clock reference come next; continuity counters and the
    /// clock go on.
    ///
    /// # Errors
    /// [`PackError::Misuse`] when there is no track, [`PackError::LimitExceeded`] when there are more than
    /// [`MAX_TRACKS`], [`PackError::Unsupported`] for a codec that cannot be carried. Nothing has changed then.
    pub fn reconfigure(&mut self, tracks: &TrackSet) -> Result<(), PackError> {
        let mut streams = elementary_streams(tracks)?;
        self.retired.extend(self.streams.iter().map(|stream| (stream.pid.number(), stream.pid.counter())));
        let is_data_alone = streams.iter().all(|stream| stream.form.kind() == MediaKind::Data);
        for stream in &mut streams {
            stream.moves_clock = is_data_alone || stream.form.kind() != MediaKind::Data;
            let counter = self.retired.get(&stream.pid.number()).copied().unwrap_or(COUNTER_START);
            stream.pid = Pid::new(stream.pid.number(), counter);
            let previous = self.streams.iter().find(|previous| previous.track == stream.track);
            stream.newest_dts_90k = previous.and_then(|previous| previous.newest_dts_90k);
            stream.owes_sets =
                previous.is_some_and(|previous| stream.form.owe_sets_behind(&previous.form, previous.owes_sets));
        }
        let first = |kind| streams.iter().position(|stream| stream.form.kind() == kind);
        self.pcr_stream = first(MediaKind::Video).or(first(MediaKind::Audio)).unwrap_or_default();
        if let Some(stream) = streams.get_mut(self.pcr_stream) {
            // Sections have no adaptation field. The clock travels with pictures where there are some.
            stream.carries_clock = !matches!(stream.form, Form::Splice);
            stream.is_entry = stream.form.kind() != MediaKind::Video;
        }
        self.version = self.version.wrapping_add(1);
        let pcr_pid = streams.get(self.pcr_stream).map_or(NO_PCR_PID, |stream| stream.pid.number());
        let entries = streams.iter().zip(&tracks.tracks);
        let entries: Vec<Entry<'_>> =
            entries.map(|(stream, track)| Entry { pid: stream.pid.number(), track }).collect();
        self.tables.describe(self.version, pcr_pid, &entries);
        self.tables_state = TablesState::Due;
        self.clock.make_due();
        self.streams = streams;
        Ok(())
    }

    /// Writes PAT and PMT now and makes the next frame come with a clock reference: what is written from here can be
    /// read without anything before it.
    pub fn start_segment(&mut self, out: &mut Vec<u8>) {
        let mut packets = mem::take(&mut self.packets);
        self.start_segment_in(&mut packets);
        self.give_out(packets, out);
    }

    /// [`Self::start_segment`] into a buffer for packets.
    pub fn start_segment_in(&mut self, out: &mut PacketBuffer) {
        self.clock.make_due();
        self.write_tables(out);
    }

    /// Appends the packets of one frame. A frame without bytes is no frame: nothing is written.
    ///
    /// # Errors
    /// [`PackError::Misuse`] for a track that is not in the set, [`PackError::Malformed`] for a payload that is not in
    /// the form of the bus, [`PackError::LimitExceeded`] for an AAC access unit that is too long for ADTS. Nothing
    /// has been written then.
    pub fn write(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), PackError> {
        let mut packets = mem::take(&mut self.packets);
        let written = self.write_in(frame, &mut packets);
        self.give_out(packets, out);
        written
    }

    /// [`Self::write`] into a buffer for packets, which is quicker when it is used again.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_in(&mut self, frame: &Frame, out: &mut PacketBuffer) -> Result<(), PackError> {
        let (index, stream) = find(&self.streams, frame.track)?;
        let times = Times::of(frame, stream.clock_rate_hz);
        let Some(content) = stream.form.measure(frame, times.pts_90k, &mut self.made)? else { return Ok(()) };
        let pcr = self.keep_time(index, times.dts_90k, out);
        let Some(Elementary { stream_id, form, owes_sets, pid, is_entry, .. }) = self.streams.get_mut(index) else {
            return Ok(());
        };
        let random_access = frame.is_key() || *is_entry;
        if matches!(content, Content::Section) {
            write_section(pid, &self.made, out);
        } else {
            let (pieces, bytes) = form.pieces(content, frame, &self.made);
            let header = pes::Header::new(*stream_id, times, (!content.is_unbounded()).then_some(bytes));
            write_pes(pid, Adaptation { random_access, pcr }, &header, (pieces, bytes), out);
            if mem::take(owes_sets) {
                form.settle_sets();
            }
        }
        Ok(())
    }

    /// Appends what was written into the muxer's own buffer, and takes it back.
    fn give_out(&mut self, mut packets: PacketBuffer, out: &mut Vec<u8>) {
        out.extend_from_slice(&packets);
        packets.clear();
        self.packets = packets;
    }

    /// The program's clock at the newest frame, in 90 kHz of the transport stream; `None` before the first.
    pub(super) fn clock_90k(&self) -> Option<i64> {
        self.clock.now()
    }

    /// `PCR_PID`.
    pub(super) fn pcr_pid(&self) -> u16 {
        self.streams.get(self.pcr_stream).map_or(NO_PCR_PID, |stream| stream.pid.number())
    }

    /// The DTS that `frame` has in the transport stream, before its 33 bits wrap.
    pub(super) fn dts_90k(&self, frame: &Frame) -> Option<i64> {
        let (_, stream) = find(&self.streams, frame.track).ok()?;
        Some(Times::of(frame, stream.clock_rate_hz).dts_90k)
    }

    /// Whether [`Self::write`] would write something for this frame, or fail.
    pub(crate) fn accepts(&self, frame: &Frame) -> Result<bool, PackError> {
        let (_, stream) = find(&self.streams, frame.track)?;
        let pts_90k = Times::of(frame, stream.clock_rate_hz).pts_90k;
        Ok(stream.form.measure(frame, pts_90k, &mut Vec::new())?.is_some())
    }

    /// Moves the clock to an access unit of the stream at `index`: writes the tables and clock references that are due
    /// before it. Returns the reference that the access unit itself carries.
    #[inline(always)]
    fn keep_time(&mut self, index: usize, dts_90k: i64, out: &mut PacketBuffer) -> Option<Pcr> {
        let pcr = self.next_in_step(index, dts_90k, out);
        if pcr.is_some() { pcr } else { self.keep_time_out_of_step(index, dts_90k, out) }
    }

    /// The reference of an access unit that follows the one before it as most do: nothing but tables is due in front of it.
    #[inline(always)]
    fn next_in_step(&mut self, index: usize, dts_90k: i64, out: &mut PacketBuffer) -> Option<Pcr> {
        let TablesState::WrittenAt { pcr_90k: written } = self.tables_state else { return None };
        let stream = self.streams.get_mut(index).filter(|stream| stream.carries_clock)?;
        if stream.newest_dts_90k.is_none_or(|newest| newest >= dts_90k) {
            return None;
        }
        let pcr = self.clock.next_in_step(dts_90k)?;
        stream.newest_dts_90k = Some(dts_90k);
        if !are_fresh(written, pcr.base_90k) {
            self.write_tables(out);
            self.tables_state = TablesState::WrittenAt { pcr_90k: pcr.base_90k };
        }
        Some(pcr)
    }

    #[inline(never)]
    fn keep_time_out_of_step(&mut self, index: usize, dts_90k: i64, out: &mut PacketBuffer) -> Option<Pcr> {
        let stream = self.streams.get_mut(index)?;
        let carried = stream.carries_clock;
        if stream.moves_clock {
            if self.clock.breaks_at(dts_90k, stream.newest_dts_90k.replace(dts_90k)) {
                self.restart_time(index, dts_90k);
            }
            self.clock.advance(dts_90k);
        }
        if self.tables_state == TablesState::Due {
            self.write_tables(out);
        }
        while let Some(pcr) = self.clock.next_filler(carried) {
            self.write_filler(pcr, out);
        }
        let pcr = if carried { self.clock.next_carried()? } else { return None };
        self.refresh_tables(pcr, out);
        Some(pcr)
    }

    /// Begins a new time base with an access unit of the stream at `index`.
    #[cold]
    fn restart_time(&mut self, index: usize, dts_90k: i64) {
        self.clock.restart();
        if self.tables_state != TablesState::JustWritten {
            self.tables_state = TablesState::Due;
        }
        let streams = self.streams.iter_mut().enumerate();
        streams.for_each(|(at, stream)| stream.newest_dts_90k = (at == index).then_some(dts_90k));
    }

    /// Writes a packet for a reference that no access unit carries.
    #[cold]
    fn write_filler(&mut self, pcr: Pcr, out: &mut PacketBuffer) {
        self.refresh_tables(pcr, out);
        if let Some(stream) = self.streams.get_mut(self.pcr_stream) {
            write_pcr_packet(&mut stream.pid, pcr, out);
        }
    }

    /// Writes the tables in front of `pcr` if they would be too old at the reference after it.
    fn refresh_tables(&mut self, pcr: Pcr, out: &mut PacketBuffer) {
        let pcr_90k = pcr.base_90k;
        match self.tables_state {
            TablesState::WrittenAt { pcr_90k: written } if are_fresh(written, pcr_90k) => return,
            TablesState::JustWritten => {}
            _ => self.write_tables(out),
        }
        self.tables_state = TablesState::WrittenAt { pcr_90k };
    }

    #[inline(never)]
    fn write_tables(&mut self, out: &mut PacketBuffer) {
        self.tables.write(out);
        self.tables_state = TablesState::JustWritten;
    }
}

/// Whether tables that were written in front of one reference are not too old at the one behind `pcr_90k`.
fn are_fresh(written_90k: i64, pcr_90k: i64) -> bool {
    pcr_90k - written_90k + PCR_INTERVAL_90K <= TABLES_INTERVAL_90K
}

/// The stream of a track and its index.
fn find(streams: &[Elementary], track: TrackId) -> Result<(usize, &Elementary), PackError> {
    let found = streams.iter().enumerate().find(|(_, stream)| stream.track == track);
    found.ok_or(PackError::Misuse { what: "frame of a track that is not in the set" })
}

/// The elementary streams of `tracks`, with fresh continuity counters.
fn elementary_streams(tracks: &TrackSet) -> Result<Vec<Elementary>, PackError> {
    let seen = tracks.tracks.len();
    match seen {
        0 => return Err(PackError::Misuse { what: "transport stream without tracks" }),
        1..=MAX_TRACKS => {}
        _ => return Err(PackError::LimitExceeded { limit: "tracks in a transport stream", max: MAX_TRACKS, seen }),
    }
    let mut stream_ids = StreamIds { video: FIRST_VIDEO_STREAM_ID, audio: FIRST_AUDIO_STREAM_ID };
    tracks.tracks.iter().map(|track| elementary_stream(track, &mut stream_ids)).collect()
}

fn elementary_stream(track: &Track, stream_ids: &mut StreamIds) -> Result<Elementary, PackError> {
    Ok(Elementary {
        track: track.id,
        clock_rate_hz: track.clock_rate_hz,
        form: Form::of(track)?,
        owes_sets: false,
        pid: Pid::new(FIRST_PID + u16::from(track.id.0), COUNTER_START),
        stream_id: stream_ids.next(&track.config),
        carries_clock: false,
        moves_clock: true,
        is_entry: false,
        newest_dts_90k: None,
    })
}

/// The next free `stream_id` of each kind (Table 2-22).
struct StreamIds {
    video: u8,
    audio: u8,
}

impl StreamIds {
    fn next(&mut self, config: &CodecConfig) -> u8 {
        let id = match config {
            CodecConfig::H264(_) | CodecConfig::H265(_) | CodecConfig::H266(_) => &mut self.video,
            CodecConfig::Aac(_) | CodecConfig::Mp2(_) | CodecConfig::Mp3(_) => &mut self.audio,
            _ => return PRIVATE_STREAM_1,
        };
        *id += 1;
        *id - 1
    }
}

/// The most between two PATs, and between two PMTs: what DVB recommends (ETSI TS 101 154).
const TABLES_INTERVAL_90K: i64 = 9_000;
const FIRST_PID: u16 = 0x0100;
const FIRST_VIDEO_STREAM_ID: u8 = 0xE0;
const FIRST_AUDIO_STREAM_ID: u8 = 0xC0;
/// `private_stream_1`: whatever is neither MPEG video nor MPEG audio.
const PRIVATE_STREAM_1: u8 = 0xBD;
/// `PCR_PID` of a program without a clock (§2.4.4.10).
const NO_PCR_PID: u16 = 0x1FFF;
