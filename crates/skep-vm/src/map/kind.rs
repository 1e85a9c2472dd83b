//! What a kind of map must do ([`Kind`]), and the checks that all kinds share around it ([`Guarded`]).
//!
//! Invariants: a kind sees only keys and values of the right size; what the user side may not do (the map is
//! frozen, read-only or write-only for it) ends here with `EPERM`, in the order in which bpf(2) checks.

use super::Map;
use super::table::{EXIST, NOEXIST};
use crate::program::Program;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, MapType, flags, update};

/// All flags that say who may read or write.
pub(crate) const ACCESS: u32 =
    flags::RDONLY | flags::WRONLY | flags::RDONLY_PROG | flags::WRONLY_PROG;
/// The largest allocation of the kernel's slab: bounds elements of some kinds.
pub(crate) const KMALLOC_MAX: u64 = 4 << 20;
/// The largest value of a per-CPU map.
pub(crate) const PERCPU_VALUE_MAX: u64 = 32 << 10;

/// What a helper or bpf(2) asks of one kind of map. Keys and values have the right size when a kind sees them.
///
/// # Safety
///
/// As [`Map`]: addresses from `lookup` and ranges from `value_at` stay good as long as the map lives.
pub(crate) unsafe trait Kind: Any + Send + Sync {
    fn def(&self) -> &MapDef;

    fn lookup(&self, _key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        None
    }

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

    fn lookup_percpu(&self, _key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        None
    }

    fn for_each(
        &self,
        _cpu: u32,
        _visit: &mut dyn FnMut(&[u8], NonNull<u8>) -> bool,
    ) -> Result<u64, Errno> {
        Err(Errno::EINVAL)
    }

    fn value_at(&self, _addr: u64) -> Option<(u64, u64)> {
        None
    }

    fn direct_value(&self, _offset: u32) -> Option<u64> {
        None
    }

    /// Whether programs may store to the values, apart from the map's flags.
    fn program_writable(&self) -> bool {
        true
    }

    /// Bytes of a value on the user side.
    fn user_value_size(&self) -> usize {
        self.def().value_size as usize
    }

    /// Appends the value (of all CPUs) to `out`.
    fn read_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno>;

    /// Stores a value (of all CPUs).
    fn write_user(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.update(key, value, flags, 0)
    }

