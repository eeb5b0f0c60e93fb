//! Messages: a request or a response, its headers, its body (RFC 2326 §4 to §7, RFC 7826 §5).

use std::{fmt, fmt::Write as _};

use bytes::Bytes;

use super::{Limits, RtspError};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// What can you do?
    Options,
    /// What is there?
    Describe,
    /// This is what I shall send.
    Announce,
    /// This is how one track travels.
    Setup,
    /// Begin, or go on, to send.
    Play,
    /// I begin to send.
    Record,
    /// Stop for a while.
    Pause,
    /// Mostly a sign of life.
    GetParameter,
    /// Change something.
    SetParameter,
    /// Come to this other place.
    Redirect,
    /// That was all.
    Teardown,
    /// Something that no specification of ours knows.
    Unknown,
}

impl Method {
    /// All that are known.
    pub const ALL: [Self; 11] = [
        Self::Options,
        Self::Describe,
        Self::Announce,
        Self::Setup,
        Self::Play,
        Self::Record,
        Self::Pause,
        Self::GetParameter,
        Self::SetParameter,
        Self::Redirect,
        Self::Teardown,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Announce => "ANNOUNCE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Record => "RECORD",
            Self::Pause => "PAUSE",
            Self::GetParameter => "GET_PARAMETER",
            Self::SetParameter => "SET_PARAMETER",
            Self::Redirect => "REDIRECT",
            Self::Teardown => "TEARDOWN",
            Self::Unknown => "?",
        }
    }

    /// By its name, which is case-sensitive (RFC 2326 §6.1).
    pub fn parse(name: &str) -> Self {
        Self::ALL.into_iter().find(|method| method.as_str() == name).unwrap_or(Self::Unknown)
    }
}

/// Headers in their order. Names are compared without regard to case (RFC 2326 §4.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first header of that name, without white space around it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All headers of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Appends a header.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// The number in the first header of that name.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// With a header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.push(name, value);
        self
    }

    /// Appends all of another's.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn write(&self, out: &mut String) {
        for (name, value) in &self.0 {
            let _ = write!(out, "{name}: {}\r\n", OneLine(value));
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub method: Method,
    /// Of what: an absolute URI, or `*`.
    pub uri: String,
    /// Headers.
    pub headers: Headers,
    /// Mostly empty.
    pub body: Bytes,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 200 and the like (RFC 2326 §7.1.1).
    pub status: u16,
    /// The same in words.
    pub reason: String,
    /// Headers.
    pub headers: Headers,
    /// Mostly empty.
    pub body: Bytes,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, uri: impl Into<String>) -> Self {
        Self { method, uri: uri.into(), headers: Headers::default(), body: Bytes::new() }
    }

    /// With a header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// With a body of that type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.push("Content-Type", content_type);
        self.body = body.into();
        self
    }

    /// The bytes. `Content-Length` is added where there is a body.
    pub fn write(&self) -> Bytes {
        write(&format!("{} {} RTSP/1.0", self.method.as_str(), OneLine(&self.uri)), &self.headers, &self.body)
    }
}

impl Response {
    /// An answer with the usual words of its status.
    pub fn new(status: u16) -> Self {
        Self { status, reason: reason(status).to_owned(), headers: Headers::default(), body: Bytes::new() }
    }

    /// With a header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// With a body of that type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.push("Content-Type", content_type);
        self.body = body.into();
        self
    }

    /// The bytes. `Content-Length` is added where there is a body.
    pub fn write(&self) -> Bytes {
        write(&format!("RTSP/1.0 {} {}", self.status, OneLine(&self.reason)), &self.headers, &self.body)
    }
}

fn write(start: &str, headers: &Headers, body: &[u8]) -> Bytes {
    let mut text = format!("{start}\r\n");
    headers.write(&mut text);
    if !body.is_empty() {
        let _ = write!(text, "Content-Length: {}\r\n", body.len());
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes.into()
}

/// A text of a peer within a line of ours: a line break in it would begin a header of the peer's choice.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().filter(|c| !c.is_control()).try_for_each(|c| f.write_char(c))
    }
}

/// Usual words for a status (RFC 2326 §7.1.1).
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Time-out",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        451 => "Parameter Not Understood",
        453 => "Not Enough Bandwidth",
        454 => "Session Not Found",
        455 => "Method Not Valid in This State",
        457 => "Invalid Range",
        459 => "Aggregate Operation Not Allowed",
        461 => "Unsupported Transport",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "RTSP Version not supported",
        551 => "Option not supported",
        _ => "Unknown",
    }
}

/// The start line and the headers of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Head {
    Request(Method, String, Headers),
    Response(u16, String, Headers),
}

