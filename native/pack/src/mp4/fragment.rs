//! `moof` and `mdat` (ISO/IEC 14496-12 §8.8.4 to §8.8.12), written: the hot path.
//!
//! The frames are measured first, a track at a time, into a [`Run`]; then everything is written once, into a buffer that has been
//! made large enough. Nothing is allocated for a frame, and nothing has been written when something is refused.

use std::time::Duration;

use arcly_bus::{Frame, TrackId};
use arcly_codec::MediaKind;
use bytes::{BufMut, Bytes};

use super::{
    event::{self, put_event, put_index, put_producer_time, put_segment_type},
    movie::{OTHER_SAMPLE, SYNC_SAMPLE},
    mux::{EventTrack, MuxTrack},
    write::{BOX_HEADER_BYTES, FULL_BOX_HEADER_BYTES},
};
use crate::PackError;

/// What stands in front of a fragment, and what is known of what comes behind it.
#[derive(Debug, Clone, Default)]
pub struct Head<'a> {
    /// Write `styp`: these bytes begin a segment, or a chunk of one, that is stored or sent by itself.
    pub segment_type: Option<SegmentType>,
    /// Write `sidx`: one subsegment, which is what follows it.
    pub index: bool,
    /// Write `prft`: the time since 1970 (UTC) at which the first sample of the first track was made.
    pub wall_clock: Option<Duration>,
    /// Decoding times of the frames that come next, of the tracks for which they are known already.
    pub next: &'a [(TrackId, i64)],
}

/// The brands of `styp` (ISO/IEC 23000-19 §7.3.2, ISO/IEC 23009-1 §6.3.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentType {
    /// A whole segment, or its first chunk.
    Segment,
    /// A chunk that is not the first of its segment.
    Chunk,
}

/// The samples of one track in the fragment in the making.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Run {
    pub samples: u32,
    pub bytes: u64,
    pub first_dts: i64,
    pub first_pts: i64,
    /// What the last sample lasts.
    pub last_step: u32,
    /// Decoding time behind the last sample.
    pub end_dts: i64,
    form: Form,
}

/// How the samples are described.
#[derive(Debug, Clone, Copy, Default)]
struct Form {
    /// All last this long.
    step: Option<u32>,
    /// Some are presented later, or earlier, than they are decoded.
    composition_offsets: bool,
    flags: FlagsForm,
}

/// Where the flags of samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum FlagsForm {
    /// All are sync samples.
    #[default]
    AllSync,
    /// None is.
    NoSync,
    /// The first one is, no other.
    FirstSync,
    /// In each.
    Each,
}

/// `tfhd` (§8.8.7).
const DEFAULT_DURATION: u32 = 0x00_0008;
const DEFAULT_FLAGS: u32 = 0x00_0020;
const DURATION_IS_EMPTY: u32 = 0x01_0000;
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
/// `trun` (§8.8.8).
const DATA_OFFSET: u32 = 0x001;
const FIRST_SAMPLE_FLAGS: u32 = 0x004;
const SAMPLE_DURATION: u32 = 0x100;
const SAMPLE_SIZE: u32 = 0x200;
const SAMPLE_FLAGS: u32 = 0x400;
const SAMPLE_COMPOSITION_OFFSET: u32 = 0x800;

/// A picture of which nothing says how long it lasts is taken to last no longer: the buffers of players end where it does.
const LIKELY_STEP_MAX_S: u32 = 1;

const MFHD_BYTES: usize = FULL_BOX_HEADER_BYTES + 4;
const TFDT_BYTES: usize = FULL_BOX_HEADER_BYTES + 8;
/// Number, default duration (or not), default flags.
const TFHD_BYTES: usize = FULL_BOX_HEADER_BYTES + 8;
/// Count and data offset.
const TRUN_BYTES: usize = FULL_BOX_HEADER_BYTES + 8;

