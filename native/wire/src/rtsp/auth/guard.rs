//! The server's side.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};

use super::digest::{Algorithm, Fields, Place, random_text, response, split_scheme};
use crate::{base64, rtsp::url::path_and_query};

/// How long a nonce is good: then the client is told that it is stale, and takes a new one without asking its user (RFC 7616 §3.3).
pub(super) const NONCE_TIME: Duration = Duration::from_secs(300);

/// Names and passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Users(Arc<HashMap<String, String>>);

/// Names only.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl FromIterator<(String, String)> for Users {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(users: T) -> Self {
        Self(Arc::new(users.into_iter().collect()))
    }
}

/// What a request was found to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The password of a user.
    Known,
    /// Nothing.
    Nothing,
    /// Something that was right with a nonce that has grown old.
    Stale,
    /// Something wrong.
    Wrong,
}

/// The server's side, of one connection: nonces are its own, so that what was overheard is of no use on another.
#[derive(Debug)]
pub struct Guard {
    users: Option<Users>,
    realm: String,
    nonce: String,
    made: Duration,
}

impl Guard {
    /// Asks for a password of `users`; without them Basic alone is offered, and the host looks at what it brings.
    pub fn new(users: Option<Users>, realm: &str, now: Duration) -> Self {
        Self { users, realm: realm.to_owned(), nonce: random_text(), made: now }
    }

    /// Whether passwords are looked at here.
    pub fn has_users(&self) -> bool {
        self.users.is_some()
    }

    /// Looks at an `Authorization` header.
    pub fn check(&self, authorization: &str, method: &str, uri: &str, now: Duration) -> Verdict {
        let Some(users) = &self.users else { return Verdict::Known };
        let (scheme, rest) = split_scheme(authorization);
        if scheme.eq_ignore_ascii_case("Basic") {
            return if self.is_basic(users, rest) { Verdict::Known } else { Verdict::Wrong };
        }
        if !scheme.eq_ignore_ascii_case("Digest") {
            return if authorization.is_empty() { Verdict::Nothing } else { Verdict::Wrong };
        }
        let fields = Fields::parse(rest);
        let is_ours = self.is_digest(users, &fields, method, uri);
        match is_ours {
            false => Verdict::Wrong,
            true if fields.get("nonce") != self.nonce || now.saturating_sub(self.made) > NONCE_TIME => Verdict::Stale,
            true => Verdict::Known,
        }
    }

    /// Whose it is, as the host is told: the credentials of RFC 7617.
    pub fn as_basic(&self, authorization: &str) -> String {
        let Some(users) = &self.users else { return authorization.to_owned() };
        let (scheme, rest) = split_scheme(authorization);
        if !scheme.eq_ignore_ascii_case("Digest") {
            return authorization.to_owned();
        }
        let user = Fields::parse(rest).get("username").to_owned();
        let password = users.0.get(&user).cloned().unwrap_or_default();
        format!("Basic {}", base64::encode(format!("{user}:{password}").as_bytes()))
    }

    fn is_basic(&self, users: &Users, text: &str) -> bool {
        let brought = base64::decode(text.trim().as_bytes()).and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((user, password)) = brought.as_deref().and_then(|text| text.split_once(':')) else { return false };
        // A user that is not there takes as long as one that is.
        let known = users.0.get(user);
        let hash = |text: &str| digest(&SHA256, text.as_bytes());
        let expected = hash(known.map_or(self.nonce.as_str(), String::as_str));
        let same = verify_slices_are_equal(expected.as_ref(), hash(password).as_ref()).is_ok();
        same && known.is_some()
    }

    fn is_digest(&self, users: &Users, fields: &Fields, method: &str, uri: &str) -> bool {
        let Some(algorithm) = Algorithm::parse(fields.find("algorithm")) else { return false };
        let (user, nonce) = (fields.get("username"), fields.get("nonce"));
        // A right answer to a nonce of another's would be as good as one to ours.
        if nonce.is_empty() || fields.get("realm") != self.realm || !is_same_place(fields.get("uri"), uri) {
            return false;
        }
        let known = users.0.get(user);
        let password = known.map_or(self.nonce.as_str(), String::as_str);
        let quality = (fields.get("qop"), fields.get("nc"), fields.get("cnonce"));
        let place = Place { realm: &self.realm, nonce, method, uri: fields.get("uri") };
        let expected = response(algorithm, user, password, &place, quality);
        let brought = fields.get("response").to_ascii_lowercase();
        verify_slices_are_equal(expected.as_bytes(), brought.as_bytes()).is_ok() && known.is_some()
    }

    /// The headers `WWW-Authenticate` of a 401. An old nonce is replaced.
    pub fn challenge(&mut self, verdict: Verdict, now: Duration) -> Vec<String> {
        if now.saturating_sub(self.made) > NONCE_TIME || self.nonce.is_empty() {
            (self.nonce, self.made) = (random_text(), now);
        }
        let basic = format!("Basic realm=\"{}\"", self.realm);
        if self.users.is_none() {
            return vec![basic];
        }
        let stale = if verdict == Verdict::Stale { ", stale=true" } else { "" };
        // FFmpeg takes the last Digest that it finds, and knows MD5 alone in its older versions.
        let digest = |algorithm: Algorithm| {
            format!("Digest realm=\"{}\", nonce=\"{}\", algorithm={}{stale}", self.realm, self.nonce, algorithm.name())
        };
        vec![digest(Algorithm::Sha256), digest(Algorithm::Md5), basic]
    }
}

/// The URI of a Digest is that of the request; some clients say the path alone, or leave the slash at the end out.
fn is_same_place(said: &str, asked: &str) -> bool {
    let place = |uri: &str| {
        let (path, query) = path_and_query(uri);
        (path.trim_end_matches('/').to_owned(), query.trim_end_matches('/').to_owned())
    };
    said == asked || place(said) == place(asked)
}
