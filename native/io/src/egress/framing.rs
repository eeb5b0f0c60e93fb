//! What lies around the packets of a container on their way.

use bytes::Bytes;

/// What lies around packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Framing {
    /// Nothing: whoever writes them frames them (hyper).
    Bare,
    /// Chunks of HTTP/1.1 (RFC 9112 §7.1), one for each packet.
    Chunked,
}

impl Framing {
    /// The packet as it is sent; nothing stays nothing, for an empty chunk would be the last.
    pub(crate) fn wrap(self, packet: &[u8]) -> Bytes {
        match self {
            _ if packet.is_empty() => Bytes::new(),
            Self::Bare => Bytes::copy_from_slice(packet),
            Self::Chunked => {
                let size = format!("{:x}\r\n", packet.len());
                Bytes::from([size.as_bytes(), packet, b"\r\n"].concat())
            }
        }
    }

    /// What tells a viewer that this was all.
    pub(crate) fn end(self) -> Bytes {
        match self {
            Self::Bare => Bytes::new(),
            Self::Chunked => Bytes::from_static(b"0\r\n\r\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_a_chunk_and_the_last_chunk_is_empty() {
        assert_eq!(&Framing::Chunked.wrap(&[7; 26])[..], [&b"1a\r\n"[..], &[7; 26], b"\r\n"].concat());
        assert_eq!((&Framing::Chunked.wrap(b"")[..], &Framing::Chunked.end()[..]), (&b""[..], &b"0\r\n\r\n"[..]));
        assert_eq!((&Framing::Bare.wrap(b"ab")[..], &Framing::Bare.end()[..]), (&b"ab"[..], &b""[..]));
    }
}
