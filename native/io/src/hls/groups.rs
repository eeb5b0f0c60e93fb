//! What the renditions of a stream have in common: one wall clock, the number of breaks, and who watches.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use arcly_bus::StreamKey;
use arcly_pack::GroupClock;

use super::demand::Demand;
use crate::{http::origin::root, lock};

/// What the packagers of a stream and of its renditions share.
#[derive(Default)]
pub struct Group {
    pub(crate) clock: Arc<GroupClock>,
    pub(crate) demand: Demand,
}

/// All groups of which something is packaged.
#[derive(Default)]
pub struct Groups(Mutex<HashMap<(String, String), Weak<Group>>>);

impl Groups {
    /// That of `key` and of what else shows the same: `live/cam`, `live/cam~720p`.
    pub fn of(&self, key: &StreamKey) -> Arc<Group> {
        let mut groups = lock(&self.0);
        groups.retain(|_, group| group.strong_count() > 0);
        let name = (key.app().to_owned(), root(key.stream()).to_owned());
        let group = groups.get(&name).and_then(Weak::upgrade).unwrap_or_default();
        groups.insert(name, Arc::downgrade(&group));
        group
    }
}

#[cfg(test)]
mod tests {
    use std::{task::Waker, time::Duration};

    use arcly_bus::{Frame, FrameFlags, LogBounds, LogWriter, Publisher, Track, TrackId};
    use arcly_codec::{Codec, CodecConfig};
    use arcly_pack::cmaf::CmafConfig;
    use tokio::runtime::Handle;

    use super::*;
    use crate::{
        Inbox,
        hls::{PackageConfig, package},
    };

    const RATE_HZ: i64 = 48_000;

    /// A stream of sound that begins at `start`, and microseconds from the time of the media to what players are told.
    async fn packaged(groups: &Groups, stream: &str, start: i64) -> (Publisher, i64) {
        let mut publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
        let sound = CodecConfig::parse(Codec::Aac, vec![0x11, 0x90].into()).unwrap();
        publisher.set_tracks(vec![Track::new(TrackId(0), sound)]).unwrap();
        let group = groups.of(&StreamKey::new("live", stream).unwrap());
        let config = PackageConfig { cmaf: Some(CmafConfig::default()), group, ..PackageConfig::default() };
        let inbox = Inbox::new(Waker::noop().clone());
        let output = package(&Handle::current(), publisher.log(), config, stream.into(), "s", inbox);
        for number in 0..200 {
            let (pts, payload) = (start + number * 1024, vec![0x21; 100].into());
            let frame = Frame { track: TrackId(0), flags: FrameFlags::NONE, pts, dts: pts, duration: 1024, payload };
            publisher.publish(frame).unwrap();
        }
        let view = output.first_cmaf_view(Duration::from_secs(10)).await.unwrap();
        (publisher, view.epochs[0].wall_offset_us)
    }

    /// Found by reading: each was dated by its own arrival, and a player that went over from one to the other was misled by the difference
    /// (RFC 8216bis §6.2.4).
    #[tokio::test]
    async fn renditions_of_one_clock_have_the_same_dates_however_late_each_came() {
        let groups = Groups::default();
        let (_first, first_us) = packaged(&groups, "cam~720p", 10 * RATE_HZ).await;
        // Here times that are less mean a later arrival.
        let (_late, late_us) = packaged(&groups, "cam~1080p", 10 * RATE_HZ - RATE_HZ * 15 / 100).await;
        let (_parent, parent_us) = packaged(&groups, "cam", 10 * RATE_HZ + RATE_HZ * 15 / 100).await;
        assert_eq!((late_us, parent_us), (first_us, first_us));
        let (_apart, apart_us) = packaged(&groups, "cam~360p", 0).await;
        assert!(apart_us - first_us > 9_000_000, "another clock of media: {apart_us} {first_us}");
        let (_other, other_us) = packaged(&groups, "door", 10 * RATE_HZ - RATE_HZ * 15 / 100).await;
        assert!(other_us != first_us, "another stream");
        assert_eq!(groups.0.lock().unwrap().len(), 2);
    }

    #[test]
    fn what_a_group_has_goes_with_the_last_of_it() {
        let groups = Groups::default();
        let key = |stream| StreamKey::new("live", stream).unwrap();
        drop(groups.of(&key("cam")));
        let _door = groups.of(&key("door"));
        assert_eq!(groups.0.lock().unwrap().len(), 1);
    }
}
