//! The embedded engine's maps behind the front door's [`MapOps`].
//!
//! Invariant: a map made here is used by this engine only; a map of another engine is refused with `EINVAL`.

use std::any::Any;
use std::sync::Arc;

use skep_obj::MapSpec;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, MapType};
use skep_vm::map::{self, CreateOptions};

use super::{Embedded, EmbeddedProgram, refusal};
use crate::engine::{Engine, Feature, LoadedProgram, MapOps, Record};
use crate::error::{ErrorKind, Result};

/// A map of the embedded engine.
pub struct EmbeddedMap {
    map: Arc<dyn map::Map>,
    value_bytes: usize,
}

impl EmbeddedMap {
    /// The virtual machine's map.
    pub fn map(&self) -> &Arc<dyn map::Map> {
        &self.map
    }
}

pub(super) fn models() -> String {
    let known = MapType::ALL.iter().filter(|kind| map::is_supported(**kind));
    let names: Vec<&str> = known.map(|kind| kind.name()).collect();
    format!("it models: {}", names.join(", "))
}

pub(super) fn create(
    engine: &Embedded,
    spec: &MapSpec,
    inner: Option<&dyn MapOps>,
) -> Result<Arc<dyn MapOps>> {
    let mut def = spec.def.clone();
    if !map::is_supported(def.map_type) {
        return Err(refusal(Feature::Map(def.map_type), models()).into());
    }
    if def.map_type == MapType::PerfEventArray && def.max_entries == 0 {
        def.max_entries = engine.cpus();
    }
    if def.map_type == MapType::StackTrace {
        // Sizes that user space fills in after opening the object: a stack of 127 addresses, 1024 stacks.
        if def.value_size == 0 {
            def.value_size = 127 * 8;
        }
        if def.max_entries == 0 {
            def.max_entries = 1024;
        }
    }
    let options = CreateOptions {
        cpus: engine.cpus(),
        inner: inner.map(|inner| inner.def().clone()),
        ..CreateOptions::default()
    };
    let map = map::create(&def, &options).map_err(|errno| {
        let hint = match errno {
            Errno::EINVAL => Some(format!(
                "key_size {}, value_size {}, max_entries {}, flags {:#x} do not make a {}",
                def.key_size,
                def.value_size,
                def.max_entries,
                def.flags,
                def.map_type.name()
            )),
            _ => None,
        };
        ErrorKind::Map {
            map: def.name.clone(),
            call: "creation",
            errno,
            hint,
        }
    })?;
    let one = def.value_size as usize;
    let value_bytes = match def.map_type {
        MapType::PercpuArray | MapType::PercpuHash | MapType::LruPercpuHash => {
            one.next_multiple_of(8) * engine.cpus() as usize
        }
        _ => one,
    };
    Ok(Arc::new(EmbeddedMap { map, value_bytes }))
}

impl MapOps for EmbeddedMap {
    fn def(&self) -> &MapDef {
        self.map.def()
    }

    fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    fn lookup(&self, key: &[u8], flags: u64, out: &mut Vec<u8>) -> std::result::Result<(), Errno> {
        out.clear();
        self.map.lookup_user(key, flags, out)
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64) -> std::result::Result<(), Errno> {
        self.map.update_user(key, value, flags)
    }

    fn delete(&self, key: &[u8]) -> std::result::Result<(), Errno> {
        self.map.delete_user(key)
    }

    fn lookup_and_delete(
        &self,
        key: &[u8],
        flags: u64,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Errno> {
        out.clear();
        self.map.lookup_and_delete(key, flags, out)
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> std::result::Result<(), Errno> {
        out.clear();
        self.map.next_key(key, out)
    }

    fn freeze(&self) -> std::result::Result<(), Errno> {
        self.map.freeze()
    }

    fn drain(&self, visit: &mut dyn FnMut(Record<'_>)) -> std::result::Result<usize, Errno> {
        if let Some(ring) = self.map.as_ringbuf() {
            return Ok(ring.drain(|bytes| {
                visit(Record { cpu: 0, bytes });
                true
            }));
        }
        if let Some(perf) = self.map.as_perf() {
            return Ok(perf.drain(|cpu, bytes| {
                visit(Record { cpu, bytes });
                true
            }));
        }
        Err(Errno::EOPNOTSUPP)
    }

    fn lost(&self) -> u64 {
        if let Some(ring) = self.map.as_ringbuf() {
            return ring.lost();
        }
        self.map.as_perf().map_or(0, |perf| perf.lost())
    }

    fn set_program(
        &self,
        index: u32,
        program: &dyn LoadedProgram,
    ) -> std::result::Result<(), Errno> {
        let program = program
            .as_any()
            .downcast_ref::<EmbeddedProgram>()
            .ok_or(Errno::EINVAL)?;
        let slots = self.map.as_prog_array().ok_or(Errno::EINVAL)?;
        slots.set(index, program.program().clone())
    }

    fn set_map(&self, key: &[u8], inner: &dyn MapOps) -> std::result::Result<(), Errno> {
        let inner = inner
            .as_any()
            .downcast_ref::<EmbeddedMap>()
            .ok_or(Errno::EINVAL)?;
        if let Some(array) = self.map.as_array_of_maps() {
            let index = key
                .try_into()
                .map(u32::from_ne_bytes)
                .map_err(|_| Errno::EINVAL)?;
            return array.set(index, inner.map.clone());
        }
        let hash = self.map.as_hash_of_maps().ok_or(Errno::EINVAL)?;
        hash.set(key, inner.map.clone(), 0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
