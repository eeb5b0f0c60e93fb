//! Security descriptions (RFC 4568): `1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20|1:4`.

use super::ToldKey;
use crate::{
    base64,
    srtp::{Key, Suite},
};

/// Bytes of a key's name in packets (RFC 4568 §6.1: up to 128; those of real programs have 1 to 4).
const MKI_BYTES_MAX: usize = 16;

pub(super) fn write(key: &Key) -> String {
    // The tag is the number of the line.
    format!("1 {} inline:{}", key.suite().name(), base64::encode(&key.to_bytes()))
}

/// The key of a line; none where it has parameters that change what a packet looks like.
pub(super) fn read(line: &str) -> Option<ToldKey> {
    let mut words = line.split_whitespace().skip(1);
    let name = words.next()?;
    let suite = Suite::parse(name)?;
    // Several keys, each with an MKI of its own, are separated by semicolons: the first is taken.
    let inline = words.next()?.split(';').next()?.strip_prefix("inline:")?;
    // Of these (§6.3) only the ones about key derivation leave packets as they are.
    if words.any(|parameter| parameter.starts_with("UNENCRYPTED") || parameter.starts_with("UNAUTHENTICATED")) {
        return None;
    }
    let mut parts = inline.split('|');
    let key = Key::new(suite, &decode(parts.next()?)?).ok()?;
    // A lifetime has no colon, the name of a key has one.
    let mki = match parts.find(|part| part.contains(':')) {
        Some(part) => mki(part)?,
        None => Vec::new(),
    };
    Some(ToldKey { key: key.with_mki(mki), rollovers: Vec::new() })
}

/// `1:4`: the number 1 in four bytes.
fn mki(part: &str) -> Option<Vec<u8>> {
    let (value, length) = part.split_once(':')?;
    let (value, length): (u128, usize) = (value.parse().ok()?, length.parse().ok()?);
    let bytes = value.to_be_bytes();
    (1..=MKI_BYTES_MAX).contains(&length).then(|| bytes.get(bytes.len() - length..).map(<[u8]>::to_vec)).flatten()
}

/// Some leave the padding out.
fn decode(text: &str) -> Option<Vec<u8>> {
    let bare = text.trim_end_matches('=');
    base64::decode(format!("{bare}{}", "=".repeat(bare.len().wrapping_neg() % 4)).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 4568 §4.1, and the same with what may stand behind.
    #[test]
    fn lines_of_the_specification_are_read() {
        let inline = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
        for (tail, mki) in [
            ("|2^20|1:4", &[0, 0, 0, 1][..]),
            ("", &[]),
            ("|2^31", &[]),
            ("|1:1", &[1]),
            ("|2^20|1:4;inline:AAAA", &[0, 0, 0, 1]),
        ] {
            let told = read(&format!("1 AES_CM_128_HMAC_SHA1_80 {inline}{tail} FEC_ORDER=FEC_SRTP")).unwrap();
            assert_eq!((told.key.to_bytes().len(), told.key.mki()), (30, mki), "{tail}");
        }
    }

    #[test]
    fn lines_that_are_none_or_unknown_are_left_out() {
        for line in [
            "",
            "1 AES_CM_128_HMAC_SHA1_80",
            "1 F8_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
            "1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
            "1 AES_256_CM_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
            "1 AES_CM_128_HMAC_SHA1_80 uri:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
            "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|1:99",
            "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz UNENCRYPTED_SRTP",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
