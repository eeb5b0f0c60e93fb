//! What a client reads in a media playlist.

/// Where a playlist ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Number of the segment in the making.
    pub sequence: u64,
    /// Parts of it.
    pub parts: u64,
    /// The newest part.
    pub newest_part: String,
    /// The newest complete segment.
    pub newest_segment: String,
}

impl Position {
    pub fn of(playlist: &str) -> Self {
        let mut found = Self::default();
        for line in playlist.lines() {
            if let Some(number) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                found.sequence += number.parse::<u64>().unwrap_or(0);
            } else if let Some(part) = line.strip_prefix("#EXT-X-PART:") {
                found.parts += 1;
                found.newest_part = uri(part).to_owned();
            } else if let Some(skip) = line.strip_prefix("#EXT-X-SKIP:SKIPPED-SEGMENTS=") {
                found.sequence += skip.parse::<u64>().unwrap_or(0);
            } else if !line.starts_with('#') && !line.is_empty() {
                found.sequence += 1;
                found.parts = 0;
                found.newest_segment = line.to_owned();
            }
        }
        found
    }
}

/// The media playlist of the pictures in a multivariant playlist, with its session.
pub fn pictures(multivariant: &str) -> Option<&str> {
    multivariant.lines().find(|line| line.starts_with('v'))
}

fn uri(attributes: &str) -> &str {
    attributes.split_once("URI=\"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(uri, _)| uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_playlist_is_found() {
        let text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-PART:DURATION=0.2,URI=\"a\"\n#EXTINF:1,\ns7\n\
                    #EXT-X-PART:DURATION=0.2,URI=\"b\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.2,URI=\"c\"\n";
        let end = Position { sequence: 8, parts: 2, newest_part: "c".into(), newest_segment: "s7".into() };
        assert_eq!(Position::of(text), end);
        assert_eq!(pictures("#EXTM3U\n#X:1\nv0.m3u8?session=1\n"), Some("v0.m3u8?session=1"));
    }
}
