//! The calling side of a handshake (SRT §4.3.1).

use std::{net::SocketAddr, time::Duration};

use super::{
    Extensions, Handshake, HandshakeType, KeySize, Membership, Passphrase, RejectReason, SrtConn, SrtError, SrtOptions,
    crypto::Keys,
    handshake::MAGIC,
    negotiate::{Local, check_response, delays, random_number, request},
    packet::{Control, Packet},
};

/// A handshake packet is repeated after so long, as with peers of this protocol.
pub(super) const REPEAT: Duration = Duration::from_millis(250);

/// What a call has come to.
#[derive(Debug)]
pub enum CallEnd {
    /// The connection.
    Connected(Box<SrtConn>),
    /// The listener refuses.
    Rejected(RejectReason),
    /// The listener answers what it must not, or not at all.
    Failed(SrtError),
}

/// A call that is being made. Send what [`poll_output`](Self::poll_output) gives, feed it what comes.
#[derive(Debug)]
pub struct SrtCaller {
    options: SrtOptions,
    passphrase: Option<Passphrase>,
    stream_id: Vec<u8>,
    group: Option<Membership>,
    local: Local,
    /// The second step: what is repeated, and the keys in it.
    conclusion: Option<(Handshake, Option<Keys>)>,
    next: Duration,
    until: Duration,
    end: Option<CallEnd>,
}

impl SrtCaller {
    /// Calls `peer`, and asks for `stream_id`, which has at most 512 bytes.
    ///
    /// # Errors
    /// [`SrtError::Unsupported`]: the stream id is too long. [`SrtError::Crypto`]: there are no random numbers.
    pub fn new(
        now: Duration,
        peer: SocketAddr,
        stream_id: &str,
        passphrase: Option<Passphrase>,
        options: SrtOptions,
    ) -> Result<Self, SrtError> {
        if stream_id.len() > super::handshake::STREAM_ID_BYTES_MAX {
            return Err(SrtError::Unsupported { what: "a stream id of more than 512 bytes" });
        }
        let local = Local { socket_id: random_number()?, sequence: random_number()?, start: now, peer };
        let until = now + options.limits.connect_time;
        let stream_id = stream_id.as_bytes().to_vec();
        Ok(Self { options, passphrase, stream_id, group: None, local, conclusion: None, next: now, until, end: None })
    }

    /// Makes it a link of a group, to be said before the first packet is polled. What is sent by all links of it in the same order has
    /// the same sequence numbers, from `sequence` (31 bits) on. For whoever drives links: a stream that arcly pushes goes by one connection.
    pub fn be_link(&mut self, group: Membership, sequence: u32) {
        (self.group, self.local.sequence) = (Some(group), sequence & 0x7fff_ffff);
    }

    /// Our socket.
    pub fn local_id(&self) -> u32 {
        self.local.socket_id
    }

    /// The next packet to send, if it is time for one.
    pub fn poll_output(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.end.is_some() || now < self.next {
            return None;
        }
        self.next = now + REPEAT;
        let packet = match &self.conclusion {
            Some((conclusion, _)) => self.local.packet(now, conclusion, 0),
            None => {
                let induction = self.local.handshake(HandshakeType::Induction, &self.options);
                self.local.packet(now, &Handshake { version: 4, extension: 2, ..induction }, 0)
            }
        };
        Some(packet)
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

    /// What it has come to; then it is over.
    pub fn take_end(&mut self) -> Option<CallEnd> {
        self.end.take()
    }

    /// Takes a datagram of the listener. One that makes no sense is dropped: anybody can send one.
    pub fn handle_input(&mut self, now: Duration, datagram: &[u8]) {
        let Ok(Packet::Control(header, Control::Handshake(body))) = Packet::parse(datagram) else { return };
        if self.end.is_some() || header.destination != self.local.socket_id {
            return;
        }
        let Ok(handshake) = Handshake::parse(body) else { return };
        match handshake.kind {
            HandshakeType::Reject(reason) => self.end = Some(CallEnd::Rejected(reason)),
            HandshakeType::Induction if self.conclusion.is_none() => self.on_induction(now, &handshake),
            HandshakeType::Conclusion => self.on_conclusion(now, header.timestamp, &handshake),
            _ => {}
        }
    }

    fn on_induction(&mut self, now: Duration, induction: &Handshake) {
        if induction.version < super::handshake::VERSION || induction.extension != MAGIC {
            self.end = Some(CallEnd::Failed(SrtError::Unsupported { what: "a peer that is no SRT 1.3 or later" }));
            return;
        }
        match self.conclude(induction) {
            Ok(conclusion) => self.conclusion = Some(conclusion),
            Err(error) => self.end = Some(CallEnd::Failed(error)),
        }
        self.next = now;
    }

    fn conclude(&self, induction: &Handshake) -> Result<(Handshake, Option<Keys>), SrtError> {
        // Who sends decides how long keys are, and both may; the longer one is right for either (SRT §4.3.1.2.1).
        let advertised = KeySize::from_field(induction.encryption).unwrap_or(self.options.key_size);
        let size = if advertised.bytes() > self.options.key_size.bytes() { advertised } else { self.options.key_size };
        let (asked, keys) = request(&self.options, self.passphrase.as_ref(), size)?;
        let stream_id = (!self.stream_id.is_empty()).then(|| self.stream_id.clone());
        let extensions = Extensions { stream_id, group: self.group, ..asked };
        let conclusion = Handshake {
            encryption: keys.as_ref().map_or(0, |keys| keys.size().field()),
            cookie: induction.cookie,
            extensions,
            ..self.local.handshake(HandshakeType::Conclusion, &self.options)
        };
        Ok((conclusion, keys))
    }

    fn on_conclusion(&mut self, now: Duration, timestamp: u32, answer: &Handshake) {
        let Some((conclusion, keys)) = self.conclusion.take() else { return };
        let message = match check_response(answer, keys.as_ref()) {
            Ok(message) => message,
            Err(reason) => {
                self.end = Some(CallEnd::Rejected(reason));
                return;
            }
        };
        // A listener that does not show that it has our key cannot be one that keeps a secret (SRT §6.1.5).
        if conclusion.extensions.key_request != answer.extensions.key_response {
            let has_key = answer.extensions.key_response.as_ref().is_some_and(|key| key.len() == 4);
            let reason = if has_key { RejectReason::BadSecret } else { RejectReason::Unsecure };
            self.end = Some(CallEnd::Rejected(reason));
            return;
        }
        let both = delays(&self.options, &message);
        let conn = self.local.connect(now, &self.options, (answer, timestamp, message), both, keys);
        self.end = Some(CallEnd::Connected(Box::new(conn)));
    }
}
