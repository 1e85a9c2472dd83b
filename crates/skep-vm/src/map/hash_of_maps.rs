//! `hash_of_maps`: maps by keys of any bytes.
//!
//! Invariants: every inner map has the template's shape; keys come in the order of their bytes.

use super::Map;
use super::array_of_maps::{Inner, check_template, same_shape};
use super::hash;
use super::kind::{Kind, require};
use super::table::{EXIST, NOEXIST};
use alloc::sync::Arc;
use alloc::vec::Vec;
use skep_spec::errno::Errno;
use skep_spec::map::MapDef;

/// A hash of maps. The user's side sets them with [`HashOfMaps::set`]; there are no descriptors to write.
pub struct HashOfMaps {
    def: MapDef,
    template: MapDef,
    inner: Inner,
}

impl HashOfMaps {
    pub(crate) fn new(def: &MapDef, template: Option<&MapDef>) -> Result<HashOfMaps, Errno> {
        require(def.value_size == 4)?;
        hash::check(def, false, false)?;
        Ok(HashOfMaps {
            def: def.clone(),
            template: check_template(template)?,
            inner: Inner::default(),
        })
    }

    /// Puts a map under a key, by the rules of `flags` (`BPF_ANY`, `BPF_NOEXIST`, `BPF_EXIST`).
    pub fn set(&self, key: &[u8], map: Arc<dyn Map>, flags: u64) -> Result<(), Errno> {
        require(flags <= EXIST && key.len() == self.def.key_size as usize)?;
        require(same_shape(&self.template, map.def()))?;
        match (self.inner.get(key), flags) {
            (Some(_), NOEXIST) => Err(Errno::EEXIST),
            (None, EXIST) => Err(Errno::ENOENT),
            _ => self.inner.set(key, map, self.def.max_entries as usize),
        }
    }
}

// SAFETY: no address is ever given out; inner maps are given out as references that count.
unsafe impl Kind for HashOfMaps {
    fn def(&self) -> &MapDef {
        &self.def
    }

    fn update(&self, _key: &[u8], _value: &[u8], _flags: u64, _cpu: u32) -> Result<(), Errno> {
        Err(Errno::EBADF)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.inner.remove(key)
    }

    fn read_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        out.extend_from_slice(&self.inner.number(key)?.to_ne_bytes());
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        self.inner.next_key(key, out)
    }

    fn inner_map(&self, key: &[u8]) -> Option<Arc<dyn Map>> {
        self.inner.get(key)
    }
}
