//! `MediaFrame`: a frame of the log as a Python object that exports its bytes without a copy.

use std::{ffi::c_int, sync::Arc};

use arcly_bus::{Frame, FrameFlags, TrackId, TrackSet};
use arcly_codec::Codec;
use bytes::Bytes;
use pyo3::{
    ffi,
    prelude::*,
    types::{PyBytes, PyString},
};

use crate::{
    buffer::{Lent, export, with_bytes},
    error::misuse,
    name,
    session::{Header, check_ids, flags, read_foreign, read_foreign_tracks},
    track::Track,
};

/// The tracks of frames: one object of Python's for all frames under them, since its references are counted under the GIL and not by atomic
/// operations, and since a frame is made without a look at its track.
#[pyclass(frozen, module = "arcly._native")]
pub struct Tracks(Arc<TrackSet>);

/// The tracks of the frame made last, for the next one.
#[derive(Default)]
pub struct KnownTracks(Option<Py<Tracks>>);

impl KnownTracks {
    /// The object for `tracks`.
    #[inline]
    pub fn of(&mut self, py: Python<'_>, tracks: &Arc<TrackSet>) -> PyResult<&Py<Tracks>> {
        let known = self.0.take().filter(|known| Arc::ptr_eq(&known.get().0, tracks));
        let known = known.map_or_else(|| Py::new(py, Tracks(tracks.clone())), Ok)?;
        Ok(self.0.insert(known))
    }
}

/// See `_native.pyi`.
#[pyclass(frozen, freelist = 256, module = "arcly")]
pub struct MediaFrame {
    pub(crate) frame: Frame,
    tracks: Py<Tracks>,
}

impl MediaFrame {
    /// A frame under `tracks`. One of an unknown track, which the bus refuses, counts as data without a clock.
    #[inline]
    pub fn new(py: Python<'_>, frame: Frame, tracks: &Py<Tracks>) -> Self {
        Self { frame, tracks: tracks.clone_ref(py) }
    }

    /// The frame itself, or a copy of a host's own: see `read_foreign`.
    pub fn of<'py>(frame: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        match frame.cast_exact::<Self>() {
            Ok(native) => Ok(native.clone()),
            Err(_) => {
                let (header, tracks) = read_foreign(frame)?;
                Bound::new(frame.py(), Self::copied(frame, header, tracks)?)
            }
        }
    }

    /// The tracks that any frame is under, without a copy of its bytes.
    pub fn tracks_of(frame: &Bound<'_, PyAny>) -> PyResult<Arc<TrackSet>> {
        if let Ok(native) = frame.cast_exact::<Self>() {
            return Ok(native.get().track_set().clone());
        }
        let tracks = read_foreign_tracks(frame)?;
        check_ids(&tracks)?;
        Ok(Arc::new(TrackSet { revision: 0, tracks }))
    }

    fn copied(data: &Bound<'_, PyAny>, header: Header, tracks: Vec<arcly_bus::Track>) -> PyResult<Self> {
        check_ids(&tracks)?;
        let tracks = TrackSet { revision: 0, tracks };
        if tracks.find(TrackId(header.track)).is_none() {
            return Err(misuse(format!("none of the tracks has the id {}", header.track)));
        }
        let payload = with_bytes(data, Bytes::copy_from_slice)?;
        Ok(Self { frame: header.with(payload), tracks: Py::new(data.py(), Tracks(Arc::new(tracks)))? })
    }

    /// The tracks that it is under.
    pub fn track_set(&self) -> &Arc<TrackSet> {
        &self.tracks.get().0
    }

    fn codec_of(&self) -> Codec {
        self.track_set().find(self.frame.track).map_or(Codec::Id3, |track| track.config.codec())
    }

    fn clock_of(&self) -> u32 {
        self.track_set().find(self.frame.track).map_or(1, |track| track.clock_rate_hz)
    }

    /// Says that this does not continue the frame before.
    pub fn break_before(&mut self) {
        self.frame.flags = self.frame.flags.with(FrameFlags::DISCONTINUITY);
    }

    fn seconds(&self, ticks: i64) -> f64 {
        ticks as f64 / f64::from(self.clock_of())
    }
}

#[pymethods]
impl MediaFrame {
    #[new]
    #[pyo3(signature = (data, tracks, *, track, pts, dts=None, duration=0, key=false, discontinuity=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only in Python; a struct would only move them")]
    fn make(
        data: &Bound<'_, PyAny>,
        tracks: Vec<PyRef<'_, Track>>,
        track: u8,
        pts: i64,
        dts: Option<i64>,
        duration: u32,
        key: bool,
        discontinuity: bool,
    ) -> PyResult<Self> {
        let mut tracks: Vec<_> = tracks.iter().map(|track| track.0.clone()).collect();
        tracks.sort_by_key(|track| track.id);
        let header = Header { track, flags: flags(key, discontinuity), pts, dts: dts.unwrap_or(pts), duration };
        Self::copied(data, header, tracks)
    }

    #[getter]
    fn track(&self) -> u8 {
        self.frame.track.0
    }

    #[getter]
    fn tracks(&self) -> Vec<Track> {
        self.track_set().tracks.iter().cloned().map(Track).collect()
    }

    #[getter]
    fn revision(&self) -> u32 {
        self.track_set().revision
    }

    #[getter]
    fn kind<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        name::of_kind(py, self.codec_of().kind())
    }

    #[getter]
    fn codec<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        name::of_codec(py, self.codec_of())
    }

    #[getter]
    fn clock_rate_hz(&self) -> u32 {
        self.clock_of()
    }

    #[getter]
    fn pts(&self) -> i64 {
        self.frame.pts
    }

    #[getter]
    fn dts(&self) -> i64 {
        self.frame.dts
    }

    #[getter]
    fn pts_s(&self) -> f64 {
        self.seconds(self.frame.pts)
    }

    #[getter]
    fn dts_s(&self) -> f64 {
        self.seconds(self.frame.dts)
    }

    #[getter]
    fn duration(&self) -> u32 {
        self.frame.duration
    }

    #[getter]
    fn is_key(&self) -> bool {
        self.frame.is_key()
    }

    #[getter]
    fn is_discontinuity(&self) -> bool {
        self.frame.is_discontinuity()
    }

    fn __len__(&self) -> usize {
        self.frame.payload.len()
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.frame.payload)
    }

    fn __repr__(&self) -> String {
        let (key, bytes) = (if self.is_key() { ", key" } else { "" }, self.frame.payload.len());
        format!("<MediaFrame {} pts={:.3}s{key}, {bytes} bytes>", self.codec_of().name(), self.pts_s())
    }

    /// Exports the payload, read-only, without a copy.
    ///
    /// # Safety
    /// Called by the interpreter with a `view` that it owns.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let payload = &slf.get().frame.payload;
        let lent = Lent { data: payload.as_ptr(), len: payload.len(), read_only: true };
        // SAFETY: `view` is the interpreter's. The payload is immutable and lives as long as this object; the class is frozen, so
        // the payload never moves.
        unsafe { export(&slf, &lent, view, flags) }
    }
}
