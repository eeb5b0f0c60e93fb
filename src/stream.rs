//! `StreamHandle`.

use std::sync::Arc;

use arcly_engine::Stream;
use pyo3::prelude::*;

use crate::{hub::WakeToken, key::StreamKey, subscription::Cursor, track::Track};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct StreamHandle(pub Arc<Stream>);

#[pymethods]
impl StreamHandle {
    #[getter]
    fn key(&self) -> StreamKey {
        StreamKey(self.0.key().clone())
    }

    #[getter]
    fn protocol(&self) -> &str {
        &self.0.info().protocol
    }

    #[getter]
    fn peer(&self) -> Option<&str> {
        self.0.info().peer.as_deref()
    }

    #[getter]
    fn started_unix_ms(&self) -> u64 {
        self.0.started_unix_ms()
    }

    #[getter]
    fn session(&self) -> u64 {
        self.0.session()
    }

    #[getter]
    fn tracks(&self) -> Vec<Track> {
        self.0.log().tracks().tracks.iter().cloned().map(Track).collect()
    }

    #[getter]
    fn bits_per_s(&self) -> f64 {
        self.0.rates().bits_per_s
    }

    #[getter]
    fn frames_per_s(&self) -> f64 {
        self.0.rates().frames_per_s
    }

    #[getter]
    fn video_frames(&self) -> u64 {
        self.0.log().counters().video_frames
    }

    #[getter]
    fn other_frames(&self) -> u64 {
        self.0.log().counters().other_frames
    }

    #[getter]
    fn bytes(&self) -> u64 {
        self.0.log().counters().bytes
    }

    #[getter]
    fn missed(&self) -> u64 {
        self.0.log().counters().missed
    }

    #[getter]
    fn repaired(&self) -> u64 {
        self.0.log().counters().repaired
    }

    #[getter]
    fn viewers(&self) -> u64 {
        self.0.log().counters().viewers
    }

    #[getter]
    fn closed(&self) -> bool {
        self.0.log().is_closed()
    }

    #[pyo3(signature = (token=None))]
    fn subscribe(&self, token: Option<&WakeToken>) -> Cursor {
        Cursor::new(self.0.log(), token)
    }

    fn close(&self) {
        self.0.log().close();
    }
}
