//! One WHEP viewer: offers, connects, decrypts, and reports what a browser would.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::SdpAnswer,
    crypto::from_feature_flags,
    media::{Direction, MediaKind},
    net::{Protocol, Receive},
};

use crate::http::post_offer;

const PATH: &str = "/live/cam0/whep";

/// One viewer.
pub struct Viewer {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    due: Instant,
    connected: Option<Instant>,
    /// From the end of the DTLS handshake to the last packet of the first picture.
    first_frame: Option<Duration>,
    /// Payloads of RTP, decrypted.
    pub bytes: u64,
    pub packets: u64,
    /// Packets between the first one and the newest that have not come (yet).
    first_sequence: Option<u64>,
    newest_sequence: u64,
}

impl Viewer {
    /// Sends an offer of all that a browser takes, and takes the answer.
    pub fn open(server: SocketAddr) -> Result<Self, String> {
        let (socket, mut rtc) = (UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?, rtc());
        socket.set_nonblocking(true).map_err(text)?;
        let address = socket.local_addr().map_err(text)?;
        rtc.add_local_candidate(Candidate::host(address, "udp").map_err(text)?);
        let mut changes = rtc.sdp_api();
        for kind in [MediaKind::Video, MediaKind::Audio] {
            changes.add_media(kind, Direction::RecvOnly, None, None, None);
        }
        let (offer, pending) = changes.apply().ok_or("no offer")?;
        let answer = post_offer(server, PATH, &offer.to_sdp_string())?;
        let answer = SdpAnswer::from_sdp_string(&answer).map_err(text)?;
        rtc.sdp_api().accept_answer(pending, answer).map_err(text)?;
        Ok(Self {
            rtc,
            socket,
            address,
            due: Instant::now(),
            connected: None,
            first_frame: None,
            bytes: 0,
            packets: 0,
            first_sequence: None,
            newest_sequence: 0,
        })
    }

    pub fn is_connected(&self) -> bool {
        self.connected.is_some()
    }

    pub fn first_frame(&self) -> Option<Duration> {
        self.first_frame
    }

    /// Packets that were to come, by their sequence numbers.
    pub fn due_packets(&self) -> u64 {
        self.first_sequence.map_or(0, |first| self.newest_sequence - first + 1)
    }

    /// Takes what has come and sends what is due.
    pub fn turn(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        let mut has_news = false;
        while let Ok((length, from)) = self.socket.recv_from(buffer) {
            let bytes = buffer.get(..length).unwrap_or_default();
            let Ok(received) = Receive::new(Protocol::Udp, from, self.address, bytes) else { continue };
            self.rtc.handle_input(Input::Receive(Instant::now(), received)).map_err(text)?;
            self.poll()?;
            has_news = true;
        }
        if !has_news && Instant::now() >= self.due {
            self.rtc.handle_input(Input::Timeout(Instant::now())).map_err(text)?;
            self.poll()?;
        }
        Ok(())
    }

    fn poll(&mut self) -> Result<(), String> {
        loop {
            match self.rtc.poll_output().map_err(text)? {
                Output::Timeout(at) => {
                    self.due = at;
                    return Ok(());
                }
                Output::Transmit(it) => drop(self.socket.send_to(&it.contents, it.destination)),
                Output::Event(Event::Connected) => self.connected = Some(Instant::now()),
                Output::Event(Event::RtpPacket(packet)) => {
                    self.bytes += packet.payload.len() as u64;
                    self.packets += 1;
                    self.first_sequence.get_or_insert(*packet.seq_no);
                    self.newest_sequence = self.newest_sequence.max(*packet.seq_no);
                    if let (true, None, Some(connected)) = (packet.header.marker, self.first_frame, self.connected) {
                        self.first_frame = Some(connected.elapsed());
                    }
                }
                Output::Event(_) => {}
            }
        }
    }
}

/// An offer that nobody follows up.
pub fn offer_only(server: SocketAddr) -> Result<(), String> {
    Viewer::open(server).map(drop)
}

fn rtc() -> Rtc {
    RtcConfig::new().set_crypto_provider(from_feature_flags().into()).set_rtp_mode(true).build(Instant::now())
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