/// A fragment of these tracks.
pub(super) struct Written<'a> {
    pub tracks: &'a mut [MuxTrack],
    pub events: &'a [EventTrack],
    pub sequence_number: u32,
}

impl Written<'_> {
    /// Appends everything in front of the samples, the header of `mdat` too; false when there is no sample.
    pub fn write_head(
        &mut self,
        frames: &[Frame],
        head: &Head<'_>,
        room: Room,
        out: &mut Vec<u8>,
    ) -> Result<bool, PackError> {
        for track in self.tracks.iter_mut() {
            track.run = Run::measure(track, frames, head)?;
        }
        let moof_bytes = self.moof_bytes();
        let data_bytes: u64 = self.tracks.iter().map(|track| track.run.bytes).sum();
        let fragment_bytes = check_bytes(data_bytes + (moof_bytes + BOX_HEADER_BYTES) as u64)?;
        let has_samples = self.tracks.iter().any(|track| track.run.samples > 0);
        let events_bytes: usize =
            self.event_frames(frames).map(|(track, frame)| event::event_bytes(track, frame)).sum();
        let written_bytes = match room {
            Room::Fragment => fragment_bytes,
            Room::Head => moof_bytes + BOX_HEADER_BYTES,
        };
        out.reserve(written_bytes + events_bytes + event::HEAD_BYTES_MAX);
        if let Some(segment_type) = head.segment_type {
            put_segment_type(out, segment_type);
        }
        if has_samples && head.index {
            self.put_index(out, head, events_bytes + fragment_bytes);
        }
        if has_samples && let (Some(wall_clock), Some(track)) = (head.wall_clock, self.first_track()) {
            put_producer_time(out, track.number, wall_clock, track.media_time(track.run.first_pts));
        }
        self.event_frames(frames).for_each(|(track, frame)| put_event(out, track, frame));
        if has_samples {
            self.put_moof(out, frames, moof_bytes);
            put_header(out, BOX_HEADER_BYTES + data_bytes as usize, b"mdat");
            self.tracks.iter_mut().filter(|track| track.run.samples > 0).for_each(MuxTrack::remember);
        }
        Ok(has_samples)
    }

    fn event_frames<'f>(&self, frames: &'f [Frame]) -> impl Iterator<Item = (&EventTrack, &'f Frame)> {
        let track = |frame: &Frame| self.events.iter().find(|track| track.id == frame.track);
        let frames = if self.events.is_empty() { &[] } else { frames };
        frames.iter().filter_map(move |frame| Some((track(frame)?, frame)))
    }

    fn first_track(&self) -> Option<&MuxTrack> {
        self.tracks.iter().find(|track| track.run.samples > 0)
    }

    fn moof_bytes(&self) -> usize {
        let tracks = self.tracks.iter().filter(|track| track.run.samples > 0);
        BOX_HEADER_BYTES + MFHD_BYTES + tracks.map(|track| track.run.traf_bytes()).sum::<usize>()
    }

    fn put_index(&self, out: &mut Vec<u8>, head: &Head<'_>, fragment_bytes: usize) {
        let Some(track) = self.first_track() else { return };
        let wall_clock_bytes = if head.wall_clock.is_some() { event::PRODUCER_TIME_BYTES } else { 0 };
        put_index(
            out,
            &event::Subsegment {
                track_number: track.number,
                clock_rate_hz: track.track.clock_rate_hz,
                earliest_presentation: track.media_time(track.run.first_pts),
                duration: track.run.end_dts.saturating_sub(track.run.first_dts),
                bytes: fragment_bytes + wall_clock_bytes,
                starts_with_sync: matches!(track.run.form.flags, FlagsForm::AllSync | FlagsForm::FirstSync),
            },
        );
    }

    fn put_moof(&self, out: &mut Vec<u8>, frames: &[Frame], moof_bytes: usize) {
        put_header(out, moof_bytes, b"moof");
        put_header(out, MFHD_BYTES, b"mfhd");
        out.put_u32(0);
        out.put_u32(self.sequence_number);
        let mut data_offset = (moof_bytes + BOX_HEADER_BYTES) as u64;
        for track in self.tracks.iter().filter(|track| track.run.samples > 0) {
            track.put_traf(out, frames, data_offset);
            data_offset += track.run.bytes;
        }
    }
}

