//! A transport stream or an FLV file that was recorded: cut at key frames, each part read as if it were alone.

use arcly_bus::{Frame, TrackId};
use bytes::{Bytes, BytesMut};

use super::{
    demux, note,
    packed::pack,
    units::{Role, Units},
};
use crate::{
    PackError,
    container::Container,
    mp4::{Fragment, Outline, Range, Span},
    time::rescale,
};

/// Bytes of a part. Past it a part ends in front of any frame: players cannot begin with the next one then.
const PART_BYTES_MAX: usize = 64 << 20;
/// Bytes of a part where every frame will do: some seconds of sound.
const PART_BYTES_MIN: usize = 16 << 10;
/// Of so much of other streams without a frame of that with which parts begin, in ticks of 90 kHz, that has ceased: parts end without it.
const SILENT_90K: i64 = 10 * 90_000;
/// How long parts are then.
const PART_90K: i64 = 90_000;
/// Bytes in front of the first frame: tables, or sequence headers. More of them is no recording.
const HEAD_BYTES_MAX: usize = 16 << 20;
/// Parts of a file that are noted. Those behind are not there.
const PARTS_MAX: usize = 1 << 20;

/// Looks a recorded stream through, from its beginning to its end. It is given all bytes, in any pieces.
///
/// Times begin at 0, and go on where those of the container wrap.
#[derive(Debug)]
pub struct StreamOutliner {
    container: Container,
    units: Units,
    /// Bytes that have come, from the unit on that is looked at next.
    rest: BytesMut,
    head: BytesMut,
    part: BytesMut,
    is_entry: bool,
    /// When other streams had their first frame since the last one of that with which parts begin, and since the part began: in ticks of
    /// 90 kHz.
    beside_since: Option<i64>,
    part_since: Option<i64>,
    /// What pictures need that are no key frames, behind the head.
    sets: Bytes,
    /// Where in the file the next unit begins.
    offset: u64,
    /// What is 0, in ticks of the clock behind it.
    origin: Option<(i64, u32)>,
    outline: Outline,
    /// The part in which the last of the tracks was found.
    tracks_in: usize,
}

impl StreamOutliner {
    /// For a file of that kind, which is not [`Container::Mp4`].
    ///
    /// # Errors
    /// [`PackError::Misuse`] for MP4.
    pub fn new(container: Container) -> Result<Self, PackError> {
        Ok(Self {
            container,
            units: Units::new(container)?,
            rest: BytesMut::new(),
            head: BytesMut::new(),
            part: BytesMut::new(),
            is_entry: false,
            beside_since: None,
            part_since: None,
            sets: Bytes::new(),
            offset: 0,
            origin: None,
            outline: Outline::default(),
            tracks_in: 0,
        })
    }

    /// Where in the file the bytes begin that it needs next.
    pub fn position(&self) -> u64 {
        self.offset + self.rest.len() as u64
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// [`PackError`] when this is no recording of that kind.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        self.rest.extend_from_slice(bytes);
        // A large unit comes in many pieces: what has come of it is not moved for each of them.
        if self.units.size(&self.rest).is_none_or(|size| self.rest.len() < size) {
            return Ok(());
        }
        // Units are looked at where they lie; the buffer is given back behind the last whole one.
        let mut all = self.rest.split().freeze();
        while let Some((size, role)) = self.units.next(&all, self.offset)? {
            let unit = all.split_to(size.min(all.len()));
            self.take(&unit, role)?;
        }
        self.rest.extend_from_slice(&all);
        Ok(())
    }

    fn take(&mut self, unit: &Bytes, role: Role) -> Result<(), PackError> {
        if role == Role::Head {
            if self.head.len() + unit.len() > HEAD_BYTES_MAX {
                let seen = self.head.len() + unit.len();
                return Err(PackError::LimitExceeded { limit: "bytes before a frame", max: HEAD_BYTES_MAX, seen });
            }
            self.head.extend_from_slice(unit);
        } else {
            let is_full = self.part.len() + unit.len() > PART_BYTES_MAX;
            // Sound from just before the first picture belongs to it.
            let has_begun = self.is_entry || !self.outline.fragments.is_empty();
            let is_enough = self.part.len() >= PART_BYTES_MIN || !self.is_entry;
            let is_alone = matches!(role, Role::Beside(Some(at_90k)) if self.is_alone(at_90k));
            if role == Role::Entry && has_begun && is_enough || role != Role::Inner && is_full || is_alone {
                self.close()?;
                (self.is_entry, self.part_since) = (false, None);
            }
            match role {
                Role::Entry | Role::Start => self.beside_since = None,
                Role::Beside(Some(at_90k)) => {
                    self.beside_since.get_or_insert(at_90k);
                    self.part_since.get_or_insert(at_90k);
                }
                Role::Beside(None) | Role::Head | Role::Inner => {}
            }
            self.is_entry |= role == Role::Entry;
            self.part.extend_from_slice(unit);
        }
        self.offset += unit.len() as u64;
        Ok(())
    }

