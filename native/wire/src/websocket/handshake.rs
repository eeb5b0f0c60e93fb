//! The proof that a server has understood a WebSocket handshake (RFC 6455 §4.2.2).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// Appended to every key (§1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes of a nonce in base64 (§4.1): 16 bytes, the last quantum of which holds one.
const KEY_BYTES: usize = 24;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`; none for what is not the base64 of 16 bytes.
pub fn accept_key(key: &str) -> Option<String> {
    let is_base64 = |text: &str| text.bytes().all(|byte| ALPHABET.contains(&byte));
    let nonce = key.strip_suffix("==").filter(|nonce| key.len() == KEY_BYTES && is_base64(nonce))?;
    let said = [nonce.as_bytes(), b"==", GUID].concat();
    Some(base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &said).as_ref()))
}

/// Base64 with padding (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = ALPHABET.get((bits >> (18 - 6 * at) & 63) as usize).filter(|_| at as usize <= group.len());
            out.push(letter.map_or('=', |&letter| char::from(letter)));
        }
    }
    out
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

    /// RFC 4648 §10.
    #[test]
    fn base64_pads() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
