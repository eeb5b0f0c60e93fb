//! The threads under everything here.

use std::time::Duration;

use tokio::runtime::{Builder, Handle};

/// How long tasks may take to stop when the runtime is dropped.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(2);

/// One tokio runtime with named threads. It belongs to one engine and goes with it.
pub struct Runtime {
    tokio: Option<tokio::runtime::Runtime>,
    handle: Handle,
}

impl Runtime {
    /// Starts `workers` threads; 0 stands for one per core.
    ///
    /// # Errors
    /// The operating system's, when it has no more threads or descriptors.
    pub fn start(workers: usize) -> std::io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        if workers > 0 {
            builder.worker_threads(workers);
        }
        let tokio = builder.thread_name("arcly-io").enable_all().build()?;
        let handle = tokio.handle().clone();
        Ok(Self { tokio: Some(tokio), handle })
    }

    /// Where tasks are spawned.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Calls `tick` with the time since the start, once a second, until the runtime is gone.
    pub fn every_second(&self, tick: impl Fn(Duration) + Send + 'static) {
        self.handle.spawn(async move {
            let start = tokio::time::Instant::now();
            let mut interval = tokio::time::interval(Duration::from_secs(1));
            loop {
                interval.tick().await;
                tick(start.elapsed());
            }
        });
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(tokio) = self.tokio.take() {
            tokio.shutdown_timeout(SHUTDOWN_DEADLINE);
        }
    }
}
