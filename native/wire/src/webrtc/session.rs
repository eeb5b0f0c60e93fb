//! One peer: a connection over ICE and DTLS, and the RTP in it.
//!
//! All of str0m that may panic is called through [`guard`]: a bug there ends one session.

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use arcly_codec::{Codec, MediaKind};
use bytes::Bytes;
use str0m::{
    IceConnectionState, Input, Output as RtcOutput, Rtc, RtcConfig, RtcError,
    change::SdpOffer,
    media::{KeyframeRequestKind, MediaKind as RtcKind, Mid, Pt, Rid},
    net::{Protocol, Receive},
    rtp::{RtpPacket, RtpWrite, SeqNo, Ssrc},
};

use super::{
    Answer, Fragment, Offer, PlayedCodec, Settings, WebRtcError,
    answer::restart_fragment,
    codecs::{enable_all, enable_played, from_rtc, names},
    offer::Way,
};

/// Packets that are kept for a viewer who asks for them again, of pictures and of sound, and for how long. They share their bytes with
/// all other viewers'; what each costs is 430 bytes. So few are kept until somebody has asked for the first time: a quarter of a second of
/// 2.5 Mbit/s, which is more than it takes to ask on most paths.
const RESEND_PICTURE_PACKETS: usize = 256;
const RESEND_PICTURE_PACKETS_AT_FIRST: usize = 64;
const RESEND_SOUND_PACKETS: usize = 16;
const RESEND_AGE: Duration = Duration::from_millis(1500);

/// The part of what is sent that may be repetition; above it the path is full, and repeating makes that worse.
const RESEND_SHARE_MAX: f32 = 0.3;

/// How often it is looked whether a viewer asks for packets again.
const RESEND_LOOK: Duration = Duration::from_secs(1);

/// Sources that are remembered; a publisher that changes them looks them up anew.
const SOURCES_MAX: usize = 16;

/// How a datagram travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// One datagram of UDP.
    Udp,
    /// A frame on a TCP connection, see [`super::framing`].
    Tcp,
}

/// A datagram that is to be sent.
#[derive(Debug, Clone)]
pub struct Transmit {
    /// How.
    pub transport: Transport,
    /// To whom.
    pub to: SocketAddr,
    /// The datagram.
    pub bytes: Vec<u8>,
}

/// What a session has to say. Poll until it is a timeout.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Something has happened.
    Event(Event),
    /// Nothing more; call [`Session::handle_timeout`] at that time.
    Timeout(Instant),
}

/// Something that has happened.
#[derive(Debug)]
pub enum Event {
    /// ICE and DTLS are up: media flow from now on.
    Connected,
    /// A publisher's packet, in the order of arrival.
    Packet(ArrivedPacket),
    /// A viewer cannot go on without a key frame (PLI, FIR).
    KeyFrameWanted,
    /// The peer has said goodbye.
    Closed,
}

/// An encoding that a publisher sends: a media section and, with simulcast, one of its `rid`s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrackKey {
    mid: Mid,
    rid: Option<Rid>,
}

impl TrackKey {
    /// The name of the simulcast encoding (RFC 8851), when there are several.
    pub fn rid(&self) -> Option<&str> {
        self.rid.as_deref()
    }
}

/// The publisher's clocks, as its last sender report (RFC 3550 §6.4.1) relates them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderClock {
    /// A point in time on the clock that all its tracks share.
    pub wall: SystemTime,
    /// The same on the clock of this track: an RTP timestamp, unrolled as [`ArrivedPacket::timestamp`] is.
    pub timestamp: u64,
}

/// A packet of a publisher.
#[derive(Debug, Clone)]
pub struct ArrivedPacket {
    /// Of which encoding.
    pub track: TrackKey,
    /// What it carries.
    pub codec: Codec,
    /// Ticks per second of its timestamps.
    pub clock_rate_hz: u32,
    /// Channels, where the format says it.
    pub channels: Option<u8>,
    /// Counts packets, unrolled.
    pub sequence: u64,
    /// In ticks, unrolled.
    pub timestamp: u64,
    /// The last packet of a picture.
    pub marker: bool,
    /// What it carries, without header.
    pub payload: Bytes,
    /// When it came.
    pub at: Instant,
    /// What the last sender report said.
    pub clock: Option<SenderClock>,
}

