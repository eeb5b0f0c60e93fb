//! What a datagram is (RFC 7983), and for whom: all sessions share one port.

/// A datagram, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// A STUN message (RFC 8489).
    Stun {
        /// Of a request: our user name fragment, the part of USERNAME before the colon (RFC 8445 §7.2.2). Not proven: its integrity is the
        /// session's to check.
        ours: Option<&'a str>,
    },
    /// A DTLS record.
    Dtls,
    /// SRTP or SRTCP.
    Media,
}

const STUN_HEADER_BYTES: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: u16 = 0x0006;

/// Attributes looked at in search of the user name; real checks have at most ten.
const ATTRIBUTES_MAX: usize = 32;

/// Tells what a datagram is; `None` for what no session can want.
pub fn classify(bytes: &[u8]) -> Option<Datagram<'_>> {
    match bytes.first()? {
        0..=3 => stun(bytes),
        20..=63 if bytes.len() >= 13 => Some(Datagram::Dtls),
        128..=191 if bytes.len() >= 8 => Some(Datagram::Media),
        _ => None,
    }
}

fn stun(bytes: &[u8]) -> Option<Datagram<'_>> {
    let (header, body) = bytes.split_at_checked(STUN_HEADER_BYTES)?;
    let announced = usize::from(number(header.get(2..4)?)?);
    // RFC 8489 §5: the length is a multiple of 4 and does not count the header.
    if header.get(4..8)? != MAGIC_COOKIE || announced != body.len() || announced % 4 != 0 {
        return None;
    }
    Some(Datagram::Stun { ours: user_name(body).and_then(|name| name.split_once(':')).map(|(ours, _)| ours) })
}

fn user_name(mut attributes: &[u8]) -> Option<&str> {
    for _ in 0..ATTRIBUTES_MAX {
        let (head, rest) = attributes.split_at_checked(4)?;
        let (kind, length) = (number(head.get(..2)?)?, usize::from(number(head.get(2..)?)?));
        if kind == USERNAME {
            return std::str::from_utf8(rest.get(..length)?).ok();
        }
        // RFC 8489 §14: values are padded to 32 bits.
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn number(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}
