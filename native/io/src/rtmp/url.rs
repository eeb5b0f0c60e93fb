//! Where a remote stream is: `rtmps://user:password@host:port/app/stream?token=x`.

use std::{fmt, hash::BuildHasher};

use arcly_wire::rtmp::Login;
use percent_encoding::percent_decode_str;

/// A stream of another server.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    /// RTMPS: behind TLS.
    pub tls: bool,
    /// `user:password`, as written; may be empty.
    userinfo: String,
    /// The same for servers that ask for it.
    login: Login,
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// Default 1935, and 443 behind TLS.
    pub port: u16,
    /// The path but its last part, at least one part.
    pub app: String,
    /// What stood behind `?` in front of the stream, or in its place; may be empty.
    app_query: String,
    /// The last part of the path; empty where it has only one, which is all of the name then.
    pub stream: String,
    /// What stood behind `?`; may be empty.
    pub query: String,
}

/// Names of streams are often what allows to publish: of long ones a log shows only so many characters.
const NAME_SHOWN: usize = 4;
/// No longer name is shown whole.
const NAME_WHOLE: usize = 16;

impl RemoteUrl {
    /// Reads a URL. What stands in front of the stream is the application, with a query of its own (`live2?backup=1/KEY`); without a stream it is
    /// all there is (`mystream`, `mystream?token=x`).
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("a URL begins with rtmp:// or rtmps://")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => false,
            "rtmps" => true,
            other => return Err(format!("{other}:// is neither rtmp:// nor rtmps://")),
        };
        let (authority, path) = rest.split_once('/').ok_or("the URL has no application and stream: /live/cam")?;
        let (userinfo, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (host, port) = host_and_port(address, if tls { 443 } else { 1935 })?;
        let Place { app, app_query, stream, query } = Place::parse(path);
        if app.is_empty() {
            return Err("the URL has no application and stream: /live/cam".into());
        }
        let own = str::to_owned;
        let (app, app_query, stream, query) = (own(app), own(app_query), own(stream), own(query));
        Ok(Self { tls, userinfo: own(userinfo), login: login(userinfo), host, port, app, app_query, stream, query })
    }

    /// The URL up to the application, as `connect` says it: `rtmp://host:port/live`. The password is in it only until a server has asked
    /// for what is computed from it.
    pub fn tc_url(&self) -> String {
        let userinfo = if self.login.query().is_empty() { self.userinfo.as_str() } else { "" };
        let at = if userinfo.is_empty() { "" } else { "@" };
        format!("{}://{userinfo}{at}{}/{}", self.scheme(), self.address(), self.connect_app())
    }

    /// The application as `connect` says it: behind it stands its query, and what a server has asked for of our login.
    pub fn connect_app(&self) -> String {
        let queries = [self.app_query.as_str(), self.login.query()];
        let query = queries.into_iter().filter(|query| !query.is_empty()).collect::<Vec<_>>().join("&");
        with_query(&self.app, &query)
    }

    /// The same with what a server asks for that has refused us with this description; `None` when it asks for nothing that we have.
    pub fn logged_in(&self, description: &str) -> Option<Self> {
        // The same chance for two connections would do no harm, but to whoever listens.
        let chance = std::hash::RandomState::new().hash_one(description) as u32;
        let mut next = self.clone();
        next.login.take_refusal(description, chance).then_some(next)
    }

    /// The name of the stream with its query.
    pub fn name(&self) -> String {
        with_query(&self.stream, &self.query)
    }

    /// The same stream at the place that a server has named: `rtmp://other/app`, `//other/app`, or a path on this one.
    ///
    /// # Errors
    /// A sentence, when that is no URL, or one without TLS in the place of one with it.
    pub fn moved(&self, tc_url: &str) -> Result<Self, String> {
        let (place, app_query) = tc_url.split_once('?').unwrap_or((tc_url, ""));
        let base = match place {
            "" => return Ok(self.clone()),
            // RFC 3986 §4.2: the scheme is ours.
            other if other.starts_with("//") => format!("{}:{other}", self.scheme()),
            path if path.starts_with('/') => format!("{}://{}{path}", self.scheme(), self.address()),
            url => url.to_owned(),
        };
        // All of it is the application: what it does not name is the stream.
        let Self { tls, host, port, app, stream, .. } = Self::parse(&format!("{}/-", base.trim_end_matches('/')))?;
        if stream.is_empty() {
            return Err("the server named a place without an application".into());
        }
        if self.tls && !tls {
            return Err("the server asked to go on without TLS".into());
        }
        let (app_query, login) = (app_query.to_owned(), login(&self.userinfo));
        Ok(Self { tls, host, port, app, app_query, login, ..self.clone() })
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "rtmps" } else { "rtmp" }
    }

    fn address(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.port)
    }
}

