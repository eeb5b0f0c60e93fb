//! `FilePlayer`.

use bytes::Bytes;
use pyo3::prelude::*;

use crate::{engine::Engine, error::MalformedError, session::PublishSession};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct FilePlayer(arcly_io::file::Player);

#[pymethods]
impl FilePlayer {
    #[new]
    #[pyo3(signature = (engine, session, data, *, looped))]
    fn new(engine: &Engine, session: &PublishSession, data: &[u8], looped: bool) -> PyResult<Self> {
        let runtime = engine.runtime_handle()?;
        let clip = arcly_io::file::Clip::from_flv(Bytes::copy_from_slice(data))
            .map_err(|error| MalformedError::new_err(error.to_string()))?;
        Ok(Self(arcly_io::file::play(&runtime, clip, session.take()?, looped)))
    }

    fn stop(&self) {
        self.0.stop();
    }
}
