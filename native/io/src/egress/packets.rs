//! The log of packets: what a stream is in one format, as immutable bytes. It is made of the same ring as the log of frames; a packet has
//! the time, the track and the mark of a key picture of the frame it is made of.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use arcly_bus::{Log, LogBounds, LogWriter, Read, Subscription, SubscriptionOptions, TrackSet};
use bytes::Bytes;

use super::{
    Container, Framing,
    format::{Format, Headers},
    line::Wants,
    packet::{Draft, Packet},
};
use crate::lock;

/// Headers of earlier configurations that viewers may still come to: as many changes as a log can hold.
const HEADERS_MAX: usize = 64;

/// Frames muxed at once.
const BATCH_FRAMES: usize = 64;

/// The packets of one stream in one format.
pub(crate) struct PacketLog {
    log: Arc<Log<Packet>>,
    /// What viewers need in front of packets, by the revision of the tracks of these packets.
    headers: Mutex<VecDeque<Header>>,
    pub(crate) framing: Framing,
}

impl PacketLog {
    pub(crate) fn log(&self) -> &Arc<Log<Packet>> {
        &self.log
    }

    /// A cursor that begins at the newest key picture.
    pub(crate) fn join(&self) -> Subscription<Packet> {
        // Viewers are counted in the log of frames.
        self.log.subscribe_with(SubscriptionOptions { is_viewer: false, ..SubscriptionOptions::default() })
    }

    /// The same, for what is wanted of the tracks that there are.
    pub(crate) fn join_for(&self, wants: Wants) -> Subscription<Packet> {
        let tracks = wants.filter(&self.log.tracks());
        self.log.subscribe_with(SubscriptionOptions { is_viewer: false, tracks, ..SubscriptionOptions::default() })
    }

    /// Has `cursor` read what is wanted of the tracks that there are now. It stays where it is.
    pub(crate) fn choose(&self, cursor: &mut Subscription<Packet>, wants: Wants) {
        cursor.set_tracks(wants.filter(&self.log.tracks()));
    }

    /// What a viewer needs whose next packet is under these tracks and is its first, or follows a gap.
    pub(crate) fn header(&self, revision: u32, is_first: bool) -> Bytes {
        let headers = lock(&self.headers);
        let header = headers.iter().find(|header| header.revision == revision);
        header.map(|header| if is_first { &header.first } else { &header.again }).cloned().unwrap_or_default()
    }

    fn put_header(&self, revision: u32, headers: &Headers) {
        let wrap = |bytes| self.framing.wrap(bytes).to_bytes();
        let header = Header { revision, first: wrap(&headers.first), again: wrap(&headers.again) };
        let mut headers = lock(&self.headers);
        if headers.len() == HEADERS_MAX {
            headers.pop_front();
        }
        headers.push_back(header);
    }
}

struct Header {
    revision: u32,
    first: Bytes,
    again: Bytes,
}

/// Fills a log of packets from a log of frames. Dropping it ends the packets for their viewers.
pub(crate) struct PacketWriter {
    source: Subscription,
    container: Container,
    format: Box<dyn Format>,
    writer: LogWriter<Packet>,
    packets: Arc<PacketLog>,
    /// Revision of the tracks of the source that the format was told of.
    configured: Option<u32>,
    /// Something was written: there may be viewers who hold to it.
    has_begun: bool,
    has_ended: bool,
}

/// What the source had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fed {
    /// Nothing more by now.
    Everything,
    /// Nothing more for ever.
    Ended,
}

impl PacketWriter {
    /// Begins at the newest key picture of `source`.
    pub(crate) fn new(source: &Arc<Log>, container: Container, framing: Framing) -> Self {
        let bounds = source.bounds();
        // A container adds to the payload: TS some percent, and to small frames much more.
        let roomier = |bytes: usize| bytes.saturating_add(bytes / 4);
        let gop_bytes = bounds.gop_bytes.map(roomier);
        // Who is further behind than half of what the log of frames keeps has long been moved on; the present GOP is kept anyhow.
        let (frames, gop_frames) = (bounds.frames.div_ceil(2), Some(bounds.gop_frames.unwrap_or(bounds.frames)));
        let bounds = LogBounds { frames, bytes: roomier(bounds.bytes), gop_frames, gop_bytes, ..bounds };
        let writer = LogWriter::of_entries(bounds, source.observer());
        let packets = Arc::new(PacketLog { log: writer.log().clone(), headers: Mutex::default(), framing });
        let (source, format) = (source.tap(), container.format());
        Self { source, container, format, writer, packets, configured: None, has_begun: false, has_ended: false }
    }

