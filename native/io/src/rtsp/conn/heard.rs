//! What a viewer says by RTCP of what it gets: that it is there, and that it leaves (RFC 3550 §6.3.7, §6.4.2).

use arcly_wire::{
    rtp::rtcp::{RtcpPacket, packets},
    rtsp::{Lower, MediaSetup, ServerConn},
    srtp::{Key, RtcpOpener, SrtpError},
};
use bytes::Bytes;

use super::Connection;
use crate::rtsp::from_bus::Play;

/// What is known of a viewer by its reports.
pub(super) struct Heard {
    tracks: Vec<Track>,
}

/// What it says about one track.
struct Track {
    media: usize,
    way: Way,
    has_left: bool,
}

/// Who can have sent it.
enum Way {
    /// Whoever has the connection.
    Connection,
    /// Whoever can write the address of the viewer on a datagram.
    Anybody,
    /// Whoever has the key.
    Sealed(Box<RtcpOpener>),
}

impl Heard {
    /// For the tracks that a viewer has set up; encrypted ones under the key that it has told (RFC 4567 §4.2), and else under the one that
    /// it was told, which is then for both directions (RFC 4568 §6.1, live555 and VLC).
    pub(super) fn new(machine: &ServerConn, secret: Option<&Key>) -> Result<Self, SrtpError> {
        let track = |setup: &MediaSetup| {
            let told = machine.told_key(setup.media).map(|told| &told.key).or(secret);
            let way = match (told.filter(|_| setup.transport.secure), setup.transport.lower) {
                (Some(key), _) => Way::Sealed(RtcpOpener::new(key)?.into()),
                (None, Lower::Tcp) => Way::Connection,
                (None, Lower::Udp) => Way::Anybody,
            };
            Ok(Track { media: setup.media, way, has_left: false })
        };
        let tracks: Result<_, SrtpError> = machine.setups().iter().map(track).collect();
        Ok(Self { tracks: tracks? })
    }

    /// Takes what has come about a track; whether it shows that the viewer is there.
    fn take(&mut self, media: usize, is_rtcp: bool, packet: &[u8]) -> bool {
        let Some(track) = self.tracks.iter_mut().find(|track| track.media == media) else { return true };
        match &mut track.way {
            Way::Anybody => return true,
            Way::Connection if is_rtcp => track.note(packet),
            Way::Sealed(opener) if is_rtcp => match opener.open(packet) {
                Ok(report) => track.note(&report),
                Err(_) => return false,
            },
            // What opens a firewall or NAT (RFC 6263 §4.3) says nothing.
            Way::Connection | Way::Sealed(_) => return false,
        }
        true
    }

    /// Whether it has said goodbye to all its tracks.
    fn has_left(&self) -> bool {
        !self.tracks.is_empty() && self.tracks.iter().all(|track| track.has_left)
    }
}

impl Track {
    fn note(&mut self, report: &[u8]) {
        for packet in packets(report).flatten() {
            match packet {
                RtcpPacket::Goodbye { .. } => self.has_left = true,
                // By another name: it has only given up the one before.
                RtcpPacket::ReceiverReport { .. } | RtcpPacket::SenderReport { .. } => self.has_left = false,
                _ => {}
            }
        }
    }
}

