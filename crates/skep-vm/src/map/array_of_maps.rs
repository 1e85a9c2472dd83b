//! `array_of_maps`: maps by number.
//!
//! Invariants: every inner map has the template's shape; a map taken out stays alive for the runs that hold it.

use super::Map;
use super::kind::{Kind, index_of, next_index, no_descriptor, require};
use super::prog_array::check_descriptors;
use crate::sync::RwLock;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, MapType, flags};

/// Inner maps by key, each with the number that stands for it on the user's side.
#[derive(Default)]
pub(super) struct Inner {
    maps: RwLock<Numbered>,
}

/// The maps, and the number last given.
type Numbered = (BTreeMap<Vec<u8>, (u32, Arc<dyn Map>)>, u32);

impl Inner {
    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<dyn Map>> {
        let maps = self
            .maps
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        maps.0.get(key).map(|(_, map)| map.clone())
    }

    pub(super) fn number(&self, key: &[u8]) -> Result<u32, Errno> {
        let maps = self
            .maps
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        maps.0
            .get(key)
            .map(|(number, _)| *number)
            .ok_or(Errno::ENOENT)
    }

    pub(super) fn set(
        &self,
        key: &[u8],
        map: Arc<dyn Map>,
        entries_max: usize,
    ) -> Result<(), Errno> {
        let mut maps = self
            .maps
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if maps.0.len() >= entries_max && !maps.0.contains_key(key) {
            return Err(Errno::E2BIG);
        }
        maps.1 += 1;
        let number = maps.1;
        maps.0.insert(key.to_vec(), (number, map));
        Ok(())
    }

    pub(super) fn remove(&self, key: &[u8]) -> Result<(), Errno> {
        let mut maps = self
            .maps
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        maps.0.remove(key).map(|_| ()).ok_or(Errno::ENOENT)
    }

    pub(super) fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        use core::ops::Bound::{Excluded, Unbounded};
        let maps = self
            .maps
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let known = key.filter(|key| maps.0.contains_key(*key));
        let from = known.map_or(Unbounded, Excluded);
        let (next, _) = maps
            .0
            .range::<[u8], _>((from, Unbounded))
            .next()
            .ok_or(Errno::ENOENT)?;
        out.extend_from_slice(next);
        Ok(())
    }
}

/// Whether maps like `template` may be inside others.
pub(super) fn check_template(template: Option<&MapDef>) -> Result<MapDef, Errno> {
    let template = template.ok_or(Errno::EINVAL)?;
    match template.map_type {
        MapType::ProgArray
        | MapType::CgroupStorage
        | MapType::PercpuCgroupStorage
        | MapType::StructOps => Err(Errno::ENOTSUPP),
        MapType::ArrayOfMaps | MapType::HashOfMaps => Err(Errno::EINVAL),
        _ => Ok(template.clone()),
    }
}

/// Whether `def` may stand where maps like `template` are expected.
pub(super) fn same_shape(template: &MapDef, def: &MapDef) -> bool {
    let entries_matter =
        template.map_type == MapType::Array && template.flags & flags::INNER_MAP == 0;
    def.map_type == template.map_type
        && def.key_size == template.key_size
        && def.value_size == template.value_size
        && def.flags == template.flags
        && (!entries_matter || def.max_entries == template.max_entries)
}

/// An array of maps. The user's side sets them with [`ArrayOfMaps::set`]; there are no descriptors to write.
pub struct ArrayOfMaps {
    def: MapDef,
    template: MapDef,
    inner: Inner,
}

impl ArrayOfMaps {
    pub(crate) fn new(def: &MapDef, template: Option<&MapDef>) -> Result<ArrayOfMaps, Errno> {
        check_descriptors(def, 0)?;
        Ok(ArrayOfMaps {
            def: def.clone(),
            template: check_template(template)?,
            inner: Inner::default(),
        })
    }

    /// Puts a map into a slot. `E2BIG` beyond the last, `EINVAL` if the map's shape is not the template's.
    pub fn set(&self, index: u32, map: Arc<dyn Map>) -> Result<(), Errno> {
        if index >= self.def.max_entries {
            return Err(Errno::E2BIG);
        }
        require(same_shape(&self.template, map.def()))?;
        self.inner.set(&index.to_ne_bytes(), map, usize::MAX)
    }
}

// SAFETY: no address is ever given out; inner maps are given out as references that count.
unsafe impl Kind for ArrayOfMaps {
    fn def(&self) -> &MapDef {
        &self.def
    }

    fn update(&self, key: &[u8], _value: &[u8], flags: u64, _cpu: u32) -> Result<(), Errno> {
        no_descriptor(&self.def, key, flags)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        if index_of(key) >= self.def.max_entries {
            return Err(Errno::E2BIG);
        }
        self.inner.remove(key)
    }

    fn read_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        out.extend_from_slice(&self.inner.number(key)?.to_ne_bytes());
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        next_index(key, self.def.max_entries, out)
    }

    fn inner_map(&self, key: &[u8]) -> Option<Arc<dyn Map>> {
        self.inner.get(key)
    }
}
