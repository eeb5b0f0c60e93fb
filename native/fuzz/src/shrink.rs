//! Making an input that fails smaller, for whoever has to understand it.

/// The smallest input found that still `fails`: without any run of bytes that can be left out, and with zeros where they
/// do as well. `None` when the bytes do not fail, which is so where the cuts make the difference.
pub fn shrink(bytes: &[u8], fails: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    if !quietly(|| fails(bytes)) {
        return None;
    }
    let mut smallest = bytes.to_vec();
    quietly(|| while leave_out(&mut smallest, &fails) | clear(&mut smallest, &fails) {});
    Some(smallest)
}

/// Tries to do without runs of bytes, long ones first; whether that worked for any.
fn leave_out(bytes: &mut Vec<u8>, fails: impl Fn(&[u8]) -> bool) -> bool {
    let before = bytes.len();
    let halves = std::iter::successors(Some(before.div_ceil(2)), |run| Some(run / 2));
    halves.take_while(|run| *run > 0).for_each(|run| leave_out_runs(bytes, run, run, &fails));
    if bytes.len() <= SMALL_BYTES {
        // A record in the middle goes only as a whole.
        (1..LONGEST_RECORD_BYTES).rev().for_each(|run| leave_out_runs(bytes, run, 1, &fails));
    }
    bytes.len() < before
}

/// Tries to do without each run that begins at a multiple of `step`.
fn leave_out_runs(bytes: &mut Vec<u8>, run: usize, step: usize, fails: impl Fn(&[u8]) -> bool) {
    let mut at = 0;
    while at < bytes.len() {
        let mut shorter = bytes.clone();
        drop(shorter.drain(at..at.saturating_add(run).min(bytes.len())));
        if fails(&shorter) {
            *bytes = shorter;
        } else {
            at = at.saturating_add(step);
        }
    }
}

/// Tries zeros; whether that worked for any byte that was none.
fn clear(bytes: &mut Vec<u8>, fails: impl Fn(&[u8]) -> bool) -> bool {
    let mut cleared = false;
    for at in 0..bytes.len() {
        let mut simpler = bytes.clone();
        if let Some(byte) = simpler.get_mut(at).filter(|byte| **byte != 0) {
            *byte = 0;
            if fails(&simpler) {
                (*bytes, cleared) = (simpler, true);
            }
        }
    }
    cleared
}

/// Without a message for each of the many panics.
fn quietly<T>(run: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = run();
    std::panic::set_hook(hook);
    result
}

/// Up to here there is time to try every run.
const SMALL_BYTES: usize = 4096;
/// Tags, NAL units, fields: small ones are shorter.
const LONGEST_RECORD_BYTES: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_the_failure_does_not_need() {
        let fails = |bytes: &[u8]| bytes.len() >= 3 && bytes.contains(&b'x') && bytes.ends_with(b"z");
        assert_eq!(shrink(b"abcxdefghijklz", fails), Some(b"x\0z".to_vec()));
    }

    #[test]
    fn what_does_not_fail_is_not_made_smaller() {
        assert_eq!(shrink(b"abc", |_| false), None);
    }
}
