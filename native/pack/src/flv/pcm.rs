//! Linear PCM: FLV has 16 bits little-endian and 8 bits unsigned, the bus has both big-endian and signed.

use bytes::Bytes;

/// Samples of FLV in the form of the bus.
pub(super) fn to_bus(samples: &[u8], bits: u8) -> Bytes {
    turn(samples, bits)
}

/// Samples of the bus in the form of FLV: the same step, as it is its own inverse.
pub(super) fn from_bus(samples: &[u8], bits: u8) -> Bytes {
    turn(samples, bits)
}

/// A last byte that is half a sample is left out.
fn turn(samples: &[u8], bits: u8) -> Bytes {
    if bits == 8 {
        return samples.iter().map(|sample| sample ^ 0x80).collect();
    }
    let (samples, _) = samples.as_chunks::<2>();
    samples.iter().flat_map(|[first, second]| [*second, *first]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_turn_and_turn_back() {
        assert_eq!(&to_bus(&[0x34, 0x12, 0xff, 0x7f, 1], 16)[..], [0x12, 0x34, 0x7f, 0xff]);
        assert_eq!(&to_bus(&[0x80, 0x00, 0xff], 8)[..], [0, 0x80, 0x7f], "silence, least, most");
        for bits in [8, 16] {
            assert_eq!(&from_bus(&to_bus(b"some pcm", bits), bits)[..], b"some pcm");
        }
    }
}
