//! `HlsOutput`.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use arcly_io::hls::{HlsConfig, package};
use pyo3::prelude::*;

use crate::{engine::Engine, inbox::Inbox, rtmp::seconds, stream::StreamHandle};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct HlsOutput(pub Arc<arcly_io::hls::HlsOutput>);

#[pymethods]
impl HlsOutput {
    #[new]
    #[pyo3(signature = (engine, stream, inbox, *, segment_target_s, playlist_segments))]
    fn new(
        engine: &Engine,
        stream: &StreamHandle,
        inbox: &Inbox,
        segment_target_s: f64,
        playlist_segments: usize,
    ) -> PyResult<Self> {
        let runtime = engine.runtime_handle()?;
        let segment_target = seconds(segment_target_s)?;
        let config = HlsConfig { segment_target, playlist_segments, ..HlsConfig::default() };
        let stream = &stream.0;
        // Unique among the publishes of this engine and, by the time, of those before a restart. Nobody can guess it: segments are
        // for those who were told of them.
        let secret = RandomState::new().hash_one(stream.session());
        let session = format!("{:x}{:x}{secret:016x}", stream.started_unix_ms(), stream.session());
        let name = stream.key().to_string();
        Ok(Self(package(&runtime, stream.log(), config, name, &session, inbox.0.clone())))
    }

    #[getter]
    fn viewers(&self) -> usize {
        self.0.viewers()
    }

    #[getter]
    fn sent_bytes(&self) -> u64 {
        self.0.sent_bytes()
    }
}