/// What a buffer is made large enough for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// The head and the samples behind it.
    Fragment,
    /// The head alone.
    Head,
}

/// What is in `mdat`: the payloads of each track, one track behind the other.
pub(super) fn payloads<'f>(tracks: &[MuxTrack], frames: &'f [Frame]) -> impl Iterator<Item = &'f Bytes> {
    let tracks = tracks.iter().filter(|track| track.run.samples > 0);
    tracks.flat_map(move |track| samples(frames, track.track.id)).map(|frame| &frame.payload)
}

/// A chunk without samples: from `dts` on there is none for so many `ticks` (§8.8.7, `duration-is-empty`).
pub(super) fn put_empty(track: &MuxTrack, sequence_number: u32, dts: i64, ticks: i64, out: &mut Vec<u8>) {
    let traf_bytes = BOX_HEADER_BYTES + TFHD_BYTES + TFDT_BYTES;
    put_segment_type(out, SegmentType::Chunk);
    put_header(out, BOX_HEADER_BYTES + MFHD_BYTES + traf_bytes, b"moof");
    put_header(out, MFHD_BYTES, b"mfhd");
    out.put_u32(0);
    out.put_u32(sequence_number);
    put_header(out, traf_bytes, b"traf");
    put_header(out, TFHD_BYTES, b"tfhd");
    out.put_u32(DEFAULT_BASE_IS_MOOF | DURATION_IS_EMPTY | DEFAULT_DURATION);
    out.put_u32(track.number);
    out.put_u32(u32::try_from(ticks).unwrap_or(u32::MAX));
    put_header(out, TFDT_BYTES, b"tfdt");
    out.put_u32(1 << 24);
    out.put_u64(track.media_time(dts));
    put_header(out, BOX_HEADER_BYTES, b"mdat");
}

impl Run {
    /// Looks at the frames of one track.
    fn measure(track: &MuxTrack, frames: &[Frame], head: &Head<'_>) -> Result<Self, PackError> {
        let mut run = Self::default();
        let mut newest: Option<&Frame> = None;
        let mut steps_differ = false;
        let mut step = None;
        let (mut syncs, mut first_is_sync) = (0, false);
        for frame in samples(frames, track.track.id) {
            if let Some(newest) = newest {
                let lasts = duration(newest.dts, frame.dts)?;
                steps_differ |= step.is_some_and(|step| step != lasts);
                step = Some(lasts);
            } else {
                (run.first_dts, run.first_pts, first_is_sync) = (frame.dts, frame.pts, frame.is_key());
                check_time(track, frame)?;
            }
            composition_offset(frame)?;
            run.form.composition_offsets |= frame.pts != frame.dts;
            run.samples += 1;
            run.bytes += frame.payload.len() as u64;
            syncs += u32::from(frame.is_key());
            newest = Some(frame);
        }
        let Some(newest) = newest else { return Ok(run) };
        run.last_step = last_step(track, newest, step, head)?;
        run.end_dts = newest.dts.saturating_add(i64::from(run.last_step));
        steps_differ |= step.is_some_and(|step| step != run.last_step);
        run.form.step = (!steps_differ).then_some(run.last_step);
        run.form.flags = match (track.track.kind(), syncs) {
            (MediaKind::Video, 0) => FlagsForm::NoSync,
            (MediaKind::Video, syncs) if syncs == run.samples => FlagsForm::AllSync,
            (MediaKind::Video, 1) if first_is_sync => FlagsForm::FirstSync,
            (MediaKind::Video, _) => FlagsForm::Each,
            _ => FlagsForm::AllSync,
        };
        Ok(run)
    }

