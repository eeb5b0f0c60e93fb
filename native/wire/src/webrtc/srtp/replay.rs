//! Which packets of SRTCP have come (RFC 3711 §3.3.2): each source counts its own.

/// Sources of one peer. Browsers have one or two; more are not heard.
const SOURCES_MAX: usize = 16;

/// How far behind the newest a packet may come.
const WINDOW: u32 = u64::BITS;

#[derive(Debug, Default)]
pub(super) struct Replays {
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    newest: u32,
    /// The newest is the lowest bit.
    came: u64,
}

impl Replays {
    /// Whether the packet of that number, which must be authentic, has not come yet. From now on it has.
    pub(super) fn is_new(&mut self, ssrc: u32, number: u32) -> bool {
        let Some(source) = self.sources.iter_mut().find(|source| source.ssrc == ssrc) else {
            let has_room = self.sources.len() < SOURCES_MAX;
            if has_room {
                self.sources.push(Source { ssrc, newest: number, came: 1 });
            }
            return has_room;
        };
        if number > source.newest {
            source.came = source.came.checked_shl(number - source.newest).unwrap_or(0) | 1;
            source.newest = number;
            return true;
        }
        let age = source.newest - number;
        let is_new = age < WINDOW && source.came & 1 << age == 0;
        if is_new {
            source.came |= 1 << age;
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_new_once_in_any_order_within_the_window() {
        let mut replays = Replays::default();
        for (number, is_new) in [
            (5, true),
            (5, false),
            (3, true),
            (3, false),
            (4, true),
            (68, true),
            (5, false),
            (4, false),
            (6, true),
            (1000, true),
            (68, false),
            (936, false),
            (937, true),
        ] {
            assert_eq!(replays.is_new(1, number), is_new, "{number}");
        }
        assert!(replays.is_new(2, 5), "another source");
        let heard = (3..100).filter(|ssrc| replays.is_new(*ssrc, 0)).count();
        assert_eq!(heard, SOURCES_MAX - 2);
    }
}
