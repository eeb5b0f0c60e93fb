//! What both sides compute and read: responses (RFC 7616 §3.4.1, RFC 2069 §2.1.2), and the fields of headers.

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};

use crate::md5::md5;

/// Bytes of chance in a nonce.
const NONCE_BYTES: usize = 16;
/// Fields of a header that are read.
const FIELDS_MAX: usize = 32;

/// How a response is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RFC 2069.
    Md5,
    /// RFC 7616.
    Sha256,
}

impl Algorithm {
    pub(super) fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&md5(text.as_bytes())),
            Self::Sha256 => hex(digest(&SHA256, text.as_bytes()).as_ref()),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// By its name; none stands for MD5 (RFC 2617 §3.2.1).
    pub(super) fn parse(name: Option<&str>) -> Option<Self> {
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
pub(in crate::rtsp) fn random_text() -> String {
    let mut bytes = [0; NONCE_BYTES];
    // Without chance the system is lost anyhow; an empty nonce is never accepted.
    match rand::fill(&mut bytes) {
        Ok(()) => hex(&bytes),
        Err(_) => String::new(),
    }
}

/// The scheme of a header, and what stands behind it.
pub(super) fn split_scheme(header: &str) -> (&str, &str) {
    header.trim().split_once(char::is_whitespace).unwrap_or((header.trim(), ""))
}

/// What a response is made of besides the password.
pub(super) struct Place<'a> {
    pub(super) realm: &'a str,
    pub(super) nonce: &'a str,
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
}

/// RFC 7616 §3.4.1, and RFC 2069 §2.1.2 without `qop`.
pub(super) fn response(
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
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn parse(text: &str) -> Self {
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

    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn get(&self, name: &str) -> &str {
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
