//! Sans-IO protocol state machines: bytes and the time go in, events and bytes come out.
//!
//! No socket, no clock and no runtime: whoever owns those drives a machine with `handle_input`,
//! `handle_timeout`, `poll_event`, `poll_output` and `poll_timeout`. Every byte comes from a peer
//! that may be hostile: nothing here panics on it, and everything that is kept has a limit.

pub mod base64;
pub mod http;
mod md5;
pub mod rtmp;
pub mod rtp;
pub mod rtsp;
pub mod srt;
pub mod srtp;
pub mod webrtc;
pub mod websocket;
