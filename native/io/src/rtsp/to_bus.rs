//! Packets of one publisher to frames of the bus.

use std::{collections::VecDeque, time::Duration};

use arcly_bus::{BusError, Frame, FrameFlags, Publisher, Track};
use arcly_wire::{
    rtp::{
        AccessUnit, DecodingTimes, HEADER_BYTES, Sync,
        rtcp::{Chunk, RtcpPacket},
    },
    rtsp::{Lower, RtpInfo, sdp::Media},
};
use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::source::{Kind, Numbers, Source};
use crate::faults::{ENDED_HERE, Faults};

/// How long the stream waits for tracks whose configuration is in-band, and for reports of their times.
const TRACKS_TIME: Duration = Duration::from_secs(1);
const REPORTS_TIME: Duration = Duration::from_millis(300);
/// How long packets may come behind the BYE of all tracks, which may overtake them on a port of its own.
const GOODBYE_TIME: Duration = Duration::from_millis(200);
/// Frames that wait for that at most.
const WAITING_MAX: usize = 512;

/// Broken packets that good ones have not made up for.
const BROKEN_MAX: u32 = 1_000;

/// A publish: depacketizers, times, and where it goes.
pub(crate) struct ToBus {
    /// By the place in the description; none where the format is not known here, or the track was not set up.
    sources: Vec<Option<Source>>,
    sync: Sync,
    publisher: Publisher,
    /// Units before the tracks are known.
    waiting: VecDeque<(usize, Instant, AccessUnit)>,
    /// When the first packet came.
    began: Option<Instant>,
    /// When the stream ends because all tracks have said goodbye (RFC 3550 §6.6).
    leaves_at: Option<Instant>,
    /// Ours as a receiver.
    ssrc: u32,
    has_tracks: bool,
    frames: u64,
    refused: u64,
    faults: Faults,
}

