//! Where a stream is: `rtsps://user:password@host:port/path?query`, and the addresses of its tracks. `rtspt` and `rtspu` say besides
//! how its media shall travel, by TCP or UDP, as GStreamer has it.

use std::fmt;

/// The usual port (RFC 2326 §16).
pub const PORT: u16 = 554;
/// The usual port behind TLS (RFC 7826 §22.5).
pub const TLS_PORT: u16 = 322;

/// An absolute URL of RTSP.
#[derive(Clone, PartialEq, Eq)]
pub struct RtspUrl {
    /// RTSPS: behind TLS.
    pub tls: bool,
    /// `rtspu`: media by UDP, where that can be had.
    pub udp: bool,
    /// Undecoded; empty where there is none.
    pub user: String,
    /// Undecoded; empty where there is none.
    pub password: String,
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// Default 554, and 322 behind TLS.
    pub port: u16,
    /// With its slash in front; may be empty.
    pub path: String,
    /// What stood behind `?`; may be empty.
    pub query: String,
}

impl RtspUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.trim().split_once("://").ok_or("a URL begins with rtsp:// or rtsps://")?;
        let (tls, udp) = match scheme.to_ascii_lowercase().as_str() {
            "rtsp" | "rtspt" => (false, false),
            "rtspu" => (false, true),
            "rtsps" => (true, false),
            "rtspsu" => (true, true),
            other => return Err(format!("{other}:// is neither rtsp:// nor rtsps://")),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (mut authority, mut path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        // A password may hold a slash that nobody has encoded: what is in front of the last @ before the query belongs to it.
        if let Some(at) = rest.split('?').next().and_then(|place| place.rfind('@')).filter(|at| *at > end) {
            let end = rest.get(at..).and_then(|tail| tail.find(['/', '?'])).map_or(rest.len(), |found| at + found);
            (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        }
        let (userinfo, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let (host, port) = host_and_port(address, if tls { TLS_PORT } else { PORT })?;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        if [host, path, query].iter().any(|part| part.contains(|c: char| c.is_control())) {
            return Err("the URL has a control character in it".into());
        }
        let own = str::to_owned;
        let (user, password, path, query) = (own(user), own(password), own(path), own(query));
        Ok(Self { tls, udp, user, password, host: own(host), port, path, query })
    }

    /// As requests say it: without user and password (RFC 2326 §3.2).
    pub fn request_uri(&self) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{}{}{mark}{}", self.base(), self.path, self.query)
    }

    /// Scheme, host and port.
    fn base(&self) -> String {
        let scheme = if self.tls { "rtsps" } else { "rtsp" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == if self.tls { TLS_PORT } else { PORT } {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{}", self.port)
        }
    }

    /// The same user at another place.
    ///
    /// # Errors
    /// A sentence, when that is no URL, or one without TLS in the place of one with it.
    pub fn moved(&self, location: &str) -> Result<Self, String> {
        let location = location.trim();
        let moved = match location {
            path if path.starts_with('/') => Self::parse(&format!("{}{path}", self.base()))?,
            url => Self::parse(url)?,
        };
        if self.tls && !moved.tls {
            return Err("the server asked to go on without TLS".into());
        }
        // A password goes to the host that it is for, and nowhere else.
        let moved = Self { udp: self.udp, ..moved };
        if moved.host == self.host && moved.user.is_empty() {
            return Ok(Self { user: self.user.clone(), password: self.password.clone(), ..moved });
        }
        Ok(moved)
    }
}

/// The URI of a track (RFC 2326 §C.1.1): `control` as the description says it, against `base`, which is `Content-Base`,
/// `Content-Location` or the request's URI. Nothing stands for `*`.
pub fn control_uri(base: &str, control: &str) -> String {
    let control = control.trim();
    match control {
        "" | "*" => base.to_owned(),
        absolute if absolute.contains("://") => absolute.to_owned(),
        // Not as RFC 3986 has it: every server and camera appends, behind a query too, and clients do so.
        relative if base.ends_with('/') || relative.starts_with('/') || relative.starts_with('?') => {
            format!("{base}{}", if base.ends_with('/') { relative.trim_start_matches('/') } else { relative })
        }
        relative => format!("{base}/{relative}"),
    }
}

/// For logs: without user, password and query.
impl fmt::Display for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.base(), self.path)
    }
}

