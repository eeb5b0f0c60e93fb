//! Live playlists and their segments (RFC 8216).

use arcly_pack::{Held, hls::HlsView};

/// Follows the views of one stream.
#[derive(Default)]
pub struct ViewChecks {
    target_duration_s: Option<u64>,
    media_sequence: u64,
    discontinuity_sequence: u64,
    /// Number of the next segment that has not been looked into.
    next_segment: u64,
}

impl ViewChecks {
    /// Checks the next view. Its segments have at most `segment_bytes_max`.
    pub fn check(&mut self, view: &HlsView, segment_bytes_max: usize) {
        let playlist = str::from_utf8(view.media_playlist());
        assert!(playlist.is_ok_and(|text| text.starts_with("#EXTM3U\n") && text.is_ascii()), "text");
        let lines: Vec<_> = playlist.unwrap_or_default().lines().collect();
        self.check_head(&lines, view.target_duration_s());
        let durations = lines.iter().filter_map(|line| line.strip_prefix("#EXTINF:"));
        durations.for_each(|duration| check_duration(duration, view.target_duration_s()));
        let names = lines.iter().filter(|line| !line.starts_with('#'));
        let first = self.media_sequence;
        for (name, number) in names.zip(first..) {
            // They never change: the new ones, and the oldest, which is the first that could be gone.
            if number == first || number >= self.next_segment {
                check_segment(view, name, number, segment_bytes_max);
                self.next_segment = self.next_segment.max(number + 1);
            }
        }
        assert_eq!(lines.last() == Some(&"#EXT-X-ENDLIST"), view.ended(), "EXT-X-ENDLIST");
    }

    /// Numbers never go back, and the target duration never changes (§6.2.1).
    fn check_head(&mut self, lines: &[&str], target_duration_s: u64) {
        let number = |tag: &str| lines.iter().find_map(|line| line.strip_prefix(tag)?.parse().ok());
        assert_eq!(number("#EXT-X-TARGETDURATION:"), Some(target_duration_s));
        assert_eq!(*self.target_duration_s.get_or_insert(target_duration_s), target_duration_s, "target duration");
        let sequences = (number("#EXT-X-MEDIA-SEQUENCE:"), number("#EXT-X-DISCONTINUITY-SEQUENCE:"));
        assert!(sequences >= (Some(self.media_sequence), Some(self.discontinuity_sequence)), "{sequences:?}");
        self.media_sequence = sequences.0.unwrap_or_default();
        self.discontinuity_sequence = sequences.1.unwrap_or_default();
    }
}

/// `EXTINF` is more than nothing, and rounded it does not exceed the target duration (§4.3.3.1).
fn check_duration(duration: &str, target_duration_s: u64) {
    let us = duration.strip_suffix(',').and_then(|seconds| seconds.replacen('.', "", 1).parse::<u64>().ok());
    let rounded_s = us.map(|us| (us.saturating_add(500_000)) / 1_000_000);
    assert!(us > Some(0) && rounded_s <= Some(target_duration_s), "EXTINF {duration} of {target_duration_s}");
}

/// What the playlist names can be fetched, and is a transport stream.
fn check_segment(view: &HlsView, name: &str, number: u64, bytes_max: usize) {
    assert!(name.ends_with(&format!("-{number}.ts")), "{name} is number {number}");
    let segment = view.segment(name).and_then(Held::into_bytes).unwrap_or_default();
    let bytes = segment.len();
    assert!(bytes > 0 && bytes.is_multiple_of(188), "{name} has {bytes} bytes");
    assert!(bytes <= bytes_max, "{name} has {bytes} bytes, over {bytes_max}");
    assert!(segment.starts_with(&[0x47, 0x40, 0]), "PAT first");
}
