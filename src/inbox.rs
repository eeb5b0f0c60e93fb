//! Requests and warnings of native tasks on their way to Python.

use std::sync::{Arc, Mutex};

use arcly_io::{Notice, PlayAsk, PlayDenial, PublishAsk, Refusal, Secret};
use pyo3::{IntoPyObjectExt, prelude::*};

use crate::{
    error::{ClosedError, misuse},
    hub::WakeToken,
    key::StreamKey,
    lock,
    session::PublishSession,
    stream::StreamHandle,
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Inbox(pub Arc<arcly_io::Inbox>);

#[pymethods]
impl Inbox {
    #[new]
    fn new(token: &WakeToken) -> Self {
        Self(arcly_io::Inbox::new(token.waker()))
    }

    fn pop(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.0.pop() {
            Some(Notice::Publish(request)) => PublishRequest::new(request).into_py_any(py).map(Some),
            Some(Notice::Play(request)) => PlayRequest::new(request).into_py_any(py).map(Some),
            Some(Notice::News(text)) => ("info", text).into_py_any(py).map(Some),
            Some(Notice::Warning(text)) => ("warning", text).into_py_any(py).map(Some),
            Some(Notice::Bug(text)) => ("error", text).into_py_any(py).map(Some),
            None => Ok(None),
        }
    }

    #[getter]
    fn dropped(&self) -> u64 {
        self.0.dropped()
    }
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct PublishRequest {
    ask: PublishAsk,
    wants_leave: bool,
    has_leave: bool,
    secret: Secret,
    request: Mutex<Option<arcly_io::PublishRequest>>,
}

impl PublishRequest {
    fn new(request: arcly_io::PublishRequest) -> Self {
        let (ask, secret) = (request.ask.clone(), request.secret.clone());
        let (wants_leave, has_leave) = (request.wants_leave(), request.has_leave());
        Self { ask, wants_leave, has_leave, secret, request: Mutex::new(Some(request)) }
    }

    fn take(&self) -> PyResult<arcly_io::PublishRequest> {
        lock(&self.request).take().ok_or_else(|| ClosedError::new_err("the request was answered already"))
    }
}

#[pymethods]
impl PublishRequest {
    #[getter]
    fn app(&self) -> &str {
        &self.ask.app
    }

    #[getter]
    fn stream(&self) -> &str {
        &self.ask.stream
    }

    #[getter]
    fn protocol(&self) -> &'static str {
        self.ask.protocol
    }

    #[getter]
    fn query(&self) -> &str {
        &self.ask.query
    }

    #[getter]
    fn authorization(&self) -> &str {
        &self.ask.authorization
    }

    #[getter]
    fn agent(&self) -> &str {
        &self.ask.agent
    }

    #[getter]
    fn peer(&self) -> String {
        self.ask.peer.to_string()
    }

    #[getter]
    fn wants_leave(&self) -> bool {
        self.wants_leave
    }

    #[getter]
    fn has_leave(&self) -> bool {
        self.has_leave
    }

    #[pyo3(signature = (passphrase))]
    fn secure(&self, passphrase: Option<String>) {
        self.secret.demand(passphrase);
    }

    fn accept(&self, session: &PublishSession) -> PyResult<bool> {
        let publisher = session.take()?;
        Ok(self.take()?.accept(publisher))
    }

    fn grant(&self) -> PyResult<bool> {
        Ok(self.take()?.grant())
    }

    fn refuse(&self, refusal: &str, text: String) -> PyResult<bool> {
        let refusal = match refusal {
            "bad_name" => Refusal::BadName,
            "unauthenticated" => Refusal::Unauthenticated,
            "unauthorized" => Refusal::Unauthorized,
            "failed" => Refusal::Failed,
            other => return Err(misuse(format!("unknown refusal {other:?}"))),
        };
        Ok(self.take()?.refuse(refusal, text))
    }
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct PlayRequest {
    ask: PlayAsk,
    secret: Secret,
    request: Mutex<Option<arcly_io::PlayRequest>>,
}

impl PlayRequest {
    fn new(request: arcly_io::PlayRequest) -> Self {
        Self { ask: request.ask.clone(), secret: request.secret.clone(), request: Mutex::new(Some(request)) }
    }

    fn take(&self) -> PyResult<arcly_io::PlayRequest> {
        lock(&self.request).take().ok_or_else(|| ClosedError::new_err("the request was answered already"))
    }
}

#[pymethods]
impl PlayRequest {
    #[getter]
    fn key(&self) -> StreamKey {
        StreamKey(self.ask.key.clone())
    }

    #[getter]
    fn protocol(&self) -> &'static str {
        self.ask.protocol
    }

    #[getter]
    fn needs_stream(&self) -> bool {
        self.ask.needs_log
    }

    #[getter]
    fn query(&self) -> &str {
        &self.ask.query
    }

    #[getter]
    fn authorization(&self) -> &str {
        &self.ask.authorization
    }

    #[getter]
    fn agent(&self) -> &str {
        &self.ask.agent
    }

    #[getter]
    fn peer(&self) -> String {
        self.ask.peer.to_string()
    }

    #[pyo3(signature = (passphrase))]
    fn secure(&self, passphrase: Option<String>) {
        self.secret.demand(passphrase);
    }

    #[pyo3(signature = (stream=None))]
    fn accept(&self, stream: Option<&StreamHandle>) -> PyResult<bool> {
        Ok(self.take()?.accept(stream.map(|stream| stream.0.log().clone())))
    }

    fn refuse(&self, denial: &str) -> PyResult<bool> {
        let denial = match denial {
            "unauthenticated" => PlayDenial::Unauthenticated,
            "forbidden" => PlayDenial::Forbidden,
            "not_found" => PlayDenial::NotFound,
            "failed" => PlayDenial::Failed,
            other => return Err(misuse(format!("unknown denial {other:?}"))),
        };
        Ok(self.take()?.refuse(denial))
    }
}
