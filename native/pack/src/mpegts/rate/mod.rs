//! A transport stream of a constant bit rate: for modulators, ASI, and whatever counts bytes to know the time.
//!
//! | what | where |
//! |---|---|
//! | which frames fit, and what is left out | here |
//! | which packet goes into which slot, and its time | `slots` |
//!
//! Every packet of 188 bytes has its slot: slot `n` is at `n * 1504 / rate` s, and a clock reference says the time of the slot
//! that it is in, to 1/27 µs. Frames enter when the clock of [`TsMuxer`] reaches them (0.7 s before they are decoded) and leave
//! in their order, as slots become free; null packets fill the rest. PTS and DTS stay as they are: smoothing takes its time from
//! these 0.7 s, [`SMOOTHING_BUFFER`] of them at most.

mod slots;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, time::Duration};

use arcly_bus::{Frame, TrackId, TrackSet};
use arcly_codec::MediaKind;

use self::slots::Slots;
use super::{PACKET_BYTES, PacketBuffer, TsMuxer};
use crate::PackError;

/// The longest that a packet waits for its slot: the size of the buffer that smooths, in the time in which the rate empties it.
/// What remains of the 0.7 s before decoding is for tables, clock references, and tracks that are a little out of step.
pub const SMOOTHING_BUFFER: Duration = Duration::from_millis(600);

/// Rates that a [`ConstantRateMuxer`] takes, in bits a second. Below, tables and clock references of 16 tracks leave nothing;
/// above, a gap of 2 s in the input becomes more than 50 MB at once.
pub const CONSTANT_RATES_BPS: std::ops::RangeInclusive<u32> = 200_000..=200_000_000;

/// What became of the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConstantRateStats {
    /// Packets written, null packets included.
    pub packets: u64,
    /// Null packets among them.
    pub null_packets: u64,
    /// Frames that were left out because the rate had no room for them. It is too low, then, or the encoder's peaks are too high.
    pub overrun_frames: u64,
    /// Frames whose last packet leaves behind their decoding time, since their track is far behind the others.
    pub late_frames: u64,
}

/// [`TsMuxer`] at a constant bit rate.
///
/// Bytes leave as frames show that time has passed: up to the time of the frame that is written, each call of
/// [`Self::write`] appends the slots since the last one. What is sent at these bytes' own pace arrives at the rate.
///
/// **Overrun.** A frame that finds no room in the buffer is left out whole and counted in
/// [`ConstantRateStats::overrun_frames`]; of a video track, everything up to the next key frame that fits is left out with it, since
/// it could not be decoded. So the stream is a valid one whatever comes: no picture is ever late because others were large.
///
/// A gap of more than 2 s is not filled: a new time base begins behind it.
#[derive(Debug)]
pub struct ConstantRateMuxer {
    muxer: TsMuxer,
    slots: Slots,
    video: BTreeSet<TrackId>,
    /// Video tracks that have lost a picture; at most one each track.
    waiting_for_key: BTreeSet<TrackId>,
    overrun_frames: u64,
    late_frames: u64,
    /// What the muxer has written of one frame.
    packets: PacketBuffer,
}

impl ConstantRateMuxer {
    /// A muxer for these tracks, at `rate_bps` bits a second, headers, tables and null packets included.
    ///
    /// # Errors
    /// As [`TsMuxer::new`]; [`PackError::Misuse`] for a rate outside of [`CONSTANT_RATES_BPS`].
    pub fn new(tracks: &TrackSet, rate_bps: u32) -> Result<Self, PackError> {
        Self::check_rate(rate_bps)?;
        Ok(Self {
            muxer: TsMuxer::new(tracks)?,
            slots: Slots::new(rate_bps),
            video: video_of(tracks),
            waiting_for_key: BTreeSet::new(),
            overrun_frames: 0,
            late_frames: 0,
            packets: PacketBuffer::default(),
        })
    }

    /// # Errors
    /// [`PackError::Misuse`] for a rate outside of [`CONSTANT_RATES_BPS`].
    pub(crate) fn check_rate(rate_bps: u32) -> Result<(), PackError> {
        if CONSTANT_RATES_BPS.contains(&rate_bps) {
            return Ok(());
        }
        Err(PackError::Misuse { what: "constant bit rate: 200 000 to 200 000 000 bits a second" })
    }

    /// Goes on with other tracks, behind what waits of the old ones.
    ///
    /// # Errors
    /// As [`TsMuxer::reconfigure`]; nothing has changed then.
    pub fn reconfigure(&mut self, tracks: &TrackSet) -> Result<(), PackError> {
        self.muxer.reconfigure(tracks)?;
        self.video = video_of(tracks);
        self.waiting_for_key.retain(|track| self.video.contains(track));
        Ok(())
    }

    /// Appends the slots up to the time of this frame, and lets the frame wait for its own.
    ///
    /// # Errors
    /// As [`TsMuxer::write`]; nothing has been written then. That a frame was left out is no error: see [`Self::stats`].
    pub fn write(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), PackError> {
        self.packets.clear();
        self.muxer.write_in(frame, &mut self.packets)?;
        let packets = self.packets.packets();
        // Without a time, which data in front of all pictures and sounds leave open, there are no slots yet.
        if let Some(now_90k) = self.muxer.clock_90k() {
            self.slots.advance(now_90k, packets.iter().any(slots::begins_time_base), out);
        }
        self.slots.take_tables(packets, self.muxer.pcr_pid());
        if !self.admits(frame) {
            self.overrun_frames += 1;
            return Ok(());
        }
        self.slots.enqueue(self.packets.packets());
        self.late_frames += u64::from(self.muxer.dts_90k(frame).is_some_and(|dts_90k| self.slots.ends_behind(dts_90k)));
        Ok(())
    }

    /// Nothing more comes: appends the slots of what waits.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.slots.drain(out);
    }

    /// What became of the frames so far.
    pub fn stats(&self) -> ConstantRateStats {
        let (packets, null_packets) = self.slots.written();
        let (overrun_frames, late_frames) = (self.overrun_frames, self.late_frames);
        ConstantRateStats { packets, null_packets, overrun_frames, late_frames }
    }

    /// Bytes that wait for their slots: [`SMOOTHING_BUFFER`] of the rate at most.
    pub fn buffered_bytes(&self) -> usize {
        self.slots.queued() * PACKET_BYTES
    }

    /// Whether the packets of `frame` find room, and it can be decoded.
    fn admits(&mut self, frame: &Frame) -> bool {
        let is_missing_reference = self.waiting_for_key.contains(&frame.track) && !frame.is_key();
        if is_missing_reference {
            return false;
        }
        let has_room = self.slots.has_room_for(self.packets.packets());
        if has_room {
            self.waiting_for_key.remove(&frame.track);
        } else if self.video.contains(&frame.track) {
            self.waiting_for_key.insert(frame.track);
        }
        has_room
    }
}

fn video_of(tracks: &TrackSet) -> BTreeSet<TrackId> {
    tracks.tracks.iter().filter(|track| track.kind() == MediaKind::Video).map(|track| track.id).collect()
}
