//! Maps: the memory that programs share with each other and with the user.
//!
//! Invariants: a value's memory stays valid as long as its map lives, whatever is deleted; what a map says of
//! itself in [`Map::value_at`] is true, because the interpreter reads and writes there without further checks.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::ptr::NonNull;
use skep_spec::errno::Errno;
use skep_spec::map::MapDef;

use crate::program::Program;

mod array;
pub mod array_of_maps;
mod bell;
mod bloom_filter;
pub mod cgroup_array;
pub mod cpumap;
pub mod create;
pub mod devmap;
pub mod devmap_hash;
mod hash;
pub mod hash_of_maps;
mod kind;
mod lpm_trie;
mod lru_hash;
mod lru_percpu_hash;
mod percpu_array;
mod percpu_hash;
pub mod perf_event_array;
pub mod prog_array;
mod queue;
mod region;
pub mod ringbuf;
mod slots;
pub mod sockets;
mod stack;
pub mod stack_trace;
pub mod storage;
mod table;
pub mod user_ringbuf;

#[cfg(test)]
mod tests;

#[cfg(feature = "std")]
pub(crate) use array::Flat;
pub use create::{CreateOptions, create, is_supported};

/// One map, as programs and users see it. `cpu` is the CPU that the calling program runs on.
///
/// Keys and values have the sizes that [`Map::def`] tells, where not said otherwise. Errors are the kernel's.
///
/// # Safety
///
/// Every address that [`Map::lookup`] answers, that lies in a range answered by [`Map::value_at`], or that
/// [`Map::direct_value`] answers must stay readable and writable (any bytes, by several threads) for as long as the map lives.
pub unsafe trait Map: Send + Sync {
    fn def(&self) -> &MapDef;

    /// Address of the value, `value_size` bytes long, or nothing.
    fn lookup(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>>;

    fn update(&self, key: &[u8], value: &[u8], flags: u64, cpu: u32) -> Result<(), Errno>;

    fn delete(&self, key: &[u8]) -> Result<(), Errno>;

    fn push(&self, _value: &[u8], _flags: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn pop(&self, _out: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn peek(&self, _out: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The value as a program sees it on another CPU (`bpf_map_lookup_percpu_elem`).
    fn lookup_percpu(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        self.lookup(key, cpu)
    }

    /// Calls `visit` with each key and the address of its value; stops when it answers `false`
    /// (`bpf_for_each_map_elem`). Answers how many elements were visited.
    fn for_each(
        &self,
        _cpu: u32,
        _visit: &mut dyn FnMut(&[u8], NonNull<u8>) -> bool,
    ) -> Result<u64, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The exact value `[start, end)` that contains `addr`, if `addr` belongs to this map.
    fn value_at(&self, addr: u64) -> Option<(u64, u64)>;

    /// The address that `ld_imm64` of a map's value with this offset gives (array maps with one element).
    fn direct_value(&self, _offset: u32) -> Option<u64> {
        None
    }

    /// Whether programs may write to the values (not with `BPF_F_RDONLY_PROG`).
    fn program_writable(&self) -> bool {
        true
    }

    /// Bytes of a value on the user's side: for per-CPU maps those of all CPUs.
    fn user_value_size(&self) -> usize {
        self.def().value_size as usize
    }

    /// User side. Values of per-CPU maps are those of all CPUs, each rounded up to 8 bytes, concatenated. A bloom
    /// filter takes the value to ask for in `out`.
    fn lookup_user(&self, key: &[u8], flags: u64, out: &mut Vec<u8>) -> Result<(), Errno>;

    fn update_user(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno>;

    fn delete_user(&self, key: &[u8]) -> Result<(), Errno> {
        self.delete(key)
    }

    /// The key after `key`, or the first; `ENOENT` after the last.
    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno>;

    fn lookup_and_delete(&self, key: &[u8], flags: u64, out: &mut Vec<u8>) -> Result<(), Errno> {
        self.lookup_user(key, flags, out)?;
        self.delete_user(key)
    }

    /// Calls `visit` with each key and its user-side value until it answers `false`: each element that is there all
    /// the time exactly once, and an end also while others change the map.
    fn entries(&self, _visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// No more changes from the user's side. `EPERM` if there could be none already.
    fn freeze(&self) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Whether [`Map::freeze`] has been called.
    fn frozen(&self) -> bool {
        false
    }

    /// The program in a slot of a program array.
    fn program(&self, _index: u32) -> Option<Arc<Program>> {
        None
    }

    /// The map in a slot of a map of maps.
    fn inner_map(&self, _key: &[u8]) -> Option<Arc<dyn Map>> {
        None
    }

    /// The kind behind the map, such as [`ringbuf::RingBuf`], for what only that kind can do.
    fn as_any(&self) -> &dyn Any;
}

/// What only one kind of map can do.
impl dyn Map + '_ {
    /// Where the values of an array lie, for as long as it lives.
    #[cfg(feature = "std")]
    pub(crate) fn as_flat(&self) -> Option<Flat> {
        self.as_any().downcast_ref().map(array::Array::flat)
    }

    pub fn as_ringbuf(&self) -> Option<&ringbuf::RingBuf> {
        self.as_any().downcast_ref()
    }

    pub fn as_user_ringbuf(&self) -> Option<&user_ringbuf::UserRingBuf> {
        self.as_any().downcast_ref()
    }

    pub fn as_perf(&self) -> Option<&perf_event_array::PerfEventArray> {
        self.as_any().downcast_ref()
    }

    pub fn as_prog_array(&self) -> Option<&prog_array::ProgArray> {
        self.as_any().downcast_ref()
    }

    pub fn as_array_of_maps(&self) -> Option<&array_of_maps::ArrayOfMaps> {
        self.as_any().downcast_ref()
    }

    pub fn as_hash_of_maps(&self) -> Option<&hash_of_maps::HashOfMaps> {
        self.as_any().downcast_ref()
    }

    pub fn as_stack_trace(&self) -> Option<&stack_trace::StackTrace> {
        self.as_any().downcast_ref()
    }

    pub fn as_cgroup_array(&self) -> Option<&cgroup_array::CgroupArray> {
        self.as_any().downcast_ref()
    }

    pub fn as_devmap(&self) -> Option<&devmap::Devmap> {
        self.as_any().downcast_ref()
    }

    pub fn as_devmap_hash(&self) -> Option<&devmap_hash::DevmapHash> {
        self.as_any().downcast_ref()
    }

    pub fn as_cpumap(&self) -> Option<&cpumap::Cpumap> {
        self.as_any().downcast_ref()
    }

    pub fn as_socket_array(&self) -> Option<&sockets::SocketArray> {
        self.as_any().downcast_ref()
    }

    pub fn as_storage(&self) -> Option<&storage::Storage> {
        self.as_any().downcast_ref()
    }
}
