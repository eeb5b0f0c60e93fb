//! MD5 (RFC 1321): broken as a hash, and all that most cameras know of Digest authentication, and RTMP servers of logins. For nothing else.

/// Bytes of a block.
const BLOCK_BYTES: usize = 64;

/// Rotations of the four rounds (§3.4).
const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The digest of `message`.
pub(crate) fn md5(message: &[u8]) -> [u8; 16] {
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let mut padded = message.to_vec();
    padded.push(0x80);
    // Eight bytes of the last block hold the length in bits (§3.2).
    let length = (padded.len() + 8).next_multiple_of(BLOCK_BYTES) - 8;
    padded.resize(length, 0);
    padded.extend_from_slice(&(message.len() as u64).wrapping_mul(8).to_le_bytes());
    for block in padded.as_chunks::<BLOCK_BYTES>().0 {
        add_block(&mut state, block);
    }
    let mut digest = [0; 16];
    let bytes = state.iter().flat_map(|word| word.to_le_bytes());
    digest.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    digest
}

fn add_block(state: &mut [u32; 4], block: &[u8; BLOCK_BYTES]) {
    let words = block.as_chunks::<4>().0;
    let word = |at: usize| words.get(at % 16).map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let [mut a, mut b, mut c, mut d] = *state;
    for step in 0..BLOCK_BYTES {
        let (mixed, at) = match step / 16 {
            0 => ((b & c) | (!b & d), step),
            1 => ((b & d) | (c & !d), 5 * step + 1),
            2 => (b ^ c ^ d, 3 * step + 5),
            _ => (c ^ (b | !d), 7 * step),
        };
        let shift = SHIFTS.get(step / 16).and_then(|round| round.get(step % 4)).copied().unwrap_or(0);
        let sum = a.wrapping_add(mixed).wrapping_add(word(at)).wrapping_add(sine(step));
        (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(shift)));
    }
    for (word, mixed) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(mixed);
    }
}

/// The table of §3.4: the integer part of 2³² times the sine of the step, counted from 1.
fn sine(step: usize) -> u32 {
    // Exact: a double holds 53 bits, and no value of the table is so near to an integer.
    (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1321 §A.5.
    #[test]
    fn vectors_of_the_standard() {
        for (message, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ] {
            let hex: String = md5(message.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, digest, "{message}");
        }
    }
}
