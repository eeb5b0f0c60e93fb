//! RTMP, the server's side and the client's, after *Adobe's Real Time Messaging Protocol* 1.0 (21 December 2012,
//! "RTMP" below) and the *Action Message Format, AMF 0* specification ("AMF0" below).
//!
//! ```text
//! Handshake ──C2──▶ awaiting connect ──connect──▶ Connected ──any error──▶ dead (input is ignored)
//!                                                    │
//!                 per message stream:  Idle ──publish──▶ PublishRequested ──accept──▶ Publishing
//!                                       ▲  ──play─────▶ PlayRequested                     │
//!                                       └── reject, end, closeStream, FCUnpublish ◀───────┘
//! ```
//!
//! [`ServerConn`] is one connection. Feed it with [`ServerConn::handle_input`], then drain
//! [`ServerConn::poll_event`] and [`ServerConn::poll_output`], and call
//! [`ServerConn::handle_timeout`] when [`ServerConn::poll_timeout`] says so.
//!
//! [`ClientConn`] is the same from the other side: it publishes to a server, or plays from one.
//!
//! | clause | state |
//! |---|---|
//! | RTMP §5.2 handshake | done, both sides; a digest in C1 (ffmpeg sends one, OBS and GStreamer none) is answered with digests in S1 and S2. C2 is not checked: encoders differ |
//! | RTMP §5.3.1 chunk format | done. Tolerated: a type 1 header on a fresh chunk stream (librtmp's user control messages) |
//! | RTMP §5.3.1.3 extended timestamp | done; repeated in type 3 chunks as the clause says, or not, as librtmp and OBS do it |
//! | RTMP §5.4.1-5.4.4 protocol control | done. Tolerated: any chunk stream and message stream id |
//! | RTMP §5.4.5 Set Peer Bandwidth | sent; answered with a Window Acknowledgement Size when that is another one than before |
//! | RTMP §7.1.1 AMF3 commands | read as AMF0 behind their leading 0 byte, with AMF3 values in it; we write AMF0 |
//! | RTMP §7.1.3 shared objects | skipped |
//! | RTMP §7.1.6 aggregate messages | done: split into their parts |
//! | RTMP §7.1.7 user control | StreamBegin, StreamEOF and PingRequest sent, PingRequest answered, PingResponse timed, the rest ignored |
//! | RTMP §7.2.1.2 call | unknown commands are skipped in silence: ffmpeg gives up on an `_error` it did not expect |
//! | RTMP §7.2.2 play, play2, pause, receiveAudio, receiveVideo, seek | done; a seek in live fails; the media is cut by [`egress`] and written by the caller |
//! | `authmod=adobe` (Adobe's access manager, Wowza, Akamai) | the client's side: [`Login`] |
//! | Enhanced RTMP v2 connect | `fourCcList`, info maps and `capsEx` read and answered; reconnect request |
//! | AMF0 §2.2-2.18, AMF3 §3 | [`arcly_codec::amf`]: read; references to objects are not resolved; only AMF0 is written |

mod acknowledgement;
pub mod chunk;
mod client;
mod conn;
mod digest;
pub mod egress;
mod error;
mod event;
mod handshake;
mod limits;
mod message;
mod name;
mod reply;

pub use arcly_codec::amf;
pub use client::{ClientConfig, ClientConn, ClientEvent, ClientUse, Login};
pub use conn::ServerConn;
pub use error::RtmpError;
pub use event::{
    Capabilities, ConnectInfo, Event, Media, MediaKind, PlayChange, PlayRequest, PlayStart, PublishRejection,
    PublishRequest,
};
pub use limits::Limits;
pub use message::Message;
