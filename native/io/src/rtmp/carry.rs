//! What of a stream a remote can be sent, and in which form.

use arcly_bus::{Track, TrackId, TrackSet};
use arcly_codec::MediaKind;
use arcly_pack::flv::{Dialect, FlvMuxer, four_cc};
use arcly_wire::rtmp::Capabilities;

/// What a remote is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) tracks: TrackSet,
    pub(super) left_out: Vec<TrackId>,
}

/// Which forms a remote takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Takes {
    /// Those from before Enhanced RTMP.
    Plain,
    /// Also those codecs by FourCC, and more than one track of a kind, that it has named in its answer to `connect`.
    Offered(Capabilities),
    /// Everything, whatever it has said.
    All,
}

impl Takes {
    /// What a remote with these capabilities is sent; `enhanced` overrules them.
    pub(super) fn of(capabilities: Capabilities, enhanced: Option<bool>) -> Self {
        match enhanced {
            Some(true) => Self::All,
            Some(false) => Self::Plain,
            None if capabilities == Capabilities::default() => Self::Plain,
            None => Self::Offered(capabilities),
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        if *self == Self::Plain { Dialect::ClassicOnly } else { Dialect::Classic }
    }

    /// The tracks that can be sent. Those of one kind are numbered as they come, and the first has the plain form.
    pub(super) fn carried(&self, tracks: &TrackSet) -> Carried {
        let mut carried =
            Carried { tracks: TrackSet { revision: tracks.revision, tracks: Vec::new() }, left_out: Vec::new() };
        for track in &tracks.tracks {
            let is_first = carried.tracks.tracks.iter().all(|other| other.kind() != track.kind());
            if self.takes(track, is_first) {
                carried.tracks.tracks.push(track.clone());
            } else {
                carried.left_out.push(track.id);
            }
        }
        carried
    }

    fn takes(&self, track: &Track, is_first: bool) -> bool {
        let is_plain = || is_first && FlvMuxer::supports(track, Dialect::ClassicOnly).is_ok();
        let has_four_cc = four_cc(track.config.codec());
        match self {
            _ if track.kind() == MediaKind::Data => false,
            Self::Plain => is_plain(),
            Self::All => is_plain() || has_four_cc.is_some(),
            Self::Offered(capabilities) => {
                let is_allowed = is_first || capabilities.can(Capabilities::MULTITRACK);
                let is_known = has_four_cc.is_some_and(|name| capabilities.takes(&String::from_utf8_lossy(&name)));
                is_plain() || (is_allowed && is_known)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arcly_codec::{CodecConfig, aac::AudioSpecificConfig, opus::OpusConfig};

    fn tracks() -> TrackSet {
        let aac = CodecConfig::Aac(AudioSpecificConfig::new(2, 48_000, 2).unwrap());
        let opus = CodecConfig::Opus(OpusConfig::new(2).unwrap());
        let track = |id, config: &CodecConfig| Track::new(TrackId(id), config.clone());
        TrackSet { revision: 1, tracks: vec![track(1, &aac), track(2, &opus), track(3, &aac)] }
    }

    fn left_out(four_ccs: &[&str], caps_ex: u32, enhanced: Option<bool>) -> Vec<u8> {
        let four_ccs = four_ccs.iter().map(|name| (*name).to_owned()).collect();
        let takes = Takes::of(Capabilities { four_ccs, caps_ex }, enhanced);
        takes.carried(&tracks()).left_out.iter().map(|id| id.0).collect()
    }

    #[test]
    fn a_remote_is_sent_what_it_has_said_that_it_takes() {
        assert_eq!(left_out(&[], 0, None), [2, 3]);
        assert_eq!(left_out(&["*"], 0, None), [2, 3], "one track of a kind");
        assert_eq!(left_out(&["Opus"], Capabilities::MULTITRACK, None), [3]);
        assert_eq!(left_out(&["*"], Capabilities::MULTITRACK, None), [0_u8; 0]);
        assert_eq!(left_out(&["*"], Capabilities::MULTITRACK, Some(false)), [2, 3]);
        assert_eq!(left_out(&[], 0, Some(true)), [0_u8; 0]);
    }
}
