//! An offer, looked at before it is given to anybody: how long, how many sections, what for.

use std::{borrow::Cow, collections::BTreeSet};

use arcly_codec::MediaKind;

use super::{Limits, WebRtcError, fragment::under};

/// An offer (RFC 3264) that is within the limits and has what an answer needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its lines, each with a line feed behind it. One piece: it is kept as long as its session, for an ICE restart answers it anew, and a
    /// piece for each of its three hundred lines would cost twice as much.
    text: String,
}

/// Which way media would flow, as the peer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// WHIP: RFC 9725 §4.2 says `sendonly`; browsers also say `sendrecv`.
    FromPeer,
    /// WHEP: `recvonly`.
    ToPeer,
}

impl Offer {
    /// Looks an offer over. What it says in detail is read by whoever answers it.
    ///
    /// # Errors
    /// [`WebRtcError`]: no SDP, too much of it, or no transport in it.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, WebRtcError> {
        if text.len() > limits.offer_bytes {
            return Err(WebRtcError::LimitExceeded { limit: "offer_bytes", max: limits.offer_bytes });
        }
        let mut candidates = 0;
        let is_kept = |line: &&str| {
            candidates += usize::from(line.starts_with("a=candidate:"));
            !line.is_empty() && (!line.starts_with("a=candidate:") || candidates <= limits.candidates)
        };
        let offer = Self::of(text.lines().map(str::trim_end).filter(is_kept).map(Cow::Borrowed));
        if offer.lines().count() > limits.offer_lines {
            return Err(WebRtcError::LimitExceeded { limit: "offer_lines", max: limits.offer_lines });
        }
        offer.check_form()?;
        offer.check_sections(limits)?;
        offer.check_transport()?;
        Ok(offer)
    }

    fn of<'a>(lines: impl Iterator<Item = Cow<'a, str>>) -> Self {
        let mut text = String::new();
        lines.for_each(|line| text.extend([&line, lacking(&line), "\n"]));
        text.shrink_to_fit();
        Self { text }
    }

    fn lines(&self) -> impl Iterator<Item = &str> + Clone {
        self.text.lines()
    }

    fn check_form(&self) -> Result<(), WebRtcError> {
        if self.lines().next() != Some("v=0") {
            return Err(WebRtcError::malformed("the body is no SDP: it does not begin with v=0"));
        }
        let is_line = |line: &str| line.as_bytes().get(1) == Some(&b'=') && !line.chars().any(char::is_control);
        match self.lines().position(|line| !is_line(line)) {
            Some(index) => Err(WebRtcError::Malformed { what: "not a line of SDP".into(), line: index + 1 }),
            None => Ok(()),
        }
    }

    fn check_sections(&self, limits: &Limits) -> Result<(), WebRtcError> {
        let sections = self.values("m=").count();
        if sections == 0 {
            return Err(WebRtcError::malformed("the offer has no media section"));
        }
        if sections > limits.media_sections {
            return Err(WebRtcError::LimitExceeded { limit: "media_sections", max: limits.media_sections });
        }
        let payload_types: usize = self.values("m=").map(|section| section.split(' ').skip(3).count()).sum();
        if payload_types > limits.payload_types {
            return Err(WebRtcError::LimitExceeded { limit: "payload_types", max: limits.payload_types });
        }
        if self.values("a=rid:").count() > limits.encodings * limits.media_sections {
            return Err(WebRtcError::LimitExceeded { limit: "encodings", max: limits.encodings });
        }
        Ok(())
    }

    fn check_transport(&self) -> Result<(), WebRtcError> {
        for (prefix, name) in
            [("a=ice-ufrag:", "a=ice-ufrag"), ("a=ice-pwd:", "a=ice-pwd"), ("a=fingerprint:", "a=fingerprint")]
        {
            if self.values(prefix).next().is_none() {
                return Err(WebRtcError::malformed(format!("the offer has no {name}")));
            }
        }
        if self.lines().any(|line| line == "a=ice-lite") {
            return Err(WebRtcError::unsupported(
                "the offer says a=ice-lite: of two such ends none would begin, and this server is one",
            ));
        }
        Ok(())
    }

    /// The values of lines with that beginning.
    pub(crate) fn values<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines().filter_map(move |line| line.strip_prefix(prefix))
    }

    /// The names of the codecs in it, as `a=rtpmap` has them, each once and in lower case. For a message to people.
    pub(crate) fn codecs(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for value in self.values("a=rtpmap:") {
            let name = value.split_once(' ').map(|(_, coding)| coding.split('/').next().unwrap_or_default());
            let name = name.unwrap_or_default().to_ascii_lowercase();
            if !matches!(name.as_str(), "rtx" | "red" | "ulpfec" | "flexfec-03" | "") && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Whether there is a section of that kind. One of port 0 is refused, but where it has no port of its own (RFC 9143 §6).
    pub fn asks_for(&self, kind: MediaKind) -> bool {
        let mut is_without_port = false;
        self.lines().any(|line| match line.strip_prefix("m=") {
            None => is_without_port && line == "a=bundle-only",
            Some(section) => {
                let mut words = section.split(' ');
                let is_of_kind = words.next() == Some(kind.name());
                is_without_port = is_of_kind && words.next() == Some("0");
                is_of_kind && !is_without_port
            }
        })
    }

    /// Whether H.264 is offered in single NAL units alone: in each of its payload types.
    pub(crate) fn wants_single_units(&self) -> bool {
        let single = self.single_unit_types();
        let mut types = self.values("a=rtpmap:").filter_map(|value| {
            let (payload_type, coding) = value.split_once(' ')?;
            coding.get(..5).is_some_and(|name| name.eq_ignore_ascii_case("h264/")).then_some(payload_type)
        });
        let is_single = |payload_type: &str| payload_type.parse().is_ok_and(|own| single.contains(&own));
        types.next().is_some_and(is_single) && types.all(is_single)
    }

    /// The payload types of H.264 under which there may be no fragments. By RFC 6184 §8.1 that holds too where nothing is said of it; but
    /// who says nothing takes them, as GStreamer does.
    pub(crate) fn single_unit_types(&self) -> BTreeSet<u8> {
        let is_mode_0 = |parameter: &str| parameter.trim().eq_ignore_ascii_case("packetization-mode=0");
        let of_mode_0 = |value: &str| {
            let (payload_type, parameters) = value.split_once(' ')?;
            parameters.split(';').any(is_mode_0).then(|| payload_type.parse().ok())?
        };
        self.values("a=fmtp:").filter_map(of_mode_0).collect()
    }

    /// The text for whoever answers: media flow one way only, and without what would keep it from being read.
    pub(crate) fn text(&self, way: Way) -> String {
        let narrowed = match way {
            Way::FromPeer => "a=sendonly",
            Way::ToPeer => "a=recvonly",
        };
        self.write(|line| match line {
            "a=sendrecv" => Some(narrowed),
            // A name that only its owner can look up (mDNS): it sends the first check, and then we know.
            line if line.starts_with("a=candidate:") && line.contains(".local ") => None,
            line => Some(line),
        })
    }

    /// The same offer under other credentials: what an ICE restart means.
    pub(crate) fn with_credentials(&self, ufrag: &str, pass: &str) -> Self {
        let lines = self.lines().filter(|line| !line.starts_with("a=candidate:"));
        Self::of(lines.map(|line| under(line, ufrag, pass).map_or(Cow::Borrowed(line), Cow::Owned)))
    }

    /// Gives its memory back: nobody answers it anew.
    pub(crate) fn forget(&mut self) {
        self.text = String::new();
    }

    fn write<'a>(&'a self, keep: impl Fn(&'a str) -> Option<&'a str>) -> String {
        let mut text = String::with_capacity(self.text.len() + self.lines().count());
        self.lines().filter_map(keep).for_each(|line| text.extend([line, "\r\n"]));
        text
    }
}

/// What a line lacks: RFC 7587 §7 has Opus always be of two channels, and GStreamer's whepsrc leaves them out.
fn lacking(line: &str) -> &'static str {
    let coding = line.strip_prefix("a=rtpmap:").and_then(|value| value.split_once(' '));
    if coding.is_some_and(|(_, coding)| coding.eq_ignore_ascii_case("opus/48000")) { "/2" } else { "" }
}
