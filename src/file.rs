//! `FilePlayer`.

use std::path::PathBuf;

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
}

pub fn from_file(error: FileError) -> PyErr {
    let text = error.to_string();
    match error.kind {
        // The errno first: Python makes FileNotFoundError and its like of it.
        FileErrorKind::Io(io) => match io.raw_os_error() {
            Some(number) => {
                let reason = io.to_string();
                let reason = reason.split(" (os error").next().unwrap_or(&reason).to_owned();
                PyOSError::new_err((number, reason, error.path.display().to_string()))
            }
            None => PyOSError::new_err(text),
        },
        FileErrorKind::Unknown => UnsupportedError::new_err(text),
        FileErrorKind::Media(_) => MalformedError::new_err(text),
    }
}
