//! Who somebody is: Basic (RFC 7617) and Digest (RFC 7616, RFC 2069) as RTSP has them (RFC 2326 §12.5, §12.44).
//!
//! The server's side is [`Guard`], the client's [`Credentials`]. Digest is offered with SHA-256 first and MD5 behind it, without `qop`,
//! which RTSP clients do not agree on; Basic last. What is never said is whether the stream exists, the user is known or the password
//! is nearly right: all that is refused looks the same.

mod credentials;
mod digest;
mod guard;
#[cfg(test)]
mod tests;

pub use self::{
    credentials::Credentials,
    guard::{Guard, Users, Verdict},
};
pub(super) use digest::random_text;
