//! AES key wrap (RFC 3394).

use aws_lc_rs::{
    cipher::{DecryptingKey, DecryptionContext, EncryptingKey},
    constant_time::verify_slices_are_equal,
};

use super::KeySize;
use crate::srt::SrtError;

/// The initial value, by which an unwrapped key is known to be whole (RFC 3394 §2.2.3.1).
const INITIAL: [u8; 8] = [0xa6; 8];

/// Bytes that a wrapped key is longer than the key.
pub(super) const OVERHEAD_BYTES: usize = 8;

/// Wraps keys, whose length must be a multiple of 8 bytes (RFC 3394 §2.2.1).
pub(super) fn wrap(kek: &[u8], keys: &[u8]) -> Result<Vec<u8>, SrtError> {
    let cipher = EncryptingKey::ecb(KeySize::of(kek)?.unbound(kek)?)?;
    let (mut check, mut blocks) = (INITIAL, keys.to_vec());
    let count_max = keys.len() as u64 / 8;
    for step in 0..6 {
        for (index, block) in (1_u64..).zip(blocks.chunks_exact_mut(8)) {
            let mut both = join(check, block);
            cipher.encrypt(&mut both)?;
            check = split(both, block);
            check = (u64::from_be_bytes(check) ^ (step * count_max + index)).to_be_bytes();
        }
    }
    Ok([&check[..], &blocks].concat())
}

/// Unwraps keys (RFC 3394 §2.2.2).
///
/// # Errors
/// [`SrtError::BadSecret`] when they were wrapped with another key.
pub(super) fn unwrap(kek: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, SrtError> {
    let cipher = DecryptingKey::ecb(KeySize::of(kek)?.unbound(kek)?)?;
    let Some((check, blocks)) = wrapped.split_first_chunk::<8>() else {
        return Err(SrtError::malformed("wrapped key", wrapped.len()));
    };
    let (mut check, mut blocks) = (*check, blocks.to_vec());
    let count_max = blocks.len() as u64 / 8;
    for step in (0..6).rev() {
        for (index, block) in blocks.chunks_exact_mut(8).enumerate().rev() {
            let mask = u64::from_be_bytes(check) ^ (step * count_max + index as u64 + 1);
            let mut both = join(mask.to_be_bytes(), block);
            cipher.decrypt(&mut both, DecryptionContext::None)?;
            check = split(both, block);
        }
    }
    verify_slices_are_equal(&check, &INITIAL).map_err(|_| SrtError::BadSecret)?;
    Ok(blocks)
}

fn join(check: [u8; 8], block: &[u8]) -> [u8; 16] {
    let mut both = [0; 16];
    both.iter_mut().zip(check.iter().chain(block)).for_each(|(place, byte)| *place = *byte);
    both
}

/// Puts the second half back; the first is the check value.
fn split(both: [u8; 16], block: &mut [u8]) -> [u8; 8] {
    let (check, rest) = both.split_at(8);
    block.copy_from_slice(rest);
    check.try_into().unwrap_or(INITIAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// RFC 3394 §4.1, §4.2, §4.5 and §4.6.
    #[test]
    fn the_vectors_of_the_rfc() {
        let key = "000102030405060708090A0B0C0D0E0F1011121314151617";
        let key_256 = "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F";
        let data = "00112233445566778899AABBCCDDEEFF";
        let data_256 = "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F";
        for (kek, data, wrapped) in [
            (&key[..32], data, "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"),
            (key, data, "96778B25AE6CA435F92B5B97C050AED2468AB8A17AD84E5D"),
            (key_256, data, "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7"),
            (key_256, data_256, "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"),
        ] {
            assert_eq!(wrap(&hex(kek), &hex(data)).unwrap(), hex(wrapped));
            assert_eq!(unwrap(&hex(kek), &hex(wrapped)).unwrap(), hex(data));
        }
    }

    #[test]
    fn another_key_or_another_byte_is_seen() {
        let wrapped = wrap(&[1; 16], &[2; 32]).unwrap();
        assert_eq!(unwrap(&[3; 16], &wrapped), Err(SrtError::BadSecret));
        for at in 0..wrapped.len() {
            let mut broken = wrapped.clone();
            broken[at] ^= 1;
            assert_eq!(unwrap(&[1; 16], &broken), Err(SrtError::BadSecret));
        }
    }
}
