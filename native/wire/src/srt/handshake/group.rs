//! Groups: several connections that carry one stream (SRT §3.2.1.4).

use crate::srt::{SrtError, packet::word};

/// What a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// All links carry everything.
    Broadcast,
    /// One link carries everything while it is well; the others wait.
    Backup,
    /// Any other: links share the packets among themselves, or what nobody has defined.
    Other(u8),
}

/// What a connection says of the group that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// Of the group, as its sender knows it. Peers have bit 30 set.
    pub id: u32,
    /// What it is for.
    pub kind: GroupKind,
    /// See [`by_message`](Self::by_message).
    pub flags: u8,
    /// Which link is to be preferred.
    pub weight: u16,
}

impl Membership {
    /// Set in the number of every group.
    pub const ID_BIT: u32 = 1 << 30;

    /// Whether packets are told apart by message numbers; else by sequence numbers, which are the same on all links then.
    pub fn by_message(self) -> bool {
        self.flags & 1 != 0
    }

    /// Two words; more are of a future version.
    pub(super) fn parse(contents: &[u8], offset: usize) -> Result<Self, SrtError> {
        let words = word(contents, 0).zip(word(contents, 4));
        let (id, rest) = words.ok_or_else(|| SrtError::malformed("group extension", offset))?;
        let [kind, flags, ..] = rest.to_be_bytes();
        Ok(Self { id, kind: GroupKind::from_byte(kind), flags, weight: rest as u16 })
    }

    pub(super) fn to_bytes(self) -> [u8; 8] {
        let rest = u32::from(self.kind.to_byte()) << 24 | u32::from(self.flags) << 16 | u32::from(self.weight);
        (u64::from(self.id) << 32 | u64::from(rest)).to_be_bytes()
    }
}

impl GroupKind {
    fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Broadcast,
            2 => Self::Backup,
            other => Self::Other(other),
        }
    }

    fn to_byte(self) -> u8 {
        match self {
            Self::Broadcast => 1,
            Self::Backup => 2,
            Self::Other(byte) => byte,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_membership_is_read_as_it_was_written_and_is_malformed_when_it_is_cut_off() {
        let bytes = [0x40, 0, 0, 9, 2, 1, 0x12, 0x34];
        let membership = Membership { id: 0x4000_0009, kind: GroupKind::Backup, flags: 1, weight: 0x1234 };
        assert_eq!(Membership::parse(&bytes, 0), Ok(membership));
        assert_eq!(membership.to_bytes(), bytes);
        assert!(membership.by_message());
        assert!((0..8).all(|length| Membership::parse(&bytes[..length], 0).is_err()));
        for byte in 0..=255 {
            assert_eq!(GroupKind::from_byte(byte).to_byte(), byte);
        }
    }
}
