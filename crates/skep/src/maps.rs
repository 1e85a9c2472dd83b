//! Maps as typed views over bytes: one handle for any map, one view a kind.
//!
//! Invariants: a view exists only if its types fit the map's sizes; iteration yields every key that was there for its
//! whole duration, errors are items and end nothing silently; values are read into fresh memory, never aliased.

use std::sync::Arc;

use skep_btf::Btf;
use skep_obj::MapSpec;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, MapType};

use crate::engine::{MapOps, Record};
use crate::error::{Error, ErrorKind, Result};

mod array;
mod hash;
mod percpu;
mod ring;

pub use array::Array;
pub use hash::HashMap;
pub use percpu::{PerCpu, PerCpuArray, PerCpuHashMap};
pub use ring::{PerfBuffer, RingBuffer};

/// A type that is the same as its bytes: zerocopy's traits say so (derive them, never `unsafe impl` them).
pub trait Plain: zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable {}
impl<T: zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable> Plain for T {}

/// A live map, in bytes.
#[derive(Clone)]
pub struct Map {
    ops: Arc<dyn MapOps>,
    spec: Arc<MapSpec>,
    types: Option<Arc<Btf>>,
}

impl Map {
    pub(crate) fn new(ops: Arc<dyn MapOps>, spec: Arc<MapSpec>, types: Option<Arc<Btf>>) -> Map {
        Map { ops, spec, types }
    }

    pub fn name(&self) -> &str {
        &self.spec.def.name
    }

    pub fn def(&self) -> &MapDef {
        &self.spec.def
    }

    /// What the object says of the map, its BTF type ids among it.
    pub fn spec(&self) -> &MapSpec {
        &self.spec
    }

    /// The types that the ids in [`Map::spec`] belong to.
    pub fn types(&self) -> Option<&Arc<Btf>> {
        self.types.as_ref()
    }

    /// The engine's side of the map.
    pub fn ops(&self) -> &Arc<dyn MapOps> {
        &self.ops
    }

    /// The value of a key, if there is one.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut value = Vec::new();
        match self.ops.lookup(key, 0, &mut value) {
            Ok(()) => Ok(Some(value)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.error("lookup", errno)),
        }
    }

    /// Sets the value of a key (`BPF_ANY`).
    pub fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.ops
            .update(key, value, 0)
            .map_err(|errno| self.error("update", errno))
    }

    /// Removes a key; whether it was there.
    pub fn remove(&self, key: &[u8]) -> Result<bool> {
        match self.ops.delete(key) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(self.error("delete", errno)),
        }
    }

    /// All entries, in the map's order.
    pub fn entries(&self) -> Entries<'_> {
        Entries {
            map: self,
            key: None,
            done: false,
            left: self.entries_max(),
        }
    }

    /// Hands each record of a ring or perf buffer to `visit` and releases it; answers how many there were.
    pub fn drain(&self, mut visit: impl FnMut(Record<'_>)) -> Result<usize> {
        self.ops
            .drain(&mut visit)
            .map_err(|errno| self.error("drain", errno))
    }

    /// Records that found no room.
    pub fn lost(&self) -> u64 {
        self.ops.lost()
    }

    /// A typed view of a ring buffer.
    pub fn ring_buffer<E: Plain>(&self) -> Result<RingBuffer<E>> {
        RingBuffer::try_from(self.clone())
    }

    /// A typed view of a perf buffer.
    pub fn perf_buffer<E: Plain>(&self) -> Result<PerfBuffer<E>> {
        PerfBuffer::try_from(self.clone())
    }

    /// A bound on one walk, so that a map that others fill meanwhile does not hold it for ever.
    fn entries_max(&self) -> u64 {
        u64::from(self.spec.def.max_entries) * 4 + 64
    }

    pub(crate) fn error(&self, call: &'static str, errno: Errno) -> Error {
        let hint = match errno {
            Errno::E2BIG => Some(format!(
                "the map holds max_entries ({}) already",
                self.spec.def.max_entries
            )),
            Errno::EPERM => Some("the map is frozen or read-only".to_owned()),
            Errno::EOPNOTSUPP => {
                Some("this engine cannot do that with maps of this type".to_owned())
            }
            _ => None,
        };
        ErrorKind::Map {
            map: self.name().to_owned(),
            call,
            errno,
            hint,
        }
        .into()
    }

    pub(crate) fn expect(
        &self,
        kinds: &[MapType],
        key: Option<usize>,
        value: Option<usize>,
    ) -> Result<()> {
        let def = &self.spec.def;
        let layout = |why: String| {
            Err(ErrorKind::Layout {
                map: def.name.clone(),
                why,
            }
            .into())
        };
        if !kinds.contains(&def.map_type) {
            let kinds: Vec<&str> = kinds.iter().map(|k| k.name()).collect();
            return layout(format!(
                "is of type {}; this view is for {}",
                def.map_type.name(),
                kinds.join(", ")
            ));
        }
        if let Some(size) = key.filter(|&size| size != def.key_size as usize) {
            return layout(format!(
                "keys have {} bytes, the type of this view {size}{}",
                def.key_size,
                self.declared(self.spec.key_type)
            ));
        }
        if let Some(size) = value.filter(|&size| size != def.value_size as usize) {
            return layout(format!(
                "values have {} bytes, the type of this view {size}{}",
                def.value_size,
                self.declared(self.spec.value_type)
            ));
        }
        Ok(())
    }

    /// The C declaration of a type of the object, for messages.
    fn declared(&self, id: Option<skep_btf::TypeId>) -> String {
        match (&self.types, id) {
            (Some(types), Some(id)) => skep_btf::format_c::declare(types, id).map_or_else(
                |_| String::new(),
                |text| format!("; the object declares {text}"),
            ),
            _ => String::new(),
        }
    }
}

/// Reads a plain value; the caller has checked the size.
fn read<T: Plain>(map: &Map, call: &'static str, bytes: &[u8]) -> Result<T> {
    T::read_from_bytes(bytes).map_err(|_| map.error(call, Errno::EINVAL))
}

/// Walks a map: see [`Map::entries`].
pub struct Entries<'a> {
    map: &'a Map,
    key: Option<Vec<u8>>,
    done: bool,
    left: u64,
}

impl Iterator for Entries<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            let mut key = Vec::new();
            match self.map.ops.next_key(self.key.as_deref(), &mut key) {
                Ok(()) => {}
                Err(Errno::ENOENT) => {
                    self.done = true;
                    return None;
                }
                Err(errno) => {
                    self.done = true;
                    return Some(Err(self.map.error("walking the keys", errno)));
                }
            }
            if self.left == 0 {
                self.done = true;
                return Some(Err(self.map.error(
                    "walking the keys (the map changes faster than it can be read)",
                    Errno::EAGAIN,
                )));
            }
            self.left -= 1;
            self.key = Some(key.clone());
            let mut value = Vec::new();
            match self.map.ops.lookup(&key, 0, &mut value) {
                Ok(()) => return Some(Ok((key, value))),
                // Deleted between the two calls: it was not there the whole time.
                Err(Errno::ENOENT) => {}
                Err(errno) => return Some(Err(self.map.error("lookup", errno))),
            }
        }
        None
    }
}
