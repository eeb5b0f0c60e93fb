//! Two who call each other (SRT §4.3.2), each behind a router that lets in only who was called.
//!
//! ```text
//! Waving ──their first packet──▶ Attention ──HSREQ or HSRSP──▶ (responder: Initiated ──anything more──▶) Connected
//! ```
//!
//! Who has the greater cookie is the initiator, and asks; the other answers. Each packet may be lost: each side repeats what it said last
//! until it has heard what it waits for.

use std::{net::SocketAddr, time::Duration};

use aws_lc_rs::rand;

use super::{
    CallEnd, Handshake, HandshakeType, Passphrase, RejectReason, SrtConn, SrtError, SrtOptions,
    caller::REPEAT,
    crypto::Keys,
    negotiate::{Local, check, check_response, delays, our_message, random_number, request, response, take_keys},
    packet::{Control, Packet},
};

/// Where it has come to.
#[derive(Debug)]
enum State {
    Waving,
    /// We ask, with these keys.
    Asking(Box<Option<Keys>>),
    /// We wait to be asked.
    Listening,
    /// We have answered, and wait for a sign that it was heard.
    Answered(Box<SrtConn>),
}

/// A rendezvous that is being made. Send what [`poll_output`](Self::poll_output) gives, feed it what comes.
#[derive(Debug)]
pub struct SrtRendezvous {
    options: SrtOptions,
    passphrase: Option<Passphrase>,
    local: Local,
    cookie: u32,
    state: State,
    /// What is repeated, and to which socket.
    said: (Handshake, u32),
    /// What is said once more, at the end.
    farewell: Option<Vec<u8>>,
    next: Duration,
    until: Duration,
    end: Option<CallEnd>,
}

impl SrtRendezvous {
    /// Meets `peer`, who must do the same.
    ///
    /// # Errors
    /// [`SrtError::Crypto`]: there are no random numbers.
    pub fn new(
        now: Duration,
        peer: SocketAddr,
        passphrase: Option<Passphrase>,
        options: SrtOptions,
    ) -> Result<Self, SrtError> {
        let local = Local { socket_id: random_number()?, sequence: random_number()?, start: now, peer };
        let cookie = small_cookie()?;
        let wave = Handshake { cookie, ..local.handshake(HandshakeType::WaveAHand, &options) };
        let until = now + options.limits.connect_time;
        let (state, said) = (State::Waving, (wave, 0));
        Ok(Self { options, passphrase, local, cookie, state, said, farewell: None, next: now, until, end: None })
    }