    fn delete_user(&self, key: &[u8]) -> Result<(), Errno> {
        self.delete(key)
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno>;

    /// Reads and removes in one step.
    fn take_user(&self, _key: &[u8], _out: &mut Vec<u8>) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// Calls `visit` with each key and its user-side value, each once, also while others change the map.
    fn entries(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Errno> {
        let (mut key, mut next, mut value) = (Vec::new(), Vec::new(), Vec::new());
        let mut known = false;
        let mut left = u64::from(self.def().max_entries);
        loop {
            next.clear();
            match self.next_key(known.then_some(key.as_slice()), &mut next) {
                Ok(()) => {}
                Err(Errno::ENOENT) => return Ok(()),
                Err(errno) => return Err(errno),
            }
            if left == 0 {
                return Ok(());
            }
            left -= 1;
            core::mem::swap(&mut key, &mut next);
            known = true;
            value.clear();
            match self.read_user(&key, &mut value) {
                Ok(()) => {}
                Err(Errno::ENOENT) => continue,
                Err(errno) => return Err(errno),
            }
            if !visit(&key, &value) {
                return Ok(());
            }
        }
    }

    fn program(&self, _index: u32) -> Option<Arc<Program>> {
        None
    }

    fn inner_map(&self, _key: &[u8]) -> Option<Arc<dyn Map>> {
        None
    }
}

/// A kind behind the checks of bpf(2).
pub(crate) struct Guarded<K> {
    kind: K,
    frozen: AtomicBool,
    /// Where in a value its lock lies, which the user neither sees nor changes.
    spin_lock: Option<u32>,
}

impl<K: Kind> Guarded<K> {
    pub(crate) fn new(kind: K, spin_lock: Option<u32>) -> Guarded<K> {
        Guarded {
            kind,
            frozen: AtomicBool::new(false),
            spin_lock,
        }
    }

    fn may_read(&self) -> Result<(), Errno> {
        if self.kind.def().flags & flags::WRONLY != 0 {
            Err(Errno::EPERM)
        } else {
            Ok(())
        }
    }

    fn may_write(&self) -> Result<(), Errno> {
        let refused =
            self.kind.def().flags & flags::RDONLY != 0 || self.frozen.load(Ordering::Acquire);
        if refused { Err(Errno::EPERM) } else { Ok(()) }
    }

    fn key_fits(&self, key: &[u8]) -> Result<(), Errno> {
        if key.len() == self.kind.def().key_size as usize {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    fn lock_flag(&self, flags: u64) -> Result<(), Errno> {
        if flags & update::LOCK != 0 && self.spin_lock.is_none() {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    }

    /// Clears the lock in the user's copies of a value.
    fn hide_lock(&self, values: &mut [u8]) {
        let Some(at) = self.spin_lock.map(|at| at as usize) else {
            return;
        };
        let stride = self.kind.def().value_size.next_multiple_of(8) as usize;
        for value in values.chunks_mut(stride) {
            if let Some(lock) = value.get_mut(at..at + 4) {
                lock.fill(0);
            }
        }
    }

    /// Runs `store` on the value with its lock open.
    fn with_open_lock<T>(&self, value: &[u8], store: impl FnOnce(&[u8]) -> T) -> T {
        if self.spin_lock.is_none() {
            return store(value);
        }
        let mut open = value.to_vec();
        self.hide_lock(&mut open);
        store(&open)
    }
}

// SAFETY: `Kind` has the same contract, which each implementation keeps; this only forwards.
unsafe impl<K: Kind> Map for Guarded<K> {
    fn def(&self) -> &MapDef {
        self.kind.def()
    }

    #[inline]
    fn lookup(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        self.kind.lookup(key, cpu)
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, cpu: u32) -> Result<(), Errno> {
        self.key_fits(key)?;
        require(value.len() == self.kind.def().value_size as usize)?;
        self.lock_flag(flags)?;
        self.with_open_lock(value, |value| self.kind.update(key, value, flags, cpu))
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.kind.delete(key)
    }

    fn push(&self, value: &[u8], flags: u64) -> Result<(), Errno> {
        require(value.len() == self.kind.def().value_size as usize)?;
        self.kind.push(value, flags)
    }

    fn pop(&self, out: &mut [u8]) -> Result<(), Errno> {
        self.kind.pop(out)
    }

    fn peek(&self, out: &mut [u8]) -> Result<(), Errno> {
        self.kind.peek(out)
    }

    fn lookup_percpu(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        self.kind.lookup_percpu(key, cpu)
    }

    fn for_each(
        &self,
        cpu: u32,
        visit: &mut dyn FnMut(&[u8], NonNull<u8>) -> bool,
    ) -> Result<u64, Errno> {
        self.kind.for_each(cpu, visit)
    }

    #[inline]
    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        self.kind.value_at(addr)
    }

    fn direct_value(&self, offset: u32) -> Option<u64> {
        self.kind.direct_value(offset)
    }

    fn program_writable(&self) -> bool {
        self.kind.def().flags & flags::RDONLY_PROG == 0 && self.kind.program_writable()
    }

    fn user_value_size(&self) -> usize {
        self.kind.user_value_size()
    }

    fn lookup_user(&self, key: &[u8], flags: u64, out: &mut Vec<u8>) -> Result<(), Errno> {
        if flags & !update::LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        self.may_read()?;
        self.lock_flag(flags)?;
        self.key_fits(key)?;
        if self.kind.def().map_type != MapType::BloomFilter {
            out.clear();
        }
        self.kind.read_user(key, out)?;
        self.hide_lock(out);
        Ok(())
    }

    fn update_user(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.may_write()?;
        self.lock_flag(flags)?;
        self.key_fits(key)?;
        if value.len() != self.kind.user_value_size() {
            return Err(Errno::EINVAL);
        }
        self.with_open_lock(value, |value| self.kind.write_user(key, value, flags))
    }

    fn delete_user(&self, key: &[u8]) -> Result<(), Errno> {
        self.may_write()?;
        self.key_fits(key)?;
        self.kind.delete_user(key)
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        self.may_read()?;
        if let Some(key) = key {
            self.key_fits(key)?;
        }
        out.clear();
        self.kind.next_key(key, out)
    }

    fn lookup_and_delete(&self, key: &[u8], flags: u64, out: &mut Vec<u8>) -> Result<(), Errno> {
        if flags & !update::LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        self.may_read()?;
        self.may_write()?;
        self.lock_flag(flags)?;
        self.key_fits(key)?;
        out.clear();
        self.kind.take_user(key, out)?;
        self.hide_lock(out);
        Ok(())
    }

    fn entries(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Errno> {
        self.may_read()?;
        self.kind.entries(visit)
    }

    fn freeze(&self) -> Result<(), Errno> {
        self.may_write()?;
        self.frozen.store(true, Ordering::Release);
        Ok(())
    }

    fn frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }

    fn program(&self, index: u32) -> Option<Arc<Program>> {
        self.kind.program(index)
    }

    fn inner_map(&self, key: &[u8]) -> Option<Arc<dyn Map>> {
        self.kind.inner_map(key)
    }

    fn as_any(&self) -> &dyn Any {
        &self.kind
    }
}

/// Refuses flags outside of `allowed`, and those that contradict each other.
pub(crate) fn flags_fit(def: &MapDef, allowed: u32) -> Result<(), Errno> {
    let both = |pair: u32| def.flags & pair == pair;
    let contradict =
        both(flags::RDONLY_PROG | flags::WRONLY_PROG) || both(flags::RDONLY | flags::WRONLY);
    if def.flags & !allowed != 0 || contradict {
        Err(Errno::EINVAL)
    } else {
        Ok(())
    }
}

/// `EINVAL` unless `fits`.
pub(crate) fn require(fits: bool) -> Result<(), Errno> {
    if fits { Ok(()) } else { Err(Errno::EINVAL) }
}

/// An update of an array whose values are descriptors, from bytes: this engine has no descriptors, so none is good.
pub(crate) fn no_descriptor(def: &MapDef, key: &[u8], flags: u64) -> Result<(), Errno> {
    require(flags == 0)?;
    if index_of(key) >= def.max_entries {
        Err(Errno::E2BIG)
    } else {
        Err(Errno::EBADF)
    }
}

/// The rules by which an update of an element of an array, which always exists, fails.
pub(crate) fn array_update_flags(index: u32, entries: u32, flags: u64) -> Result<(), Errno> {
    if flags & !update::LOCK > EXIST {
        return Err(Errno::EINVAL);
    }
    if index >= entries {
        return Err(Errno::E2BIG);
    }
    if flags & NOEXIST != 0 {
        Err(Errno::EEXIST)
    } else {
        Ok(())
    }
}

/// A key of an array.
#[inline]
pub(crate) fn index_of(key: &[u8]) -> u32 {
    key.first_chunk()
        .map_or(u32::MAX, |bytes| u32::from_ne_bytes(*bytes))
}

/// The order of keys of an array: 0 after an unknown key, `ENOENT` after the last.
pub(crate) fn next_index(key: Option<&[u8]>, entries: u32, out: &mut Vec<u8>) -> Result<(), Errno> {
    let next = match key.map(index_of) {
        None => 0,
        Some(index) if index >= entries => 0,
        Some(index) if index == entries - 1 => return Err(Errno::ENOENT),
        Some(index) => index + 1,
    };
    out.extend_from_slice(&next.to_ne_bytes());
    Ok(())
}