impl Head {
    /// Reads the text in front of a body, whose last line is empty; `offset` is where it begins.
    pub(super) fn parse(text: &[u8], limits: &Limits, offset: u64) -> Result<Self, RtspError> {
        let malformed = |what| RtspError::Malformed { what, offset };
        // Some cameras write names and reasons in an encoding of their own.
        let text = String::from_utf8_lossy(text);
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let start = lines.next().unwrap_or_default();
        let headers = headers(lines, limits, offset)?;
        if let Some(rest) = start.strip_prefix("RTSP/") {
            let (version, rest) = rest.split_once(' ').ok_or(malformed("status line"))?;
            check_version(version)?;
            let (status, reason) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
            let status = status.trim().parse().ok().filter(|status| (100..1000).contains(status));
            return Ok(Self::Response(status.ok_or(malformed("status code"))?, reason.trim().to_owned(), headers));
        }
        let (method, rest) = start.split_once(' ').ok_or(malformed("request line"))?;
        let (uri, version) = rest.trim().rsplit_once(' ').ok_or(malformed("request line"))?;
        check_version(version.strip_prefix("RTSP/").ok_or(malformed("request line"))?)?;
        Ok(Self::Request(Method::parse(method), uri.trim().to_owned(), headers))
    }

    fn headers(&self) -> &Headers {
        match self {
            Self::Request(_, _, headers) | Self::Response(_, _, headers) => headers,
        }
    }

    /// How long the body is.
    pub(super) fn body_bytes(&self, limits: &Limits, offset: u64) -> Result<usize, RtspError> {
        let Some(text) = self.headers().get("Content-Length") else { return Ok(0) };
        let length: u64 = text.parse().map_err(|_| RtspError::Malformed { what: "Content-Length", offset })?;
        let fits = usize::try_from(length).ok().filter(|length| *length <= limits.body_bytes);
        fits.ok_or(RtspError::limit("body_bytes", limits.body_bytes, length))
    }
}

fn check_version(version: &str) -> Result<(), RtspError> {
    // 2.0 is answered as 1.0: none of its clients is known to exist, and what they share is what is used.
    matches!(version.trim(), "1.0" | "2.0").then_some(()).ok_or(RtspError::Unsupported { what: "RTSP version" })
}

fn headers<'a>(lines: impl Iterator<Item = &'a str>, limits: &Limits, offset: u64) -> Result<Headers, RtspError> {
    let mut headers = Headers::default();
    for line in lines {
        if line.trim().is_empty() {
            continue;
        }
        // A line that begins with white space goes on with the one before (RFC 2326 §4.2 by way of RFC 2068 §2.2).
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = headers.0.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(RtspError::Malformed { what: "header", offset })?;
        if headers.len() == limits.headers {
            return Err(RtspError::limit("headers", limits.headers, limits.headers as u64 + 1));
        }
        headers.push(name.trim(), value.trim());
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Head, RtspError> {
        Head::parse(text.as_bytes(), &Limits::default(), 0)
    }

    #[test]
    fn requests_and_responses_are_read() {
        let Ok(Head::Request(method, uri, headers)) = head(
            "SETUP rtsp://h/a b/trackID=0 RTSP/1.0\r\nCSeq:3\r\nTransport: RTP/AVP;unicast\r\n ;client_port=1-2\r\n\r\n",
        ) else {
            panic!()
        };
        assert_eq!((method, uri.as_str()), (Method::Setup, "rtsp://h/a b/trackID=0"));
        assert_eq!(
            (headers.number("cseq"), headers.get("TRANSPORT")),
            (Some(3), Some("RTP/AVP;unicast ;client_port=1-2"))
        );
        let Ok(Head::Response(status, reason, _)) = head("RTSP/1.0 454 Session Not Found\n\n") else { panic!() };
        assert_eq!((status, reason.as_str()), (454, "Session Not Found"));
        assert!(matches!(head("RTSP/1.0 200\r\n\r\n"), Ok(Head::Response(200, _, _))), "a camera without a reason");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in ["", "\r\n", "GET / HTTP/1.1", "PLAY", "PLAY x", "RTSP/1.0", "RTSP/1.0 abc", "RTSP/9.0 200 OK"] {
            assert!(head(text).is_err(), "{text}");
        }
        assert!(head("PLAY * RTSP/1.0\r\nno header\r\n\r\n").is_err());
    }

    #[test]
    fn a_text_of_a_peer_begins_no_header() {
        let written = Response::new(200).with("Session", "a\r\nSet: b").write();
        assert_eq!(&written[..], b"RTSP/1.0 200 OK\r\nSession: aSet: b\r\n\r\n");
    }

    #[test]
    fn a_body_is_announced() {
        let written = Request::new(Method::Announce, "rtsp://h/a").with_body("application/sdp", "v=0").write();
        assert_eq!(
            String::from_utf8_lossy(&written),
            "ANNOUNCE rtsp://h/a RTSP/1.0\r\nContent-Type: application/sdp\r\nContent-Length: 3\r\n\r\nv=0"
        );
    }
}
