//! Fragmented MP4, a fragment for each frame.

use std::borrow::Cow;

use arcly_bus::{Frame, Track, TrackId, TrackSet};
use arcly_codec::{Codec, MediaKind};
use arcly_pack::{
    PackError, Rise,
    mp4::{Fmp4Muxer, Head},
    rescale,
};

use super::{Draft, Format, Framing, Headers, only};

/// The fragments of a stream.
#[derive(Default)]
pub(super) struct Mp4 {
    muxer: Option<Fmp4Muxer>,
    carried: Vec<Track>,
    /// The init segment is another one than that of the fragments before, and goes in front of the next one.
    is_changed: bool,
    times: Times,
}

impl Format for Mp4 {
    fn configure(&mut self, tracks: &TrackSet) -> Result<Headers, PackError> {
        let tracks = Self::only(tracks);
        self.carried.clear();
        match &mut self.muxer {
            Some(muxer) => self.is_changed |= muxer.reconfigure(&tracks)?,
            none => *none = Some(Fmp4Muxer::new(&tracks)?),
        }
        self.carried = tracks.tracks;
        let init = self.muxer.as_ref().map(|muxer| muxer.init_segment().to_vec()).unwrap_or_default();
        Ok(Headers { first: init.clone(), again: init })
    }

    fn carries(&self, track: TrackId) -> bool {
        self.carried.iter().any(|carried| carried.id == track)
    }

    /// FFmpeg, and browsers by a `<video>` of their own, read one `moov` and pass over every other. Scripts hand all to Media Source
    /// Extensions, which take another one of the same tracks in the same codecs (MSE §3.5.7).
    fn can_go_on(&self, tracks: &TrackSet, framing: Framing) -> bool {
        let tracks = Self::only(tracks);
        let Some(muxer) = &self.muxer else { return true };
        let is_same = Fmp4Muxer::new(&tracks).is_ok_and(|next| next.init_segment() == muxer.init_segment());
        is_same || framing == Framing::WebSocket && codecs(&tracks.tracks).eq(codecs(&self.carried))
    }

    fn write(&mut self, frame: &Frame, later: &[Frame], Draft { own: out, .. }: &mut Draft) -> Result<(), PackError> {
        let Some(muxer) = self.muxer.as_mut() else { return Ok(()) };
        let Some(track) = self.carried.iter().find(|track| track.id == frame.track) else { return Ok(()) };
        let step = step_to_next(frame, later);
        let frame = self.times.place(frame, track);
        let next = step.map(|step| (frame.track, frame.dts.saturating_add(step)));
        let head = Head { next: next.as_slice(), ..Head::default() };
        let start = out.len();
        muxer.write_fragment(std::slice::from_ref(&*frame), &head, out)?;
        if out.len() > start && std::mem::take(&mut self.is_changed) {
            out.splice(start..start, muxer.init_segment().iter().copied());
        }
        Ok(())
    }
}

impl Mp4 {
    fn only(tracks: &TrackSet) -> TrackSet {
        only(tracks, |track| Fmp4Muxer::supports(track).is_ok())
    }
}

fn codecs(tracks: &[Track]) -> impl Iterator<Item = (TrackId, Codec)> {
    tracks.iter().map(|track| (track.id, track.config.codec()))
}

/// Ticks from a frame to the next one of its track, where they alone say how long it lasts and are known already.
fn step_to_next(frame: &Frame, later: &[Frame]) -> Option<i64> {
    let later = if frame.duration > 0 { &[] } else { later };
    let next = later.iter().find(|next| next.track == frame.track)?;
    (!next.is_discontinuity()).then(|| next.dts.saturating_sub(frame.dts))
}

/// Where the times of a stream come to lie, those of all tracks moved alike: they do not fall, and `tfdt` has none below 0
/// (ISO/IEC 14496-12 §8.8.12), where pictures begin that are reordered.
#[derive(Debug, Default)]
struct Times {
    rise: Rise,
    /// Added to all, for the first ones not to be below 0.
    room_ms: i64,
    /// All that was added to the newest picture or sound.
    shift_ms: i64,
}

impl Times {
    fn place<'f>(&mut self, frame: &'f Frame, track: &Track) -> Cow<'f, Frame> {
        let ticks = |ms| rescale(ms, 1_000, track.clock_rate_hz);
        // Data tell when something is to be, and not how far the stream is.
        if track.kind() != MediaKind::Data {
            let ms = rescale(frame.dts, track.clock_rate_hz, 1_000);
            let risen_ms = self.rise.lift(frame.track, ms, frame.is_discontinuity());
            let shift_ms = risen_ms.saturating_sub(ms);
            if frame.dts.saturating_add(ticks(shift_ms.saturating_add(self.room_ms))) < 0 {
                self.room_ms = 1_i64.saturating_sub(risen_ms);
            }
            self.shift_ms = shift_ms.saturating_add(self.room_ms);
        }
        let shift = ticks(self.shift_ms);
        if shift == 0 {
            return Cow::Borrowed(frame);
        }
        let (pts, dts) = (frame.pts.saturating_add(shift), frame.dts.saturating_add(shift));
        Cow::Owned(Frame { pts, dts, ..frame.clone() })
    }
}

#[cfg(test)]
mod tests {
    use arcly_bus::FrameFlags;
    use arcly_codec::CodecConfig;
    use bytes::Bytes;

    use super::{super::super::tests::AVCC, *};

    #[test]
    fn pictures_and_sound_are_moved_alike() {
        let track = |id, codec, record: &'static [u8]| {
            Track::new(TrackId(id), CodecConfig::parse(codec, Bytes::from_static(record)).unwrap())
        };
        let (video, audio) = (track(0, Codec::H264, &AVCC), track(1, Codec::Aac, &[0x11, 0x90]));
        let mut times = Times::default();
        let mut place_ms = |track: &Track, ms: i64, flags| {
            let dts = rescale(ms, 1_000, track.clock_rate_hz);
            let frame = Frame { track: track.id, flags, pts: dts, dts, duration: 0, payload: Bytes::new() };
            rescale(times.place(&frame, track).dts, track.clock_rate_hz, 1_000)
        };
        let mut placed = |track, ms, flags| place_ms(track, ms, flags) - ms;
        let room = placed(&video, -80, FrameFlags::KEY);
        assert!((80..82).contains(&room), "{room}");
        for ms in (0..20_000).step_by(40) {
            assert_eq!((placed(&audio, ms - 20, FrameFlags::NONE), placed(&video, ms, FrameFlags::NONE)), (room, room));
        }
        let shift = placed(&video, -80, FrameFlags::KEY.with(FrameFlags::NEW_TIMELINE));
        assert_eq!(shift, room + 19_960 + 40 + 80);
        for ms in (0..5_000).step_by(40) {
            assert_eq!((placed(&audio, ms, FrameFlags::NONE), placed(&video, ms, FrameFlags::NONE)), (shift, shift));
        }
    }
}
