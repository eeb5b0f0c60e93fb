//! Logging in by `authmod=adobe`, as Adobe's authentication add-in has it, and Wowza, Akamai and others after it. No document of Adobe's describes it;
//! what is said and hashed here is what FFmpeg and librtmp say.
//!
//! ```text
//! connect ──▶ "[ code=403 need auth; authmod=adobe ]"
//! connect ?authmod=adobe&user=U ──▶ "?reason=needauth&user=U&salt=S&challenge=C&opaque=O"
//! connect ?authmod=adobe&user=U&challenge=C'&response=R&opaque=O ──▶ "?reason=authfailed", or _result
//! R = base64(MD5(base64(MD5(U S PASSWORD)) O C')), with C where there is no O
//! ```
//!
//! Each is a connection of its own: a server closes what it has refused.

use std::fmt;

use crate::{base64, md5::md5};

/// Who we are to a server that asks, and how far we are in telling it.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: String,
    password: String,
    said: Said,
    query: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Nothing,
    Name,
    Response,
}

/// Without the password, and what could be tried with passwords.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).field("said", &self.said).finish_non_exhaustive()
    }
}

impl Login {
    /// For somebody with that name; nobody when it is empty. Percent-encoding of a URL is undone by the caller.
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned(), said: Said::Nothing, query: String::new() }
    }

    /// What stands behind `?` of the application and of `tcUrl` at the next `connect`; may be empty.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// Takes the description with which `connect` was refused. True when [`Self::query`] now says what it asks for, and another connection is worth
    /// while: twice at most, for a server that asks again has not believed us. `chance` is any number, a new one each time.
    pub fn take_refusal(&mut self, description: &str, chance: u32) -> bool {
        if self.user.is_empty() || !description.contains("authmod=adobe") {
            return false;
        }
        let (said, query) = match description.split_once("?reason=needauth") {
            Some((_, fields)) => (Said::Response, self.response(fields, &format!("{chance:08x}"))),
            None if description.contains("code=403 need auth") => {
                (Said::Name, format!("authmod=adobe&user={}", self.user))
            }
            None => return false,
        };
        let goes_on = said > self.said;
        if goes_on {
            (self.said, self.query) = (said, query);
        }
        goes_on
    }

    fn response(&self, fields: &str, challenge: &str) -> String {
        let of_server = |name: &str| {
            let mut fields = fields.split('&').filter_map(|field| field.trim().split_once('='));
            fields.find_map(|(key, value)| (key == name).then_some(value)).unwrap_or_default()
        };
        let digest = |parts: [&str; 3]| base64::encode(&md5(parts.concat().as_bytes()));
        let Self { user, password, .. } = self;
        let opaque = of_server("opaque");
        let token = if opaque.is_empty() { of_server("challenge") } else { opaque };
        let secret = digest([user, of_server("salt"), password]);
        let response = digest([&secret, token, challenge]);
        let back = if opaque.is_empty() { String::new() } else { format!("&opaque={opaque}") };
        format!("authmod=adobe&user={user}&challenge={challenge}&response={response}{back}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: &str = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ";

    #[test]
    fn a_server_is_told_the_name_and_then_the_response_and_nothing_twice() {
        let mut login = Login::new("me", "word");
        assert_eq!(login.query(), "");
        assert!(!login.take_refusal("no such application", 1));
        assert!(login.take_refusal(WHO, 1));
        assert_eq!(login.query(), "authmod=adobe&user=me");
        assert!(!login.take_refusal(WHO, 2), "it has been told");
        let challenge =
            "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=me&salt=c2FsdA==&challenge=Y2hhbA==";
        assert!(login.take_refusal(challenge, 3));
        assert!(!login.take_refusal(challenge, 4), "it has not believed it");
        assert!(!login.take_refusal("[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed", 5));
    }

    /// What FFmpeg 5.1 answered to these.
    #[test]
    fn the_response_is_that_of_ffmpeg() {
        for (opaque, challenge, response) in [
            ("&opaque=b3BhcQ==", 0xb943_da41, "challenge=b943da41&response=WDh847fcNz0Q65f0sDVNZg==&opaque=b3BhcQ=="),
            ("", 0x8332_da48, "challenge=8332da48&response=UPDlRSMzaMTlIggUc8LcTw=="),
        ] {
            let mut login = Login::new("me", "word");
            let asks = "authmod=adobe ] : ?reason=needauth&user=me&salt=c2FsdA==&challenge=Y2hhbA==";
            assert!(login.take_refusal(&format!("{asks}{opaque}"), challenge));
            assert_eq!(login.query(), format!("authmod=adobe&user=me&{response}"));
        }
    }

    #[test]
    fn nobody_and_other_ways_are_left_alone() {
        assert!(!Login::new("", "").take_refusal(WHO, 1));
        assert!(!Login::new("me", "word").take_refusal("[ code=403 need auth; authmod=llnw ]", 1));
    }
}
