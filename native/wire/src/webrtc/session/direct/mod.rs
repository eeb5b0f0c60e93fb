//! Packets for a viewer that go past str0m, which then does ICE, DTLS and data channels alone: sealed here, once, where the system call
//! takes them from.
//!
//! - `track`: one source: its numbers, times and header; `recent`: what it can be asked for again;
//! - `report`: what is said of it; `feedback`: what the viewer says;
//! - `alone`: checks and the goodbye, once str0m is let go; `paths`: where the peer is; `proof`: whether it is.

mod alone;
mod feedback;
mod paths;
mod proof;
mod recent;
mod report;
#[cfg(test)]
mod tests;
mod track;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

pub(in crate::webrtc) use self::report::WallClock;
use self::{
    alone::Alone,
    paths::{Path, Paths},
    proof::Proof,
    report::INTERVAL,
};
pub(super) use self::{alone::Names, track::Track};
use super::{
    Heard, Lane, OutgoingPacket, Output, Sink, Transmit, Transport, WebRtcError, event::Event, handshake::Handshake,
};
use crate::webrtc::{demux::Arrival, srtp::Srtp};

/// Datagrams that wait to be polled, and repetitions that one datagram can ask for.
const WAITING_MAX: usize = 256;

/// A viewer's packets.
#[derive(Debug)]
pub(super) struct Direct {
    handshake: Arc<Handshake>,
    /// Once the handshake is done.
    srtp: Option<Srtp>,
    paths: Paths,
    proof: Proof,
    tracks: Vec<Track>,
    clock: WallClock,
    /// When the next reports are due; none before the first packet.
    reports_at: Option<Instant>,
    /// Datagrams, and where they go unless it is where media go.
    waiting: VecDeque<(Option<Path>, Vec<u8>)>,
    events: VecDeque<Event>,
    alone: Option<Alone>,
}

impl Direct {
    /// `consent`: how long a check of the viewer allows to send to where it came from.
    pub(super) fn new(handshake: Arc<Handshake>, tracks: Vec<Track>, clock: WallClock, consent: Duration) -> Self {
        Self {
            handshake,
            srtp: None,
            paths: Paths::new(consent),
            proof: Proof::default(),
            tracks,
            clock,
            reports_at: None,
            waiting: VecDeque::new(),
            events: VecDeque::new(),
            alone: None,
        }
    }

    /// The handshake is done.
    pub(super) fn connect(&mut self) -> Result<(), WebRtcError> {
        self.srtp = self.handshake.take_keys().and_then(|keys| Srtp::new(&keys));
        // Both sides have answered each other there.
        self.paths.chosen().into_iter().for_each(|path| self.proof.prove(path));
        let none = || WebRtcError::Broken("the peer agreed on no profile of SRTP that we know".into());
        self.srtp.as_ref().map(drop).ok_or_else(none)
    }

    /// Where ICE has got to.
    pub(super) fn follow(&mut self, transport: Transport, to: SocketAddr) {
        self.paths.choose((transport, to));
    }

    /// Whether a datagram is a check that came before, from elsewhere.
    pub(super) fn is_copy(&self, arrival: &Arrival<'_>) -> bool {
        arrival.request().is_some_and(|request| self.paths.is_copy(&request.transaction, arrival.path()))
    }

    /// A datagram was the peer's: when it is a check, the peer is where it came from, and agrees to be sent to.
    pub(super) fn note(&mut self, arrival: &Arrival<'_>, now: Instant) {
        if let Some(request) = arrival.request() {
            self.paths.check(request.transaction, arrival.path(), now);
        }
    }

    /// A connection has closed.
    pub(super) fn lose(&mut self, transport: Transport, to: SocketAddr) {
        self.paths.lose((transport, to));
    }

    pub(super) fn plays(&self, lane: Lane) -> bool {
        self.tracks.iter().any(|track| track.lane() == lane)
    }

    /// Sends a packet. True when something else waits to be polled besides.
    pub(super) fn send(
        &mut self,
        lane: Lane,
        packet: OutgoingPacket,
        delay: Option<(Duration, Duration)>,
        now: Instant,
        sink: &mut dyn Sink,
    ) -> bool {
        let path = self.paths.media(now);
        let Some(srtp) = &self.srtp else { return false };
        let Some(track) = self.tracks.iter_mut().find(|track| track.lane() == lane) else { return false };
        let (moment, mut is_written) = (self.clock.send_time(now), false);
        if let Some((transport, to)) = path {
            sink.datagram(transport, to, &mut |out| {
                is_written = track.write(&packet, moment, delay, srtp, out);
                is_written
            });
        }
        let is_first = track.sent(packet, is_written, now);
        if is_first {
            // Whoever knows both clocks from the beginning need not move the sound later.
            self.reports_at = Some(now);
        }
        is_first
    }

    /// Takes SRTCP of the viewer.
    pub(super) fn handle_datagram(&mut self, arrival: &Arrival<'_>, now: Instant) -> Heard {
        let opened = self.srtp.as_mut().and_then(|srtp| srtp.open_rtcp(arrival.bytes));
        let Some(plain) = opened else { return Heard::Nothing };
        self.take_feedback(&plain, now);
        if self.paths.renew(arrival.path(), now) { Heard::Peer } else { Heard::Something }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), WebRtcError> {
        self.paths.media(now);
        self.time_dtls(now)?;
        if self.reports_at.is_some_and(|due| due <= now) {
            self.report(now);
            // Spread, so that a thousand viewers of a stream do not answer at once (RFC 3550 §6.2).
            let spread = self.tracks.first().map_or(0, |track| track.random() % 512);
            self.reports_at = Some(now + INTERVAL - Duration::from_millis(256) + Duration::from_millis(spread.into()));
            if self.proof.is_doubtful() {
                return Err(WebRtcError::Broken(
                    "nobody has told to hear what is sent to the address of its checks".into(),
                ));
            }
        }
        Ok(())
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let alone = self.alone.as_ref().and_then(|alone| alone.due);
        [self.reports_at, alone].into_iter().flatten().min()
    }

    /// Says goodbye.
    pub(super) fn close(&mut self) -> Result<(), WebRtcError> {
        self.say_goodbye();
        self.reports_at = None;
        self.close_dtls()
    }

    /// Whether the handshake is done.
    pub(super) fn is_connected(&self) -> bool {
        self.srtp.is_some() && self.paths.chosen().is_some()
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        if let Some(event) = self.events.pop_front() {
            return Some(Output::Event(event));
        }
        loop {
            let (path, bytes) = self.waiting.pop_front()?;
            if let Some((transport, to)) = path.or(self.paths.chosen()) {
                return Some(Output::Transmit(Transmit { transport, to, bytes }));
            }
        }
    }

    fn wait(&mut self, datagram: Vec<u8>) {
        self.wait_to(None, datagram);
    }

    fn wait_to(&mut self, path: Option<Path>, datagram: Vec<u8>) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back((path, datagram));
        }
    }
}
