//! RTMP as a player or publisher speaks it, without a socket.

pub mod amf;
pub mod chunk;
mod session;
#[cfg(test)]
mod tests;

pub use session::{Purpose, Session};
