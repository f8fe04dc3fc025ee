//! What there is for each key, in an order of its own.

use std::collections::VecDeque;

use super::probe::NO_KEY;

/// Lists by number of key, and one for rows without a key.
pub(super) struct ByKey<T> {
    lists: Vec<VecDeque<T>>,
    keyless: VecDeque<T>,
    len: usize,
}

impl<T> ByKey<T> {
    /// Nothing for any key.
    pub(super) fn new() -> ByKey<T> {
        ByKey { lists: Vec::new(), keyless: VecDeque::new(), len: 0 }
    }

    /// What there is for a key that can be equal to another; nothing for none.
    pub(super) fn of(&self, key: usize) -> Option<&VecDeque<T>> {
        self.lists.get(key).filter(|list| !list.is_empty())
    }

    /// The same, to be changed in place.
    pub(super) fn of_mut(&mut self, key: usize) -> Option<&mut VecDeque<T>> {
        self.lists.get_mut(key)
    }

    /// Adds a thing behind those that `is_before` it.
    pub(super) fn insert(&mut self, key: usize, thing: T, is_before: impl Fn(&T, &T) -> bool) {
        if key != NO_KEY && self.lists.len() <= key {
            self.lists.resize_with(key + 1, VecDeque::new);
        }
        let list = if key == NO_KEY { &mut self.keyless } else { &mut self.lists[key] };
        let place = match list.back() {
            Some(last) if !is_before(last, &thing) => list.partition_point(|other| is_before(other, &thing)),
            _ => list.len(),
        };
        list.insert(place, thing);
        self.len += 1;
    }

    /// Takes out the first thing of a key.
    pub(super) fn pop_first(&mut self, key: usize) -> Option<T> {
        let list = if key == NO_KEY { &mut self.keyless } else { self.lists.get_mut(key)? };
        let first = list.pop_front()?;
        self.len -= 1;
        if list.is_empty() {
            *list = VecDeque::new();
        }
        Some(first)
    }

    /// Everything with its key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> + '_ {
        let keyed = self.lists.iter().enumerate().flat_map(|(key, list)| list.iter().map(move |thing| (key, thing)));
        keyed.chain(self.keyless.iter().map(|thing| (NO_KEY, thing)))
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.lists.capacity() * size_of::<VecDeque<T>>() + self.len * size_of::<T>()
    }
}
