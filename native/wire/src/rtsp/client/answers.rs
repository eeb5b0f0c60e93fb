//! Answers of the server, one after another.

use std::{net::Ipv4Addr, time::Duration};

use bytes::Bytes;

use super::{
    CHALLENGES_MAX, ClientConn, ClientEvent, ClientUse, Description, Lower, MediaSetup, Method, Open, Request,
    Response, RtpInfo, RtspError, Transport, control_uri,
};

/// Characters of a server's words that are shown.
const REASON_SHOWN: usize = 80;

impl ClientConn {
    pub(super) fn on_response(&mut self, response: Response) -> Result<(), RtspError> {
        // An answer that came too late, or twice; cameras that count wrong are believed.
        let is_old = |open: &Open| response.headers.number("CSeq").is_some_and(|number| number < open.sequence.into());
        let Some(open) = self.open.take_if(|open| !is_old(open)) else { return Ok(()) };
        match response.status {
            100..=199 => self.open = Some(open),
            200..=299 => self.on_success(&open, &response)?,
            301 | 302 | 303 | 305 | 307 if response.headers.get("Location").is_some() => {
                let location = response.headers.get("Location").unwrap_or_default().to_owned();
                self.events.push_back(ClientEvent::Moved(location));
            }
            401 => self.meet_challenge(open, &response)?,
            _ => self.on_refusal(&open, &response)?,
        }
        Ok(())
    }

    fn meet_challenge(&mut self, open: Open, response: &Response) -> Result<(), RtspError> {
        let is_new = self.credentials.take_challenges(response.headers.all("WWW-Authenticate"));
        // A camera whose nonces are good for one request each does not say that they are stale.
        let may_try = is_new || (open.challenges == 0 && self.session.is_some());
        if !may_try || open.challenges >= CHALLENGES_MAX {
            return self.on_refusal(&open, response);
        }
        self.send_again(open.request, open.challenges + 1, open.is_sign);
        Ok(())
    }

    fn on_refusal(&mut self, open: &Open, response: &Response) -> Result<(), RtspError> {
        let is_unknown = matches!(response.status, 400 | 404..=406 | 451 | 501 | 551);
        match open.request.method {
            // Servers that do not know it know the rest.
            Method::Options if !open.is_sign && is_unknown => {
                self.describe_or_announce();
                Ok(())
            }
            // One that cannot hear shows what it sees all the same.
            Method::Describe if self.back_channel && response.status == 551 => {
                self.back_channel = false;
                self.describe_or_announce();
                Ok(())
            }
            // Some refuse all of them, whatever flows.
            _ if open.is_sign && (is_unknown || self.plays_on(open)) => {
                self.knows_parameters = false;
                Ok(())
            }
            Method::Teardown => {
                self.events.push_back(ClientEvent::Ended);
                Ok(())
            }
            _ => Err(refused(&open.request, response)),
        }
    }

    fn on_success(&mut self, open: &Open, response: &Response) -> Result<(), RtspError> {
        match open.request.method {
            _ if open.is_sign => {}
            Method::Options => {
                let public = response.headers.get("Public").unwrap_or_default();
                self.knows_parameters = public.contains(Method::GetParameter.as_str());
                self.describe_or_announce();
            }
            Method::Describe => self.on_description(response)?,
            Method::Announce => self.on_announced(response),
            Method::Setup => self.on_set_up(response)?,
            Method::Play | Method::Record => {
                self.is_running = true;
                let infos = self.rtp_infos(response);
                self.events.push_back(ClientEvent::Started(infos));
            }
            Method::Teardown => self.events.push_back(ClientEvent::Ended),
            _ => {}
        }
        Ok(())
    }

    fn describe_or_announce(&mut self) {
        let request = match &self.purpose {
            ClientUse::Play => {
                let request = Request::new(Method::Describe, self.uri.clone());
                self.requiring(request).with("Accept", "application/sdp")
            }
            ClientUse::Publish(medias) => {
                let description =
                    Description { name: "arcly".into(), medias: medias.clone(), ..Description::default() };
                let text = description.write(Ipv4Addr::LOCALHOST.into(), 1);
                Request::new(Method::Announce, self.uri.clone()).with_body("application/sdp", Bytes::from(text))
            }
        };
        self.send(request, false);
    }

