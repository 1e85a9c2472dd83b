//! `bpf_spin_lock` and `bpf_spin_unlock`: the lock in a map's value.
//!
//! Invariants: a run holds at most one lock, as the verifier has it; a run that ends with a trap lets its lock go.

use super::{Call, HelperFn};
use crate::map::Map;
use crate::trap::{Trap, TrapCause};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

pub const HELPERS: &[(u32, HelperFn)] = &[(93, spin_lock), (94, spin_unlock)];

/// How long to spin before the other thread gets the CPU.
const SPINS: u32 = 100;

/// The map whose value holds the lock at `addr`, writable.
fn owner(call: &mut Call<'_, '_>, addr: u64, helper: &'static str) -> Result<Arc<dyn Map>, Trap> {
    if !addr.is_multiple_of(4) {
        return Err(call.trap(TrapCause::Misaligned { addr, len: 4 }));
    }
    call.write(addr, 4)?;
    let held = call.machine.memory.inner_maps.iter().map(|map| &**map);
    let map = call
        .program
        .maps
        .iter()
        .chain(held)
        .find(|map| map.value_at(addr).is_some());
    match map {
        Some(map) => Ok(map.clone()),
        None => Err(call.bad_argument(helper, "the lock is not in a map's value")),
    }
}

/// # Safety
///
/// `addr` must be a multiple of 4 and lie in a value of a map that lives as long as the answer is used.
unsafe fn word<'a>(addr: u64) -> &'a AtomicU32 {
    // SAFETY: the caller vouches for the address; maps' values may be accessed by several threads at once.
    unsafe { AtomicU32::from_ptr(core::ptr::with_exposed_provenance_mut(addr as usize)) }
}

fn let_go(_map: &dyn Map, addr: u64) {
    // SAFETY: only called with the address of a lock that `spin_lock` took, while its map is held.
    unsafe { word(addr) }.store(0, Ordering::Release);
}

fn spin_lock(call: &mut Call<'_, '_>, [addr, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = owner(call, addr, "bpf_spin_lock")?;
    if call
        .machine
        .memory
        .records
        .iter()
        .any(|record| record.map.as_ringbuf().is_none())
    {
        return Err(call.bad_argument("bpf_spin_lock", "a lock is held already"));
    }
    // SAFETY: `owner` found the address aligned and in a value of `map`.
    let lock = unsafe { word(addr) };
    let mut spins = 0;
    while lock
        .compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed)
        .is_err()
    {
        spins += 1;
        if spins % SPINS == 0 {
            if call.machine.interrupted() {
                return Err(call.trap(TrapCause::Interrupted));
            }
            crate::sync::wait_a_little();
        }
        core::hint::spin_loop();
    }
    // SAFETY: a record of no bytes gives the program nothing; it stands for the lock until it is taken back.
    unsafe { call.add_record(map, addr, 0, let_go) };
    Ok(0)
}

fn spin_unlock(call: &mut Call<'_, '_>, [addr, ..]: [u64; 5]) -> Result<u64, Trap> {
    let mut records = call.machine.memory.records.iter();
    if !records.any(|record| record.range.start == addr && record.map.as_ringbuf().is_none()) {
        return Err(call.bad_argument("bpf_spin_unlock", "the lock is not held"));
    }
    if let Some(map) = call.take_record(addr) {
        let_go(&*map, addr);
    }
    Ok(0)
}
