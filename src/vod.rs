//! `Outline`, `Vod` and `Clip`: recordings, played back.

use std::{path::PathBuf, sync::Arc};

use arcly_bus::TrackId;
use arcly_io::record;
use arcly_pack::vod;
use pyo3::{prelude::*, types::PyBytes};

use crate::track::Track;

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Outline(record::FileOutline);

/// Path, outline, number, position (us), base ticks, base Hz, follows, began (Unix ms).
type PieceTuple<'py> = (PathBuf, PyRef<'py, Outline>, u64, u64, i64, u32, bool, u64);

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Vod {
    vod: Arc<vod::Vod>,
    paths: Arc<Vec<PathBuf>>,
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Clip(record::Clip);

#[pymethods]
impl Outline {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        Ok(Self(py.detach(|| record::outline(&path))?))
    }

    #[getter]
    fn fragments(&self) -> usize {
        self.0.outline.fragments.len()
    }
}

#[pymethods]
impl Vod {
    #[new]
    fn new(pieces: Vec<PieceTuple<'_>>, has_ended: bool) -> Self {
        let with_media = pieces.into_iter().filter(|piece| !piece.1.0.outline.fragments.is_empty());
        let (paths, pieces) = with_media.map(piece).unzip();
        Self { vod: Arc::new(vod::Vod::new(pieces, has_ended)), paths: Arc::new(paths) }
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
        let bytes = py.detach(|| record::segment_bytes(&self.vod, &self.paths, &segment))?;
        Ok(Some(PyBytes::new(py, &bytes)))
    }

    fn clip(&self, py: Python<'_>, begin_s: f64, duration_s: f64) -> PyResult<Option<Clip>> {
        let us = |seconds: f64| (seconds * 1e6) as i64;
        let Some(plan) = self.vod.clip(us(begin_s), us(begin_s + duration_s)) else { return Ok(None) };
        let clip = py.detach(|| record::Clip::new(&self.vod, &self.paths, &plan))?;
        Ok(Some(Clip(clip)))
    }
}

fn piece(
    (path, outline, number, position_us, base_ticks, base_hz, follows, began_unix_ms): PieceTuple<'_>,
) -> (PathBuf, vod::Piece) {
    let record::FileOutline { outline, init } = outline.0.clone();
    (path, vod::Piece { outline, init, number, position_us, base_ticks, base_hz, follows, began_unix_ms })
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