    fn on_description(&mut self, response: &Response) -> Result<(), RtspError> {
        let description = Description::parse(&response.body, &self.limits)?;
        // Some send one that is relative, or empty: then it is of no use.
        let header = ["Content-Base", "Content-Location"].iter().find_map(|name| response.headers.get(name));
        let base = header.filter(|base| base.contains("://")).unwrap_or(&self.uri).trim().to_owned();
        self.aggregate = control_uri(&base, &description.control);
        // A presentation may have an address of its own, to which those of its tracks are relative (RFC 2326 §C.1.1).
        self.base = if description.control.contains("://") { self.aggregate.clone() } else { base };
        self.controls = description.medias.iter().map(|media| media.control.clone()).collect();
        self.events.push_back(ClientEvent::Described(Box::new(description)));
        Ok(())
    }

    fn on_announced(&mut self, response: &Response) {
        self.take_session(response);
        let ClientUse::Publish(medias) = &self.purpose else { return };
        let medias = medias.clone();
        self.controls = medias.iter().map(|media| media.control.clone()).collect();
        self.events.push_back(ClientEvent::Described(Box::new(Description { medias, ..Description::default() })));
    }

    fn on_set_up(&mut self, response: &Response) -> Result<(), RtspError> {
        self.take_session(response);
        let Some(MediaSetup { media, transport: wish }) = self.wishes.pop_front() else { return Ok(()) };
        let said = response.headers.get("Transport").and_then(Transport::parse);
        // What it leaves out is as we wished.
        let mut agreed = said.unwrap_or_else(|| wish.clone());
        let misbehaved = |got: String| RtspError::Misbehaved { state: "SETUP", got };
        if agreed.lower != wish.lower || agreed.multicast != wish.multicast {
            return Err(misbehaved(format!("another transport than was asked for: {agreed}")));
        }
        if agreed.lower == Lower::Tcp {
            let (rtp, rtcp) = *agreed.interleaved.get_or_insert(wish.interleaved.unwrap_or_default());
            self.reader.expect_channel(rtp);
            self.reader.expect_channel(rtcp);
        }
        agreed.client_port = agreed.client_port.or(wish.client_port);
        self.setups.push(MediaSetup { media, transport: agreed });
        self.go_on();
        Ok(())
    }

    fn take_session(&mut self, response: &Response) {
        let Some(header) = response.headers.get("Session") else { return };
        let mut parts = header.split(';').map(str::trim);
        self.session = parts.next().filter(|id| !id.is_empty()).map(str::to_owned).or(self.session.take());
        let seconds = parts.find_map(|part| part.strip_prefix("timeout=")?.trim().parse().ok());
        if let Some(seconds) = seconds.filter(|seconds| *seconds > 0) {
            self.session_time = Duration::from_secs(seconds);
        }
    }

    /// RFC 2326 §12.33; what is not understood is left out.
    fn rtp_infos(&self, response: &Response) -> Vec<RtpInfo> {
        let text = response.headers.get("RTP-Info").unwrap_or_default();
        let of_url = |url: &str| {
            let known = |setup: &&MediaSetup| {
                let control = self.controls.get(setup.media).map(String::as_str).unwrap_or_default();
                control_uri(&self.base, control) == url || (!control.is_empty() && url.ends_with(control))
            };
            self.setups.iter().find(known).map(|setup| setup.media)
        };
        let read = |part: &str| {
            let field = |name: &str| {
                part.split(';').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('=')).map(str::trim)
            };
            let media = of_url(field("url")?.trim_matches('"'))?;
            Some(RtpInfo { media, sequence: field("seq")?.parse().ok()?, timestamp: field("rtptime")?.parse().ok()? })
        };
        text.split(',').filter_map(read).collect()
    }
}

fn refused(request: &Request, response: &Response) -> RtspError {
    let reason = response.reason.chars().filter(|c| !c.is_control()).take(REASON_SHOWN).collect();
    RtspError::Refused { status: response.status, reason, method: request.method.as_str() }
}
