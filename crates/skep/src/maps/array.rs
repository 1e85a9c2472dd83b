//! Arrays with one value an index.
//!
//! Invariant: `V` has exactly the map's value size.

use std::marker::PhantomData;

use skep_spec::map::MapType;

use super::{Map, Plain, read};
use crate::error::{Error, Result};

/// An array.
pub struct Array<V> {
    map: Map,
    types: PhantomData<fn() -> V>,
}

impl<V: Plain> TryFrom<Map> for Array<V> {
    type Error = Error;

    fn try_from(map: Map) -> Result<Self> {
        map.expect(&[MapType::Array], Some(4), Some(size_of::<V>()))?;
        Ok(Array {
            map,
            types: PhantomData,
        })
    }
}

impl<V: Plain> Array<V> {
    /// The value at an index, if it is in range.
    pub fn get(&self, index: u32) -> Result<Option<V>> {
        self.map
            .get(&index.to_ne_bytes())?
            .map(|value| read(&self.map, "lookup", &value))
            .transpose()
    }

    /// Sets the value at an index.
    pub fn set(&self, index: u32, value: &V) -> Result<()> {
        self.map.set(&index.to_ne_bytes(), value.as_bytes())
    }

    /// All values, from index 0.
    pub fn values(&self) -> impl Iterator<Item = Result<V>> {
        self.map
            .entries()
            .map(|entry| read(&self.map, "lookup", &entry?.1))
    }

    /// The number of elements.
    pub fn len(&self) -> u32 {
        self.map.def().max_entries
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The map in bytes.
    pub fn map(&self) -> &Map {
        &self.map
    }
}
