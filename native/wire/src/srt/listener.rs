//! The listening side of a handshake (SRT §4.3.1).
//!
//! Nothing is kept of a caller, and nothing longer than what it sent is answered, before it has shown by a cookie that it receives what is
//! sent to its address. The cookie is a keyed hash of that address and the time.

use std::{net::SocketAddr, time::Duration};

use super::{
    Extensions, Handshake, HandshakeType, HsMessage, KeySize, Membership, Passphrase, RejectReason, SrtConn, SrtError,
    SrtOptions,
    cookie::Cookies,
    handshake::MAGIC,
    negotiate::{Local, check, delays, our_message, random_number, response, take_keys},
    packet::{Control, ControlHeader, Packet},
};

/// Answers handshakes. Its only state is a key.
pub struct SrtListener {
    cookies: Cookies,
    key_size: Option<KeySize>,
}

/// What to do about a datagram for socket 0.
#[derive(Debug)]
pub enum Reply {
    /// Nothing.
    Nothing,
    /// Send this back.
    Send(Vec<u8>),
    /// Somebody wants to connect, and receives what is sent to its address.
    Request(Box<Request>),
}

/// A caller who waits for the decision. Repeats come with the same [`socket_id`](Self::socket_id) from the same address.
#[derive(Debug, Clone)]
pub struct Request {
    handshake: Handshake,
    message: HsMessage,
    timestamp: u32,
    came: Duration,
    peer: SocketAddr,
    /// Of the group here that it joins.
    group_id: Option<u32>,
}

impl SrtListener {
    /// One that asks callers for this key size; with none they choose. Callers who only want to receive obey.
    ///
    /// # Errors
    /// [`SrtError::Crypto`]: there are no random numbers.
    pub fn new(key_size: Option<KeySize>) -> Result<Self, SrtError> {
        Ok(Self { cookies: Cookies::new()?, key_size })
    }

    /// Takes a datagram whose destination is socket 0.
    pub fn handle_input(&self, now: Duration, peer: SocketAddr, datagram: &[u8]) -> Reply {
        let Ok(Packet::Control(header, Control::Handshake(body))) = Packet::parse(datagram) else {
            return Reply::Nothing;
        };
        let Some(socket_id) = super::packet::word(body, 24) else { return Reply::Nothing };
        match Handshake::parse(body) {
            Ok(handshake) => self.on_handshake(now, peer, header, handshake),
            // Cut off or torn: told why, in fewer bytes than it sent, if the cookie is good.
            Err(_) if self.is_known(now, peer, body) => Reply::Send(rejection(peer, socket_id, RejectReason::Rogue)),
            Err(_) => Reply::Nothing,
        }
    }

    fn is_known(&self, now: Duration, peer: SocketAddr, body: &[u8]) -> bool {
        super::packet::word(body, 28).is_some_and(|cookie| self.cookies.is_valid(now, peer, cookie))
    }

    fn on_handshake(&self, now: Duration, peer: SocketAddr, header: ControlHeader, handshake: Handshake) -> Reply {
        match handshake.kind {
            HandshakeType::Induction => Reply::Send(self.induction(now, peer, &handshake)),
            HandshakeType::Conclusion if self.cookies.is_valid(now, peer, handshake.cookie) => {
                match check(&handshake, handshake.extensions.request) {
                    Ok(message) => {
                        let timestamp = header.timestamp;
                        Reply::Request(Box::new(Request {
                            handshake,
                            message,
                            timestamp,
                            came: now,
                            peer,
                            group_id: None,
                        }))
                    }
                    Err(reason) => Reply::Send(rejection(peer, handshake.socket_id, reason)),
                }
            }
            _ => Reply::Nothing,
        }
    }

    /// As long as the request, field by field (SRT §4.3.1.1.2).
    fn induction(&self, now: Duration, peer: SocketAddr, request: &Handshake) -> Vec<u8> {
        let answer = Handshake {
            encryption: self.key_size.map_or(0, KeySize::field),
            extension: MAGIC,
            initial_sequence: request.initial_sequence,
            mtu: request.mtu.min(1500),
            flow_window: request.flow_window,
            cookie: self.cookies.make(now, peer),
            ..Handshake::new(HandshakeType::Induction, request.socket_id, peer.ip())
        };
        Local { socket_id: 0, sequence: 0, start: now, peer }.packet(now, &answer, request.socket_id)
    }
}

