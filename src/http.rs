//! `Origin`, `HttpSite` and what it answers, and `HttpListener`.

use std::{path::PathBuf, sync::Arc};

use arcly_io::http::{Exchange, Piece, Request, SiteOptions};
use pyo3::{prelude::*, types::PyBytes};

use crate::{
    arguments::parse_addr,
    egress::{EgressTuple, ViewerTuple, options, viewer},
    engine::Engine,
    error::{ClosedError, MalformedError, from_listen},
    hls::HlsOutput,
    hub::WakeToken,
    inbox::Inbox,
    key::StreamKey,
    stream::StreamHandle,
    tls::TlsIdentity,
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Origin(pub Arc<arcly_io::http::Origin>);

#[pymethods]
impl Origin {
    #[new]
    fn new() -> Self {
        Self(arcly_io::http::Origin::new())
    }

    fn put_hls(&self, key: &StreamKey, output: &HlsOutput) {
        self.0.put_hls(key.0.clone(), output.0.clone());
    }

    fn put_live(&self, key: &StreamKey, stream: &StreamHandle) {
        self.0.put_live(key.0.clone(), stream.0.log().clone());
    }

    fn expire(&self) {
        self.0.expire();
    }

    fn offer(&self, key: &StreamKey) {
        self.0.offer(key.0.clone());
    }

    fn withdraw(&self, key: &StreamKey) {
        self.0.withdraw(&key.0);
    }
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct HttpSite {
    site: Arc<arcly_io::http::Site>,
    runtime: arcly_io::Handle,
}

#[pymethods]
impl HttpSite {
    #[new]
    #[pyo3(signature = (engine, origin, inbox, *, app_socket, asks, egress))]
    fn new(
        engine: &Engine,
        origin: &Origin,
        inbox: &Inbox,
        app_socket: Option<PathBuf>,
        asks: bool,
        egress: EgressTuple,
    ) -> PyResult<Self> {
        let runtime = engine.runtime_handle()?;
        let options = SiteOptions { app_socket, egress: options(Some(egress))?, asks };
        let site = arcly_io::http::Site::new(&runtime, options, origin.0.clone(), inbox.0.clone());
        Ok(Self { site, runtime })
    }

    fn viewers(&self) -> Vec<ViewerTuple> {
        self.site.egress().viewers().into_iter().map(viewer).collect()
    }

    fn kick(&self, viewer: u64) -> bool {
        self.site.egress().kick(viewer)
    }

    fn close(&self) {
        self.site.close();
    }

    fn ask(
        &self,
        method: &str,
        target: &str,
        headers: Vec<(Vec<u8>, Vec<u8>)>,
        peer: &str,
        token: &WakeToken,
    ) -> PyResult<HttpExchange> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in &headers {
            request = request.header(name.as_slice(), value.as_slice());
        }
        let request = request.body(()).map_err(|error| MalformedError::new_err(error.to_string()))?;
        let (peer, site) = (parse_addr(peer)?, self.site.clone());
        Ok(HttpExchange(Exchange::start(&self.runtime, site, request, peer, token.waker())))
    }
}

/// Status and headers.
type HeadTuple<'py> = (u16, Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>);

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct HttpExchange(Exchange);

#[pymethods]
impl HttpExchange {
    #[getter]
    fn is_media(&self) -> Option<bool> {
        self.0.head().map(|head| head.is_media)
    }

    fn head<'py>(&self, py: Python<'py>) -> Option<HeadTuple<'py>> {
        let head = self.0.head()?;
        let bytes = |bytes: &[u8]| PyBytes::new(py, bytes);
        let headers = head.headers.iter();
        Some((
            head.status,
            headers.map(|(name, value)| (bytes(name.as_str().as_bytes()), bytes(value.as_bytes()))).collect(),
        ))
    }

    fn take<'py>(&self, py: Python<'py>) -> PyResult<(bool, Option<Bound<'py, PyBytes>>)> {
        match self.0.take() {
            Piece::Data(data) => Ok((false, Some(PyBytes::new(py, &data)))),
            Piece::Nothing => Ok((false, None)),
            Piece::End => Ok((true, None)),
            Piece::Broken => Err(ClosedError::new_err("the rest of what was asked for is gone")),
        }
    }
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct HttpListener {
    listener: Arc<arcly_io::http::HttpListener>,
    runtime: arcly_io::Handle,
}

#[pymethods]
impl HttpListener {
    #[new]
    #[pyo3(signature = (site, addr, *, connections_max, tls=None, takes_plain=false))]
    fn new(
        site: &HttpSite,
        addr: &str,
        connections_max: usize,
        tls: Option<&TlsIdentity>,
        takes_plain: bool,
    ) -> PyResult<Self> {
        let (runtime, addr, tls) = (site.runtime.clone(), parse_addr(addr)?, tls.map(|tls| &tls.0));
        let site = site.site.clone();
        let listener = arcly_io::http::HttpListener::bind(&runtime, addr, connections_max, tls, takes_plain, site);
        Ok(Self { listener: Arc::new(listener.map_err(from_listen)?), runtime })
    }

    #[getter]
    fn addr(&self) -> (String, u16) {
        (self.listener.addr().ip().to_string(), self.listener.addr().port())
    }

    fn stop(&self, done: &WakeToken) {
        let listener = self.listener.clone();
        done.wake_after(&self.runtime, async move { listener.stop().await });
    }
}
