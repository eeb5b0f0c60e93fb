//! `SrtListener`.

use std::{collections::BTreeMap, sync::Arc};

use arcly_io::srt::{ConnectionInfo, KeySize, Limits, Passphrase, Role, Settings, SrtOptions};
use pyo3::prelude::*;

use crate::{
    arguments::{parse_addr, seconds},
    egress::{ViewerTuple, viewer},
    engine::Engine,
    error::{from_listen, misuse},
    hub::WakeToken,
    inbox::Inbox,
    key::StreamKey,
};

/// Id, key, role, peer, since (Unix ms), version, statistics by name: `arcly.SrtConnection`, field by field.
type ConnectionTuple = (u32, StreamKey, &'static str, String, u64, String, BTreeMap<&'static str, u64>);

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct SrtListener {
    listener: Arc<arcly_io::srt::SrtListener>,
    runtime: arcly_io::Handle,
}

#[pymethods]
impl SrtListener {
    #[new]
    #[pyo3(signature = (engine, inbox, addr, *, connections_max, decision_deadline_s, idle_timeout_s, latency_ms, peer_latency_ms, key_bytes, publish_passphrase=None, read_passphrase=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only in Python; a struct would only move them")]
    fn new(
        engine: &Engine,
        inbox: &Inbox,
        addr: &str,
        connections_max: usize,
        decision_deadline_s: f64,
        idle_timeout_s: f64,
        latency_ms: f64,
        peer_latency_ms: f64,
        key_bytes: Option<usize>,
        publish_passphrase: Option<&str>,
        read_passphrase: Option<&str>,
    ) -> PyResult<Self> {
        let runtime = engine.runtime_handle()?;
        let settings = Settings {
            receive_latency: seconds(latency_ms / 1000.0)?,
            send_latency: seconds(peer_latency_ms / 1000.0)?,
            limits: Limits { idle_time: seconds(idle_timeout_s)?, ..Limits::default() },
            ..Settings::default()
        };
        let options = SrtOptions {
            connections_max,
            decision_deadline: seconds(decision_deadline_s)?,
            key_size: key_bytes.map(key_size).transpose()?,
            settings,
            publish_passphrase: publish_passphrase.map(passphrase).transpose()?,
            read_passphrase: read_passphrase.map(passphrase).transpose()?,
            ..SrtOptions::default()
        };
        let addr = parse_addr(addr)?;
        let listener = arcly_io::srt::SrtListener::bind(&runtime, addr, options, inbox.0.clone());
        Ok(Self { listener: Arc::new(listener.map_err(from_listen)?), runtime })
    }

    #[getter]
    fn addr(&self) -> (String, u16) {
        (self.listener.addr().ip().to_string(), self.listener.addr().port())
    }

    fn viewers(&self) -> Vec<ViewerTuple> {
        self.listener.viewers().into_iter().map(viewer).collect()
    }

    fn kick(&self, viewer: u64) -> bool {
        self.listener.kick(viewer)
    }

    fn connections(&self) -> Vec<ConnectionTuple> {
        self.listener.connections().into_iter().map(connection).collect()
    }

    fn stop(&self, done: &WakeToken) {
        let listener = self.listener.clone();
        done.wake_after(&self.runtime, async move { listener.stop().await });
    }
}

fn connection(info: ConnectionInfo) -> ConnectionTuple {
    let role = match info.role {
        Role::Publisher => "publisher",
        Role::Viewer => "viewer",
    };
    let version = info.peer_version;
    let version = format!("{}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff);
    let stats = info.stats.named().collect();
    (info.id, StreamKey(info.key), role, info.peer.to_string(), info.since_unix_ms, version, stats)
}

/// 16, 24 or 32.
pub fn key_size(bytes: usize) -> PyResult<KeySize> {
    KeySize::from_bytes(bytes).ok_or_else(|| misuse(format!("a key of {bytes} bytes: there are 16, 24 and 32")))
}

/// A text of 10 to 79 bytes.
pub fn passphrase(text: &str) -> PyResult<Passphrase> {
    Passphrase::new(text).ok_or_else(|| misuse("a passphrase has 10 to 79 bytes"))
}