/// The parts of a path.
struct Place<'a> {
    app: &'a str,
    app_query: &'a str,
    stream: &'a str,
    query: &'a str,
}

impl<'a> Place<'a> {
    /// Everything in front of the last part is the application. One part alone is the application too, as FFmpeg has it: the stream then follows
    /// its query, if there is one.
    fn parse(whole: &'a str) -> Self {
        let (path, query) = whole.split_once('?').unwrap_or((whole, ""));
        let path = path.trim_matches('/');
        if let Some((app, stream)) = path.rsplit_once('/') {
            return Self { app, app_query: "", stream, query };
        }
        let Some((front, name)) = whole.rsplit_once('/').filter(|_| query.contains('/')) else {
            return Self { app: path, app_query: query, stream: "", query: "" };
        };
        let (_, app_query) = front.split_once('?').unwrap_or_default();
        let (stream, query) = name.split_once('?').unwrap_or((name, ""));
        Self { app: path, app_query, stream, query }
    }
}

fn with_query(path: &str, query: &str) -> String {
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{path}{mark}{query}")
}

/// For logs: without password and query, and a long name, which may be a secret, cut short.
impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/", self.scheme(), self.address())?;
        let name = if self.stream.is_empty() {
            &self.app
        } else {
            write!(f, "{}/", self.app)?;
            &self.stream
        };
        if name.chars().count() <= NAME_WHOLE {
            return f.write_str(name);
        }
        let shown: String = name.chars().take(NAME_SHOWN).collect();
        write!(f, "{shown}…")
    }
}

/// As [`fmt::Display`]: what is secret is not shown here either.
impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn login(userinfo: &str) -> Login {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Login::new(&decoded(user), &decoded(password))
}

