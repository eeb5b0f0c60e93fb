//! One peer: a connection over ICE and DTLS, and the RTP in it.
//!
//! All of str0m that may panic is called through [`guard`]: a bug there ends one session.

mod channel;
mod direct;
mod dtls;
mod event;
mod guard;
mod handshake;
mod ice;
mod incoming;
mod media;
mod opening;
mod outgoing;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use str0m::{
    IceConnectionState, Input, Output as RtcOutput, Rtc, RtcConfig, RtcError,
    change::SdpOffer,
    net::{Protocol, Receive},
    rtp::Ssrc,
};

pub(super) use self::{channel::CHANNEL_BYTES_MAX, direct::WallClock, dtls::configured_once, handshake::keeping_keys};
use self::{
    channel::{Channels, MESSAGE_BYTES_MAX},
    direct::Direct,
    guard::{guard, plain},
    outgoing::{Sender, bits_per_s},
};
pub use self::{
    event::{Event, Heard, Output, Sink, Transmit, Transport},
    media::{ArrivedPacket, Lane, OutgoingPacket, PlayOptions, SenderClock, TrackKey},
};

use super::{
    Answer, Fragment, Offer, PlayedCodec, Settings, WebRtcError,
    answer::{Section, restart_fragment, sections, with_candidates_where_media_are},
    demux::{Arrival, Datagram, classify},
    offer::Way,
};

/// One peer.
#[derive(Debug)]
pub struct Session {
    /// None once it is let go, see [`direct`].
    rtc: Option<Box<Rtc>>,
    settings: Arc<Settings>,
    offer: Offer,
    way: Way,
    /// What a restart would be answered with, but for the credentials.
    fragment: String,
    /// Of the peer, in its offer and its fragments.
    candidates: usize,
    video: Option<Sender>,
    audio: Option<Sender>,
    /// Encodings by their sources, as packets have shown them.
    sources: Vec<(Ssrc, TrackKey)>,
    playout_delay: Option<(Duration, Duration)>,
    /// Of a viewer whose packets go past str0m.
    direct: Option<Box<Direct>>,
    /// When str0m wants to be called next.
    rtc_due: Instant,
    /// Something was put into str0m that only polling brings out.
    is_stirred: bool,
    channels: Channels,
    is_over: bool,
}

impl Session {
    /// Answers an offer with what `config` has.
    fn answer(
        settings: &Arc<Settings>,
        config: RtcConfig,
        offer: Offer,
        way: Way,
        now: Instant,
    ) -> Result<(Self, String, Vec<Section>), WebRtcError> {
        let text = offer.text(way);
        let answered = guard("answering an offer", || {
            let parsed = SdpOffer::from_sdp_string(&text).map_err(|error| plain(&error.to_string()))?;
            let mut rtc = config.build(now);
            for candidate in settings.candidates() {
                let _ = rtc.add_local_candidate(candidate);
            }
            let answer = rtc.sdp_api().accept_offer(parsed).map_err(|error| plain(&error.to_string()))?;
            Ok((rtc, with_candidates_where_media_are(&answer.to_sdp_string())))
        })?;
        let (rtc, sdp) = answered?;
        let candidates = offer.values("a=candidate:").count();
        let settings = settings.clone();
        let session = Self {
            rtc: Some(Box::new(rtc)),
            settings,
            offer,
            way,
            fragment: restart_fragment(&sdp),
            candidates,
            video: None,
            audio: None,
            sources: Vec::new(),
            playout_delay: None,
            direct: None,
            rtc_due: now,
            is_stirred: true,
            channels: Channels::of(&sdp),
            is_over: false,
        };
        let media = sections(&sdp);
        Ok((session, sdp, media))
    }

    fn told(&mut self, sdp: String, notes: Vec<String>) -> Answer {
        Answer { sdp, user_name: self.user_name(), notes }
    }

    /// Ours, as long as str0m is there.
    fn user_name(&mut self) -> String {
        self.rtc.as_mut().map(|rtc| rtc.direct_api().local_ice_credentials().ufrag).unwrap_or_default()
    }