/// Pictures or sound, on the way to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// A packet for a viewer: all but the header, which is different for each.
#[derive(Debug, Clone)]
pub struct OutgoingPacket {
    /// Time in ticks of the lane's clock, from any beginning; the viewer's own beginning is added.
    pub timestamp: u32,
    /// The last packet of a picture.
    pub marker: bool,
    /// Shared by all viewers.
    pub payload: Arc<[u8]>,
    /// When it should be seen, on the clock that pictures and sound share: what sender reports say. Must not be in the future.
    pub wall: Instant,
}

/// A media section of an answer.
type Section = (Mid, RtcKind);

/// Where packets of one lane go.
#[derive(Debug)]
struct Sender {
    mid: Mid,
    ssrc: Ssrc,
    pt: Pt,
    /// Unrolled, from a random beginning (RFC 3550 §5.1) below 2¹⁶, which is where a receiver's rollover counter begins.
    sequence: u64,
    timestamp: u32,
    /// The viewer has asked for packets again.
    is_asked_again: bool,
}

/// One peer.
#[derive(Debug)]
pub struct Session {
    rtc: Rtc,
    settings: Arc<Settings>,
    offer: Offer,
    way: Way,
    /// Of the peer, in its offer and its fragments.
    candidates: usize,
    video: Option<Sender>,
    audio: Option<Sender>,
    /// Encodings by their sources, as packets have shown them.
    sources: Vec<(Ssrc, TrackKey)>,
    is_over: bool,
}

impl Session {
    /// Answers the offer of a publisher.
    ///
    /// # Errors
    /// [`WebRtcError`]: the offer cannot be answered; what it says may be shown to the peer.
    pub fn publish(settings: &Arc<Settings>, offer: Offer, now: Instant) -> Result<(Self, Answer), WebRtcError> {
        let config = enable_all(base(settings), &offer);
        let (mut session, sdp, media) = Self::answer(settings, config, offer, Way::FromPeer, now)?;
        let usable = media.iter().filter(|(mid, _)| session.receives(*mid)).count();
        if usable == 0 {
            return Err(WebRtcError::unsupported(format!(
                "nothing in the offer can be taken. It has {}; this server takes H264, H265, VP8, VP9, AV1, Opus, PCMA and PCMU, sent by \
                 the peer (a=sendonly)",
                session.offer.codecs().join(", ")
            )));
        }
        let answer = session.told(sdp, Vec::new());
        Ok((session, answer))
    }

