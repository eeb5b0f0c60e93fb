//! `MediaFrame`: a frame of the log as a Python object that exports its bytes without a copy.

use std::{ffi::c_int, os::raw::c_void, ptr, sync::Arc};

use arcly_bus::{Frame, FrameFlags, TrackSet};
use arcly_codec::Codec;
use pyo3::{exceptions::PyBufferError, ffi, prelude::*, types::PyBytes};

use crate::track::Track;

/// See `_native.pyi`.
#[pyclass(frozen, freelist = 256, module = "arcly")]
pub struct MediaFrame {
    frame: Frame,
    tracks: Arc<TrackSet>,
    codec: Codec,
    clock_rate_hz: u32,
}

impl MediaFrame {
    /// `None` never happens for a frame of the log: the bus refuses frames of unknown tracks.
    pub fn new(frame: &Frame, tracks: &Arc<TrackSet>, discontinuity: bool) -> Option<Self> {
        let track = tracks.find(frame.track)?;
        let mut frame = frame.clone();
        if discontinuity {
            frame.flags = frame.flags.with(FrameFlags::DISCONTINUITY);
        }
        let (codec, clock_rate_hz) = (track.config.codec(), track.clock_rate_hz);
        Some(Self { frame, tracks: tracks.clone(), codec, clock_rate_hz })
    }

    fn seconds(&self, ticks: i64) -> f64 {
        ticks as f64 / f64::from(self.clock_rate_hz)
    }
}

#[pymethods]
impl MediaFrame {
    #[getter]
    fn track(&self) -> u8 {
        self.frame.track.0
    }

    #[getter]
    fn tracks(&self) -> Vec<Track> {
        self.tracks.tracks.iter().cloned().map(Track).collect()
    }

    #[getter]
    fn revision(&self) -> u32 {
        self.tracks.revision
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.codec.kind().name()
    }

    #[getter]
    fn codec(&self) -> &'static str {
        self.codec.name()
    }

    #[getter]
    fn clock_rate_hz(&self) -> u32 {
        self.clock_rate_hz
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
        let key = if self.is_key() { ", key" } else { "" };
        format!("<MediaFrame {} pts={:.3}s{key}, {} bytes>", self.codec(), self.pts_s(), self.__len__())
    }

    /// Exports the payload, read-only, without a copy.
    ///
    /// # Safety
    /// Called by the interpreter with a `view` that it owns.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("the view is null"));
        }
        let payload = &slf.get().frame.payload;
        // SAFETY: `view` is not null and the interpreter's. The payload is immutable (`readonly` = 1) and lives as long as this
        // object, of which FillInfo puts a strong reference into the view; the class is frozen, so the payload never moves.
        let result = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                payload.as_ptr().cast::<c_void>().cast_mut(),
                payload.len() as isize,
                1,
                flags,
            )
        };
        if result == 0 {
            return Ok(());
        }
        // SAFETY: as above; a failed export must leave no object behind (PEP 3118).
        unsafe { (*view).obj = ptr::null_mut() };
        Err(PyErr::fetch(slf.py()))
    }
}