    pub(crate) fn packets(&self) -> &Arc<PacketLog> {
        &self.packets
    }

    /// Whether more frames wait than were fed.
    pub(crate) fn has_news(&mut self) -> bool {
        self.source.is_ready()
    }

    /// Writes the packets of all frames that wait.
    pub(crate) fn feed(&mut self) -> Fed {
        let framing = self.packets.framing;
        while !self.has_ended {
            let newest = (!self.has_begun).then(|| self.source.log().tracks());
            match self.source.read(BATCH_FRAMES) {
                Read::Frames(batch) => {
                    let is_other = self.configured.is_some_and(|revision| revision != batch.tracks.revision);
                    if is_other && !self.format.can_go_on(batch.tracks, framing) {
                        if self.has_begun {
                            self.say_goodbye();
                            break;
                        }
                        self.format = self.container.format();
                    }
                    if self.configured != Some(batch.tracks.revision) {
                        self.configured = Some(batch.tracks.revision);
                        // Without a track that can be carried nothing is written, until others come.
                        let headers = self.format.configure(batch.tracks).unwrap_or_default();
                        if self.writer.set_tracks(self.format.carried(batch.tracks)).is_err() {
                            return Fed::Ended;
                        }
                        self.packets.put_header(self.writer.tracks().revision, &headers);
                    }
                    // Whoever begins in front of a change that is an end would be ended by it, and come again, up to the next key picture.
                    let is_past = |newest: Arc<TrackSet>| {
                        newest.revision != batch.tracks.revision && !self.format.can_go_on(&newest, framing)
                    };
                    if newest.is_some_and(is_past) {
                        continue;
                    }
                    self.has_begun = true;
                    let mut frames = batch.frames;
                    while let Some((frame, later)) = frames.split_first() {
                        frames = later;
                        let mut draft = Draft::new(framing.head_bytes(), self.format.own_bytes(frame.payload.len()));
                        // A frame that this container cannot hold is left out: the stream goes on.
                        let written = self.format.write(frame, later, &mut draft).map(|()| framing.close(draft));
                        if let Some(pieces) = written.ok().filter(|pieces| !pieces.is_empty()) {
                            let _ = self.writer.publish(Packet::new(frame, pieces));
                        }
                    }
                }
                Read::Empty => return Fed::Everything,
                Read::Ended | Read::Evicted => self.say_goodbye(),
            }
        }
        Fed::Ended
    }

    fn say_goodbye(&mut self) {
        self.has_ended = true;
        for frame in self.format.end() {
            let pieces = self.packets.framing.wrap(&frame.payload);
            let _ = self.writer.publish(Packet::new(&frame, pieces));
        }
    }
}

#[cfg(test)]
mod tests {
    use arcly_bus::{Entry, Frame, FrameFlags, Track, TrackId};
    use arcly_codec::{Codec, CodecConfig};
    use arcly_pack::flv::{FlvMuxer, TagRole};
    use arcly_wire::rtmp;
    use bytes::BufMut;

    use super::{
        super::tests::{AVCC, log_of_pictures, log_of_unknown_pictures, publish_pictures, publish_unknown_pictures},
        *,
    };

    /// Below what is shared, at it, and one chunk of RTMP and more, with the header of five bytes.
    const PAYLOAD_BYTES: [usize; 7] = [1, 1023, 1024, 9000, 65_531, 65_532, 300_000];

    fn picture(n: usize, payload: Bytes) -> Frame {
        let dts = 90 * 40 * n as i64;
        Frame { track: TrackId(0), flags: FrameFlags::KEY, pts: dts + 3600, dts, duration: 3600, payload }
    }

    /// What the tags of a frame are in one piece.
    fn in_one_piece(muxer: &mut FlvMuxer, container: Container, framing: Framing, frame: &Frame) -> Bytes {
        let (mut tags, mut all) = (Vec::new(), Vec::new());
        muxer.write(frame, &mut tags).unwrap();
        // The first has the headers in front of it, which viewers get apart.
        for tag in tags.iter().filter(|tag| tag.role == TagRole::KeyFrame) {
            if container == Container::Flv {
                tag.write(&mut all);
            } else {
                all.put(rtmp::egress::chunked(rtmp::MediaKind::Video, tag.timestamp_ms, tag.header(), &tag.payload));
            }
        }
        framing.wrap(&all).to_bytes()
    }