    /// The next packet to send, if it is time for one.
    pub fn poll_output(&mut self, now: Duration) -> Option<Vec<u8>> {
        if let Some(farewell) = self.farewell.take() {
            return Some(farewell);
        }
        if self.end.is_some() || now < self.next {
            return None;
        }
        self.next = now + REPEAT;
        Some(self.local.packet(now, &self.said.0, self.said.1))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) and [`poll_output`](Self::poll_output).
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.end.is_none().then(|| self.next.min(self.until))
    }

    /// Says that the time is `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.end.is_none() && now >= self.until {
            let error = SrtError::Timeout { what: "no answer", after: self.options.limits.connect_time };
            self.end = Some(CallEnd::Failed(error));
        }
    }

    /// What it has come to; then it is over. Send what [`poll_output`](Self::poll_output) still gives.
    pub fn take_end(&mut self) -> Option<CallEnd> {
        self.end.take()
    }

    /// Takes a datagram of the peer. One that makes no sense is dropped.
    pub fn handle_input(&mut self, now: Duration, datagram: &[u8]) {
        if self.end.is_some() {
            return;
        }
        match Packet::parse(datagram) {
            Ok(Packet::Control(header, Control::Handshake(body))) => {
                if let Ok(handshake) = Handshake::parse(body) {
                    self.on_handshake(now, header.timestamp, &handshake);
                }
            }
            // A peer that sends anything else is connected, so it has heard our answer (SRT §4.3.2.6 (2) 3).
            Ok(_) if Packet::destination(datagram) == Some(self.local.socket_id) => self.connected(now, Some(datagram)),
            _ => {}
        }
    }

    fn on_handshake(&mut self, now: Duration, timestamp: u32, handshake: &Handshake) {
        match handshake.kind {
            HandshakeType::Reject(reason) => self.end = Some(CallEnd::Rejected(reason)),
            HandshakeType::Agreement => self.connected(now, None),
            HandshakeType::WaveAHand => self.meet(now, handshake),
            HandshakeType::Conclusion => {
                self.meet(now, handshake);
                self.on_conclusion(now, timestamp, handshake);
            }
            HandshakeType::Induction | HandshakeType::Unknown(_) => {}
        }
    }

    /// The first sign of the peer: whose cookie is greater (SRT §4.3.2.1)?
    fn meet(&mut self, now: Duration, handshake: &Handshake) {
        if !matches!(self.state, State::Waving) || self.end.is_some() {
            return;
        }
        let contest = i64::from(self.cookie.cast_signed()) - i64::from(handshake.cookie.cast_signed());
        if contest == 0 {
            self.end = Some(CallEnd::Rejected(RejectReason::RendezvousCookie));
            return;
        }
        let mut conclusion =
            Handshake { cookie: self.cookie, ..self.local.handshake(HandshakeType::Conclusion, &self.options) };
        self.state = State::Listening;
        if contest > 0 {
            match request(&self.options, self.passphrase.as_ref(), self.options.key_size) {
                Ok((extensions, keys)) => {
                    conclusion.encryption = keys.as_ref().map_or(0, |keys| keys.size().field());
                    conclusion.extensions = extensions;
                    self.state = State::Asking(Box::new(keys));
                }
                Err(error) => self.end = Some(CallEnd::Failed(error)),
            }
        }
        self.said = (conclusion, handshake.socket_id);
        self.next = now;
    }

    fn on_conclusion(&mut self, now: Duration, timestamp: u32, theirs: &Handshake) {
        match &self.state {
            State::Asking(_) if theirs.extensions.response.is_some() => self.on_response(now, timestamp, theirs),
            State::Listening if theirs.extensions.request.is_some() => self.on_request(now, timestamp, theirs),
            // It has not heard the answer.
            State::Answered(_) => self.next = now,
            _ => {}
        }
    }

    fn on_response(&mut self, now: Duration, timestamp: u32, theirs: &Handshake) {
        let State::Asking(keys) = &mut self.state else { return };
        if self.said.0.extensions.key_request != theirs.extensions.key_response {
            self.end = Some(CallEnd::Rejected(RejectReason::BadSecret));
            return;
        }
        match check_response(theirs, keys.as_ref().as_ref()) {
            Ok(message) => {
                let (both, keys) = (delays(&self.options, &message), keys.take());
                let conn = self.local.connect(now, &self.options, (theirs, timestamp, message), both, keys);
                let agreement = self.local.handshake(HandshakeType::Agreement, &self.options);
                let agreement = Handshake { cookie: self.cookie, ..agreement };
                self.farewell = Some(self.local.packet(now, &agreement, theirs.socket_id));
                self.end = Some(CallEnd::Connected(Box::new(conn)));
            }
            Err(reason) => self.end = Some(CallEnd::Rejected(reason)),
        }
    }

    fn on_request(&mut self, now: Duration, timestamp: u32, theirs: &Handshake) {
        let key_request = theirs.extensions.key_request.as_ref();
        let taken = check(theirs, theirs.extensions.request).and_then(|message| {
            let request = key_request.map(|request| &request[..]);
            Ok((message, take_keys(self.passphrase.as_ref(), request, message.version, &self.options)?))
        });
        match taken {
            Ok((message, keys)) => {
                let (receive, send) = delays(&self.options, &message);
                self.said.0.encryption = keys.as_ref().map_or(0, |keys| keys.size().field());
                self.said.0.extensions = response(our_message(&self.options, receive, send), key_request);
                let peer = (theirs, timestamp, message);
                let conn = self.local.connect(now, &self.options, peer, (receive, send), keys);
                self.state = State::Answered(Box::new(conn));
                self.next = now;
            }
            Err(reason) => {
                let refusal = self.local.handshake(HandshakeType::Reject(reason), &self.options);
                self.farewell = Some(self.local.packet(now, &refusal, theirs.socket_id));
                self.end = Some(CallEnd::Rejected(reason));
            }
        }
    }

    fn connected(&mut self, now: Duration, datagram: Option<&[u8]>) {
        if let State::Answered(_) = &self.state
            && let State::Answered(mut conn) = std::mem::replace(&mut self.state, State::Waving)
        {
            if let Some(datagram) = datagram {
                // A broken one is dropped.
                let _ = conn.handle_input(now, datagram);
            }
            self.end = Some(CallEnd::Connected(conn));
        }
    }
}

/// Near 0: some peers compare by the sign of a 32-bit difference and some by that of a 64-bit one, and so they agree.
fn small_cookie() -> Result<u32, SrtError> {
    let mut bytes = [0; 2];
    rand::fill(&mut bytes)?;
    Ok(i32::from(i16::from_be_bytes(bytes)).cast_unsigned())
}
