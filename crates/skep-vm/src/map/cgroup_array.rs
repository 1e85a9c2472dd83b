//! `cgroup_array`: cgroups by number, to ask whether a task or a packet belongs to one.
//!
//! Invariants: a slot holds a cgroup's id (its inode number) or nothing.

use super::kind::{Kind, index_of, next_index, no_descriptor};
use super::prog_array::check_descriptors;
use crate::sync::RwLock;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use skep_spec::errno::Errno;
use skep_spec::map::MapDef;

/// Cgroups. The user's side sets them with [`CgroupArray::set`]; there are no descriptors to write.
pub struct CgroupArray {
    def: MapDef,
    ids: RwLock<BTreeMap<u32, u64>>,
}

impl CgroupArray {
    pub(crate) fn new(def: &MapDef) -> Result<CgroupArray, Errno> {
        check_descriptors(def, 0)?;
        Ok(CgroupArray {
            def: def.clone(),
            ids: RwLock::default(),
        })
    }

    /// Puts a cgroup's id into a slot.
    pub fn set(&self, index: u32, id: u64) -> Result<(), Errno> {
        if index >= self.def.max_entries {
            return Err(Errno::E2BIG);
        }
        self.ids
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .insert(index, id);
        Ok(())
    }

    /// The cgroup in a slot: `E2BIG` beyond the last, `EAGAIN` if it is empty, as helpers answer.
    pub fn id(&self, index: u64) -> Result<u64, Errno> {
        if index >= u64::from(self.def.max_entries) {
            return Err(Errno::E2BIG);
        }
        let ids = self
            .ids
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        ids.get(&(index as u32)).copied().ok_or(Errno::EAGAIN)
    }
}

// SAFETY: no address is ever given out.
unsafe impl Kind for CgroupArray {
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
        let mut ids = self
            .ids
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        ids.remove(&index_of(key)).map(|_| ()).ok_or(Errno::ENOENT)
    }

    fn read_user(&self, _key: &[u8], _out: &mut Vec<u8>) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        next_index(key, self.def.max_entries, out)
    }
}
