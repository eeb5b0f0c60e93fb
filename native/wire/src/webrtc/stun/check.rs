//! Connectivity checks as an ICE-lite server answers them (RFC 8489, RFC 8445 §2.5, §7.3).

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};

#[cfg(test)]
use super::BINDING_REQUEST;
use super::{
    Attributes, BINDING_SUCCESS, COOKIE, FINGERPRINT, HEADER_BYTES, MESSAGE_INTEGRITY, Message, Transaction,
    USE_CANDIDATE, USERNAME, XOR_MAPPED_ADDRESS,
};

/// Bytes of the attributes that sign a message, with their heads.
const INTEGRITY_BYTES: usize = 4 + 20;
const FINGERPRINT_BYTES: usize = 4 + 4;
/// What the checksum is combined with (RFC 8489 §14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// A check that has proven to come from whom it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    transaction: Transaction,
    /// The peer has chosen this way for its media.
    pub nominates: bool,
}

impl Check {
    /// Reads a check for the user name `ours` of the peer `theirs`, signed with `password`; `None` when it is none, or somebody else's.
    pub fn read(message: &Message<'_>, ours: &str, theirs: &str, password: &str) -> Option<Self> {
        if !message.is_request() {
            return None;
        }
        let (mut is_named, mut nominates) = (false, false);
        let mut attributes = message.attributes();
        while let Some(attribute) = attributes.next() {
            match attribute.kind {
                USERNAME => {
                    // In front of the signature, which costs a hash: after a restart of ICE each check is tried under two names.
                    is_named = std::str::from_utf8(attribute.value).ok()?.split_once(':')? == (ours, theirs);
                    if !is_named {
                        return None;
                    }
                }
                USE_CANDIDATE => nominates = true,
                // What stands behind the signature is not signed.
                MESSAGE_INTEGRITY => {
                    let signature = sign(message.datagram.get(..attribute.begin)?, password)?;
                    verify_slices_are_equal(signature.as_ref(), attribute.value).ok()?;
                    let is_good = is_named && fits_fingerprint(message.datagram, attributes);
                    return is_good.then_some(Self { transaction: message.transaction, nominates });
                }
                _ => {}
            }
        }
        None
    }

    /// The answer to a check that came from `from`, signed with the same password.
    pub fn answer(&self, from: SocketAddr, password: &str) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(HEADER_BYTES + 24 + INTEGRITY_BYTES + FINGERPRINT_BYTES);
        out.extend_from_slice(&BINDING_SUCCESS.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&COOKIE);
        out.extend_from_slice(&self.transaction);
        self.write_address(from, &mut out);
        let signature = sign(&out, password)?;
        write_attribute(&mut out, MESSAGE_INTEGRITY, signature.as_ref());
        set_length(&mut out, FINGERPRINT_BYTES)?;
        let checksum = crc32(&out) ^ FINGERPRINT_XOR;
        write_attribute(&mut out, FINGERPRINT, &checksum.to_be_bytes());
        Some(out)
    }

    /// RFC 8489 §14.2: combined with the cookie and the transaction, so that no router on the way takes it for an address.
    fn write_address(&self, from: SocketAddr, out: &mut Vec<u8>) {
        let mask = COOKIE.into_iter().chain(self.transaction);
        let (family, address) = match from.ip() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let masked = |bytes: Vec<u8>| bytes.into_iter().zip(mask.clone()).map(|(byte, mask)| byte ^ mask);
        let port = masked(from.port().to_be_bytes().to_vec());
        let value: Vec<_> = [0, family].into_iter().chain(port).chain(masked(address)).collect();
        write_attribute(out, XOR_MAPPED_ADDRESS, &value);
    }
}

/// Whether what stands behind the signature is whole: a fingerprint that does not fit makes a message none of STUN (RFC 8489 §6.3, §14.7).
/// There need not be one.
fn fits_fingerprint(datagram: &[u8], mut behind: Attributes<'_>) -> bool {
    let Some(fingerprint) = behind.find(|attribute| attribute.kind == FINGERPRINT) else { return behind.is_at_end() };
    let checksum = datagram.get(..fingerprint.begin).map(|so_far| crc32(so_far) ^ FINGERPRINT_XOR);
    behind.is_at_end() && checksum.is_some_and(|checksum| fingerprint.value == checksum.to_be_bytes())
}

/// The signature of a message so far: under the length that it has with the signature in it (RFC 8489 §14.5).
fn sign(so_far: &[u8], password: &str) -> Option<hmac::Tag> {
    let mut message = so_far.to_vec();
    set_length(&mut message, INTEGRITY_BYTES)?;
    Some(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()), &message))
}

