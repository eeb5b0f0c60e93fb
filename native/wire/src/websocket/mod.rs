//! WebSocket as a media server speaks it (RFC 6455): messages out, and what a viewer says in return.
//!
//! | clause | |
//! |---|---|
//! | §4.2 opening handshake | [`accept_key`]; whoever speaks HTTP reads the headers |
//! | §5.2 frames of the server | [`put_binary`]: one unmasked frame a message |
//! | §5.3 masking | checked; what is masked in control frames is unmasked |
//! | §5.4 fragments | read: messages of a viewer are passed over, however they are cut |
//! | §5.5 close, ping, pong | answered; of several pings the newest (§5.5.3) |
//! | §7.4.1 close codes | 1000 at the end, 1002 and 1009 for faults |
//! | §9 extensions, §1.9 subprotocols | none is agreed upon: media is compressed already |

mod handshake;
mod listener;

use bytes::{BufMut, Bytes, BytesMut};

pub use self::{
    handshake::accept_key,
    listener::{Listener, WebSocketError},
};

/// Opcodes (§11.8).
mod opcode {
    pub(super) const CONTINUATION: u8 = 0;
    pub(super) const TEXT: u8 = 1;
    pub(super) const BINARY: u8 = 2;
    pub(super) const CLOSE: u8 = 8;
    pub(super) const PING: u8 = 9;
    pub(super) const PONG: u8 = 10;
}

/// In a frame's first byte: the last one of its message (§5.2).
const FIN: u8 = 0x80;

/// No control frame has more payload (§5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// Bytes of the longest header of a server's frame (§5.2).
pub const HEADER_BYTES_MAX: usize = 10;

/// Why a connection is closed (§7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// What was to be said has been said.
    Normal = 1000,
    /// The peer broke the rules.
    ProtocolError = 1002,
    /// The peer said more than anybody here wants to hear.
    TooBig = 1009,
}

/// Appends a binary message in one frame.
pub fn put_binary(payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(HEADER_BYTES_MAX + payload.len());
    put_binary_header(payload.len(), out);
    out.extend_from_slice(payload);
}

/// Appends what stands in front of a binary message of so many bytes in one frame (§5.6). A server does not mask (§5.1), so that all
/// viewers get the same bytes.
pub fn put_binary_header(payload_bytes: usize, out: &mut Vec<u8>) {
    out.put_u8(FIN | opcode::BINARY);
    // The shortest form is the only one that is allowed (§5.2).
    match payload_bytes {
        length @ 0..=125 => out.put_u8(length as u8),
        length @ 126..=0xffff => {
            out.put_u8(126);
            out.put_u16(length as u16);
        }
        length => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
}

/// A close frame (§5.5.1).
pub fn close(code: CloseCode) -> Bytes {
    control(opcode::CLOSE, &(code as u16).to_be_bytes())
}

/// A control frame; `payload` has at most [`CONTROL_BYTES_MAX`] bytes.
fn control(opcode: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(2 + payload.len());
    out.put_u8(FIN | opcode);
    out.put_u8(payload.len() as u8);
    out.extend_from_slice(payload);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_frame_with_the_shortest_length() {
        for (length, header) in [
            (0, &b"\x82\x00"[..]),
            (125, b"\x82\x7d"),
            (126, b"\x82\x7e\x00\x7e"),
            (65_535, b"\x82\x7e\xff\xff"),
            (65_536, b"\x82\x7f\0\0\0\0\0\x01\0\0"),
        ] {
            let mut out = Vec::new();
            put_binary(&vec![7; length], &mut out);
            assert_eq!(out, [header, &vec![7; length]].concat(), "{length}");
        }
    }

    #[test]
    fn a_close_says_why() {
        assert_eq!(&close(CloseCode::Normal)[..], b"\x88\x02\x03\xe8");
        assert_eq!(&close(CloseCode::ProtocolError)[..], b"\x88\x02\x03\xea");
    }
}
