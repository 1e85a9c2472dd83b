//! Maps with one value a CPU.
//!
//! Invariant: a [`PerCpu`] has as many values as the map's engine has CPUs.

use std::marker::PhantomData;

use skep_spec::map::MapType;

use super::{Map, Plain, read};
use crate::error::{Error, Result};

/// The values of one key on all CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerCpu<V>(pub Vec<V>);

impl<V: Plain> PerCpu<V> {
    fn from_bytes(map: &Map, bytes: &[u8]) -> Result<PerCpu<V>> {
        let stride = size_of::<V>().next_multiple_of(8).max(8);
        bytes
            .chunks(stride)
            .map(|one| read(map, "lookup", one.get(..size_of::<V>()).unwrap_or(one)))
            .collect::<Result<_>>()
            .map(PerCpu)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let stride = size_of::<V>().next_multiple_of(8).max(8);
        let mut bytes = Vec::with_capacity(stride * self.0.len());
        for (index, value) in self.0.iter().enumerate() {
            bytes.extend_from_slice(value.as_bytes());
            bytes.resize((index + 1) * stride, 0);
        }
        bytes
    }
}

/// A per-CPU hash or LRU hash.
pub struct PerCpuHashMap<K, V> {
    map: Map,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Plain, V: Plain> TryFrom<Map> for PerCpuHashMap<K, V> {
    type Error = Error;

    fn try_from(map: Map) -> Result<Self> {
        map.expect(
            &[MapType::PercpuHash, MapType::LruPercpuHash],
            Some(size_of::<K>()),
            Some(size_of::<V>()),
        )?;
        Ok(PerCpuHashMap {
            map,
            types: PhantomData,
        })
    }
}

impl<K: Plain, V: Plain> PerCpuHashMap<K, V> {
    /// The values of a key, if there are any.
    pub fn get(&self, key: &K) -> Result<Option<PerCpu<V>>> {
        self.map
            .get(key.as_bytes())?
            .map(|bytes| PerCpu::from_bytes(&self.map, &bytes))
            .transpose()
    }

    /// Sets the values of a key on all CPUs.
    pub fn set(&self, key: &K, values: &PerCpu<V>) -> Result<()> {
        self.map.set(key.as_bytes(), &values.to_bytes())
    }

    /// All entries, in no order.
    pub fn entries(&self) -> impl Iterator<Item = Result<(K, PerCpu<V>)>> {
        self.map.entries().map(|entry| {
            let (key, values) = entry?;
            Ok((
                read(&self.map, "lookup", &key)?,
                PerCpu::from_bytes(&self.map, &values)?,
            ))
        })
    }
}

/// A per-CPU array.
pub struct PerCpuArray<V> {
    map: Map,
    types: PhantomData<fn() -> V>,
}

impl<V: Plain> TryFrom<Map> for PerCpuArray<V> {
    type Error = Error;

    fn try_from(map: Map) -> Result<Self> {
        map.expect(&[MapType::PercpuArray], Some(4), Some(size_of::<V>()))?;
        Ok(PerCpuArray {
            map,
            types: PhantomData,
        })
    }
}

impl<V: Plain> PerCpuArray<V> {
    /// The values at an index, if it is in range.
    pub fn get(&self, index: u32) -> Result<Option<PerCpu<V>>> {
        self.map
            .get(&index.to_ne_bytes())?
            .map(|bytes| PerCpu::from_bytes(&self.map, &bytes))
            .transpose()
    }

    /// Sets the values at an index on all CPUs.
    pub fn set(&self, index: u32, values: &PerCpu<V>) -> Result<()> {
        self.map.set(&index.to_ne_bytes(), &values.to_bytes())
    }
}
