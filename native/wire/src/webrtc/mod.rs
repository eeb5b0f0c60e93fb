//! WebRTC for a server: sessions that a browser or an encoder opens by WHIP (to publish) or WHEP (to watch).
//!
//! ICE, DTLS, SRTP and SDP are those of str0m, which is sans-IO too. **Only this module knows it**: its interface changes with every
//! release. It runs in its RTP mode, so that payloads are cut and put together by our own code, once for all protocols. Packets for a viewer
//! go past it, sealed by our own [`crate::srtp`]; through it they go only where its estimate of the path is wanted.
//!
//! ```text
//! offer ──▶ Offer ──▶ Session::{publish, play} ──▶ Answer
//!                        │  datagrams in: handle_datagram     out: poll ──▶ Output::{Transmit, Event, Timeout}
//!                        │  fragments in: trickle, restart
//! ```
//!
//! One UDP port serves all sessions: [`demux`] tells what a datagram is and, of a STUN request, whose. On TCP datagrams stand behind
//! their length: [`framing`].
//!
//! | clause | state |
//! |---|---|
//! | RFC 9725 WHIP, draft-ietf-wish-whep | the SDP half; the HTTP half is `arcly/protocols/webrtc.py` |
//! | RFC 8445 §2.5 ICE-lite | done: host candidates, we answer checks and send none |
//! | RFC 8489 STUN | [`discover`]: asks servers for the address of the port, which peers are told as a host candidate |
//! | RFC 8838, RFC 8840 trickle and its fragments | done; candidates with names (mDNS) are passed over: who has them sends the first check |
//! | RFC 8445 §9 ICE restart | done, by a fragment with new credentials: the same offer is answered anew |
//! | RFC 6544 ICE-TCP | passive candidates, RFC 4571 framing |
//! | RFC 7983 demultiplexing | done |
//! | RFC 3711 SRTP, RFC 7714 with AES-GCM | str0m's; that of viewers is ours ([`crate::srtp`]) |
//! | RFC 7675 consent | the peer's checks are ours: a session that hears none for [`Limits::silence`] ends |
//! | RFC 8122, RFC 8842 DTLS | done: one certificate a process; 1.2 and 1.3 |
//! | RFC 4585 NACK and PLI, RFC 4588 RTX, RFC 5104 FIR | done both ways |
//! | RFC 3550 SR | sent, with one clock for sound and pictures; those received align the tracks of a publisher |
//! | transport-wide congestion control | feedback to publishers; that of viewers becomes an estimate, where there are renditions to choose among |
//! | RFC 8853 simulcast | received: each `rid` is a stream of its own |
//! | RFC 8831 data channels | answered; messages of publishers are read, viewers are sent some on the first channel that they open |

mod answer;
mod codecs;
pub mod demux;
pub mod discover;
mod error;
mod fragment;
pub mod framing;
mod layers;
mod limits;
mod offer;
mod session;
mod settings;
mod srtp;
pub mod stun;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use codecs::{PlayedCodec, can_carry};
pub use error::WebRtcError;
pub use fragment::Fragment;
pub use layers::LayerChoice;
pub use limits::Limits;
pub use offer::Offer;
pub use session::{
    ArrivedPacket, Event, Heard, Lane, OutgoingPacket, Output, PlayOptions, SenderClock, Session, Sink, TrackKey,
    Transmit, Transport,
};
pub use settings::{Settings, token};
