//! Session descriptions (SDP, RFC 8866) as RTSP uses them (RFC 2326 §C).
//!
//! Read with patience: what a camera leaves out or gets wrong costs at most the line in which it stands.

mod read;
#[cfg(test)]
mod tests;
mod write;

/// What is described: a presentation and its tracks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// `s=`: a name for people; may be empty.
    pub name: String,
    /// `a=control` of the whole (RFC 2326 §C.1.1); empty where there is none.
    pub control: String,
    /// `a=range` (RFC 2326 §C.1.5); empty where there is none.
    pub range: String,
    /// The tracks, in their order.
    pub medias: Vec<Media>,
}

/// One track.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Media {
    /// `video`, `audio`, `application` …
    pub kind: String,
    /// 0 where RTSP says it later; of a group its port.
    pub port: u16,
    /// `RTP/AVP`, `RTP/SAVP` …
    pub protocol: String,
    /// What it may be in, best first.
    pub formats: Vec<Format>,
    /// Payload types of `m=` that nothing explains: comfort noise (13) and others of old.
    pub unexplained: Vec<u8>,
    /// `a=control`: its address, absolute or relative; empty where there is none.
    pub control: String,
    /// The address of a group, without the suffixes of `c=`; empty where there is none, or it is `0.0.0.0`.
    pub address: String,
    /// The direction that it flows in, as the one who describes it sees it.
    pub direction: Direction,
    /// `a=lang`; empty where there is none.
    pub language: String,
    /// `a=key-mgmt` (RFC 4567): the key of an encrypted track; empty where there is none. See [`keys`](super::keys).
    pub key_management: String,
    /// `a=crypto` (RFC 4568): the same in another way, best first.
    pub crypto: Vec<String>,
}

/// One payload format.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Format {
    /// The payload type of its packets.
    pub payload_type: u8,
    /// As registered: `H264`, `MPEG4-GENERIC`. As it was written, so of any case.
    pub encoding: String,
    /// Ticks per second of its timestamps; never 0.
    pub clock_rate_hz: u32,
    /// Channels of sound; 0 where nobody said.
    pub channels: u8,
    /// `a=fmtp` without its payload type; empty where there is none.
    pub parameters: String,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Nobody has said.
    #[default]
    Unsaid,
    /// Whoever describes it: what a camera shows.
    SendOnly,
    /// The other one: a back channel.
    RecvOnly,
    /// Both.
    SendRecv,
    /// Nobody.
    Inactive,
}

impl Media {
    /// The best of its formats.
    pub fn format(&self) -> Option<&Format> {
        self.formats.first()
    }

    /// Whether its packets may be of this payload type, which need not be one that can be read.
    pub fn has_type(&self, payload_type: u8) -> bool {
        let mut types = self.formats.iter().map(|format| format.payload_type).chain(self.unexplained.iter().copied());
        types.any(|described| described == payload_type)
    }
}

impl Format {
    /// What stands behind the payload type in `a=rtpmap`: `H264/90000`, `opus/48000/2`.
    pub fn rtpmap(&self) -> String {
        let channels = if self.channels > 1 { format!("/{}", self.channels) } else { String::new() };
        format!("{}/{}{channels}", self.encoding, self.clock_rate_hz)
    }
}

/// Payload types that mean something by themselves (RFC 3551 §6): encoding, clock rate, channels.
fn of_static_type(payload_type: u8) -> Option<(&'static str, u32, u8)> {
    Some(match payload_type {
        0 => ("PCMU", 8000, 1),
        3 => ("GSM", 8000, 1),
        4 => ("G723", 8000, 1),
        8 => ("PCMA", 8000, 1),
        // 8000 although it is sampled at 16 000: an error of RFC 1890 that is kept (RFC 3551 §4.5.2).
        9 => ("G722", 8000, 1),
        10 => ("L16", 44_100, 2),
        11 => ("L16", 44_100, 1),
        14 => ("MPA", 90_000, 0),
        18 => ("G729", 8000, 1),
        26 => ("JPEG", 90_000, 0),
        32 => ("MPV", 90_000, 0),
        33 => ("MP2T", 90_000, 0),
        34 => ("H263", 90_000, 0),
        _ => return None,
    })
}
