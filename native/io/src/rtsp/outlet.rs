//! Streams on their way to viewers by UDP: the packets of the log, one datagram each, many a system call.
//!
//! One task for each stream walks its viewers whenever a packet has come. A viewer who joins gets the present group of pictures first, no
//! faster than its receive buffer is emptied: what overflows there is lost.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard},
    task::Waker,
    time::Duration,
};

use arcly_bus::{Read, Subscription, WakeSlot};
use arcly_wire::{
    rtp::rtcp::{RtcpPacket, packets},
    rtsp::FRAME_HEADER_BYTES,
};
use tokio::{
    runtime::Handle,
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    channels::{MEDIAS_MAX, split},
    datagrams::Ports,
    pace::{BURST_BYTES, BURST_EVERY},
};
use crate::{
    Inbox,
    bell::Bell,
    bug::BugReport,
    egress::{Line, Packet, PacketLog, Reader, ViewerEnd, Wants},
    lock,
    udp::{Outbound, interface_of},
};

/// How often viewers are looked at when nothing comes: somebody may have ended one.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Bytes that wait for the system at most, of all viewers of a stream together in one round.
const OUTBOUND_BYTES: usize = 1 << 20;

/// Frames looked at at once.
const BATCH_FRAMES: usize = 64;

/// Addresses of ours that a group is sent from at most, each by the interface that has it.
const CASTS_MAX: usize = 16;

/// Where a viewer gets its tracks: the address of RTP and that of RTCP, by the place of the track.
pub(crate) type Targets = [Option<(SocketAddr, SocketAddr)>; MEDIAS_MAX];

/// Who sends to viewers by UDP: a task for each stream, which ends with its last viewer.
pub(crate) struct Outlets {
    runtime: Handle,
    ports: Arc<Ports>,
    inbox: Arc<Inbox>,
    tasks: Mutex<HashMap<usize, mpsc::UnboundedSender<Viewer>>>,
}

/// Datagrams on their way to the system.
struct Queues {
    /// Reports go in front of what they are about, goodbyes behind what they end.
    rtcp: Outbound,
    rtp: Outbound,
    goodbyes: Outbound,
}

impl Queues {
    fn new() -> Self {
        let [rtcp, rtp, goodbyes] = [(); 3].map(|()| Outbound::new(OUTBOUND_BYTES));
        Self { rtcp, rtp, goodbyes }
    }

    /// Gives everything to the system. What it refuses is lost.
    async fn flush(&mut self, ports: &Ports) {
        let _ = ports.rtcp.flush(&mut self.rtcp).await;
        let _ = ports.rtp.flush(&mut self.rtp).await;
        let _ = ports.rtcp.flush(&mut self.goodbyes).await;
    }

    /// Takes packets that lie behind each other, as long as something is `left` of what may be sent now; how many bytes that were.
    fn put(&mut self, packets: &[u8], targets: &Targets, from: Option<IpAddr>, left: &mut usize) -> usize {
        let mut taken = 0;
        for (channel, packet) in split(packets) {
            if *left == 0 {
                break;
            }
            taken += FRAME_HEADER_BYTES + packet.len();
            // What a viewer did not set up costs nothing.
            let Some(Some((to_rtp, to_rtcp))) = targets.get(usize::from(channel / 2)) else { continue };
            let (queue, to) = match channel % 2 {
                0 => (&mut self.rtp, to_rtp),
                _ if is_goodbye(packet) => (&mut self.goodbyes, to_rtcp),
                _ => (&mut self.rtcp, to_rtcp),
            };
            queue.push(*to, from, &[packet]);
            *left = left.saturating_sub(packet.len());
        }
        taken
    }
}

fn is_goodbye(report: &[u8]) -> bool {
    packets(report).flatten().any(|packet| matches!(packet, RtcpPacket::Goodbye { .. }))
}

/// Packets on their way to one place for each track.
struct Sending {
    cursor: Subscription<Packet>,
    /// Bytes of the packet at the cursor that were sent.
    offset: usize,
    targets: Targets,
    /// The address of ours that it comes from.
    from: Option<IpAddr>,
    /// Of a group: the number of the interface that has that address, where that is known.
    interface: Option<u32>,
}

