//! The names of files of a stream, and what is asked behind them.

use arcly_pack::cmaf::Awaited;

/// A file of the HLS or DASH presentation of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum File {
    /// `index.m3u8`: of CMAF, or of MPEG-TS where no CMAF is made.
    Multivariant,
    /// `manifest.mpd`
    Mpd,
    /// `time.txt`: what time it is here, for players of DASH.
    Clock,
    /// `v0.m3u8`, `a1.m3u8`: a track in CMAF.
    Track(String),
    /// `3f9a1c-v0-17.m4s`, `3f9a1c-v0-p81.m4s`, `3f9a1c-v0-i0.mp4`
    Cmaf(String),
    /// `ts.m3u8`: of MPEG-TS.
    TsMultivariant,
    /// `media.m3u8`
    TsMedia,
    /// `3f9a1c-17.ts`
    TsSegment(String),
    /// `3f9a1c-k2.key`: what segments are encrypted with.
    Key(String),
}

impl File {
    /// The file with that name; none when there is no such file.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "index.m3u8" => return Some(Self::Multivariant),
            "manifest.mpd" => return Some(Self::Mpd),
            "time.txt" => return Some(Self::Clock),
            "ts.m3u8" => return Some(Self::TsMultivariant),
            "media.m3u8" => return Some(Self::TsMedia),
            _ => {}
        }
        let (stem, ending) = name.rsplit_once('.')?;
        match ending {
            "m3u8" => is_track(stem).then(|| Self::Track(stem.to_owned())),
            "m4s" | "mp4" => Some(Self::Cmaf(name.to_owned())),
            "ts" => Some(Self::TsSegment(name.to_owned())),
            "key" => Some(Self::Key(name.to_owned())),
            _ => None,
        }
    }
}

/// `v0`, `a1`
fn is_track(stem: &str) -> bool {
    let number = stem.strip_prefix(['v', 'a']).unwrap_or_default();
    !number.is_empty() && number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// What a player asks of a playlist (RFC 8216bis §6.2.5): Delivery Directives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Directives {
    pub(crate) awaited: Option<Awaited>,
    pub(crate) skip: bool,
}

impl Directives {
    /// Reads a query; `None` when it asks for a part of no segment, or for what is no number: 400 (§6.2.5.2).
    pub(crate) fn parse(query: &str) -> Option<Self> {
        let (mut sequence, mut part, mut skip) = (None, None, false);
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("_HLS_msn", value)) => sequence = Some(value.parse().ok()?),
                Some(("_HLS_part", value)) => part = Some(value.parse().ok()?),
                // "v2" asks for more than we offer; what is asked for beyond that may be left out.
                Some(("_HLS_skip", value)) => skip = matches!(value, "YES" | "v2"),
                _ => {}
            }
        }
        let awaited = match (sequence, part) {
            (Some(sequence), part) => Some(Awaited { sequence, part }),
            (None, None) => None,
            (None, Some(_)) => return None,
        };
        Some(Self { awaited, skip })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_files_or_nothing() {
        assert_eq!(File::named("index.m3u8"), Some(File::Multivariant));
        assert_eq!(File::named("manifest.mpd"), Some(File::Mpd));
        assert_eq!(File::named("time.txt"), Some(File::Clock));
        assert_eq!(File::named("ts.m3u8"), Some(File::TsMultivariant));
        assert_eq!(File::named("media.m3u8"), Some(File::TsMedia));
        assert_eq!(File::named("v0.m3u8"), Some(File::Track("v0".into())));
        assert_eq!(File::named("a255.m3u8"), Some(File::Track("a255".into())));
        assert_eq!(File::named("a-1.ts"), Some(File::TsSegment("a-1.ts".into())));
        assert_eq!(File::named("a-k2.key"), Some(File::Key("a-k2.key".into())));
        assert_eq!(File::named("a-v0-1.m4s"), Some(File::Cmaf("a-v0-1.m4s".into())));
        for other in ["", "index.html", "other.m3u8", "v.m3u8", "v0x.m3u8", "v1234.m3u8", "ts", "app.js"] {
            assert_eq!(File::named(other), None, "{other}");
        }
    }

    #[test]
    fn directives_are_read_and_a_part_of_no_segment_is_refused() {
        let asks = |query| Directives::parse(query);
        assert_eq!(asks(""), Some(Directives::default()));
        assert_eq!(asks("session=00ff&x=_HLS_msn"), Some(Directives::default()));
        let awaited = |sequence, part| Directives { awaited: Some(Awaited { sequence, part }), skip: false };
        assert_eq!(asks("_HLS_msn=7"), Some(awaited(7, None)));
        assert_eq!(asks("session=00ff&_HLS_msn=7&_HLS_part=0"), Some(awaited(7, Some(0))));
        assert_eq!(asks("_HLS_skip=YES"), Some(Directives { skip: true, ..Directives::default() }));
        for refused in ["_HLS_part=1", "_HLS_msn=x", "_HLS_msn=-1", "_HLS_msn=1&_HLS_part="] {
            assert_eq!(asks(refused), None, "{refused}");
        }
    }
}
