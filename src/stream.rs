//! `StreamHandle`.

use std::sync::Arc;

use arcly_bus::{SubscriptionOptions, TrackFilter, TrackId};
use arcly_engine::{Stream, StreamState};
use pyo3::prelude::*;

use crate::{key::StreamKey, subscription::Cursor, track::Track};

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
    fn protocol(&self) -> String {
        self.0.info().protocol
    }

    #[getter]
    fn peer(&self) -> Option<String> {
        self.0.info().peer
    }

    #[getter]
    fn agent(&self) -> Option<String> {
        self.0.info().agent
    }

    #[getter]
    fn state(&self) -> &'static str {
        match self.0.state() {
            StreamState::Publishing => "publishing",
            StreamState::Idle => "idle",
            StreamState::Ended => "ended",
        }
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
        self.0.qos().bits_per_s
    }

    #[getter]
    fn frames_per_s(&self) -> f64 {
        self.0.qos().frames_per_s
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
    fn joined(&self) -> u64 {
        self.0.log().counters().joined
    }

    #[getter]
    fn evicted(&self) -> u64 {
        self.0.log().counters().evicted
    }

    #[getter]
    fn closed(&self) -> bool {
        self.0.log().is_closed()
    }

    #[pyo3(signature = (*, tracks=None, max_lag=None, protocol="python"))]
    fn subscribe(&self, tracks: Option<Vec<u8>>, max_lag: Option<u64>, protocol: &str) -> Cursor {
        let tracks = tracks.map_or(TrackFilter::ALL, |ids| TrackFilter::only(ids.into_iter().map(TrackId)));
        Cursor::new(self.0.log(), SubscriptionOptions { max_lag, tracks, is_viewer: false }, protocol)
    }

    fn request_keyframe(&self) {
        self.0.log().request_keyframe();
    }

    fn close(&self) {
        self.0.log().close();
    }
}
