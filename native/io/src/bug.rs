//! Tasks that many depend on do not end in silence where a bug of ours ends them.

use std::{fmt, sync::Arc};

use crate::Inbox;

/// Held by a task: a panic of the task is told, with what it ended.
pub(crate) struct BugReport<W: fmt::Display> {
    pub(crate) inbox: Arc<Inbox>,
    what: W,
}

impl<W: fmt::Display> BugReport<W> {
    pub(crate) fn of(what: W, inbox: Arc<Inbox>) -> Self {
        Self { inbox, what }
    }

    /// `task`, which holds it.
    pub(crate) async fn over<T>(self, task: impl Future<Output = T>) -> T {
        let _report = self;
        task.await
    }
}

impl<W: fmt::Display> Drop for BugReport<W> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.inbox.report_bug(format!("a bug in arcly ended {}; please report it", self.what));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::Notice;

    #[tokio::test]
    async fn a_panic_is_told_and_a_good_end_is_not() {
        let inbox = Inbox::new(Waker::noop().clone());
        let report = BugReport::of("a good one", inbox.clone());
        tokio::spawn(report.over(async {})).await.unwrap();
        let report = BugReport::of("the WebRTC port", inbox.clone());
        let ended = tokio::spawn(report.over(async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        }));
        assert!(ended.await.unwrap_err().is_panic());
        assert!(matches!(inbox.pop(), Some(Notice::Bug(text)) if text.contains("ended the WebRTC port;")));
        assert!(inbox.pop().is_none());
    }
}
