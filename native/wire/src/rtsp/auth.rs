//! Who somebody is: Basic (RFC 7617) and Digest (RFC 7616, RFC 2069) as RTSP has them (RFC 2326 §12.5, §12.44).
//!
//! The server's side is [`Guard`], the client's [`Credentials`]. Digest is offered with SHA-256 first and MD5 behind it, without `qop`,
//! which RTSP clients do not agree on; Basic last. What is never said is whether the stream exists, the user is known or the password
//! is nearly right: all that is refused looks the same.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
    rand,
};

use super::md5::md5;
use crate::base64;

/// How long a nonce is good: then the client is told that it is stale, and takes a new one without asking its user (RFC 7616 §3.3).
const NONCE_TIME: Duration = Duration::from_secs(300);
/// Bytes of chance in a nonce.
const NONCE_BYTES: usize = 16;
/// Fields of a header that are read.
const FIELDS_MAX: usize = 32;

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

/// How a response is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 2069.
    Md5,
    /// RFC 7616.
    Sha256,
}

impl Algorithm {
    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&md5(text.as_bytes())),
            Self::Sha256 => hex(digest(&SHA256, text.as_bytes()).as_ref()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// By its name; none stands for MD5 (RFC 2617 §3.2.1).
    fn parse(name: Option<&str>) -> Option<Self> {
        match name.map(str::to_ascii_uppercase).as_deref() {
            None | Some("" | "MD5") => Some(Self::Md5),
            Some("SHA-256") => Some(Self::Sha256),
            Some(_) => None,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text that nobody can guess.
pub(super) fn random_text() -> String {
    let mut bytes = [0; NONCE_BYTES];
    // Without chance the system is lost anyhow; an empty nonce is never accepted.
    match rand::fill(&mut bytes) {
        Ok(()) => hex(&bytes),
        Err(_) => String::new(),
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
        let (path, query) = super::url::path_and_query(uri);
        (path.trim_end_matches('/').to_owned(), query.trim_end_matches('/').to_owned())
    };
    said == asked || place(said) == place(asked)
}

fn split_scheme(header: &str) -> (&str, &str) {
    header.trim().split_once(char::is_whitespace).unwrap_or((header.trim(), ""))
}

/// What a response is made of besides the password.
struct Place<'a> {
    realm: &'a str,
    nonce: &'a str,
    method: &'a str,
    uri: &'a str,
}

/// RFC 7616 §3.4.1, and RFC 2069 §2.1.2 without `qop`.
fn response(
    algorithm: Algorithm,
    user: &str,
    password: &str,
    place: &Place<'_>,
    (qop, count, client_nonce): (&str, &str, &str),
) -> String {
    let Place { realm, nonce, method, uri } = place;
    let secret = algorithm.hash(&format!("{user}:{realm}:{password}"));
    let what = algorithm.hash(&format!("{method}:{uri}"));
    match qop {
        "" => algorithm.hash(&format!("{secret}:{nonce}:{what}")),
        qop => algorithm.hash(&format!("{secret}:{nonce}:{count}:{client_nonce}:{qop}:{what}")),
    }
}

/// `name="value", name=value …`
#[derive(Debug, Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(text: &str) -> Self {
        let (mut fields, mut rest) = (Vec::new(), text);
        while fields.len() < FIELDS_MAX {
            let Some((name, behind)) = rest.split_once('=') else { break };
            let name = name.trim_matches(|c: char| c.is_whitespace() || c == ',').to_ascii_lowercase();
            let (value, behind) = value(behind.trim_start());
            fields.push((name, value));
            rest = behind;
        }
        Self(fields)
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }
}

/// A value, quoted or not, and what is behind it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        return (value.trim().to_owned(), rest.strip_prefix(',').unwrap_or(rest));
    };
    let (mut value, mut letters) = (String::new(), quoted.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// The client's side: who we are, and what the server wants to see of it.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: String,
    challenge: Option<Challenge>,
}