impl Sending {
    /// Whether the system sends both by the same interface. By one that has several addresses it would send all twice.
    fn leaves_as(&self, other: &Self) -> bool {
        self.from == other.from || self.interface.is_some() && self.interface == other.interface
    }

    /// Puts what is to be sent now into the queues; whether more waits, or why it is over. `count` is told of frames and bytes.
    fn send(
        &mut self,
        queues: &mut Queues,
        count: impl Fn(usize, usize, &Subscription<Packet>),
    ) -> Result<bool, ViewerEnd> {
        let mut left = BURST_BYTES;
        while left > 0 {
            let packets = match self.cursor.peek(BATCH_FRAMES) {
                Read::Frames(batch) => batch.frames,
                Read::Empty => return Ok(false),
                Read::Ended => return Err(ViewerEnd::Stream),
                Read::Evicted => return Err(ViewerEnd::Slow),
            };
            let (mut passed, before) = (0, left);
            for packet in packets {
                let packet = packet.pieces.own();
                let rest = packet.get(self.offset..).unwrap_or_default();
                self.offset += queues.put(rest, &self.targets, self.from, &mut left);
                if self.offset < packet.len() {
                    break;
                }
                (passed, self.offset) = (passed + 1, 0);
            }
            self.cursor.advance(passed);
            count(passed, before - left, &self.cursor);
        }
        Ok(true)
    }
}

/// Somebody who is sent datagrams, or hears those to a group: then nothing is sent to it alone.
pub(crate) struct Viewer {
    reader: Reader,
    sending: Sending,
    group: Option<Targets>,
    line: Arc<Line>,
    wants: Wants,
    leaves: bool,
}

impl Viewer {
    pub(crate) fn new(
        reader: Reader,
        cursor: Subscription<Packet>,
        targets: Targets,
        from: Option<IpAddr>,
        (line, wants): (Arc<Line>, Wants),
    ) -> Self {
        let sending = Sending { cursor, offset: 0, targets, from, interface: None };
        Self { reader, sending, group: None, line, wants, leaves: false }
    }

    /// The same, of somebody who hears a group.
    pub(crate) fn of_group(self) -> Self {
        let group = self.sending.targets;
        // From an address of the other family the system sends nothing; where it would by itself, others may hear it already.
        let from = group.iter().flatten().next().and_then(|(to, _)| {
            self.sending.from.filter(|from| from.is_ipv4() == to.is_ipv4()).or_else(|| routed_from(*to))
        });
        let interface = match from {
            Some(IpAddr::V4(from)) => interface_of(from),
            _ => None,
        };
        let sending = Sending { targets: Targets::default(), from, interface, ..self.sending };
        Self { sending, group: Some(group), ..self }
    }

    fn hears_group(&self) -> bool {
        self.group.is_some() && !self.wants.paused && !self.leaves
    }

    /// Puts what it is to be sent now into the queues; whether more waits, or why it is over.
    fn serve(&mut self, queues: &mut Queues) -> Result<bool, ViewerEnd> {
        self.take_news();
        if self.reader.is_kicked() {
            return Err(ViewerEnd::Kicked);
        }
        if self.leaves {
            return Err(ViewerEnd::Left);
        }
        if self.wants.paused {
            return if self.reader.packets.log().is_closed() { Err(ViewerEnd::Stream) } else { Ok(false) };
        }
        let reader = &self.reader;
        self.sending.send(queues, |frames, bytes, cursor| reader.count(frames, bytes, cursor))
    }

    fn take_news(&mut self) {
        if !self.line.has_news() {
            return;
        }
        let news = self.line.take_news();
        self.leaves |= news.leaves;
        if let Some(wants) = news.wants.filter(|wants| *wants != self.wants) {
            self.wants = wants;
            // Goes on at the newest key picture.
            (self.sending.cursor, self.sending.offset) = (self.reader.packets.join_for(wants), 0);
        }
    }
}

