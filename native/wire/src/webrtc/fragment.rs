//! What a peer sends after its offer: more candidates, or new credentials (RFC 8840 §9, RFC 9725 §4.3).

use str0m::{Candidate, IceCreds};

use super::{Limits, WebRtcError};

/// An `application/trickle-ice-sdpfrag`.
#[derive(Debug, Clone, Default)]
pub struct Fragment {
    /// `a=ice-ufrag` and `a=ice-pwd`, when both are there. Other ones than before ask for an ICE restart.
    pub(crate) credentials: Option<IceCreds>,
    pub(crate) candidates: Vec<Candidate>,
}

impl Fragment {
    /// Reads a fragment. Lines of other kinds and candidates that nobody can connect to are passed over.
    ///
    /// # Errors
    /// [`WebRtcError`] when it is too long, or when no line is of SDP.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, WebRtcError> {
        if text.len() > limits.offer_bytes {
            return Err(WebRtcError::LimitExceeded { limit: "offer_bytes", max: limits.offer_bytes });
        }
        let mut fragment = Self::default();
        let (mut ufrag, mut pass) = (None, None);
        for (number, line) in text.lines().map(str::trim_end).enumerate().filter(|(_, line)| !line.is_empty()) {
            let Some((kind, value)) = line.split_once('=').filter(|(kind, _)| kind.len() == 1) else {
                return Err(WebRtcError::Malformed { what: "not a line of SDP".into(), line: number + 1 });
            };
            if kind != "a" {
                continue;
            }
            if let Some(value) = value.strip_prefix("ice-ufrag:") {
                ufrag.get_or_insert(value);
            } else if let Some(value) = value.strip_prefix("ice-pwd:") {
                pass.get_or_insert(value);
            } else if value.starts_with("candidate:") {
                fragment.add(value, limits);
            }
        }
        fragment.credentials = match (ufrag, pass) {
            (Some(ufrag), Some(pass)) => Some(credentials(ufrag, pass)?),
            _ => None,
        };
        Ok(fragment)
    }

    /// Candidates in it that can be used.
    pub fn candidate_count(&self) -> usize {
        self.candidates.len()
    }

    /// Our peer's user name fragment, when it tells one.
    pub fn user_name(&self) -> Option<&str> {
        self.credentials.as_ref().map(|credentials| credentials.ufrag.as_str())
    }

    fn add(&mut self, value: &str, limits: &Limits) {
        if self.candidates.len() < limits.candidates
            && let Ok(candidate) = Candidate::from_sdp_string(value)
        {
            self.candidates.push(candidate);
        }
    }
}

/// A line of SDP as it is under other credentials (RFC 8839 §5.4); `None` for a line that has none.
pub(crate) fn under(line: &str, ufrag: &str, pass: &str) -> Option<String> {
    match line.split_once(':')?.0 {
        "a=ice-ufrag" => Some(format!("a=ice-ufrag:{ufrag}")),
        "a=ice-pwd" => Some(format!("a=ice-pwd:{pass}")),
        _ => None,
    }
}

/// RFC 8839 §5.4: 4 to 256 and 22 to 256 of these characters.
fn credentials(ufrag: &str, pass: &str) -> Result<IceCreds, WebRtcError> {
    let is_ice = |text: &str, min: usize| {
        (min..=256).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
    };
    if !is_ice(ufrag, 4) || !is_ice(pass, 22) {
        return Err(WebRtcError::malformed("a=ice-ufrag or a=ice-pwd is too short, too long or of other characters"));
    }
    Ok(IceCreds { ufrag: ufrag.into(), pass: pass.into() })
}
