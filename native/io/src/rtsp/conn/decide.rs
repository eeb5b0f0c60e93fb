//! What the host is asked, and what comes of its decisions.

use std::{pin::Pin, task::Waker};

use arcly_bus::{Publisher, StreamKey};
use arcly_wire::{
    rtsp::{Ask, Denial, keys, sdp},
    srtp::{Key, Sealer, SrtpError, Suite},
};
use percent_encoding::percent_decode_str;

use super::{Connection, talk};
use crate::{
    PlayAsk, PlayDenial, PublishAsk, Refusal, play, publish,
    rtsp::{
        from_bus::{Granted, ntp_now},
        tracks::readable,
    },
};

/// What the host has decided, or a stream has told.
pub(super) enum Decision {
    Publish(Result<Box<Publisher>, (Refusal, String)>),
    Play(Result<Box<Granted>, PlayDenial>),
    Talk(Result<Box<Publisher>, (Refusal, String)>),
}

/// A decision that is waited for.
pub(super) type Deciding = Pin<Box<dyn Future<Output = Decision> + Send>>;

impl Connection {
    pub(super) fn ask_to_play(&mut self, ask: Ask) {
        let Ask { path, query, authorization, agent, back_channel } = ask;
        self.agent.clone_from(&agent);
        self.credentials = (query.clone(), authorization.clone());
        self.wants_to_talk = back_channel;
        let Some(key) = key(&path) else {
            return self.machine.refuse(Denial::BadName, "no stream can have this name");
        };
        let (inbox, peer, ours, groups) = (self.inbox.clone(), self.peer, key.clone(), self.groups.clone());
        let secret = match self.srtp.map(|srtp| Key::random(srtp.suite)).transpose() {
            Ok(secret) => secret,
            Err(error) => return self.machine.refuse(Denial::Failed, &error.to_string()),
        };
        let asked = PlayAsk { key, protocol: "rtsp", needs_log: true, query, authorization, agent, peer };
        self.deciding = Some(Box::pin(async move {
            Decision::Play(match play::ask(&inbox, asked).await {
                Ok(Some(log)) => {
                    let group = groups.and_then(|groups| groups.of(&ours));
                    Ok(Box::new(Granted::of(ours, log).await.in_group(group).sealed(secret)))
                }
                Ok(None) => Err(PlayDenial::NotFound),
                Err(denial) => Err(denial),
            })
        }));
    }

    pub(super) fn ask_to_publish(&mut self, ask: Ask, medias: Vec<sdp::Media>) {
        let Ask { path, query, authorization, agent, .. } = ask;
        // Who announces anew gives up what was announced before.
        self.publisher = None;
        self.talk_place = None;
        let Some(key) = key(&path) else {
            return self.machine.refuse(Denial::BadName, "no stream can have this name");
        };
        if !medias.iter().any(|media| readable(media).next().is_some()) {
            return self.machine.refuse(Denial::Unsupported, "no track of this is known here");
        }
        if let Some(media) = medias.iter().find(|media| keys::is_secure(media))
            && let Err(error) = self.report_sealed(keys::of_media(media).map(|told| told.key.suite()))
        {
            return self.machine.refuse(Denial::Failed, &error.to_string());
        }
        self.announced = medias;
        let (inbox, deadline, peer) = (self.inbox.clone(), self.decision_deadline, self.peer);
        let (app, stream) = (key.app().to_owned(), key.stream().to_owned());
        let asked = PublishAsk { app, stream, protocol: "rtsp", query, authorization, agent, peer };
        self.deciding = Some(Box::pin(async move { Decision::Publish(publish::ask(&inbox, asked, deadline).await) }));
    }

    /// Makes the key of our reports about encrypted tracks, of the suite that the publisher knows.
    fn report_sealed(&mut self, suite: Option<Suite>) -> Result<(), SrtpError> {
        let key = Key::random(suite.unwrap_or_default())?;
        self.report_sealer = Some(Sealer::new(&key)?);
        self.machine.tell_key(keys::write(&key, ntp_now()));
        Ok(())
    }

    pub(super) fn on_decision(&mut self, decision: Decision) {
        self.deciding = None;
        match decision {
            Decision::Publish(Ok(publisher)) => {
                publisher.wake_on_request(Waker::from(self.upstream.clone()));
                self.publisher = Some(publisher);
                self.machine.accept_publish();
            }
            Decision::Publish(Err((refusal, text))) => match refusal {
                Refusal::Unauthenticated => self.machine.refuse(Denial::Unauthenticated, ""),
                Refusal::Unauthorized => self.machine.refuse(Denial::Forbidden, ""),
                // Taken, mostly: to say so is no secret to whoever may publish.
                Refusal::BadName => self.machine.refuse(Denial::Forbidden, &text),
                Refusal::Failed => self.machine.refuse(Denial::Failed, &text),
            },
            Decision::Play(Ok(granted)) if granted.is_possible() => {
                self.machine.offer_group(granted.group());
                let mut medias = granted.describe(self.srtp.is_some_and(|srtp| srtp.may_play_bare));
                self.talk_place = self.wants_to_talk.then_some(medias.len());
                if self.wants_to_talk {
                    medias.push(talk::described());
                }
                self.machine.accept_play(medias);
                self.granted = Some(granted);
            }
            Decision::Talk(Ok(publisher)) => self.begin_to_talk(*publisher),
            Decision::Talk(Err((_, text))) => {
                self.inbox.warn(format!("{} may not speak: {text}", self.peer));
            }
            Decision::Play(Ok(_)) => self.machine.refuse(Denial::Unsupported, "no track of this can be sent by RTP"),
            Decision::Play(Err(denial)) => self.machine.refuse(
                match denial {
                    PlayDenial::Unauthenticated => Denial::Unauthenticated,
                    PlayDenial::Forbidden => Denial::Forbidden,
                    PlayDenial::NotFound => Denial::NotFound,
                    PlayDenial::Failed => Denial::Failed,
                },
                "",
            ),
        }
    }
}

/// The stream that a path names: `/live/cam`.
fn key(path: &str) -> Option<StreamKey> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let (app, stream) = path.trim_matches('/').rsplit_once('/')?;
    StreamKey::new(app, stream).ok()
}

/// The decision that is waited for; never anything without one.
pub(super) async fn decided(deciding: &mut Option<Deciding>) -> Decision {
    match deciding {
        Some(deciding) => deciding.await,
        None => std::future::pending().await,
    }
}
