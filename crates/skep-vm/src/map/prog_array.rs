//! `prog_array`: the programs that tail calls go to.
//!
//! Invariants: a slot holds a program or nothing; a program taken out stays alive for the runs that are in it.

use super::array;
use super::kind::{Kind, flags_fit, index_of, next_index, no_descriptor, require};
use crate::program::Program;
use crate::sync::RwLock;
use alloc::sync::Arc;
use alloc::vec::Vec;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags};

/// An array of programs. The user's side sets them with [`ProgArray::set`]; there are no descriptors to write.
pub struct ProgArray {
    def: MapDef,
    /// As long as the highest slot ever set needs; with the number that stands for the program on the user's side.
    slots: RwLock<Numbered>,
}

/// The programs, and the number last given.
type Numbered = (Vec<Option<(u32, Arc<Program>)>>, u32);

/// The checks on the definition of arrays whose elements are descriptors in the kernel.
pub(super) fn check_descriptors(def: &MapDef, extra: u32) -> Result<(), Errno> {
    require(def.value_size == 4)?;
    flags_fit(
        def,
        flags::NUMA_NODE | flags::RDONLY | flags::WRONLY | extra,
    )?;
    array::check(def, extra)
}

impl ProgArray {
    pub(crate) fn new(def: &MapDef) -> Result<ProgArray, Errno> {
        check_descriptors(def, 0)?;
        Ok(ProgArray {
            def: def.clone(),
            slots: RwLock::default(),
        })
    }

    /// Puts a program into a slot. `E2BIG` beyond the last.
    pub fn set(&self, index: u32, program: Arc<Program>) -> Result<(), Errno> {
        if index >= self.def.max_entries {
            return Err(Errno::E2BIG);
        }
        let mut slots = self
            .slots
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let (programs, number) = &mut *slots;
        if programs.len() <= index as usize {
            programs.resize(index as usize + 1, None);
        }
        *number += 1;
        programs[index as usize] = Some((*number, program));
        Ok(())
    }

    /// The program in a slot.
    pub fn program_at(&self, index: u32) -> Option<Arc<Program>> {
        let slots = self
            .slots
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        slots
            .0
            .get(index as usize)?
            .as_ref()
            .map(|(_, program)| program.clone())
    }
}

// SAFETY: no address is ever given out.
unsafe impl Kind for ProgArray {
    fn def(&self) -> &MapDef {
        &self.def
    }

    /// Programs may not change it, and the user has no descriptors: see [`ProgArray::set`].
    fn update(&self, key: &[u8], _value: &[u8], flags: u64, _cpu: u32) -> Result<(), Errno> {
        no_descriptor(&self.def, key, flags)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let index = index_of(key);
        if index >= self.def.max_entries {
            return Err(Errno::E2BIG);
        }
        let mut slots = self
            .slots
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        slots
            .0
            .get_mut(index as usize)
            .and_then(Option::take)
            .map(|_| ())
            .ok_or(Errno::ENOENT)
    }

    /// A number that stands for the program, as the kernel answers its id.
    fn read_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        let slots = self
            .slots
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let (number, _) = slots
            .0
            .get(index_of(key) as usize)
            .and_then(Option::as_ref)
            .ok_or(Errno::ENOENT)?;
        out.extend_from_slice(&number.to_ne_bytes());
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        next_index(key, self.def.max_entries, out)
    }

    fn program(&self, index: u32) -> Option<Arc<Program>> {
        self.program_at(index)
    }
}
