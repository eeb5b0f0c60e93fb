//! Stream ids: what a caller says that it wants (SRT Appendix B), and the short forms that people type.
//!
//! | form | means |
//! |---|---|
//! | `#!::r=live/cam,m=publish,u=ann,s=…,token=…` | the recommended syntax |
//! | `publish:live/cam:ann:secret`, `read:live/cam` | what MediaMTX's users write; `request:` and `play:` too |
//! | `live/cam`, `/live/cam?token=…`, `srt://host/live/cam` | a path: to be played |
//!
//! What stands behind `?` in a resource is its query, as in every URL here. Credentials come to the query too, percent-encoded, as `user`
//! and `pass`, so that an authenticator finds them where those of other protocols are.

use std::fmt::Write as _;

/// What the caller will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Receive; the default (SRT Appendix B.2).
    Request,
    /// Send.
    Publish,
    /// Both: not spoken here.
    Bidirectional,
}

/// A stream id that was understood. The name is not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamId {
    /// What the caller will do.
    pub mode: Mode,
    /// Everything but the last part of the path.
    pub app: String,
    /// The last part.
    pub stream: String,
    /// `key=value` joined by `&`, as behind `?` in a URL.
    pub query: String,
    /// What it calls itself; may be empty.
    pub user: String,
}

/// Why a stream id is not understood; safe to log.
pub type StreamIdFault = &'static str;

/// Parts of it.
#[derive(Default)]
struct Parts<'a> {
    mode: Option<Mode>,
    resource: &'a str,
    user: &'a str,
    query: String,
}

impl StreamId {
    /// Reads the text of the extension.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, StreamIdFault> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
        if text.chars().any(char::is_control) {
            return Err("there are control characters in it");
        }
        let parts = match text.strip_prefix("#!") {
            Some(rest) => standard(rest)?,
            None => short(text)?,
        };
        parts.finish()
    }
}

impl Parts<'_> {
    fn finish(mut self) -> Result<StreamId, StreamIdFault> {
        let resource = without_origin(self.resource);
        let (path, query) = resource.split_once('?').unwrap_or((resource, ""));
        if !query.is_empty() {
            self.query = if self.query.is_empty() { query.to_owned() } else { format!("{query}&{}", self.query) };
        }
        let path: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (stream, app) = path.split_last().filter(|(_, app)| !app.is_empty()).ok_or("it names no app/stream")?;
        Ok(StreamId {
            mode: self.mode.unwrap_or(Mode::Request),
            app: app.join("/"),
            stream: (*stream).to_owned(),
            query: self.query,
            user: self.user.to_owned(),
        })
    }

    fn credential(&mut self, key: &str, value: &str) {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        encode(key, &mut self.query);
        self.query.push('=');
        encode(value, &mut self.query);
    }
}

/// `srt://host:port/live/cam` to `live/cam`.
fn without_origin(resource: &str) -> &str {
    resource.split_once("://").map_or(resource, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path))
}

/// Behind `#!`: `:` and pairs, or `{` pairs `}` (SRT Appendix B.1).
fn standard(rest: &str) -> Result<Parts<'_>, StreamIdFault> {
    let rest = rest.strip_prefix(':').ok_or("its syntax is not known")?;
    let nested = || rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let content = rest.strip_prefix(':').or_else(nested).ok_or("its content is of an unknown form")?;
    let mut parts = Parts::default();
    for pair in content.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or("a key has no value")?;
        match key.trim() {
            "r" => parts.resource = value,
            "m" => parts.mode = Some(mode(value).ok_or("its mode is unknown")?),
            "u" => {
                parts.user = value;
                parts.credential("user", value);
            }
            "t" if value != "stream" => return Err("only streams are served"),
            "t" | "h" => {}
            "s" => parts.credential("pass", value),
            key => parts.credential(key, value),
        }
    }
    Ok(parts)
}

fn mode(text: &str) -> Option<Mode> {
    match text {
        "request" | "read" | "play" => Some(Mode::Request),
        "publish" => Some(Mode::Publish),
        "bidirectional" => Some(Mode::Bidirectional),
        _ => None,
    }
}

/// `mode:path:user:pass`, with what stands behind `?` of the path; or a path.
fn short(text: &str) -> Result<Parts<'_>, StreamIdFault> {
    let Some((named, rest)) = text.split_once(':').and_then(|(named, rest)| Some((mode(named)?, rest))) else {
        return Ok(Parts { resource: text, ..Parts::default() });
    };
    let mut parts = Parts { mode: Some(named), ..Parts::default() };
    // A fourth `:` is of the password.
    let mut fields = rest.splitn(3, ':');
    parts.resource = fields.next().unwrap_or_default();
    if let Some(user) = fields.next().filter(|user| !user.is_empty()) {
        parts.user = user;
        parts.credential("user", user);
    }
    if let Some(pass) = fields.next() {
        // `publish:path:user:pass?query` is what some encoders make of a URL with a query.
        let (pass, query) = pass.split_once('?').unwrap_or((pass, ""));
        parts.credential("pass", pass);
        if !query.is_empty() {
            let _ = write!(parts.query, "&{query}");
        }
    }
    Ok(parts)
}

/// Percent-encoding of all but unreserved characters (RFC 3986 §2.3).
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, mode: Mode, app: &str, stream: &str, query: &str) {
        let id = StreamId::parse(text.as_bytes()).unwrap();
        assert_eq!((id.mode, &*id.app, &*id.stream, &*id.query), (mode, app, stream, query), "{text}");
    }

    #[test]
    fn the_recommended_syntax() {
        check("#!::r=live/cam,m=publish", Mode::Publish, "live", "cam", "");
        check("#!::m=request,r=/live/inst/cam", Mode::Request, "live/inst", "cam", "");
        check("#!::u=ann,s=a&b,r=live/cam", Mode::Request, "live", "cam", "user=ann&pass=a%26b");
        check("#!::r=live/cam,m=publish,token=x=y", Mode::Publish, "live", "cam", "token=x%3Dy");
        check("#!::h=example.com,t=stream,r=live/cam?token=1,m=publish", Mode::Publish, "live", "cam", "token=1");
        check("#!:{r=live/cam,m=publish}", Mode::Publish, "live", "cam", "");
    }

    #[test]
    fn the_short_forms() {
        check("publish:live/cam", Mode::Publish, "live", "cam", "");
        check("publish:live/cam:ann:se:cret", Mode::Publish, "live", "cam", "user=ann&pass=se%3Acret");
        check("publish:live/cam:ann:secret?token=1", Mode::Publish, "live", "cam", "user=ann&pass=secret&token=1");
        check("publish:live/cam?token=1", Mode::Publish, "live", "cam", "token=1");
        check("read:live/cam", Mode::Request, "live", "cam", "");
        check("live/cam", Mode::Request, "live", "cam", "");
        check("/live/inst/cam?token=1", Mode::Request, "live/inst", "cam", "token=1");
        check("srt://example.com:8890/live/cam", Mode::Request, "live", "cam", "");
    }

    #[test]
    fn what_names_nothing_is_refused_with_a_reason() {
        for text in [
            "",
            "cam",
            "publish:",
            "publish:cam",
            "#!",
            "#!::",
            "#!::r=cam",
            "#!::r",
            "#!::m=x,r=a/b",
            "#!::t=file,r=a/b",
        ] {
            assert!(StreamId::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(StreamId::parse(b"a/\xff").is_err());
        assert!(StreamId::parse(b"a/b\nc").is_err());
    }
}
