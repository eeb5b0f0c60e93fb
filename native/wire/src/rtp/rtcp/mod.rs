//! RTCP (RFC 3550 §6, RFC 4585, RFC 5104): reports and feedback, read and written.
//!
//! - `packet`: the packets of a datagram, one behind the other.
//! - `report`: what senders and receivers say of the streams.
//! - `description`: names and goodbyes.
//! - `feedback`: what is asked of a sender.
//! - `transport`: when each packet came (transport-wide congestion control).

mod description;
mod feedback;
mod packet;
mod report;
#[cfg(test)]
mod tests;
mod transport;

pub use description::Chunk;
pub use feedback::{FullIntraRequest, Nack, Remb};
pub use packet::{RtcpPacket, packets};
pub use report::{ReportBlock, SenderInfo, ntp_of_unix};
pub use transport::TransportFeedback;
