//! Frames to the bytes of a container.

use std::{sync::Arc, time::Duration};

use arcly_bus::{Frame, Track, TrackId, TrackSet};
use arcly_codec::MediaKind;

use super::Container;
use crate::{
    PackError,
    flv::{FlvMuxOptions, FlvMuxer, FlvTag, file_header},
    mp4::{Fmp4Muxer, Head, TrackOptions},
    mpegts::{ConstantRateMuxer, TsMuxer},
    time::rescale,
};

/// Bytes of frames that wait for their fragment to be complete. Stops a stream without key frames from filling the memory: a fragment
/// of this size is cut within.
pub const MAX_FRAGMENT_BYTES: usize = 32 << 20;

/// A fragment that is so many times as long as it should be ends without a key frame: a camera may be turned off while its sound goes on,
/// and what waits is lost in a crash.
const FRAGMENT_STRETCH: i64 = 5;

/// How a container is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MuxOptions {
    /// MP4: a fragment ends at the first key frame after this long (without video: at any frame), and at any frame after five times as
    /// long. Zero: at every frame, for the least delay at some 100 bytes a frame. Default 1 s.
    pub fragment: Duration,
    /// MPEG-TS: bits a second, headers and null packets included, that the stream has at all times
    /// ([`CONSTANT_RATES_BPS`](crate::mpegts::CONSTANT_RATES_BPS)). Default `None`: whatever the frames need.
    pub constant_bit_rate: Option<u32>,
}

impl Default for MuxOptions {
    fn default() -> Self {
        Self { fragment: Duration::from_secs(1), constant_bit_rate: None }
    }
}

impl MuxOptions {
    /// Whether `container` can be written so.
    ///
    /// # Errors
    /// [`PackError::Misuse`] when an option is out of its range or of another container.
    pub fn check(&self, container: Container) -> Result<(), PackError> {
        match self.constant_bit_rate {
            Some(_) if container != Container::MpegTs => {
                Err(PackError::Misuse { what: "constant bit rate of what is no transport stream" })
            }
            Some(rate_bps) => ConstantRateMuxer::check_rate(rate_bps),
            None => Ok(()),
        }
    }
}

/// Writes one of the containers. The bytes of all calls, one behind the other, are a file.
#[derive(Debug)]
pub struct ContainerMuxer {
    inner: Inner,
    tracks: Arc<TrackSet>,
}

#[derive(Debug)]
enum Inner {
    MpegTs(Box<TsMuxer>),
    MpegTsAtRate(Box<ConstantRateMuxer>),
    Flv { muxer: Box<FlvMuxer>, tags: Vec<FlvTag>, has_begun: bool },
    Mp4(Box<Fragments>),
}

/// The fragment in the making.
#[derive(Debug)]
struct Fragments {
    muxer: Fmp4Muxer,
    fragment_us: i64,
    /// The init segment is not written yet.
    init_due: bool,
    /// What the one that is written says of the tracks.
    options: Vec<(TrackId, TrackOptions)>,
    frames: Vec<Frame>,
    bytes: usize,
}

impl ContainerMuxer {
    /// A muxer for these tracks.
    ///
    /// # Errors
    /// [`PackError::Unsupported`] naming what the container cannot carry, [`PackError::Misuse`] when there is no track, or an option
    /// is out of its range or of another container.
    pub fn new(container: Container, tracks: Arc<TrackSet>, options: MuxOptions) -> Result<Self, PackError> {
        options.check(container)?;
        let inner = match (container, options.constant_bit_rate) {
            (Container::MpegTs, Some(rate_bps)) => {
                Inner::MpegTsAtRate(Box::new(ConstantRateMuxer::new(&tracks, rate_bps)?))
            }
            (Container::MpegTs, None) => Inner::MpegTs(Box::new(TsMuxer::new(&tracks)?)),
            (Container::Flv, _) => {
                let mut muxer = Box::new(FlvMuxer::new(FlvMuxOptions::default()));
                reconfigure_flv(&mut muxer, &tracks)?;
                Inner::Flv { muxer, tags: Vec::new(), has_begun: false }
            }
            (Container::Mp4, _) => Inner::Mp4(Box::new(Fragments {
                muxer: Fmp4Muxer::new(&tracks)?,
                fragment_us: i64::try_from(options.fragment.as_micros()).unwrap_or(i64::MAX),
                init_due: true,
                options: Vec::new(),
                frames: Vec::new(),
                bytes: 0,
            })),
        };
        Ok(Self { inner, tracks })
    }

