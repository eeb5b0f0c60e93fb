//! What many fetch at the same moment, as pages of the kernel.
//!
//! A part of low-latency HLS is fetched by every player as soon as it is there. To copy it into the socket of each is most of what that costs;
//! `sendfile` hands the same pages to all of them.

use std::{
    collections::VecDeque,
    fs::File,
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use crate::lock;

/// Entities that are looked out for.
const ENTITIES_MAX: usize = 8;
/// A smaller one is copied faster.
const BYTES_MIN: usize = 32 << 10;
/// A larger one is not held twice.
const BYTES_MAX: usize = 2 << 20;
/// To make the pages costs as much as to send it a few times.
const ASKED_MIN: u32 = 8;

/// The entities of a stream that were asked for last.
#[derive(Default)]
pub(crate) struct Hot {
    entities: Mutex<VecDeque<Entity>>,
}

struct Entity {
    /// It is known by where it lies: nothing else can lie there as long as it is held.
    bytes: Bytes,
    asked: u32,
    pages: Option<Arc<File>>,
}

impl Hot {
    /// `bytes` as a file, if enough ask for them.
    pub(crate) fn pages(&self, bytes: &Bytes) -> Option<Arc<File>> {
        if !(BYTES_MIN..=BYTES_MAX).contains(&bytes.len()) {
            return None;
        }
        let mut entities = lock(&self.entities);
        let is_it = |known: &&mut Entity| known.bytes.as_ptr() == bytes.as_ptr() && known.bytes.len() == bytes.len();
        let Some(entity) = entities.iter_mut().find(is_it) else {
            if entities.len() == ENTITIES_MAX {
                entities.pop_front();
            }
            entities.push_back(Entity { bytes: bytes.clone(), asked: 1, pages: None });
            return None;
        };
        entity.asked = entity.asked.saturating_add(1);
        // Tried once: a process without descriptors has other worries.
        if entity.asked == ASKED_MIN {
            entity.pages = file(bytes).map(Arc::new).ok();
        }
        entity.pages.clone()
    }

    /// The stream has ended.
    pub(crate) fn clear(&self) {
        lock(&self.entities).clear();
    }
}

/// A file in memory, without a name. Nobody writes to it any more: what is on its way to a peer stays as it is.
#[cfg(target_os = "linux")]
fn file(bytes: &[u8]) -> std::io::Result<File> {
    use std::io::Write;

    let made = rustix::fs::memfd_create("arcly-part", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(made);
    file.write_all(bytes)?;
    Ok(file)
}

#[cfg(not(target_os = "linux"))]
fn file(_: &[u8]) -> std::io::Result<File> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_ask_for_becomes_pages_and_what_few_ask_for_does_not() {
        let hot = Hot::default();
        let part = Bytes::from(vec![7; BYTES_MIN]);
        for _ in 1..ASKED_MIN {
            assert!(hot.pages(&part).is_none());
        }
        let pages = hot.pages(&part);
        assert_eq!(pages.is_some(), cfg!(target_os = "linux"));
        assert_eq!(hot.pages(&part).map(|it| Arc::as_ptr(&it)), pages.map(|it| Arc::as_ptr(&it)), "once");
        // The same bytes somewhere else are another entity, and the oldest makes room.
        let others: Vec<_> = (0..ENTITIES_MAX).map(|_| Bytes::from(vec![7; BYTES_MIN])).collect();
        assert!(others.iter().all(|other| hot.pages(other).is_none()));
        assert!(hot.pages(&part).is_none());
        for size in [BYTES_MIN - 1, BYTES_MAX + 1] {
            let bytes = Bytes::from(vec![7; size]);
            assert!((0..=ASKED_MIN).all(|_| hot.pages(&bytes).is_none()), "{size}");
        }
        hot.clear();
        assert!(hot.pages(&part).is_none());
    }
}
