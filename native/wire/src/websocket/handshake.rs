//! The proof that a server has understood a WebSocket handshake (RFC 6455 §4.2.2).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::base64;

/// Appended to every key (§1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes of a nonce in base64 (§4.1): 16 bytes, the last quantum of which holds one.
const KEY_BYTES: usize = 24;

/// The `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`; none for what is not the base64 of 16 bytes.
pub fn accept_key(key: &str) -> Option<String> {
    let is_nonce = key.len() == KEY_BYTES && key.ends_with("==") && base64::decode(key.as_bytes()).is_some();
    let said = [key.as_bytes(), GUID].concat();
    is_nonce.then(|| base64::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &said).as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 §1.3.
    #[test]
    fn the_key_of_the_specification_is_accepted_as_it_says() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ==").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn other_things_are_no_keys() {
        for key in ["", "==", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZ!==", "dGhlIHNhbXBsZSBub25jZQ=a", "ü"] {
            assert_eq!(accept_key(key), None, "{key}");
        }
    }
}
