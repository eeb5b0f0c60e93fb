//! `RtmpPull` and `RtmpPush`: connections to other servers that are kept up.

use std::sync::Arc;

use arcly_io::{
    Handle, TlsTrust,
    rtmp::{Backoff, Link, Pull, PullOptions, Push, PushOptions, RemoteUrl},
};
use pyo3::prelude::*;

use crate::{
    engine::Engine, error::misuse, hub::WakeToken, inbox::Inbox, key::StreamKey, rtmp::seconds, stream::StreamHandle,
};

/// First wait and longest wait in seconds, retries in a row or none.
type RetryTuple = (f64, f64, Option<u64>);

/// State, since (Unix ms), last error, retries, frames, bytes, skipped.
type StatusTuple = (&'static str, u64, Option<String>, u64, u64, u64, u64);

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct RtmpPull {
    pull: Pull,
    runtime: Handle,
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct RtmpPush {
    push: Push,
    runtime: Handle,
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct RemoteTarget {
    url: RemoteUrl,
    trust: TlsTrust,
    backoff: Backoff,
}

#[pymethods]
impl RemoteTarget {
    #[new]
    #[pyo3(signature = (url, *, retry, authorities, verify))]
    fn new(url: &str, retry: RetryTuple, authorities: Option<&[u8]>, verify: bool) -> PyResult<Self> {
        let url = RemoteUrl::parse(url).map_err(misuse)?;
        let trust = match authorities {
            _ if !verify => TlsTrust::unverified(),
            Some(pem) => TlsTrust::also(pem).map_err(misuse)?,
            None => TlsTrust::default(),
        };
        let (first_s, max_s, retries_max) = retry;
        let backoff = Backoff { first: seconds(first_s)?, max: seconds(max_s)?, retries_max, ..Backoff::default() };
        Ok(Self { url, trust, backoff })
    }

    fn __str__(&self) -> String {
        self.url.to_string()
    }
}

#[pymethods]
impl RtmpPull {
    #[new]
    #[pyo3(signature = (engine, remote, key, inbox, token, *, grace_s, idle_timeout_s))]
    fn new(
        engine: &Engine,
        remote: &RemoteTarget,
        key: &StreamKey,
        inbox: &Inbox,
        token: &WakeToken,
        grace_s: f64,
        idle_timeout_s: f64,
    ) -> PyResult<Self> {
        let runtime = engine.runtime_handle()?;
        let options = PullOptions {
            backoff: remote.backoff,
            grace: seconds(grace_s)?,
            idle_time: seconds(idle_timeout_s)?,
            trust: remote.trust.clone(),
            ..PullOptions::default()
        };
        let (url, key, inbox) = (remote.url.clone(), key.0.clone(), inbox.0.clone());
        let pull = Pull::start(&runtime, url, key, options, inbox, token.waker());
        Ok(Self { pull, runtime })
    }

    fn status(&self) -> StatusTuple {
        status(self.pull.link())
    }

    fn stop(&self, done: &WakeToken) {
        stop(self.pull.link(), &self.runtime, done);
    }
}

#[pymethods]
impl RtmpPush {
    #[new]
    #[pyo3(signature = (engine, remote, stream, inbox, token, *, behind_max_s, enhanced))]
    fn new(
        engine: &Engine,
        remote: &RemoteTarget,
        stream: &StreamHandle,
        inbox: &Inbox,
        token: &WakeToken,
        behind_max_s: f64,
        enhanced: Option<bool>,
    ) -> PyResult<Self> {
        let runtime = engine.runtime_handle()?;
        let options = PushOptions {
            backoff: remote.backoff,
            behind_max: seconds(behind_max_s)?,
            enhanced,
            trust: remote.trust.clone(),
            ..PushOptions::default()
        };
        let (url, log, inbox) = (remote.url.clone(), stream.0.log().clone(), inbox.0.clone());
        let push = Push::start(&runtime, url, log, options, inbox, token.waker());
        Ok(Self { push, runtime })
    }

    fn status(&self) -> StatusTuple {
        status(self.push.link())
    }

    fn stop(&self, done: &WakeToken) {
        stop(self.push.link(), &self.runtime, done);
    }
}

fn status(link: &Link) -> StatusTuple {
    let status = link.status();
    let state = status.state.as_str();
    (state, status.since_unix_ms, status.last_error, status.retries, status.frames, status.bytes, status.skipped)
}

/// Asks it to end, in order; `done` is woken when it has.
fn stop(link: &Arc<Link>, runtime: &Handle, done: &WakeToken) {
    let (link, done) = (link.clone(), done.waker());
    link.stop();
    runtime.spawn(async move {
        link.ended().await;
        done.wake();
    });
}
