//! Programs of a transport stream to streams of the bus.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arcly_bus::{BusError, Frame, Publisher, StreamKey, Track};
use arcly_pack::{
    Item,
    container::{Container, ContainerDemuxer},
    mpegts::{GROUP_BYTES, TsDemuxer, TsOptions},
};
use tokio::time::Instant;

use crate::{Inbox, faults::Problems, keep::Keeper};

/// What stands in a key for the number of the program; a key with it makes a stream of each program.
const PLACE: &str = "{program}";
/// Programs that are read at a time. Stops a stream that names thousands; a multiplex of a satellite has some twenty.
const PROGRAMS_MAX: usize = 32;

/// How programs become streams.
pub(super) struct Rules {
    /// Where they are published.
    pub(super) key: StreamKey,
    /// The only program that is read, where that is chosen.
    pub(super) program: Option<u16>,
    /// A stream without media for so long has ended, for now.
    pub(super) idle_time: Duration,
    /// How long it is kept then, with its viewers.
    pub(super) grace: Duration,
    /// After a refused or ended publish, the next is asked for so much later.
    pub(super) retry: Duration,
    pub(super) inbox: Arc<Inbox>,
    /// For lines in the inbox.
    pub(super) name: String,
}

/// All programs of one input.
pub(super) struct Programs {
    rules: Rules,
    /// Sees which programs there are, where each is read.
    survey: Option<TsDemuxer>,
    channels: Vec<Channel>,
}

/// What has come since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) frames: u64,
    /// Streams that are being published now.
    pub(super) running: usize,
}

impl Programs {
    pub(super) fn new(rules: Rules) -> Self {
        let has_place = rules.key.app().contains(PLACE) || rules.key.stream().contains(PLACE);
        // A chosen program is one, whatever the key; its number is put there all the same.
        if !has_place || rules.program.is_some() {
            let number = rules.program.unwrap_or_default();
            let channels = Channel::new(&rules, rules.program, number).into_iter().collect();
            return Self { rules, survey: None, channels };
        }
        // No program has the number 0: it stands for the network (ISO/IEC 13818-1 §2.4.4.5). So nothing is read twice.
        let survey = TsDemuxer::new(TsOptions { program: Some(0), ..TsOptions::default() });
        Self { rules, survey: Some(survey), channels: Vec::new() }
    }

    /// Takes a datagram of the transport stream, in front of which so many are lost.
    pub(super) fn push(&mut self, lost: u32, bytes: &[u8]) {
        let lost_bytes = (lost as usize).saturating_mul(bytes.len().max(GROUP_BYTES));
        self.survey.iter_mut().for_each(|survey| survey.push(bytes));
        self.channels.iter_mut().for_each(|channel| channel.push(lost_bytes, bytes));
    }

    /// Publishes what is complete. Asks the host where a stream begins, and waits for its answer.
    pub(super) async fn publish(&mut self, peer: SocketAddr) -> Counts {
        let mut counts = Counts::default();
        for channel in &mut self.channels {
            counts.frames += channel.publish(&self.rules, peer).await;
            counts.running += usize::from(channel.publisher.is_some());
        }
        counts
    }

    /// Looks at the clock, and which programs have come. Whether any stream is being published.
    pub(super) fn look(&mut self) -> bool {
        let found = self.survey.as_ref().map(TsDemuxer::programs).unwrap_or_default();
        for number in found.iter().map(|program| program.number) {
            let is_known = self.channels.iter().any(|channel| channel.program == Some(number));
            if !is_known && number != 0 && self.channels.len() < PROGRAMS_MAX {
                self.channels.extend(Channel::new(&self.rules, Some(number), number));
            }
        }
        self.channels.iter_mut().for_each(|channel| channel.look(&self.rules));
        let is_named = |number| found.iter().any(|program| program.number == number);
        let is_wanted =
            |channel: &Channel| self.survey.is_none() || channel.is_busy() || channel.program.is_some_and(is_named);
        self.channels.retain(is_wanted);
        self.channels.iter().any(|channel| channel.publisher.is_some())
    }

    /// Ends all streams for now: their remote is lost.
    pub(super) fn lose(&mut self) {
        self.channels.iter_mut().for_each(Channel::pause);
    }

    /// Ends all streams.
    pub(super) fn end(&mut self, reason: &'static str) {
        for channel in &mut self.channels {
            channel.pause();
            channel.keeper.end(reason);
        }
    }
}

/// One program on its way to one stream.
struct Channel {
    key: StreamKey,
    program: Option<u16>,
    demuxer: ContainerDemuxer,
    keeper: Keeper,
    publisher: Option<Publisher>,
    /// What the demuxer said last, and whether the publisher was told.
    tracks: Vec<Track>,
    tracks_due: bool,
    last_media: Instant,
    /// Nothing is asked for before.
    not_before: Option<Instant>,
    /// What was complained about last: a refusal is said once, not every five seconds.
    said: String,
    problems: Problems,
    /// Streams that this demuxer cannot read and that were told of.
    unread: usize,
}

