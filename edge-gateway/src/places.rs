//! Places for requests being served, and for sockets. One address may take only a part of them, so that nobody alone
//! fills the house.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use kit::net::network;

/// How many there may be at once, in all and of one address.
#[derive(Clone)]
pub(crate) struct Places(Arc<Mutex<Taken>>);

struct Taken {
    most: usize,
    /// Of one address.
    each: usize,
    all: usize,
    /// Only addresses that have a place.
    by_address: HashMap<IpAddr, usize>,
}

/// A place; free again when it is dropped.
pub(crate) struct Place {
    places: Places,
    address: IpAddr,
}

impl Places {
    /// One address may take a quarter of `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self::with(most, most / 4)
    }

    /// One address may take `each`.
    pub(crate) fn with(most: usize, each: usize) -> Self {
        Self(Arc::new(Mutex::new(Taken { most, each: each.max(1), all: 0, by_address: HashMap::new() })))
    }

    /// A place for somebody at `address`, if there is one for them.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut taken = self.0.lock().expect("nothing panics under this lock");
        let own = taken.by_address.get(&address).copied().unwrap_or_default();
        if taken.all >= taken.most || own >= taken.each {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(address, own + 1);
        Some(Place { places: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().expect("nothing panics under this lock");
        taken.all -= 1;
        match taken.by_address.get_mut(&self.address) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.by_address.remove(&self.address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_a_quarter_and_leaves_room_for_others() {
        let places = Places::new(8);
        let [greedy, other] = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2])];
        let mut held = vec![places.take(greedy).unwrap(), places.take(greedy).unwrap()];
        assert!(places.take(greedy).is_none());
        assert!(places.take(other).is_some());
        held.pop();
        assert!(places.take(greedy).is_some());
    }

    #[test]
    fn who_has_a_network_of_addresses_is_one() {
        let places = Places::new(4);
        let _held = places.take("2001:db8::1".parse().unwrap()).unwrap();
        assert!(places.take("2001:db8::2".parse().unwrap()).is_none());
        assert!(places.take("2001:db8:0:1::1".parse().unwrap()).is_some());
    }

    #[test]
    fn together_they_take_no_more_than_there_are() {
        let places = Places::new(4);
        let held: Vec<_> = (0..4).map(|n| places.take(IpAddr::from([127, 0, 0, n])).unwrap()).collect();
        assert!(places.take(IpAddr::from([127, 0, 0, 9])).is_none());
        drop(held);
        assert!(places.0.lock().unwrap().by_address.is_empty());
    }
}