/// As [`fmt::Display`]: what is secret is not shown here either.
impl fmt::Debug for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A part of a URL without its percent-encoding (RFC 3986 §2.1); what is no encoding stays.
pub(super) fn decoded(part: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(part.len()), part.as_bytes());
    while let [first, behind @ ..] = rest {
        let digits = behind.first_chunk::<2>().filter(|pair| *first == b'%' && pair.iter().all(u8::is_ascii_hexdigit));
        let value = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The path and the query of a request's URI, which may be absolute, or a path alone as some clients send it.
pub fn path_and_query(uri: &str) -> (&str, &str) {
    let place = match uri.split_once("://") {
        Some((_, rest)) => rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or_default(),
        None => uri,
    };
    place.split_once('?').unwrap_or((place, ""))
}

fn host_and_port(address: &str, default: u16) -> Result<(&str, u16), String> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("the [ of an IPv6 address has no ]")?;
            (host, rest.strip_prefix(':').unwrap_or_default())
        }
        None => address.split_once(':').unwrap_or((address, "")),
    };
    if host.is_empty() {
        return Err("the URL has no host".into());
    }
    let port = match port {
        "" => default,
        digits => digits.parse().map_err(|_| format!("{digits} is no port"))?,
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_and_put_together() {
        for (url, host, port, path, uri) in [
            ("rtsp://h/live/cam", "h", 554, "/live/cam", "rtsp://h/live/cam"),
            ("rtsps://h/a?t=1&u=/2", "h", 322, "/a", "rtsps://h/a?t=1&u=/2"),
            ("RTSP://[::1]:8554/live/cam", "::1", 8554, "/live/cam", "rtsp://[::1]:8554/live/cam"),
            ("rtsp://me:a@b@h:1/x", "h", 1, "/x", "rtsp://h:1/x"),
            ("rtsp://me:a/b@h/x", "h", 554, "/x", "rtsp://h/x"),
            ("rtsp://h", "h", 554, "", "rtsp://h"),
            ("rtspu://h/x", "h", 554, "/x", "rtsp://h/x"),
            ("rtsp://h?a=b@c", "h", 554, "", "rtsp://h?a=b@c"),
        ] {
            let parsed = RtspUrl::parse(url).unwrap();
            assert_eq!((parsed.host.as_str(), parsed.port, parsed.path.as_str()), (host, port, path), "{url}");
            assert_eq!(parsed.request_uri(), uri);
        }
        let parsed = RtspUrl::parse("rtsp://me:p:w@h/x").unwrap();
        assert_eq!((parsed.user.as_str(), parsed.password.as_str()), ("me", "p:w"));
    }

    #[test]
    fn what_is_no_url_is_refused_with_a_reason() {
        for url in [
            "",
            "live/cam",
            "http://h/live/cam",
            "rtsp:///live/cam",
            "rtsp://h:70000/",
            "rtsp://[::1/",
            "rtsp://h/a\nb",
        ] {
            assert!(RtspUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn secrets_are_not_shown_and_do_not_travel() {
        let here = RtspUrl::parse("rtsp://me:secret@h/live/cam?key=word").unwrap();
        assert_eq!(format!("{here} {here:?}"), "rtsp://h/live/cam rtsp://h/live/cam");
        assert_eq!(here.moved("rtsp://h/other").unwrap().password, "secret");
        assert_eq!(here.moved("rtsp://elsewhere/other").unwrap().password, "");
        assert!(RtspUrl::parse("rtsps://h/a").unwrap().moved("rtsp://h/a").is_err());
    }

    #[test]
    fn controls_are_absolute_or_appended() {
        for (base, control, uri) in [
            ("rtsp://h/a/", "trackID=1", "rtsp://h/a/trackID=1"),
            ("rtsp://h/a", "trackID=1", "rtsp://h/a/trackID=1"),
            ("rtsp://h/a?x=y", "trackID=1", "rtsp://h/a?x=y/trackID=1"),
            ("rtsp://h/a", "*", "rtsp://h/a"),
            ("rtsp://h/a", "", "rtsp://h/a"),
            ("rtsp://h/a", "rtsp://h:1/b/1", "rtsp://h:1/b/1"),
            ("rtsp://h/a", "?ctype=video", "rtsp://h/a?ctype=video"),
            ("rtsp://h/a/", "/track1", "rtsp://h/a/track1"),
        ] {
            assert_eq!(control_uri(base, control), uri);
        }
    }

    #[test]
    fn encodings_are_undone() {
        for (part, plain) in
            [("p%40ss%3a", "p@ss:"), ("100%", "100%"), ("%zz%+1", "%zz%+1"), ("%C3%BC%ff", "\u{fc}\u{fffd}")]
        {
            assert_eq!(decoded(part), plain);
        }
    }

    #[test]
    fn a_request_names_a_path() {
        assert_eq!(path_and_query("rtsp://h:1/live/cam?a=b?c"), ("/live/cam", "a=b?c"));
        assert_eq!(path_and_query("/live/cam"), ("/live/cam", ""));
        assert_eq!((path_and_query("rtsp://h"), path_and_query("*")), (("", ""), ("*", "")));
    }
}