impl Channel {
    /// `None` when there can be no such key.
    fn new(rules: &Rules, program: Option<u16>, number: u16) -> Option<Self> {
        let named = |name: &str| name.replace(PLACE, &number.to_string());
        let key = StreamKey::new(&named(rules.key.app()), &named(rules.key.stream())).ok()?;
        Some(Self {
            keeper: Keeper::new(key.clone(), "udp", rules.grace, rules.inbox.clone()),
            key,
            program,
            demuxer: ContainerDemuxer::new(Container::MpegTs, program),
            publisher: None,
            tracks: Vec::new(),
            tracks_due: false,
            last_media: Instant::now(),
            not_before: None,
            said: String::new(),
            problems: Problems::default(),
            unread: 0,
        })
    }

    fn number(&self) -> u16 {
        self.program.unwrap_or_default()
    }

    fn push(&mut self, lost_bytes: usize, bytes: &[u8]) {
        self.demuxer.lose(lost_bytes);
        // A transport stream is never refused: what is broken is passed over.
        let _ = self.demuxer.push(bytes);
    }

    async fn publish(&mut self, rules: &Rules, peer: SocketAddr) -> u64 {
        let mut frames = 0;
        self.tell_of_unread(rules);
        while let Some(item) = self.demuxer.poll() {
            match item {
                Item::Tracks(tracks) => (self.tracks, self.tracks_due) = (tracks, true),
                Item::Frame(frame) => {
                    if self.publisher.is_none() && !self.open(rules, peer).await {
                        continue;
                    }
                    self.last_media = Instant::now();
                    frames += u64::from(self.send(rules, frame));
                }
                Item::EndOfSequence => {}
            }
        }
        frames
    }

    fn tell_of_unread(&mut self, rules: &Rules) {
        let unread = self.demuxer.unread();
        for stream in unread.get(self.unread..).unwrap_or_default() {
            self.problems.tell(format!("{stream}: this track is left out"));
        }
        self.unread = unread.len();
        for problem in self.problems.take() {
            rules.inbox.warn(format!("{}: {}: {problem}", rules.name, self.key));
        }
    }

    /// Begins the stream, or goes on with it; false when that may not be now.
    async fn open(&mut self, rules: &Rules, peer: SocketAddr) -> bool {
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        match self.keeper.publisher(peer).await {
            Ok(publisher) => {
                if self.key != rules.key {
                    rules.inbox.tell(format!("{}: program {} comes in as {}", rules.name, self.number(), self.key));
                }
                self.tracks_due |= publisher.tracks().tracks != self.tracks;
                (self.publisher, self.not_before) = (Some(publisher), None);
                self.said.clear();
                true
            }
            Err(text) => {
                self.complain(rules, text);
                false
            }
        }
    }

    /// Publishes a frame; false when the stream takes none.
    fn send(&mut self, rules: &Rules, frame: Frame) -> bool {
        let Some(publisher) = &mut self.publisher else { return false };
        let announced = if self.tracks_due { publisher.set_tracks(self.tracks.clone()) } else { Ok(()) };
        match announced.and_then(|()| publisher.publish(frame)) {
            Ok(()) => {
                self.tracks_due = false;
                true
            }
            Err(BusError::Closed) => {
                self.publisher = None;
                self.complain(rules, "the stream was ended by the server".into());
                false
            }
            Err(_) => false,
        }
    }

    /// Asks no more for a while. Other streams, and those who listen beside this one, go on.
    fn complain(&mut self, rules: &Rules, text: String) {
        self.not_before = Some(Instant::now() + rules.retry);
        if self.said != text {
            let (name, key, retry_s) = (&rules.name, &self.key, rules.retry.as_secs_f64());
            rules.inbox.warn(format!("{name}: {key} cannot be published: {text}; tried again every {retry_s} s"));
            self.said = text;
        }
    }

    fn look(&mut self, rules: &Rules) {
        if self.publisher.is_some() && self.last_media.elapsed() >= rules.idle_time {
            let (name, key, idle_s) = (&rules.name, &self.key, rules.idle_time.as_secs_f64());
            rules.inbox.warn(format!("{name}: no media for {key} in {idle_s} s"));
            self.pause();
        }
        self.keeper.expire();
    }

    /// The sender is silent: what is complete is published, and the stream kept for a while.
    fn pause(&mut self) {
        let Some(mut publisher) = self.publisher.take() else { return };
        // What comes later begins anew; of what is half there nothing more will come.
        let fresh = ContainerDemuxer::new(Container::MpegTs, self.program);
        let mut old = std::mem::replace(&mut self.demuxer, fresh);
        self.unread = 0;
        let _ = old.finish();
        while let Some(item) = old.poll() {
            let _ = match item {
                Item::Tracks(tracks) => publisher.set_tracks(tracks),
                Item::Frame(frame) => publisher.publish(frame),
                Item::EndOfSequence => Ok(()),
            };
        }
        self.keeper.keep(publisher, self.last_media);
    }

    /// Whether it must not be forgotten.
    fn is_busy(&self) -> bool {
        self.publisher.is_some() || self.keeper.is_keeping()
    }
}
