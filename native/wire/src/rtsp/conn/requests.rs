//! Requests, one after another.

use bytes::Bytes;

use super::{Asked, Granted, Phase, PlayAnswer, Question, Role, ServerConn, Session};
use crate::rtsp::{
    BACK_CHANNEL, Event, Method, Request, Response, Transport,
    keys::{self, is_secure},
    message::Headers,
    sdp::{Description, Media},
    url::control_uri,
};

/// What we can do (RFC 2326 §10.1).
const PUBLIC: &str = "OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, RECORD, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN";

/// A live stream has no other point than now (RFC 2326 §3.6).
const LIVE: &str = "npt=now-";

impl ServerConn {
    pub(super) fn on_request(&mut self, request: Request) {
        let required = request.headers.get("Require").or(request.headers.get("Proxy-Require"));
        if let Some(feature) = required.filter(|feature| !(self.back_channel && *feature == BACK_CHANNEL)) {
            // There is no other option that we have (RFC 2326 §12.32).
            let response = Response::new(551).with("Unsupported", feature);
            return self.answer(&request, response);
        }
        match request.method {
            Method::Options => self.answer(&request, Response::new(200).with("Public", PUBLIC)),
            Method::Describe if self.session.is_none() => self.ask(request, Question::Play, None),
            Method::Announce if self.session.is_none() => self.on_announce(request),
            Method::Setup => self.on_setup(request),
            Method::Play => self.on_play(request),
            Method::Record => self.on_record(&request),
            Method::Pause => self.on_pause(&request),
            Method::GetParameter | Method::SetParameter => self.on_parameter(&request),
            Method::Teardown => self.on_teardown(&request),
            Method::Describe | Method::Announce => self.refuse_state(&request),
            Method::Redirect | Method::Unknown => {
                self.answer(&request, Response::new(501).with("Public", PUBLIC));
            }
        }
    }

    fn refuse_state(&mut self, request: &Request) {
        // What may be done instead has to be said (RFC 2326 §11.3.6).
        self.answer(request, Response::new(455).with("Allow", PUBLIC));
    }

    pub(super) fn answer_describe(&mut self, request: &Request) {
        let Some(granted) = &self.granted else { return };
        let description = Description {
            name: "Stream".into(),
            control: "*".into(),
            range: LIVE.into(),
            medias: granted.medias.clone(),
        };
        let text = description.write(std::net::Ipv4Addr::LOCALHOST.into(), 1);
        let response = Response::new(200).with("Content-Base", format!("{}/", granted.base));
        self.answer(request, response.with_body("application/sdp", Bytes::from(text)));
    }

    fn on_announce(&mut self, request: Request) {
        if !request.headers.get("Content-Type").is_none_or(|kind| kind.to_ascii_lowercase().contains("sdp")) {
            return self.answer(&request, Response::new(415));
        }
        match Description::parse(&request.body, &self.limits) {
            Ok(description) => {
                let medias = description.medias.clone();
                self.ask(request, Question::Publish(medias), Some(description));
            }
            Err(_) => self.answer(&request, Response::new(400)),
        }
    }

    fn on_setup(&mut self, request: Request) {
        let is_other = |session: &Session| request.headers.get("Session").is_some_and(|id| !is_session(id, session));
        if self.session.as_ref().is_some_and(is_other) {
            return self.answer(&request, Response::new(454));
        }
        let is_without = request.headers.get("Session").is_none();
        let is_paused = |session: &mut Session| session.role == Role::Play && session.phase == Phase::Paused;
        // It asks for another session (RFC 2326 §10.4), as FFmpeg does to have by TCP what does not come by UDP.
        if is_without && self.session.take_if(is_paused).is_some() {
            self.used = self.now;
            self.events.push_back(Event::Abandoned);
        }
        let is_running = self.session.as_ref().is_some_and(|session| session.phase != Phase::Ready);
        if is_running {
            return self.refuse_state(&request);
        }
        match &self.granted {
            Some(granted) if granted.role == Role::Record || granted.holds(&request.uri) => self.setup(&request),
            // Without DESCRIBE (RFC 2326 §10.4 allows it), or of another stream than was described.
            _ if self.session.is_none() => self.ask(request, Question::Play, None),
            _ => self.answer(&request, Response::new(459)),
        }
    }

    /// Sets a track up of a stream that was granted.
    pub(super) fn setup(&mut self, request: &Request) {
        let Some(granted) = &self.granted else { return };
        let Some(media) = self.session_track(granted, &request.uri) else {
            return self.answer(request, Response::new(404));
        };
        let wishes = Transport::parse_all(request.headers.get("Transport").unwrap_or_default());
        let is_secure = granted.medias.get(media).is_some_and(is_secure);
        let (role, now) = (granted.role, self.now);
        let session = self.session.get_or_insert_with(|| Session::new(role, now));
        let is_set_up = session.setups.iter().any(|setup| setup.media == media);
        let agreed = session.agree(wishes, media, is_secure, &self.offer).filter(|_| !is_set_up);
        let Some(transport) = agreed else {
            if session.setups.is_empty() {
                self.session = None;
            }
            return self.answer(request, Response::new(if is_set_up { 455 } else { 461 }));
        };
        if let Some((rtp, rtcp)) = transport.interleaved {
            self.reader.expect_channel(rtp);
            self.reader.expect_channel(rtcp);
        }
        let said = transport.to_string();
        session.set_up(media, transport, is_secure, request.headers.get("KeyMgmt"));
        let id = format!("{};timeout={}", session.id, self.limits.session_time.as_secs());
        let mut response = Response::new(200).with("Transport", said).with("Session", id);
        if let Some(message) = self.key.as_ref().filter(|_| is_secure && role == Role::Record) {
            response = response.with("KeyMgmt", keys::header(&request.uri, message));
        }
        self.answer(request, response);
    }