    fn traf_bytes(&self) -> usize {
        let default_duration = if self.form.step.is_some() { 4 } else { 0 };
        let first_flags = if self.form.flags == FlagsForm::FirstSync { 4 } else { 0 };
        BOX_HEADER_BYTES
            + TFHD_BYTES
            + default_duration
            + TFDT_BYTES
            + TRUN_BYTES
            + first_flags
            + self.samples as usize * self.form.entry_bytes()
    }
}

impl Form {
    fn entry_bytes(&self) -> usize {
        let has = |condition: bool| if condition { 4 } else { 0 };
        4 + has(self.step.is_none()) + has(self.composition_offsets) + has(self.flags == FlagsForm::Each)
    }

    fn trun_flags(&self) -> u32 {
        let when = |condition: bool, flag: u32| if condition { flag } else { 0 };
        DATA_OFFSET
            | SAMPLE_SIZE
            | when(self.flags == FlagsForm::FirstSync, FIRST_SAMPLE_FLAGS)
            | when(self.step.is_none(), SAMPLE_DURATION)
            | when(self.flags == FlagsForm::Each, SAMPLE_FLAGS)
            | when(self.composition_offsets, SAMPLE_COMPOSITION_OFFSET)
    }
}

impl MuxTrack {
    /// A time of the bus as a time of the media.
    fn media_time(&self, ticks: i64) -> u64 {
        u64::try_from(ticks.saturating_add(i64::from(self.delay))).unwrap_or(0)
    }

    fn remember(&mut self) {
        self.newest_step = self.run.last_step.min(self.likely_step_max()).max(1);
        self.newest_dts = Some(self.run.end_dts.saturating_sub(i64::from(self.run.last_step)));
    }

    /// How long a sample at `dts` is likely to last that is alone in its fragment, where nothing says it: as long as the one before it did,
    /// and a picture rather as long as the longest of the last ones. Behind one that is said to last too long nothing is lost; what follows
    /// by more than twice its duration is dropped up to the next key picture (Media Source Extensions, coded frame processing).
    fn likely_step(&self, dts: i64) -> u32 {
        let says_frame_length = self.track.config.audio().is_some_and(|info| info.samples_per_frame > 0);
        let before = self.newest_dts.filter(|&newest| newest < dts && !says_frame_length);
        let Some(before) = before else { return self.newest_step };
        let max = self.likely_step_max();
        let step = u32::try_from(dts.saturating_sub(before)).unwrap_or(max).min(max);
        match self.track.kind() {
            MediaKind::Video => step.max(self.newest_step - self.newest_step / 8),
            _ => step,
        }
    }

    fn likely_step_max(&self) -> u32 {
        self.track.clock_rate_hz.saturating_mul(LIKELY_STEP_MAX_S).max(1)
    }

    fn put_traf(&self, out: &mut Vec<u8>, frames: &[Frame], data_offset: u64) {
        let run = &self.run;
        put_header(out, run.traf_bytes(), b"traf");
        let default_duration = run.form.step.map_or(0, |_| DEFAULT_DURATION);
        put_header(out, TFHD_BYTES + if run.form.step.is_some() { 4 } else { 0 }, b"tfhd");
        out.put_u32(DEFAULT_BASE_IS_MOOF | DEFAULT_FLAGS | default_duration);
        out.put_u32(self.number);
        if let Some(step) = run.form.step {
            out.put_u32(step);
        }
        out.put_u32(if run.form.flags == FlagsForm::AllSync { SYNC_SAMPLE } else { OTHER_SAMPLE });
        put_header(out, TFDT_BYTES, b"tfdt");
        out.put_u32(1 << 24);
        out.put_u64(self.media_time(run.first_dts));
        self.put_trun(out, frames, data_offset);
    }

