//! `PublishSession`: the right to publish one stream.

use std::sync::{Arc, Mutex};

use arcly_bus::{Frame, FrameFlags, Publisher, TrackId};
use arcly_engine::Stream;
use bytes::Bytes;
use pyo3::{buffer::PyBuffer, prelude::*, types::PyBytes};

use crate::{
    error::{ClosedError, from_bus, misuse},
    key::StreamKey,
    lock,
    stream::StreamHandle,
    track::Track,
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly")]
pub struct PublishSession {
    stream: Arc<Stream>,
    /// Gone once the session has ended or a protocol has taken it over.
    pub(crate) publisher: Mutex<Option<Publisher>>,
}

impl PublishSession {
    pub fn new(publisher: Publisher, stream: Arc<Stream>) -> Self {
        Self { stream, publisher: Mutex::new(Some(publisher)) }
    }

    /// Hands the publisher to a native protocol; this session can then no longer publish.
    pub fn take(&self) -> PyResult<Publisher> {
        lock(&self.publisher).take().ok_or_else(ended)
    }

    fn with<T>(&self, body: impl FnOnce(&mut Publisher) -> Result<T, arcly_bus::BusError>) -> PyResult<T> {
        body(lock(&self.publisher).as_mut().ok_or_else(ended)?).map_err(from_bus)
    }
}

fn ended() -> PyErr {
    ClosedError::new_err("the session has ended, or a protocol has taken it over")
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
        let mut seen = [false; 256];
        for track in &tracks {
            let taken = seen.get_mut(usize::from(track.0.id.0));
            if taken.is_some_and(|taken| std::mem::replace(taken, true)) {
                return Err(misuse(format!("two tracks have the id {}", track.0.id.0)));
            }
        }
        self.with(|publisher| publisher.set_tracks(tracks.iter().map(|track| track.0.clone()).collect()))
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
        let mut flags = if key { FrameFlags::KEY } else { FrameFlags::NONE };
        if discontinuity {
            flags = flags.with(FrameFlags::DISCONTINUITY);
        }
        let (dts, payload) = (dts.unwrap_or(pts), copy(data)?);
        self.with(|publisher| publisher.publish(Frame { track: TrackId(track), flags, pts, dts, duration, payload }))
    }

    #[pyo3(signature = (reason="ended by the application"))]
    fn end(&self, reason: &str) {
        // Taken out first: the end of a publisher must not happen under this lock.
        let publisher = lock(&self.publisher).take();
        if let Some(publisher) = publisher {
            publisher.end(reason.to_owned());
        }
    }

    fn take_keyframe_request(&self) -> bool {
        lock(&self.publisher).as_ref().is_some_and(Publisher::take_keyframe_request)
    }

    #[getter]
    fn active(&self) -> bool {
        lock(&self.publisher).is_some() && !self.stream.log().is_closed()
    }
}

/// The bytes of any object with a contiguous buffer.
fn copy(data: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(bytes) = data.cast_exact::<PyBytes>() {
        return Ok(Bytes::copy_from_slice(bytes.as_bytes()));
    }
    let buffer = PyBuffer::<u8>::get(data)?;
    Ok(buffer.to_vec(data.py())?.into())
}
