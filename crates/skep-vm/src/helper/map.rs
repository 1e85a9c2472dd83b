//! Helpers of map elements.
//!
//! Invariants: keys and values are read and written with the sizes of the map's definition; a map that programs may
//! not read or write traps, since the verifier refuses such a program.

use super::{Call, HelperFn, failure, status};
use crate::map::Map;
use crate::trap::Trap;
use alloc::format;
use skep_spec::errno::Errno;
use skep_spec::map::{MapType, flags};

/// `bpf_map_lookup_elem`, which compilers know for some kinds of map.
pub(crate) const LOOKUP: u32 = 1;

pub const HELPERS: &[(u32, HelperFn)] = &[
    (LOOKUP, lookup_elem),
    (2, update_elem),
    (3, delete_elem),
    (87, push_elem),
    (88, pop_elem),
    (89, peek_elem),
    (195, lookup_percpu_elem),
    (107, storage_get),
    (108, storage_delete),
    (145, storage_get),
    (146, storage_delete),
    (156, task_storage_get),
    (157, task_storage_delete),
    (210, storage_get),
    (211, storage_delete),
];

/// `BPF_LOCAL_STORAGE_GET_F_CREATE`.
const CREATE: u64 = 1;

fn writable<'p>(call: &Call<'_, 'p>, map: u64, helper: &'static str) -> Result<&'p dyn Map, Trap> {
    let map = call.map(map)?;
    if map.def().flags & flags::RDONLY_PROG != 0 {
        let name = &map.def().name;
        return Err(call.bad_argument(helper, format!("map {name} is read-only for programs")));
    }
    Ok(map)
}

fn lookup_elem(call: &mut Call<'_, '_>, [map, key, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = call.map(map)?;
    let def = map.def();
    let key = call.read(key, u64::from(def.key_size))?;
    if def.map_type.is_map_of_maps() {
        let inner = map.inner_map(key);
        return Ok(inner.map_or(0, |inner| call.add_inner_map(inner)));
    }
    let Some(value) = map.lookup(key, call.cpu()) else {
        return Ok(0);
    };
    let value = value.as_ptr().expose_provenance() as u64;
    let memory = &mut call.machine.memory;
    memory.remember_value(value, def.value_size, map.program_writable());
    Ok(value)
}

fn update_elem(
    call: &mut Call<'_, '_>,
    [map, key, value, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let map = writable(call, map, "bpf_map_update_elem")?;
    let key = call.read(key, u64::from(map.def().key_size))?;
    let value = call.read(value, u64::from(map.def().value_size))?;
    Ok(status(map.update(key, value, flags, call.cpu())))
}

fn delete_elem(call: &mut Call<'_, '_>, [map, key, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = writable(call, map, "bpf_map_delete_elem")?;
    let key = call.read(key, u64::from(map.def().key_size))?;
    Ok(status(map.delete(key)))
}

fn push_elem(call: &mut Call<'_, '_>, [map, value, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = writable(call, map, "bpf_map_push_elem")?;
    let value = call.read(value, u64::from(map.def().value_size))?;
    Ok(status(map.push(value, flags)))
}

fn pop_elem(call: &mut Call<'_, '_>, [map, value, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = writable(call, map, "bpf_map_pop_elem")?;
    let value = call.write(value, u64::from(map.def().value_size))?;
    Ok(status(map.pop(value)))
}

fn peek_elem(call: &mut Call<'_, '_>, [map, value, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = call.map(map)?;
    let size = u64::from(map.def().value_size);
    if map.def().map_type == MapType::BloomFilter {
        // The value is what is asked for.
        let mut value = call.read(value, size)?.to_vec();
        return Ok(status(map.peek(&mut value)));
    }
    let value = call.write(value, size)?;
    Ok(status(map.peek(value)))
}

fn lookup_percpu_elem(call: &mut Call<'_, '_>, [map, key, cpu, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = call.map(map)?;
    let key = call.read(key, u64::from(map.def().key_size))?;
    let value = map.lookup_percpu(key, cpu as u32);
    Ok(value.map_or(0, |value| value.as_ptr().expose_provenance() as u64))
}

fn value_of(
    call: &Call<'_, '_>,
    map: u64,
    owner: u64,
    initial: u64,
    flags: u64,
) -> Result<u64, Trap> {
    let map = call.map(map)?;
    let Some(storage) = map.as_storage() else {
        return Err(call.bad_argument("storage_get", "the map is no storage"));
    };
    if owner == 0 || flags & !CREATE != 0 {
        return Ok(0);
    }
    let size = u64::from(map.def().value_size);
    let initial = if initial == 0 {
        &[]
    } else {
        call.read(initial, size)?
    };
    let value = storage.value_of(owner, (flags & CREATE != 0).then_some(initial));
    Ok(value.map_or(0, |value| value.as_ptr().expose_provenance() as u64))
}

fn remove(call: &Call<'_, '_>, map: u64, owner: u64) -> Result<u64, Trap> {
    let Some(storage) = call.map(map)?.as_storage() else {
        return Err(call.bad_argument("storage_delete", "the map is no storage"));
    };
    if owner == 0 {
        return Ok(failure(Errno::EINVAL));
    }
    Ok(status(storage.remove(owner)))
}

/// The number that stands for a task in its storage: its pid, by which the user asks too, if it is the current one.
fn task_owner(call: &Call<'_, '_>, task: u64) -> u64 {
    match call.current() {
        Some(current) if current.task_addr == task && task != 0 => u64::from(current.pid),
        _ => task,
    }
}

fn task_storage_get(
    call: &mut Call<'_, '_>,
    [map, task, initial, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    value_of(call, map, task_owner(call, task), initial, flags)
}

fn task_storage_delete(call: &mut Call<'_, '_>, [map, task, ..]: [u64; 5]) -> Result<u64, Trap> {
    remove(call, map, task_owner(call, task))
}

fn storage_get(
    call: &mut Call<'_, '_>,
    [map, owner, initial, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    value_of(call, map, owner, initial, flags)
}

fn storage_delete(call: &mut Call<'_, '_>, [map, owner, ..]: [u64; 5]) -> Result<u64, Trap> {
    remove(call, map, owner)
}
