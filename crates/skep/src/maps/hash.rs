//! Hash maps with one value a key.
//!
//! Invariant: `K` and `V` have exactly the map's key and value sizes.

use std::marker::PhantomData;

use skep_spec::map::MapType;

use super::{Map, Plain, read};
use crate::error::{Error, Result};

/// A hash or LRU hash.
pub struct HashMap<K, V> {
    map: Map,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Plain, V: Plain> TryFrom<Map> for HashMap<K, V> {
    type Error = Error;

    fn try_from(map: Map) -> Result<Self> {
        map.expect(
            &[MapType::Hash, MapType::LruHash],
            Some(size_of::<K>()),
            Some(size_of::<V>()),
        )?;
        Ok(HashMap {
            map,
            types: PhantomData,
        })
    }
}

impl<K: Plain, V: Plain> HashMap<K, V> {
    /// The value of a key, if there is one.
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        self.map
            .get(key.as_bytes())?
            .map(|value| read(&self.map, "lookup", &value))
            .transpose()
    }

    /// Sets the value of a key.
    pub fn set(&self, key: &K, value: &V) -> Result<()> {
        self.map.set(key.as_bytes(), value.as_bytes())
    }

    /// Removes a key; whether it was there.
    pub fn remove(&self, key: &K) -> Result<bool> {
        self.map.remove(key.as_bytes())
    }

    /// All entries, in no order.
    pub fn entries(&self) -> impl Iterator<Item = Result<(K, V)>> {
        self.map.entries().map(|entry| {
            let (key, value) = entry?;
            Ok((
                read(&self.map, "lookup", &key)?,
                read(&self.map, "lookup", &value)?,
            ))
        })
    }

    /// The map in bytes.
    pub fn map(&self) -> &Map {
        &self.map
    }
}
