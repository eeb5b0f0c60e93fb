//! Running a target on many inputs, and judging each.

use std::{
    panic::catch_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    mutate::{Input, make_input},
    shrink::shrink,
    targets::Target,
};

/// One input must not take longer.
const MAX_TIME: Duration = Duration::from_secs(1);
/// An input that takes this long is not coming back.
const HANG_TIME: Duration = Duration::from_secs(10);

/// A sweep without a failure.
#[derive(Debug)]
pub struct Report {
    pub inputs: u64,
    /// Time per input.
    pub mean: Duration,
    /// Time of the slowest input.
    pub max: Duration,
    /// The most that the target held.
    pub buffered_bytes: usize,
}

/// The input that failed, and how.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub number: u64,
    pub what: String,
}

/// Runs inputs 0 to `inputs` of `seed`, up to the first failure.
pub fn sweep(target: &Target, seed: u64, inputs: u64) -> Result<Report, Failure> {
    let vectors = (target.vectors)();
    let watch = Watchdog::start(target.name, seed);
    let (mut total, mut max, mut buffered_bytes) = (Duration::ZERO, Duration::ZERO, 0);
    for number in 0..inputs {
        watch.progress.store(number, Ordering::Relaxed);
        let input = make_input(&vectors, target.edit, seed, number);
        let (time, held) = judge(target, &input, max).map_err(|what| Failure { number, what })?;
        total = total.saturating_add(time);
        max = max.max(time);
        buffered_bytes = buffered_bytes.max(held);
    }
    let mean = total.checked_div(u32::try_from(inputs).unwrap_or(u32::MAX)).unwrap_or_default();
    Ok(Report { inputs, mean, max, buffered_bytes })
}

/// Shows one input and runs it.
pub fn replay(target: &Target, seed: u64, number: u64) -> Result<Report, Failure> {
    let input = make_input(&(target.vectors)(), target.edit, seed, number);
    let lengths: Vec<_> = input.pieces().map(<[u8]>::len).collect();
    println!("pieces: {lengths:?}");
    println!("bytes: {}", hex(&input.bytes));
    let watch = Watchdog::start(target.name, seed);
    let judged = judge(target, &input, MAX_TIME);
    drop(watch);
    if judged.is_err() {
        let smallest = shrink(&input.bytes, |bytes| judge(target, &Input::whole(bytes.to_vec()), MAX_TIME).is_err());
        println!("smallest in one piece: {}", smallest.map_or("none".to_owned(), |bytes| hex(&bytes)));
    }
    let (time, buffered_bytes) = judged.map_err(|what| Failure { number, what })?;
    Ok(Report { inputs: 1, mean: time, max: time, buffered_bytes })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Time and memory of one input, or what is wrong with it. One that is slower than the `slowest` so
/// far runs again, and the shorter time counts: a busy machine is not the input's fault.
fn judge(target: &Target, input: &Input, slowest: Duration) -> Result<(Duration, usize), String> {
    let (mut time, buffered_bytes) = timed(target, input)?;
    if time > slowest {
        time = time.min(timed(target, input)?.0);
    }
    if time > MAX_TIME {
        return Err(format!("{time:?} for one input of {} bytes", input.bytes.len()));
    }
    if buffered_bytes > target.buffered_bytes_max {
        return Err(format!("{buffered_bytes} bytes held, over {}", target.buffered_bytes_max));
    }
    Ok((time, buffered_bytes))
}

fn timed(target: &Target, input: &Input) -> Result<(Duration, usize), String> {
    let began = Instant::now();
    // The panic itself was printed by the hook.
    let buffered_bytes = catch_unwind(|| (target.run)(input)).map_err(|_| "a panic".to_owned())?;
    Ok((began.elapsed(), buffered_bytes))
}

/// Ends the process when an input does not come back.
struct Watchdog {
    progress: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
}

impl Watchdog {
    fn start(target: &'static str, seed: u64) -> Self {
        let watchdog = Self { progress: Arc::default(), done: Arc::default() };
        let (progress, done) = (watchdog.progress.clone(), watchdog.done.clone());
        std::thread::spawn(move || watch(target, seed, &progress, &done));
        watchdog
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

fn watch(target: &str, seed: u64, progress: &AtomicU64, done: &AtomicBool) {
    let (mut last, mut since) = (0, Instant::now());
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        let number = progress.load(Ordering::Relaxed);
        if number != last {
            (last, since) = (number, Instant::now());
        } else if since.elapsed() > HANG_TIME && !done.load(Ordering::Relaxed) {
            println!("{target:<12} FAILED: no end after {HANG_TIME:?}");
            println!("replay: cargo run --release -p arcly-fuzz -- {target} --seed {seed} --input {number}");
            std::process::exit(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::ALL;

    const FAKE: Target = Target {
        name: "fake",
        vectors: || vec![b"0123456789".to_vec()],
        edit: None,
        buffered_bytes_max: usize::MAX,
        run: |input| {
            assert!(input.bytes.first() != Some(&0xff), "found");
            input.bytes.len()
        },
    };

    #[test]
    fn panic_is_reported_with_the_number_that_replays_it() {
        let failure = sweep(&FAKE, 1, 100_000).unwrap_err();
        assert_eq!(failure.what, "a panic");
        assert_eq!(replay(&FAKE, 1, failure.number).unwrap_err(), failure);
    }

    #[test]
    fn memory_over_the_bound_is_a_failure() {
        let greedy = Target { run: |_| 101, buffered_bytes_max: 100, ..FAKE };
        assert!(sweep(&greedy, 1, 1000).unwrap_err().what.ends_with("over 100"));
    }

    #[test]
    fn slow_input_is_a_failure() {
        let slow = Target {
            run: |_| {
                let began = Instant::now();
                while began.elapsed() <= MAX_TIME {}
                0
            },
            ..FAKE
        };
        assert!(sweep(&slow, 1, 1).unwrap_err().what.contains("for one input of"));
    }

    #[test]
    fn every_target_survives_its_vectors_and_some_hundred_inputs() {
        for target in ALL {
            for vector in (target.vectors)() {
                assert!((target.run)(&Input::whole(vector)) <= target.buffered_bytes_max, "{}", target.name);
            }
            assert_eq!(sweep(target, 99, 700).map_err(|failure| (target.name, failure)).err(), None);
        }
    }
}
