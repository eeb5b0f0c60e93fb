//! Reading many frames at a time, and waiting for them. Without the GIL.

use std::{
    ffi::{CStr, CString},
    os::raw::c_int,
    ptr,
    sync::Arc,
    time::{Duration, Instant},
};

use arcly_bus::TrackSet;
use arcly_codec::MediaKind;
use bytes::Bytes;

use super::{EMPTY, ENDED, INVALID, OK, frame::CFrame, stream::CTrack};
use crate::subscription::{Cursor, Look};

/// `arcly_batch` of the header, and behind its fields what they point to.
#[repr(C)]
pub struct Batch {
    frames: *const CFrame,
    frames_count: usize,
    tracks: *const CTrack,
    tracks_count: usize,
    revision: u32,
    read: Vec<CFrame>,
    /// Keeps the data of `read` alive.
    payloads: Vec<Bytes>,
    described: Vec<CTrack>,
    codecs: Vec<CString>,
    /// Keeps the records of `described` alive.
    track_set: Option<Arc<TrackSet>>,
}

impl Batch {
    fn clear(&mut self) {
        self.read.clear();
        self.payloads.clear();
        self.publish_fields();
    }

    /// Takes frames in; they have the tracks of those before, if there are any.
    fn take(&mut self, batch: &arcly_bus::Batch<'_>) {
        if self.track_set.as_ref().is_none_or(|known| !Arc::ptr_eq(known, batch.tracks)) {
            self.describe(batch.tracks);
        }
        for (i, frame) in batch.frames.iter().enumerate() {
            self.payloads.push(frame.payload.clone());
            self.read.push(CFrame::borrowed(frame, i == 0 && batch.discontinuity));
        }
        self.publish_fields();
    }

    fn describe(&mut self, tracks: &Arc<TrackSet>) {
        let name = |track: &arcly_bus::Track| CString::new(track.config.codec().name()).unwrap_or_default();
        self.codecs = tracks.tracks.iter().map(name).collect();
        self.described = tracks.tracks.iter().zip(&self.codecs).map(|(track, codec)| describe(track, codec)).collect();
        self.track_set = Some(tracks.clone());
    }

    fn publish_fields(&mut self) {
        (self.frames, self.frames_count) = (self.read.as_ptr(), self.read.len());
        (self.tracks, self.tracks_count) = (self.described.as_ptr(), self.described.len());
        self.revision = self.track_set.as_ref().map_or(0, |tracks| tracks.revision);
    }
}

fn describe(track: &arcly_bus::Track, codec: &CStr) -> CTrack {
    let (video, audio, record) = (track.config.video(), track.config.audio(), track.config.record());
    CTrack {
        codec: codec.as_ptr(),
        config: record.as_ptr(),
        config_size: record.len(),
        clock_rate_hz: track.clock_rate_hz,
        width: video.as_ref().map_or(0, |info| info.width),
        height: video.as_ref().map_or(0, |info| info.height),
        sample_rate_hz: audio.as_ref().map_or(0, |info| info.sample_rate_hz),
        id: track.id.0,
        kind: match track.kind() {
            MediaKind::Video => 0,
            MediaKind::Audio => 1,
            _ => 2,
        },
        channels: audio.as_ref().map_or(0, |info| info.channels),
    }
}

pub extern "C" fn new() -> *mut Batch {
    let mut batch = Batch {
        frames: ptr::null(),
        frames_count: 0,
        tracks: ptr::null(),
        tracks_count: 0,
        revision: 0,
        read: Vec::new(),
        payloads: Vec::new(),
        described: Vec::new(),
        codecs: Vec::new(),
        track_set: None,
    };
    batch.publish_fields();
    Box::into_raw(Box::new(batch))
}

pub unsafe extern "C" fn read(cursor: *const Cursor, out: *mut Batch, max: usize) -> c_int {
    // SAFETY: null, or from `cursor()` while its object lives or `subscribe()` and not freed; null, or from `new_batch()`, not
    // freed and not used by another thread now.
    let (Some(cursor), Some(out)) = (unsafe { cursor.as_ref() }, unsafe { out.as_mut() }) else { return INVALID };
    out.clear();
    // One run of one track set: the tracks of a batch are those of all its frames.
    match cursor.look_once(max.max(1), |batch| out.take(batch)) {
        Look::Frames(_) => OK,
        Look::Empty => EMPTY,
        Look::Ended => ENDED,
    }
}

pub unsafe extern "C" fn wait(cursor: *const Cursor, timeout_ns: i64) -> c_int {
    // SAFETY: null, or from `cursor()` while its object lives or `subscribe()` and not freed.
    let Some(cursor) = (unsafe { cursor.as_ref() }) else { return INVALID };
    let timeout = u64::try_from(timeout_ns).ok().map(Duration::from_nanos);
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    if cursor.wait_until(deadline) { OK } else { EMPTY }
}

pub unsafe extern "C" fn missed(cursor: *const Cursor) -> u64 {
    // SAFETY: null, or from `cursor()` while its object lives or `subscribe()` and not freed.
    unsafe { cursor.as_ref() }.map_or(0, Cursor::frames_missed)
}