    /// Whether a part may end in front of a frame of another stream at that time.
    fn is_alone(&self, at_90k: i64) -> bool {
        let period = self.period(90_000);
        // Streams are not quite in step: half of a period is before.
        let lasts = |since: i64| (at_90k - since).rem_euclid(period);
        let has_lasted =
            |since: Option<i64>, ticks| since.is_some_and(|since| (ticks..period / 2).contains(&lasts(since)));
        has_lasted(self.beside_since, SILENT_90K) && has_lasted(self.part_since, PART_90K)
    }

    /// What a part is read behind.
    fn init(&self) -> Bytes {
        [&self.head[..], &self.sets].concat().into()
    }

    /// The part that was collected ends here.
    fn close(&mut self) -> Result<(), PackError> {
        let part = std::mem::take(&mut self.part);
        let bytes = part.len() as u64;
        if part.is_empty() || self.outline.fragments.len() >= PARTS_MAX {
            return Ok(());
        }
        let (tracks, mut frames) = demux(self.container, [&self.init(), &part])?;
        if self.outline.tracks.len() < tracks.len() {
            self.outline.tracks = tracks;
            self.tracks_in = self.outline.fragments.len();
            self.sets = self.units.sets(&self.outline.tracks);
            // As it will be read.
            (_, frames) = demux(self.container, [&self.init(), &part])?;
        }
        let mut spans: Vec<Span> = Vec::new();
        for Frame { track, pts, dts, duration, payload, .. } in &frames {
            note(&mut spans, *track, (*pts, *dts), *duration, payload.len() as u64);
        }
        self.place(&mut spans);
        let range = Range { offset: self.offset - bytes, bytes };
        self.outline.fragments.push(Fragment { range, is_entry: self.is_entry, spans: spans.into() });
        Ok(())
    }

    /// Puts times behind those of the parts before, and the first ones of the file at 0.
    fn place(&mut self, spans: &mut [Span]) {
        if self.origin.is_none() {
            let clocked = spans.iter().map(|span| (span.begin_dts, self.clock_hz(span.track)));
            self.origin = clocked.min_by_key(|&(dts, hz)| rescale(dts, hz, 1_000_000));
        }
        let Some((origin, origin_hz)) = self.origin else { return };
        for span in spans {
            let hz = self.clock_hz(span.track);
            let mut shift = rescale(origin, origin_hz, hz).saturating_neg();
            let period = self.period(hz);
            if let Some(end) = self.end_of(span.track) {
                // A part that is read alone begins within the first period; half of one before the last is the next.
                let early = end.saturating_sub(span.begin_dts.saturating_add(shift));
                let turns = early.saturating_add(period / 2).div_euclid(period.max(1));
                shift = shift.saturating_add(turns.saturating_mul(period));
            }
            span.begin_dts = span.begin_dts.saturating_add(shift);
            span.end_dts = span.end_dts.saturating_add(shift);
            span.first_pts = span.first_pts.saturating_add(shift);
        }
    }

    /// After so many ticks the times of the container begin again.
    fn period(&self, clock_hz: u32) -> i64 {
        match self.container {
            // 33 bits of 90 kHz (ISO/IEC 13818-1 §2.4.3.7).
            Container::MpegTs => rescale(1 << 33, 90_000, clock_hz),
            // 32 bits of milliseconds (FLV §E.4.1).
            Container::Flv | Container::Mp4 => rescale(1 << 32, 1_000, clock_hz),
        }
    }

    fn end_of(&self, track: TrackId) -> Option<i64> {
        let spans = self.outline.fragments.iter().rev().flat_map(|fragment| &fragment.spans);
        spans.into_iter().find(|span| span.track == track).map(|span| span.end_dts)
    }

    fn clock_hz(&self, id: TrackId) -> u32 {
        self.outline.tracks.iter().find(|track| track.id == id).map_or(90_000, |track| track.clock_rate_hz)
    }

    /// What was found, as bytes: [`PackedOutline`](super::PackedOutline) reads them. `None` when there is too much of it.
    ///
    /// # Errors
    /// As [`Self::outline`].
    pub fn pack(&mut self) -> Result<Option<Vec<u8>>, PackError> {
        let (outline, init) = self.outline()?;
        Ok(pack(&outline, self.container, self.position(), &init, self.tracks_in))
    }

    /// What was found so far, and the bytes in front of it. The file may still grow: push on what is behind [`Self::position`], then ask
    /// again.
    ///
    /// # Errors
    /// [`PackError`] when its last part cannot be read.
    pub fn outline(&mut self) -> Result<(Outline, Bytes), PackError> {
        let (part, is_entry) = (self.part.clone(), self.is_entry);
        let origin = self.origin;
        self.close()?;
        let mut outline = self.outline.clone();
        let init = self.init();
        outline.init_bytes = init.len() as u64;
        if !part.is_empty() {
            // What is collected goes on.
            self.outline.fragments.pop();
            (self.part, self.is_entry, self.origin) = (part, is_entry, origin);
        }
        Ok((outline, init))
    }
}
