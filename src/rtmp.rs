//! `RtmpListener`.

use std::sync::Arc;

use arcly_io::rtmp::{Limits, RtmpOptions};
use pyo3::prelude::*;

use crate::{
    arguments::{parse_addr, seconds},
    egress::{EgressTuple, ViewerTuple, options, viewer},
    engine::Engine,
    error::from_listen,
    hub::WakeToken,
    inbox::Inbox,
    tls::TlsIdentity,
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct RtmpListener {
    listener: Arc<arcly_io::rtmp::RtmpListener>,
    runtime: arcly_io::Handle,
}

#[pymethods]
impl RtmpListener {
    #[new]
    #[pyo3(signature = (engine, inbox, addr, *, connections_max, decision_deadline_s, handshake_timeout_s, idle_timeout_s, tls=None, egress=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only in Python; a struct would only move them")]
    fn new(
        engine: &Engine,
        inbox: &Inbox,
        addr: &str,
        connections_max: usize,
        decision_deadline_s: f64,
        handshake_timeout_s: f64,
        idle_timeout_s: f64,
        tls: Option<&TlsIdentity>,
        egress: Option<EgressTuple>,
    ) -> PyResult<Self> {
        let runtime = engine.runtime_handle()?;
        let (handshake_time, idle_time) = (seconds(handshake_timeout_s)?, seconds(idle_timeout_s)?);
        let limits = Limits { handshake_time, unused_time: handshake_time, idle_time, ..Limits::default() };
        let (decision_deadline, tls) = (seconds(decision_deadline_s)?, tls.map(|tls| tls.0.clone()));
        let options = RtmpOptions { connections_max, decision_deadline, limits, egress: options(egress)?, tls };
        let addr = parse_addr(addr)?;
        let listener = arcly_io::rtmp::RtmpListener::bind(&runtime, addr, options, inbox.0.clone());
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

    fn request_reconnect(&self, server: &str) {
        self.listener.request_reconnect(server);
    }

    fn stop(&self, done: &WakeToken) {
        let listener = self.listener.clone();
        done.wake_after(&self.runtime, async move { listener.stop().await });
    }
}
