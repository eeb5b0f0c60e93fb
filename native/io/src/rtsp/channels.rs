//! On which channels of its connection a viewer gets the tracks.

use arcly_wire::rtsp::{FRAME_HEADER_BYTES, MAGIC};

/// Tracks of one stream that are sent; further ones are left out.
pub(crate) const MEDIAS_MAX: usize = 8;

/// The channel for each of the usual ones, two a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Channels([u8; 2 * MEDIAS_MAX]);

impl Default for Channels {
    /// The usual ones: track 0 on 0 and 1, track 1 on 2 and 3 …
    fn default() -> Self {
        Self(std::array::from_fn(|channel| channel as u8))
    }
}

impl Channels {
    /// Puts a track on other channels.
    pub(crate) fn set(&mut self, media: usize, (rtp, rtcp): (u8, u8)) {
        for (at, channel) in [(2 * media, rtp), (2 * media + 1, rtcp)] {
            if let Some(slot) = self.0.get_mut(at) {
                *slot = channel;
            }
        }
    }

    /// Moves packets from the usual channels to these.
    pub(crate) fn apply(self, mut packets: &mut [u8]) {
        while let [MAGIC, channel, high, low, ..] = packets {
            if let Some(own) = self.0.get(usize::from(*channel)) {
                *channel = *own;
            }
            let length = FRAME_HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
            packets = packets.get_mut(length..).unwrap_or_default();
        }
    }
}

/// Packets as [`super::Packets`] writes them, one by one: channel and content.
pub(crate) fn split(packets: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = packets;
    std::iter::from_fn(move || {
        let [MAGIC, channel, high, low, behind @ ..] = rest else { return None };
        let (packet, next) = behind.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        rest = next;
        Some((*channel, packet))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_change_their_channels_and_nothing_else() {
        let mut channels = Channels::default();
        let mut packets = b"$\x00\0\x02ab$\x03\0\x00$\x01\0\x01$".to_vec();
        channels.apply(&mut packets);
        assert_eq!(packets, b"$\x00\0\x02ab$\x03\0\x00$\x01\0\x01$", "the usual ones");
        channels.set(0, (8, 9));
        channels.set(99, (8, 9));
        channels.apply(&mut packets);
        assert_eq!(packets, b"$\x08\0\x02ab$\x03\0\x00$\x09\0\x01$");
        let parts: Vec<_> = split(&packets).collect();
        assert_eq!(parts, [(8, &b"ab"[..]), (3, b""), (9, b"$")]);
    }
}
