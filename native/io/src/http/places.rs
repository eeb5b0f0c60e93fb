//! How many requests the application works on at a time, and of whom. It is a control plane, not the way of media.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use crate::lock;

/// Requests that are here as a whole, which take as long as the application.
const WHOLE_MAX: usize = 256;

/// Requests whose body is still to come when their headers are here, which take as long as whoever sends it likes: they leave the
/// others their places. They are counted here until they are answered.
const COMING_MAX: usize = 256;

/// Of these, those of one address. Many may sit behind one, and everybody does behind a proxy.
const COMING_OF_ONE_MAX: usize = COMING_MAX / 2;

/// The places.
#[derive(Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    whole: usize,
    coming: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Places {
    /// A place for a request that is here as a whole; none when there is none.
    pub(super) fn whole(self: &Arc<Self>) -> Option<Place> {
        let mut taken = lock(&self.0);
        if taken.whole >= WHOLE_MAX {
            return None;
        }
        taken.whole += 1;
        Some(Place { places: self.clone(), coming_from: None })
    }

    /// The same for one whose body comes from `address`.
    pub(super) fn coming(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut taken = lock(&self.0);
        let here = taken.by_address.get(&address).copied().unwrap_or_default();
        if taken.coming >= COMING_MAX || here >= COMING_OF_ONE_MAX {
            return None;
        }
        taken.coming += 1;
        taken.by_address.insert(address, here + 1);
        Some(Place { places: self.clone(), coming_from: Some(address) })
    }
}

/// A place, taken as long as this lives.
pub(super) struct Place {
    places: Arc<Places>,
    coming_from: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.places.0);
        let Some(address) = self.coming_from else {
            taken.whole -= 1;
            return;
        };
        taken.coming -= 1;
        if let Some(here) = taken.by_address.get_mut(&address) {
            *here -= 1;
            if *here == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_slowly_leaves_places_for_others() {
        let (places, one, other) = (Arc::new(Places::default()), [192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let mut held: Vec<_> = std::iter::from_fn(|| places.coming(one)).collect();
        assert_eq!(held.len(), COMING_OF_ONE_MAX);
        held.extend(std::iter::from_fn(|| places.coming(other)));
        assert_eq!(held.len(), COMING_MAX);
        assert!(places.coming([192, 0, 2, 3].into()).is_none(), "bounded");
        let whole: Vec<_> = std::iter::from_fn(|| places.whole()).collect();
        assert_eq!(whole.len(), WHOLE_MAX);
        drop((held, whole));
        let taken = lock(&places.0);
        assert_eq!((taken.whole, taken.coming, taken.by_address.len()), (0, 0, 0));
    }
}
