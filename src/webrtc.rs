//! `WebRtcTransport`, and the answers to what is asked of its sessions.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use arcly_io::webrtc::{Answer, Apart, BFrames, Caller, Limits, OpenError, WebRtcError, WebRtcOptions};
use pyo3::prelude::*;

use crate::{
    arguments::{parse_addr, seconds},
    egress::{ViewerTuple, viewer},
    engine::Engine,
    error::{
        ClosedError, LimitExceededError, MalformedError, NotFoundError, StreamError, UnsupportedError, from_listen,
        misuse,
    },
    hub::WakeToken,
    inbox::Inbox,
    lock,
    session::PublishSession,
    stream::StreamHandle,
};

/// Name of the session, answer, name of the ICE session, notes.
type OpenedTuple = (String, String, String, Vec<String>);

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct WebRtcTransport {
    transport: Arc<arcly_io::webrtc::WebRtcTransport>,
    runtime: arcly_io::Handle,
}

#[pymethods]
impl WebRtcTransport {
    #[new]
    #[pyo3(signature = (engine, inbox, addr, *, hosts, stun_servers, sessions_max, connect_timeout_s, silence_timeout_s, tcp, playout_delay_s=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only in Python; a struct would only move them")]
    fn new(
        engine: &Engine,
        inbox: &Inbox,
        addr: &str,
        hosts: Vec<String>,
        stun_servers: Vec<String>,
        sessions_max: usize,
        connect_timeout_s: f64,
        silence_timeout_s: f64,
        tcp: bool,
        playout_delay_s: Option<(f64, f64)>,
    ) -> PyResult<Self> {
        let runtime = engine.runtime_handle()?;
        let hosts = hosts.iter().map(|host| parse_ip(host)).collect::<PyResult<_>>()?;
        let (connect_time, silence) = (seconds(connect_timeout_s)?, seconds(silence_timeout_s)?);
        let stun_servers = stun_servers.iter().map(|server| parse_addr(server)).collect::<PyResult<_>>()?;
        let mut options = WebRtcOptions { hosts, stun_servers, sessions_max, ..WebRtcOptions::default() };
        options.limits = Limits { connect_time, silence, ..options.limits };
        options.playout_delay =
            playout_delay_s.map(|(min, max)| Ok::<_, PyErr>((seconds(min)?, seconds(max)?))).transpose()?;
        if !tcp {
            options.tcp_connections_max = 0;
        }
        let transport = arcly_io::webrtc::WebRtcTransport::bind(&runtime, parse_addr(addr)?, options, inbox.0.clone());
        Ok(Self { transport: Arc::new(transport.map_err(from_listen)?), runtime })
    }

    #[getter]
    fn addr(&self) -> (String, u16) {
        (self.transport.addr().ip().to_string(), self.transport.addr().port())
    }

    #[getter]
    fn discovered(&self) -> Vec<(String, u16)> {
        self.transport.discovered().into_iter().map(|addr| (addr.ip().to_string(), addr.port())).collect()
    }

    #[getter]
    fn sessions(&self) -> usize {
        self.transport.sessions()
    }

    fn viewers(&self) -> Vec<ViewerTuple> {
        self.transport.viewers().into_iter().map(viewer).collect()
    }

    fn kick(&self, viewer: u64) -> bool {
        self.transport.kick(viewer)
    }

