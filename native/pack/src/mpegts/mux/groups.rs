//! Packets in groups of seven: what fits into a datagram, and what every receiver of a transport stream over UDP, RTP (RFC 2250
//! §2) and SRT expects.

use std::time::Duration;

use super::super::PACKET_BYTES;

/// Bytes of seven packets: with the headers of IPv6, UDP, RTP or SRT they fit into an Ethernet frame of 1 500 bytes.
pub const GROUP_BYTES: usize = 7 * PACKET_BYTES;

/// Hands out packets in groups. Holds less than one.
///
/// What is pushed at once (an access unit, with the clock reference in front of it) is sent at once with a `max_age` of 0: its
/// last group may be short. With more, a short rest waits for packets that follow, until it is so old.
#[derive(Debug)]
pub struct PacketGroups {
    max_age: Duration,
    rest: Vec<u8>,
    /// When the oldest packet of `rest` came.
    since: Duration,
}

impl PacketGroups {
    /// Groups whose packets wait for `max_age` at most.
    pub fn new(max_age: Duration) -> Self {
        Self { max_age, rest: Vec::with_capacity(GROUP_BYTES), since: Duration::ZERO }
    }

    /// Takes whole packets and sends the groups that they fill, without a copy where they lie together.
    pub fn push(&mut self, now: Duration, mut packets: &[u8], mut send: impl FnMut(&[u8])) {
        if !self.rest.is_empty() {
            let missing = GROUP_BYTES - self.rest.len();
            let (head, behind) = packets.split_at_checked(missing).unwrap_or((packets, &[]));
            self.rest.extend_from_slice(head);
            packets = behind;
            if self.rest.len() == GROUP_BYTES {
                self.flush(&mut send);
            }
        }
        let (groups, rest) = packets.as_chunks::<GROUP_BYTES>();
        groups.iter().for_each(|group| send(group));
        if self.rest.is_empty() {
            self.since = now;
        }
        self.rest.extend_from_slice(rest);
        self.tick(now, send);
    }

    /// Sends what has waited for long enough.
    pub fn tick(&mut self, now: Duration, send: impl FnMut(&[u8])) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.flush(send);
        }
    }

    /// When [`Self::tick`] has something to send.
    pub fn deadline(&self) -> Option<Duration> {
        (!self.rest.is_empty()).then(|| self.since.saturating_add(self.max_age))
    }

    /// Sends the rest.
    pub fn flush(&mut self, mut send: impl FnMut(&[u8])) {
        if !self.rest.is_empty() {
            send(&self.rest);
            self.rest.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_access_unit_is_sent_at_once_without_an_age() {
        let mut groups = PacketGroups::new(Duration::ZERO);
        let mut sizes = Vec::new();
        groups.push(Duration::ZERO, &[7; 188 * 16], |group| sizes.push(group.len() / 188));
        assert_eq!((sizes, groups.deadline()), (vec![7, 7, 2], None));
    }

    #[test]
    fn a_short_rest_waits_until_its_age() {
        let mut groups = PacketGroups::new(20 * MS);
        let mut sizes = Vec::new();
        groups.push(5 * MS, &[7; 188 * 2], |group| sizes.push(group.len() / 188));
        groups.push(15 * MS, &[7; 188 * 3], |group| sizes.push(group.len() / 188));
        assert_eq!((sizes.len(), groups.deadline()), (0, Some(25 * MS)));
        groups.tick(24 * MS, |group| sizes.push(group.len() / 188));
        assert!(sizes.is_empty());
        groups.tick(25 * MS, |group| sizes.push(group.len() / 188));
        assert_eq!((sizes, groups.deadline()), (vec![5], None));
    }

    #[test]
    fn packets_leave_in_order_and_in_full_groups() {
        let mut rng = Rng(1);
        let mut groups = PacketGroups::new(1000 * MS);
        let (mut sent, mut pushed) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            let packets = 188 * rng.below(20) as usize;
            let packets = rng.bytes(packets);
            pushed.extend_from_slice(&packets);
            groups.push(Duration::ZERO, &packets, |group| {
                assert_eq!(group.len(), GROUP_BYTES);
                sent.extend_from_slice(group);
            });
        }
        groups.flush(|group| sent.extend_from_slice(group));
        assert!(sent == pushed);
    }
}
