//! Time that others on the machine do not spoil.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds that this thread has had a core. A system call: for regions of microseconds and more.
pub fn thread_cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The CPU time of `work` on this thread in nanoseconds.
pub fn cpu_ns_of(work: impl FnOnce()) -> f64 {
    let start = thread_cpu_ns();
    work();
    thread_cpu_ns() - start
}

/// Wall time of regions too short for a system call. It is CPU time too in all samples but those that were interrupted, and a median
/// passes over these.
pub struct Stopwatch {
    overhead_ns: f64,
    samples: Vec<f64>,
}

impl Stopwatch {
    pub fn new() -> Self {
        let mut empty = Self { overhead_ns: 0.0, samples: Vec::new() };
        (0..10_001).for_each(|_| empty.time(|| ()));
        Self { overhead_ns: empty.median_ns(), samples: Vec::new() }
    }

    pub fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.samples.push(start.elapsed().as_nanos() as f64);
        result
    }

    /// Without what looking at the clock costs.
    pub fn median_ns(&self) -> f64 {
        (median(&self.samples) - self.overhead_ns).max(0.0)
    }
}

/// The value in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Something that measures itself once.
pub type Contestant<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// Runs all `contestants` in turn, `rounds` times; the median of each. What slows the machine for a while slows all of them.
pub fn interleaved(rounds: usize, mut contestants: Vec<Contestant<'_>>) -> Vec<f64> {
    let mut times = vec![Vec::with_capacity(rounds); contestants.len()];
    for warm_up in &mut contestants {
        warm_up();
    }
    for _ in 0..rounds {
        for (contestant, times) in contestants.iter_mut().zip(&mut times) {
            times.push(contestant());
        }
    }
    times.iter().map(|times| median(times)).collect()
}
