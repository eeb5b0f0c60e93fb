//! A connection without str0m: once the handshake is done, what is left of it are checks to answer and a goodbye to hear. That takes 37 KB
//! less of heap.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use str0m::{
    IceCreds,
    crypto::dtls::{DtlsInstance, DtlsOutput},
};

use super::Direct;
use crate::webrtc::{
    demux::{Datagram, classify},
    session::{Transport, event::Event},
    stun::Check,
};

/// Room for any record of DTLS: a datagram's.
const RECORD_BYTES: usize = 2048;

/// How soon DTLS may want to be called again at the least: nothing is urgent once it is up.
const TURN_MIN: Duration = Duration::from_millis(20);

/// Credentials of ours that are good: the newest, and those before an ICE restart, over which media flow until its first check.
const CREDENTIALS_MAX: usize = 2;

/// Both ends as ICE knows them.
#[derive(Debug)]
pub(in crate::webrtc::session) struct Names {
    /// The newest last.
    ours: Vec<(IceCreds, String)>,
    /// The lines of our answer that a restart says anew.
    fragment: String,
}

impl Names {
    /// `fragment`: what a restart would be answered with.
    pub(in crate::webrtc::session) fn new(ours: IceCreds, theirs: String, fragment: String) -> Self {
        Self { ours: vec![(ours, theirs)], fragment }
    }

    /// The name of the peer.
    pub(in crate::webrtc::session) fn theirs(&self) -> Option<&str> {
        self.ours.last().map(|(_, theirs)| theirs.as_str())
    }

    /// Restarts ICE for a peer that has a new name; our new name and the fragment that says it.
    pub(in crate::webrtc::session) fn restart(&mut self, theirs: String) -> (String, String) {
        let ours = IceCreds::new();
        let fragment = self.fragment.lines().map(|line| match line {
            line if line.starts_with("a=ice-ufrag:") => format!("a=ice-ufrag:{}\r\n", ours.ufrag),
            line if line.starts_with("a=ice-pwd:") => format!("a=ice-pwd:{}\r\n", ours.pass),
            line => format!("{line}\r\n"),
        });
        let restarted = (ours.ufrag.clone(), fragment.collect());
        if self.ours.len() >= CREDENTIALS_MAX {
            self.ours.remove(0);
        }
        self.ours.push((ours, theirs));
        restarted
    }

    /// The answer to a check, and whether it chooses its way.
    fn answer(&self, datagram: &[u8], from: SocketAddr) -> Option<(Vec<u8>, bool)> {
        self.ours.iter().rev().find_map(|(ours, theirs)| {
            let check = Check::read(datagram, &ours.ufrag, theirs, &ours.pass)?;
            Some((check.answer(from, &ours.pass)?, check.nominates))
        })
    }
}

/// What str0m has left.
#[derive(Debug)]
pub(super) struct Alone {
    dtls: Box<dyn DtlsInstance>,
    pub(super) names: Names,
    pub(super) due: Option<Instant>,
    is_closed: bool,
}

impl Direct {
    /// Goes on without str0m, which must have been dropped: then it has left its DTLS.
    pub(in crate::webrtc::session) fn go_alone(&mut self, names: Names) -> bool {
        let dtls = self.handshake.take_dtls();
        self.alone = dtls.map(|dtls| Alone { dtls, names, due: None, is_closed: false });
        self.poll_dtls();
        self.alone.is_some()
    }

    /// Both ends, once it goes on alone.
    pub(in crate::webrtc::session) fn names(&mut self) -> Option<&mut Names> {
        self.alone.as_mut().map(|alone| &mut alone.names)
    }

    /// Whether all is over, and said.
    pub(in crate::webrtc::session) fn is_over(&self) -> bool {
        self.alone.as_ref().is_some_and(|alone| alone.is_closed) && self.waiting.is_empty()
    }

    /// Takes a check or a record; false when it is not the peer's, or not known to be.
    pub(in crate::webrtc::session) fn handle_alone(
        &mut self,
        transport: Transport,
        from: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let Some(alone) = &mut self.alone else { return false };
        if classify(datagram) == Some(Datagram::Dtls) {
            // What is malformed may be of somebody who only writes the peer's address on it.
            let _ = alone.dtls.handle_packet(datagram);
            self.poll_dtls();
            return false;
        }
        let Some((answer, nominates)) = alone.names.answer(datagram, from) else { return false };
        if nominates {
            self.follow(transport, from);
        }
        self.wait_to(Some((transport, from)), answer);
        true
    }

    pub(super) fn time_dtls(&mut self, now: Instant) {
        let Some(alone) = self.alone.as_mut().filter(|alone| alone.due.is_some_and(|due| due <= now)) else { return };
        let _ = alone.dtls.handle_timeout(now);
        self.poll_dtls();
        if let Some(due) = self.alone.as_mut().and_then(|alone| alone.due.as_mut()) {
            *due = (*due).max(now + TURN_MIN);
        }
    }

    pub(super) fn close_dtls(&mut self) {
        let Some(alone) = &mut self.alone else { return };
        let _ = alone.dtls.close();
        alone.is_closed = true;
        self.poll_dtls();
    }

    fn poll_dtls(&mut self) {
        let Some(mut alone) = self.alone.take() else { return };
        let mut record = [0; RECORD_BYTES];
        loop {
            match alone.dtls.poll_output(&mut record) {
                DtlsOutput::Packet(packet) => self.wait_to(None, packet.to_vec()),
                DtlsOutput::Timeout(at) => {
                    alone.due = Some(at);
                    break;
                }
                DtlsOutput::CloseNotify => self.events.push_back(Event::Closed),
                // Nothing else is agreed on.
                DtlsOutput::ApplicationData(_) | DtlsOutput::Connected | DtlsOutput::PeerCert(_) => {}
                _ => break,
            }
        }
        self.alone = Some(alone);
    }
}