    /// Answers the offer of a viewer with what is played.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn play(
        settings: &Arc<Settings>,
        offer: Offer,
        played: &[PlayedCodec],
        now: Instant,
    ) -> Result<(Self, Answer), WebRtcError> {
        let config = enable_played(base(settings), &offer, played).set_stats_interval(Some(RESEND_LOOK));
        let (mut session, sdp, media) = Self::answer(settings, config, offer, Way::ToPeer, now)?;
        let mut notes = Vec::new();
        for (lane, kind) in [(Lane::Video, MediaKind::Video), (Lane::Audio, MediaKind::Audio)] {
            let sender = session.sender(lane, &media, played);
            if sender.is_none() && played.iter().any(|played| played.codec.kind() == kind) {
                notes.push(format!("the viewer did not offer to receive {}", names(played, kind)));
            }
            *session.lane(lane) = sender;
        }
        if session.video.is_none() && session.audio.is_none() {
            return Err(WebRtcError::unsupported(format!(
                "the stream has {}, and the offer receives only {}",
                played.iter().map(|played| played.codec.name()).collect::<Vec<_>>().join(" and "),
                session.offer.codecs().join(", ")
            )));
        }
        let answer = session.told(sdp, notes);
        Ok((session, answer))
    }

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
            for candidate in &settings.candidates {
                let _ = rtc.add_local_candidate(candidate.clone());
            }
            let answer = rtc.sdp_api().accept_offer(parsed).map_err(|error| plain(&error.to_string()))?;
            Ok((rtc, answer.to_sdp_string()))
        })?;
        let (rtc, sdp) = answered?;
        let candidates = offer.values("a=candidate:").count();
        let settings = settings.clone();
        let session = Self {
            rtc,
            settings,
            offer,
            way,
            candidates,
            video: None,
            audio: None,
            sources: Vec::new(),
            is_over: false,
        };
        let media = sections(&sdp);
        Ok((session, sdp, media))
    }

    fn receives(&self, mid: Mid) -> bool {
        self.rtc.media(mid).is_some_and(|media| media.direction().is_receiving() && !media.remote_pts().is_empty())
    }

    /// The sender of a lane: the first section that was agreed on for what is played of that kind.
    fn sender(&mut self, lane: Lane, media: &[Section], played: &[PlayedCodec]) -> Option<Sender> {
        let (kind, rtc_kind) = match lane {
            Lane::Video => (MediaKind::Video, RtcKind::Video),
            Lane::Audio => (MediaKind::Audio, RtcKind::Audio),
        };
        let played = played.iter().find(|played| played.codec.kind() == kind)?;
        let (mid, pt) = media.iter().filter(|(_, kind)| *kind == rtc_kind).find_map(|(mid, _)| {
            let media = self.rtc.media(*mid).filter(|media| media.direction().is_sending())?;
            Some((*mid, played.choose(media.remote_pts(), self.rtc.codec_config().params())?))
        })?;
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, None)?;
        let packets = if lane == Lane::Video { RESEND_PICTURE_PACKETS_AT_FIRST } else { RESEND_SOUND_PACKETS };
        stream.set_rtx_cache(packets, RESEND_AGE, Some(RESEND_SHARE_MAX));
        let ssrc = stream.ssrc();
        let random = *ssrc;
        let sequence = u64::from(random & 0x3fff);
        Some(Sender { mid, ssrc, pt, sequence, timestamp: random.rotate_left(16), is_asked_again: false })
    }

    fn lane(&mut self, lane: Lane) -> &mut Option<Sender> {
        match lane {
            Lane::Video => &mut self.video,
            Lane::Audio => &mut self.audio,
        }
    }

    fn told(&mut self, sdp: String, notes: Vec<String>) -> Answer {
        let user_name = self.rtc.direct_api().local_ice_credentials().ufrag;
        Answer { sdp, user_name, notes }
    }

    /// Whether packets of this lane are sent.
    pub fn plays(&self, lane: Lane) -> bool {
        match lane {
            Lane::Video => self.video.is_some(),
            Lane::Audio => self.audio.is_some(),
        }
    }

    /// Takes a datagram; false when it is not for this session, or nobody's. Then poll.
    ///
    /// # Errors
    /// [`WebRtcError`]: the session is over.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        transport: Transport,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<bool, WebRtcError> {
        let is_tcp = transport == Transport::Tcp;
        let Some(local) = self.settings.local(from, is_tcp) else { return Ok(false) };
        let protocol = if is_tcp { Protocol::Tcp } else { Protocol::Udp };
        self.guarded("reading a datagram", |rtc| {
            let Ok(receive) = Receive::new(protocol, from, local, bytes) else { return Ok(false) };
            let input = Input::Receive(now, receive);
            if !rtc.accepts(&input) {
                return Ok(false);
            }
            rtc.handle_input(input).map(|()| true)
        })
    }

    /// The time that the last [`Output::Timeout`] named has come, or packets were written. Then poll.
    ///
    /// # Errors
    /// As [`Self::handle_datagram`].
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), WebRtcError> {
        self.guarded("minding the time", |rtc| rtc.handle_input(Input::Timeout(now)))
    }

    /// What there is to send, to tell or to wait for.
    ///
    /// # Errors
    /// As [`Self::handle_datagram`].
    pub fn poll(&mut self) -> Result<Output, WebRtcError> {
        loop {
            match self.poll_rtc()? {
                RtcOutput::Timeout(at) => return Ok(Output::Timeout(at)),
                RtcOutput::Transmit(transmit) => {
                    let transport = if transmit.proto == Protocol::Udp { Transport::Udp } else { Transport::Tcp };
                    let bytes = transmit.contents.into();
                    return Ok(Output::Transmit(Transmit { transport, to: transmit.destination, bytes }));
                }
                RtcOutput::Event(event) => {
                    if let Some(event) = self.translate(event) {
                        return Ok(Output::Event(event));
                    }
                }
            }
        }
    }

    /// Puts a packet into the queue of a lane; [`Self::handle_timeout`] and polling send it. Nothing happens where the lane is not played.
    ///
    /// # Errors
    /// As [`Self::handle_datagram`].
    pub fn send(&mut self, lane: Lane, packet: OutgoingPacket) -> Result<(), WebRtcError> {
        let Some(sender) = self.lane(lane) else { return Ok(()) };
        let (ssrc, timestamp) = (sender.ssrc, packet.timestamp.wrapping_add(sender.timestamp));
        let write = RtpWrite::new(sender.pt, SeqNo::from(sender.sequence), timestamp, packet.wall, packet.payload)
            .marker(packet.marker)
            .nackable(true);
        sender.sequence += 1;
        self.guarded("writing a packet", |rtc| {
            if let Some(stream) = rtc.direct_api().stream_tx(&ssrc) {
                stream.write_rtp(write);
            }
            Ok(())
        })
    }

    /// Asks a publisher for a key frame in every encoding of its pictures.
    ///
    /// # Errors
    /// As [`Self::handle_datagram`].
    pub fn request_key_frame(&mut self, track: TrackKey) -> Result<(), WebRtcError> {
        self.guarded("asking for a key frame", |rtc| {
            if let Some(stream) = rtc.direct_api().stream_rx_by_mid(track.mid, track.rid) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
            Ok(())
        })
    }

    /// Takes candidates; or, when the fragment has other credentials than before, restarts ICE and returns the fragment that answers it.
    ///
    /// # Errors
    /// [`WebRtcError::LimitExceeded`]; others as [`Self::handle_datagram`].
    pub fn trickle(&mut self, fragment: &Fragment) -> Result<Option<Answer>, WebRtcError> {
        let known = self.offer.values("a=ice-ufrag:").next();
        let restarts = fragment.credentials.as_ref().filter(|given| Some(given.ufrag.as_str()) != known);
        if let Some(given) = restarts {
            let offer = self.offer.with_credentials(&given.ufrag, &given.pass);
            self.candidates = 0;
            return self.restart(offer, fragment).map(Some);
        }
        self.add_candidates(fragment)?;
        Ok(None)
    }

    fn restart(&mut self, offer: Offer, fragment: &Fragment) -> Result<Answer, WebRtcError> {
        let text = offer.text(self.way);
        let sdp = self.guarded("restarting ICE", |rtc| {
            let parsed = SdpOffer::from_sdp_string(&text).map_err(|error| RtcError::RemoteSdp(error.to_string()))?;
            Ok(rtc.sdp_api().accept_offer(parsed)?.to_sdp_string())
        })?;
        self.offer = offer;
        self.add_candidates(fragment)?;
        Ok(self.told(restart_fragment(&sdp), Vec::new()))
    }

    fn add_candidates(&mut self, fragment: &Fragment) -> Result<(), WebRtcError> {
        let max = self.settings.limits.candidates;
        self.candidates += fragment.candidates.len();
        if self.candidates > max {
            return Err(WebRtcError::LimitExceeded { limit: "candidates", max });
        }
        self.guarded("taking candidates", |rtc| {
            fragment.candidates.iter().for_each(|candidate| rtc.add_remote_candidate(candidate.clone()));
            Ok(())
        })
    }

    /// Says goodbye; poll for what that sends.
    pub fn close(&mut self) {
        // A session that cannot even be closed is as good as closed.
        let _ = self.guarded("closing", Rtc::close);
    }

    /// Whether it has ended: goodbyes were said, or something broke.
    pub fn is_over(&self) -> bool {
        self.is_over || !self.rtc.is_alive()
    }

    fn poll_rtc(&mut self) -> Result<RtcOutput, WebRtcError> {
        self.guarded("polling", Rtc::poll_output)
    }

    fn guarded<T>(
        &mut self,
        doing: &'static str,
        call: impl FnOnce(&mut Rtc) -> Result<T, RtcError>,
    ) -> Result<T, WebRtcError> {
        if self.is_over {
            return Err(WebRtcError::Broken("the session is over".into()));
        }
        let rtc = &mut self.rtc;
        let result = guard(doing, || call(rtc));
        // What has panicked is not called again.
        self.is_over |= result.is_err();
        result?.map_err(|error| WebRtcError::Broken(plain(&error.to_string()).to_string()))
    }

    fn translate(&mut self, event: str0m::Event) -> Option<Event> {
        match event {
            str0m::Event::Connected => Some(Event::Connected),
            str0m::Event::RtpPacket(packet) => self.arrived(packet).map(Event::Packet),
            str0m::Event::KeyframeRequest(_) => Some(Event::KeyFrameWanted),
            str0m::Event::Closed => Some(Event::Closed),
            str0m::Event::MediaEgressStats(stats) if stats.nacks > 0 => {
                self.asked_again(stats.mid);
                None
            }
            // Consent is judged by whoever owns the socket: it hears of other addresses too.
            str0m::Event::IceConnectionStateChange(IceConnectionState::Disconnected) => None,
            _ => None,
        }
    }

    /// Keeps more for a viewer who has lost packets: who has lost one loses others, and may be far away.
    fn asked_again(&mut self, mid: Mid) {
        let Some(video) = self.video.as_mut().filter(|video| video.mid == mid && !video.is_asked_again) else { return };
        video.is_asked_again = true;
        if let Some(stream) = self.rtc.direct_api().stream_tx(&video.ssrc) {
            stream.set_rtx_cache(RESEND_PICTURE_PACKETS, RESEND_AGE, Some(RESEND_SHARE_MAX));
        }
    }

    fn arrived(&mut self, packet: RtpPacket) -> Option<ArrivedPacket> {
        if self.way != Way::FromPeer {
            return None;
        }
        let header = &packet.header;
        let params = self.rtc.codec_config().params().iter().find(|params| params.pt() == header.payload_type)?;
        let spec = params.spec();
        let clock =
            packet.last_sender_info.map(|info| SenderClock { wall: info.ntp_time, timestamp: info.rtp_time.numer() });
        let track = self.track_of(header.ssrc)?;
        Some(ArrivedPacket {
            track,
            codec: from_rtc(spec.codec)?,
            clock_rate_hz: spec.clock_rate.get(),
            channels: spec.channels,
            sequence: *packet.seq_no,
            timestamp: packet.time.numer(),
            marker: header.marker,
            payload: Bytes::from_owner(packet.payload.clone()),
            at: packet.timestamp,
            clock,
        })
    }

    /// The encoding that a source sends: most packets do not say it, for the first ones did (RFC 8843 §9.2).
    fn track_of(&mut self, ssrc: Ssrc) -> Option<TrackKey> {
        if let Some((_, track)) = self.sources.iter().find(|(known, _)| *known == ssrc) {
            return Some(*track);
        }
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_rx(&ssrc)?;
        let track = TrackKey { mid: stream.mid(), rid: stream.rid() };
        if self.sources.len() >= SOURCES_MAX {
            self.sources.remove(0);
        }
        self.sources.push((ssrc, track));
        Some(track)
    }
}

