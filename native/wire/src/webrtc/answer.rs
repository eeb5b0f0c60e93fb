//! What a peer is told in return.

use std::fmt::Write;

/// An answer (RFC 3264), or a fragment of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The text: `application/sdp`, or `application/trickle-ice-sdpfrag` behind a restart.
    pub sdp: String,
    /// Our user name fragment: datagrams for the session begin with it, and it names the ICE session (the entity tag of RFC 9725 §4.3.1).
    pub user_name: String,
    /// What a person may want to know: what was left out, and why.
    pub notes: Vec<String>,
}

/// The lines of an answer that a restart changes (RFC 8840 §9), for one bundle.
pub(crate) fn restart_fragment(sdp: &str) -> String {
    let mut fragment = String::new();
    let (mut sections, mut seen) = (0, Vec::new());
    for line in sdp.lines() {
        if line.starts_with("m=") {
            sections += 1;
        }
        let wanted = ["m=", "a=mid:", "a=ice-", "a=candidate:", "a=end-of-candidates", "a=group:"];
        // All sections are one bundle: its transport is told once.
        if sections > 1 || !wanted.iter().any(|beginning| line.starts_with(beginning)) || seen.contains(&line) {
            continue;
        }
        seen.push(line);
        let _ = write!(fragment, "{line}\r\n");
    }
    fragment
}