/// Writes the length of the message, with so many bytes more.
fn set_length(message: &mut [u8], more: usize) -> Option<()> {
    let bytes = u16::try_from(message.len().checked_sub(HEADER_BYTES)? + more).ok()?;
    message.get_mut(2..4)?.copy_from_slice(&bytes.to_be_bytes());
    Some(())
}

/// The value is not padded: all but names have multiples of four bytes.
fn write_attribute(out: &mut Vec<u8>, attribute: u16, value: &[u8]) {
    out.extend_from_slice(&attribute.to_be_bytes());
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}

/// ITU V.42, bit by bit: some eighty bytes, every few seconds.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

/// A check as a peer sends it.
#[cfg(test)]
pub(in crate::webrtc) fn request(
    names: (&str, &str),
    password: &str,
    transaction: Transaction,
    nominates: bool,
) -> Vec<u8> {
    let name = format!("{}:{}", names.0, names.1);
    let mut out = [&BINDING_REQUEST.to_be_bytes()[..], &[0, 0], &COOKIE, &transaction].concat();
    write_attribute(&mut out, USERNAME, name.as_bytes());
    out.resize(out.len().next_multiple_of(4), 0);
    if nominates {
        write_attribute(&mut out, USE_CANDIDATE, &[]);
    }
    let signature = sign(&out, password).unwrap();
    write_attribute(&mut out, MESSAGE_INTEGRITY, signature.as_ref());
    set_length(&mut out, FINGERPRINT_BYTES).unwrap();
    let checksum = crc32(&out) ^ FINGERPRINT_XOR;
    write_attribute(&mut out, FINGERPRINT, &checksum.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], ours: &str, theirs: &str, password: &str) -> Option<Check> {
        Check::read(&Message::parse(bytes)?, ours, theirs, password)
    }

    /// The request of RFC 5769 §2.1.
    const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b1\
                           51263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
    /// The answer of §2.2 names a software; ours does not.
    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

    fn request() -> Vec<u8> {
        (0..REQUEST.len()).step_by(2).map(|at| u8::from_str_radix(&REQUEST[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_request_of_the_standard_is_read_and_no_other_name_password_or_byte() {
        let request = request();
        let known = |bytes: &[u8]| read(bytes, "evtj", "h6vY", PASSWORD);
        assert!(!known(&request).unwrap().nominates);
        assert_eq!(read(&request, "evtk", "h6vY", PASSWORD), None);
        assert_eq!(read(&request, "evtj", "h6v", PASSWORD), None);
        assert_eq!(read(&request, "evtj", "h6vY", "VOkJxbRl1RmTxUk/WvJxBu"), None);
        for at in 0..request.len() - FINGERPRINT_BYTES {
            let mut torn = request.clone();
            torn[at] ^= 1;
            assert_eq!(known(&torn), None, "{at}");
            assert_eq!(known(&request[..at]), None, "{at}");
        }
    }

    /// Found by review: what stands behind the signature was not looked at.
    #[test]
    fn a_fingerprint_that_does_not_fit_is_refused_and_one_that_is_not_there_is_not() {
        let request = request();
        for at in request.len() - 4..request.len() {
            let mut torn = request.clone();
            torn[at] ^= 1;
            assert_eq!(read(&torn, "evtj", "h6vY", PASSWORD), None, "{at}");
        }
        let mut without = request[..request.len() - FINGERPRINT_BYTES].to_vec();
        set_length(&mut without, 0).unwrap();
        assert!(read(&without, "evtj", "h6vY", PASSWORD).is_some());
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let request = request();
        let (signed, fingerprint) = request.split_at(request.len() - 4);
        assert_eq!(
            crc32(&signed[..signed.len() - 4]) ^ FINGERPRINT_XOR,
            u32::from_be_bytes(fingerprint.try_into().unwrap())
        );
    }

    #[test]
    fn an_answer_is_signed_and_says_from_where_it_was_asked() {
        let check = read(&request(), "evtj", "h6vY", PASSWORD).unwrap();
        // The address and port of RFC 5769 §2.2 and §2.3.
        let mapped = |from: &str| check.answer(from.parse().unwrap(), PASSWORD).unwrap();
        let v4 = mapped("192.0.2.1:32853");
        assert_eq!(v4[20..32], [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        assert_eq!(v4.len(), 20 + 12 + 24 + 8);
        let v6 = mapped("[2001:db8:1234:5678:11:2233:4455:6677]:32853");
        assert_eq!(v6[24..34], [0, 2, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3]);
        assert_eq!(v6[2..4], [0, 24 + 24 + 8]);
    }
}
