//! How many bytes of a publisher are worth a wake-up: where many publish or watch, sound waits for the picture behind it.
//!
//! A wake-up and a read cost the same for 300 bytes of sound as for a picture, and there is more sound than there are pictures: half of
//! what taking in a stream costs goes into it. Nobody who watches pictures gets that sound sooner, for it leaves with them (see
//! `egress::flush`). So the kernel is told to wait for as many bytes as every picture has (`SO_RCVLOWAT`), as long as pictures come
//! often, all of them much larger than sound. A picture is never kept waiting: of a message that has begun, only its rest is waited for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use arcly_wire::rtmp::{Media, MediaKind};

/// Where fewer publish, and fewer watch, every byte is read: what would be saved is little, and sound is as early as can be.
const CROWD_MIN: usize = 16;

/// Pictures after which the threshold is found anew: a second of most streams.
const WINDOW_PICTURES: u32 = 32;

/// Between two pictures, on average: sound that waits no longer than this is not late.
const INTERVAL_MAX: Duration = Duration::from_millis(60);

/// So much sound is read without a picture, wherever the pictures are: a third of a second of AAC. Pictures may have ceased.
const SOUNDS_MAX: usize = 16;

/// Everything has ceased to come when nothing has for so long: what has come before is read then.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(1);

/// Every picture is so many times larger than any sound, or nothing waits: a picture as small as sound would be kept.
const TIMES_SOUND: usize = 4;

/// Any byte.
const ANY: usize = 1;

/// Those who publish at one listener.
#[derive(Default)]
pub(super) struct Crowd(AtomicUsize);

/// What is known of the messages of one publisher.
pub(super) struct Patience {
    crowd: Arc<Crowd>,
    window: Window,
    /// The window before this one.
    before: Option<Window>,
    /// What would be waited for in a crowd.
    threshold: usize,
    is_crowd: bool,
    /// What the socket was told.
    told: usize,
}

#[derive(Clone, Copy)]
struct Window {
    began: Duration,
    pictures: u32,
    smallest_picture: usize,
    largest_other: usize,
}

impl Window {
    fn at(began: Duration) -> Self {
        Self { began, pictures: 0, smallest_picture: usize::MAX, largest_other: 0 }
    }
}

impl Patience {
    /// One more in the `crowd`, of whom nothing is known yet. Times count from any fixed origin.
    pub(super) fn new(crowd: &Arc<Crowd>, now: Duration) -> Self {
        crowd.0.fetch_add(1, Relaxed);
        let (window, is_crowd) = (Window::at(now), false);
        Self { crowd: crowd.clone(), window, before: None, threshold: ANY, is_crowd, told: ANY }
    }

    /// A message has come of a stream that so many watch; they are counted where it depends on them.
    pub(super) fn note(&mut self, now: Duration, media: &Media, viewers: impl FnOnce() -> usize) {
        let bytes = media.body.len();
        if media.kind != MediaKind::Video {
            self.window.largest_other = self.window.largest_other.max(bytes);
            return;
        }
        self.window.pictures += 1;
        self.window.smallest_picture = self.window.smallest_picture.min(bytes);
        if bytes < self.threshold {
            // It came with something else, or late; the next ones may be as small.
            self.threshold = ANY;
        }
        self.is_crowd = self.crowd.0.load(Relaxed) >= CROWD_MIN || viewers() >= CROWD_MIN;
        if self.window.pictures == WINDOW_PICTURES {
            self.threshold = self.judge(now);
            self.before = Some(std::mem::replace(&mut self.window, Window::at(now)));
        }
    }

    /// Half of the smallest picture of two windows, where that is much larger than sound.
    fn judge(&self, now: Duration) -> usize {
        let is_slow = now.saturating_sub(self.window.began) > INTERVAL_MAX * WINDOW_PICTURES;
        let before = self.before.unwrap_or(self.window);
        let smallest = self.window.smallest_picture.min(before.smallest_picture);
        let largest_other = self.window.largest_other.max(before.largest_other);
        let is_clear = smallest / TIMES_SOUND >= largest_other;
        if is_clear && !is_slow { (smallest / 2).min(largest_other.saturating_mul(SOUNDS_MAX)) } else { ANY }
    }

    /// Nothing has come for [`SILENCE_MAX`].
    pub(super) fn lose(&mut self) {
        (self.threshold, self.before) = (ANY, None);
    }

