//! `Engine`: the registry of streams, and the runtime of whatever listens.

use std::{
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use arcly_bus::LogBounds;
use arcly_engine::{AppSpec, EngineOptions, PublishInfo, SecondPublisher};
use arcly_io::{Handle, Runtime, hls::Groups};
use pyo3::prelude::*;

use crate::{
    arguments::seconds,
    error::{ClosedError, from_engine},
    event::{EventQueue, from_host},
    hub::WakeToken,
    key::StreamKey,
    lock,
    session::PublishSession,
    stream::StreamHandle,
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Engine {
    inner: Arc<arcly_engine::Engine>,
    runtime: Mutex<Option<Runtime>>,
    workers: usize,
    groups: Groups,
}

/// Frames, bytes, GOP frames, GOP bytes, max_lag, replace, reconnect_grace_s, idle_timeout_s: `arcly.AppSpec`, field by field.
type SpecTuple = (usize, usize, Option<usize>, Option<usize>, Option<u64>, bool, f64, Option<f64>);

fn spec((frames, bytes, gop_frames, gop_bytes, max_lag, replace, grace_s, idle_s): SpecTuple) -> PyResult<AppSpec> {
    Ok(AppSpec {
        bounds: LogBounds { frames, bytes, gop_frames, gop_bytes, max_lag },
        second_publisher: if replace { SecondPublisher::Replace } else { SecondPublisher::Refuse },
        reconnect_grace: seconds(grace_s)?,
        idle_timeout: idle_s.map(seconds).transpose()?,
    })
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

impl Engine {
    /// The registry itself, for the C API.
    pub fn registry(&self) -> &arcly_engine::Engine {
        &self.inner
    }

    /// What native tasks tell of streams to.
    pub fn inner(&self) -> Arc<arcly_engine::Engine> {
        self.inner.clone()
    }

    /// What renditions of a stream share.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Where native tasks are spawned.
    pub fn runtime_handle(&self) -> PyResult<Handle> {
        let runtime = lock(&self.runtime);
        let runtime = runtime.as_ref().ok_or_else(|| ClosedError::new_err("the engine is not running"))?;
        Ok(runtime.handle().clone())
    }
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (*, max_publishers, default_app, workers))]
    fn new(max_publishers: usize, default_app: Option<SpecTuple>, workers: usize) -> PyResult<Self> {
        let default_app = default_app.map(spec).transpose()?;
        let options = EngineOptions { max_publishers, default_app, clock: unix_ms };
        let inner = Arc::new(arcly_engine::Engine::new(options));
        Ok(Self { inner, runtime: Mutex::new(None), workers, groups: Groups::default() })
    }

    fn put_app(&self, name: &str, app: SpecTuple) -> PyResult<()> {
        self.inner.put_app(name, spec(app)?);
        Ok(())
    }

    fn remove_app(&self, name: &str) -> bool {
        self.inner.remove_app(name)
    }

    fn end(&self, stream: &StreamHandle, reason: &str) -> bool {
        self.inner.end(&stream.0, reason)
    }

    fn start(&self) -> PyResult<()> {
        let mut runtime = lock(&self.runtime);
        if runtime.is_none() {
            let started = Runtime::start(self.workers)?;
            let inner = self.inner.clone();
            started.every_second(move |now| inner.measure(now));
            *runtime = Some(started);
        }
        Ok(())
    }

    fn drain(&self) {
        self.inner.drain();
    }

    fn shutdown(&self) {
        self.inner.shutdown();
    }

    fn stop(&self, py: Python<'_>) {
        self.inner.shutdown();
        let runtime = lock(&self.runtime).take();
        // Waits for tasks to end; none of them needs the GIL, but other Python threads may.
        py.detach(|| drop(runtime));
    }

    #[pyo3(signature = (key, protocol, peer, agent=None))]
    fn start_publish(
        &self,
        key: &StreamKey,
        protocol: &str,
        peer: Option<String>,
        agent: Option<String>,
    ) -> PyResult<PublishSession> {
        let info = PublishInfo { protocol: protocol.to_owned(), peer, agent };
        let (publisher, stream) = self.inner.start_publish(key.0.clone(), info).map_err(from_engine)?;
        Ok(PublishSession::new(publisher, stream))
    }

    fn get_stream(&self, key: &StreamKey) -> Option<StreamHandle> {
        self.inner.stream(&key.0).map(StreamHandle)
    }

    fn list_streams(&self) -> Vec<StreamHandle> {
        self.inner.streams().into_iter().map(StreamHandle).collect()
    }

    fn emit(&self, key: &StreamKey, kind: &str, detail: String) -> PyResult<()> {
        self.inner.emit(&key.0, from_host(kind, detail)?);
        Ok(())
    }

    fn subscribe_events(&self, token: &WakeToken) -> EventQueue {
        EventQueue(self.inner.subscribe_events(token.waker()))
    }
}
