//! `HlsOutput`.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    path::PathBuf,
    sync::Arc,
};

use arcly_bus::StreamKey;
use arcly_engine::StreamEventKind;
use arcly_io::{
    Handle,
    hls::{
        CmafConfig, Directory, Encryption, FetchedKeys, HlsConfig, IvKind, KEY_BYTES, KeySource, OnFailure,
        PackageConfig, RandomKeys, SessionInfo, Store, package,
    },
};
use bytes::Bytes;
use pyo3::{prelude::*, types::PyBytes};

use crate::{arguments::seconds, engine::Engine, error::misuse, file::from_io, inbox::Inbox, stream::StreamHandle};

/// `part_s`, `segment_s`, `window_s`, `window_bytes_max`, whether it is an event.
type CmafTuple = (f64, f64, f64, usize, bool);

/// `segment_s`, `playlist_segments`, bytes.
type TsTuple = (f64, usize, usize);

/// Gives the key of a number, or none for keys of our own; `rotate_segments`; whether IVs are random.
type EncryptionTuple = (Option<Py<PyAny>>, u64, bool);

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Spill(Arc<arcly_io::hls::Spill>);

#[pymethods]
impl Spill {
    #[new]
    fn new(place: Place, memory_s: f64) -> PyResult<Self> {
        let memory = seconds(memory_s)?;
        let store: Arc<dyn Store> = match place {
            Place::Path(path) => Arc::new(Directory::new(&path).map_err(|error| from_io(&error, &path))?),
            Place::Object(object) => Arc::new(HostStore(object)),
        };
        Ok(Self(arcly_io::hls::Spill::new(store, memory)))
    }
}

/// A directory, or an object of the host.
#[derive(FromPyObject)]
enum Place {
    Path(PathBuf),
    Object(Py<PyAny>),
}

/// An object with `put(stream, name, data)`, `get(stream, name)`, `remove(stream, name)` and `end(stream)`, which may block.
struct HostStore(Py<PyAny>);

impl HostStore {
    fn call<T>(&self, body: impl FnOnce(Python<'_>, &Py<PyAny>) -> PyResult<T>) -> io::Result<T> {
        // Told in words: an error of Python's can be read, and dropped, by its threads only, and not while the interpreter ends. Then nothing
        // is kept any more.
        Python::try_attach(|py| body(py, &self.0).map_err(|error| io::Error::other(error.to_string())))
            .unwrap_or_else(|| Err(io::Error::other("the host ends")))
    }
}

impl Store for HostStore {
    fn put(&self, stream: &str, name: &str, pieces: &[Bytes]) -> io::Result<()> {
        let data = pieces.concat();
        self.call(|py, host| host.call_method1(py, "put", (stream, name, PyBytes::new(py, &data))).map(drop))
    }

    fn get(&self, stream: &str, name: &str) -> io::Result<Bytes> {
        self.call(|py, host| host.call_method1(py, "get", (stream, name))?.extract::<Vec<u8>>(py)).map(Bytes::from)
    }

    fn remove(&self, stream: &str, name: &str) {
        let _ = self.call(|py, host| host.call_method1(py, "remove", (stream, name)));
    }

    fn end(&self, stream: &str) {
        let _ = self.call(|py, host| host.call_method1(py, "end", (stream,)));
    }
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct HlsOutput(pub Arc<arcly_io::hls::HlsOutput>);

#[pymethods]
impl HlsOutput {
    #[new]
    #[pyo3(signature = (engine, stream, inbox, *, cmaf=None, ts=None, encryption=None, spill=None, idle_s=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only in Python; a struct would only move them")]
    fn new(
        engine: &Engine,
        stream: &StreamHandle,
        inbox: &Inbox,
        cmaf: Option<CmafTuple>,
        ts: Option<TsTuple>,
        encryption: Option<EncryptionTuple>,
        spill: Option<&Spill>,
        idle_s: Option<f64>,
    ) -> PyResult<Self> {
        let runtime = engine.runtime_handle()?;
        let stream = &stream.0;
        // Each with keys of its own: their segments are counted apart.
        let keys = || encryption.as_ref().map(|it| encrypted(&runtime, it)).transpose();
        let (of_cmaf, of_ts) = (cmaf.map(cmaf_config).transpose()?, ts.map(ts_config).transpose()?);
        let config = PackageConfig {
            cmaf: of_cmaf.map(|cmaf| keys().map(|encryption| CmafConfig { encryption, ..cmaf })).transpose()?,
            ts: of_ts.map(|ts| keys().map(|encryption| HlsConfig { encryption, ..ts })).transpose()?,
            group: engine.groups().of(stream.key()),
            idle: idle_s.map(seconds).transpose()?,
            spill: spill.map(|spill| spill.0.clone()),
            on_failure: Some(failing(engine, stream.key().clone())),
        };
        // Unique among the publishes of this engine and, by the time, of those before a restart. Nobody can guess it: segments are
        // for those who were told of them.
        let secret = RandomState::new().hash_one(stream.session());
        let session = format!("{:x}{:x}{secret:016x}", stream.started_unix_ms(), stream.session());
        let name = stream.key().to_string();
        Ok(Self(package(&runtime, stream.log(), config, name, &session, inbox.0.clone())))
    }

    #[getter]
    fn has_dash(&self) -> bool {
        self.0.has_dash()
    }

    #[getter]
    fn spill_failures(&self) -> u64 {
        self.0.spill_failures()
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

fn ts_config((segment_s, playlist_segments, max_window_bytes): TsTuple) -> PyResult<HlsConfig> {
    let segment_target = seconds(segment_s)?;
    Ok(HlsConfig { segment_target, playlist_segments, max_window_bytes, ..HlsConfig::default() })
}

/// Emits `FAILED`.
fn failing(engine: &Engine, key: StreamKey) -> OnFailure {
    let engine = engine.inner();
    Arc::new(move |what| engine.emit(&key, StreamEventKind::Failed { detail: what.to_owned() }))
}

/// The first key is asked for at once: without it nothing can be made.
fn encrypted(runtime: &Handle, (keys, rotate_segments, is_random): &EncryptionTuple) -> PyResult<Encryption> {
    let keys: Arc<dyn KeySource> = match keys {
        None => Arc::new(RandomKeys::new().ok_or_else(|| misuse("this system has no random numbers"))?),
        Some(keys) => {
            let (first, keys) = Python::attach(|py| ask(py, keys, 0).map(|first| (first, keys.clone_ref(py))))?;
            FetchedKeys::new(runtime, first, Box::new(move |number| fetch(&keys, number)))
        }
    };
    let iv = if *is_random { IvKind::Random } else { IvKind::Sequence };
    Ok(Encryption { keys, rotate_segments: *rotate_segments, iv })
}

/// What the host raises it has to tell itself: the key before goes on.
fn fetch(keys: &Py<PyAny>, number: u64) -> Option<[u8; KEY_BYTES]> {
    Python::try_attach(|py| ask(py, keys, number).ok()).flatten()
}

fn ask(py: Python<'_>, keys: &Py<PyAny>, number: u64) -> PyResult<[u8; KEY_BYTES]> {
    let bytes: Vec<u8> = keys.call1(py, (number,))?.extract(py)?;
    bytes.try_into().map_err(|_| misuse("a key of AES-128 has 16 bytes"))
}