    /// The tracks that are written.
    pub fn tracks(&self) -> &Arc<TrackSet> {
        &self.tracks
    }

    /// Whether a file cannot go on with these tracks. MP4 says in front what is in it: FFmpeg and others read one `moov` in a file. A live
    /// stream goes on all the same, by [`Self::reconfigure`], which begins with a new init segment.
    pub fn needs_new_file(&self, tracks: &TrackSet) -> bool {
        match &self.inner {
            Inner::Mp4(fragments) => {
                fragments.has_begun() && fragments.for_tracks(tracks).is_ok_and(|(_, is_new)| is_new)
            }
            Inner::MpegTs(_) | Inner::MpegTsAtRate(_) | Inner::Flv { .. } => false,
        }
    }

    /// Goes on with other tracks; what waits of the old ones is written.
    ///
    /// # Errors
    /// As [`Self::new`]; the old tracks stay.
    pub fn reconfigure(&mut self, tracks: Arc<TrackSet>, out: &mut Vec<u8>) -> Result<(), PackError> {
        match &mut self.inner {
            Inner::MpegTs(muxer) => muxer.reconfigure(&tracks)?,
            Inner::MpegTsAtRate(muxer) => muxer.reconfigure(&tracks)?,
            Inner::Flv { muxer, .. } => reconfigure_flv(muxer, &tracks)?,
            Inner::Mp4(fragments) => {
                fragments.flush(None, &self.tracks, out)?;
                let (muxer, is_new) = fragments.for_tracks(&tracks)?;
                fragments.muxer = muxer;
                fragments.init_due |= is_new;
            }
        }
        self.tracks = tracks;
        Ok(())
    }

    /// Appends a frame of one of the tracks.
    ///
    /// # Errors
    /// [`PackError`]: nothing of this frame is written.
    pub fn write(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), PackError> {
        let Some(track) = self.tracks.find(frame.track) else {
            return Err(PackError::Misuse { what: "frame of a track that is not in the set" });
        };
        match &mut self.inner {
            Inner::MpegTs(muxer) => muxer.write(frame, out),
            Inner::MpegTsAtRate(muxer) => muxer.write(frame, out),
            Inner::Flv { muxer, tags, has_begun } => {
                if !std::mem::replace(has_begun, true) {
                    let has = |kind| self.tracks.first(kind).is_some();
                    out.extend_from_slice(&file_header(has(MediaKind::Video), has(MediaKind::Audio)));
                }
                tags.clear();
                let written = muxer.write(frame, tags);
                tags.iter().for_each(|tag| tag.write(out));
                written
            }
            Inner::Mp4(fragments) => {
                let dts_us = rescale(frame.dts, track.clock_rate_hz, 1_000_000);
                if fragments.ends_before(frame, track.kind(), dts_us, &self.tracks) {
                    fragments.flush(Some((frame.track, frame.dts)), &self.tracks, out)?;
                }
                fragments.bytes += frame.payload.len();
                fragments.frames.push(frame.clone());
                Ok(())
            }
        }
    }

    /// Payload of the frames that wait for the end of their fragment.
    pub fn waiting_bytes(&self) -> usize {
        match &self.inner {
            Inner::Mp4(fragments) => fragments.bytes,
            Inner::MpegTs(_) | Inner::MpegTsAtRate(_) | Inner::Flv { .. } => 0,
        }
    }

    /// Frames that were left out because [`MuxOptions::constant_bit_rate`] had no room for them.
    pub fn overrun_frames(&self) -> u64 {
        match &self.inner {
            Inner::MpegTsAtRate(muxer) => muxer.stats().overrun_frames,
            _ => 0,
        }
    }