    #[test]
    fn a_payload_that_is_not_copied_is_sent_as_if_it_were() {
        let cases = [
            (Container::Flv, Framing::Bare),
            (Container::Flv, Framing::Chunked),
            (Container::Flv, Framing::WebSocket),
            (Container::Rtmp, Framing::Bare),
            (Container::Rtmp, Framing::MessageStream(3)),
        ];
        let config = CodecConfig::parse(Codec::H264, Bytes::from_static(&AVCC)).unwrap();
        for (container, framing) in cases {
            let mut source = LogWriter::new(LogBounds::default(), Arc::new(()));
            source.set_tracks(vec![Track::new(TrackId(0), config.clone())]).unwrap();
            let mut muxer = FlvMuxer::default();
            muxer.reconfigure(source.tracks());
            let mut writer = PacketWriter::new(source.log(), container, framing);
            let frames: Vec<_> =
                PAYLOAD_BYTES.iter().enumerate().map(|(n, &bytes)| picture(n, vec![n as u8; bytes].into())).collect();
            frames.iter().for_each(|frame| assert!(source.publish(frame.clone()).is_ok()));
            let mut cursor = writer.packets().log().tap();
            assert_eq!(writer.feed(), Fed::Everything);
            for frame in &frames {
                let expected = in_one_piece(&mut muxer, container, framing, frame);
                let Read::Frames(batch) = cursor.read(1) else { panic!("a packet for each frame") };
                let pieces = &batch.frames[0].pieces;
                assert_eq!(pieces.to_bytes(), expected, "{container:?} {framing:?} {}", frame.payload.len());
                let is_there = pieces.parts()[1].as_ptr() == frame.payload.as_ptr();
                let fits = container == Container::Flv || frame.payload.len() <= 65_531;
                assert_eq!(is_there, frame.payload.len() >= 1024 && fits, "{container:?} {}", frame.payload.len());
            }
        }
    }

    /// Found by reading: viewers waited for ever for a key picture of a track that was left out, and no sound reached them.
    #[test]
    fn who_gets_sound_alone_because_the_pictures_have_no_place_waits_for_no_picture() {
        let mut source = log_of_unknown_pictures();
        let mut writer = PacketWriter::new(source.log(), Container::Ts, Framing::Bare);
        publish_unknown_pictures(&mut source, 0..3);
        assert_eq!(writer.feed(), Fed::Everything);
        let mut viewer = writer.packets().join();
        let Read::Frames(batch) = viewer.read(1) else { panic!("sound") };
        assert_eq!(batch.frames[0].frame().track, TrackId(1));
    }

    /// Found by reading: mpegts.js gives up at the first tag of a second track of a kind, and FFmpeg 5 finds streams that are none.
    #[test]
    fn a_second_track_of_a_kind_is_for_who_asks_for_all_tracks() {
        let sound = CodecConfig::parse(Codec::Aac, Bytes::from_static(&[0x11, 0x90])).unwrap();
        let mut source = log_of_pictures(LogBounds::default());
        let pictures = source.tracks().tracks[0].clone();
        let sounds = [1, 2].map(|id| Track::new(TrackId(id), sound.clone()));
        source.set_tracks([&[pictures][..], &sounds].concat()).unwrap();
        publish_pictures(&mut source, 0..3);
        for track in [TrackId(1), TrackId(2)] {
            let payload = Bytes::from_static(&[0x21; 4]);
            source.publish(Frame { track, flags: FrameFlags::NONE, pts: 0, dts: 0, duration: 1024, payload }).unwrap();
        }
        for (container, head_bytes) in [(Container::Flv, 11), (Container::Rtmp, 12)] {
            for (container, expected) in [(container, vec![0, 1]), (container.with_all_tracks(), vec![0, 1, 2])] {
                let mut writer = PacketWriter::new(source.log(), container, Framing::Bare);
                let mut cursor = writer.packets().log().tap();
                assert_eq!(writer.feed(), Fed::Everything);
                let ids: Vec<_> = writer.packets().log().tracks().tracks.iter().map(|track| track.id.0).collect();
                assert_eq!(ids, expected, "{container:?}");
                let header = writer.packets().header(writer.writer.tracks().revision, true);
                let mut has_multitrack = header.windows(6).any(|bytes| bytes == [0x95, 0, b'm', b'p', b'4', b'a']);
                assert_eq!(has_multitrack, ids.len() > 2, "{container:?}: its header");
                has_multitrack = false;
                while let Read::Frames(batch) = cursor.read(1) {
                    has_multitrack |= batch.frames[0].pieces.to_bytes()[head_bytes] == 0x95;
                }
                assert_eq!(has_multitrack, ids.len() > 2, "{container:?}: its frames");
            }
        }
    }

