//! `RtspListener`.

use std::{collections::HashMap, sync::Arc};

use arcly_io::rtsp::{GroupRange, Limits, RtspOptions, Srtp, Suite, Users};
use pyo3::prelude::*;

use crate::{
    arguments::{parse_addr, seconds},
    egress::{EgressTuple, ViewerTuple, options, viewer},
    engine::Engine,
    error::{from_listen, misuse},
    hub::WakeToken,
    inbox::Inbox,
    tls::TlsIdentity,
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct RtspListener {
    listener: Arc<arcly_io::rtsp::RtspListener>,
    runtime: arcly_io::Handle,
}

#[pymethods]
impl RtspListener {
    #[new]
    #[pyo3(signature = (engine, inbox, addr, *, connections_max, decision_deadline_s, session_timeout_s, media_timeout_s, udp_port=None, srtp=None, back_channel=false, groups=None, users=None, tls=None, egress=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only in Python; a struct would only move them")]
    fn new(
        engine: &Engine,
        inbox: &Inbox,
        addr: &str,
        connections_max: usize,
        decision_deadline_s: f64,
        session_timeout_s: f64,
        media_timeout_s: f64,
        udp_port: Option<u16>,
        srtp: Option<(String, bool)>,
        back_channel: bool,
        groups: Option<(u32, u32, u16)>,
        users: Option<HashMap<String, String>>,
        tls: Option<&TlsIdentity>,
        egress: Option<EgressTuple>,
    ) -> PyResult<Self> {
        let runtime = engine.runtime_handle()?;
        let (session_time, media_time) = (seconds(session_timeout_s)?, seconds(media_timeout_s)?);
        let limits = Limits { session_time, media_time, ..Limits::default() };
        let (decision_deadline, tls) = (seconds(decision_deadline_s)?, tls.map(|tls| tls.0.clone()));
        let (egress, users) = (options(egress)?, users.map(Users::from_iter));
        let groups = groups.map(|(network, addresses, port)| GroupRange { network: network.into(), addresses, port });
        let srtp =
            srtp.map(|(name, may_play_bare)| suite(&name).map(|suite| Srtp { suite, may_play_bare })).transpose()?;
        let options = RtspOptions {
            connections_max,
            decision_deadline,
            limits,
            egress,
            users,
            tls,
            udp_port,
            srtp,
            back_channel,
            groups,
        };
        let addr = parse_addr(addr)?;
        let listener = arcly_io::rtsp::RtspListener::bind(&runtime, addr, options, inbox.0.clone());
        Ok(Self { listener: Arc::new(listener.map_err(from_listen)?), runtime })
    }

    #[getter]
    fn addr(&self) -> (String, u16) {
        (self.listener.addr().ip().to_string(), self.listener.addr().port())
    }

    #[getter]
    fn udp_ports(&self) -> Option<(u16, u16)> {
        self.listener.udp_ports()
    }

    fn viewers(&self) -> Vec<ViewerTuple> {
        self.listener.egress().viewers().into_iter().map(viewer).collect()
    }

    fn kick(&self, viewer: u64) -> bool {
        self.listener.egress().kick(viewer)
    }

    fn stop(&self, done: &WakeToken) {
        let listener = self.listener.clone();
        done.wake_after(&self.runtime, async move { listener.stop().await });
    }
}

/// A way to encrypt and sign, by its name.
fn suite(name: &str) -> PyResult<Suite> {
    Suite::parse(name).ok_or_else(|| misuse(format!("{name} is no suite of SRTP that is known here")))
}
