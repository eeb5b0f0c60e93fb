//! How a session begins: what is said to an offer.

use std::{sync::Arc, time::Instant};

use arcly_codec::{Codec, MediaKind};
use str0m::{
    Rtc,
    media::{Mid, Pt},
};

use super::{
    Lane, PlayOptions, Session, base,
    direct::{Direct, Track},
    handshake::latest,
    outgoing::LOOK,
};
use crate::webrtc::{
    Answer, Offer, PlayedCodec, Settings, WebRtcError,
    codecs::{enable_all, enable_played, names},
    offer::Way,
};

const SINGLE_UNITS: &str = "the viewer takes H264 with packetization-mode=0 only, in which nothing that is larger than a packet can be sent \
                            (RFC 6184 §5.6), and most pictures are: offer packetization-mode=1 too";

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
        options: PlayOptions,
        now: Instant,
    ) -> Result<(Self, Answer), WebRtcError> {
        let config = enable_played(base(settings), &offer, played, options).set_stats_interval(Some(LOOK));
        let (config, goes_past) = match options.estimates {
            true => (config, false),
            false => (config.set_crypto_provider(settings.keeping_keys.clone()), true),
        };
        let (mut session, sdp, media) = Self::answer(settings, config, offer, Way::ToPeer, now)?;
        session.playout_delay = options.playout_delay;
        let chosen: Vec<_> = [Lane::Video, Lane::Audio]
            .into_iter()
            .filter_map(|lane| session.choose(lane, &media, played).map(|(mid, pt)| (lane, mid, pt)))
            .collect();
        session.serve(&chosen, goes_past)?;
        if chosen.is_empty() {
            return Err(session.refusal(played));
        }
        let missing = session.missing(played);
        let answer = session.told(sdp, missing);
        Ok((session, answer))
    }

    /// What of the stream the viewer is not sent, and why.
    fn missing(&self, played: &[PlayedCodec]) -> Vec<String> {
        let is_missing =
            |lane, kind| !self.plays(lane) && played.iter().any(|played: &PlayedCodec| played.codec.kind() == kind);
        [(Lane::Video, MediaKind::Video), (Lane::Audio, MediaKind::Audio)]
            .into_iter()
            .filter(|(lane, kind)| is_missing(*lane, *kind))
            .map(|(_, kind)| match kind {
                MediaKind::Video if self.wants_single_units(played) => SINGLE_UNITS.into(),
                _ => format!("the viewer did not offer to receive {}", names(played, kind)),
            })
            .collect()
    }

    /// Why the viewer is sent nothing at all.
    fn refusal(&self, played: &[PlayedCodec]) -> WebRtcError {
        if self.wants_single_units(played) {
            return WebRtcError::unsupported(SINGLE_UNITS);
        }
        WebRtcError::unsupported(format!(
            "the stream has {}, and the offer receives only {}",
            played.iter().map(|played| played.codec.name()).collect::<Vec<_>>().join(" and "),
            self.offer.codecs().join(", ")
        ))
    }

    fn wants_single_units(&self, played: &[PlayedCodec]) -> bool {
        played.iter().any(|played| played.codec == Codec::H264) && self.offer.wants_single_units()
    }

    /// Makes what sends the lanes that were chosen: past str0m, or through it.
    fn serve(&mut self, chosen: &[(Lane, Mid, Pt)], goes_past: bool) -> Result<(), WebRtcError> {
        if goes_past {
            let handshake = latest().ok_or(WebRtcError::Bug("keeping keys"))?;
            let track = |rtc: &mut Rtc, (lane, mid, pt): &(Lane, Mid, Pt)| Track::new(rtc, *lane, *mid, *pt);
            let tracks = chosen.iter().filter_map(|chosen| track(self.rtc.as_mut()?, chosen)).collect();
            self.direct =
                Some(Box::new(Direct::new(handshake, tracks, self.settings.clock, self.settings.limits.silence)));
            return Ok(());
        }
        for (lane, mid, pt) in chosen {
            let sender = self.sender(*lane, *mid, *pt);
            match lane {
                Lane::Audio => self.audio = sender,
                _ => self.video = sender,
            }
        }
        Ok(())
    }

    fn receives(&self, mid: Mid) -> bool {
        let media = self.rtc.as_ref().and_then(|rtc| rtc.media(mid));
        media.is_some_and(|media| media.direction().is_receiving() && !media.remote_pts().is_empty())
    }
}
