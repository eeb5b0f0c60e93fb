//! `Recording`: a stream into files; and what is done with files besides.

use std::path::PathBuf;

use arcly_io::{
    Handle,
    record::{self, RecordFormat, RecordNote, RecordOptions, SegmentInfo, Template},
};
use pyo3::{prelude::*, types::PyBytes};

use crate::{
    arguments::seconds, engine::Engine, error::misuse, hub::WakeToken, key::StreamKey, media::from_pack,
    stream::StreamHandle, vod::Outline,
};

/// Number, path, began (Unix ms), base ticks, base Hz, follows, gap (us), bytes, frames, duration (us).
type SegmentTuple = (u64, String, u64, i64, u32, bool, u64, u64, u64, u64);

/// Kind, segment or none, code or none, text or none, outline or none.
type NoteTuple<'py> =
    (&'static str, Option<SegmentTuple>, Option<&'static str>, Option<String>, Option<Bound<'py, PyBytes>>);

/// Frames, bytes, duration (us), gaps, gap (us), missed, refused, last error.
type StatusTuple = (u64, u64, u64, u64, u64, u64, u64, Option<String>);

/// Root, template, format, seconds and bytes of a segment, seconds of a fragment, seconds that a write may take.
type OptionsTuple = (PathBuf, String, String, f64, u64, f64, f64);

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Recording {
    recording: record::Recording,
    runtime: Handle,
}

#[pymethods]
impl Recording {
    #[new]
    fn new(
        engine: &Engine,
        stream: &StreamHandle,
        token: &WakeToken,
        options: OptionsTuple,
        number: u64,
    ) -> PyResult<Self> {
        let (runtime, stream) = (engine.runtime_handle()?, &stream.0);
        let (log, key, options) = (stream.log(), stream.key().clone(), read_options(options)?);
        let recording = record::Recording::start(&runtime, log, key, options, number, token.waker());
        Ok(Self { recording, runtime })
    }

    fn poll<'py>(&self, py: Python<'py>) -> Option<NoteTuple<'py>> {
        Some(match self.recording.poll()? {
            RecordNote::Began(info) => ("began", Some(segment(info)), None, None, None),
            RecordNote::Closed(info) => ("closed", Some(segment(info)), None, None, None),
            RecordNote::Finished(info, outline) => {
                let outline = outline.map(|packed| PyBytes::new(py, &packed));
                ("finished", Some(segment(info)), None, None, outline)
            }
            RecordNote::Ended(end) => ("ended", None, Some(end.code()), Some(end.to_string()), None),
        })
    }

    fn outline(&self, py: Python<'_>, path: &str) -> PyResult<Option<Outline>> {
        Ok(py.detach(|| self.recording.outline(path))?.map(Outline))
    }

    #[getter]
    fn is_hanging(&self) -> bool {
        self.recording.is_hanging()
    }

    fn status(&self) -> StatusTuple {
        let status = self.recording.status();
        (
            status.frames,
            status.bytes,
            status.duration_us,
            status.gaps,
            status.gap_us,
            status.missed,
            status.refused,
            status.last_error,
        )
    }

    fn stop(&self, done: &WakeToken) {
        self.recording.stop();
        done.wake_after(&self.runtime, self.recording.ended());
    }
}

fn read_options(options: OptionsTuple) -> PyResult<RecordOptions> {
    let (root, pattern, format, segment_s, segment_bytes, fragment_s, stall_s) = options;
    Ok(RecordOptions {
        root,
        template: template(&pattern)?,
        format: format.parse::<RecordFormat>().map_err(from_pack)?,
        segment: seconds(segment_s)?,
        segment_bytes,
        fragment: seconds(fragment_s)?,
        stall: seconds(stall_s)?,
    })
}

fn template(pattern: &str) -> PyResult<Template> {
    pattern.parse().map_err(|error| misuse(format!("{pattern:?}: {error}")))
}

fn segment(info: SegmentInfo) -> SegmentTuple {
    (
        info.number,
        info.path,
        info.began_unix_ms,
        info.base_ticks,
        info.base_hz,
        info.follows,
        info.gap_us,
        info.bytes,
        info.frames,
        info.duration_us,
    )
}

/// See `_native.pyi`.
#[pyfunction]
pub fn recording_path(pattern: &str, key: &StreamKey, unix_ms: u64, number: u64) -> PyResult<String> {
    Ok(template(pattern)?.path(&key.0, std::time::Duration::from_millis(unix_ms), number))
}

/// See `_native.pyi`.
#[pyfunction]
pub fn fits_recording(pattern: &str, key: &StreamKey, path: &str) -> PyResult<bool> {
    Ok(template(pattern)?.fits(&key.0, path))
}

/// See `_native.pyi`.
#[pyfunction]
pub fn is_own_recording(py: Python<'_>, path: PathBuf, format: &str) -> PyResult<bool> {
    let format = format.parse::<RecordFormat>().map_err(from_pack)?;
    Ok(py.detach(|| record::is_own(&path, format.container()))?)
}

/// See `_native.pyi`.
#[pyfunction]
pub fn make_whole(py: Python<'_>, path: PathBuf) -> PyResult<(u64, u64)> {
    let whole = py.detach(|| record::make_whole(&path))?;
    Ok((whole.bytes, whole.cut_bytes))
}

/// See `_native.pyi`.
#[pyfunction]
pub fn finalize_recording(py: Python<'_>, path: PathBuf, is_stopped: Py<PyAny>) -> PyResult<u64> {
    // An interpreter that is going away, and a question that fails, stop it too.
    let is_stopped =
        || Python::try_attach(|py| is_stopped.call0(py)?.is_truthy(py)).is_none_or(|said| said.unwrap_or(true));
    Ok(py.detach(|| record::finalize(&path, is_stopped))?)
}

/// See `_native.pyi`.
#[pyfunction]
pub fn measure_recording(py: Python<'_>, path: PathBuf) -> PyResult<(u64, u64)> {
    let length = py.detach(|| record::measure(&path)).map_err(crate::file::from_file)?;
    Ok((length.frames, u64::try_from(length.duration.as_micros()).unwrap_or(u64::MAX)))
}
