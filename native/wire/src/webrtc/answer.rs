//! What a peer is told in return.

use std::fmt::Write;

use str0m::media::{MediaKind as RtcKind, Mid};

/// A media section of an answer.
pub(crate) type Section = (Mid, RtcKind);

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

/// Puts the candidates into the first section that was not refused. They stand in the first of all, and who was refused sound in front of
/// its pictures would look for them at the transport of the bundle in vain (RFC 9143 §7.3.2: a refused section is in no bundle).
pub(crate) fn with_candidates_where_media_are(sdp: &str) -> String {
    let is_candidate = |line: &&str| line.starts_with("a=candidate:") || line.starts_with("a=end-of-candidates");
    let candidates: Vec<_> = sdp.lines().filter(is_candidate).collect();
    let (mut moved, mut waits) = (String::with_capacity(sdp.len()), true);
    let mut is_taken = false;
    for line in sdp.lines().filter(|line| !is_candidate(line)) {
        let _ = write!(moved, "{line}\r\n");
        if line.starts_with("m=") {
            is_taken = !is_refused(line);
        } else if waits && is_taken && line.starts_with("c=") {
            candidates.iter().for_each(|candidate| moved.extend([candidate, "\r\n"]));
            waits = false;
        }
    }
    if waits { sdp.to_owned() } else { moved }
}

/// RFC 3264 §6: a port of zero.
fn is_refused(section: &str) -> bool {
    section.split(' ').nth(1) == Some("0")
}

/// The media sections of an answer. (str0m tells of them too, but only once a connection is there.)
pub(crate) fn sections(sdp: &str) -> Vec<Section> {
    let (mut sections, mut kind) = (Vec::new(), None);
    for line in sdp.lines() {
        if let Some(section) = line.strip_prefix("m=") {
            kind = match section.split(' ').next() {
                Some("video") => Some(RtcKind::Video),
                Some("audio") => Some(RtcKind::Audio),
                _ => None,
            };
        } else if let Some(mid) = line.strip_prefix("a=mid:")
            && let Some(kind) = kind.take()
        {
            sections.push((Mid::from(mid), kind));
        }
    }
    sections
}

/// The lines of an answer that a restart changes (RFC 8840 §9), for one bundle.
pub(crate) fn restart_fragment(sdp: &str) -> String {
    let mut fragment = String::new();
    let (mut is_session, mut is_told, mut sections, mut seen) = (true, false, 0, Vec::new());
    for line in sdp.lines() {
        if line.starts_with("m=") {
            is_session = false;
            is_told = sections == 0 && !is_refused(line);
            sections += usize::from(is_told);
        }
        let wanted = ["m=", "a=mid:", "a=ice-", "a=candidate:", "a=end-of-candidates", "a=group:"];
        // All sections are one bundle: its transport is told once.
        let is_meant = (is_session || is_told) && wanted.iter().any(|beginning| line.starts_with(beginning));
        if is_meant && !seen.contains(&line) {
            seen.push(line);
            let _ = write!(fragment, "{line}\r\n");
        }
    }
    fragment
}
