//! What lies around the packets of a container on their way.

use arcly_wire::{
    rtmp,
    websocket::{self, CloseCode},
};
use bytes::Bytes;

use crate::rtsp::Channels;

/// What lies around packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Framing {
    /// Nothing: whoever writes them frames them (hyper).
    Bare,
    /// Chunks of HTTP/1.1 (RFC 9112 §7.1), one for each packet.
    Chunked,
    /// Messages of WebSocket (RFC 6455 §5.6), one for each packet.
    WebSocket,
    /// Messages of RTMP that are for this message stream, not for the first.
    MessageStream(u32),
    /// Packets of RTSP on other channels than the usual ones.
    Channels(Channels),
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
            Self::WebSocket => {
                let mut message = Vec::with_capacity(websocket::HEADER_BYTES_MAX + packet.len());
                websocket::put_binary(packet, &mut message);
                message.into()
            }
            Self::Channels(channels) => {
                let mut packets = packet.to_vec();
                channels.apply(&mut packets);
                packets.into()
            }
            Self::MessageStream(stream_id) => {
                let mut messages = packet.to_vec();
                rtmp::egress::move_to_stream(&mut messages, stream_id);
                messages.into()
            }
        }
    }

    /// What tells a viewer that this was all.
    pub(crate) fn end(self) -> Bytes {
        match self {
            Self::Bare | Self::MessageStream(_) | Self::Channels(_) => Bytes::new(),
            Self::Chunked => Bytes::from_static(b"0\r\n\r\n"),
            Self::WebSocket => websocket::close(CloseCode::Normal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_a_message_and_a_goodbye_is_the_end() {
        assert_eq!(&Framing::WebSocket.wrap(&[7; 3])[..], b"\x82\x03\x07\x07\x07");
        assert_eq!(
            (&Framing::WebSocket.wrap(b"")[..], &Framing::WebSocket.end()[..]),
            (&b""[..], &b"\x88\x02\x03\xe8"[..])
        );
    }

    #[test]
    fn a_packet_is_a_chunk_and_the_last_chunk_is_empty() {
        assert_eq!(&Framing::Chunked.wrap(&[7; 26])[..], [&b"1a\r\n"[..], &[7; 26], b"\r\n"].concat());
        assert_eq!((&Framing::Chunked.wrap(b"")[..], &Framing::Chunked.end()[..]), (&b""[..], &b"0\r\n\r\n"[..]));
        assert_eq!((&Framing::Bare.wrap(b"ab")[..], &Framing::Bare.end()[..]), (&b"ab"[..], &b""[..]));
    }
}
