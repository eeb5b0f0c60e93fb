//! What both sides of a handshake agree on, whoever began it.

use std::{net::SocketAddr, time::Duration};

use aws_lc_rs::rand;

use super::{
    CipherMode, Extensions, Handshake, HandshakeType, HsMessage, KeySize, Passphrase, RejectReason, SrtConn, SrtError,
    SrtOptions,
    conn::Agreed,
    crypto::{KeyMaterial, Keys},
    handshake::flags,
    limits::delay_ms,
    packet::Control,
};

/// What we say that we are: the features of libsrt 1.5.4, without packet filters.
const OUR_VERSION: u32 = 0x0001_0504;
/// The first version whose AES-GCM uses no nonce twice.
const GCM_VERSION_MIN: u32 = 0x0001_0504;
/// The first version that has this handshake.
const VERSION_MIN: u32 = 0x0001_0300;

/// Our side of a connection that begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local {
    pub(super) socket_id: u32,
    pub(super) sequence: u32,
    pub(super) start: Duration,
    pub(super) peer: SocketAddr,
}

/// A 31-bit number that nobody can guess, never 0.
pub(super) fn random_number() -> Result<u32, SrtError> {
    let mut bytes = [0; 4];
    rand::fill(&mut bytes)?;
    Ok((u32::from_be_bytes(bytes) & 0x3fff_ffff).max(1))
}

pub(super) fn our_message(options: &SrtOptions, receive: Duration, send: Duration) -> HsMessage {
    let drop = if options.too_late_drop { flags::TOO_LATE_DROP } else { 0 };
    let times = flags::TSBPD_SEND | flags::TSBPD_RECEIVE | drop;
    HsMessage {
        version: OUR_VERSION,
        flags: times | flags::CRYPT | flags::PERIODIC_NAK | flags::REXMIT,
        receive_delay_ms: delay_ms(receive),
        send_delay_ms: delay_ms(send),
    }
}

/// Each direction has the larger of what its two ends want (SRT §4.3.1.2.2, §4.4).
pub(super) fn delays(options: &SrtOptions, peer: &HsMessage) -> (Duration, Duration) {
    let ms = |ms: u16| Duration::from_millis(u64::from(ms));
    let receive = options.receive_latency.max(ms(peer.send_delay_ms));
    let send = options.send_latency.max(ms(peer.receive_delay_ms));
    (receive, send)
}

/// What an initiator asks for, and the keys that it has made for it; of this length where it has a passphrase.
pub(super) fn request(
    options: &SrtOptions,
    passphrase: Option<&Passphrase>,
    size: KeySize,
) -> Result<(Extensions, Option<Keys>), SrtError> {
    let make = |secret| Keys::make(secret, (options.cipher, size), options.refresh());
    let (keys, material) = passphrase.map(make).transpose()?.unzip();
    let extensions = Extensions {
        request: Some(our_message(options, options.receive_latency, options.send_latency)),
        key_request: material.as_ref().map(KeyMaterial::to_bytes),
        ..Extensions::default()
    };
    Ok((extensions, keys))
}

/// What a responder has answered to an initiator with these keys.
pub(super) fn check_response(handshake: &Handshake, keys: Option<&Keys>) -> Result<HsMessage, RejectReason> {
    let message = check(handshake, handshake.extensions.response)?;
    check_cipher(keys.map(Keys::mode).unwrap_or_default(), message.version)?;
    Ok(message)
}

/// Whether the peer of a conclusion can be spoken with at all.
pub(super) fn check(handshake: &Handshake, message: Option<HsMessage>) -> Result<HsMessage, RejectReason> {
    let message = message.ok_or(RejectReason::Rogue)?;
    if handshake.version < super::handshake::VERSION || message.version < VERSION_MIN {
        return Err(RejectReason::Version);
    }
    if message.flags & flags::STREAM != 0 {
        return Err(RejectReason::MessageApi);
    }
    let congestion = handshake.extensions.congestion.as_deref();
    if congestion.is_some_and(|name| name != b"live") {
        return Err(RejectReason::Congestion);
    }
    // Less than one packet with a byte in it, nothing at all on its way, or the socket of those who have none: no connection.
    if handshake.mtu < 76 || handshake.flow_window == 0 || handshake.socket_id == 0 {
        return Err(RejectReason::Rogue);
    }
    Ok(message)
}