impl ToBus {
    /// For the tracks of a description that were set up; `way`: how each of them comes.
    pub(crate) fn new(medias: &[Media], way: impl Fn(usize) -> Option<Lower>, publisher: Publisher) -> Self {
        let (mut sources, mut sync) = (Vec::new(), Sync::new());
        let mut faults = Faults::new("packet", BROKEN_MAX);
        let mut numbers = Numbers::default();
        for (place, media) in medias.iter().enumerate() {
            let source = way(place).map(|lower| Source::of_media(media, lower, &mut numbers, &mut sync));
            sources.push(source.and_then(|source| source.map_err(|problem| faults.problems.tell(problem)).ok()));
        }
        Self {
            sources,
            sync,
            publisher,
            waiting: VecDeque::new(),
            began: None,
            leaves_at: None,
            ssrc: std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0) as u32,
            has_tracks: false,
            frames: 0,
            refused: 0,
            faults,
        }
    }

    /// Whether the stream was ended by somebody else.
    pub(crate) fn is_closed(&self) -> bool {
        self.publisher.log().is_closed()
    }

    /// Frames published so far.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Packets so far that are no sign of the publisher's life: of encrypted tracks and not its own, or twice, or of a type that it has not
    /// described.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// Problems that were not told yet.
    pub(crate) fn problems(&mut self) -> Vec<String> {
        self.faults.problems.take()
    }

    /// Takes what the sender says of where its tracks begin (RFC 2326 §12.33): one moment for all.
    pub(crate) fn begin_at(&mut self, infos: &[RtpInfo]) {
        for info in infos {
            if let Some(Some(source)) = self.sources.get_mut(info.media) {
                source.common = Some(info.timestamp);
            }
        }
    }

    /// Takes a packet of a track. An error ends the publish and is its reason.
    pub(crate) fn packet(&mut self, place: usize, is_rtcp: bool, payload: Bytes) -> Result<(), String> {
        let now = Instant::now();
        let Some(Some(source)) = self.sources.get_mut(place) else { return Ok(()) };
        let payload = match source.open(is_rtcp, payload) {
            Ok(payload) => payload,
            // Anybody can send it.
            Err(problem) => {
                self.refused += 1;
                self.faults.problems.tell(problem.to_string());
                return Ok(());
            }
        };
        if is_rtcp {
            source.on_reports(&payload, now, &mut self.sync);
            self.look_for_goodbyes(now);
            return Ok(());
        }
        match source.judge(&payload, &mut self.sync) {
            Kind::Read => {}
            Kind::LeftOut => {
                source.pass_over(payload, now);
                return self.take_units(place);
            }
            Kind::Foreign => {
                self.refused += 1;
                // Without a payload it opens a firewall or NAT (RFC 6263 §4.6).
                if payload.len() > HEADER_BYTES {
                    self.faults.problems.tell("packets of a type that was not described are left out".into());
                }
                return Ok(());
            }
        }
        self.began.get_or_insert(now);
        match source.push(payload, now, &mut self.sync) {
            Ok(()) => self.faults.good(),
            Err(problem) => self.faults.broken(&problem)?,
        }
        self.take_units(place)?;
        if self.leaves_at.is_some() {
            self.look_for_goodbyes(now);
        }
        self.begin_when_ready(None)
    }

    /// Whether all tracks of which something has come have said goodbye, and had the time to be heard to the end.
    pub(crate) fn has_left(&self) -> bool {
        self.leaves_at.is_some_and(|at| at <= Instant::now())
    }

    fn look_for_goodbyes(&mut self, now: Instant) {
        let mut heard = self.sources.iter().flatten().filter(|source| source.receiver.ssrc().is_some()).peekable();
        let has_left = heard.peek().is_some() && heard.all(|source| source.has_left);
        self.leaves_at = has_left.then(|| self.leaves_at.unwrap_or(now + GOODBYE_TIME));
    }

    /// When [`Self::handle_timeout`] is to be called next: packets wait for one that is missing, or the stream is about to end.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.sources.iter().flatten().filter_map(|source| source.receiver.poll_timeout());
        waiting.map(Instant::from_std).chain(self.leaves_at).chain(self.begins_at()).min()
    }

    /// When the stream begins without what it has waited for.
    fn begins_at(&self) -> Option<Instant> {
        let are_known = self.sources.iter().flatten().all(|source| source.config.is_some());
        let time = if are_known { REPORTS_TIME } else { TRACKS_TIME };
        self.began.filter(|_| !self.has_tracks && !self.waiting.is_empty()).map(|began| began + time)
    }

    /// Gives up what has been waited for long enough. An error ends the publish.
    pub(crate) fn handle_timeout(&mut self) -> Result<(), String> {
        let now = Instant::now();
        for place in 0..self.sources.len() {
            if let Some(Some(source)) = self.sources.get_mut(place) {
                source.receiver.handle_timeout(now.into());
            }
            self.take_units(place)?;
        }
        self.begin_when_ready(Some(now))
    }

    /// What we say as a receiver, for each track of which something has come (RFC 3550 §6.4.2).
    pub(crate) fn reports(&mut self) -> Vec<(usize, Bytes)> {
        let (ssrc, now) = (self.ssrc, Instant::now());
        let sources = self.sources.iter_mut().enumerate();
        let report = |(place, source): (usize, &mut Option<Source>)| {
            let reports = vec![source.as_mut()?.receiver.report(now.into())?];
            let mut compound = BytesMut::new();
            RtcpPacket::ReceiverReport { ssrc, reports }.write(&mut compound);
            RtcpPacket::SourceDescription(vec![Chunk { ssrc, cname: format!("{ssrc:08x}@arcly") }])
                .write(&mut compound);
            Some((place, compound.freeze()))
        };
        sources.filter_map(report).collect()
    }

    fn take_units(&mut self, place: usize) -> Result<(), String> {
        while let Some(Some(source)) = self.sources.get_mut(place)
            && let Some(unit) = source.receiver.poll()
        {
            let arrived = source.begun.take().unwrap_or_else(Instant::now);
            if self.has_tracks {
                self.publish(place, arrived, unit)?;
            } else {
                source.note(&unit);
                self.waiting.push_back((place, arrived, unit));
            }
        }
        Ok(())
    }

    /// Begins the stream when its tracks and their times are known, or at its `timeout`. Only the timer gives up on what has not come: on a
    /// machine with much to do a report may be here already, in a queue of its own, and tracks placed without it would be moved later.
    fn begin_when_ready(&mut self, timeout: Option<Instant>) -> Result<(), String> {
        if self.has_tracks || self.waiting.is_empty() {
            return Ok(());
        }
        let sources = || self.sources.iter().flatten();
        let are_known = sources().all(|source| source.config.is_some());
        // One track alone has nothing to be put right by.
        let are_told = sources().count() < 2 || sources().all(|source| source.is_told);
        let is_late = timeout.zip(self.begins_at()).is_some_and(|(now, at)| now >= at);
        let is_full = self.waiting.len() >= WAITING_MAX;
        if !(are_known && are_told || is_late || is_full) {
            return Ok(());
        }
        if !self.set_tracks()? {
            return Ok(());
        }
        self.has_tracks = true;
        for (place, arrived, unit) in std::mem::take(&mut self.waiting) {
            self.publish(place, arrived, unit)?;
        }
        Ok(())
    }

    /// Says what the tracks are; false when none is known.
    fn set_tracks(&mut self) -> Result<bool, String> {
        let known = self.sources.iter().flatten().filter_map(|source| Some((source.track, source.config.clone()?)));
        let mut tracks: Vec<Track> = known.map(|(id, config)| Track::new(id, config)).collect();
        tracks.sort_unstable_by_key(|track| track.id);
        if tracks.is_empty() {
            self.waiting.clear();
            return Ok(false);
        }
        self.publisher.set_tracks(tracks).map_err(|_| ENDED_HERE.to_owned())?;
        Ok(true)
    }

    fn publish(&mut self, place: usize, arrived: Instant, mut unit: AccessUnit) -> Result<(), String> {
        let Some(Some(source)) = self.sources.get_mut(place) else { return Ok(()) };
        // What came with units that waited is known already.
        if source.note(&unit) {
            self.set_tracks()?;
        }
        let Some(Some(source)) = self.sources.get_mut(place) else { return Ok(()) };
        let Some(config) = &source.config else { return Ok(()) };
        let mut flags = if unit.is_key { FrameFlags::KEY } else { FrameFlags::NONE };
        let placed = self.sync.place(source.sync, unit.timestamp, arrived.into());
        if placed.is_discontinuity {
            flags = flags.with(FrameFlags::DISCONTINUITY);
            source.decoding.iter_mut().for_each(DecodingTimes::restart);
        }
        let time = source.format.ticks_to_bus(placed.ticks, config);
        // The bus marks the break, where the other tracks have not made it yet.
        if let Some(decoding) = source.decoding.as_mut().filter(|decoding| decoding.is_step_back(time)) {
            decoding.restart();
        }
        let (pts, dts) = source.decoding.as_mut().map_or((time, time), |decoding| decoding.stamp(time));
        let payload = std::mem::take(&mut unit.payload);
        let frame = Frame { track: source.track, flags, pts, dts, duration: source.duration, payload };
        self.frames += 1;
        match self.publisher.publish(frame) {
            Ok(()) => Ok(()),
            Err(BusError::Closed) => Err(ENDED_HERE.into()),
            Err(error) => {
                self.faults.problems.tell(error.to_string());
                Ok(())
            }
        }
    }

    /// The stream, for another sender to go on with it.
    pub(crate) fn into_publisher(mut self) -> Publisher {
        self.flush();
        self.publisher
    }

    /// Ends the stream.
    pub(crate) fn end(mut self, reason: String) {
        self.flush();
        self.publisher.end(reason);
    }

    /// What is whole and still here.
    fn flush(&mut self) {
        for place in 0..self.sources.len() {
            if let Some(Some(source)) = self.sources.get_mut(place) {
                source.receiver.flush();
            }
            drop(self.take_units(place));
        }
        if !self.has_tracks && self.set_tracks().is_ok_and(|are_known| are_known) {
            self.has_tracks = true;
            for (place, arrived, unit) in std::mem::take(&mut self.waiting) {
                drop(self.publish(place, arrived, unit));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arcly_bus::{LogBounds, LogWriter, Read, Subscription, SubscriptionOptions};
    use arcly_wire::{
        rtp::Header,
        rtsp::{keys, sdp},
        srtp::{Key, Sealer, Suite},
    };

    use super::*;

    /// Found by reading: packets that anybody could have made kept an encrypted publisher from being reaped.
    #[tokio::test]
    async fn what_the_publisher_has_not_sealed_is_refused_and_counted() {
        let key = Key::random(Suite::default()).unwrap();
        let format = sdp::Format { encoding: "PCMU".into(), clock_rate_hz: 8_000, channels: 1, ..Default::default() };
        let mut media = Media { kind: "audio".into(), formats: vec![format], ..Media::default() };
        keys::describe(&mut media, &key, 0);
        let publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
        let mut to_bus = ToBus::new(&[media], |_| Some(Lower::Udp), publisher);
        let mut sealer = Sealer::new(&key).unwrap();
        let packet = [&Header { ssrc: 7, ..Header::default() }.to_bytes()[..], &[0xff; 160]].concat();
        let mut sealed = packet.clone();
        sealer.rtp(&mut sealed, 0).unwrap();
        for (payload, refused) in [(sealed.clone(), 0), (packet, 1), (sealed, 2)] {
            to_bus.packet(0, false, payload.into()).unwrap();
            assert_eq!(to_bus.refused(), refused);
        }
    }

    const SPS: &[u8] = &[
        0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0x00, 0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x07,
        0x83, 0xc5, 0x0a, 0xa8,
    ];
    const PPS: &[u8] = &[0x68, 0xce, 0x0f, 0xc8];

    /// A publisher of pictures, and who reads them.
    struct Camera {
        to_bus: ToBus,
        reader: Subscription,
        sequence: u16,
    }

    impl Camera {
        fn new() -> Self {
            let format =
                sdp::Format { payload_type: 96, encoding: "H264".into(), clock_rate_hz: 90_000, ..Default::default() };
            Self::of(Media { kind: "video".into(), formats: vec![format], ..Media::default() })
        }

        fn of(media: Media) -> Self {
            Self::by(Lower::Udp, media)
        }

        fn by(lower: Lower, media: Media) -> Self {
            let publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
            let options = SubscriptionOptions { is_viewer: false, ..SubscriptionOptions::default() };
            let reader = publisher.log().subscribe_with(options);
            Self { to_bus: ToBus::new(&[media], |_| Some(lower), publisher), reader, sequence: 0 }
        }

        fn packet(&mut self, timestamp: u32, marker: bool, unit: &[u8]) {
            self.packet_of(96, timestamp, marker, unit);
        }

        fn packet_of(&mut self, payload_type: u8, timestamp: u32, marker: bool, unit: &[u8]) {
            self.sequence += 1;
            let header = Header { marker, payload_type, sequence: self.sequence, timestamp, ssrc: 7 };
            let packet = [&header.to_bytes()[..], unit].concat();
            self.to_bus.packet(0, false, packet.into()).unwrap();
        }

        /// A picture; what is published by it.
        fn picture(&mut self, timestamp: u32, is_key: bool) -> Vec<Frame> {
            if is_key {
                self.packet(timestamp, false, SPS);
                self.packet(timestamp, false, PPS);
            }
            self.packet(timestamp, true, &[if is_key { 0x65 } else { 0x41 }, 0x88, 0x84, 0x21]);
            self.frames()
        }

        fn frames(&mut self) -> Vec<Frame> {
            let mut frames = Vec::new();
            while let Read::Frames(batch) = self.reader.read(64) {
                frames.extend(batch.frames.iter().cloned());
            }
            frames
        }
    }

    /// They were passed over without a word, and taken for a sign of life.
    #[tokio::test]
    async fn packets_of_a_type_that_was_not_described_are_told_of_and_no_media() {
        let mut camera = Camera::new();
        for n in 0..3 {
            camera.packet_of(97, n * 3_000, true, &[0x65, 0x88]);
        }
        assert_eq!((camera.to_bus.refused(), camera.to_bus.problems().len()), (3, 1));
        camera.packet_of(20, 0, false, &[]);
        assert_eq!((camera.to_bus.refused(), camera.to_bus.problems().len()), (4, 0), "it only opens a way");
        assert_eq!(camera.picture(0, true).len(), 1);
        assert_eq!(camera.to_bus.refused(), 4);
    }

    /// All but the first were left out.
    #[tokio::test]
    async fn of_several_formats_of_a_track_the_first_packet_chooses() {
        for (payload_type, codec) in [(0, "G711U"), (8, "G711A")] {
            let format = |payload_type, encoding: &str| sdp::Format {
                payload_type,
                encoding: encoding.into(),
                clock_rate_hz: 8_000,
                channels: 1,
                ..Default::default()
            };
            let formats = vec![format(0, "PCMU"), format(8, "PCMA")];
            let media = Media { kind: "audio".into(), formats, unexplained: vec![13], ..Media::default() };
            let mut camera = Camera::of(media);
            camera.packet_of(8 - payload_type, 0, false, &[]);
            camera.to_bus.packet(0, false, Bytes::from(vec![0; 20])).unwrap();
            for n in 0..3 {
                camera.packet_of(payload_type, n * 160, false, &[0xd5; 160]);
            }
            assert_eq!(camera.frames().len(), 3);
            let tracks = camera.to_bus.publisher.log().tracks();
            assert_eq!(tracks.tracks.iter().map(|track| track.config.codec().name()).collect::<Vec<_>>(), [codec]);
            camera.packet_of(8 - payload_type, 480, false, &[0xd5; 160]);
            camera.packet_of(13, 640, false, &[0x40]);
            assert_eq!(camera.to_bus.refused(), 0, "the other one, and comfort noise, are left out without a word");
        }
    }

    fn telephone() -> Media {
        let format = sdp::Format { encoding: "PCMU".into(), clock_rate_hz: 8_000, channels: 1, ..Default::default() };
        Media { kind: "audio".into(), formats: vec![format], unexplained: vec![13], ..Media::default() }
    }

    /// What came behind it waited for its number, which was taken for a loss.
    #[tokio::test]
    async fn comfort_noise_between_packets_is_no_loss_and_costs_no_time() {
        let mut camera = Camera::of(telephone());
        for (payload_type, timestamp) in [(0, 0), (13, 160), (0, 320), (13, 480), (0, 640)] {
            camera.packet_of(payload_type, timestamp, false, &[0xd5; 160]);
        }
        assert_eq!(camera.frames().iter().map(|frame| frame.pts).collect::<Vec<_>>(), [0, 320, 640]);
        let receiver = &camera.to_bus.sources[0].as_ref().unwrap().receiver;
        assert_eq!((receiver.counts().lost, receiver.poll_timeout()), (0, None));
    }

    /// A camera that drops packets itself stood still for 200 ms at each.
    #[tokio::test]
    async fn what_is_missing_over_a_connection_is_not_waited_for() {
        for (lower, frames) in [(Lower::Tcp, 2), (Lower::Udp, 1)] {
            let mut camera = Camera::by(lower, telephone());
            camera.packet_of(0, 0, false, &[0xd5; 160]);
            camera.sequence += 1;
            camera.packet_of(0, 320, false, &[0xd5; 160]);
            assert_eq!(camera.frames().len(), frames, "{lower:?}");
        }
    }

    /// A relay that passes packets on in the order in which it got them: each swap cost a frame.
    #[tokio::test]
    async fn of_packets_that_come_swapped_over_a_connection_only_the_first_costs_a_frame() {
        let mut camera = Camera::by(Lower::Tcp, telephone());
        for sequence in [1_u16, 3, 2, 4, 6, 5, 8, 7, 9] {
            camera.sequence = sequence - 1;
            camera.packet_of(0, u32::from(sequence) * 160, false, &[0xd5; 160]);
        }
        assert_eq!(camera.frames().len(), 8);
    }

    /// The pictures behind it were one tick apart, and came 16 pictures late from then on.
    #[tokio::test]
    async fn a_clock_that_is_set_back_by_seconds_is_a_break_and_nothing_is_squeezed() {
        let mut camera = Camera::new();
        let begin = 900_000_u32;
        let before: Vec<_> = (0..300).flat_map(|n| camera.picture(begin + n * 3_000, n % 30 == 0)).collect();
        assert_eq!(before.len(), 300);
        assert!(before.iter().all(|frame| frame.pts == frame.dts));
        let again = begin + 300 * 3_000 - 3 * 90_000;
        let behind: Vec<_> = (0..90).flat_map(|n| camera.picture(again + n * 3_000, n % 30 == 0)).collect();
        assert_eq!(behind.len(), 90);
        let breaks = |frames: &[Frame]| frames.iter().map(Frame::is_discontinuity).collect::<Vec<_>>();
        assert!(breaks(&behind)[0] && !breaks(&behind)[1..].contains(&true), "{:?}", breaks(&behind));
        for pair in behind.windows(2) {
            assert_eq!((pair[1].dts - pair[0].dts, pair[1].pts), (3_000, pair[1].dts));
        }
    }
}