    /// Found by reading: they went on behind a second `moov`, which FFmpeg and browsers pass over, and Media Source Extensions refuse where
    /// it has other tracks.
    #[test]
    fn mp4_goes_on_for_whom_the_next_init_segment_is_one() {
        let mut level = AVCC;
        (level[3], level[11]) = (0x0d, 0x0d);
        let picture_of = |avcc: &[u8]| CodecConfig::parse(Codec::H264, Bytes::copy_from_slice(avcc)).unwrap();
        let video = |avcc: &[u8]| Track::new(TrackId(0), picture_of(avcc));
        let sound = CodecConfig::parse(Codec::Aac, Bytes::from_static(&[0x11, 0x90])).unwrap();
        let feed_all = |framing, changes: [Vec<Track>; 2]| {
            let mut source = log_of_pictures(LogBounds::default());
            let mut writer = PacketWriter::new(source.log(), Container::Mp4, framing);
            publish_pictures(&mut source, 0..30);
            for (second, tracks) in changes.into_iter().enumerate() {
                assert_eq!(writer.feed(), Fed::Everything);
                source.set_tracks(tracks).unwrap();
                let from = 30 + 30 * second as i64;
                publish_pictures(&mut source, from..from + 30);
            }
            writer.feed()
        };
        let (same, other) = (vec![video(&AVCC)], vec![video(&level)]);
        let more = vec![video(&AVCC), Track::new(TrackId(1), sound)];
        assert_eq!(feed_all(Framing::Chunked, [same.clone(), same.clone()]), Fed::Everything);
        assert_eq!(feed_all(Framing::Chunked, [same.clone(), other.clone()]), Fed::Ended);
        assert_eq!(feed_all(Framing::WebSocket, [same.clone(), other.clone()]), Fed::Everything);
        assert_eq!(feed_all(Framing::WebSocket, [other, more]), Fed::Ended);
    }

    /// Publishes pictures that do not say how long they last, and gives when each fragment of them is decoded and how long it lasts; `at_once`:
    /// they were there before the first viewer came.
    fn fragments_of(pictures: &[(FrameFlags, i64, i64)], at_once: bool) -> Vec<(u64, u32)> {
        fragments_behind(pictures, if at_once { pictures.len() } else { 0 })
    }

    /// The same, where so many of them were there before.
    fn fragments_behind(pictures: &[(FrameFlags, i64, i64)], cached: usize) -> Vec<(u64, u32)> {
        let mut source = log_of_pictures(LogBounds::default());
        let mut tracks = source.tracks().tracks.clone();
        if let CodecConfig::H264(config) = &mut tracks[0].config {
            config.info.frame_rate = None;
        }
        source.set_tracks(tracks).unwrap();
        let mut writer = PacketWriter::new(source.log(), Container::Mp4, Framing::Bare);
        let mut cursor = writer.packets().log().tap();
        for (n, &(flags, dts, pts)) in pictures.iter().enumerate() {
            let payload = Bytes::from_static(&[0, 0, 0, 1, 0x65]);
            source.publish(Frame { track: TrackId(0), flags, pts, dts, duration: 0, payload }).unwrap();
            if n + 1 >= cached {
                writer.feed();
            }
        }
        writer.feed();
        let mut fragments = Vec::new();
        while let Read::Frames(batch) = cursor.read(1) {
            let bytes = batch.frames[0].pieces.to_bytes();
            let behind = |name: &[u8; 4]| bytes.windows(4).position(|four| four == name).unwrap() + 4;
            let (decoded, header) = (behind(b"tfdt"), behind(b"tfhd"));
            assert_eq!(bytes[header + 3] & 8, 8, "the duration is in the header");
            fragments.push((
                u64::from_be_bytes(bytes[decoded + 4..decoded + 12].try_into().unwrap()),
                u32::from_be_bytes(bytes[header + 8..header + 12].try_into().unwrap()),
            ));
        }
        fragments
    }

    /// `count` pictures that come so many ticks apart, the first of them a key picture.
    fn pictures(count: i64, step: i64) -> Vec<(FrameFlags, i64, i64)> {
        let flags = |n| if n == 0 { FrameFlags::KEY } else { FrameFlags::NONE };
        (0..count).map(|n| (flags(n), n * step, n * step)).collect()
    }

