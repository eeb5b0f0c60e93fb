//! The digests of the handshake of Flash: in no specification of RTMP, but servers of Adobe ask for them, and ffmpeg and librtmp
//! check them where they find some.
//!
//! C1 and S1 hold an HMAC-SHA256 of the rest of themselves at a place that other bytes of them say, in one of two layouts; C2 and S2
//! end with one of the rest of themselves, whose key is made of the digest that is answered.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};

/// Length of C1, C2, S1 and S2 (RTMP §5.2.3, §5.2.4).
pub(super) const PART_BYTES: usize = 1536;
/// Length of a digest.
const DIGEST_BYTES: usize = 32;

/// What each side signs with: a text, and these bytes behind it for the answers.
const CLIENT_TEXT: &[u8] = b"Genuine Adobe Flash Player 001";
const SERVER_TEXT: &[u8] = b"Genuine Adobe Flash Media Server 001";
const KEY_TAIL: [u8; 32] = [
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57, 0x6e, 0xec, 0x5d,
    0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];

/// Whose part it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// Where the four bytes lie that say where the digest is: the two layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// The digest in the first half.
    First = 8,
    /// The digest in the second half.
    Second = 772,
}

pub(super) type Digest = [u8; DIGEST_BYTES];
pub(super) type Part = [u8; PART_BYTES];

impl Side {
    fn text(self) -> &'static [u8] {
        match self {
            Self::Client => CLIENT_TEXT,
            Self::Server => SERVER_TEXT,
        }
    }
}

/// The digest in C1 or S1, if there is a right one.
pub(super) fn find(part: &Part, side: Side) -> Option<(Layout, Digest)> {
    [Layout::First, Layout::Second].into_iter().find_map(|layout| {
        let (before, digest, after) = split(part, layout)?;
        let expected = hmac(side.text(), &[before, after].concat());
        (digest == expected).then_some((layout, expected))
    })
}

/// Puts the digest into C1 or S1.
pub(super) fn put(part: &mut Part, side: Side, layout: Layout) {
    let Some((before, _, after)) = split(part, layout) else { return };
    let (at, digest) = (before.len(), hmac(side.text(), &[before, after].concat()));
    if let Some(place) = part.get_mut(at..at + DIGEST_BYTES) {
        place.copy_from_slice(&digest);
    }
}

/// Makes C2 or S2 of random bytes: the answer to the other side's digest.
pub(super) fn put_answer(part: &mut Part, side: Side, digest: &Digest) {
    let key = answer_key(side, digest);
    if let Some((rest, place)) = part.split_last_chunk_mut::<DIGEST_BYTES>() {
        *place = hmac(&key, rest);
    }
}

/// Whether C2 or S2 answers our digest.
#[cfg(test)]
pub(super) fn is_answer(part: &Part, side: Side, digest: &Digest) -> bool {
    let key = answer_key(side, digest);
    part.split_last_chunk::<DIGEST_BYTES>().is_some_and(|(rest, place)| hmac(&key, rest) == *place)
}

fn answer_key(side: Side, digest: &Digest) -> Digest {
    hmac(&[side.text(), &KEY_TAIL].concat(), digest)
}

/// What is in front of the digest, the digest, and what is behind it.
fn split(part: &Part, layout: Layout) -> Option<(&[u8], &[u8], &[u8])> {
    let field = layout as usize;
    let sum: usize = part.get(field..field + 4)?.iter().map(|byte| usize::from(*byte)).sum();
    // 764 bytes: the field, the digest, and as much room around it.
    let at = field + 4 + sum % 728;
    let (before, rest) = part.split_at_checked(at)?;
    let (digest, after) = rest.split_at_checked(DIGEST_BYTES)?;
    Some((before, digest, after))
}

fn hmac(key: &[u8], bytes: &[u8]) -> Digest {
    let tag = sign(&Key::new(HMAC_SHA256, key), bytes);
    let mut digest = [0; DIGEST_BYTES];
    digest.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(seed: u8) -> Part {
        std::array::from_fn(|index| (index as u8).wrapping_mul(31) ^ (index >> 8) as u8 ^ seed)
    }

    #[test]
    fn digest_is_found_where_it_was_put_and_only_there() {
        for seed in 0..=255 {
            for (side, other) in [(Side::Client, Side::Server), (Side::Server, Side::Client)] {
                for layout in [Layout::First, Layout::Second] {
                    let mut part = part(seed);
                    assert_eq!(find(&part, side), None);
                    put(&mut part, side, layout);
                    assert_eq!(find(&part, side).unwrap().0, layout);
                    assert_eq!(find(&part, other), None);
                    part[1000] ^= 1;
                    assert!(layout == Layout::Second || find(&part, side).is_none(), "a byte of it changed");
                }
            }
        }
    }

    #[test]
    fn answer_belongs_to_its_digest() {
        let mut answer = part(1);
        put_answer(&mut answer, Side::Server, &[7; 32]);
        assert!(is_answer(&answer, Side::Server, &[7; 32]));
        assert!(!is_answer(&answer, Side::Server, &[8; 32]) && !is_answer(&answer, Side::Client, &[7; 32]));
    }

    /// ffmpeg's own: the recording of its publish.
    #[test]
    fn digest_of_ffmpeg_is_found() {
        let recording = include_bytes!("../../tests/vectors/ffmpeg_publish.bin");
        let c1: &Part = recording[1..].first_chunk().unwrap();
        assert!(find(c1, Side::Client).is_some());
    }
}
