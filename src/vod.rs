//! `Outline`, `Vod`, `Clip` and `Remuxed`: recordings, played back.

use std::{io, path::PathBuf, sync::Arc};

use arcly_bus::TrackId;
use arcly_io::record::{self, Known, Opened, Source};
use arcly_pack::vod;
use bytes::Bytes;
use pyo3::{prelude::*, types::PyBytes};

use crate::track::Track;

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Outline(pub record::FileOutline);

/// Where the bytes of a file come from: the file of that path, or what an object of the host reads.
#[derive(FromPyObject)]
enum HostFile {
    Path(PathBuf),
    Object(Py<PyAny>),
}

impl HostFile {
    fn source(self) -> Arc<dyn Source> {
        match self {
            Self::Path(path) => Arc::new(path),
            Self::Object(object) => Arc::new(HostObject(Arc::new(object))),
        }
    }
}

/// An object with `size` and `read(offset, size)`, which may block.
#[derive(Clone)]
struct HostObject(Arc<Py<PyAny>>);

impl Source for HostObject {
    fn open(&self) -> io::Result<Box<dyn Opened>> {
        Ok(Box::new(self.clone()))
    }
}

impl Opened for HostObject {
    fn bytes(&self) -> io::Result<u64> {
        Python::attach(|py| self.0.getattr(py, "size")?.extract(py)).map_err(io::Error::other)
    }

    fn read_up_to(&self, offset: u64, bytes: usize) -> io::Result<Bytes> {
        let read = |py: Python<'_>| self.0.call_method1(py, "read", (offset, bytes))?.extract(py);
        let found: Vec<u8> = Python::attach(read).map_err(io::Error::other)?;
        Ok(found.into())
    }
}

/// See `_native.pyi`.
#[pyfunction]
pub fn pack_outline(py: Python<'_>, path: PathBuf) -> PyResult<Option<Bound<'_, PyBytes>>> {
    let packed = py.detach(|| record::pack_outline(&path))?;
    Ok(packed.map(|packed| PyBytes::new(py, &packed)))
}

/// File, outline, number, position (us), base ticks, base Hz, follows, began (Unix ms).
type PieceTuple<'py> = (HostFile, PyRef<'py, Outline>, u64, u64, i64, u32, bool, u64);

/// See `_native.pyi`.
#[pyclass(frozen, weakref, module = "arcly._native")]
pub struct Vod {
    vod: Arc<vod::Vod>,
    sources: Arc<Vec<Arc<dyn Source>>>,
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Clip(record::Clip);

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Remuxed(record::Remuxed);

#[pymethods]
impl Outline {
    #[new]
    #[pyo3(signature = (file, before = None, *, packed = None, grows = false))]
    fn new(
        py: Python<'_>,
        file: HostFile,
        before: Option<PyRef<'_, Self>>,
        packed: Option<&[u8]>,
        grows: bool,
    ) -> PyResult<Self> {
        let before = before.map(|before| before.0.clone());
        let known = Known { before, packed: packed.map(Bytes::copy_from_slice), grows };
        let source = file.source();
        Ok(Self(py.detach(|| record::outline(&*source, &known))?))
    }

    #[getter]
    fn packed<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.packed.as_ref().map(|packed| PyBytes::new(py, packed))
    }

    #[getter]
    fn fragments(&self) -> usize {
        self.0.outline.fragments.len()
    }

    #[getter]
    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

#[pymethods]
impl Vod {
    #[new]
    fn new(pieces: Vec<PieceTuple<'_>>, has_ended: bool) -> Self {
        let with_media = pieces.into_iter().filter(|piece| !piece.1.0.outline.fragments.is_empty());
        let (sources, pieces) = with_media.map(piece).unzip();
        Self { vod: Arc::new(vod::Vod::new(pieces, has_ended)), sources: Arc::new(sources) }
    }

    #[getter]
    fn tracks(&self) -> Vec<Track> {
        self.vod.tracks().into_iter().cloned().map(Track).collect()
    }

    #[getter]
    fn duration_s(&self) -> f64 {
        self.vod.duration_us() as f64 / 1e6
    }

    fn multivariant_playlist(&self) -> String {
        self.vod.multivariant_playlist()
    }

    fn media_playlist(&self, track: u8) -> Option<String> {
        self.vod.media_playlist(TrackId(track))
    }

    fn manifest(&self) -> String {
        self.vod.manifest()
    }

    fn init_segment<'py>(&self, py: Python<'py>, number: u64, track: u8) -> Option<Bound<'py, PyBytes>> {
        self.vod.init_segment(number, TrackId(track)).ok().map(|bytes| PyBytes::new(py, &bytes))
    }

    fn segment<'py>(&self, py: Python<'py>, track: u8, begin: i64) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let Some(segment) = self.vod.segment(TrackId(track), begin) else { return Ok(None) };
        let bytes = py.detach(|| record::segment_bytes(&self.vod, &self.sources, &segment))?;
        Ok(Some(PyBytes::new(py, &bytes)))
    }

    fn remuxed(&self, begin_s: f64, duration_s: f64) -> PyResult<Option<Remuxed>> {
        let Some(plan) = self.plan(begin_s, duration_s) else { return Ok(None) };
        let remuxed = record::Remuxed::new(self.vod.clone(), self.sources.clone(), plan)?;
        Ok(remuxed.map(Remuxed))
    }

    fn clip(&self, py: Python<'_>, begin_s: f64, duration_s: f64) -> PyResult<Option<Clip>> {
        let Some(plan) = self.plan(begin_s, duration_s) else { return Ok(None) };
        let clip = py.detach(|| record::Clip::new(&self.vod, &self.sources, &plan))?;
        Ok(Some(Clip(clip)))
    }
}

impl Vod {
    fn plan(&self, begin_s: f64, duration_s: f64) -> Option<vod::ClipPlan> {
        let us = |seconds: f64| (seconds * 1e6) as i64;
        self.vod.clip(us(begin_s), us(begin_s + duration_s))
    }
}

#[pymethods]
impl Remuxed {
    #[getter]
    fn pieces(&self) -> usize {
        self.0.pieces()
    }

    fn piece<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| self.0.piece(index))?;
        Ok(PyBytes::new(py, &bytes))
    }
}

fn piece(
    (file, outline, number, position_us, base_ticks, base_hz, follows, began_unix_ms): PieceTuple<'_>,
) -> (Arc<dyn Source>, vod::Piece) {
    let record::FileOutline { outline, init, form, .. } = outline.0.clone();
    let piece = vod::Piece { outline, init, form, number, position_us, base_ticks, base_hz, follows, began_unix_ms };
    (file.source(), piece)
}

#[pymethods]
impl Clip {
    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    #[getter]
    fn begin_s(&self) -> f64 {
        self.0.begin_us() as f64 / 1e6
    }

    fn read<'py>(&self, py: Python<'py>, offset: u64, max: usize) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| self.0.read(offset, max))?;
        Ok(PyBytes::new(py, &bytes))
    }
}
