//! `HlsOutput`.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use arcly_io::hls::{CmafConfig, HlsConfig, PackageConfig, SessionInfo, package};
use pyo3::prelude::*;

use crate::{engine::Engine, inbox::Inbox, rtmp::seconds, stream::StreamHandle};

/// `part_s`, `segment_s`, `window_s`, `window_bytes_max`, whether it is an event.
type CmafTuple = (f64, f64, f64, usize, bool);

/// `segment_s`, `playlist_segments`.
type TsTuple = (f64, usize);

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct HlsOutput(pub Arc<arcly_io::hls::HlsOutput>);

#[pymethods]
impl HlsOutput {
    #[new]
    #[pyo3(signature = (engine, stream, inbox, *, cmaf=None, ts=None))]
    fn new(
        engine: &Engine,
        stream: &StreamHandle,
        inbox: &Inbox,
        cmaf: Option<CmafTuple>,
        ts: Option<TsTuple>,
    ) -> PyResult<Self> {
        let runtime = engine.runtime_handle()?;
        let config = PackageConfig { cmaf: cmaf.map(cmaf_config).transpose()?, ts: ts.map(ts_config).transpose()? };
        let stream = &stream.0;
        // Unique among the publishes of this engine and, by the time, of those before a restart. Nobody can guess it: segments are
        // for those who were told of them.
        let secret = RandomState::new().hash_one(stream.session());
        let session = format!("{:x}{:x}{secret:016x}", stream.started_unix_ms(), stream.session());
        let name = stream.key().to_string();
        Ok(Self(package(&runtime, stream.log(), config, name, &session, inbox.0.clone())))
    }

    #[getter]
    fn has_dash(&self) -> bool {
        self.0.has_cmaf()
    }

    /// Seconds that a player can go back; 0 before the first segment.
    #[getter]
    fn window_s(&self) -> f64 {
        self.0.cmaf_view().map_or(0.0, |view| view.window_s())
    }

    #[getter]
    fn viewers(&self) -> usize {
        self.0.viewers()
    }

    fn list_viewers(&self) -> Vec<(u64, String, String, u64, u64)> {
        let session = |it: SessionInfo| (it.number, it.peer.to_string(), it.agent, it.since_unix_ms, it.bytes);
        self.0.list_viewers().into_iter().map(session).collect()
    }

    #[getter]
    fn sent_bytes(&self) -> u64 {
        self.0.sent_bytes()
    }
}

fn cmaf_config((part_s, segment_s, window_s, max_window_bytes, is_event): CmafTuple) -> PyResult<CmafConfig> {
    Ok(CmafConfig {
        part_target: seconds(part_s)?,
        segment_target: seconds(segment_s)?,
        window: seconds(window_s)?,
        max_window_bytes,
        is_event,
        ..CmafConfig::default()
    })
}

fn ts_config((segment_s, playlist_segments): TsTuple) -> PyResult<HlsConfig> {
    Ok(HlsConfig { segment_target: seconds(segment_s)?, playlist_segments, ..HlsConfig::default() })
}
