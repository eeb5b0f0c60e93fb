//! Streams that a connection publishes: the question to the host, the answer, the media, the end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::task::Waker;

use arcly_wire::rtmp::{self, Media, PublishRejection};
use tokio::{sync::mpsc, time::Instant};

use super::{connection::Connection, patience::Patience};
use crate::{Notice, PublishAsk, PublishRequest, Refusal, faults::ENDED_HERE, publish::Answer, rtmp::to_bus::ToBus};

/// Questions of one connection that the host may be working on. Stops a peer that asks and withdraws in a loop from filling the
/// host's inbox, which is for all.
pub(super) const OPEN_QUESTIONS_MAX: usize = 8;

/// A request that waits for the host's decision.
pub(super) struct Asked {
    pub(super) id: RequestId,
    pub(super) until: Instant,
    /// Cleared by whoever is first: the answer, or the connection when it stops waiting.
    pub(super) waiting: Arc<AtomicBool>,
}

/// Which request of a connection is meant: message streams are used again, so their ids alone do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestId {
    stream_id: u32,
    number: u64,
}

/// The answers of the host on their way here.
pub(super) struct Answers {
    sender: mpsc::Sender<(RequestId, Answer)>,
    receiver: mpsc::Receiver<(RequestId, Answer)>,
}

impl Default for Answers {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(OPEN_QUESTIONS_MAX);
        Self { sender, receiver }
    }
}

/// The next answer; never any when nothing was asked.
pub(super) async fn next_answer(answers: &mut Option<Answers>) -> (RequestId, Answer) {
    match answers {
        // Never closed: we hold a sender.
        Some(answers) => match answers.receiver.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

impl Connection {
    pub(super) fn on_answer(&mut self, id: RequestId, answer: Answer) {
        self.open_questions = self.open_questions.saturating_sub(1);
        let stream_id = id.stream_id;
        // The peer may have left this stream, asked for something else on it, or waited too long: then the answer is nobody's, and a
        // publisher in it is dropped, which frees its key.
        if self.asked.get(&stream_id).is_none_or(|asked| asked.id != id) {
            return;
        }
        self.asked.remove(&stream_id);
        match answer {
            Ok(publisher) => {
                publisher.wake_on_request(Waker::from(self.upstream.clone()));
                self.publishing.insert(stream_id, ToBus::new(*publisher));
                self.wait_for_pictures();
                self.machine.accept_publish(stream_id);
            }
            Err((refusal, text)) => self.refuse(stream_id, refusal, &text),
        }
    }

    /// Sound may wait for pictures from now on, unless each message is wanted at once.
    fn wait_for_pictures(&mut self) {
        if self.is_plain && !self.shared.egress.wants_every_packet() {
            let now = self.started.elapsed();
            self.patience.get_or_insert_with(|| Patience::new(&self.shared.crowd, now));
        }
    }

    pub(super) fn refuse(&mut self, stream_id: u32, refusal: Refusal, text: &str) {
        let rejection = match refusal {
            Refusal::BadName => PublishRejection::BadName,
            Refusal::Unauthenticated | Refusal::Unauthorized => PublishRejection::Unauthorized,
            Refusal::Failed => PublishRejection::Failed,
        };
        self.machine.reject_publish(stream_id, rejection, text);
        self.dismissed = true;
        self.refusals += 1;
    }

    /// Refuses what the host has not decided in time.
    pub(super) fn refuse_late(&mut self, now: Instant) {
        let is_late = |asked: &Asked| asked.until <= now;
        for (stream_id, asked) in self.asked.extract_if(|_, asked| is_late(asked)).collect::<Vec<_>>() {
            // The host may be answering in this very moment: only one of the two says it.
            if asked.waiting.swap(false, Ordering::AcqRel) {
                self.shared
                    .inbox
                    .warn(format!("{}: the host did not decide in time, the publish is refused", self.peer));
            }
            self.refuse(stream_id, Refusal::Failed, "the server did not decide in time");
        }
    }

    /// Whatever the host answers from now on is nobody's.
    pub(super) fn withdraw_questions(&mut self) {
        for asked in self.asked.values() {
            asked.waiting.store(false, Ordering::Release);
        }
    }

    pub(super) fn ask(&mut self, request: rtmp::PublishRequest) {
        self.requests += 1;
        self.open_questions += 1;
        if self.open_questions > OPEN_QUESTIONS_MAX {
            return; // The connection is ended as soon as its events are taken.
        }
        let id = RequestId { stream_id: request.stream_id, number: self.requests };
        let waiting = Arc::new(AtomicBool::new(true));
        let until = Instant::now() + self.shared.options.decision_deadline;
        self.asked.insert(id.stream_id, Asked { id, until, waiting: waiting.clone() });
        let reply = self.answers.get_or_insert_default().sender.clone();
        let ask = PublishAsk {
            app: request.app,
            stream: request.stream,
            protocol: "rtmp",
            query: request.query,
            authorization: self.authorization.clone(),
            agent: self.agent.clone(),
            peer: self.peer,
        };
        let request = PublishRequest::new(ask, move |answer| {
            let in_time = waiting.swap(false, Ordering::AcqRel);
            // Sent even when it is late: the connection counts its open questions. It cannot be full, for they are bounded; it is
            // closed when the connection is gone, and then a publisher inside is dropped, which ends its stream.
            reply.try_send((id, answer)).is_ok() && in_time
        });
        // When the inbox is full the request is dropped there, and that is a refusal.
        self.shared.inbox.push(Notice::Publish(request));
    }

    pub(super) fn on_media(&mut self, media: Media) {
        let stream_id = media.stream_id;
        let Some(to_bus) = self.publishing.get_mut(&stream_id) else { return };
        if let Some(patience) = &mut self.patience {
            patience.note(self.last_read - self.started, &media, || to_bus.viewers());
        }
        let outcome = to_bus.media(media);
        for problem in to_bus.problems() {
            self.shared.inbox.warn(format!("{}: {problem}", self.peer));
        }
        if let Err(reason) = outcome {
            self.machine.end_publish(stream_id, &reason);
            self.unpublish(stream_id, reason);
            self.dismissed = true;
        }
    }

    /// Ends publishes whose stream was ended by somebody else; a sender that is silent would not notice. (A request for a key
    /// frame rings too: RTMP has no way to pass it on.)
    pub(super) fn end_closed(&mut self) {
        let closed = self.publishing.iter().filter(|(_, to_bus)| to_bus.is_closed());
        for stream_id in closed.map(|(stream_id, _)| *stream_id).collect::<Vec<_>>() {
            self.machine.end_publish(stream_id, ENDED_HERE);
            self.unpublish(stream_id, ENDED_HERE);
            self.dismissed = true;
        }
    }

    pub(super) fn unpublish(&mut self, stream_id: u32, reason: impl Into<String>) {
        if let Some(asked) = self.asked.remove(&stream_id) {
            asked.waiting.store(false, Ordering::Release);
        }
        if let Some(to_bus) = self.publishing.remove(&stream_id) {
            to_bus.end(reason.into());
        }
        // What it says without a stream is heard at once.
        if let Some(patience) = self.patience.as_mut().filter(|_| self.publishing.is_empty()) {
            patience.lose();
        }
    }
}
