//! The cookie of a listener (SRT §4.3.1.1.2): what it would remember of a caller, kept by the caller.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac, rand};

use super::SrtError;

/// How long a cookie is made alike; the one before is taken too.
const BUCKET: Duration = Duration::from_secs(30);

/// Makes cookies, and knows its own again. Only the key is kept, never a caller.
pub(super) struct Cookies(hmac::Key);

impl Cookies {
    pub(super) fn new() -> Result<Self, SrtError> {
        let mut secret = [0; 32];
        rand::fill(&mut secret)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &secret)))
    }

    /// The cookie of an address at this time.
    pub(super) fn make(&self, now: Duration, peer: SocketAddr) -> u32 {
        u32::from_be_bytes(self.bytes(now.as_secs() / BUCKET.as_secs(), peer))
    }

    /// Whether a cookie was given to this address less than a minute ago, in constant time.
    pub(super) fn is_valid(&self, now: Duration, peer: SocketAddr, cookie: u32) -> bool {
        let bucket = now.as_secs() / BUCKET.as_secs();
        let is_of = |bucket| verify_slices_are_equal(&self.bytes(bucket, peer), &cookie.to_be_bytes()).is_ok();
        is_of(bucket) | bucket.checked_sub(1).is_some_and(is_of)
    }

    fn bytes(&self, bucket: u64, peer: SocketAddr) -> [u8; 4] {
        let mut context = hmac::Context::with_key(&self.0);
        match peer.ip().to_canonical() {
            IpAddr::V4(v4) => context.update(&v4.octets()),
            IpAddr::V6(v6) => context.update(&v6.octets()),
        }
        context.update(&peer.port().to_be_bytes());
        context.update(&bucket.to_be_bytes());
        context.sign().as_ref().first_chunk().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_of_one_address_one_port_and_for_at_most_a_minute() {
        let (cookies, now) = (Cookies::new().unwrap(), Duration::from_secs(1000));
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let cookie = cookies.make(now, at("192.0.2.1:5000"));
        assert!(cookies.is_valid(now, at("192.0.2.1:5000"), cookie));
        assert!(cookies.is_valid(now, at("[::ffff:192.0.2.1]:5000"), cookie), "a dual-stack socket shows it so");
        assert!(cookies.is_valid(now + BUCKET, at("192.0.2.1:5000"), cookie));
        assert!(!cookies.is_valid(now + 2 * BUCKET, at("192.0.2.1:5000"), cookie));
        assert!(!cookies.is_valid(now, at("192.0.2.1:5001"), cookie));
        assert!(!cookies.is_valid(now, at("192.0.2.2:5000"), cookie));
        assert!(!cookies.is_valid(now, at("192.0.2.1:5000"), cookie ^ 1));
        assert!(!Cookies::new().unwrap().is_valid(now, at("192.0.2.1:5000"), cookie));
    }
}
