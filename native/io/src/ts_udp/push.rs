//! The socket that sends.

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    task::Waker,
    time::Duration,
};

use arcly_bus::{Log, WakeSlot};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

use super::{
    from_bus::{FromBus, Next},
    pace::Pacer,
    rtp::Wrapper,
    url::UdpUrl,
};
use crate::{
    Backoff, Inbox, Link, LinkGuard,
    bell::Bell,
    link::{End, Session},
    udp::{Outbound, UdpSocket},
};

/// Bytes that wait for the network at most; more are dropped. Half a second of 50 Mbit/s.
const UNSENT_MAX: usize = 4 << 20;

/// How a stream is sent.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// When a socket that cannot be had is tried again.
    pub backoff: Backoff,
}

/// Sends `log` to `url`, from its newest key frame on, until it ends. Warnings go to `inbox`; `on_change` is called after each change of
/// state.
pub fn push(
    runtime: &Handle,
    url: UdpUrl,
    log: Arc<Log>,
    options: PushOptions,
    inbox: Arc<Inbox>,
    on_change: Waker,
) -> LinkGuard {
    let bell = Arc::<Bell>::default();
    let slot = WakeSlot::new(&log, Waker::from(bell.clone()));
    let pushing = Pushing { url: url.clone(), runtime: runtime.clone(), log, inbox: inbox.clone(), bell, slot };
    Link::spawn(runtime, &url, options.backoff, inbox, on_change, pushing)
}

struct Pushing {
    url: UdpUrl,
    runtime: Handle,
    log: Arc<Log>,
    inbox: Arc<Inbox>,
    bell: Arc<Bell>,
    slot: WakeSlot,
}

/// One run from the stream to the network.
struct Sending {
    from_bus: FromBus,
    pacer: Pacer,
    wrapper: Option<Wrapper>,
    outbound: Outbound,
    to: SocketAddr,
    /// When the first datagram left.
    began: Option<std::time::Instant>,
    frames: u64,
    bytes: u64,
    /// As `outbound` counts, up to the last look.
    dropped: u64,
    has_ended: bool,
}

impl Session for Pushing {
    async fn run(&mut self, link: &Link) -> Result<End, String> {
        if self.log.is_closed() {
            return Ok(End::Done);
        }
        let to = self.url.resolve().await?;
        if to.ip().is_unspecified() {
            return Err("the URL has no host to send to".into());
        }
        let any = if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let socket = UdpSocket::bind(&self.runtime, any, &self.url.options_out());
        let socket = socket.map_err(|error| format!("cannot send: {error}"))?;
        let mut sending = Sending::new(&self.log, &self.url, to);
        self.send(&socket, &mut sending, link).await
    }

    async fn linger(&mut self) {
        std::future::pending().await
    }
}

impl Pushing {
    async fn send(&self, socket: &UdpSocket, sending: &mut Sending, link: &Link) -> Result<End, String> {
        loop {
            self.slot.arm();
            // One moment for both: what is not read for want of room then always waits behind a datagram that is not due.
            let now = std::time::Instant::now();
            sending.read(now)?;
            for codec in sending.from_bus.left_out() {
                self.inbox.warn(format!("{}: a transport stream cannot carry {codec}: left out", self.url));
            }
            sending.release(now);
            let is_clear = socket.try_flush(&mut sending.outbound).map_err(|error| format!("cannot send: {error}"))?;
            sending.count(link);
            if sending.has_ended && sending.pacer.deadline().is_none() && is_clear {
                return Ok(End::Done);
            }
            if let Some(error) = sending.outbound.take_error() {
                return Err(format!("cannot send to {}: {error}", sending.to));
            }
            let next = sending.pacer.deadline().map(Instant::from_std);
            let takes_more = !sending.has_ended && sending.pacer.has_room(std::time::Instant::now());
            tokio::select! {
                () = self.bell.heard(), if takes_more => {}
                () = sleep_until(next.unwrap_or_else(far)), if next.is_some() => {}
                flushed = socket.flush(&mut sending.outbound), if !is_clear => {
                    flushed.map_err(|error| format!("cannot send: {error}"))?;
                }
                () = link.stopped() => return Ok(End::Done),
            }
        }
    }
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

impl Sending {
    fn new(log: &Arc<Log>, url: &UdpUrl, to: SocketAddr) -> Self {
        let seed = RandomState::new().hash_one(to);
        Self {
            from_bus: FromBus::new(log.tap(), url.bit_rate),
            pacer: Pacer::new(url.group_bytes, url.bit_rate),
            wrapper: url.rtp.then(|| Wrapper::new(seed)),
            outbound: Outbound::new(UNSENT_MAX),
            to,
            began: None,
            frames: 0,
            bytes: 0,
            dropped: 0,
            has_ended: false,
        }
    }

