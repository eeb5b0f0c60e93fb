//! The client's side.

use std::fmt;

use super::digest::{Algorithm, Fields, Place, random_text, response, split_scheme};
use crate::base64;

/// The client's side: who we are, and what the server wants to see of it.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: String,
    pub(super) challenge: Option<Challenge>,
}

/// Without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).field("challenge", &self.challenge).finish()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Digest { algorithm: Algorithm, realm: String, nonce: String, opaque: Option<String>, has_qop: bool, count: u32 },
}

impl Credentials {
    /// For somebody with that name; nobody when both are empty. Percent-encoding of a URL is undone by the caller.
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned(), challenge: None }
    }

    /// Takes the headers `WWW-Authenticate` of a 401: the strongest that we know. False when there is none, or when it is the one that was
    /// answered already, and not stale: then the password is wrong.
    pub fn take_challenges<'a>(&mut self, headers: impl Iterator<Item = &'a str>) -> bool {
        let offered = headers.filter_map(Challenge::parse).max_by_key(|(challenge, _)| challenge.strength());
        let Some((challenge, is_stale)) = offered.filter(|_| !self.user.is_empty()) else { return false };
        let is_first = self.challenge.is_none();
        self.challenge = Some(challenge);
        is_first || is_stale
    }

    /// The `Authorization` of a request; none before a challenge.
    pub fn authorization(&mut self, method: &str, uri: &str) -> Option<String> {
        let (user, password) = (&self.user, &self.password);
        let (algorithm, realm, nonce, opaque, has_qop, count) = match self.challenge.as_mut()? {
            Challenge::Basic => {
                return Some(format!("Basic {}", base64::encode(format!("{user}:{password}").as_bytes())));
            }
            Challenge::Digest { algorithm, realm, nonce, opaque, has_qop, count } => {
                (*algorithm, &*realm, &*nonce, &*opaque, *has_qop, count)
            }
        };
        *count += 1;
        let (counted, client_nonce) = (format!("{count:08x}"), if has_qop { random_text() } else { String::new() });
        let quality = if has_qop { ("auth", counted.as_str(), client_nonce.as_str()) } else { ("", "", "") };
        let response = response(algorithm, user, password, &Place { realm, nonce, method, uri }, quality);
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let mut header = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{response}\"",
            quoted(user),
            quoted(realm),
            quoted(nonce),
            quoted(uri)
        );
        // Servers that know MD5 alone do not all know how to read its name.
        if algorithm != Algorithm::Md5 {
            header.push_str(&format!(", algorithm={}", algorithm.name()));
        }
        if let Some(opaque) = opaque {
            header.push_str(&format!(", opaque=\"{}\"", quoted(opaque)));
        }
        if has_qop {
            header.push_str(&format!(", qop=auth, nc={counted}, cnonce=\"{client_nonce}\""));
        }
        Some(header)
    }
}

impl Challenge {
    /// The challenge and whether it says that only the nonce was too old; none when we cannot meet it.
    fn parse(header: &str) -> Option<(Self, bool)> {
        let (scheme, rest) = split_scheme(header);
        if scheme.eq_ignore_ascii_case("Basic") {
            return Some((Self::Basic, false));
        }
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let fields = Fields::parse(rest);
        let algorithm = Algorithm::parse(fields.find("algorithm"))?;
        let qop = fields.find("qop");
        // Only the integrity of bodies is offered: we do not know that.
        if qop.is_some_and(|qop| !qop.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth"))) {
            return None;
        }
        let own = |name: &str| fields.get(name).to_owned();
        let opaque = fields.find("opaque").map(str::to_owned);
        let is_stale = fields.get("stale").eq_ignore_ascii_case("true");
        let (realm, nonce, has_qop) = (own("realm"), own("nonce"), qop.is_some());
        Some((Self::Digest { algorithm, realm, nonce, opaque, has_qop, count: 0 }, is_stale))
    }

    fn strength(&self) -> u8 {
        match self {
            Self::Basic => 0,
            Self::Digest { algorithm: Algorithm::Md5, .. } => 1,
            Self::Digest { algorithm: Algorithm::Sha256, .. } => 2,
        }
    }
}