/// Whether a peer of this version encrypts so.
fn check_cipher(mode: CipherMode, peer_version: u32) -> Result<(), RejectReason> {
    if mode == CipherMode::Gcm && peer_version < GCM_VERSION_MIN { Err(RejectReason::Crypto) } else { Ok(()) }
}

/// Takes the keys of an initiator, or refuses: what is set on one side is needed on the other (SRT §6.1.5).
pub(super) fn take_keys(
    passphrase: Option<&Passphrase>,
    request: Option<&[u8]>,
    peer_version: u32,
    options: &SrtOptions,
) -> Result<Option<Keys>, RejectReason> {
    let (passphrase, request) = match (passphrase, request) {
        (None, None) => return Ok(None),
        (Some(passphrase), Some(request)) => (passphrase, request),
        _ => return Err(RejectReason::Unsecure),
    };
    let material = KeyMaterial::parse(request).map_err(|error| match error {
        SrtError::Unsupported { .. } => RejectReason::Crypto,
        _ => RejectReason::Rogue,
    })?;
    check_cipher(material.mode, peer_version)?;
    Keys::take(passphrase, &material, options.refresh()).map(Some).map_err(|error| match error {
        SrtError::BadSecret => RejectReason::BadSecret,
        _ => RejectReason::Rogue,
    })
}

impl Local {
    /// A handshake packet of ours, whole.
    pub(super) fn packet(&self, now: Duration, handshake: &Handshake, destination: u32) -> Vec<u8> {
        let (mut body, mut packet) = (Vec::with_capacity(128), Vec::with_capacity(144));
        handshake.write(&mut body);
        let timestamp = super::conn::micros(now).saturating_sub(super::conn::micros(self.start)) as u32;
        Control::Handshake(&body).write(timestamp, destination, &mut packet);
        packet
    }

    pub(super) fn handshake(&self, kind: HandshakeType, options: &SrtOptions) -> Handshake {
        let flow_window = u32::try_from(options.limits.receive_packets).unwrap_or(u32::MAX);
        let handshake = Handshake::new(kind, self.socket_id, self.peer.ip());
        Handshake { initial_sequence: self.sequence, flow_window, ..handshake }
    }

    /// The connection, when all is agreed on. `message` is the peer's, `delays` of both directions.
    pub(super) fn connect(
        &self,
        now: Duration,
        options: &SrtOptions,
        peer: (&Handshake, u32, HsMessage),
        (receive_delay, send_delay): (Duration, Duration),
        keys: Option<Keys>,
    ) -> SrtConn {
        let (handshake, peer_timestamp, message) = peer;
        let agreed = Agreed {
            local_id: self.socket_id,
            peer_id: handshake.socket_id,
            sequence: self.sequence,
            peer_sequence: handshake.initial_sequence,
            receive_delay,
            send_delay,
            mtu: handshake.mtu.min(1500),
            flow_window: handshake.flow_window,
            start: self.start,
            peer_timestamp,
            peer_version: message.version,
        };
        SrtConn::new(now, agreed, *options, keys)
    }
}

/// The answer of a responder (SRT §4.3.1.2.2).
pub(super) fn response(message: HsMessage, key_request: Option<&Vec<u8>>) -> Extensions {
    // The same key material shows that it was unwrapped (SRT §6.1.5).
    Extensions { response: Some(message), key_response: key_request.cloned(), ..Extensions::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// libsrt 1.5.2 and 1.5.3 leave the low half of the sequence number out of the nonce.
    #[test]
    fn galois_counter_mode_that_repeats_nonces_is_refused() {
        assert_eq!(check_cipher(CipherMode::Gcm, 0x0001_0503), Err(RejectReason::Crypto));
        assert_eq!(check_cipher(CipherMode::Gcm, 0x0001_0504), Ok(()));
        assert_eq!(check_cipher(CipherMode::Ctr, 0x0001_0503), Ok(()));
    }
}
