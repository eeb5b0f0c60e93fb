//! The byte stream form of NAL units (Annex B of H.264, H.265 and H.266): units behind start codes `00 00 01`.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::CodecError;

/// What begins a NAL unit. The fourth byte in front, `zero_byte`, is written before the first unit of an access unit and
/// before parameter sets; readers need not look for it (Annex B.1.2).
pub const START_CODE: [u8; 3] = [0, 0, 1];

/// The NAL units of a byte stream: what lies between start codes, without the zero bytes around them.
///
/// Bytes in front of the first start code belong to no unit and are passed over, and so are units of no bytes. Time grows
/// with the length of the stream, whatever is in it.
pub fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    behind_start_code(split_with(finder(), stream).and_then(|(_, rest)| rest))
}

/// The NAL units of what begins with one, and not with a start code: one and more that were taken for one.
pub fn joined_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    behind_start_code(Some(stream))
}

fn behind_start_code(mut rest: Option<&[u8]>) -> impl Iterator<Item = &[u8]> {
    let finder = finder();
    std::iter::from_fn(move || {
        let (unit, behind) = split_with(finder, rest?)?;
        rest = behind;
        Some(unit)
    })
    .map(trim_trailing_zeros)
    .filter(|unit| !unit.is_empty())
}

/// Where the first start code begins.
pub fn find_start_code(stream: &[u8]) -> Option<usize> {
    finder().find(stream)
}

/// Where the first NAL unit begins: behind the first start code.
pub(crate) fn first_unit(stream: &[u8]) -> Option<usize> {
    find_start_code(stream).map(|at| at + START_CODE.len())
}

/// The NAL unit, perhaps empty, that begins at `begin`, and where the next one does: [`units`] for those who write between two of them.
pub(crate) fn unit_at(stream: &[u8], begin: usize) -> (&[u8], Option<usize>) {
    let rest = stream.get(begin..).unwrap_or_default();
    match split_with(finder(), rest) {
        Some((unit, behind)) => (trim_trailing_zeros(unit), behind.map(|behind| stream.len() - behind.len())),
        None => (&[], None),
    }
}

/// Finds start codes. Made once for all searches: it chooses the vector instructions of this machine.
pub(crate) fn finder() -> &'static Finder<'static> {
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(&START_CODE));
    &FINDER
}

/// Whether this is a byte stream: a start code with nothing but zero bytes in front of it, or no bytes at all.
///
/// # Errors
/// [`CodecError::Malformed`] otherwise.
pub(crate) fn check_first_start_code(stream: &[u8]) -> Result<(), CodecError> {
    let first = stream.iter().position(|&byte| byte != 0);
    match first {
        None if stream.is_empty() => Ok(()),
        Some(at) if at >= 2 && stream.get(at) == Some(&1) => Ok(()),
        _ => Err(CodecError::Malformed { what: "start code", offset: 0 }),
    }
}

/// What lies in front of the next start code and, if there is one, what lies behind it.
fn split_with<'a>(finder: &Finder<'_>, stream: &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    match finder.find(stream) {
        Some(at) => Some((stream.get(..at)?, stream.get(at + START_CODE.len()..))),
        None => Some((stream, None)),
    }
}

/// A NAL unit never ends in a zero byte (H.264 §7.4.1): such bytes are `trailing_zero_8bits` or the longer start code's.
fn trim_trailing_zeros(unit: &[u8]) -> &[u8] {
    let length = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    unit.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Rng;

    fn owned(stream: &[u8]) -> Vec<Vec<u8>> {
        units(stream).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn units_end_at_start_codes_and_lose_the_zeros() {
        assert_eq!(
            owned(&[0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x65, 1, 0, 0, 0, 0, 1, 0x41, 2, 0, 0]),
            [&[9, 0xf0][..], &[0x65, 1], &[0x41, 2]]
        );
        assert_eq!(owned(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 1]), Vec::<Vec<u8>>::new());
        assert_eq!(owned(&[7, 7, 0, 0, 1, 5]), [[5]], "what is in front of the first start code belongs to no unit");
        assert!(owned(&[]).is_empty() && owned(&[0, 0]).is_empty() && owned(&[5, 6, 7]).is_empty());
        assert_eq!(owned(&[0, 0, 1, 5, 0, 1, 0, 2, 0, 0]), [[5, 0, 1, 0, 2]]);
    }

    /// A million start codes with nothing between them, and 30 000 with a byte: neither recursion nor time that grows with
    /// the square.
    #[test]
    fn start_codes_in_a_row_are_iterated() {
        assert_eq!(units(&[0, 0, 1].repeat(1_000_000)).count(), 0);
        assert_eq!(units(&[0, 0, 1, 9].repeat(30_000)).count(), 30_000);
        assert_eq!(units(&vec![0; 4_000_000]).count(), 0);
    }

    #[test]
    fn units_of_random_streams_equal_a_naive_search() {
        let mut rng = Rng::new(0xb);
        for round in 0..20_000 {
            // Of some streams nearly every byte is part of a start code, of others few blocks have one.
            let alphabet = if round % 2 == 0 { &[0, 0, 0, 1, 1, 3, 0x65][..] } else { &[0, 0, 1, 3, 4, 5, 6, 7, 8, 9] };
            let stream: Vec<u8> = (0..rng.below(200)).map(|_| alphabet[rng.below(alphabet.len())]).collect();
            let codes: Vec<usize> = (0..stream.len()).filter(|&at| stream[at..].starts_with(&START_CODE)).collect();
            assert_eq!(find_start_code(&stream), codes.first().copied());
            let ends = codes.iter().skip(1).copied().chain([stream.len()]);
            let naive = codes.iter().zip(ends).map(|(&start, end)| {
                let mut unit = stream[start + 3..end].to_vec();
                while unit.last() == Some(&0) {
                    unit.pop();
                }
                unit
            });
            let naive: Vec<Vec<u8>> = naive.filter(|unit| !unit.is_empty()).collect();
            assert_eq!(owned(&stream), naive, "round {round}: {stream:?}");
            assert!(
                joined_units(&[&START_CODE, &stream[..]].concat()[3..]).eq(units(&[&START_CODE, &stream[..]].concat()))
            );
        }
    }

    #[test]
    fn a_byte_stream_begins_with_a_start_code() {
        for stream in [&[][..], &[0, 0, 1], &[0, 0, 0, 0, 1, 5], &[0, 0, 1, 0x65]] {
            assert!(check_first_start_code(stream).is_ok(), "{stream:?}");
        }
        for stream in [&[0x65, 0x88][..], &[1], &[0, 1], &[1, 0, 0, 1, 0x65], &[0; 4], &[0, 0, 0, 9, 0x65, 1]] {
            assert!(check_first_start_code(stream).is_err(), "{stream:?}");
        }
    }
}
