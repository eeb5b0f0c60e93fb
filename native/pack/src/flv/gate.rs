//! Holding items back until all announced tracks are there.

use super::script::Declared;

/// What waits at most: about a second of video with its sound.
const HELD_ITEMS_MAX: usize = 100;
/// From the first to the last frame that waits.
const HELD_MS_MAX: u64 = 1_000;
/// Bytes of frames that wait.
const HELD_BYTES_MAX: usize = 4 << 20;

/// Whether items may come out. Shut only when a sender has announced pictures and sound: one kind is complete with its
/// first track.
#[derive(Debug, Default)]
pub(super) struct Gate {
    waiting: Option<Held>,
}

/// What waits.
#[derive(Debug, Default)]
struct Held {
    items: usize,
    bytes: usize,
    first_ms: Option<i64>,
}

impl Gate {
    /// Shuts when there is something to wait for.
    pub fn expect(&mut self, declared: Declared) {
        if declared.video && declared.audio && self.waiting.is_none() {
            self.waiting = Some(Held::default());
        }
    }

    pub fn is_open(&self) -> bool {
        self.waiting.is_none()
    }

    pub fn open(&mut self) {
        self.waiting = None;
    }

    /// One more item waits, for a frame with its bytes and its time; opens when that is too much.
    pub fn count(&mut self, frame: Option<(usize, i64)>) {
        let Some(held) = &mut self.waiting else { return };
        held.items += 1;
        if let Some((bytes, ms)) = frame {
            held.bytes = held.bytes.saturating_add(bytes);
            let since_ms = ms.abs_diff(*held.first_ms.get_or_insert(ms));
            if since_ms >= HELD_MS_MAX || held.bytes > HELD_BYTES_MAX {
                return self.open();
            }
        }
        if held.items >= HELD_ITEMS_MAX {
            self.open();
        }
    }
}
