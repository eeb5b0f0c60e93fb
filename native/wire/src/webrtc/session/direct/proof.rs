//! Whether media arrive where they are sent. Who may check can write another's address on a check, and an ICE-lite server asks nothing back (RFC 8445
//! §2.5). But reports of a receiver name the sender report that came last (RFC 3550 §6.4.1), so one that was sent to an address and is named has come
//! to somebody there. An address is believed without that for half a minute, and a session for no more in all: then it ends.

use std::collections::VecDeque;

use super::paths::{PATHS_MAX, Path};
use crate::webrtc::session::Transport;

/// Sender reports of a session that may go, beside media, where nobody has shown to be: one leaves in a second.
const UNPROVEN_MAX: u32 = 30;

/// Sender reports that can be named: none comes back later than this many seconds.
const REMEMBERED_MAX: usize = 64;

/// While a way is unproven, so many reports may name a sender report that is not remembered: more are guesses. True ones are of who has heard
/// nothing for a minute and is still told of by its reports.
const GUESSES_MAX: u32 = 16;

/// What is known of the ways of one session.
#[derive(Debug, Default)]
pub(super) struct Proof {
    proven: Vec<Path>,
    /// The middle of the NTP time of each, and where it went.
    reports: VecDeque<(u32, Path)>,
    /// Sender reports to ways of which nothing was proven since.
    unproven: Vec<(Path, u32)>,
    guesses: u32,
    /// Packets that had been sent when the last report left.
    packets: u32,
}

impl Proof {
    /// Somebody is there: the handshake has shown it, or a report.
    pub(super) fn prove(&mut self, path: Path) {
        self.unproven.retain(|(unproven, _)| *unproven != path);
        if !self.proven.contains(&path) {
            if self.proven.len() >= PATHS_MAX {
                self.proven.remove(0);
            }
            self.proven.push(path);
        }
    }

    /// Sender reports of that time go there, when so many packets have been sent in all. Without media between them they cost nobody anything, and a
    /// receiver answers none.
    pub(super) fn report(&mut self, ntp: u64, path: Path, packets: u32) {
        if self.reports.len() >= REMEMBERED_MAX {
            self.reports.pop_front();
        }
        self.reports.push_back((middle(ntp), path));
        let is_idle = std::mem::replace(&mut self.packets, packets) == packets;
        // A connection of TCP has shook hands.
        if is_idle || path.0 == Transport::Tcp || self.proven.contains(&path) {
            return;
        }
        match self.unproven.iter_mut().find(|(unproven, _)| *unproven == path) {
            Some((_, count)) => *count += 1,
            None => self.unproven.push((path, 1)),
        }
    }

    /// A report of the peer names this one as the last that has come.
    pub(super) fn named(&mut self, last_sender_report: u32) {
        if last_sender_report == 0 {
            return;
        }
        match self.reports.iter().rev().find(|(sent, _)| *sent == last_sender_report).copied() {
            Some((_, path)) => self.prove(path),
            None => self.guesses += u32::from(!self.unproven.is_empty()),
        }
    }

    /// Whether media have gone for too long where nobody has shown to be.
    pub(super) fn is_doubtful(&self) -> bool {
        let sent: u32 = self.unproven.iter().map(|(_, count)| count).sum();
        sent > UNPROVEN_MAX || self.guesses > GUESSES_MAX
    }
}

fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        (Transport::Udp, ([203, 0, 113, 9], port).into())
    }

    /// So many seconds of media to a way.
    fn send(proof: &mut Proof, seconds: u64, to: Path) -> u64 {
        (0..seconds).for_each(|_| proof.report(u64::from(proof.packets + 1) << 32, to, proof.packets + 1));
        u64::from(proof.packets) << 32
    }

    #[test]
    fn half_a_minute_is_believed_and_no_more_however_often_the_way_changes() {
        let mut proof = Proof::default();
        proof.prove(path(1));
        send(&mut proof, 1000, path(1));
        for port in 2..12 {
            assert!(!proof.is_doubtful(), "{port}");
            send(&mut proof, 3, path(port));
            // On another one it is there indeed.
            let last = send(&mut proof, 3, path(1000 + port));
            proof.named(middle(last));
        }
        assert!(!proof.is_doubtful());
        send(&mut proof, 1, path(12));
        assert!(proof.is_doubtful());
    }

    #[test]
    fn what_is_named_proves_where_it_went_and_guesses_prove_nothing() {
        let mut proof = Proof::default();
        let last = send(&mut proof, 30, path(2));
        proof.named(0);
        proof.named(middle(last));
        send(&mut proof, 100, path(2));
        assert!(!proof.is_doubtful());
        (0..100).for_each(|number| proof.named(7 + number));
        send(&mut proof, 1, path(3));
        assert!(!proof.is_doubtful(), "of a way that is proven nothing was in doubt");
        (0..100).for_each(|number| proof.named(7 + number));
        assert!(proof.is_doubtful());
    }

    #[test]
    fn a_stream_that_pauses_and_a_connection_of_tcp_need_no_proof() {
        let mut proof = Proof::default();
        send(&mut proof, 1, path(2));
        (0..1000).for_each(|second| proof.report(second << 32, path(2), proof.packets));
        send(&mut proof, 1000, (Transport::Tcp, path(2).1));
        assert!(!proof.is_doubtful());
    }
}
