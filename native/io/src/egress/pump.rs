//! The viewers of one stream and format on one worker: who joins, who is written to in a pass, who can be written to again, who goes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arcly_bus::{Entry, Read, Subscription};
use arcly_codec::MediaKind;

use super::{
    EgressOptions,
    flush::{Due, Flush, SOUND_AGE_MAX},
    joiner::Joiner,
    packet::Packet,
    packets::PacketLog,
    poll::{Poller, Ready},
    socket::bound_unsent,
    tidings::Tidings,
    viewer::{Common, End, Served, Viewer},
};

/// How long a pass may keep the worker before it lets others have it. To let them wakes the other worker, which often goes on with the pass,
/// far from the caches in which its sockets are: not for what a few hundred viewers take.
const BUDGET: Duration = Duration::from_millis(4);

/// Viewers served between two looks at the clock.
const CLOCK_EVERY: usize = 8;

/// How often viewers are judged by how slow they are.
pub(crate) const JUDGE_EVERY: Duration = Duration::from_secs(1);

/// How long viewers may take for what is left of a stream that has ended.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Frames looked at at once.
const BATCH_FRAMES: usize = 128;

/// Viewers, in places that stay theirs as long as they do.
pub(crate) struct Pump {
    packets: Arc<PacketLog>,
    options: EgressOptions,
    places: Vec<Option<Viewer>>,
    free: Vec<usize>,
    /// Sees packets as they come, for the flush rule.
    scout: Subscription<Packet>,
    /// Where the viewers are that keep up.
    cursor: Subscription<Packet>,
    flush: Flush,
    /// What a pass writes, in one piece.
    joined: Vec<u8>,
    pub(crate) poller: Poller,
    pub(crate) ready: Vec<Ready>,
    /// Where the next pass begins, so that the same ones are not always last.
    first: usize,
    judged: Instant,
    ended: Option<Instant>,
    tidings: Arc<Tidings>,
    /// Viewers here, told to whoever spreads them.
    load: Arc<AtomicUsize>,
}

impl Pump {
    pub(crate) fn new(packets: Arc<PacketLog>, options: EgressOptions, load: Arc<AtomicUsize>) -> io::Result<Self> {
        // What they miss in a burst no viewer misses by it: the bound of viewers would end the pump for all of them.
        let (scout, cursor) = (packets.log().tap(), packets.log().tap());
        Ok(Self {
            packets,
            options,
            places: Vec::new(),
            free: Vec::new(),
            scout,
            cursor,
            flush: Flush::new(&options),
            joined: Vec::new(),
            poller: Poller::new()?,
            ready: Vec::new(),
            first: 0,
            judged: Instant::now(),
            ended: None,
            tidings: Arc::default(),
            load,
        })
    }

    pub(crate) fn packets(&self) -> &Arc<PacketLog> {
        &self.packets
    }

    /// Whether sound is written by itself.
    pub(crate) fn wants_every_packet(&self) -> bool {
        self.options.every_packet
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }

    /// Smoothed time of a pass.
    pub(crate) fn pass_time(&self) -> Duration {
        self.flush.pass()
    }

    /// Looks at the packets that have come; false when no more will.
    pub(crate) fn look(&mut self) -> bool {
        let now = Instant::now();
        loop {
            match self.scout.read(BATCH_FRAMES) {
                Read::Frames(batch) => {
                    let video = batch.tracks.first(MediaKind::Video).map(|track| track.id);
                    for frame in batch.frames.iter().map(Entry::frame) {
                        self.flush.arrived(now, video == Some(frame.track));
                    }
                }
                Read::Empty => return true,
                Read::Ended | Read::Evicted => {
                    self.ended.get_or_insert(now);
                    return false;
                }
            }
        }
    }

    /// Whether more has come since the last look.
    pub(crate) fn has_news(&mut self) -> bool {
        self.ended.is_none() && self.scout.is_ready()
    }

    /// When a pass is due, or viewers are to be judged.
    pub(crate) fn due(&self) -> Due {
        let now = Instant::now();
        // Sound alone does not wake us before there is much of it: it is looked for where pictures are rare.
        let patience = if self.flush.has_pictures(now) { JUDGE_EVERY } else { SOUND_AGE_MAX };
        let looking = (!self.is_empty()).then(|| (self.judged + JUDGE_EVERY).min(now + patience));
        match (self.flush.due(now), looking) {
            (Due::At(at), Some(looking)) => Due::At(at.min(looking)),
            (Due::Never, Some(looking)) => Due::At(looking),
            (due, _) => due,
        }
    }

    /// Takes a viewer in, who is counted in the load already, and writes what there is for it: from the newest key picture on.
    pub(crate) fn join(&mut self, joiner: Joiner) {
        let now = Instant::now();
        let viewer = Viewer::new(joiner, &self.packets, now);
        viewer.wake_on_tidings(&self.tidings.waker());
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        // Not fatal: the kernel then keeps what it keeps by itself.
        let _ = bound_unsent(viewer.socket(), self.options.unsent_max);
        let added = self.poller.add(viewer.socket(), place as u64, viewer.is_listened_to());
        if let Some(slot) = self.places.get_mut(place) {
            *slot = Some(viewer);
        }
        match added {
            Ok(()) => self.serve(place, now),
            Err(_) => self.remove(place, End::Gone),
        }
    }

