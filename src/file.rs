//! `FilePlayer`.

use std::{
    io,
    path::{Path, PathBuf},
};

use arcly_io::file::{FileError, FileErrorKind, PlayOptions, play};
use pyo3::{exceptions::PyOSError, prelude::*};

use crate::{
    engine::Engine,
    error::{MalformedError, UnsupportedError},
    session::PublishSession,
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct FilePlayer(arcly_io::file::Player);

#[pymethods]
impl FilePlayer {
    #[new]
    #[pyo3(signature = (engine, session, path, *, looped, real_time))]
    fn new(
        py: Python<'_>,
        engine: &Engine,
        session: &PublishSession,
        path: PathBuf,
        looped: bool,
        real_time: bool,
    ) -> PyResult<Self> {
        let (runtime, publisher) = (engine.runtime_handle()?, session.take()?);
        let options = PlayOptions { looped, real_time };
        let player = py.detach(|| play(&runtime, &path, publisher, options));
        player.map(Self).map_err(from_file)
    }

    fn stop(&self) {
        self.0.stop();
    }

    #[getter]
    fn error(&self) -> Option<String> {
        self.0.failure().map(ToString::to_string)
    }
}

pub fn from_file(error: FileError) -> PyErr {
    let text = error.to_string();
    match error.kind {
        FileErrorKind::Io(io) => from_io(&io, &error.path),
        FileErrorKind::Unknown => UnsupportedError::new_err(text),
        FileErrorKind::Media(_) => MalformedError::new_err(text),
    }
}

/// What the system says of a path.
pub fn from_io(error: &io::Error, path: &Path) -> PyErr {
    let (reason, path) = (error.to_string(), path.display());
    match error.raw_os_error() {
        // The errno first: Python makes FileNotFoundError and its like of it.
        Some(number) => {
            let reason = reason.split(" (os error").next().unwrap_or(&reason).to_owned();
            PyOSError::new_err((number, reason, path.to_string()))
        }
        None => PyOSError::new_err(format!("{path}: {reason}")),
    }
}
