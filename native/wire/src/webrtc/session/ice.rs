//! What changes about the way to a peer: candidates, other credentials; and who minds it.

use str0m::{RtcError, change::SdpOffer};

use super::{Answer, Fragment, Offer, Session, WebRtcError, direct::Names, guard::guard};
use crate::webrtc::answer::{restart_fragment, with_candidates_where_media_are};

impl Session {
    /// Takes candidates; or, when the fragment has other credentials than before, restarts ICE and returns the fragment that answers it.
    ///
    /// # Errors
    /// As [`Self::handle_datagram`].
    pub fn trickle(&mut self, fragment: &Fragment) -> Result<Option<Answer>, WebRtcError> {
        if let Some(names) = self.direct.as_mut().and_then(|direct| direct.names()) {
            // The peer's candidates are of no use to who sends no checks (RFC 8445 §2.5).
            let given = fragment.credentials.as_ref().filter(|given| Some(given.ufrag.as_str()) != names.theirs());
            return Ok(given.map(|given| {
                let (user_name, sdp) = names.restart(given.ufrag.clone());
                Answer { sdp, user_name, notes: Vec::new() }
            }));
        }
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

    /// Whether checks under this name of ours are answered: before and behind an ICE restart more than one may be.
    pub fn knows(&mut self, user_name: &str) -> bool {
        match self.direct.as_mut().and_then(|direct| direct.names()) {
            Some(names) => names.knows(user_name),
            None => self.user_name() == user_name,
        }
    }

    fn restart(&mut self, offer: Offer, fragment: &Fragment) -> Result<Answer, WebRtcError> {
        let text = offer.text(self.way);
        let sdp = self.guarded("restarting ICE", |rtc| {
            let parsed = SdpOffer::from_sdp_string(&text).map_err(|error| RtcError::RemoteSdp(error.to_string()))?;
            Ok(with_candidates_where_media_are(&rtc.sdp_api().accept_offer(parsed)?.to_sdp_string()))
        })?;
        self.offer = offer;
        self.fragment = restart_fragment(&sdp);
        self.add_candidates(fragment)?;
        Ok(self.told(self.fragment.clone(), Vec::new()))
    }

    fn add_candidates(&mut self, fragment: &Fragment) -> Result<(), WebRtcError> {
        let room = self.settings.limits.candidates.saturating_sub(self.candidates);
        let taken: Vec<_> = fragment.candidates.iter().take(room).cloned().collect();
        self.candidates += taken.len();
        self.guarded("taking candidates", |rtc| {
            taken.into_iter().for_each(|candidate| rtc.add_remote_candidate(candidate));
            Ok(())
        })
    }

    /// Goes on without str0m where nothing needs it any more: it keeps 37 KB of heap for each session. Call it when there is nothing left to poll.
    ///
    /// # Errors
    /// [`WebRtcError::Bug`]: the session is over.
    pub(super) fn let_go(&mut self) -> Result<(), WebRtcError> {
        let is_needed = self.has_channels() || self.is_over();
        let Some(direct) = self.direct.as_mut().filter(|direct| direct.is_connected() && !is_needed) else {
            return Ok(());
        };
        let theirs = self.offer.values("a=ice-ufrag:").next().unwrap_or_default().to_owned();
        let Some(mut rtc) = self.rtc.take() else { return Ok(()) };
        let ours = guard("letting str0m go", move || rtc.direct_api().local_ice_credentials());
        let fragment = std::mem::take(&mut self.fragment);
        let went = ours.and_then(|ours| direct.go_alone(Names::new(ours, theirs, fragment)));
        self.offer.forget();
        self.over_when_failed(went)
    }
}
