//! Numbers that wrap on the wire, and do not here.
//!
//! Sequence numbers have 31 bits (SRT §3.1), timestamps 32 bits of microseconds (SRT §3). Both are unrolled at the border, so that all
//! that is behind it compares and subtracts plain integers.

/// Sequence numbers begin one round up, so that what is a little older than the first is not below 0.
const ROUND: u64 = 1 << 31;

/// Bits of a sequence number.
const MASK: u32 = 0x7fff_ffff;

/// The unrolled form of a connection's first sequence number.
pub(super) fn first(wire: u32) -> u64 {
    ROUND + u64::from(wire & MASK)
}

/// As on the wire.
pub(super) fn wire(number: u64) -> u32 {
    (number & u64::from(MASK)) as u32
}

/// The number nearest to `reference` that looks so on the wire. Within half a round, which is 2^30 packets.
pub(super) fn unroll(reference: u64, wire_number: u32) -> u64 {
    // The difference modulo 2^31, its sign extended.
    let difference = (wire_number.wrapping_sub(wire(reference)) << 1).cast_signed() >> 1;
    reference.saturating_add_signed(i64::from(difference))
}

/// The time nearest to `reference_us` that has this timestamp. Within 35 minutes.
pub(super) fn unroll_time(reference_us: u64, timestamp: u32) -> u64 {
    let difference = timestamp.wrapping_sub(reference_us as u32).cast_signed();
    reference_us.saturating_add_signed(i64::from(difference))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_go_on_over_their_wrap_in_both_directions() {
        let last = first(MASK);
        assert_eq!(unroll(last, 0), last + 1);
        assert_eq!(unroll(last + 1, MASK), last);
        assert_eq!(unroll(first(0), MASK), first(0) - 1);
        assert_eq!(wire(last + 1), 0);
        assert_eq!(unroll(first(5), 5 + (1 << 30) - 1), first(5) + (1 << 30) - 1);
        assert_eq!(unroll(first(5), 5 + (1 << 30)), first(5) - (1 << 30));
    }

    #[test]
    fn timestamps_go_on_over_their_wrap_in_both_directions() {
        assert_eq!(unroll_time(0xffff_fff0, 0x10), 0x1_0000_0010);
        assert_eq!(unroll_time(0x1_0000_0010, 0xffff_fff0), 0xffff_fff0);
        assert_eq!(unroll_time(0, 0xffff_ffff), 0, "there is nothing before the beginning");
    }
}
