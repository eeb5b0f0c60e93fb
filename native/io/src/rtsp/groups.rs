//! Group addresses (RFC 1112): one for each stream that somebody may play, out of a range, for as long as somebody may.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    sync::{Arc, Mutex, Weak},
};

use arcly_bus::StreamKey;
use arcly_wire::rtsp::Group;

use super::datagrams::GROUP_TTL;
use crate::lock;

/// The groups of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupRange {
    /// The first address; it is left out, as the one of a network is.
    pub network: Ipv4Addr,
    /// How many addresses there are; those behind the last one of IPv4 do not count.
    pub addresses: u32,
    /// The port of RTP of the first track of each stream; RTCP and further tracks have the next ones.
    pub port: u16,
}

/// Gives streams their groups.
pub(crate) struct Groups {
    range: GroupRange,
    taken: Mutex<HashMap<StreamKey, Weak<Group>>>,
}

impl Groups {
    pub(crate) fn new(range: GroupRange) -> Self {
        Self { range, taken: Mutex::default() }
    }

    /// The group of a stream, the same for all who hold one at a time; none when all are taken.
    pub(crate) fn of(&self, key: &StreamKey) -> Option<Arc<Group>> {
        let mut taken = lock(&self.taken);
        if let Some(group) = taken.get(key).and_then(Weak::upgrade) {
            return Some(group);
        }
        taken.retain(|_, group| group.strong_count() > 0);
        let used: HashSet<_> = taken.values().filter_map(Weak::upgrade).map(|group| group.address).collect();
        let GroupRange { network, addresses, port } = self.range;
        let address = |at: u32| u32::from(network).checked_add(at).map(|bits| Ipv4Addr::from(bits).into());
        let address = (1..addresses).filter_map(address).find(|address| !used.contains(address))?;
        let group = Arc::new(Group { address, port, ttl: GROUP_TTL });
        taken.insert(key.clone(), Arc::downgrade(&group));
        Some(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_have_groups_of_their_own_for_as_long_as_somebody_holds_one() {
        let network = Ipv4Addr::new(224, 1, 0, 0);
        let groups = Groups::new(GroupRange { network, addresses: 3, port: 8002 });
        let key = |name| StreamKey::new("live", name).unwrap();
        let first = groups.of(&key("a")).unwrap();
        assert_eq!(first.address.to_string(), "224.1.0.1");
        assert_eq!(groups.of(&key("a")).unwrap(), first);
        let second = groups.of(&key("b")).unwrap();
        assert_eq!(second.address.to_string(), "224.1.0.2");
        assert_eq!(groups.of(&key("c")), None);
        drop(first);
        assert_eq!(groups.of(&key("c")).unwrap().address.to_string(), "224.1.0.1");
    }
}