    /// Nothing more comes: writes what waits.
    ///
    /// # Errors
    /// [`PackError`]: what waited could not be written.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), PackError> {
        match &mut self.inner {
            Inner::MpegTs(_) | Inner::Flv { .. } => Ok(()),
            Inner::MpegTsAtRate(muxer) => {
                muxer.finish(out);
                Ok(())
            }
            Inner::Mp4(fragments) => fragments.flush(None, &self.tracks, out),
        }
    }
}

/// FLV leaves out what it has no form for; here that is the caller's to decide.
fn reconfigure_flv(muxer: &mut FlvMuxer, tracks: &TrackSet) -> Result<(), PackError> {
    if tracks.tracks.is_empty() {
        return Err(PackError::Misuse { what: "FLV without tracks" });
    }
    tracks.tracks.iter().try_for_each(|track| FlvMuxer::supports(track, FlvMuxOptions::default().dialect))?;
    muxer.reconfigure(tracks);
    Ok(())
}

impl Fragments {
    fn has_begun(&self) -> bool {
        !self.init_due || !self.frames.is_empty()
    }

    /// The muxer, gone over to these tracks, and whether its init segment is another one.
    fn for_tracks(&self, tracks: &TrackSet) -> Result<(Fmp4Muxer, bool), PackError> {
        let written = |id: TrackId| self.options.iter().find(|(track, _)| *track == id);
        let mut muxer = self.muxer.clone();
        let is_new = muxer.reconfigure_with_options(tracks, |track| {
            written(track.id).map(|(_, options)| *options).unwrap_or_default()
        })?;
        Ok((muxer, is_new))
    }

    /// Whether what waits is a fragment, now that this frame comes.
    fn ends_before(&self, frame: &Frame, kind: MediaKind, dts_us: i64, tracks: &TrackSet) -> bool {
        let Some(first) = self.frames.first() else { return false };
        let first_hz = tracks.find(first.track).map_or(90_000, |track| track.clock_rate_hz);
        let lasts_us = dts_us.saturating_sub(rescale(first.dts, first_hz, 1_000_000));
        let is_long = lasts_us >= self.fragment_us;
        let is_overdue = lasts_us >= self.fragment_us.saturating_mul(FRAGMENT_STRETCH);
        let is_entry = match tracks.first(MediaKind::Video) {
            Some(video) => frame.track == video.id && frame.is_key(),
            None => kind == MediaKind::Audio,
        };
        (is_long && is_entry)
            || is_overdue
            || frame.is_discontinuity()
            || self.bytes.saturating_add(frame.payload.len()) > MAX_FRAGMENT_BYTES
    }

    /// Writes what waits; `next` is the frame behind it.
    fn flush(&mut self, next: Option<(TrackId, i64)>, tracks: &TrackSet, out: &mut Vec<u8>) -> Result<(), PackError> {
        let frames = std::mem::take(&mut self.frames);
        self.bytes = 0;
        if frames.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.init_due) {
            let options = |track: &Track| (track.id, room_in_front(track.id, &frames));
            self.options = tracks.tracks.iter().map(options).collect();
            (self.muxer, _) = self.for_tracks(tracks)?;
            out.extend_from_slice(self.muxer.init_segment());
        }
        // Behind a break the next time says nothing about how long the last frame lasts.
        let last_dts = |track| frames.iter().rev().find(|frame| frame.track == track).map(|frame| frame.dts);
        let next = next.filter(|(track, dts)| last_dts(*track).is_none_or(|last| last < *dts));
        self.muxer.write_fragment(&frames, &Head { next: next.as_slice(), ..Head::default() }, out)
    }
}

/// MP4 has no negative decoding times: where the first frames have some (reordered pictures, the priming of an audio encoder), all
/// times of the track are written later, and an edit list takes that back.
fn room_in_front(track: TrackId, frames: &[Frame]) -> TrackOptions {
    let earliest = frames.iter().filter(|frame| frame.track == track).map(|frame| frame.dts).min();
    let needed = earliest.filter(|dts| *dts < 0).and_then(|dts| u32::try_from(dts.unsigned_abs()).ok());
    TrackOptions { delay: needed, ..TrackOptions::default() }
}