/// The media sections of an answer. (str0m tells of them too, but only once a connection is there.)
fn sections(sdp: &str) -> Vec<Section> {
    let (mut sections, mut kind) = (Vec::new(), None);
    for line in sdp.lines() {
        if let Some(section) = line.strip_prefix("m=") {
            kind = match section.split(' ').next() {
                Some("video") => Some(RtcKind::Video),
                Some("audio") => Some(RtcKind::Audio),
                _ => None,
            };
        } else if let Some(mid) = line.strip_prefix("a=mid:")
            && let Some(kind) = kind.take()
        {
            sections.push((Mid::from(mid), kind));
        }
    }
    sections
}

/// What all sessions have in common.
fn base(settings: &Settings) -> RtcConfig {
    RtcConfig::new()
        .set_crypto_provider(settings.crypto.clone())
        .set_dtls_cert(settings.certificate.clone())
        .set_ice_lite(true)
        .set_rtp_mode(true)
}

/// A panic below us is a bug, but not one that the process should end for.
fn guard<T>(doing: &'static str, call: impl FnOnce() -> T) -> Result<T, WebRtcError> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| WebRtcError::Bug(doing))
}

/// The text of an error of str0m, which may quote the peer, as something to log.
fn plain(text: &str) -> WebRtcError {
    const SHOWN: usize = 200;
    let shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    WebRtcError::malformed(shown)
}
