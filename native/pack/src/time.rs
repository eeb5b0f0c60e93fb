//! Ticks of one clock in ticks of another.

/// Ticks of a clock of `from_hz` in ticks of a clock of `to_hz`, rounded to the nearest.
///
/// Always computed from the absolute time, so that rounding never adds up to a drift. The result is held within
/// ±2^61, far beyond any real time: sums and differences of two results cannot overflow.
pub fn rescale(ticks: i64, from_hz: u32, to_hz: u32) -> i64 {
    if from_hz == to_hz {
        return ticks.clamp(-LATEST, LATEST);
    }
    let from_hz = i128::from(from_hz.max(1));
    let scaled = (i128::from(ticks) * i128::from(to_hz) + from_hz / 2).div_euclid(from_hz);
    i64::try_from(scaled.clamp(-i128::from(LATEST), i128::from(LATEST))).unwrap_or(LATEST)
}

const LATEST: i64 = 1 << 61;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescale_rounds_to_the_nearest_on_both_sides_of_zero() {
        assert_eq!(rescale(1024, 44_100, 90_000), 2090); // 2089.8
        assert_eq!(rescale(-1024, 44_100, 90_000), -2090);
        assert_eq!(rescale(1, 48_000, 90_000), 2); // 1.875
        assert_eq!(rescale(7, 90_000, 90_000), 7);
    }

    #[test]
    fn rescale_of_a_day_of_44100_hz_frames_has_no_drift() {
        let frames = 24 * 3600 * 44_100 / 1024;
        let error = rescale(frames * 1024, 44_100, 90_000) * 441 - frames * 1024 * 900;
        assert!(error.abs() <= 221, "{error} of 441");
    }

    #[test]
    fn rescale_of_any_number_leaves_room_for_a_sum() {
        for ticks in [i64::MIN, i64::MAX, 0] {
            for (from, to) in [(90_000, 90_000), (1, u32::MAX), (0, 90_000), (u32::MAX, 1)] {
                let time = rescale(ticks, from, to);
                assert!(time.checked_sub(LATEST).is_some() && time.checked_add(LATEST).is_some());
            }
        }
    }
}
