//! `TlsIdentity`.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::error::misuse;

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct TlsIdentity(pub Arc<arcly_io::TlsIdentity>);

#[pymethods]
impl TlsIdentity {
    #[new]
    fn new(chain: &[u8], key: &[u8]) -> PyResult<Self> {
        arcly_io::TlsIdentity::from_pem(chain, key).map(Self).map_err(misuse)
    }

    fn replace(&self, chain: &[u8], key: &[u8]) -> PyResult<()> {
        self.0.replace(chain, key).map_err(misuse)
    }
}
