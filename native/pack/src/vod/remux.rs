//! A part of a recording whose files are no MP4, as a fragmented MP4 file: a fragment is made when it is asked for.

use arcly_bus::{Frame, TrackSet};
use bytes::Bytes;

use super::{
    Piece, Vod,
    clip::{ClipPart, ClipPlan},
    outline::{Form, demux},
    segment::begin_at,
};
use crate::{
    PackError,
    container::Container,
    mp4::{Fmp4Muxer, Fragment, Head, Range},
    time::rescale,
};

/// What is read of one file for one fragment.
#[derive(Debug, Clone)]
pub struct RemuxPart {
    /// Index of the file, among the pieces.
    pub piece: usize,
    /// Bytes of it.
    pub range: Range,
    part: ClipPart,
    fragment: Fragment,
}

/// Writes a clip, fragment by fragment, each by itself: in whatever order they are asked for, they are the same.
#[derive(Debug)]
pub struct Remux {
    plan: ClipPlan,
    /// In front of the first fragment.
    muxer: Fmp4Muxer,
}

impl Remux {
    /// The parts of a clip, in their order, and what writes them; `None` when its files are MP4: then nothing need be written anew.
    ///
    /// # Errors
    /// [`PackError`] when MP4 cannot carry its tracks.
    pub fn new(vod: &Vod, plan: ClipPlan) -> Result<Option<(Self, Vec<RemuxPart>)>, PackError> {
        let is_stream = |piece: &Piece| matches!(piece.form, Form::Stream(container) if container != Container::Mp4);
        let pieces = || plan.parts.iter().filter_map(|part| Some((part, vod.pieces().get(part.piece)?)));
        if !pieces().any(|(_, piece)| is_stream(piece)) {
            return Ok(None);
        }
        let parts = pieces().flat_map(|(part, piece)| {
            let Range { offset, bytes } = part.range;
            let own = move |fragment: &&Fragment| (offset..offset + bytes).contains(&fragment.range.offset);
            piece.outline.fragments.iter().filter(own).map(|fragment| RemuxPart {
                piece: part.piece,
                range: fragment.range,
                part: part.clone(),
                fragment: fragment.clone(),
            })
        });
        let parts = parts.collect();
        let muxer = Fmp4Muxer::new(&TrackSet { revision: 1, tracks: plan.tracks.clone() })?;
        Ok(Some((Self { plan, muxer }, parts)))
    }

    /// What the file begins with.
    pub fn init_segment(&self) -> Bytes {
        self.muxer.init_segment().clone()
    }

    /// The fragment of a part, the `number`th counted from 1, out of its bytes; empty when nothing of it is wanted.
    ///
    /// # Errors
    /// [`PackError`] when they are not what they were.
    pub fn fragment(&self, vod: &Vod, number: u32, part: &RemuxPart, file: &Bytes) -> Result<Vec<u8>, PackError> {
        let missing = PackError::Misuse { what: "part of another recording" };
        let piece = vod.pieces().get(part.piece).ok_or(missing)?;
        let Form::Stream(container) = piece.form else { return Ok(Vec::new()) };
        let (_, mut found) = demux(container, [&piece.init, file])?;
        let mut frames: Vec<Frame> = Vec::new();
        for span in &part.fragment.spans {
            let (mut own, others): (Vec<Frame>, Vec<Frame>) =
                found.into_iter().partition(|frame| frame.track == span.track);
            found = others;
            begin_at(&mut own, span.begin_dts);
            frames.extend(own.into_iter().filter_map(|frame| self.placed(&part.part, frame)));
        }
        let mut out = Vec::new();
        if !frames.is_empty() {
            self.muxer.at_fragment(number).write_fragment(&frames, &Head::default(), &mut out)?;
        }
        Ok(out)
    }

    /// A frame at its time in the clip, which begins at 0.
    fn placed(&self, part: &ClipPart, frame: Frame) -> Option<Frame> {
        let (pts, dts) = self.plan.times(part, frame.track, (frame.pts, frame.dts))?;
        let track = self.plan.tracks.iter().find(|track| track.id == frame.track)?;
        let begin = rescale(self.plan.begin_dts_us, 1_000_000, track.clock_rate_hz);
        // Sound of the same moment may begin a little before.
        let (pts, dts) = (pts.saturating_sub(begin), dts.saturating_sub(begin));
        (dts >= 0).then_some(Frame { pts, dts, ..frame })
    }
}
