//! `Origin` and `HttpListener`.

use std::{path::PathBuf, sync::Arc};

use arcly_io::http::HttpOptions;
use pyo3::prelude::*;

use crate::{
    egress::{EgressTuple, ViewerTuple, options, viewer},
    engine::Engine,
    error::from_listen,
    hls::HlsOutput,
    hub::WakeToken,
    inbox::Inbox,
    key::StreamKey,
    rtmp::parse_addr,
    stream::StreamHandle,
    tls::TlsIdentity,
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Origin(pub Arc<arcly_io::http::Origin>);

#[pymethods]
impl Origin {
    #[new]
    fn new() -> Self {
        Self(arcly_io::http::Origin::new())
    }

    fn put_hls(&self, key: &StreamKey, output: &HlsOutput) {
        self.0.put_hls(key.0.clone(), output.0.clone());
    }

    fn put_live(&self, key: &StreamKey, stream: &StreamHandle) {
        self.0.put_live(key.0.clone(), stream.0.log().clone());
    }

    fn expire(&self) {
        self.0.expire();
    }

    fn offer(&self, key: &StreamKey) {
        self.0.offer(key.0.clone());
    }

    fn withdraw(&self, key: &StreamKey) {
        self.0.withdraw(&key.0);
    }
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct HttpListener {
    listener: Arc<arcly_io::http::HttpListener>,
    runtime: arcly_io::Handle,
}

#[pymethods]
impl HttpListener {
    #[new]
    #[pyo3(signature = (engine, origin, inbox, addr, *, connections_max, app_socket=None, asks=false, tls=None, egress=None))]
    #[expect(clippy::too_many_arguments, reason = "they are the keyword arguments of Python")]
    fn new(
        engine: &Engine,
        origin: &Origin,
        inbox: &Inbox,
        addr: &str,
        connections_max: usize,
        app_socket: Option<PathBuf>,
        asks: bool,
        tls: Option<&TlsIdentity>,
        egress: Option<EgressTuple>,
    ) -> PyResult<Self> {
        let runtime = engine.runtime_handle()?;
        let egress = options(egress)?;
        let options = HttpOptions { connections_max, app_socket, asks, tls: tls.map(|tls| tls.0.clone()), egress };
        let addr = parse_addr(addr)?;
        let listener = arcly_io::http::HttpListener::bind(&runtime, addr, options, origin.0.clone(), inbox.0.clone());
        Ok(Self { listener: Arc::new(listener.map_err(from_listen)?), runtime })
    }

    #[getter]
    fn addr(&self) -> (String, u16) {
        (self.listener.addr().ip().to_string(), self.listener.addr().port())
    }

    fn viewers(&self) -> Vec<ViewerTuple> {
        self.listener.egress().viewers().into_iter().map(viewer).collect()
    }

    fn kick(&self, viewer: u64) -> bool {
        self.listener.egress().kick(viewer)
    }

    fn stop(&self, done: &WakeToken) {
        let (listener, done) = (self.listener.clone(), done.waker());
        self.runtime.spawn(async move {
            listener.stop().await;
            done.wake();
        });
    }
}
