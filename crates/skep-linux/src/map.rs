//! Kernel maps: creation and element operations, with the kernel's own error codes.
//!
//! Shapes: keys are `key_size` bytes; values are `value_size` bytes, or, for per-CPU kinds, every possible CPU's value
//! rounded up to 8 bytes, one after the other, as bpf(2) gives them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, MapType};

use crate::attr::Attr;
use crate::error::Error;
use crate::syscall::{Command, Syscall, own};

/// A live kernel map; the descriptor closes when it drops.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    def: MapDef,
    value_bytes: usize,
}

/// BTF that describes a map's key and value.
#[derive(Clone, Copy, Debug)]
pub struct MapTypes<'a> {
    /// The object's BTF, already loaded.
    pub btf: BorrowedFd<'a>,
    /// Type id of the key.
    pub key: u32,
    /// Type id of the value.
    pub value: u32,
}

/// How many bytes a value takes at the door: per-CPU kinds carry one value a possible CPU.
pub fn value_bytes(def: &MapDef, possible_cpus: u32) -> usize {
    let one = def.value_size as usize;
    match def.map_type {
        MapType::PercpuArray
        | MapType::PercpuHash
        | MapType::LruPercpuHash
        | MapType::PercpuCgroupStorage => one.next_multiple_of(8) * possible_cpus as usize,
        // A map of maps answers with the inner map's id, whatever is declared.
        MapType::ArrayOfMaps | MapType::HashOfMaps => 4,
        _ => one,
    }
}

/// The number of possible CPUs, which per-CPU maps are sized by: parsed from the kernel's own list.
pub fn possible_cpus() -> u32 {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    parse_cpu_list(&list)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get() as u32))
}

/// The count of CPUs in a list such as `0-3,8`.
fn parse_cpu_list(list: &str) -> Option<u32> {
    let mut count = 0u32;
    for part in list.trim().split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        count = count.checked_add(to.checked_sub(from)?.checked_add(1)?)?;
    }
    (count > 0).then_some(count)
}

impl Map {
    /// Creates a map. `inner` is the template of a map of maps; `types` gives the key and value BTF.
    pub fn create(
        door: &dyn Syscall,
        def: &MapDef,
        inner: Option<BorrowedFd<'_>>,
        types: Option<MapTypes<'_>>,
    ) -> Result<Self, Error> {
        let mut attr = Attr::new(72)
            .u32(0, def.map_type as u32)
            .u32(4, def.key_size)
            .u32(8, def.value_size)
            .u32(12, def.max_entries)
            .u32(16, def.flags)
            .name(28, &def.name)
            .u64(64, def.map_extra);
        if let Some(inner) = inner {
            attr = attr.u32(20, inner.as_raw_fd() as u32);
        }
        if let Some(node) = def.numa_node {
            attr = attr.u32(24, node);
        }
        if let Some(types) = types {
            attr = attr
                .u32(48, types.btf.as_raw_fd() as u32)
                .u32(52, types.key)
                .u32(56, types.value);
        }
        // SAFETY: the attribute holds no pointer.
        let fd = unsafe { door.bpf(Command::MapCreate, attr.bytes_mut()) }.and_then(|fd| {
            // SAFETY: the kernel has just made this descriptor for us.
            unsafe { own(fd) }
        });
        let fd = fd.map_err(|errno| Error {
            call: Command::MapCreate.name(),
            errno,
            subject: def.name.clone(),
            log: String::new(),
        })?;
        Ok(Self {
            fd,
            def: def.clone(),
            value_bytes: value_bytes(def, possible_cpus()),
        })
    }

    /// The definition that the map was made from.
    pub fn def(&self) -> &MapDef {
        &self.def
    }

    /// The length of a value at this door.
    pub fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// Copies the value of `key` out.
    pub fn lookup(&self, door: &dyn Syscall, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        self.read(door, Command::MapLookup, key, flags)
    }

    /// Copies the value of `key` out and removes the element, in one step.
    pub fn lookup_and_delete(
        &self,
        door: &dyn Syscall,
        key: &[u8],
        flags: u64,
    ) -> Result<Vec<u8>, Errno> {
        self.read(door, Command::MapLookupAndDelete, key, flags)
    }

    fn read(
        &self,
        door: &dyn Syscall,
        command: Command,
        key: &[u8],
        flags: u64,
    ) -> Result<Vec<u8>, Errno> {
        self.check_key(key)?;
        let mut value = vec![0u8; self.value_bytes];
        let mut attr = self.element(key).pointer_mut(16, &mut value).u64(24, flags);
        // SAFETY: `key` has key_size bytes and `value` has the bytes that a value of this kind takes.
        unsafe { door.bpf(command, attr.bytes_mut()) }?;
        Ok(value)
    }

    /// Writes `value` at `key`; `flags` as BPF_ANY, BPF_NOEXIST, BPF_EXIST.
    pub fn update(
        &self,
        door: &dyn Syscall,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        self.check_key(key)?;
        if value.len() != self.value_bytes {
            return Err(Errno(libc::EINVAL));
        }
        let mut attr = self.element(key).pointer(16, value).u64(24, flags);
        // SAFETY: `key` and `value` have the lengths that the kernel reads, checked above.
        unsafe { door.bpf(Command::MapUpdate, attr.bytes_mut()) }.map(drop)
    }

    /// Removes `key`.
    pub fn delete(&self, door: &dyn Syscall, key: &[u8]) -> Result<(), Errno> {
        self.check_key(key)?;
        let mut attr = self.element(key);
        // SAFETY: `key` has key_size bytes.
        unsafe { door.bpf(Command::MapDelete, attr.bytes_mut()) }.map(drop)
    }

    /// The key after `key`, or the first; `ENOENT` ends the walk.
    pub fn next_key(&self, door: &dyn Syscall, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let mut next = vec![0u8; self.def.key_size as usize];
        let mut attr = Attr::new(32)
            .u32(0, self.fd.as_raw_fd() as u32)
            .pointer_mut(16, &mut next);
        if let Some(key) = key {
            self.check_key(key)?;
            attr = attr.pointer(8, key);
        }
        // SAFETY: `key`, where given, and `next` have key_size bytes.
        unsafe { door.bpf(Command::MapNextKey, attr.bytes_mut()) }?;
        Ok(next)
    }

    /// Makes the map read-only for user space.
    pub fn freeze(&self, door: &dyn Syscall) -> Result<(), Errno> {
        let mut attr = Attr::new(4).u32(0, self.fd.as_raw_fd() as u32);
        // SAFETY: the attribute holds no pointer.
        unsafe { door.bpf(Command::MapFreeze, attr.bytes_mut()) }.map(drop)
    }

    fn element(&self, key: &[u8]) -> Attr {
        Attr::new(32)
            .u32(0, self.fd.as_raw_fd() as u32)
            .pointer(8, key)
    }

    fn check_key(&self, key: &[u8]) -> Result<(), Errno> {
        if key.len() == self.def.key_size as usize {
            Ok(())
        } else {
            Err(Errno(libc::EINVAL))
        }
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::parse_cpu_list;

    #[test]
    fn cpu_lists_are_counted() {
        assert_eq!(parse_cpu_list("0-3,8\n"), Some(5));
        assert_eq!(parse_cpu_list("0"), Some(1));
        assert_eq!(parse_cpu_list(""), None);
        assert_eq!(parse_cpu_list("3-1"), None);
    }
}
