//! Running a target on many inputs, and judging each.

use std::{
    fmt,
    panic::catch_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use peak_alloc::PeakAlloc;

use crate::{
    mutate::{Input, make_input},
    shrink::shrink,
    targets::Target,
};

/// One input must not take longer.
const MAX_TIME: Duration = Duration::from_secs(1);
/// An input that takes this long is not coming back.
const HANG_TIME: Duration = Duration::from_secs(10);

/// Shorter inputs tell nothing of what is allocated for each byte: a parser has fixed costs.
const MIN_TELLING_BYTES: usize = 256;

/// A sweep without a failure.
#[derive(Debug, Default)]
pub struct Report {
    /// Inputs that were run.
    pub inputs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Time of all of them.
    pub total: Duration,
    /// Time of the slowest input.
    pub max: Duration,
    /// Its number.
    pub slowest: u64,
    /// The most that the target held, by its own account.
    pub buffered_bytes: usize,
    /// The most that was allocated at a time within one input, as the allocator saw it (0 when it was not asked).
    pub allocated_bytes: usize,
    /// The most of that for each byte of an input of at least 256 bytes.
    pub allocated_per_byte: usize,
}

impl Report {
    fn add(&mut self, number: u64, input: &Input, cost: &Cost) {
        let bytes = input.bytes.len();
        self.inputs += 1;
        self.bytes += bytes as u64;
        self.total = self.total.saturating_add(cost.time);
        if cost.time > self.max {
            (self.max, self.slowest) = (cost.time, number);
        }
        self.buffered_bytes = self.buffered_bytes.max(cost.buffered_bytes);
        self.allocated_bytes = self.allocated_bytes.max(cost.allocated_bytes);
        if bytes >= MIN_TELLING_BYTES {
            self.allocated_per_byte = self.allocated_per_byte.max(cost.allocated_bytes.div_ceil(bytes));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mean_ns = self.total.as_nanos().checked_div(u128::from(self.inputs)).unwrap_or_default();
        let per_byte_ns = self.total.as_nanos() as f64 / (self.bytes.max(1)) as f64;
        let Self { max, slowest, buffered_bytes, allocated_bytes, allocated_per_byte, .. } = self;
        write!(
            f,
            "0 panics, mean {mean_ns} ns ({per_byte_ns:.2} ns/B), worst {} ns (input {slowest}), ",
            max.as_nanos()
        )?;
        write!(f, "buffered <= {buffered_bytes} B, allocated <= {allocated_bytes} B and {allocated_per_byte} B/B")
    }
}

/// What one input cost.
struct Cost {
    time: Duration,
    buffered_bytes: usize,
    allocated_bytes: usize,
}

/// The input that failed, and how.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its number.
    pub number: u64,
    /// What went wrong, for people.
    pub what: String,
}

/// Runs `inputs` inputs of `seed` from number `first` on, up to the first failure.
///
/// # Errors
/// The first input that failed.
pub fn sweep(target: &Target, seed: u64, first: u64, inputs: u64) -> Result<Report, Failure> {
    let vectors = (target.vectors)();
    let watch = Watchdog::start(target.name, seed);
    let mut report = Report::default();
    for number in first..first.saturating_add(inputs) {
        watch.progress.store(number, Ordering::Relaxed);
        let input = make_input(&vectors, target.edit, seed, number);
        let cost = judge(target, &input, report.max).map_err(|what| Failure { number, what })?;
        report.add(number, &input, &cost);
    }
    Ok(report)
}

/// Shows one input and runs it.
///
/// # Errors
/// The input, when it fails.
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
    let mut report = Report::default();
    report.add(number, &input, &judged.map_err(|what| Failure { number, what })?);
    Ok(report)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a target on what a coverage-guided fuzzer came up with. Panics when it panics, or holds too much.
///
/// # Panics
/// That is the verdict.
pub fn guided(target: &Target, data: &[u8]) {
    let held = (target.run)(&Input::guided(data));
    assert!(held <= target.buffered_bytes_max, "{held} bytes held, over {}", target.buffered_bytes_max);
}

/// Runs of an input that is too slow. At the lowest priority beside a busy machine, two in a row were kept from it for a second each.
const TRIES_MAX: usize = 4;

/// Time and memory of one input, or what is wrong with it. One that is slower than the `slowest` so
/// far runs again, and the shorter time counts: a busy machine is not the input's fault.
fn judge(target: &Target, input: &Input, slowest: Duration) -> Result<Cost, String> {
    let mut cost = run(target, input)?;
    let (mut tries, first) = (1, cost.time);
    while tries < TRIES_MAX && (cost.time > MAX_TIME || (tries == 1 && first > slowest)) {
        cost.time = cost.time.min(run(target, input)?.time);
        tries += 1;
    }
    let Cost { time, buffered_bytes, .. } = cost;
    if time > MAX_TIME {
        return Err(format!("{time:?} for one input of {} bytes", input.bytes.len()));
    }
    if buffered_bytes > target.buffered_bytes_max {
        return Err(format!("{buffered_bytes} bytes held, over {}", target.buffered_bytes_max));
    }
    Ok(cost)
}

fn run(target: &Target, input: &Input) -> Result<Cost, String> {
    let allocated_before = PeakAlloc.current_usage();
    PeakAlloc.reset_peak_usage();
    let began = Instant::now();
    // The panic itself was printed by the hook.
    let buffered_bytes = catch_unwind(|| (target.run)(input)).map_err(|_| "a panic".to_owned())?;
    let time = began.elapsed();
    let allocated_bytes = PeakAlloc.peak_usage().saturating_sub(allocated_before);
    Ok(Cost { time, buffered_bytes, allocated_bytes })
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

    /// What coverage-guided fuzzing has found reaches every branch that it found, for ever.
    #[test]
    fn every_target_survives_its_corpus() {
        for target in ALL {
            let folder = format!("{}/corpus/{}", env!("CARGO_MANIFEST_DIR"), target.name);
            let Ok(files) = std::fs::read_dir(&folder) else { panic!("no corpus in {folder}: run make fuzz-coverage") };
            for file in files {
                guided(target, &std::fs::read(file.unwrap().path()).unwrap());
            }
        }
    }

    #[test]
    fn panic_is_reported_with_the_number_that_replays_it() {
        let failure = sweep(&FAKE, 1, 0, 100_000).unwrap_err();
        assert_eq!(failure.what, "a panic");
        assert_eq!(replay(&FAKE, 1, failure.number).unwrap_err(), failure);
    }

    #[test]
    fn memory_over_the_bound_is_a_failure() {
        let greedy = Target { run: |_| 101, buffered_bytes_max: 100, ..FAKE };
        assert!(sweep(&greedy, 1, 0, 1000).unwrap_err().what.ends_with("over 100"));
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
        assert!(sweep(&slow, 1, 0, 1).unwrap_err().what.contains("for one input of"));
    }

    #[test]
    fn every_target_survives_its_vectors_and_some_hundred_inputs() {
        for target in ALL {
            for vector in (target.vectors)() {
                assert!((target.run)(&Input::whole(vector)) <= target.buffered_bytes_max, "{}", target.name);
            }
            assert_eq!(sweep(target, 99, 0, 700).map_err(|failure| (target.name, failure)).err(), None);
        }
    }
}
