//! SRTP of a viewer: keys as the handshake has made them (RFC 5764 §4.2), and [`crate::srtp`] with them. Only one way of media is here: RTP and
//! RTCP to a viewer, RTCP from it.

use str0m::crypto::dtls::SrtpProfile;

use crate::srtp::{Key, RtcpOpener, Sealer, Suite};

/// What the handshake has agreed on: the key of what we send, and that of the viewer.
#[derive(Debug)]
pub(crate) struct Keys {
    ours: Key,
    peers: Key,
}

impl Keys {
    /// The keys of the client and of the server stand in `material`, then their salts. `is_client`: whether we have begun the handshake.
    /// `None` for a profile that is none of ours, or too little material.
    pub(crate) fn new(profile: SrtpProfile, material: &[u8], is_client: bool) -> Option<Self> {
        let suite = match profile {
            SrtpProfile::AES128_CM_SHA1_80 => Suite::Aes128Tag80,
            SrtpProfile::AEAD_AES_128_GCM => Suite::Aes128Gcm,
            SrtpProfile::AEAD_AES_256_GCM => Suite::Aes256Gcm,
            _ => return None,
        };
        let (key_bytes, salt_bytes) = (suite.key_bytes(), suite.salt_bytes());
        let of_side = |second: usize| {
            let key = material.get(second * key_bytes..)?.get(..key_bytes)?;
            let salt = material.get(2 * key_bytes + second * salt_bytes..)?.get(..salt_bytes)?;
            Key::new(suite, &[key, salt].concat()).ok()
        };
        Some(Self { ours: of_side((!is_client).into())?, peers: of_side(is_client.into())? })
    }
}

/// One session's keys and counters.
#[derive(Debug)]
pub(crate) struct Srtp {
    ours: Sealer,
    from_peer: RtcpOpener,
}

impl Srtp {
    /// `None` when the library refuses the keys.
    pub(crate) fn new(keys: &Keys) -> Option<Self> {
        Some(Self { ours: Sealer::new(&keys.ours).ok()?, from_peer: RtcpOpener::new(&keys.peers).ok()? })
    }

    /// Seals a packet that stands in `out` from `from` on and has a header of so many bytes. `index` is its number, unrolled: the lower 16
    /// bits are in the header. The same number must not be used again for another packet of this source. False when it cannot be done.
    pub(crate) fn seal_rtp(&self, ssrc: u32, index: u64, out: &mut Vec<u8>, from: usize, header_bytes: usize) -> bool {
        self.ours.numbered_rtp((ssrc, index), out, from, header_bytes).is_ok()
    }

    /// Seals the RTCP that stands in `out`. False when there is no more to be had from these keys, which takes 2³¹ packets.
    pub(crate) fn seal_rtcp(&mut self, out: &mut Vec<u8>) -> bool {
        self.ours.rtcp(out, 0).is_ok()
    }

    /// The RTCP in a datagram of the peer; `None` when it is not the peer's, or was there before.
    pub(crate) fn open_rtcp(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        self.from_peer.open(datagram).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILES: [SrtpProfile; 3] =
        [SrtpProfile::AES128_CM_SHA1_80, SrtpProfile::AEAD_AES_128_GCM, SrtpProfile::AEAD_AES_256_GCM];

    #[test]
    fn each_side_reads_what_the_other_says_and_not_what_it_says_itself() {
        let material: Vec<u8> = (0..88).collect();
        for profile in PROFILES {
            let side = |is_client| Srtp::new(&Keys::new(profile, &material, is_client).unwrap()).unwrap();
            let (mut ours, mut theirs) = (side(false), side(true));
            let plain = [0x80, 201, 0, 1, 0, 0, 0, 7];
            let mut sealed = plain.to_vec();
            assert!(theirs.seal_rtcp(&mut sealed));
            assert_eq!(theirs.open_rtcp(&sealed), None, "{profile:?}");
            assert_eq!(ours.open_rtcp(&sealed), Some(plain.to_vec()), "{profile:?}");
            assert_eq!(ours.open_rtcp(&sealed), None, "{profile:?}: the same again");
            let mut out = vec![0x80; 12 + 100];
            assert!(ours.seal_rtp(9, 1 << 20, &mut out, 0, 12) && out[..12] == [0x80; 12]);
        }
    }

    #[test]
    fn too_little_material_makes_no_keys() {
        for bytes in 0..60 {
            assert!(Keys::new(SrtpProfile::AES128_CM_SHA1_80, &vec![1; bytes], false).is_none(), "{bytes}");
        }
    }
}