    #[pyo3(signature = (session, offer, address, agent, *, others=Vec::new()))]
    fn publish(
        &self,
        py: Python<'_>,
        session: &PublishSession,
        offer: &str,
        address: &str,
        agent: String,
        others: Vec<(String, PyRef<'_, PublishSession>)>,
    ) -> PyResult<OpenedTuple> {
        let caller = Caller { key: session.stream_key(), address: parse_ip(address)?, agent };
        let prepared = py.detach(|| self.transport.prepare_publish(offer, caller)).map_err(from_open)?;
        // Taken only now: what cannot be answered leaves the session to its owner.
        let publisher = session.take()?;
        let others = others.into_iter().map(|(name, session)| Ok((name, session.take()?))).collect::<PyResult<_>>()?;
        let answer = prepared.answer().clone();
        Ok(opened(prepared.publish(publisher, others).map_err(from_open)?, answer))
    }

    #[pyo3(signature = (stream, offer, address, agent, *, sound=None, messages=None, renditions=Vec::new(), passes_b_frames=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only in Python; a struct would only move them")]
    fn play(
        &self,
        py: Python<'_>,
        stream: &StreamHandle,
        offer: &str,
        address: &str,
        agent: String,
        sound: Option<&StreamHandle>,
        messages: Option<&StreamHandle>,
        renditions: Vec<PyRef<'_, StreamHandle>>,
        passes_b_frames: bool,
    ) -> PyResult<OpenedTuple> {
        let caller = Caller { key: stream.0.key().clone(), address: parse_ip(address)?, agent };
        let log = |stream: &StreamHandle| stream.0.log().clone();
        let apart = Apart { sound: sound.map(log), messages: messages.map(log) };
        let b_frames = if passes_b_frames { BFrames::Pass } else { BFrames::Drop };
        let named = |stream: &StreamHandle| (stream.0.key().stream().to_owned(), stream.0.log().clone());
        let all = std::iter::once(named(stream)).chain(renditions.iter().map(|stream| named(stream))).collect();
        let (id, answer) = py.detach(|| self.transport.play(offer, all, apart, b_frames, caller)).map_err(from_open)?;
        Ok(opened(id, answer))
    }

    fn trickle(&self, id: String, fragment: String, ice: Option<String>, done: &WakeToken) -> WebRtcReply {
        let transport = self.transport.clone();
        self.ask(done, async move {
            let answer = transport.trickle(&id, &fragment, ice).await?;
            Ok(answer.map(|answer| (answer.sdp, answer.user_name)))
        })
    }

    fn layer(&self, id: String, done: &WakeToken) -> WebRtcReply {
        let transport = self.transport.clone();
        self.ask(done, async move {
            let (name, estimate_bps) = transport.layer(&id).await?;
            Ok(Some((name, estimate_bps.to_string())))
        })
    }

    fn close(&self, id: String, done: &WakeToken) -> WebRtcReply {
        let transport = self.transport.clone();
        self.ask(done, async move {
            let found = transport.close(&id).await?;
            if found { Ok(None) } else { Err(OpenError::NotFound) }
        })
    }

    fn stop(&self, done: &WakeToken) {
        let transport = self.transport.clone();
        done.wake_after(&self.runtime, async move { transport.stop().await });
    }
}

impl WebRtcTransport {
    fn ask(&self, done: &WakeToken, asking: impl Future<Output = Told> + Send + 'static) -> WebRtcReply {
        let told = Arc::new(Mutex::new(None));
        let reply = WebRtcReply { told: told.clone() };
        done.wake_after(&self.runtime, async move {
            let answer = asking.await;
            *lock(&told) = Some(answer);
        });
        reply
    }
}

/// A fragment and the name of the ICE session, when there is one; or a rendition and an estimate.
type Told = Result<Option<(String, String)>, OpenError>;

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct WebRtcReply {
    told: Arc<Mutex<Option<Told>>>,
}

#[pymethods]
impl WebRtcReply {
    fn take(&self) -> PyResult<Option<(String, String)>> {
        lock(&self.told).take().unwrap_or(Err(OpenError::Stopped)).map_err(from_open)
    }
}

fn opened(id: String, answer: Answer) -> OpenedTuple {
    (id, answer.sdp, answer.user_name, answer.notes)
}

fn parse_ip(text: &str) -> PyResult<IpAddr> {
    text.parse().map(|ip: IpAddr| ip.to_canonical()).map_err(|_| misuse(format!("{text:?} is no IP address")))
}

fn from_open(error: OpenError) -> PyErr {
    let text = error.to_string();
    match error {
        OpenError::Offer(WebRtcError::Unsupported { .. }) | OpenError::NothingToPlay => UnsupportedError::new_err(text),
        OpenError::Offer(WebRtcError::Bug(_)) => StreamError::new_err(text),
        OpenError::Offer(_) => MalformedError::new_err(text),
        OpenError::Full | OpenError::FullForAddress => LimitExceededError::new_err(text),
        OpenError::NotFound => NotFoundError::new_err(text),
        OpenError::OtherIce => misuse(text),
        OpenError::Stopped => ClosedError::new_err(text),
    }
}