    /// Whether sound waits.
    pub(super) fn is_waiting(&self) -> bool {
        self.told > ANY
    }

    /// What the socket has to be told, if it is something else than before: to wait for so many bytes, and no more than are `missing` of a
    /// message that has begun.
    pub(super) fn news(&mut self, missing: Option<usize>) -> Option<usize> {
        let wanted = if self.is_crowd { self.threshold } else { ANY };
        let threshold = wanted.min(missing.unwrap_or(usize::MAX)).max(ANY);
        (std::mem::replace(&mut self.told, threshold) != threshold).then_some(threshold)
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.crowd.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn media(kind: MediaKind, bytes: usize) -> Media {
        Media { stream_id: 1, kind, timestamp_ms: 0, body: Bytes::from(vec![0; bytes]) }
    }

    /// A publisher among others, and those.
    fn among(others: usize) -> (Patience, Vec<Patience>) {
        let crowd = Arc::default();
        let others = (0..others).map(|_| Patience::new(&crowd, Duration::ZERO)).collect();
        (Patience::new(&crowd, Duration::ZERO), others)
    }

    /// So many pictures of such a size, so far apart, with sound of 300 bytes; what the socket was told last.
    fn play(patience: &mut Patience, pictures: u32, bytes: usize, apart: Duration) -> usize {
        for number in 0..pictures {
            let now = apart * number;
            patience.note(now, &media(MediaKind::Audio, 300), || panic!("of pictures alone"));
            patience.note(now, &media(MediaKind::Video, bytes), || 0);
            patience.news(None);
        }
        patience.told
    }

    #[test]
    fn sound_waits_for_large_pictures_where_many_publish() {
        let (mut patience, _others) = among(CROWD_MIN);
        assert_eq!(play(&mut patience, WINDOW_PICTURES - 1, 4000, MS * 33), ANY, "nothing is known yet");
        assert_eq!(play(&mut patience, 1, 4000, MS * 33), 2000);
        assert!(patience.is_waiting());
        assert_eq!(play(&mut patience, 2 * WINDOW_PICTURES, 100_000, MS * 33), 300 * SOUNDS_MAX, "large pictures");
    }

    #[test]
    fn of_a_few_publishers_every_byte_is_read_while_few_watch() {
        let (mut patience, _others) = among(CROWD_MIN - 2);
        assert_eq!(play(&mut patience, 1000, 4000, MS * 33), ANY);
        // Who comes and goes is seen at once.
        let mut watched_by = |viewers| {
            patience.note(MS, &media(MediaKind::Video, 4000), || viewers);
            patience.news(None)
        };
        assert_eq!([CROWD_MIN - 1, CROWD_MIN, 0].map(&mut watched_by), [None, Some(2000), Some(ANY)]);
    }

    #[test]
    fn nothing_waits_for_rare_pictures_or_those_as_small_as_sound() {
        let (mut patience, others) = among(CROWD_MIN);
        assert_eq!(play(&mut patience, 1000, 4000, MS * 100), ANY);
        assert_eq!(play(&mut patience, 1000, 1000, MS * 33), ANY);
        drop(others);
        assert_eq!(patience.crowd.0.load(Relaxed), 1);
    }

    #[test]
    fn a_small_picture_and_a_silence_end_the_wait() {
        let (mut patience, _others) = among(CROWD_MIN);
        assert_eq!(play(&mut patience, 200, 4000, MS * 33), 2000);
        patience.note(Duration::ZERO, &media(MediaKind::Video, 1999), || 0);
        assert_eq!(patience.news(None), Some(ANY));
        let (mut patience, _others) = among(CROWD_MIN);
        assert_eq!(play(&mut patience, 200, 4000, MS * 33), 2000);
        patience.lose();
        assert_eq!(patience.news(None), Some(ANY));
        assert!(!patience.is_waiting());
    }

    #[test]
    fn the_rest_of_a_picture_is_not_kept_waiting() {
        let (mut patience, _others) = among(CROWD_MIN);
        assert_eq!(play(&mut patience, 200, 4000, MS * 33), 2000);
        assert_eq!((patience.news(Some(300)), patience.news(Some(300))), (Some(300), None));
        assert_eq!(patience.news(Some(90_000)), Some(2000));
        assert_eq!(patience.news(Some(0)), Some(ANY));
    }
}