    /// Takes a datagram. Then poll, unless it was nothing.
    ///
    /// # Errors
    /// [`WebRtcError`]: the session is over.
    pub fn handle_datagram(&mut self, now: Instant, arrival: &Arrival<'_>) -> Result<Heard, WebRtcError> {
        if let Some(direct) = &mut self.direct {
            if arrival.kind == Datagram::Media {
                return Ok(direct.handle_datagram(arrival, now));
            }
            if direct.is_copy(arrival) {
                return Ok(Heard::Nothing);
            }
            if self.rtc.is_none() {
                let heard = direct.handle_alone(arrival, now);
                return self.over_when_failed(heard);
            }
        }
        let heard = self.hand_to_rtc(now, arrival)?;
        if let Some(direct) = self.direct.as_mut().filter(|_| heard == Heard::Peer) {
            direct.note(arrival, now);
        }
        Ok(heard)
    }

    fn hand_to_rtc(&mut self, now: Instant, arrival: &Arrival<'_>) -> Result<Heard, WebRtcError> {
        let is_tcp = arrival.transport == Transport::Tcp;
        let Some(local) = self.settings.local(arrival.from, is_tcp) else { return Ok(Heard::Nothing) };
        let protocol = if is_tcp { Protocol::Tcp } else { Protocol::Udp };
        self.guarded("reading a datagram", |rtc| {
            let Ok(receive) = Receive::new(protocol, arrival.from, local, arrival.bytes) else {
                return Ok(Heard::Nothing);
            };
            let input = Input::Receive(now, receive);
            if !rtc.accepts(&input) {
                return Ok(Heard::Nothing);
            }
            rtc.handle_input(input).map(|()| Heard::Peer)
        })
    }

    /// A connection of the peer has closed: what was sent there goes to where it has last checked from.
    pub fn lose(&mut self, transport: Transport, to: SocketAddr) {
        if let Some(direct) = &mut self.direct {
            direct.lose(transport, to);
        }
    }

