//! The back channel of a camera (ONVIF Streaming Specification §5.3): what somebody here says is heard there.

use std::sync::{Arc, Mutex};

use arcly_bus::{Log, Read, Subscription, TrackSet, WakeSlot};
use arcly_codec::MediaKind;
use arcly_wire::rtsp::sdp::{Direction, Media};

use super::{
    channels::split,
    client::{Client, FILL_BYTES},
    packets::Packets,
    tracks::outgoing,
};
use crate::{bell::Bell, egress::Format, lock};

/// What is said over a pull: the sound of a stream, or nothing.
#[derive(Default)]
pub struct Talk {
    log: Mutex<Option<Arc<Log>>>,
    bell: Arc<Bell>,
}

impl Talk {
    /// Says the sound of this stream from now on, in the place of another one; none: nothing.
    pub fn say(&self, log: Option<Arc<Log>>) {
        *lock(&self.log) = log;
        self.bell.ring();
    }

    /// Says this stream no more; another one that has taken its place goes on.
    fn hush(&self, ended: &Arc<Log>) {
        lock(&self.log).take_if(|log| Arc::ptr_eq(log, ended));
        self.bell.ring();
    }

    fn log(&self) -> Option<Arc<Log>> {
        lock(&self.log).clone()
    }
}

/// The back channel of one connection.
pub(super) struct Talking {
    talk: Arc<Talk>,
    /// Its place in the description.
    media: usize,
    /// What the remote understands.
    offered: Media,
    voice: Option<Voice>,
    /// One sender, whatever is said: a remote tells few of them apart.
    packets: Packets,
}

/// A stream that is said.
struct Voice {
    log: Arc<Log>,
    cursor: Subscription,
    slot: WakeSlot,
    revision: Option<u32>,
    is_understood: bool,
}

/// The place of the back channel in a description, where there is one.
pub(super) fn back_channel(medias: &[Media]) -> Option<usize> {
    // Marked as the client sees it; what comes to us has the opposite mark, or none.
    medias.iter().position(|media| media.kind == "audio" && media.direction == Direction::SendOnly)
}

impl Talking {
    pub(super) fn new(talk: Arc<Talk>, media: usize, offered: Media) -> Self {
        Self { talk, media, offered, voice: None, packets: Packets::new() }
    }

    /// Its place in the description.
    pub(super) fn media(&self) -> usize {
        self.media
    }

    /// Rung when there may be something to say.
    pub(super) fn bell(&self) -> Arc<Bell> {
        self.talk.bell.clone()
    }

    /// Says what there is to say; a problem that was not told yet.
    pub(super) fn speak(&mut self, client: &mut Client) -> Option<String> {
        let log = self.talk.log();
        if !log.as_ref().zip(self.voice.as_ref()).is_some_and(|(log, voice)| Arc::ptr_eq(log, &voice.log)) {
            self.voice = log.map(|log| Voice::new(log, &self.talk.bell));
        }
        let mut problem = None;
        let (mut buffer, media) = (Vec::new(), self.media);
        while let Some(voice) = &mut self.voice {
            if client.waiting_bytes() >= FILL_BYTES {
                // What was said long ago is of no use to a remote that reads slowly.
                voice.cursor.skip_ahead();
                break;
            }
            voice.slot.arm();
            let (frames, tracks) = match voice.cursor.read(1) {
                Read::Frames(batch) => (batch.frames.to_vec(), batch.tracks.clone()),
                Read::Empty => break,
                Read::Ended | Read::Evicted => {
                    self.talk.hush(&voice.log);
                    self.voice = None;
                    break;
                }
            };
            if voice.revision.replace(tracks.revision) != Some(tracks.revision) {
                problem = voice.configure(&mut self.packets, &tracks, &self.offered).err().or(problem);
            }
            for frame in frames.iter().filter(|_| voice.is_understood) {
                buffer.clear();
                let _ = self.packets.put(frame, &mut buffer);
                split(&buffer).for_each(|(channel, packet)| client.put(media, channel % 2 == 1, packet));
            }
        }
        client.send();
        problem
    }
}

impl Voice {
    fn new(log: Arc<Log>, bell: &Arc<Bell>) -> Self {
        let slot = WakeSlot::new(&log, std::task::Waker::from(bell.clone()));
        let mut cursor = log.tap();
        // Nobody wants to hear what was said before.
        cursor.skip_ahead();
        Self { log, cursor, slot, revision: None, is_understood: false }
    }

    /// Takes the first sound that the remote understands as it is: nothing is transcoded here.
    fn configure(&mut self, packets: &mut Packets, tracks: &TrackSet, offered: &Media) -> Result<(), String> {
        let sound = tracks.tracks.iter().filter(|track| track.config.kind() == MediaKind::Audio);
        let understood = |tracks: &TrackSet| {
            outgoing(tracks).first().is_some_and(|ours| {
                let known = |format: &arcly_wire::rtsp::sdp::Format| {
                    format.payload_type == ours.format.payload_type
                        && format.encoding.eq_ignore_ascii_case(ours.format.encoding.name())
                };
                offered.formats.iter().any(known)
            })
        };
        let single = |track: &arcly_bus::Track| TrackSet { tracks: vec![track.clone()], ..tracks.clone() };
        let chosen = sound.map(single).find(understood);
        self.is_understood = chosen.as_ref().is_some_and(|tracks| packets.configure(tracks).is_ok());
        if self.is_understood {
            return Ok(());
        }
        let known: Vec<String> = offered.formats.iter().take(8).map(|format| format.rtpmap()).collect();
        Err(format!("the back channel takes {} and nothing of this stream is that", known.join(", ")))
    }
}
