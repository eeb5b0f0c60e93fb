//! SRTP for what we send ourselves (RFC 3711, RFC 7714), over the ciphers of aws-lc: packets are sealed where the system call takes them
//! from, with no copy in between.
//!
//! Only one way of media is here: RTP and RTCP to a viewer, RTCP from it.

mod cipher;
mod keys;
mod replay;

use self::{cipher::Cipher, replay::Replays};
pub(crate) use self::{cipher::TAG_BYTES_MAX, keys::Keys};

/// A number of a packet of SRTCP has 31 bits, and what is above it says that the packet is encrypted (RFC 3711 §3.4).
const ENCRYPTED: u32 = 1 << 31;

/// One session's keys and counters.
#[derive(Debug)]
pub(crate) struct Srtp {
    rtp: Cipher,
    rtcp: Cipher,
    from_peer: Cipher,
    /// Packets of SRTCP so far: their number.
    sent: u32,
    heard: Replays,
}

impl Srtp {
    /// `None` when the handshake has agreed on a profile that is none of ours.
    pub(crate) fn new(keys: &Keys) -> Option<Self> {
        Some(Self {
            rtp: keys.cipher(keys::RTP, keys::Side::Ours)?,
            rtcp: keys.cipher(keys::RTCP, keys::Side::Ours)?,
            from_peer: keys.cipher(keys::RTCP, keys::Side::Peer)?,
            sent: 0,
            heard: Replays::default(),
        })
    }

    /// Seals a packet that stands in `out` from `from` on and has a header of so many bytes. `index` is its number, unrolled: the lower 16
    /// bits are in the header. The same number must not be used again for another packet of this source. False when it cannot be done.
    pub(crate) fn seal_rtp(&self, ssrc: u32, index: u64, out: &mut Vec<u8>, from: usize, header_bytes: usize) -> bool {
        self.rtp.seal_rtp(ssrc, index, out, from, header_bytes).is_some()
    }

    /// Seals the RTCP that stands in `out`. False when there is no more to be had from these keys, which takes 2³¹ packets.
    pub(crate) fn seal_rtcp(&mut self, out: &mut Vec<u8>) -> bool {
        let index = self.sent;
        if index >= ENCRYPTED {
            return false;
        }
        self.sent += 1;
        self.rtcp.seal_rtcp(index, out).is_some()
    }

    /// The RTCP in a datagram of the peer; `None` when it is not the peer's, or was there before.
    pub(crate) fn open_rtcp(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let (ssrc, word, plain) = self.from_peer.open_rtcp(datagram)?;
        self.heard.is_new(ssrc, word & !ENCRYPTED).then_some(plain)
    }
}

#[cfg(test)]
mod tests {
    use str0m::crypto::dtls::SrtpProfile;

    use super::*;

    fn both(profile: SrtpProfile) -> (Srtp, Srtp) {
        let material: Vec<u8> = (0..88).collect();
        let side = |is_client| Srtp::new(&Keys::new(profile, &material, is_client)).unwrap();
        (side(false), side(true))
    }

    const REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 7];

    #[test]
    fn rtcp_comes_back_once_and_what_was_changed_does_not() {
        for profile in [SrtpProfile::AES128_CM_SHA1_80, SrtpProfile::AEAD_AES_128_GCM, SrtpProfile::AEAD_AES_256_GCM] {
            let (mut ours, mut theirs) = both(profile);
            for body in [&[][..], &[1, 2, 3, 4], &[5; 400]] {
                let plain = [&REPORT[..], body].concat();
                let mut sealed = plain.clone();
                assert!(theirs.seal_rtcp(&mut sealed));
                for at in [0, 7, sealed.len() / 2, sealed.len() - 1] {
                    let mut torn = sealed.clone();
                    torn[at] ^= 1;
                    assert_eq!(ours.open_rtcp(&torn), None, "{profile:?} {at}");
                }
                assert_eq!(ours.open_rtcp(&sealed), Some(plain), "{profile:?}");
                assert_eq!(ours.open_rtcp(&sealed), None, "{profile:?}: the same again");
                (0..sealed.len()).for_each(|end| assert_eq!(ours.open_rtcp(&sealed[..end]), None, "{profile:?} {end}"));
            }
        }
    }

    #[test]
    fn packets_of_one_content_differ_by_their_numbers_beyond_what_the_header_has() {
        for profile in [SrtpProfile::AES128_CM_SHA1_80, SrtpProfile::AEAD_AES_128_GCM, SrtpProfile::AEAD_AES_256_GCM] {
            let (ours, _) = both(profile);
            let sealed = |index| {
                let mut out = vec![0x80; 12 + 100];
                assert!(ours.seal_rtp(9, index, &mut out, 0, 12));
                out
            };
            assert_eq!(sealed(5), sealed(5));
            assert_ne!(sealed(5), sealed(5 + (1 << 16)));
            assert_eq!(sealed(5)[..12], [0x80; 12]);
        }
    }
}
