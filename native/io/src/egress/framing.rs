//! What lies around the packets of a container on their way.

use arcly_wire::{
    rtmp,
    websocket::{self, CloseCode},
};
use bytes::Bytes;

use super::packet::{Draft, Pieces};
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
    /// Bytes that are left free in front of a packet, for what is said of it there.
    pub(crate) fn head_bytes(self) -> usize {
        match self {
            Self::Bare | Self::MessageStream(_) | Self::Channels(_) => 0,
            Self::Chunked => CHUNK_HEAD_BYTES_MAX,
            Self::WebSocket => websocket::HEADER_BYTES_MAX,
        }
    }

    /// The packet that stands in `draft` behind [its head](Self::head_bytes), as it is sent, without a copy. Nothing stays nothing, for an
    /// empty chunk would be the last.
    pub(super) fn close(self, mut draft: Draft) -> Pieces {
        let head_bytes = self.head_bytes();
        let packet_bytes = draft.len().saturating_sub(head_bytes);
        let mut head = Vec::new();
        match self {
            _ if packet_bytes == 0 => return Pieces::default(),
            Self::Bare => {}
            Self::Chunked => {
                head = format!("{packet_bytes:x}\r\n").into_bytes();
                draft.own.extend_from_slice(b"\r\n");
            }
            Self::WebSocket => websocket::put_binary_header(packet_bytes, &mut head),
            Self::Channels(channels) => channels.apply(&mut draft.own),
            Self::MessageStream(stream_id) => rtmp::egress::move_to_stream(&mut draft.own, stream_id),
        }
        let start = head_bytes.saturating_sub(head.len());
        if let Some(room) = draft.own.get_mut(start..head_bytes) {
            room.copy_from_slice(&head);
        }
        draft.close(start)
    }

    /// A copy of the packet as it is sent.
    pub(super) fn wrap(self, packet: &[u8]) -> Pieces {
        let mut draft = Draft::new(self.head_bytes(), packet.len());
        draft.own.extend_from_slice(packet);
        self.close(draft)
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

/// The longest size in hexadecimal digits, and the line's end.
const CHUNK_HEAD_BYTES_MAX: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_a_message_and_a_goodbye_is_the_end() {
        assert_eq!(&Framing::WebSocket.wrap(&[7; 3]).to_bytes()[..], b"\x82\x03\x07\x07\x07");
        assert_eq!(
            (&Framing::WebSocket.wrap(b"").to_bytes()[..], &Framing::WebSocket.end()[..]),
            (&b""[..], &b"\x88\x02\x03\xe8"[..])
        );
    }

    #[test]
    fn a_packet_is_a_chunk_and_the_last_chunk_is_empty() {
        assert_eq!(&Framing::Chunked.wrap(&[7; 26]).to_bytes()[..], [&b"1a\r\n"[..], &[7; 26], b"\r\n"].concat());
        assert_eq!(
            (&Framing::Chunked.wrap(b"").to_bytes()[..], &Framing::Chunked.end()[..]),
            (&b""[..], &b"0\r\n\r\n"[..])
        );
        assert_eq!((&Framing::Bare.wrap(b"ab").to_bytes()[..], &Framing::Bare.end()[..]), (&b"ab"[..], &b""[..]));
    }
}