/// The address of ours from which the system sends to a group; none where it has no way. Groups are of IPv4.
fn routed_from(group: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // No packet leaves by that.
    socket.connect(group).ok()?;
    socket.local_addr().ok().map(|addr| addr.ip())
}

impl Outlets {
    pub(crate) fn new(runtime: Handle, ports: Arc<Ports>, inbox: Arc<Inbox>) -> Arc<Self> {
        Arc::new(Self { runtime, ports, inbox, tasks: Mutex::default() })
    }

    /// Begins to send to a viewer.
    pub(crate) fn join(self: &Arc<Self>, viewer: Viewer) {
        let key = Arc::as_ptr(&viewer.reader.packets) as usize;
        let mut tasks = self.lock();
        let Some(viewer) = (match tasks.get(&key) {
            Some(task) => task.send(viewer).err().map(|refused| refused.0),
            None => Some(viewer),
        }) else {
            return;
        };
        let (joiners, arriving) = mpsc::unbounded_channel();
        let outlet = Outlet::new(self.clone(), key, arriving, viewer);
        tasks.insert(key, joiners);
        let report = BugReport::of("what viewers of a stream by RTSP share", self.inbox.clone());
        self.runtime.spawn(report.over(outlet.run()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, mpsc::UnboundedSender<Viewer>>> {
        lock(&self.tasks)
    }
}

/// The viewers of one stream.
struct Outlet {
    outlets: Arc<Outlets>,
    key: usize,
    arriving: mpsc::UnboundedReceiver<Viewer>,
    viewers: Vec<Viewer>,
    /// Send to the group as long as somebody hears it, once for all who came to the same interface of ours: the system sends what is from an
    /// address by the interface that has it, and by no other.
    casts: Vec<Sending>,
    bell: Arc<Bell>,
    slot: WakeSlot<Packet>,
    queues: Queues,
    /// Kept so that its address is that of no other.
    _packets: Arc<PacketLog>,
}

impl Outlet {
    fn new(outlets: Arc<Outlets>, key: usize, arriving: mpsc::UnboundedReceiver<Viewer>, first: Viewer) -> Self {
        let bell = Arc::<Bell>::default();
        let slot = WakeSlot::new(first.reader.packets.log(), Waker::from(bell.clone()));
        let packets = first.reader.packets.clone();
        Self {
            outlets,
            key,
            arriving,
            viewers: vec![first],
            casts: Vec::new(),
            bell,
            slot,
            queues: Queues::new(),
            _packets: packets,
        }
    }

    async fn run(mut self) {
        loop {
            // Armed before the look: what comes behind it rings.
            self.slot.arm();
            let has_more = self.round().await;
            if self.viewers.is_empty() && self.is_over() {
                return;
            }
            let until = Instant::now() + if has_more { BURST_EVERY } else { LOOK_EVERY };
            tokio::select! {
                // While somebody catches up the round is due soon anyway.
                () = self.bell.heard(), if !has_more => {}
                viewer = self.arriving.recv() => self.viewers.extend(viewer),
                () = sleep_until(until) => {}
            }
        }
    }

    /// Sends to everybody what there is; whether anybody has to be sent more.
    async fn round(&mut self) -> bool {
        let (mut has_more, mut at) = (self.cast(), 0);
        let Self { viewers, queues, outlets, .. } = self;
        let ports = &outlets.ports;
        while let Some(viewer) = viewers.get_mut(at) {
            match viewer.serve(queues) {
                Ok(more) => (has_more, at) = (has_more | more, at + 1),
                Err(end) => {
                    // Its place is free when it is told so.
                    let line = viewers.swap_remove(at).line;
                    line.hang_up(end);
                }
            }
            if queues.rtp.waiting_bytes() > OUTBOUND_BYTES / 2 {
                queues.flush(ports).await;
            }
        }
        queues.flush(ports).await;
        has_more
    }

    /// Puts into the queues what the group is to be sent now; whether it has to be sent more.
    fn cast(&mut self) -> bool {
        let Self { viewers, casts, queues, .. } = self;
        let hearers = || viewers.iter().filter(|viewer| viewer.hears_group());
        casts.retain_mut(|cast| {
            let mut alike = hearers().filter(|viewer| viewer.sending.leaves_as(cast));
            let Some(heir) = alike.next() else { return false };
            // Its address may be gone with those who came to it.
            if heir.sending.from != cast.from && alike.all(|viewer| viewer.sending.from != cast.from) {
                cast.from = heir.sending.from;
            }
            true
        });
        for viewer in hearers() {
            let Sending { from, interface, .. } = viewer.sending;
            // Further ones can only hope that they share an interface.
            if casts.len() < CASTS_MAX && !casts.iter().any(|cast| viewer.sending.leaves_as(cast)) {
                // Many hear it: the bound of viewers is not its.
                let cursor = viewer.reader.packets.log().tap();
                casts.push(Sending { cursor, offset: 0, targets: viewer.group.unwrap_or_default(), from, interface });
            }
        }
        let send = |has_more, cast: &mut Sending| has_more | cast.send(queues, |_, _, _| {}).unwrap_or(false);
        casts.iter_mut().fold(false, send)
    }

    /// Whether nobody is on the way either; then it is out of the map, too.
    fn is_over(&mut self) -> bool {
        let mut tasks = self.outlets.lock();
        // Under the lock nobody can come in.
        let is_over = self.arriving.is_empty();
        if is_over {
            tasks.remove(&self.key);
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use arcly_bus::{LogBounds, LogWriter, StreamKey};
    use tokio::{task::yield_now, time::timeout};

    use super::*;
    use crate::{
        egress::{
            Container, Egress, EgressOptions, Framing, Watcher,
            tests::{log_of_pictures, publish_pictures},
        },
        udp::{Interface, Membership, UdpOptions, UdpSocket},
    };

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A stream, and who may hear it.
    struct Stage {
        source: LogWriter,
        egress: Arc<Egress>,
        inbox: Arc<Inbox>,
    }

    impl Stage {
        fn new(bounds: LogBounds) -> Self {
            let inbox = Inbox::new(Waker::noop().clone());
            let egress = Egress::new(Handle::current(), EgressOptions::default(), inbox.clone());
            Self { source: log_of_pictures(bounds), egress, inbox }
        }

        /// Somebody who hears the group at `targets` and came to `ours`.
        fn hearer(&self, targets: Targets, ours: Option<IpAddr>) -> Viewer {
            let key = StreamKey::new("live", "cam").unwrap();
            let peer = (Ipv4Addr::LOCALHOST, 1).into();
            let watcher = Watcher { key, protocol: "rtsp", peer, agent: String::new() };
            let ticket = self.egress.admit(self.source.log(), watcher);
            let reader = ticket.and_then(|ticket| ticket.reader(Container::Rtp, Framing::Bare)).ok().unwrap();
            let (cursor, heard) = (reader.packets.join(), (Arc::default(), Wants::default()));
            Viewer::new(reader, cursor, targets, ours, heard).of_group()
        }

        fn outlet(&self, viewer: Viewer) -> Outlet {
            let ports = Ports::open(&Handle::current(), Ipv4Addr::UNSPECIFIED.into(), 0).unwrap();
            let outlets = Outlets::new(Handle::current(), ports, self.inbox.clone());
            Outlet::new(outlets, 0, mpsc::unbounded_channel().1, viewer)
        }

        /// Publishes a picture and waits for its packets.
        async fn publish(&mut self, n: i64, packets: &PacketLog) {
            publish_pictures(&mut self.source, n..n + 1);
            while packets.log().published() < self.source.log().published() {
                yield_now().await;
            }
        }
    }

    /// Where a group of one track is, and a socket that hears it by loopback.
    fn group() -> (UdpSocket, Targets) {
        let group = Ipv4Addr::new(239, 77, 2, 1).into();
        let membership = Membership { group, source: None, interface: Interface::Address(Ipv4Addr::LOCALHOST) };
        let options = UdpOptions { shared: true, membership: Some(membership), ..UdpOptions::default() };
        let socket = UdpSocket::bind(&Handle::current(), (group, 0).into(), &options).unwrap();
        let (addr, mut targets) = (socket.addr(), Targets::default());
        targets[0] = Some((addr, addr));
        (socket, targets)
    }

    /// Found by reading: it was evicted by the bound of viewers, and nobody in the group was sent anything any more.
    #[tokio::test]
    async fn a_burst_that_goes_round_the_log_does_not_end_a_group() {
        let mut stage = Stage::new(LogBounds { frames: 256, max_lag: Some(0), ..LogBounds::default() });
        let mut outlet = stage.outlet(stage.hearer(Targets::default(), None));
        let packets = outlet._packets.clone();
        outlet.cast();
        for n in 0..3000 {
            stage.publish(n, &packets).await;
        }
        outlet.cast();
        assert!(!matches!(outlet.casts[0].cursor.peek(1), Read::Evicted));
    }

    /// It was sent by the interface of the first viewer alone, for as long as anybody heard it; all others were told 200 and sent nothing.
    #[tokio::test]
    async fn a_group_is_sent_from_each_address_that_its_viewers_came_to() {
        let (mut stage, (socket, targets)) = (Stage::new(LogBounds::default()), group());
        let [first, second] = [1, 2].map(|n| IpAddr::from(Ipv4Addr::new(127, 0, 0, n)));
        let mut outlet = stage.outlet(stage.hearer(targets, Some(first)));
        outlet.viewers.extend([first, second].map(|ours| stage.hearer(targets, Some(ours))));
        let packets = outlet._packets.clone();
        stage.publish(0, &packets).await;
        outlet.round().await;
        let (mut inbound, mut senders) = (socket.inbound(), HashSet::new());
        while !(senders.contains(&first) && senders.contains(&second)) {
            timeout(PATIENCE, socket.receive(&mut inbound)).await.expect("both send").unwrap();
            senders.extend(inbound.datagrams().map(|datagram| datagram.peer.ip()));
        }
        // Nobody of the first address hears it any more.
        outlet.viewers.iter().filter(|viewer| viewer.sending.from == Some(first)).for_each(|viewer| {
            viewer.line.leave();
        });
        outlet.round().await;
        outlet.cast();
        assert_eq!(outlet.casts.iter().map(|cast| cast.from).collect::<Vec<_>>(), [Some(second)]);
    }

    /// Found by review: all was sent twice by an interface at two of whose addresses there was somebody, one source from two addresses
    /// (RFC 3550 §8.2).
    #[tokio::test]
    async fn a_group_is_sent_once_by_an_interface_that_has_several_addresses() {
        let (stage, (_socket, targets)) = (Stage::new(LogBounds::default()), group());
        let hearer = |n| {
            let mut viewer = stage.hearer(targets, Some(Ipv4Addr::new(192, 0, 2, n).into()));
            viewer.sending.interface = Some(2);
            viewer
        };
        let mut outlet = stage.outlet(hearer(1));
        outlet.viewers.push(hearer(2));
        let senders = |outlet: &mut Outlet| {
            outlet.cast();
            outlet.casts.iter().filter_map(|cast| cast.from).collect::<Vec<_>>()
        };
        assert_eq!(senders(&mut outlet), [Ipv4Addr::new(192, 0, 2, 1)]);
        outlet.viewers.swap_remove(0);
        assert_eq!(senders(&mut outlet), [Ipv4Addr::new(192, 0, 2, 2)], "the other address may be gone");
    }

    /// The kernel refuses a datagram to a group of IPv4 from an address of IPv6: whoever came to `[::1]` first silenced the group.
    #[tokio::test]
    async fn a_group_of_ipv4_is_not_sent_from_an_address_of_ipv6() {
        let (stage, (_socket, targets)) = (Stage::new(LogBounds::default()), group());
        let viewer = stage.hearer(targets, Some("::1".parse().unwrap()));
        assert!(viewer.sending.from.is_none_or(|from| from.is_ipv4()));
    }
}
