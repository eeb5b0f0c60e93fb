//! RTSP, the server's side and the client's, after RFC 2326 (1.0, what everybody speaks), with what RFC 7826 (2.0) says better.
//!
//! ```text
//! DESCRIBE ──▶ PlayRequested ──accept──▶ granted ──SETUP──▶ Ready ──PLAY──▶ Running ⇄ PAUSE, PLAY
//! ANNOUNCE ──▶ PublishRequested ─accept─▶ granted ──SETUP──▶ Ready ──RECORD─▶ Running
//!                                                   any ──TEARDOWN, the end of the connection, too late──▶ over
//! ```
//!
//! [`ServerConn`] is one connection. Feed it with [`ServerConn::handle_input`], then drain [`ServerConn::poll_event`] and
//! [`ServerConn::poll_output`], and call [`ServerConn::handle_timeout`] when [`ServerConn::poll_timeout`] says so.
//! [`ClientConn`] is the same from the other side: it plays from a server, or publishes to one.
//!
//! A session belongs to its connection and to who was let in on it: a session id that was overheard is of no use elsewhere.
//!
//! | clause | state |
//! |---|---|
//! | RFC 2326 §4-7 messages | done; LF alone, folded headers and other encodings are tolerated |
//! | RFC 2326 §10.1-10.9, 10.11 methods | done |
//! | RFC 2326 §10.10 REDIRECT | obeyed by the client; never sent |
//! | RFC 2326 §10.12 interleaved data | done; what stands between packets is passed over, within a limit |
//! | RTSP over HTTP | done as a server: GET and POST with one cookie |
//! | ONVIF RTSP over WebSocket | done as a server |
//! | RFC 2326 §12.5, 12.44 authentication | Basic, Digest with MD5 and SHA-256 (RFC 7616, without `qop` as a server) |
//! | RFC 2326 §12.29 Range | live streams have one point: now |
//! | RFC 2326 §12.32 Require | the back channel of ONVIF is supported where the host wants it; of all else it is said that it is not |
//! | RFC 2326 §12.33 RTP-Info | sent |
//! | RFC 2326 §12.37 Session | a sign of life is any request, any interleaved packet, RTCP, or media |
//! | RFC 2326 §12.39 Transport | TCP, UDP, multicast (a group for each stream, one sender). `destination` of a client is never obeyed |
//! | RFC 2326 §C SDP | done, with RFC 8866 |
//! | RFC 4567, 3830 MIKEY; RFC 4568 | keys of `RTP/SAVP` (RFC 3711) in descriptions and `KeyMgmt`, in the clear within TLS |
//! | RFC 7826 | its messages are read and answered as 1.0; PLAY_NOTIFY and pipelining by name are not done |

mod auth;
mod client;
mod conn;
mod error;
mod event;
pub mod keys;
mod limits;
mod message;
mod reader;
pub mod sdp;
mod transport;
mod tunnel;
mod url;

/// What a client requires that wants to speak, too (ONVIF Streaming Specification §5.3.1).
pub const BACK_CHANNEL: &str = "www.onvif.org/ver20/backchannel";

pub use auth::{Credentials, Guard, Users, Verdict};
pub use client::{ClientConfig, ClientConn, ClientEvent, ClientUse};
pub use conn::{Group, PlayAnswer, RtpInfo, ServerConfig, ServerConn};
pub use error::RtspError;
pub use event::{Ask, Denial, Event, MediaPacket, MediaSetup};
pub use limits::Limits;
pub use message::{Headers, Method, Request, Response, reason};
pub use reader::{FRAME_HEADER_BYTES, Incoming, MAGIC, MessageReader, frame_header};
pub use transport::{Lower, Transport};
pub use tunnel::{ACCEPTED, Base64Reader, Opening, REFUSED, opening};
pub use url::{RtspUrl, control_uri};