    fn put_trun(&self, out: &mut Vec<u8>, frames: &[Frame], data_offset: u64) {
        let Run { samples: count, form, last_step, .. } = self.run;
        let first_flags = if form.flags == FlagsForm::FirstSync { 4 } else { 0 };
        put_header(out, TRUN_BYTES + first_flags + count as usize * form.entry_bytes(), b"trun");
        // Version 1: composition offsets are signed.
        out.put_u32(1 << 24 | form.trun_flags());
        out.put_u32(count);
        out.put_u32(data_offset as u32);
        if first_flags > 0 {
            out.put_u32(SYNC_SAMPLE);
        }
        let mut frames = samples(frames, self.track.id).peekable();
        while let Some(frame) = frames.next() {
            if form.step.is_none() {
                out.put_u32(frames.peek().map_or(last_step, |next| (next.dts - frame.dts) as u32));
            }
            out.put_u32(frame.payload.len() as u32);
            if form.flags == FlagsForm::Each {
                out.put_u32(if frame.is_key() { SYNC_SAMPLE } else { OTHER_SAMPLE });
            }
            if form.composition_offsets {
                out.put_i32((frame.pts - frame.dts) as i32);
            }
        }
    }
}

/// The frames of one track that have bytes.
fn samples(frames: &[Frame], id: TrackId) -> impl Iterator<Item = &Frame> {
    frames.iter().filter(move |frame| frame.track == id && !frame.payload.is_empty())
}

fn put_header(out: &mut Vec<u8>, bytes: usize, kind: &[u8; 4]) {
    out.put_u32(bytes as u32);
    out.put_slice(kind);
}

/// What the last sample of a fragment lasts; see [`super::Fmp4Muxer::write_fragment`].
fn last_step(track: &MuxTrack, frame: &Frame, step: Option<u32>, head: &Head<'_>) -> Result<u32, PackError> {
    let next = head.next.iter().find(|(id, _)| *id == track.track.id).map(|(_, dts)| *dts);
    // A step back is a break in the timeline, which says nothing about this sample.
    match next.filter(|&next| next >= frame.dts) {
        Some(next) => duration(frame.dts, next),
        None if frame.duration > 0 => Ok(frame.duration),
        None => Ok(step.unwrap_or_else(|| track.likely_step(frame.dts))),
    }
}

fn duration(from: i64, to: i64) -> Result<u32, PackError> {
    let ticks = to.saturating_sub(from);
    if ticks < 0 {
        return Err(PackError::Misuse { what: "decoding times that go back within a fragment" });
    }
    let limit = "ticks between two samples";
    let seen = usize::try_from(ticks).unwrap_or(usize::MAX);
    u32::try_from(ticks).map_err(|_| PackError::LimitExceeded { limit, max: u32::MAX as usize, seen })
}

fn check_time(track: &MuxTrack, frame: &Frame) -> Result<(), PackError> {
    if frame.dts.saturating_add(i64::from(track.delay)) < 0 {
        return Err(PackError::Unsupported { what: "decoding time below 0 in MP4" });
    }
    Ok(())
}

fn composition_offset(frame: &Frame) -> Result<(), PackError> {
    let offset = frame.pts.saturating_sub(frame.dts);
    let seen = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
    let limit = "ticks between decoding and presentation";
    i32::try_from(offset).map(drop).map_err(|_| PackError::LimitExceeded { limit, max: i32::MAX as usize, seen })
}

/// Offsets and sizes in a fragment have 32 bits, of which offsets use 31.
fn check_bytes(bytes: u64) -> Result<usize, PackError> {
    let seen = usize::try_from(bytes).unwrap_or(usize::MAX);
    if bytes > i32::MAX as u64 {
        return Err(PackError::LimitExceeded { limit: "bytes of a fragment", max: i32::MAX as usize, seen });
    }
    Ok(seen)
}
