//! A connection without str0m: once the handshake is done, what is left of it are checks to answer and a goodbye to hear. That takes 37 KB
//! less of heap.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use str0m::{
    IceCreds,
    crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput},
};

use super::Direct;
use crate::webrtc::{
    WebRtcError,
    demux::{Arrival, Datagram},
    fragment::under,
    session::{Heard, event::Event, guard::guard},
    stun::{Check, Message},
};

/// Room for what is in any record of DTLS that is taken: longer datagrams are not.
pub(super) const RECORD_BYTES: usize = 2048;

/// How soon DTLS may want to be called again at the least: nothing is urgent once it is up.
const TURN_MIN: Duration = Duration::from_millis(20);

/// Both ends as ICE knows them.
#[derive(Debug)]
pub(in crate::webrtc::session) struct Names {
    /// Those that media run on, and behind them the newest, of an ICE restart, until it has chosen a way: two at most.
    pub(super) ours: Vec<(IceCreds, String)>,
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
        let renewed = |line| under(line, &ours.ufrag, &ours.pass).unwrap_or_else(|| line.to_owned());
        let fragment = self.fragment.lines().map(|line| renewed(line) + "\r\n");
        let restarted = (ours.ufrag.clone(), fragment.collect());
        self.ours.truncate(1);
        self.ours.push((ours, theirs));
        restarted
    }

    /// Whether checks under this name of ours are answered.
    pub(in crate::webrtc::session) fn knows(&self, name: &str) -> bool {
        self.ours.iter().any(|(ours, _)| ours.ufrag == name)
    }

    /// The answer to a check, and whether it chooses its way. One that does makes older credentials forgotten.
    fn answer(&mut self, request: &Message<'_>, from: SocketAddr) -> Option<(Vec<u8>, bool)> {
        let (index, check, answer) = self.ours.iter().enumerate().rev().find_map(|(index, (ours, theirs))| {
            let check = Check::read(request, &ours.ufrag, theirs, &ours.pass)?;
            Some((index, check, check.answer(from, &ours.pass)?))
        })?;
        if check.nominates {
            self.ours.drain(..index);
        }
        Some((answer, check.nominates))
    }
}

/// What str0m has left.
#[derive(Debug)]
pub(super) struct Alone {
    pub(super) dtls: Box<dyn DtlsInstance>,
    pub(super) names: Names,
    pub(super) due: Option<Instant>,
    is_closed: bool,
}

/// What DTLS wants.
enum Wish {
    Send(Vec<u8>),
    Wake(Instant),
    Closed,
    Nothing,
    /// None that we know: it may be that it says nothing else until it is granted.
    Unknown,
}

impl Direct {
    /// Goes on without str0m, which must have been dropped: then it has left its DTLS.
    pub(in crate::webrtc::session) fn go_alone(&mut self, names: Names) -> Result<(), WebRtcError> {
        let dtls = self.handshake.take_dtls().ok_or(WebRtcError::Bug("handing DTLS over"))?;
        self.alone = Some(Alone { dtls, names, due: None, is_closed: false });
        self.poll_dtls()
    }

    /// Both ends, once it goes on alone.
    pub(in crate::webrtc::session) fn names(&mut self) -> Option<&mut Names> {
        self.alone.as_mut().map(|alone| &mut alone.names)
    }

    /// Whether all is over, and said.
    pub(in crate::webrtc::session) fn is_over(&self) -> bool {
        self.alone.as_ref().is_some_and(|alone| alone.is_closed) && self.waiting.is_empty()
    }

    /// Takes a check or a record.
    pub(in crate::webrtc::session) fn handle_alone(
        &mut self,
        arrival: &Arrival<'_>,
        now: Instant,
    ) -> Result<Heard, WebRtcError> {
        if arrival.kind == Datagram::Dtls {
            return self.handle_record(arrival.bytes);
        }
        let (Some(alone), Some(request)) = (&mut self.alone, arrival.request()) else { return Ok(Heard::Nothing) };
        let Some((answer, nominates)) = alone.names.answer(request, arrival.from) else { return Ok(Heard::Nothing) };
        self.note(arrival, now);
        if nominates {
            self.follow(arrival.transport, arrival.from);
        }
        self.wait_to(Some(arrival.path()), answer);
        Ok(Heard::Peer)
    }

