//! The clocks.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// The machine's monotonic clock: the same for the publisher, the players and the floor program.
pub fn now_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// For how long this thread has had a core.
pub fn thread_cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ThreadCPUTime))
}

/// For how long the threads of a process, those that have ended too, have had a core; 0 when there is no such process.
pub fn process_cpu_ns(pid: u32) -> u64 {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: both calls write one value each to where the pointer points.
    let failed = unsafe {
        libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock) != 0
            || libc::clock_gettime(clock, &raw mut time) != 0
    };
    if failed { 0 } else { time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64 }
}

/// For how long the cores of this machine have been busy, all together; counted in hundredths of a second.
pub fn machine_cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal: proc_stat(5).
    match ticks[..] {
        [user, nice, system, _idle, _iowait, irq, softirq, ..] => (user + nice + system + irq + softirq) / 100.0,
        _ => 0.0,
    }
}

pub fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: duration.subsec_nanos().into() }
}

/// The value in the middle; `None` of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    quantile(values, 0.5)
}

/// The value with the share `at` of all values below it; `None` of nothing.
pub fn quantile(values: impl IntoIterator<Item = f64>, at: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() as f64 * at) as usize).or(sorted.last()).copied()
}

fn nanoseconds(time: Timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(quantile((0..100).map(f64::from), 0.99), Some(99.0));
        assert_eq!(quantile([5.0], 1.0), Some(5.0));
    }

    #[test]
    fn a_process_has_used_some_cpu() {
        let own = process_cpu_ns(std::process::id());
        assert!(own > 0 && own >= thread_cpu_ns());
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        assert_eq!(process_cpu_ns(ended.id()), 0);
    }
}
