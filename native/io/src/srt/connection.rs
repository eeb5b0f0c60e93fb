//! One connection of the port: its machine, and what it is there for.

use std::{net::SocketAddr, sync::atomic::Ordering::Relaxed, time::Duration};

use arcly_bus::StreamKey;
use arcly_wire::srt::{Answer, Closed, SrtConn};

use super::{
    alarm::round_up,
    from_bus::{Outlet, Over},
    port::BondName,
    to_bus::ToBus,
};
use crate::egress::Entry;

/// A caller: an address, and the socket there.
pub(super) type Caller = (SocketAddr, u32);

/// An established connection.
pub(super) struct Connection {
    pub(super) machine: SrtConn,
    /// Who it was at the beginning.
    pub(super) caller: Caller,
    /// Where it is now.
    pub(super) peer: SocketAddr,
    pub(super) key: StreamKey,
    /// The group that it is a link of.
    pub(super) bond: Option<BondName>,
    pub(super) answer: Answer,
    pub(super) use_: Use,
    /// When it is woken next.
    pub(super) armed: Option<Duration>,
    /// Until then no key material is looked at.
    pub(super) next_key: Duration,
    pub(super) since_unix_ms: u64,
}

/// What it is there for.
pub(super) enum Use {
    Publishing(Box<ToBus>),
    /// A link of a group that another one of it delivers for.
    Following,
    Playing(Box<Player>),
}

/// A viewer.
pub(super) struct Player {
    pub(super) feed: usize,
    outlet: Outlet,
    entry: Entry,
    _counted: arcly_bus::Viewer,
}

impl Player {
    pub(super) fn new(feed: usize, outlet: Outlet, entry: Entry, counted: arcly_bus::Viewer) -> Self {
        Self { feed, outlet, entry, _counted: counted }
    }

    /// Gives what there is to the machine. An error ends the connection, and is why.
    fn push(&mut self, now: Duration, machine: &mut SrtConn) -> Result<(), String> {
        let record = &self.entry.0;
        if record.is_kicked() {
            return Err("it was disconnected by the host".into());
        }
        let given = self.outlet.give(now, machine).map_err(|over| match over {
            Over::Stream => "the stream has ended",
            Over::Slow => "it was too slow",
        })?;
        record.bytes.fetch_add(given.bytes, Relaxed);
        record.frames.fetch_add(given.runs, Relaxed);
        record.lag_frames.store(self.outlet.lag(), Relaxed);
        record.dropped.store(self.outlet.missed(), Relaxed);
        Ok(())
    }
}

/// What a viewer's machine does because time passes is done together with what others' do.
const TOGETHER: Duration = Duration::from_millis(1);

impl Connection {
    /// When it is to be looked at: what is delivered here to the microsecond, viewers in a beat of [`TOGETHER`].
    pub(super) fn due(&self) -> Option<Duration> {
        let due = self.machine.poll_timeout()?;
        Some(match &self.use_ {
            Use::Playing(player) => {
                let more = player.outlet.due().unwrap_or(Duration::MAX);
                round_up(due.min(more), TOGETHER)
            }
            Use::Publishing(_) | Use::Following => due,
        })
    }

    /// Moves what can be moved; whether it goes on. An error is why not.
    pub(super) fn turn(&mut self, now: Duration) -> Result<(), String> {
        match &mut self.use_ {
            Use::Publishing(to_bus) => {
                while let Some(delivery) = self.machine.deliver(now) {
                    to_bus.push(&delivery)?;
                }
                if to_bus.is_closed() {
                    return Err(crate::faults::ENDED_HERE.into());
                }
            }
            Use::Following => {}
            Use::Playing(player) => {
                // What a viewer sends is of no use.
                while self.machine.deliver(now).is_some() {}
                player.push(now, &mut self.machine)?;
            }
        }
        match self.machine.closed() {
            None => Ok(()),
            Some(closed) => Err(reason(closed)),
        }
    }

    /// Ends it, and what it is there for.
    pub(super) fn end(self, reason: String) {
        if let Use::Publishing(to_bus) = self.use_ {
            to_bus.end(reason);
        }
    }
}

/// A sentence about an end.
pub(super) fn reason(closed: Closed) -> String {
    match closed {
        Closed::ByPeer => "the peer closed the connection".into(),
        Closed::ByUs => "the server ended it".into(),
        Closed::Idle => "the peer was silent for too long".into(),
        Closed::PeerError(code) => format!("the peer could not go on (error {code})"),
        Closed::NoKey => "the system has no random numbers for a new key".into(),
    }
}