    /// The time that the last [`Output::Timeout`] named has come, or packets were written. Then poll.
    ///
    /// # Errors
    /// As [`Self::handle_datagram`].
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), WebRtcError> {
        if let Some(direct) = &mut self.direct {
            let result = direct.handle_timeout(now);
            self.over_when_failed(result)?;
            if self.rtc.is_none() || !self.is_stirred && now < self.rtc_due {
                return Ok(());
            }
        }
        self.guarded("minding the time", |rtc| rtc.handle_input(Input::Timeout(now)))
    }

    /// What there is to send, to tell or to wait for.
    ///
    /// # Errors
    /// As [`Self::handle_datagram`].
    pub fn poll(&mut self) -> Result<Output, WebRtcError> {
        loop {
            if let Some(output) = self.direct.as_mut().and_then(|direct| direct.poll()) {
                return Ok(output);
            }
            if self.rtc.is_none() {
                return Ok(Output::Timeout(self.idle(None)));
            }
            match self.poll_rtc()? {
                RtcOutput::Timeout(at) => {
                    self.let_go()?;
                    if self.rtc.is_some() {
                        return Ok(Output::Timeout(self.idle(Some(at))));
                    }
                }
                RtcOutput::Transmit(transmit) => {
                    let bytes: Vec<u8> = transmit.contents.into();
                    let (transport, to) = (transport_of(transmit.proto), transmit.destination);
                    // Answers to checks go back to wherever those came from; the handshake goes where media are to go.
                    if classify(&bytes) == Some(Datagram::Dtls) {
                        self.follow(transport, to);
                    }
                    return Ok(Output::Transmit(Transmit { transport, to, bytes }));
                }
                RtcOutput::Event(event) => {
                    if let Some(event) = self.translate(event)? {
                        return Ok(Output::Event(event));
                    }
                }
            }
        }
    }

    /// Nothing is left to poll; when that changes by itself, at the latest.
    fn idle(&mut self, rtc_due: Option<Instant>) -> Instant {
        self.is_stirred = false;
        self.rtc_due = rtc_due.unwrap_or(self.rtc_due);
        let direct = self.direct.as_ref().and_then(|direct| direct.due());
        [rtc_due, direct].into_iter().flatten().min().unwrap_or(self.rtc_due)
    }

    /// Whether [`Self::send`] has left something that only [`Self::handle_timeout`] and polling bring out.
    pub fn is_stirred(&self) -> bool {
        self.is_stirred
    }

    fn follow(&mut self, transport: Transport, to: SocketAddr) {
        if let Some(direct) = &mut self.direct {
            direct.follow(transport, to);
        }
    }

    /// Says goodbye; poll for what that sends.
    pub fn close(&mut self) {
        if let Some(direct) = &mut self.direct {
            self.is_over |= direct.close().is_err();
        }
        if self.rtc.is_some() {
            // A session that cannot even be closed is as good as closed.
            let _ = self.guarded("closing", Rtc::close);
        }
    }

    /// Whether it has ended: goodbyes were said, or something broke.
    pub fn is_over(&self) -> bool {
        let direct = || self.direct.as_ref().is_none_or(|direct| direct.is_over());
        self.is_over || self.rtc.as_ref().map_or_else(direct, |rtc| !rtc.is_alive())
    }

    fn poll_rtc(&mut self) -> Result<RtcOutput, WebRtcError> {
        self.guarded("polling", Rtc::poll_output)
    }

    /// What has failed ends the session.
    fn over_when_failed<T>(&mut self, result: Result<T, WebRtcError>) -> Result<T, WebRtcError> {
        self.is_over |= result.is_err();
        result
    }

    fn guarded<T>(
        &mut self,
        doing: &'static str,
        call: impl FnOnce(&mut Rtc) -> Result<T, RtcError>,
    ) -> Result<T, WebRtcError> {
        if self.is_over {
            return Err(WebRtcError::Broken("the session is over".into()));
        }
        let Some(rtc) = self.rtc.as_deref_mut() else { return Err(WebRtcError::Broken("its str0m is gone".into())) };
        let result = guard(doing, || call(rtc));
        // What has panicked is not called again.
        self.is_over |= result.is_err();
        result?.map_err(|error| WebRtcError::Broken(plain(&error.to_string()).to_string()))
    }

    fn translate(&mut self, event: str0m::Event) -> Result<Option<Event>, WebRtcError> {
        Ok(match event {
            str0m::Event::Connected => {
                self.direct.as_mut().map_or(Ok(()), |direct| direct.connect())?;
                Some(Event::Connected)
            }
            str0m::Event::PeerStats(stats) => {
                if let Some(pair) = stats.selected_candidate_pair {
                    self.follow(transport_of(pair.protocol), pair.remote.addr);
                }
                None
            }
            str0m::Event::RtpPacket(packet) => self.arrived(packet).map(Event::Packet),
            str0m::Event::KeyframeRequest(_) => Some(Event::KeyFrameWanted),
            str0m::Event::EgressBitrateEstimate(estimate) => bits_per_s(&estimate).map(Event::Estimate),
            str0m::Event::ChannelData(message) if self.way == Way::FromPeer => {
                Some(Event::Message(message.data.into()))
            }
            str0m::Event::ChannelOpen(id, _) => {
                self.channels.opened(id);
                None
            }
            str0m::Event::ChannelClose(id) => {
                self.channels.closed(id);
                None
            }
            str0m::Event::Closed => Some(Event::Closed),
            str0m::Event::MediaEgressStats(stats) if stats.nacks > 0 => {
                self.asked_again(stats.mid);
                None
            }
            // Consent is judged by whoever owns the socket: it hears of other addresses too.
            str0m::Event::IceConnectionStateChange(IceConnectionState::Disconnected) => None,
            _ => None,
        })
    }
}

fn transport_of(protocol: Protocol) -> Transport {
    if protocol == Protocol::Udp { Transport::Udp } else { Transport::Tcp }
}

/// What all sessions have in common.
fn base(settings: &Settings) -> RtcConfig {
    RtcConfig::new()
        .set_crypto_provider(settings.crypto.clone())
        .set_dtls_cert(settings.certificate.clone())
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .set_sctp_max_buffered_amount(CHANNEL_BYTES_MAX)
        .set_sctp_max_message_size(MESSAGE_BYTES_MAX)
}
