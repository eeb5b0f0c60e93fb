//! What whoever drives a connection is asked, and what the peer is answered.

use super::{Phase, Role, ServerConn, Verdict, control_of, stream_path};
use crate::rtsp::{
    Ask, BACK_CHANNEL, Denial, Event, Method, Request, Response,
    message::Headers,
    sdp::{Description, Media},
    url::path_and_query,
};

/// A request that waits for an answer of whoever drives the machine.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) what: Question,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    Play,
    Publish(Vec<Media>),
    /// Not whether, but from where on.
    Begin,
}

/// A stream that this connection may play or publish.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) role: Role,
    /// The path of its URI.
    pub(super) path: String,
    /// Its URI as the peer wrote it.
    pub(super) base: String,
    pub(super) medias: Vec<Media>,
}

impl Granted {
    /// Whether a URI of SETUP means a track of it.
    pub(super) fn holds(&self, uri: &str) -> bool {
        let (path, query) = path_and_query(uri);
        let is_joined = || {
            // GStreamer joins the address of a track to one with a query as RFC 3986 §5.2 has it: in the place of its last segment.
            let (folder, _) = self.path.rsplit_once('/').unwrap_or_default();
            self.base.contains('?') && query.is_empty() && path.contains("/trackID=") && stream_path(path) == folder
        };
        stream_path(path) == self.path || is_joined()
    }
}

impl ServerConn {
    /// Lets the peer play what it asked for; these are the tracks. Their `control` is set here.
    pub fn accept_play(&mut self, mut medias: Vec<Media>) {
        let Some(Asked { request, what: Question::Play }) = self.asked.take() else { return };
        medias.iter_mut().enumerate().for_each(|(at, media)| media.control = control_of(at));
        self.grant(Role::Play, &request, medias);
        match request.method {
            Method::Describe => self.answer_describe(&request),
            _ => self.setup(&request),
        }
        self.go_on();
    }

    /// Tells the peer, where it publishes encrypted tracks, under which key we report: a message of [`keys::write`](crate::rtsp::keys::write).
    pub fn tell_key(&mut self, message: String) {
        self.key = Some(message);
    }

    /// Lets the peer publish what it described.
    pub fn accept_publish(&mut self) {
        let Some(Asked { request, what: Question::Publish(medias) }) = self.asked.take() else { return };
        self.grant(Role::Record, &request, medias);
        self.answer(&request, Response::new(200));
        self.go_on();
    }

    /// Refuses what was asked for last; `text` may be shown to the peer's user.
    pub fn refuse(&mut self, denial: Denial, text: &str) {
        let Some(Asked { request, what }) = self.asked.take() else { return };
        if let Some(session) = self.session.as_mut().filter(|_| what == Question::Begin) {
            session.phase = Phase::Ready;
        }
        // Credentials were not brought: then they are asked for, whatever else was.
        let is_stranger = request.headers.get("Authorization").is_none();
        if denial == Denial::Unauthenticated || (denial == Denial::Forbidden && is_stranger && text.is_empty()) {
            self.challenge(&request, Verdict::Nothing);
        } else {
            let mut response = Response::new(denial.status());
            if !text.is_empty() {
                text.clone_into(&mut response.reason);
            }
            self.answer(&request, response);
        }
        self.go_on();
    }

    pub(super) fn grant(&mut self, role: Role, request: &Request, medias: Vec<Media>) {
        let (path, _) = path_and_query(&request.uri);
        let path = stream_path(path).to_owned();
        // The address of a track is left out: SETUP without DESCRIBE names one.
        let base = request.uri.rsplit_once("trackID=").map_or(request.uri.as_str(), |(base, _)| base);
        let base = base.trim_end_matches('/').to_owned();
        self.granted = Some(Granted { role, path, base, medias });
        self.used = self.now;
    }

    pub(super) fn answer(&mut self, request: &Request, response: Response) {
        let headers = self.headers(request, response.headers);
        self.output.extend_from_slice(&Response { headers, ..response }.write());
    }

    /// What every answer has in front of its own headers.
    pub(super) fn headers(&self, request: &Request, own: Headers) -> Headers {
        let mut headers = Headers::default();
        if let Some(number) = request.headers.get("CSeq") {
            headers.push("CSeq", number);
        }
        headers.push("Server", "arcly");
        headers.extend(own);
        headers
    }

    pub(super) fn challenge(&mut self, request: &Request, verdict: Verdict) {
        self.challenges += 1;
        let challenges = self.guard.challenge(verdict, self.now);
        let response = challenges.into_iter().fold(Response::new(401), |it, one| it.with("WWW-Authenticate", one));
        self.answer(request, response);
    }

    /// Asks whoever drives this, when the password is right where one is needed.
    pub(super) fn ask(&mut self, request: Request, what: Question, description: Option<Description>) {
        let authorization = request.headers.get("Authorization").unwrap_or_default();
        let verdict = self.guard.check(authorization, request.method.as_str(), &request.uri, self.now);
        if verdict != Verdict::Known {
            return self.challenge(&request, verdict);
        }
        let (path, query) = path_and_query(&request.uri);
        let ask = Ask {
            path: stream_path(path).to_owned(),
            // Clients append the address of a track to the query.
            query: query.split("/trackID=").next().unwrap_or_default().to_owned(),
            authorization: self.guard.as_basic(authorization),
            agent: request.headers.get("User-Agent").unwrap_or_default().to_owned(),
            back_channel: request.headers.get("Require") == Some(BACK_CHANNEL),
        };
        self.asked = Some(Asked { request, what });
        self.events.push_back(match description {
            Some(description) => Event::PublishRequested(ask, Box::new(description)),
            None => Event::PlayRequested(ask),
        });
    }
}
