//! `StreamKey`.

use pyo3::prelude::*;

use crate::error::from_name;

/// See `_native.pyi`.
#[pyclass(frozen, eq, hash, ord, module = "arcly")]
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(pub arcly_bus::StreamKey);

#[pymethods]
impl StreamKey {
    #[new]
    fn new(app: &str, stream: &str) -> PyResult<Self> {
        arcly_bus::StreamKey::new(app, stream).map(Self).map_err(from_name)
    }

    #[staticmethod]
    fn parse(text: &str) -> PyResult<Self> {
        let (app, stream) = text.rsplit_once('/').unwrap_or(("", text));
        Self::new(app, stream)
    }

    #[getter]
    fn app(&self) -> &str {
        self.0.app()
    }

    #[getter]
    fn stream(&self) -> &str {
        self.0.stream()
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("StreamKey({:?}, {:?})", self.0.app(), self.0.stream())
    }

    fn __getnewargs__(&self) -> (&str, &str) {
        (self.0.app(), self.0.stream())
    }
}
