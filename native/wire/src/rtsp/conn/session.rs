//! A session: its tracks, how they travel, what it is doing.

use std::time::Duration;

use crate::rtsp::{
    Lower, MediaSetup, Transport,
    auth::random_text,
    keys::{self, ToldKey},
};

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Play,
    Record,
}

/// What a session is doing (RFC 2326 §A).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Ready,
    Running,
    Paused,
}

/// What can be agreed upon.
#[derive(Debug, Clone, Default)]
pub(super) struct Offer {
    /// Ports of ours that datagrams go from and come to.
    pub udp: Option<(u16, u16)>,
    /// Whether nothing but sealed packets may go there.
    pub must_seal_udp: bool,
    /// Whether players may have encrypted tracks as they are, over the connection.
    pub may_play_bare: bool,
    /// A group for each track, and the ports there.
    pub multicast: Option<Group>,
}

/// Where all who listen to a group get a stream from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The address.
    pub address: std::net::IpAddr,
    /// Ports of RTP and RTCP of the first track; each further one has the next two.
    pub port: u16,
    /// How many hops.
    pub ttl: u8,
}

/// A session of a connection.
#[derive(Debug)]
pub(super) struct Session {
    pub id: String,
    pub role: Role,
    pub phase: Phase,
    pub setups: Vec<MediaSetup>,
    /// When the peer last gave a sign of life.
    pub sign: Duration,
    /// When the last packet came.
    pub media: Duration,
    /// Whether encrypted tracks are sealed: all of a session, or none, as the first of them was set up.
    seals: Option<bool>,
    /// The keys of what a player says about encrypted tracks, by the place of these.
    pub told: Vec<(usize, ToldKey)>,
}

impl Session {
    pub(super) fn new(role: Role, now: Duration) -> Self {
        Self {
            id: random_text(),
            role,
            phase: Phase::Ready,
            setups: Vec::new(),
            sign: now,
            media: now,
            seals: None,
            told: Vec::new(),
        }
    }

    /// Whether its packets go over the connection.
    pub(super) fn is_interleaved(&self) -> bool {
        self.setups.first().is_some_and(|setup| setup.transport.lower == Lower::Tcp)
    }

    /// The track and the half of a channel.
    pub(super) fn of_channel(&self, channel: u8) -> Option<(usize, bool)> {
        self.setups.iter().find_map(|setup| match setup.transport.interleaved {
            Some((rtp, _)) if rtp == channel => Some((setup.media, false)),
            Some((_, rtcp)) if rtcp == channel => Some((setup.media, true)),
            _ => None,
        })
    }

    /// Agrees on the first of the peer's wishes that can be had; what it is answered, none when none can.
    pub(super) fn agree(
        &self,
        wishes: Vec<Transport>,
        media: usize,
        is_secure: bool,
        offer: &Offer,
    ) -> Option<Transport> {
        let is_like_others = |it: &Transport| !is_secure || self.seals.is_none_or(|seals| seals == it.secure);
        wishes.into_iter().find_map(|wish| self.grant(wish, media, is_secure, offer).filter(is_like_others))
    }

    /// A track travels as it was agreed upon; `key` is the header in which a player tells the key of what it says about it.
    pub(super) fn set_up(&mut self, media: usize, transport: Transport, is_secure: bool, key: Option<&str>) {
        if is_secure {
            self.seals = Some(transport.secure);
        }
        let told = key.filter(|_| transport.secure && self.role == Role::Play).and_then(keys::of_header);
        self.told.extend(told.map(|told| (media, told)));
        self.setups.push(MediaSetup { media, transport });
    }

    fn grant(&self, wish: Transport, media: usize, is_secure: bool, offer: &Offer) -> Option<Transport> {
        // One session, one way: what is half here and half there cannot be paused or timed out as one.
        let same =
            |setup: &MediaSetup| setup.transport.lower == wish.lower && setup.transport.multicast == wish.multicast;
        let is_record = self.role == Role::Record;
        // FFmpeg asks for an encrypted track as if it were not: what was described counts, unless there is a choice.
        let is_secure = is_secure && (wish.secure || is_record || !offer.may_play_bare);
        // A group has no key that only who may hear it knows.
        if wish.secure && !is_secure || (is_secure || offer.must_seal_udp) && wish.multicast {
            return None;
        }
        if !self.setups.iter().all(same) || (wish.record && !is_record) {
            return None;
        }
        let granted = match (wish.lower, wish.multicast) {
            (Lower::Tcp, false) => Transport::tcp(self.channels(wish.interleaved, media)?),
            (Lower::Udp, false) if offer.must_seal_udp && !is_secure => return None,
            (Lower::Udp, false) => {
                let (rtp, rtcp) = wish.client_port.filter(|(rtp, rtcp)| *rtp > 0 && *rtcp > 0)?;
                Transport { server_port: Some(offer.udp?), ..Transport::udp((rtp, rtcp)) }
            }
            (Lower::Udp, true) => {
                let group = offer.multicast.as_ref().filter(|_| !is_record)?;
                let port = group.port.checked_add(u16::try_from(media).ok()?.checked_mul(2)?)?;
                Transport {
                    multicast: true,
                    client_port: None,
                    port: Some((port, port.checked_add(1)?)),
                    destination: Some(group.address.to_string()),
                    ttl: Some(group.ttl),
                    ..Transport::udp((0, 0))
                }
            }
            (Lower::Tcp, true) => return None,
        };
        Some(Transport { secure: is_secure, record: is_record && wish.record, ..granted })
    }

    /// The channels that are asked for, or the usual ones of the track.
    fn channels(&self, wish: Option<(u8, u8)>, media: usize) -> Option<(u8, u8)> {
        let usual = u8::try_from(media).ok().and_then(|media| media.checked_mul(2)).map(|rtp| (rtp, rtp + 1));
        let is_free = |(rtp, rtcp): &(u8, u8)| {
            rtp != rtcp && [*rtp, *rtcp].iter().all(|channel| self.of_channel(*channel).is_none())
        };
        wish.filter(is_free).or(usual.filter(is_free))
    }
}