    /// Takes what the stream has now, as far as it leaves soon.
    fn read(&mut self, now: std::time::Instant) -> Result<(), String> {
        while !self.has_ended && self.pacer.has_room(now) {
            match self.from_bus.next()? {
                Next::Packets(packets, picture) => {
                    self.frames += 1;
                    self.pacer.push(now, packets, picture);
                }
                Next::Nothing => break,
                Next::Ended => {
                    self.has_ended = true;
                    let rest = self.from_bus.finish();
                    self.pacer.push(now, rest, None);
                    self.pacer.finish(now);
                }
            }
        }
        Ok(())
    }

    /// Hands over the datagrams whose time has come.
    fn release(&mut self, now: std::time::Instant) {
        while let Some((at, bytes)) = self.pacer.due(now) {
            let elapsed = at.saturating_duration_since(*self.began.get_or_insert(at));
            let header = self.wrapper.as_mut().map(|wrapper| wrapper.header(elapsed));
            let header = header.as_ref().map_or(&[][..], |header| header);
            if self.outbound.push(self.to, None, &[header, &bytes]) {
                self.bytes += (header.len() + bytes.len()) as u64;
            }
        }
    }

    fn count(&mut self, link: &Link) {
        let (frames, bytes) = (std::mem::take(&mut self.frames), std::mem::take(&mut self.bytes));
        let dropped = std::mem::replace(&mut self.dropped, self.outbound.dropped());
        link.count(frames, bytes, self.from_bus.missed() + self.outbound.dropped() - dropped);
        if bytes > 0 {
            link.running();
        }
    }
}

#[cfg(test)]
mod tests {
    use arcly_bus::{Frame, FrameFlags, LogBounds, LogWriter, Track, TrackId};
    use arcly_codec::{Codec, CodecConfig};
    use bytes::Bytes;

    use super::*;
    use crate::egress::tests::AVCC;

    /// It left at once: 4 MiB of it found room, and nobody was told of the rest.
    #[test]
    fn six_megabytes_of_pictures_since_the_key_picture_all_leave() {
        let mut source = LogWriter::new(LogBounds::default(), Arc::new(()));
        let config = CodecConfig::parse(Codec::H264, Bytes::from_static(&AVCC)).unwrap();
        source.set_tracks(vec![Track::new(TrackId(0), config)]).unwrap();
        for n in 0..60_i64 {
            let unit = [&[if n == 0 { 0x65 } else { 0x41 }][..], &[1; 100_000]].concat();
            let payload = [&(unit.len() as u32).to_be_bytes()[..], &unit].concat().into();
            let flags = if n == 0 { FrameFlags::KEY } else { FrameFlags::NONE };
            let (dts, duration) = (n * 3_600, 3_600);
            source.publish(Frame { track: TrackId(0), flags, pts: dts, dts, duration, payload }).unwrap();
        }
        let mut sending = Sending::new(
            source.log(),
            &UdpUrl::parse("udp://192.0.2.1:5000").unwrap(),
            "192.0.2.1:5000".parse().unwrap(),
        );
        let mut now = std::time::Instant::now();
        let mut most = 0;
        loop {
            sending.read(now).unwrap();
            sending.release(now);
            most = most.max(sending.outbound.waiting_bytes());
            sending.outbound.clear();
            let Some(next) = sending.pacer.deadline() else { break };
            now = next;
        }
        assert_eq!((sending.frames, sending.outbound.dropped()), (60, 0));
        assert!(sending.bytes > 6_000_000 && most < 200_000, "{most} bytes at once of {}", sending.bytes);
    }
}