/// The packet that tells a caller why it is refused.
fn rejection(peer: SocketAddr, socket_id: u32, reason: RejectReason) -> Vec<u8> {
    let answer = Handshake::new(HandshakeType::Reject(reason), 0, peer.ip());
    Local { socket_id: 0, sequence: 0, start: Duration::ZERO, peer }.packet(Duration::ZERO, &answer, socket_id)
}

impl Request {
    /// The caller's socket.
    pub fn socket_id(&self) -> u32 {
        self.handshake.socket_id
    }

    /// The stream id, as it was sent; empty when there is none.
    pub fn stream_id(&self) -> &[u8] {
        self.handshake.extensions.stream_id.as_deref().unwrap_or_default()
    }

    /// Whether the caller encrypts.
    pub fn is_encrypted(&self) -> bool {
        self.handshake.extensions.key_request.is_some()
    }

    /// The version of its library: `major << 16 | minor << 8 | patch`.
    pub fn peer_version(&self) -> u32 {
        self.message.version
    }

    /// The group of the caller's that this is a link of.
    pub fn group(&self) -> Option<Membership> {
        self.handshake.extensions.group
    }

    /// Has it answered as a member of the group here that has this number. To be said before it is accepted; peers leave that are
    /// members of a group there and are not answered so.
    pub fn join(&mut self, group_id: u32) {
        self.group_id = Some(group_id | Membership::ID_BIT);
    }

    /// The number that was given to [`join`](Self::join), as peers see it.
    pub fn group_id(&self) -> Option<u32> {
        self.group_id
    }

    /// Where it is.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Lets it in. `passphrase` is that of what it asks for; the answer is to be sent, and again whenever the caller repeats its request.
    ///
    /// # Errors
    /// Why not, to be told by [`reject`](Self::reject): the passphrase is another one, is missing, or there should be none.
    pub fn accept(
        &self,
        now: Duration,
        options: &SrtOptions,
        passphrase: Option<&Passphrase>,
        socket_id: u32,
    ) -> Result<(SrtConn, Answer), RejectReason> {
        let key_request = self.handshake.extensions.key_request.as_ref();
        let keys = take_keys(passphrase, key_request.map(|request| &request[..]), self.message.version, options)?;
        // Peers expect that both directions begin with the same number.
        let sequence = self.handshake.initial_sequence;
        let local = Local { socket_id, sequence, start: self.came, peer: self.peer };
        let (receive, send) = delays(options, &self.message);
        // The answer of a member mirrors its group (SRT §3.2.1.4).
        let group = self.group().zip(self.group_id).map(|(theirs, id)| Membership { id, ..theirs });
        let extensions = Extensions { group, ..response(our_message(options, receive, send), key_request) };
        let handshake = Handshake {
            encryption: keys.as_ref().map_or(0, |keys| keys.size().field()),
            cookie: self.handshake.cookie,
            mtu: self.handshake.mtu.min(1500),
            extensions,
            ..local.handshake(HandshakeType::Conclusion, options)
        };
        // The time base is of when the request came, however long the decision took.
        let peer = (&self.handshake, self.timestamp, self.message);
        let mut conn = local.connect(self.came, options, peer, (receive, send), keys);
        conn.begin(now);
        Ok((conn, Answer { local, handshake, destination: self.handshake.socket_id }))
    }

    /// The packet that refuses it.
    pub fn reject(&self, reason: RejectReason) -> Vec<u8> {
        rejection(self.peer, self.handshake.socket_id, reason)
    }
}

/// What a caller who was let in is told, as often as it asks.
#[derive(Debug)]
pub struct Answer {
    local: Local,
    handshake: Handshake,
    destination: u32,
}

impl Answer {
    /// The packet.
    pub fn packet(&self, now: Duration) -> Vec<u8> {
        self.local.packet(now, &self.handshake, self.destination)
    }
}

/// A socket number for a new connection.
///
/// # Errors
/// [`SrtError::Crypto`]: there are no random numbers.
pub fn new_socket_id() -> Result<u32, SrtError> {
    random_number()
}
