//! Connectivity checks as an ICE-lite server answers them (RFC 8489, RFC 8445 §2.5, §7.3).

use std::net::{IpAddr, SocketAddr};

use arcly_codec::cursor::Cursor;
use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};

const HEADER_BYTES: usize = 20;
const COOKIE: u32 = 0x2112_a442;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;

/// Bytes of the attributes that sign a message, with their heads.
const INTEGRITY_BYTES: usize = 4 + 20;
const FINGERPRINT_BYTES: usize = 4 + 4;
/// What the checksum is combined with (RFC 8489 §14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// Attributes of a check that are looked at; real ones have at most ten.
const ATTRIBUTES_MAX: usize = 32;

/// A check that has proven to come from whom it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    transaction: [u8; 12],
    /// The peer has chosen this way for its media.
    pub nominates: bool,
}

impl Check {
    /// Reads a check for the user name `ours` of the peer `theirs`, signed with `password`; `None` when it is none, or somebody else's.
    pub fn read(datagram: &[u8], ours: &str, theirs: &str, password: &str) -> Option<Self> {
        let mut fields = Cursor::new(datagram);
        let (kind, bytes, cookie) = (fields.u16()?, fields.u16()?, fields.u32()?);
        let transaction = fields.array::<12>()?;
        if kind != BINDING_REQUEST || cookie != COOKIE || usize::from(bytes) != fields.rest().len() {
            return None;
        }
        let (mut is_named, mut nominates) = (false, false);
        for _ in 0..ATTRIBUTES_MAX {
            let begin = fields.offset();
            let (attribute, bytes) = (fields.u16()?, usize::from(fields.u16()?));
            let value = fields.take(bytes)?;
            match attribute {
                USERNAME => {
                    // In front of the signature, which costs a hash: after a restart of ICE each check is tried under two names.
                    is_named = std::str::from_utf8(value).ok()?.split_once(':')? == (ours, theirs);
                    if !is_named {
                        return None;
                    }
                }
                USE_CANDIDATE => nominates = true,
                // What stands behind the signature is not signed.
                MESSAGE_INTEGRITY => {
                    let signature = sign(datagram.get(..begin)?, password)?;
                    verify_slices_are_equal(signature.as_ref(), value).ok()?;
                    check_fingerprint(datagram, &mut fields)?;
                    return is_named.then_some(Self { transaction, nominates });
                }
                _ => {}
            }
            fields.take(bytes.next_multiple_of(4) - bytes)?;
        }
        None
    }

    /// The answer to a check that came from `from`, signed with the same password.
    pub fn answer(&self, from: SocketAddr, password: &str) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(HEADER_BYTES + 24 + INTEGRITY_BYTES + FINGERPRINT_BYTES);
        out.extend_from_slice(&BINDING_SUCCESS.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&COOKIE.to_be_bytes());
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
        let port = from.port() ^ (COOKIE >> 16) as u16;
        let [p0, p1] = port.to_be_bytes();
        let mask = COOKIE.to_be_bytes().into_iter().chain(self.transaction);
        let (family, address) = match from.ip() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let value: Vec<_> = [0, family, p0, p1]
            .into_iter()
            .chain(address.into_iter().zip(mask).map(|(byte, mask)| byte ^ mask))
            .collect();
        write_attribute(out, XOR_MAPPED_ADDRESS, &value);
    }
}

/// Reads what stands behind the signature: a fingerprint that does not fit makes a message none of STUN (RFC 8489 §6.3, §14.7). There need not
/// be one.
fn check_fingerprint(datagram: &[u8], fields: &mut Cursor<'_>) -> Option<()> {
    for _ in 0..ATTRIBUTES_MAX {
        if fields.is_empty() {
            return Some(());
        }
        let begin = fields.offset();
        let (attribute, bytes) = (fields.u16()?, usize::from(fields.u16()?));
        let value = fields.take(bytes)?;
        if attribute == FINGERPRINT {
            let checksum = crc32(datagram.get(..begin)?) ^ FINGERPRINT_XOR;
            return (fields.is_empty() && value == checksum.to_be_bytes()).then_some(());
        }
        fields.take(bytes.next_multiple_of(4) - bytes)?;
    }
    None
}

/// The number of a request (RFC 8489 §5), signed or not; `None` for what is none.
pub(super) fn transaction(datagram: &[u8]) -> Option<[u8; 12]> {
    let mut fields = Cursor::new(datagram);
    let (kind, _, cookie) = (fields.u16()?, fields.u16()?, fields.u32()?);
    (kind == BINDING_REQUEST && cookie == COOKIE).then(|| fields.array()).flatten()
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
    transaction: [u8; 12],
    nominates: bool,
) -> Vec<u8> {
    let name = format!("{}:{}", names.0, names.1);
    let mut out = [&BINDING_REQUEST.to_be_bytes()[..], &[0, 0], &COOKIE.to_be_bytes(), &transaction].concat();
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
        let read = |bytes: &[u8]| Check::read(bytes, "evtj", "h6vY", PASSWORD);
        assert!(!read(&request).unwrap().nominates);
        assert_eq!(Check::read(&request, "evtk", "h6vY", PASSWORD), None);
        assert_eq!(Check::read(&request, "evtj", "h6v", PASSWORD), None);
        assert_eq!(Check::read(&request, "evtj", "h6vY", "VOkJxbRl1RmTxUk/WvJxBu"), None);
        for at in 0..request.len() - FINGERPRINT_BYTES {
            let mut torn = request.clone();
            torn[at] ^= 1;
            assert_eq!(read(&torn), None, "{at}");
            assert_eq!(read(&request[..at]), None, "{at}");
        }
    }

    /// Found by review: what stands behind the signature was not looked at.
    #[test]
    fn a_fingerprint_that_does_not_fit_is_refused_and_one_that_is_not_there_is_not() {
        let request = request();
        for at in request.len() - 4..request.len() {
            let mut torn = request.clone();
            torn[at] ^= 1;
            assert_eq!(Check::read(&torn, "evtj", "h6vY", PASSWORD), None, "{at}");
        }
        let mut without = request[..request.len() - FINGERPRINT_BYTES].to_vec();
        set_length(&mut without, 0).unwrap();
        assert!(Check::read(&without, "evtj", "h6vY", PASSWORD).is_some());
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
        let check = Check::read(&request(), "evtj", "h6vY", PASSWORD).unwrap();
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
