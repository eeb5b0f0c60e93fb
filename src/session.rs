//! `PublishSession`: the right to publish one stream.

use std::sync::{Arc, Mutex};

use arcly_bus::{BusError, Frame, FrameFlags, Publisher, TrackId, TrackSet};
use arcly_engine::Stream;
use bytes::Bytes;
use pyo3::{intern, prelude::*};

use crate::{
    buffer::with_bytes,
    error::{ClosedError, from_bus, misuse},
    frame::MediaFrame,
    key::StreamKey,
    lock,
    payload::Slab,
    stream::StreamHandle,
    track::Track,
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly")]
pub struct PublishSession {
    stream: Arc<Stream>,
    /// Gone once the session has ended or a protocol has taken it over.
    publishing: Mutex<Option<Publishing>>,
}

struct Publishing {
    publisher: Publisher,
    slab: Slab,
    /// The tracks of the last frame that was sent on from another stream.
    sent: Option<Arc<TrackSet>>,
}

/// All of a frame but its bytes.
pub struct Header {
    pub track: u8,
    pub flags: FrameFlags,
    pub pts: i64,
    pub dts: i64,
    pub duration: u32,
}

impl Header {
    /// The frame of that payload.
    pub fn with(self, payload: Bytes) -> Frame {
        let Self { track, flags, pts, dts, duration } = self;
        Frame { track: TrackId(track), flags, pts, dts, duration, payload }
    }
}

impl Publishing {
    #[inline(always)]
    fn copy(&mut self, header: Header, bytes: &[u8]) -> Result<(), BusError> {
        let payload = self.slab.copy(bytes);
        self.publisher.publish(header.with(payload))
    }

    /// Goes over to the tracks of a stream whose frames are sent on.
    fn follow(&mut self, tracks: &Arc<TrackSet>) -> Result<(), BusError> {
        if self.sent.as_ref().is_some_and(|sent| Arc::ptr_eq(sent, tracks)) {
            return Ok(());
        }
        if self.publisher.tracks().tracks != tracks.tracks {
            self.publisher.set_tracks(tracks.tracks.clone())?;
        }
        self.sent = Some(tracks.clone());
        Ok(())
    }
}

impl PublishSession {
    pub fn new(publisher: Publisher, stream: Arc<Stream>) -> Self {
        let publishing = Publishing { publisher, slab: Slab::default(), sent: None };
        Self { stream, publishing: Mutex::new(Some(publishing)) }
    }

    /// Hands the publisher to a native protocol; this session can then no longer publish.
    pub fn take(&self) -> PyResult<Publisher> {
        lock(&self.publishing).take().map(|publishing| publishing.publisher).ok_or_else(ended)
    }

    /// What it publishes.
    pub fn stream_key(&self) -> arcly_bus::StreamKey {
        self.stream.key().clone()
    }

    /// Publishes a copy of `bytes`. Needs no GIL.
    ///
    /// Always inline: a header that goes through memory is read back in other pieces than it was written in, and waits for that.
    #[inline(always)]
    pub fn publish_copy(&self, header: Header, bytes: &[u8]) -> Result<(), BusError> {
        lock(&self.publishing).as_mut().ok_or(BusError::Closed)?.copy(header, bytes)
    }

    /// Publishes what needs no copy. Needs no GIL.
    pub fn publish_shared(&self, frame: Frame) -> Result<(), BusError> {
        lock(&self.publishing).as_mut().ok_or(BusError::Closed)?.publisher.publish(frame)
    }

    /// Replaces the tracks. Needs no GIL.
    pub fn replace_tracks(&self, tracks: Vec<arcly_bus::Track>) -> Result<(), BusError> {
        let mut publishing = lock(&self.publishing);
        let publishing = publishing.as_mut().ok_or(BusError::Closed)?;
        publishing.sent = None;
        publishing.publisher.set_tracks(tracks)
    }

    fn send_native(&self, frame: &MediaFrame) -> PyResult<()> {
        let mut publishing = lock(&self.publishing);
        let publishing = publishing.as_mut().ok_or_else(ended)?;
        publishing.follow(frame.track_set()).map_err(from_bus)?;
        publishing.publisher.publish(frame.frame.clone()).map_err(from_bus)
    }

    fn send_foreign(&self, frame: &Bound<'_, PyAny>) -> PyResult<()> {
        let (header, tracks) = read_foreign(frame)?;
        let changed = lock(&self.publishing).as_ref().ok_or_else(ended)?.publisher.tracks().tracks != tracks;
        if changed {
            check_ids(&tracks)?;
            self.replace_tracks(tracks).map_err(from_bus)?;
        }
        with_bytes(frame, |bytes| self.publish_copy(header, bytes))?.map_err(from_bus)
    }
}

/// All but the bytes of any object with the attributes that `arcly.contract.MediaFrame` asks for. The tracks are in the order in which
/// those of the bus are, with which they are compared.
pub fn read_foreign(frame: &Bound<'_, PyAny>) -> PyResult<(Header, Vec<arcly_bus::Track>)> {
    let py = frame.py();
    let tracks = read_foreign_tracks(frame)?;
    let is_set = |name| frame.getattr(name)?.is_truthy();
    let header = Header {
        track: frame.getattr(intern!(py, "track"))?.extract()?,
        flags: flags(is_set(intern!(py, "is_key"))?, is_set(intern!(py, "is_discontinuity"))?),
        pts: frame.getattr(intern!(py, "pts"))?.extract()?,
        dts: frame.getattr(intern!(py, "dts"))?.extract()?,
        duration: frame.getattr(intern!(py, "duration"))?.extract()?,
    };
    Ok((header, tracks))
}

/// The tracks alone.
pub fn read_foreign_tracks(frame: &Bound<'_, PyAny>) -> PyResult<Vec<arcly_bus::Track>> {
    let tracks = frame.getattr(intern!(frame.py(), "tracks"))?.try_iter()?;
    let mut tracks = tracks.map(|track| Ok(track?.cast::<Track>()?.get().0.clone())).collect::<PyResult<Vec<_>>>()?;
    tracks.sort_by_key(|track| track.id);
    Ok(tracks)
}

fn ended() -> PyErr {
    ClosedError::new_err("the session has ended, or a protocol has taken it over")
}

/// The flags of a frame.
pub fn flags(key: bool, discontinuity: bool) -> FrameFlags {
    let set = |is_set, flag| if is_set { flag } else { FrameFlags::NONE };
    set(key, FrameFlags::KEY).with(set(discontinuity, FrameFlags::DISCONTINUITY))
}

/// No two tracks may have one id.
pub fn check_ids(tracks: &[arcly_bus::Track]) -> PyResult<()> {
    match repeated_id(tracks) {
        Some(id) => Err(misuse(format!("two tracks have the id {id}"))),
        None => Ok(()),
    }
}

/// An id that two tracks have.
pub fn repeated_id(tracks: &[arcly_bus::Track]) -> Option<u8> {
    let mut seen = [false; 256];
    let mut take = |id: u8| seen.get_mut(usize::from(id)).is_some_and(|seen| std::mem::replace(seen, true));
    tracks.iter().map(|track| track.id.0).find(|id| take(*id))
}

#[pymethods]
impl PublishSession {
    #[getter]
    fn key(&self) -> StreamKey {
        StreamKey(self.stream.key().clone())
    }

    #[getter]
    fn handle(&self) -> StreamHandle {
        StreamHandle(self.stream.clone())
    }

    fn set_tracks(&self, tracks: Vec<PyRef<'_, Track>>) -> PyResult<()> {
        let tracks: Vec<_> = tracks.iter().map(|track| track.0.clone()).collect();
        check_ids(&tracks)?;
        self.replace_tracks(tracks).map_err(from_bus)
    }

    #[pyo3(signature = (data, *, track, pts, dts=None, duration=0, key=false, discontinuity=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only in Python; a struct would only move them")]
    fn publish(
        &self,
        data: &Bound<'_, PyAny>,
        track: u8,
        pts: i64,
        dts: Option<i64>,
        duration: u32,
        key: bool,
        discontinuity: bool,
    ) -> PyResult<()> {
        let header = Header { track, flags: flags(key, discontinuity), pts, dts: dts.unwrap_or(pts), duration };
        match data.cast_exact::<MediaFrame>() {
            // Its bytes are shared and never change.
            Ok(frame) => self.publish_shared(header.with(frame.get().frame.payload.clone())),
            Err(_) => with_bytes(data, |bytes| self.publish_copy(header, bytes))?,
        }
        .map_err(from_bus)
    }

    #[pyo3(signature = (data, *, track, pts, dts=None, duration=0, keys=None))]
    fn publish_many(
        &self,
        data: Vec<Bound<'_, PyAny>>,
        track: u8,
        pts: Vec<i64>,
        dts: Option<Vec<i64>>,
        duration: u32,
        keys: Option<Vec<bool>>,
    ) -> PyResult<()> {
        let dts = dts.as_ref().unwrap_or(&pts);
        let keys = keys.unwrap_or_else(|| vec![false; data.len()]);
        if [pts.len(), dts.len(), keys.len()].iter().any(|len| *len != data.len()) {
            return Err(misuse(format!("{} buffers need as many pts, dts and keys", data.len())));
        }
        for (((data, pts), dts), key) in data.iter().zip(&pts).zip(dts).zip(keys) {
            let header = Header { track, flags: flags(key, false), pts: *pts, dts: *dts, duration };
            with_bytes(data, |bytes| self.publish_copy(header, bytes))?.map_err(from_bus)?;
        }
        Ok(())
    }

    fn send(&self, frame: &Bound<'_, PyAny>) -> PyResult<()> {
        match frame.cast_exact::<MediaFrame>() {
            Ok(frame) => self.send_native(frame.get()),
            Err(_) => self.send_foreign(frame),
        }
    }

    #[pyo3(signature = (reason="ended by the application"))]
    fn end(&self, reason: &str) {
        // Taken out first: the end of a publisher must not happen under this lock.
        let publishing = lock(&self.publishing).take();
        if let Some(publishing) = publishing {
            publishing.publisher.end(reason.to_owned());
        }
    }

    fn take_keyframe_request(&self) -> bool {
        lock(&self.publishing).as_ref().is_some_and(|publishing| publishing.publisher.take_keyframe_request())
    }

    #[getter]
    fn active(&self) -> bool {
        lock(&self.publishing).is_some() && !self.stream.log().is_closed()
    }
}