    /// Which track a URI means. Clients build it in their own ways from the description, so the end of it counts; and where nothing fits,
    /// it is the first that was not set up yet.
    fn session_track(&self, granted: &Granted, uri: &str) -> Option<usize> {
        let uri = uri.trim_end_matches('/');
        let is_meant = |media: &Media| {
            let whole = control_uri(&granted.base, &media.control);
            let end = media.control.trim_end_matches('/');
            uri == whole.trim_end_matches('/') || (!end.is_empty() && end != "*" && uri.ends_with(end))
        };
        let meant = granted.medias.iter().position(is_meant);
        let setups = self.setups();
        let is_free = |at: &usize| setups.iter().all(|setup| setup.media != *at);
        let free = || (0..granted.medias.len()).find(is_free);
        match granted.role {
            Role::Play if granted.medias.len() > 1 || uri.contains("trackID=") => meant,
            _ => meant.or_else(free),
        }
    }

    /// Whether the request is of our session; answers it otherwise.
    fn is_of_session(&mut self, request: &Request) -> bool {
        let id = request.headers.get("Session");
        let is_known = self.session.as_ref().is_some_and(|session| id.is_some_and(|id| is_session(id, session)));
        if !is_known {
            self.answer(request, Response::new(454));
        }
        is_known
    }

    fn on_play(&mut self, request: Request) {
        if !self.is_of_session(&request) {
            return;
        }
        let range = request.headers.get("Range").unwrap_or(LIVE);
        if !["npt", "clock", "smpte"].iter().any(|unit| range.trim_start().starts_with(unit)) {
            return self.answer(&request, Response::new(457));
        }
        let Some(session) = self.session.as_mut().filter(|session| session.role == Role::Play) else {
            return self.refuse_state(&request);
        };
        let (is_resumed, id) = (session.phase == Phase::Paused, session.id.clone());
        if session.phase == Phase::Running {
            // It plays already: some clients say PLAY as a sign of life (RFC 2326 §10.5).
            return self.answer(&request, Response::new(200).with("Session", id).with("Range", LIVE));
        }
        session.phase = Phase::Running;
        let own = Headers::default().with("Session", id).with("Range", LIVE);
        let headers = self.headers(&request, own);
        let base = self.granted.as_ref().map(|granted| granted.base.clone()).unwrap_or_default();
        let answer = PlayAnswer { headers, base, is_resumed };
        self.asked = Some(Asked { request, what: Question::Begin });
        self.events.push_back(Event::Playing(Box::new(answer)));
    }

    /// The answer to PLAY is on its way: what comes behind it may be said.
    pub fn begin_play(&mut self) {
        if self.asked.as_ref().is_some_and(|asked| asked.what == Question::Begin) {
            self.asked = None;
            self.go_on();
        }
    }

    fn on_record(&mut self, request: &Request) {
        if !self.is_of_session(request) {
            return;
        }
        let now = self.now;
        let ready = |session: &&mut Session| session.role == Role::Record && session.phase != Phase::Running;
        let Some(session) = self.session.as_mut().filter(ready) else { return self.refuse_state(request) };
        (session.phase, session.media) = (Phase::Running, now);
        let response = Response::new(200).with("Session", session.id.clone());
        self.answer(request, response);
        self.events.push_back(Event::Recording);
    }

    fn on_pause(&mut self, request: &Request) {
        if !self.is_of_session(request) {
            return;
        }
        let Some(session) = self.session.as_mut().filter(|session| session.phase != Phase::Ready) else {
            return self.refuse_state(request);
        };
        let was_running = session.phase == Phase::Running;
        session.phase = Phase::Paused;
        let response = Response::new(200).with("Session", session.id.clone());
        let is_play = session.role == Role::Play;
        self.answer(request, response);
        if was_running && is_play {
            self.events.push_back(Event::Paused);
        }
    }

    fn on_parameter(&mut self, request: &Request) {
        let is_other = |session: &Session| request.headers.get("Session").is_some_and(|id| !is_session(id, session));
        let is_stray = match &self.session {
            Some(session) => is_other(session),
            None => request.headers.get("Session").is_some(),
        };
        let response = match (is_stray, request.body.is_empty()) {
            (true, _) => Response::new(454),
            (false, true) => Response::new(200),
            // There is none that we know (RFC 2326 §11.3.1).
            (false, false) => Response::new(451),
        };
        let id = self.session.as_ref().map(|session| session.id.clone());
        let response = id.into_iter().fold(response, |response, id| response.with("Session", id));
        self.answer(request, response);
    }

    fn on_teardown(&mut self, request: &Request) {
        // Whoever announced and set nothing up has no session to name.
        let has_none = self.session.is_none() && self.granted.is_some();
        if !has_none && !self.is_of_session(request) {
            return;
        }
        self.answer(request, Response::new(200));
        self.end_session();
        self.events.push_back(Event::Ended);
    }
}

/// Whether a header names the session; parameters may stand behind it.
fn is_session(header: &str, session: &Session) -> bool {
    let id = header.split(';').next().unwrap_or_default().trim();
    !session.id.is_empty() && id == session.id
}
