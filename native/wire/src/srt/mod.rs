//! SRT in live mode, both sides, after the Internet-Draft *The SRT Protocol* (draft-sharabayko-srt-01, 7 September 2021, "SRT" below).
//!
//! ```text
//! SrtListener ──cookie──▶ Request ──accept──▶ SrtConn          SrtCaller ──Connected──▶ SrtConn
//!                            └──reject──▶ a reason                 └──Rejected──▶ a reason
//! ```
//!
//! [`SrtConn`] is one connection. Feed it with [`SrtConn::handle_input`], then drain [`SrtConn::deliver`] and [`SrtConn::poll_output`], and
//! call [`SrtConn::handle_timeout`] when [`SrtConn::poll_timeout`] says so.
//!
//! | clause | state |
//! |---|---|
//! | SRT §3.1, §3.2 packets | done. Keep-alive, shutdown and ACKACK carry a word of padding, as every peer's do |
//! | SRT §3.2.1 handshake, version 5 | done; version 4 is refused with 1008 |
//! | SRT §3.2.1.1-3.2.1.3 HSREQ, KMREQ, SID, CONGESTION | done; extensions of other types are skipped, an extension that comes twice is refused |
//! | SRT §3.2.1.4 groups | broadcast and main/backup are received, told apart by sequence numbers: `SrtConn::take_arrived`, `share`, `follow`. Others are refused with 1015 |
//! | SRT §3.2.4 ACK | full, with all fields; light after 64 packets; small ones are read |
//! | SRT §3.2.5 NAK | at once and periodically; read by its runs, whatever they claim |
//! | SRT §3.2.6 congestion warning | ignored: no peer sends it |
//! | SRT §3.2.9 drop request | sent for what is asked for and gone; obeyed |
//! | SRT §4.2 message mode | done; a message of several packets is delivered packet by packet, with their positions. Buffer mode (files): refused with 1012 |
//! | SRT §4.3.1 caller, listener | done; the cookie is a keyed hash, and no state is kept before it |
//! | SRT §4.3.2 rendezvous | done, after both flows |
//! | SRT §4.5-4.7 TSBPD, too-late drop, drift | done. A packet never waits for more than the delay and a second, whatever its timestamp says |
//! | SRT §4.10 round trip | done; the first sample replaces the guess |
//! | SRT §5.1 LiveCC | done, all three ways to give the bandwidth. In place of sending everything again after a timeout, the newest packet is |
//! | SRT §6 encryption | AES-CTR and AES-GCM 128, 192, 256, with refresh; what is set on one side is demanded of the other. GCM as libsrt 1.5.4 has it; that of 1.5.2, which repeats nonces, is refused with 1017 |
//! | SRT Appendix B access control | done, and the short forms |

mod caller;
mod conn;
mod cookie;
mod crypto;
mod error;
mod handshake;
mod limits;
mod listener;
mod negotiate;
mod number;
mod packet;
mod range_set;
mod rate;
mod receive;
mod rendezvous;
mod rtt;
mod send;
mod stats;
mod stream_id;
mod tsbpd;

pub use caller::{CallEnd, SrtCaller};
pub use conn::{Closed, PAYLOAD_BYTES_MAX, Shared, SrtConn};
pub use crypto::{CipherMode, KeyMaterial, KeySize, KmState, Passphrase};
pub use error::SrtError;
pub use handshake::{
    Extensions, GroupKind, HANDSHAKE_BYTES, Handshake, HandshakeType, HsMessage, Membership, RejectReason, flags,
};
pub use limits::{Limits, SrtOptions};
pub use listener::{Answer, Reply, Request, SrtListener, new_socket_id};
pub use packet::{
    Ack, AckReport, Control, ControlHeader, DataHeader, HEADER_BYTES, KeyFlag, KeyMaterialKind, LossReport, Packet,
    Position,
};
pub use rate::Bandwidth;
pub use receive::Delivery;
pub use rendezvous::SrtRendezvous;
pub use stats::{Counters, Stats};
pub use stream_id::{Mode, StreamId, StreamIdFault};
