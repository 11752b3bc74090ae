//! Generational keys: what a late completion holds for a connection that is gone finds nothing.

use std::marker::PhantomData;

/// The key of a connection, on either side.
pub type ConnKey = Key<ConnTag>;
/// The key of an exchange.
pub type ExchangeKey = Key<ExchangeTag>;
/// The key of a spawned task.
pub type TaskKey = Key<TaskTag>;

/// Makes a key one of a connection.
#[derive(Debug)]
pub enum ConnTag {}
/// Makes a key one of an exchange.
#[derive(Debug)]
pub enum ExchangeTag {}
/// Makes a key one of a task.
#[derive(Debug)]
pub enum TaskTag {}

/// Where something is in its [`Slab`], and which tenant of that place is meant.
pub struct Key<T> {
    index: u32,
    generation: u32,
    tag: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The place in the slab.
    #[inline]
    pub fn index(self) -> usize {
        self.index as usize
    }
}

impl<T> Clone for Key<T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.generation == other.generation
    }
}

impl<T> Eq for Key<T> {}

impl<T> std::fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Values by generational key. Places are used again in LIFO order, so that the warm ones stay warm.
#[derive(Debug)]
pub struct Slab<V, T> {
    places: Vec<Place<V>>,
    free: Vec<u32>,
    len: usize,
    tag: PhantomData<fn() -> T>,
}

#[derive(Debug)]
struct Place<V> {
    generation: u32,
    value: Option<V>,
}

impl<V, T> Default for Slab<V, T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new(), len: 0, tag: PhantomData }
    }
}

impl<V, T> Slab<V, T> {
    /// Puts `value` somewhere.
    #[inline]
    pub fn insert(&mut self, value: V) -> Key<T> {
        self.len += 1;
        let index = match self.free.pop() {
            Some(index) => {
                let place = &mut self.places[index as usize].value;
                debug_assert!(place.is_none());
                // Said so that the value is moved once, and not aside first while an old one is dropped.
                if place.is_none() {
                    *place = Some(value);
                }
                index
            }
            None => {
                self.places.push(Place { generation: 0, value: Some(value) });
                (self.places.len() - 1) as u32
            }
        };
        Key { index, generation: self.places[index as usize].generation, tag: PhantomData }
    }

    /// The value of `key`, if it still lives.
    #[inline]
    pub fn get(&self, key: Key<T>) -> Option<&V> {
        let place = self.places.get(key.index())?;
        if place.generation == key.generation { place.value.as_ref() } else { None }
    }

    /// The value of `key`, if it still lives.
    #[inline]
    pub fn get_mut(&mut self, key: Key<T>) -> Option<&mut V> {
        let place = self.places.get_mut(key.index())?;
        if place.generation == key.generation { place.value.as_mut() } else { None }
    }

    /// Takes the value of `key` out; the key is dead from then on.
    #[inline]
    pub fn remove(&mut self, key: Key<T>) -> Option<V> {
        let place = self.places.get_mut(key.index())?;
        if place.generation != key.generation {
            return None;
        }
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.index);
        self.len -= 1;
        Some(value)
    }

    /// Drops the value of `key` where it is; the key is dead from then on.
    #[inline]
    pub fn discard(&mut self, key: Key<T>) {
        let Some(place) = self.places.get_mut(key.index()) else { return };
        if place.generation == key.generation && place.value.is_some() {
            place.generation = place.generation.wrapping_add(1);
            self.free.push(key.index);
            self.len -= 1;
            // Last, since it may panic; the place is empty then all the same.
            place.value = None;
        }
    }

    /// How many values live.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none lives.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The key of what lives at this place.
    #[inline]
    pub fn key_at(&self, index: usize) -> Option<Key<T>> {
        let place = self.places.get(index).filter(|place| place.value.is_some())?;
        Some(Key { index: index as u32, generation: place.generation, tag: PhantomData })
    }

    /// The keys of all that live.
    pub fn keys(&self) -> Vec<Key<T>> {
        let live = self.places.iter().enumerate().filter(|(_, place)| place.value.is_some());
        live.map(|(index, place)| Key { index: index as u32, generation: place.generation, tag: PhantomData })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_outlives_its_value_without_finding_the_next() {
        let mut slab: Slab<&str, ConnTag> = Slab::default();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(second.index(), first.index());
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.keys(), [second]);
    }
}