fn host_and_port(address: &str, default: u16) -> Result<(String, u16), String> {
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
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_and_put_together() {
        for (url, host, port, app, name, tc_url) in [
            ("rtmp://h/live/cam", "h", 1935, "live", "cam", "rtmp://h:1935/live"),
            ("rtmps://h/a/b/cam?t=1&u=/2", "h", 443, "a/b", "cam?t=1&u=/2", "rtmps://h:443/a/b"),
            ("RTMP://[::1]:19/live/cam", "::1", 19, "live", "cam", "rtmp://[::1]:19/live"),
            ("rtmp://me:a@b@h:1/live/cam", "h", 1, "live", "cam", "rtmp://me:a@b@h:1/live"),
            ("rtmp://h/cam/", "h", 1935, "cam", "", "rtmp://h:1935/cam"),
        ] {
            let parsed = RemoteUrl::parse(url).unwrap();
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port), "{url}");
            assert_eq!((parsed.app.as_str(), parsed.name().as_str()), (app, name), "{url}");
            assert_eq!(parsed.tc_url(), tc_url);
        }
    }

    #[test]
    fn what_is_no_url_is_refused_with_a_reason() {
        for url in ["", "live/cam", "http://h/live/cam", "rtmp://h", "rtmp://h/", "rtmp://h/?a/b", "rtmp:///live/cam"] {
            assert!(RemoteUrl::parse(url).is_err(), "{url}");
        }
        assert!(RemoteUrl::parse("rtmp://h:70000/live/cam").is_err());
        assert!(RemoteUrl::parse("rtmp://[::1/live/cam").is_err());
    }

    /// Found by reading: what YouTube prints for its second ingest, and MediaMTX for a path of one part, was refused.
    #[test]
    fn an_application_has_a_query_and_may_be_all_there_is() {
        for (url, app, tc_url, name) in [
            ("rtmp://h/live2?backup=1/KEY", "live2?backup=1", "rtmp://h:1935/live2?backup=1", "KEY"),
            ("rtmp://h/live2?backup=1/KEY?t=1", "live2?backup=1", "rtmp://h:1935/live2?backup=1", "KEY?t=1"),
            ("rtmp://h/mystream", "mystream", "rtmp://h:1935/mystream", ""),
            ("rtmp://h/mystream?user=a&pass=b", "mystream?user=a&pass=b", "rtmp://h:1935/mystream?user=a&pass=b", ""),
            ("rtmp://h/live/cam?path=/a/b", "live", "rtmp://h:1935/live", "cam?path=/a/b"),
        ] {
            let parsed = RemoteUrl::parse(url).unwrap();
            assert_eq!(
                (parsed.connect_app(), parsed.tc_url(), parsed.name()),
                (app.into(), tc_url.into(), name.into())
            );
        }
        let backup = RemoteUrl::parse("rtmp://me:word@h/live2?backup=1/KEY").unwrap();
        let asked = backup.logged_in("[ code=403 need auth; authmod=adobe ]").unwrap();
        assert_eq!(asked.connect_app(), "live2?backup=1&authmod=adobe&user=me");
    }

    /// A server names the place where it sends us.
    #[test]
    fn no_text_of_a_server_does_harm() {
        let here = RemoteUrl::parse("rtmps://h/live/cam").unwrap();
        let texts = ["rtmps://ü:p@[::1]:65535/a/ß?x=/é@", "://@[]:/?", "rtmps://[::/", "/?/@:[", "rtmps://@:0//"];
        for text in texts {
            for (cut, _) in text.char_indices().chain([(text.len(), ' ')]) {
                let (head, tail) = text.split_at(cut);
                for text in [head.to_owned(), tail.to_owned(), format!("{tail}{head}"), head.replace('/', "//")] {
                    if let Ok(moved) = here.moved(&text) {
                        assert!(moved.tls && !moved.host.is_empty() && moved.name() == "cam", "{text}: {moved:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = RemoteUrl::parse("rtmp://me:pass@h/live2/abcd-1234-efgh-5678?key=word").unwrap().to_string();
        assert_eq!(shown, "rtmp://h:1935/live2/abcd…");
        let shown = RemoteUrl::parse("rtmp://me:pass@h/abcd-1234-efgh-5678?key=word").unwrap().to_string();
        assert_eq!(shown, "rtmp://h:1935/abcd…");
    }

    #[test]
    fn a_server_can_move_us_but_not_out_of_tls() {
        let here = RemoteUrl::parse("rtmps://h/live/cam?t=1").unwrap();
        assert_eq!(here.moved("").unwrap(), here);
        assert_eq!(here.moved("/other").unwrap().tc_url(), "rtmps://h:443/other");
        assert_eq!(here.moved("//b:1/other").unwrap().tc_url(), "rtmps://b:1/other");
        assert_eq!(here.moved("rtmps://b:1/live/").unwrap().name(), "cam?t=1");
        assert_eq!(here.moved("rtmps://b:1/live?node=2").unwrap().connect_app(), "live?node=2");
        let nameless = RemoteUrl::parse("rtmp://h/cam?t=1").unwrap().moved("//b/other").unwrap();
        assert_eq!((nameless.connect_app(), nameless.name()), ("other".into(), String::new()));
        assert!(here.moved("rtmp://b/live").is_err());
        assert!(here.moved("rtmps://b").is_err());
        assert!(here.moved("nonsense").is_err());
    }
}
