//! What all sessions of a process have in common.

use std::{
    net::SocketAddr,
    sync::{PoisonError, RwLock},
};

use aws_lc_rs::rand;
use str0m::{
    Candidate,
    config::DtlsCert,
    crypto::{CryptoProvider, from_feature_flags},
    net::TcpType,
};

use super::{
    Limits, WebRtcError,
    session::{WallClock, configured_once, keeping_keys},
};

/// Who we are and where: shared by all sessions of a listener.
#[derive(Debug)]
pub struct Settings {
    /// What one session may cost.
    pub limits: Limits,
    pub(crate) certificate: DtlsCert,
    pub(crate) crypto: std::sync::Arc<CryptoProvider>,
    /// The same, where the keys of a handshake stay with us.
    pub(crate) keeping_keys: std::sync::Arc<CryptoProvider>,
    pub(super) clock: WallClock,
    candidates: Vec<Candidate>,
    /// Found out while the port is open.
    discovered: RwLock<Vec<Candidate>>,
    udp: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
}

impl Settings {
    /// Makes a certificate (which takes a millisecond: once a process is enough); peers are told to connect to `udp` and `tcp`.
    ///
    /// # Errors
    /// [`WebRtcError`] when no certificate can be made, or an address is none that a peer could reach.
    pub fn new(limits: Limits, udp: Vec<SocketAddr>, tcp: Vec<SocketAddr>) -> Result<Self, WebRtcError> {
        let crypto = configured_once(&from_feature_flags());
        let certificate = crypto.dtls_provider.generate_certificate();
        let certificate = certificate.ok_or(WebRtcError::Bug("making a certificate"))?;
        let unusable = |addr: &SocketAddr| WebRtcError::unsupported(format!("nobody can reach {addr}"));
        let host = |addr: &SocketAddr| Candidate::host(*addr, "udp").map_err(|_| unusable(addr));
        let passive = |addr: &SocketAddr| {
            let built = Candidate::builder().tcp().host(*addr).tcptype(TcpType::Passive).build();
            built.map_err(|_| unusable(addr))
        };
        let candidates = udp.iter().map(host).chain(tcp.iter().map(passive)).collect::<Result<_, _>>()?;
        let keeping_keys = keeping_keys(&crypto).into();
        let (clock, discovered) = (WallClock::now(), RwLock::default());
        Ok(Self { limits, certificate, crypto: crypto.into(), keeping_keys, clock, candidates, discovered, udp, tcp })
    }

    /// Peers are told to connect to these addresses of the UDP port too, from now on: those under which it is seen from outside. What
    /// nobody could reach is left out.
    pub fn set_discovered(&self, addresses: &[SocketAddr]) {
        let candidates = addresses.iter().filter_map(|addr| Candidate::host(*addr, "udp").ok()).collect();
        *self.discovered.write().unwrap_or_else(PoisonError::into_inner) = candidates;
    }

    /// What [`Self::set_discovered`] was told last.
    pub fn discovered(&self) -> Vec<SocketAddr> {
        self.discovered.read().unwrap_or_else(PoisonError::into_inner).iter().map(Candidate::addr).collect()
    }

    /// What peers are told now.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let discovered = self.discovered.read().unwrap_or_else(PoisonError::into_inner);
        self.candidates.iter().chain(&*discovered).cloned().collect()
    }

    /// The address of ours at which a datagram of `peer` is taken to have come in. One socket stands for all of them, so only the
    /// family matters.
    pub(crate) fn local(&self, peer: SocketAddr, is_tcp: bool) -> Option<SocketAddr> {
        let ours = if is_tcp { &self.tcp } else { &self.udp };
        ours.iter().find(|addr| addr.is_ipv6() == peer.is_ipv6()).or(ours.first()).copied()
    }
}

/// A name that nobody can guess: 128 random bits in hexadecimal digits.
pub fn token() -> String {
    let mut bytes = [0; 16];
    // It fails when the operating system has no randomness at all; then nothing here could be trusted.
    if rand::fill(&mut bytes).is_err() {
        return String::new();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