    /// Serves those of whom the poller has heard.
    pub(crate) fn serve_ready(&mut self) {
        let now = Instant::now();
        for Ready { token, is_gone, is_readable } in std::mem::take(&mut self.ready) {
            let place = usize::try_from(token).unwrap_or(usize::MAX);
            // Who has left meanwhile has perhaps given its place to another; being served once more harms nobody.
            let Some(Some(viewer)) = self.places.get_mut(place) else { continue };
            let has_answers = is_readable && viewer.hear();
            if is_gone {
                self.remove(place, End::Gone);
            } else if viewer.is_blocked() || has_answers {
                viewer.unblock();
                self.serve(place, now);
            }
        }
    }

    /// Writes to everybody who is not blocked. Lets others have the worker whenever its time is up.
    pub(crate) async fn pass(&mut self) {
        let (mut next, mut busy) = (0, Duration::ZERO);
        self.first = self.first.wrapping_add(1);
        // Of those that come during the pass the next one hears; one that writes nothing asks nobody.
        let has_tidings = self.cursor.is_ready() && self.tidings.take();
        loop {
            let began = Instant::now();
            let over = self.pass_for(&mut next, began, has_tidings);
            busy += began.elapsed();
            if over {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.flush.flushed(busy);
    }

    /// A part of a pass; whether it was the last.
    fn pass_for(&mut self, next: &mut usize, began: Instant, has_tidings: bool) -> bool {
        let mut gone = Vec::new();
        let viewers = self.places.len() - self.free.len();
        let over = loop {
            let Read::Frames(batch) = self.cursor.peek(BATCH_FRAMES) else { break true };
            let common = Common::new(batch.frames, &mut self.joined, viewers, has_tidings);
            let count = batch.frames.len();
            let places = self.places.len();
            while *next < places {
                if next.is_multiple_of(CLOCK_EVERY) && *next > 0 && began.elapsed() > BUDGET {
                    break;
                }
                let place = (*next + self.first) % places;
                *next += 1;
                let Some(Some(viewer)) = self.places.get_mut(place) else { continue };
                if !viewer.is_blocked()
                    && let Served::Over(end) = viewer.serve(&self.packets, Some(&common), began)
                {
                    gone.push((place, end));
                }
            }
            if *next < places {
                break false;
            }
            *next = 0;
            self.cursor.advance(count);
        };
        gone.into_iter().for_each(|(place, end)| self.remove(place, end));
        over
    }

    /// Writes the end to everybody, as far as it goes.
    pub(crate) fn finish(&mut self) {
        let now = Instant::now();
        (0..self.places.len()).for_each(|place| self.serve_unblocked(place, now));
    }

    /// Whether everybody has the end of the stream, or has had time enough for it.
    pub(crate) fn is_drained(&self) -> bool {
        self.is_empty() || self.ended.is_some_and(|at| at.elapsed() > DRAIN_MAX)
    }

    /// Judges viewers, when it is time to.
    pub(crate) fn judge(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.judged) < JUDGE_EVERY {
            return;
        }
        self.judged = now;
        for place in 0..self.places.len() {
            let Some(Some(viewer)) = self.places.get_mut(place) else { continue };
            let has_news = viewer.has_news();
            match viewer.judge(&self.options, now) {
                Served::Over(end) => self.remove(place, end),
                Served::Waits if has_news => self.serve(place, now),
                Served::Waits => {}
            }
        }
    }

    fn serve_unblocked(&mut self, place: usize, now: Instant) {
        if self.places.get(place).and_then(Option::as_ref).is_some_and(|viewer| !viewer.is_blocked()) {
            self.serve(place, now);
        }
    }

    fn serve(&mut self, place: usize, now: Instant) {
        let Some(Some(viewer)) = self.places.get_mut(place) else { return };
        let served = viewer.serve(&self.packets, None, now);
        viewer.tell();
        if let Served::Over(end) = served {
            self.remove(place, end);
        }
    }

    /// Lets go of those who did not take the rest in time; whoever shares their connections is told.
    pub(super) fn give_up(&mut self) {
        (0..self.places.len()).for_each(|place| self.remove(place, End::Slow));
    }

    fn remove(&mut self, place: usize, end: End) {
        if let Some(viewer) = self.places.get_mut(place).and_then(Option::take) {
            self.poller.remove(viewer.socket(), place as u64);
            viewer.hang_up(end);
            self.free.push(place);
            self.load.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use arcly_bus::LogBounds;

    use super::{
        super::{
            Container, Framing,
            packets::PacketWriter,
            tests::{log_of_pictures, publish_pictures},
        },
        *,
    };

    /// Found by reading: the pump was evicted by the bound of its viewers, and none of them was served any more.
    #[tokio::test]
    async fn a_burst_that_goes_round_the_log_does_not_end_the_pump() {
        let bounds = LogBounds { frames: 256, max_lag: Some(0), ..LogBounds::default() };
        let mut source = log_of_pictures(bounds);
        let mut writer = PacketWriter::new(source.log(), Container::Flv, Framing::Bare);
        let mut pump = Pump::new(writer.packets().clone(), EgressOptions::default(), Arc::default()).unwrap();
        for n in 0..3000 {
            publish_pictures(&mut source, n..n + 1);
            writer.feed();
        }
        assert!(pump.look() && pump.ended.is_none());
        let Read::Frames(batch) = pump.cursor.peek(usize::MAX) else { panic!("it has nothing to write") };
        assert!(batch.frames.iter().any(|packet| packet.frame().dts >= 3000 * 2970));
    }
}