impl Connection {
    /// Takes what the peer says of what it plays; whether it shows that it is there. A viewer who has said goodbye is sent nothing more; its
    /// session lives on as long as others that do nothing.
    pub(super) fn hear_viewer(&mut self, media: usize, is_rtcp: bool, packet: &Bytes) -> bool {
        let Some(heard) = &mut self.heard else { return true };
        let is_sign = heard.take(media, is_rtcp, packet);
        if heard.has_left() {
            self.heard = None;
            self.play.take_if(Play::leave);
            self.machine.stop_play();
        }
        is_sign
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arcly_wire::{
        rtp::rtcp::ReportBlock,
        rtsp::{ServerConfig, keys, sdp::Media},
        srtp::{Sealer, Suite},
    };
    use bytes::BytesMut;

    use super::*;

    /// A session of two tracks, encrypted by `secret` where there is one; the player has told `told` about the first.
    fn machine(secret: Option<&Key>, told: Option<&Key>, transport: &str) -> ServerConn {
        let config = ServerConfig { udp: Some((8000, 8001)), ..ServerConfig::default() };
        let mut machine = ServerConn::new(config, Duration::ZERO);
        let say = |machine: &mut ServerConn, text: String| machine.handle_input(Duration::ZERO, text.into()).unwrap();
        say(&mut machine, "DESCRIBE rtsp://h/live/cam RTSP/1.0\r\nCSeq: 1\r\n\r\n".into());
        let mut medias = vec![Media::default(); 2];
        secret.into_iter().for_each(|key| medias.iter_mut().for_each(|media| keys::describe(media, key, 0)));
        machine.accept_play(medias);
        for media in 0..2 {
            let key = told.filter(|_| media == 0).map(|key| keys::header("rtsp://h", &keys::write(key, 0)));
            let key = key.map(|value| format!("KeyMgmt: {value}\r\n")).unwrap_or_default();
            let ports = format!("{}-{}", 5000 + 2 * media, 5001 + 2 * media);
            let transport = transport.replace('?', &ports);
            let request = format!("SETUP rtsp://h/live/cam/trackID={media} RTSP/1.0\r\nCSeq: 2\r\n{key}");
            let id = session_of(&mut machine);
            say(&mut machine, format!("{request}{id}Transport: {transport}\r\n\r\n"));
        }
        assert_eq!(machine.setups().len(), 2);
        machine
    }

    /// The header of the session, as far as there is one in what the machine has said.
    fn session_of(machine: &mut ServerConn) -> String {
        let said: Vec<u8> = std::iter::from_fn(|| machine.poll_output()).flatten().collect();
        let said = String::from_utf8(said).unwrap();
        let id = said.lines().find_map(|line| line.strip_prefix("Session: ")?.split(';').next());
        id.map(|id| format!("Session: {id}\r\n")).unwrap_or_default()
    }

    fn report(goodbye: bool) -> Vec<u8> {
        let mut compound = BytesMut::new();
        RtcpPacket::ReceiverReport { ssrc: 7, reports: Vec::<ReportBlock>::new() }.write(&mut compound);
        if goodbye {
            RtcpPacket::Goodbye { ssrcs: vec![7], reason: String::new() }.write(&mut compound);
        }
        compound.to_vec()
    }

    fn sealed(sealer: &mut Sealer, mut report: Vec<u8>) -> Vec<u8> {
        sealer.rtcp(&mut report, 0).unwrap();
        report
    }

    #[test]
    fn of_an_encrypted_track_only_what_the_viewer_has_sealed_is_believed() {
        let [secret, told] = [Suite::Aes128Tag80, Suite::Aes128Gcm].map(|suite| Key::random(suite).unwrap());
        let machine = machine(Some(&secret), Some(&told), "RTP/SAVP;unicast;client_port=?");
        let mut heard = Heard::new(&machine, Some(&secret)).unwrap();
        let (mut by_told, mut by_secret) = (Sealer::new(&told).unwrap(), Sealer::new(&secret).unwrap());
        let first = sealed(&mut by_told, report(false));
        assert!(heard.take(0, true, &first), "under the key that it has told");
        assert!(!heard.take(0, true, &first), "it came twice");
        assert!(!heard.take(0, true, &report(false)), "anybody can send it");
        let mut changed = sealed(&mut by_told, report(false));
        changed[9] ^= 1;
        assert!(!heard.take(0, true, &changed));
        assert!(heard.take(1, true, &sealed(&mut by_secret, report(false))), "under ours, where it has told none");
        assert!(!heard.take(0, false, &[0x80; 12]), "what opens a way says nothing");
    }

    #[test]
    fn who_has_said_goodbye_to_all_tracks_has_left_and_nobody_says_it_for_another() {
        let secret = Key::random(Suite::default()).unwrap();
        let encrypted = machine(Some(&secret), None, "RTP/SAVP;unicast;client_port=?");
        let mut heard = Heard::new(&encrypted, Some(&secret)).unwrap();
        let mut sealer = Sealer::new(&secret).unwrap();
        for media in 0..2 {
            heard.take(media, true, &report(true));
        }
        assert!(!heard.has_left(), "in the clear anybody says it");
        heard.take(0, true, &sealed(&mut sealer, report(true)));
        heard.take(1, true, &sealed(&mut sealer, report(true)));
        assert!(heard.has_left());
        heard.take(1, true, &sealed(&mut sealer, report(false)));
        assert!(!heard.has_left(), "it goes on by another name");
        let plain = |transport| Heard::new(&machine(None, None, transport), None).unwrap();
        for (transport, is_proved) in [("RTP/AVP;unicast;client_port=?", false), ("RTP/AVP/TCP;unicast", true)] {
            let mut heard = plain(transport);
            (0..2).for_each(|media| assert!(heard.take(media, true, &report(true)), "a sign of life"));
            assert_eq!(heard.has_left(), is_proved, "{transport}");
        }
    }
}
