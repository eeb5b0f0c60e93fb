//! `Pull` and `Push`: streams of other servers, and streams to them, over connections that are kept up.

use std::sync::Arc;

use arcly_io::{
    Backoff, Handle, Link, LinkGuard, LinkStatus, TlsTrust,
    rtmp::{self, PullOptions, PushOptions},
    rtsp::{self, RtspUrl},
    srt::{self, SrtUrl},
    ts_udp::{self, UdpUrl},
};
use pyo3::prelude::*;

use crate::{
    arguments::seconds, engine::Engine, error::misuse, hub::WakeToken, inbox::Inbox, key::StreamKey,
    stream::StreamHandle,
};

/// First wait and longest wait in seconds, retries in a row or none.
type RetryTuple = (f64, f64, Option<u64>);

/// State, since (Unix ms), last error, retries, frames, bytes, skipped, remote.
type StatusTuple = (&'static str, u64, Option<String>, u64, u64, u64, u64, String);

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct RemoteTarget {
    url: Url,
    trust: TlsTrust,
    backoff: Backoff,
}

/// Where a link goes: a variant for each protocol.
enum Url {
    Rtmp(rtmp::RemoteUrl),
    Rtsp(RtspUrl),
    Srt(SrtUrl),
    Udp(UdpUrl),
}

impl Url {
    fn parse(url: &str) -> Result<Self, String> {
        let (scheme, _) = url.split_once("://").ok_or("a URL begins with a scheme: rtmp://")?;
        match scheme.to_ascii_lowercase().as_str() {
            "rtmp" | "rtmps" => rtmp::RemoteUrl::parse(url).map(Self::Rtmp),
            "rtsp" | "rtsps" | "rtspt" | "rtspu" | "rtspsu" => RtspUrl::parse(url).map(Self::Rtsp),
            "srt" => SrtUrl::parse(url).map(Self::Srt),
            "udp" | "rtp" => UdpUrl::parse(url).map(Self::Udp),
            other => Err(format!(
                "{other}:// is not spoken here; rtmp://, rtmps://, rtsp://, rtsps://, srt://, udp:// and rtp:// are"
            )),
        }
    }
}

#[pymethods]
impl RemoteTarget {
    #[new]
    #[pyo3(signature = (url, *, retry, authorities, verify))]
    fn new(url: &str, retry: RetryTuple, authorities: Option<&[u8]>, verify: bool) -> PyResult<Self> {
        let url = Url::parse(url).map_err(misuse)?;
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
        match &self.url {
            Url::Rtmp(url) => url.to_string(),
            Url::Rtsp(url) => url.to_string(),
            Url::Srt(url) => url.to_string(),
            Url::Udp(url) => url.to_string(),
        }
    }

    #[getter]
    fn protocol(&self) -> &'static str {
        match &self.url {
            Url::Rtmp(_) => "rtmp",
            Url::Rtsp(_) => "rtsp",
            Url::Srt(_) => "srt",
            Url::Udp(_) => "udp",
        }
    }
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Pull {
    guard: LinkGuard,
    runtime: Handle,
    /// What is said to a camera; none without a back channel.
    talk: Option<Arc<rtsp::Talk>>,
}

#[pymethods]
impl Pull {
    #[new]
    #[pyo3(signature = (engine, remote, key, inbox, token, *, grace_s, idle_timeout_s, back_channel=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only in Python; a struct would only move them")]
    fn new(
        engine: &Engine,
        remote: &RemoteTarget,
        key: &StreamKey,
        inbox: &Inbox,
        token: &WakeToken,
        grace_s: f64,
        idle_timeout_s: f64,
        back_channel: bool,
    ) -> PyResult<Self> {
        let talk = back_channel.then(Arc::<rtsp::Talk>::default);
        let runtime = engine.runtime_handle()?;
        let (grace, idle_time) = (seconds(grace_s)?, seconds(idle_timeout_s)?);
        let (key, inbox, waker) = (key.0.clone(), inbox.0.clone(), token.waker());
        let (backoff, trust) = (remote.backoff, remote.trust.clone());
        let guard = match &remote.url {
            Url::Rtmp(url) => {
                let options = PullOptions { backoff, grace, idle_time, trust, ..PullOptions::default() };
                rtmp::pull(&runtime, url.clone(), key, options, inbox, waker)
            }
            Url::Rtsp(url) => {
                let options = rtsp::PullOptions { backoff, grace, idle_time, trust, ..rtsp::PullOptions::default() };
                rtsp::pull(&runtime, url.clone(), key, options, talk.clone(), inbox, waker)
            }
            Url::Srt(url) => {
                let options = srt::PullOptions { backoff, grace, idle_time };
                srt::pull(&runtime, url.clone(), key, options, inbox, waker)
            }
            Url::Udp(url) => {
                let options = ts_udp::PullOptions { backoff, grace, idle_time };
                ts_udp::pull(&runtime, url.clone(), key, options, inbox, waker)
            }
        };
        Ok(Self { guard, runtime, talk })
    }

    fn say(&self, stream: Option<&StreamHandle>) -> PyResult<()> {
        let talk = self.talk.as_ref().ok_or_else(|| misuse("there is no back channel"))?;
        talk.say(stream.map(|stream| stream.0.log().clone()));
        Ok(())
    }

    fn status(&self) -> StatusTuple {
        status(self.guard.link())
    }

    fn stop(&self, done: &WakeToken) {
        stop(self.guard.link(), &self.runtime, done);
    }
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Push {
    guard: LinkGuard,
    runtime: Handle,
}

#[pymethods]
impl Push {
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
        let behind_max = seconds(behind_max_s)?;
        let (log, inbox, waker) = (stream.0.log().clone(), inbox.0.clone(), token.waker());
        let (backoff, trust) = (remote.backoff, remote.trust.clone());
        let guard = match &remote.url {
            Url::Rtmp(url) => {
                let options = PushOptions { backoff, behind_max, enhanced, trust, ..PushOptions::default() };
                rtmp::push(&runtime, url.clone(), log, options, inbox, waker)
            }
            Url::Rtsp(url) => {
                let options = rtsp::PushOptions { backoff, behind_max, trust, ..rtsp::PushOptions::default() };
                rtsp::push(&runtime, url.clone(), log, options, inbox, waker)
            }
            Url::Srt(url) => srt::push(&runtime, url.clone(), log, srt::PushOptions { backoff }, inbox, waker),
            Url::Udp(url) => {
                let options = ts_udp::PushOptions { backoff };
                ts_udp::push(&runtime, url.clone(), log, options, inbox, waker)
            }
        };
        Ok(Self { guard, runtime })
    }

    fn status(&self) -> StatusTuple {
        status(self.guard.link())
    }

    fn stop(&self, done: &WakeToken) {
        stop(self.guard.link(), &self.runtime, done);
    }
}

fn status(link: &Link) -> StatusTuple {
    let LinkStatus { state, since_unix_ms, last_error, retries, frames, bytes, skipped, remote } = link.status();
    (state.as_str(), since_unix_ms, last_error, retries, frames, bytes, skipped, remote)
}

/// Asks it to end, in order; `done` is woken when it has.
fn stop(link: &Arc<Link>, runtime: &Handle, done: &WakeToken) {
    let link = link.clone();
    link.stop();
    done.wake_after(runtime, async move { link.ended().await });
}
