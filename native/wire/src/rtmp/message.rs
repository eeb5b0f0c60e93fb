//! Messages, and the protocol control messages among them (RTMP §5.4, §6.1, §7.1).

use arcly_codec::cursor::Cursor;
use bytes::Bytes;

use super::RtmpError;

/// Message type ids (RTMP §5.4, §7.1).
pub(super) mod type_id {
    pub const SET_CHUNK_SIZE: u8 = 1;
    pub const ABORT: u8 = 2;
    pub const ACKNOWLEDGEMENT: u8 = 3;
    pub const USER_CONTROL: u8 = 4;
    pub const WINDOW_ACK_SIZE: u8 = 5;
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    pub const AUDIO: u8 = 8;
    pub const VIDEO: u8 = 9;
    pub const DATA_AMF3: u8 = 15;
    pub const COMMAND_AMF3: u8 = 17;
    pub const DATA_AMF0: u8 = 18;
    pub const COMMAND_AMF0: u8 = 20;
    pub const AGGREGATE: u8 = 22;
}

/// User control events (RTMP §7.1.7).
pub(super) mod user_control {
    pub const STREAM_BEGIN: u16 = 0;
    pub const STREAM_EOF: u16 = 1;
    pub const SET_BUFFER_LENGTH: u16 = 3;
    pub const PING_REQUEST: u16 = 6;
    pub const PING_RESPONSE: u16 = 7;
}

/// A whole message, put together from its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The message type id (RTMP §7.1).
    pub type_id: u8,
    /// The message stream that it belongs to; 0 is the connection itself.
    pub stream_id: u32,
    /// Milliseconds, absolute, modulo 2^32.
    pub timestamp_ms: u32,
    /// The body. Its capacity is its length.
    pub body: Bytes,
}

/// The control messages that ask something of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    SetChunkSize(u32),
    Abort { chunk_stream: u32 },
    WindowAckSize(u32),
    PingRequest { timestamp: u32 },
    PingResponse { timestamp: u32 },
    Acknowledgement(u32),
    SetPeerBandwidth(u32),
}

impl Control {
    /// Reads a control message; `None` for all that need no action.
    pub(super) fn parse(message: &Message) -> Result<Option<Self>, RtmpError> {
        let mut body = Cursor::new(&message.body);
        let short = |what| RtmpError::malformed(what, message.body.len());
        Ok(Some(match message.type_id {
            type_id::SET_CHUNK_SIZE => Self::SetChunkSize(body.u32().ok_or_else(|| short("Set Chunk Size"))?),
            type_id::ABORT => Self::Abort { chunk_stream: body.u32().ok_or_else(|| short("Abort Message"))? },
            type_id::WINDOW_ACK_SIZE => {
                Self::WindowAckSize(body.u32().ok_or_else(|| short("Window Acknowledgement Size"))?)
            }
            type_id::USER_CONTROL => match body.u16().ok_or_else(|| short("User Control Message"))? {
                user_control::PING_REQUEST => {
                    Self::PingRequest { timestamp: body.u32().ok_or_else(|| short("PingRequest"))? }
                }
                // An answer that is cut short says nothing, and harms nobody.
                user_control::PING_RESPONSE => {
                    return Ok(body.u32().map(|timestamp| Self::PingResponse { timestamp }));
                }
                _ => return Ok(None),
            },
            type_id::ACKNOWLEDGEMENT => return Ok(body.u32().map(Self::Acknowledgement)),
            type_id::SET_PEER_BANDWIDTH => return Ok(body.u32().map(Self::SetPeerBandwidth)),
            _ => return Ok(None),
        }))
    }
}