    /// What is malformed may be of somebody who only writes the peer's address on it, and whose a record is DTLS does not say. An alert that
    /// it has understood is the peer's: behind the handshake it passes over those that are not signed (RFC 6347 §4.1.2.7, RFC 9147 §4.5.2).
    fn handle_record(&mut self, datagram: &[u8]) -> Result<Heard, WebRtcError> {
        if self.alone.is_none() || datagram.len() > RECORD_BYTES {
            return Ok(Heard::Nothing);
        }
        let taken = self.call_dtls("reading a record", |dtls| dtls.handle_packet(datagram))?;
        if let (Some(Err(DtlsImplError::SecurityError(_))), Some(alone)) = (taken, &mut self.alone) {
            alone.is_closed = true;
            self.events.push_back(Event::Closed);
        }
        self.poll_dtls()?;
        Ok(Heard::Something)
    }

    pub(super) fn time_dtls(&mut self, now: Instant) -> Result<(), WebRtcError> {
        if self.alone.as_ref().and_then(|alone| alone.due).is_none_or(|due| due > now) {
            return Ok(());
        }
        self.call_dtls("minding the time", |dtls| dtls.handle_timeout(now))?;
        self.poll_dtls()?;
        if let Some(due) = self.alone.as_mut().and_then(|alone| alone.due.as_mut()) {
            *due = (*due).max(now + TURN_MIN);
        }
        Ok(())
    }

    pub(super) fn close_dtls(&mut self) -> Result<(), WebRtcError> {
        self.call_dtls("closing", |dtls| dtls.close())?;
        if let Some(alone) = &mut self.alone {
            alone.is_closed = true;
        }
        self.poll_dtls()
    }

    fn poll_dtls(&mut self) -> Result<(), WebRtcError> {
        let mut record = [0; RECORD_BYTES];
        while let Some(wish) = self.call_dtls("polling DTLS", |dtls| wish_of(dtls.poll_output(&mut record)))? {
            match wish {
                Wish::Send(packet) => self.wait_to(None, packet),
                Wish::Wake(at) => {
                    self.alone.as_mut().into_iter().for_each(|alone| alone.due = Some(at));
                    break;
                }
                Wish::Closed => self.events.push_back(Event::Closed),
                Wish::Nothing => {}
                Wish::Unknown => {
                    self.drop_dtls();
                    return Err(WebRtcError::Bug("polling DTLS"));
                }
            }
        }
        Ok(())
    }

    /// Calls what str0m has left, as long as it is there. What has panicked is not called again.
    fn call_dtls<T>(
        &mut self,
        doing: &'static str,
        call: impl FnOnce(&mut dyn DtlsInstance) -> T,
    ) -> Result<Option<T>, WebRtcError> {
        let Some(alone) = &mut self.alone else { return Ok(None) };
        let result = guard(doing, || call(&mut *alone.dtls));
        if result.is_err() {
            self.drop_dtls();
        }
        result.map(Some)
    }

    fn drop_dtls(&mut self) {
        let alone = self.alone.take();
        let _ = guard("dropping DTLS", || drop(alone));
    }
}

fn wish_of(output: DtlsOutput<'_>) -> Wish {
    match output {
        DtlsOutput::Packet(packet) => Wish::Send(packet.to_vec()),
        DtlsOutput::Timeout(at) => Wish::Wake(at),
        DtlsOutput::CloseNotify => Wish::Closed,
        // Nothing else is agreed on.
        DtlsOutput::ApplicationData(_) | DtlsOutput::Connected | DtlsOutput::PeerCert(_) => Wish::Nothing,
        _ => Wish::Unknown,
    }
}