    /// Found by reading: each was said to last a thirtieth of a second, and Media Source Extensions take what comes later than twice that for
    /// a break, behind which only a key picture goes on.
    #[test]
    fn fragments_of_slow_pictures_last_until_the_next_one() {
        let durations = |pictures: &[_], at_once| fragments_of(pictures, at_once).into_iter().map(|(_, ticks)| ticks);
        let slow: Vec<_> = durations(&pictures(20, 9_000), false).collect();
        assert!(slow[1..].iter().all(|ticks| *ticks == 9_000), "{slow:?}");
        assert!(durations(&pictures(20, 9_000), true).all(|ticks| ticks == 9_000), "who comes first has them, too");
        assert!(durations(&pictures(20, 3_000), false).all(|ticks| ticks == 3_000));
    }

    #[test]
    fn behind_a_lost_picture_the_next_ones_that_are_lost_are_no_break() {
        let kept: Vec<_> =
            pictures(40, 3_600).into_iter().enumerate().filter(|(n, _)| ![10, 13, 14].contains(n)).collect();
        let kept: Vec<_> = kept.into_iter().map(|(_, picture)| picture).collect();
        let fragments = fragments_of(&kept, false);
        let is_break = |pair: &[(u64, u32)]| pair[1].0 - pair[0].0 > 2 * u64::from(pair[0].1);
        assert!(!fragments.windows(2).any(is_break), "{fragments:?}");
        assert!(fragments.last().unwrap().1 <= 3_700, "and they are forgotten: {fragments:?}");
    }

    /// Found by review: what was known to last eight seconds was remembered as it was, and the next pictures lasted seven, six, and so on.
    #[test]
    fn behind_a_gap_pictures_last_a_second_at_most() {
        let mut pictures = pictures(20, 3_600);
        pictures[10..].iter_mut().for_each(|(_, dts, pts)| (*dts, *pts) = (*dts + 720_000, *pts + 720_000));
        let fragments = fragments_behind(&pictures, 11);
        assert_eq!(fragments[9].1, 723_600, "the next one is there");
        assert!(fragments[10..].iter().all(|(_, ticks)| *ticks <= 90_000), "{fragments:?}");
    }

    /// Found by reading: they fell to 0, and players waited as long as the stream had run.
    #[test]
    fn fragments_go_on_behind_the_last_where_the_sender_goes_back() {
        let fragments = fragments_of(&[pictures(60, 3_000), pictures(60, 3_000)].concat(), false);
        assert_eq!(fragments.len(), 120);
        let steps: Vec<_> = fragments.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0)).collect();
        assert!(steps.iter().all(|step| (2_900..3_100).contains(step)), "{steps:?}");
    }

    /// Found by reading: the key picture was left out, and who watches the first group of pictures saw nothing of it.
    #[test]
    fn a_key_picture_that_is_decoded_before_0_has_its_fragment() {
        for first_dts in [-7_200, -7_245, -1] {
            let moved = |(flags, dts, pts): (FrameFlags, i64, i64)| (flags, dts + first_dts, pts);
            let fragments = fragments_of(&pictures(20, 3_600).into_iter().map(moved).collect::<Vec<_>>(), true);
            assert_eq!(fragments.len(), 20, "{first_dts}");
            assert!(fragments[0].0 <= 180 && fragments[19].0 == fragments[0].0 + 19 * 3_600, "{fragments:?}");
        }
    }

    /// Found by reading: whoever came again behind such a change, and in front of the next key picture, got the end of what was before it.
    #[test]
    fn who_comes_behind_a_change_that_is_an_end_waits_for_the_next_key_picture() {
        let mut source = log_of_pictures(LogBounds::default());
        publish_pictures(&mut source, 0..10);
        let sound = CodecConfig::parse(Codec::Aac, Bytes::from_static(&[0x11, 0x90])).unwrap();
        let pictures = source.tracks().tracks[0].clone();
        source.set_tracks(vec![pictures, Track::new(TrackId(1), sound)]).unwrap();
        publish_pictures(&mut source, 10..20);
        let mut writer = PacketWriter::new(source.log(), Container::Mp4, Framing::Chunked);
        assert_eq!(writer.feed(), Fed::Everything);
        let mut viewer = writer.packets().join();
        assert!(matches!(viewer.read(1), Read::Empty));
        publish_pictures(&mut source, 20..40);
        assert_eq!(writer.feed(), Fed::Everything);
        let Read::Frames(batch) = viewer.read(1) else { panic!("a key picture") };
        assert_eq!((batch.frames[0].frame().dts, batch.tracks.tracks.len()), (90_000, 2));
    }
}
