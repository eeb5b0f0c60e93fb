//! The transport stream of one publisher to frames of the bus.

use std::{net::SocketAddr, sync::Arc};

use arcly_bus::{BusError, Publisher};
use arcly_pack::{
    Item,
    container::{Container, ContainerDemuxer},
    mpegts::GROUP_BYTES,
};
use arcly_wire::srt::Delivery;

use crate::{
    Inbox,
    faults::{ENDED_HERE, Problems},
};

pub(super) struct ToBus {
    demuxer: ContainerDemuxer,
    publisher: Publisher,
    frames: u64,
    peer: SocketAddr,
    inbox: Arc<Inbox>,
    problems: Problems,
    /// Streams that cannot be read and that were told of.
    unread: usize,
}

impl ToBus {
    pub(super) fn new(publisher: Publisher, peer: SocketAddr, inbox: Arc<Inbox>) -> Self {
        let demuxer = ContainerDemuxer::new(Container::MpegTs, None);
        Self { demuxer, publisher, frames: 0, peer, inbox, problems: Problems::default(), unread: 0 }
    }

    /// Takes a packet. An error ends the publish and is its reason.
    pub(super) fn push(&mut self, delivery: &Delivery<'_>) -> Result<(), String> {
        // A packet has no more than a group of them (SRT §3.1).
        self.demuxer.lose(usize::try_from(delivery.lost_before).unwrap_or(usize::MAX).saturating_mul(GROUP_BYTES));
        self.demuxer.push(delivery.payload).map_err(|error| error.to_string())?;
        self.publish()
    }

    fn publish(&mut self) -> Result<(), String> {
        while let Some(item) = self.demuxer.poll() {
            let outcome = match item {
                Item::Tracks(tracks) => self.publisher.set_tracks(tracks),
                Item::Frame(frame) => {
                    self.frames += 1;
                    self.publisher.publish(frame)
                }
                Item::EndOfSequence => Ok(()),
            };
            match outcome {
                Ok(()) => {}
                Err(BusError::Closed) => return Err(ENDED_HERE.into()),
                Err(error) => self.problems.tell(error.to_string()),
            }
        }
        let unread = self.demuxer.unread();
        for stream in unread.get(self.unread..).unwrap_or_default() {
            self.problems.tell(format!("{stream}: this track is left out"));
        }
        self.unread = unread.len();
        self.problems.take().iter().for_each(|problem| self.inbox.warn(format!("{}: {problem}", self.peer)));
        Ok(())
    }

    /// Frames published so far.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Publishes what was incomplete, and leaves the stream to its next sender.
    pub(super) fn into_publisher(mut self) -> Publisher {
        self.finish();
        self.publisher
    }

    /// Whether the stream was ended by somebody else.
    pub(super) fn is_closed(&self) -> bool {
        self.publisher.log().is_closed()
    }

    fn finish(&mut self) {
        // What is wrong with the rest of it is no news: it was cut off.
        let _ = self.demuxer.finish();
        let _ = self.publish();
    }

    /// Ends the stream.
    pub(super) fn end(mut self, reason: String) {
        self.finish();
        self.publisher.end(reason);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use arcly_bus::{Frame, FrameFlags, LogBounds, LogWriter, Read, Track, TrackId, TrackSet};
    use arcly_codec::{Codec, CodecConfig};
    use arcly_pack::mpegts::TsMuxer;
    use arcly_wire::srt::Position;
    use bytes::Bytes;

    use super::*;
    use crate::{Notice, egress::tests::AVCC, ts_udp::tests::mpeg_2_tables};

    fn picture(n: u8) -> Frame {
        let unit = [&[if n == 0 { 0x65 } else { 0x41 }][..], &[n + 1; 60_000]].concat();
        let payload = [&(unit.len() as u32).to_be_bytes()[..], &unit].concat().into();
        let (flags, dts) = (if n == 0 { FrameFlags::KEY } else { FrameFlags::NONE }, i64::from(n) * 3_600);
        Frame { track: TrackId(0), flags, pts: dts, dts, duration: 3_600, payload }
    }

    /// It vanished: the log named the tracks that were there, and not that one was not.
    #[test]
    fn a_stream_that_cannot_be_read_is_told_of_once() {
        let here = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
        let inbox = Inbox::new(Waker::noop().clone());
        let mut to_bus = ToBus::new(here, "192.0.2.1:5050".parse().unwrap(), inbox.clone());
        let payload = &mpeg_2_tables();
        (0..3).for_each(|_| to_bus.push(&Delivery { payload, position: Position::Solo, lost_before: 0 }).unwrap());
        let said = std::iter::from_fn(|| inbox.pop()).map(|notice| match notice {
            Notice::Warning(text) => text,
            _ => panic!("a warning"),
        });
        let expected = "unsupported MPEG-2 video (stream type 0x02) at PID 0x100: this track is left out";
        assert_eq!(said.collect::<Vec<_>>(), [format!("192.0.2.1:5050: {expected}")]);
    }

    /// They are 112 packets of the stream, 7 times 16: by its counters, none. The picture came out without its middle.
    #[test]
    fn a_picture_that_misses_sixteen_packets_is_left_out() {
        let config = CodecConfig::parse(Codec::H264, Bytes::from_static(&AVCC)).unwrap();
        let tracks = TrackSet { revision: 1, tracks: vec![Track::new(TrackId(0), config)] };
        let (mut muxer, mut packets) = (TsMuxer::new(&tracks).unwrap(), Vec::new());
        (0..4).for_each(|n| muxer.write(&picture(n), &mut packets).unwrap());
        let here = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
        let mut got = here.log().tap();
        let mut to_bus = ToBus::new(here, "192.0.2.1:5050".parse().unwrap(), Inbox::new(Waker::noop().clone()));
        // The first picture has 47 of them.
        for (n, payload) in packets.chunks(GROUP_BYTES).enumerate().filter(|(n, _)| !(60..76).contains(n)) {
            let lost_before = if n == 76 { 16 } else { 0 };
            to_bus.push(&Delivery { payload, position: Position::Solo, lost_before }).unwrap();
        }
        to_bus.end("it is over".into());
        let mut seen = Vec::new();
        while let Read::Frames(batch) = got.read(64) {
            seen.extend(
                batch
                    .frames
                    .iter()
                    .map(|frame| (frame.payload.len(), frame.payload.last().copied(), frame.is_discontinuity())),
            );
        }
        assert_eq!(seen, [(60_005, Some(1), false), (60_005, Some(3), true), (60_005, Some(4), false)]);
    }
}