/// Whether an end is worth a warning.
pub(super) fn is_fault(closed: Option<Closed>) -> bool {
    matches!(closed, Some(Closed::Idle | Closed::PeerError(_) | Closed::NoKey))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, task::Waker, time::Instant};

    use arcly_bus::{Frame, FrameFlags, LogBounds, LogWriter, Publisher, Read, SubscriptionOptions, Track, TrackId};
    use arcly_codec::{Codec, CodecConfig};
    use arcly_sim::{Link, LinkConfig};
    use arcly_wire::srt::{CallEnd, Reply, SrtCaller, SrtListener, SrtOptions};
    use bytes::Bytes;

    use super::*;
    use crate::{
        Inbox,
        bell::Bell,
        egress::{
            List, Watcher,
            tests::{VIDEO, log_of_pictures},
        },
        srt::from_bus::Feed,
    };

    const FRAMES: u64 = 60;
    const START: Duration = Duration::from_secs(1);

    fn sound(n: u64) -> Frame {
        let (dts, payload) = (n as i64 * 1024, Bytes::from(vec![n as u8; 300]));
        Frame { track: TrackId(0), flags: FrameFlags::KEY, pts: dts, dts, duration: 1024, payload }
    }

    fn publisher() -> Publisher {
        let mut publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
        let aac = CodecConfig::parse(Codec::Aac, Bytes::from_static(&[0x11, 0x90])).unwrap();
        publisher.set_tracks(vec![Track::new(TrackId(0), aac)]).unwrap();
        publisher
    }

    /// A viewer, and our end of its connection.
    fn connect(peer: SocketAddr) -> (SrtConn, SrtConn, Answer) {
        let (listener, options) = (SrtListener::new(None).unwrap(), SrtOptions::default());
        let mut caller = SrtCaller::new(START, peer, "read:live/cam", None, options).unwrap();
        let induction = caller.poll_output(START).unwrap();
        let Reply::Send(cookie) = listener.handle_input(START, peer, &induction) else { panic!("no cookie") };
        caller.handle_input(START, &cookie);
        let conclusion = caller.poll_output(START).unwrap();
        let Reply::Request(request) = listener.handle_input(START, peer, &conclusion) else { panic!("no request") };
        let (ours, answer) = request.accept(START, &options, None, 7).unwrap();
        caller.handle_input(START, &answer.packet(START));
        let Some(CallEnd::Connected(theirs)) = caller.take_end() else { panic!("no connection") };
        (*theirs, ours, answer)
    }

    fn carry(now: Duration, from: &mut SrtConn, to: &mut SrtConn) {
        let mut datagram = Vec::new();
        while from.poll_output(now, &mut datagram) {
            to.handle_input(now, &datagram).unwrap();
            datagram.clear();
        }
    }

    /// A viewer of `feed`, our end of its connection, and what is said of it.
    fn watch(publisher: &Publisher, feed: &Feed, inbox: &Arc<Inbox>) -> (SrtConn, Connection) {
        let peer: SocketAddr = "192.0.2.1:5050".parse().unwrap();
        let key = StreamKey::new("live", "cam").unwrap();
        let watcher = Watcher { key: key.clone(), protocol: "srt", peer, agent: String::new() };
        let entry = List::new(inbox.clone()).enter(watcher, 1).unwrap();
        let player = Player::new(0, Outlet::new(feed.join()), entry, publisher.log().viewer("srt"));
        let (theirs, machine, answer) = connect(peer);
        let connection = Connection {
            machine,
            caller: (peer, theirs.local_id()),
            peer,
            key,
            bond: None,
            answer,
            use_: Use::Playing(Box::new(player)),
            armed: None,
            next_key: Duration::ZERO,
            since_unix_ms: 0,
        };
        (theirs, connection)
    }

    /// The rest was queued and the connection closed in one turn: of that there went out the goodbye alone.
    #[tokio::test]
    async fn a_viewer_gets_the_stream_to_its_end() {
        let inbox = Inbox::new(Waker::noop().clone());
        let mut publisher = publisher();
        let mut feed = Feed::new(publisher.log(), &Arc::<Bell>::default());
        let (mut theirs, mut connection) = watch(&publisher, &feed, &inbox);
        let Use::Playing(player) = &connection.use_ else { panic!("no viewer") };
        let record = player.entry.0.clone();
        (0..FRAMES).for_each(|n| publisher.publish(sound(n)).unwrap());
        publisher.end("it is over");
        assert!(!feed.read(), "the stream has ended");

        let here = self::publisher();
        let options = SubscriptionOptions { is_viewer: false, ..SubscriptionOptions::default() };
        let mut got = here.log().subscribe_with(options);
        let mut to_bus = ToBus::new(here, connection.peer, inbox);
        let mut now = START;
        while theirs.closed().is_none() {
            assert!(now < START * 3, "it ends");
            now += Duration::from_millis(10);
            connection.machine.handle_timeout(now);
            if connection.turn(now).is_err() {
                connection.machine.close(now);
            }
            carry(now, &mut connection.machine, &mut theirs);
            theirs.handle_timeout(now);
            carry(now, &mut theirs, &mut connection.machine);
            while theirs.closed().is_none()
                && let Some(delivery) = theirs.deliver(now)
            {
                to_bus.push(&delivery).unwrap();
            }
        }
        to_bus.end("it is over".into());
        let mut payloads = Vec::new();
        while let Read::Frames(batch) = got.read(64) {
            payloads.extend(batch.frames.iter().map(|frame| frame.payload.first().copied()));
        }
        assert_eq!(payloads, (0..FRAMES).map(|n| Some(n as u8)).collect::<Vec<_>>());
        assert_eq!(record.frames.load(Relaxed), FRAMES, "those of the last turn are counted, too");
    }

    /// Picture `n` of 25 a second, of 6 Mbit/s; the first is the key picture.
    fn picture(n: i64) -> Frame {
        let (flags, kind) = if n == 0 { (FrameFlags::KEY, 0x65) } else { (FrameFlags::NONE, 0x41) };
        let payload = [&30_000_u32.to_be_bytes()[..], &[kind; 30_000]].concat().into();
        Frame { track: VIDEO, flags, pts: n * 3600, dts: n * 3600, duration: 3600, payload }
    }

    /// All of the GOP was sent at 1 Gbit/s as if it were shown at once. Such a link drops most of that, and of what is sent again: the key
    /// picture never came.
    #[tokio::test]
    async fn who_joins_late_in_a_gop_gets_all_of_it_through_a_narrow_link() {
        let inbox = Inbox::new(Waker::noop().clone());
        let mut publisher = Publisher::new(log_of_pictures(LogBounds::default()), Box::new(()));
        (0..100).for_each(|n| publisher.publish(picture(n)).unwrap());
        let mut feed = Feed::new(publisher.log(), &Arc::<Bell>::default());
        let (mut theirs, mut connection) = watch(&publisher, &feed, &inbox);
        let open = LinkConfig { delay: Duration::from_millis(20), ..LinkConfig::default() };
        let narrow = LinkConfig { rate_bps: Some(20_000_000), queue_bytes: 64 << 10, ..open };
        let (mut down, mut up, began) = (Link::new(narrow, 1), Link::new(open, 2), Instant::now());
        let (mut now, mut next, mut got, mut datagram) = (START, 100, 0, Vec::new());
        while next < 250 {
            // As the port does: woken by its timers, by what comes from the peer, and by the stream.
            connection.machine.handle_timeout(now);
            if now >= START + Duration::from_millis(40) * (next - 100) {
                publisher.publish(picture(i64::from(next))).unwrap();
                feed.read();
                next += 1;
            }
            connection.turn(now).unwrap();
            while connection.machine.poll_output(now, &mut datagram) {
                down.send(began + now, std::mem::take(&mut datagram).into());
            }
            theirs.handle_timeout(now);
            while let Some(datagram) = down.poll(began + now) {
                theirs.handle_input(now, &datagram).unwrap();
            }
            while let Some(delivery) = theirs.deliver(now) {
                got += delivery.payload.len();
            }
            while theirs.poll_output(now, &mut datagram) {
                up.send(began + now, std::mem::take(&mut datagram).into());
            }
            while let Some(datagram) = up.poll(began + now) {
                connection.machine.handle_input(now, &datagram).unwrap();
            }
            let arrivals = [down.poll_timeout(), up.poll_timeout()].into_iter().flatten().map(|at| at - began);
            let timers = connection.due().into_iter().chain(theirs.poll_timeout());
            let stream = START + Duration::from_millis(40) * (next - 100);
            now = arrivals.chain(timers).fold(stream, Duration::min).max(now + Duration::from_micros(50));
        }
        assert_eq!(theirs.stats(now).counters.receive_dropped_packets, 0, "given up");
        assert!(got > 150 * 30_000, "{got} bytes");
        let Use::Playing(player) = &connection.use_ else { panic!("no viewer") };
        assert!(player.outlet.lag() < 90, "it catches up: {}", player.outlet.lag());
    }
}