/// Without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).field("challenge", &self.challenge).finish()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Challenge {
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

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "rtsp://h/live/cam";

    fn users() -> Option<Users> {
        Some([("me".to_owned(), "pass\"word".to_owned())].into_iter().collect())
    }

    /// RFC 2617 §3.5.
    #[test]
    fn the_example_of_the_standard() {
        let place = Place {
            realm: "testrealm@host.com",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            method: "GET",
            uri: "/dir/index.html",
        };
        let quality = ("auth", "00000001", "0a4f113b");
        let answer = response(Algorithm::Md5, "Mufasa", "Circle Of Life", &place, quality);
        assert_eq!(answer, "6629fae49393a05397450978507c4ef1");
    }

    /// RFC 7616 §3.9.1.
    #[test]
    fn the_example_of_the_newer_standard() {
        let place = Place {
            realm: "http-auth@example.org",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            method: "GET",
            uri: "/dir/index.html",
        };
        let quality = ("auth", "00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ");
        let answer = response(Algorithm::Sha256, "Mufasa", "Circle of Life", &place, quality);
        assert_eq!(answer, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
    }

    #[test]
    fn each_way_of_a_challenge_is_met() {
        let mut guard = Guard::new(users(), "arcly", Duration::ZERO);
        let challenges = guard.challenge(Verdict::Nothing, Duration::ZERO);
        for challenge in &challenges {
            let mut credentials = Credentials::new("me", "pass\"word");
            assert!(credentials.take_challenges([challenge.as_str()].into_iter()));
            let header = credentials.authorization("DESCRIBE", URI).unwrap();
            assert_eq!(guard.check(&header, "DESCRIBE", URI, Duration::ZERO), Verdict::Known, "{header}");
            assert_eq!(guard.as_basic(&header), format!("Basic {}", base64::encode(b"me:pass\"word")));
            assert!(!credentials.take_challenges([challenge.as_str()].into_iter()), "the same again: it is wrong");
            let mut wrong = Credentials::new("me", "password");
            wrong.take_challenges([challenge.as_str()].into_iter());
            let header = wrong.authorization("DESCRIBE", URI).unwrap();
            assert_eq!(guard.check(&header, "DESCRIBE", URI, Duration::ZERO), Verdict::Wrong, "{header}");
            let mut nobody = Credentials::new("nobody", "pass\"word");
            nobody.take_challenges([challenge.as_str()].into_iter());
            let header = nobody.authorization("DESCRIBE", URI).unwrap();
            assert_eq!(guard.check(&header, "DESCRIBE", URI, Duration::ZERO), Verdict::Wrong, "{header}");
        }
        let mut best = Credentials::new("me", "x");
        best.take_challenges(challenges.iter().map(String::as_str));
        assert!(matches!(best.challenge, Some(Challenge::Digest { algorithm: Algorithm::Sha256, .. })));
    }

    #[test]
    fn a_nonce_grows_old_and_is_replaced() {
        let mut guard = Guard::new(users(), "arcly", Duration::ZERO);
        let mut credentials = Credentials::new("me", "pass\"word");
        let challenges = guard.challenge(Verdict::Nothing, Duration::ZERO);
        credentials.take_challenges(challenges.iter().map(String::as_str));
        let header = credentials.authorization("PLAY", URI).unwrap();
        let later = NONCE_TIME + Duration::from_secs(1);
        assert_eq!(guard.check(&header, "PLAY", URI, later), Verdict::Stale);
        assert_eq!(guard.check(&header, "PAUSE", URI, later), Verdict::Wrong, "what is wrong is not called old");
        let challenges = guard.challenge(Verdict::Stale, later);
        assert!(credentials.take_challenges(challenges.iter().map(String::as_str)), "the user is not asked again");
        let header = credentials.authorization("PLAY", URI).unwrap();
        assert_eq!(guard.check(&header, "PLAY", URI, later), Verdict::Known);
    }

    #[test]
    fn what_a_client_makes_up_is_refused() {
        let guard = Guard::new(users(), "arcly", Duration::ZERO);
        for header in
            ["Basic", "Basic ????", "Digest", "Digest username=\"me\"", "Bearer x", "Digest a=\"", "Digest ,=,=,"]
        {
            assert_eq!(guard.check(header, "PLAY", URI, Duration::ZERO), Verdict::Wrong, "{header}");
        }
        assert_eq!(guard.check("", "PLAY", URI, Duration::ZERO), Verdict::Nothing);
    }

    /// What cameras send: without an algorithm, with qop, with opaque, with a comma in the realm.
    #[test]
    fn challenges_of_cameras_are_read() {
        for header in [
            "Digest realm=\"IP Camera(E1234)\", nonce=\"8d2a\", stale=\"FALSE\"",
            "Digest realm=\"Login to 1A2B, 3\",qop=\"auth,auth-int\",nonce=\"17\",opaque=\"5c\"",
            "digest realm=AXIS, nonce=\"00ff\" , algorithm=\"MD5\"",
        ] {
            let mut credentials = Credentials::new("me", "x");
            assert!(credentials.take_challenges([header].into_iter()), "{header}");
            let answer = credentials.authorization("DESCRIBE", URI).unwrap();
            assert!(answer.contains("realm=\""), "{answer}");
        }
        assert!(!Credentials::new("me", "x").take_challenges(["Digest qop=\"auth-int\"", "NTLM"].into_iter()));
        assert!(!Credentials::new("", "").take_challenges(["Basic realm=\"x\""].into_iter()), "nobody is nobody");
    }
}
