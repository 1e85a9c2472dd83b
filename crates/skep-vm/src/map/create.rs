//! Makes a map from its definition.
//!
//! Invariants: a definition that the kernel refuses is refused with the kernel's error; a kind that this engine does
//! not have is refused with `EOPNOTSUPP`, never replaced by another.

use super::kind::{Guarded, Kind};
use super::{
    Map, array, array_of_maps, bloom_filter, cgroup_array, cpumap, devmap, devmap_hash, hash,
    hash_of_maps, lpm_trie, lru_hash, lru_percpu_hash, percpu_array, percpu_hash, perf_event_array,
    prog_array, queue, ringbuf, sockets, stack, stack_trace, storage, user_ringbuf,
};
use alloc::sync::Arc;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, MapType, flags};

/// What a definition does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateOptions {
    /// How many CPUs programs may run on; 0 counts as 1.
    pub cpus: u32,
    /// The template of a map of maps.
    pub inner: Option<MapDef>,
    /// Seed of hash tables: fixes their order. Random if not given.
    pub seed: Option<u64>,
    /// Size of the buffer that a perf_event_array has for each CPU; 0 leaves them closed.
    pub perf_bytes: usize,
    /// Where in a value its `struct bpf_spin_lock` lies.
    pub spin_lock: Option<u32>,
}

impl Default for CreateOptions {
    /// One CPU, 512 KiB of perf buffer (64 pages are libbpf's habit; events are bursty), no template.
    fn default() -> CreateOptions {
        CreateOptions {
            cpus: 1,
            inner: None,
            seed: None,
            perf_bytes: 512 << 10,
            spin_lock: None,
        }
    }
}

/// Whether the engine has maps of this kind.
pub fn is_supported(kind: MapType) -> bool {
    !matches!(
        kind,
        MapType::Arena
            | MapType::StructOps
            | MapType::CgroupStorage
            | MapType::PercpuCgroupStorage
            | MapType::InsnArray
            | MapType::Rhash
    )
}

/// Makes a map, with the kernel's checks and errors.
pub fn create(def: &MapDef, options: &CreateOptions) -> Result<Arc<dyn Map>, Errno> {
    let cpus = options.cpus.max(1);
    let seed = options.seed.unwrap_or_else(|| random_seed(def));
    let inner = options.inner.as_ref();
    // The user may open a map for reading or for writing, not for nothing.
    if def.flags & (flags::RDONLY | flags::WRONLY) == flags::RDONLY | flags::WRONLY {
        return Err(Errno::EINVAL);
    }
    if def.map_extra != 0 && def.map_type != MapType::BloomFilter {
        return Err(Errno::EINVAL);
    }
    if let Some(offset) = options.spin_lock
        && (!offset.is_multiple_of(4) || u64::from(offset) + 4 > u64::from(def.value_size))
    {
        return Err(Errno::EINVAL);
    }
    let lock = options.spin_lock;
    match def.map_type {
        MapType::Array => guard(array::Array::new(def)?, lock),
        MapType::PercpuArray => guard(percpu_array::PercpuArray::new(def, cpus)?, lock),
        MapType::Hash => guard(hash::Hash::new(def, seed)?, lock),
        MapType::LruHash => guard(lru_hash::new(def, seed)?, lock),
        MapType::PercpuHash => guard(percpu_hash::PercpuHash::new(def, cpus, seed)?, lock),
        MapType::LruPercpuHash => guard(lru_percpu_hash::new(def, cpus, seed)?, lock),
        MapType::ProgArray => guard(prog_array::ProgArray::new(def)?, lock),
        MapType::PerfEventArray => guard(
            perf_event_array::PerfEventArray::new(def, cpus, options.perf_bytes)?,
            lock,
        ),
        MapType::StackTrace => guard(stack_trace::StackTrace::new(def)?, lock),
        MapType::CgroupArray => guard(cgroup_array::CgroupArray::new(def)?, lock),
        MapType::LpmTrie => guard(lpm_trie::LpmTrie::new(def)?, lock),
        MapType::ArrayOfMaps => guard(array_of_maps::ArrayOfMaps::new(def, inner)?, lock),
        MapType::HashOfMaps => guard(hash_of_maps::HashOfMaps::new(def, inner)?, lock),
        MapType::Devmap => guard(devmap::Devmap::new(def)?, lock),
        MapType::DevmapHash => guard(devmap_hash::DevmapHash::new(def)?, lock),
        MapType::Cpumap => guard(cpumap::Cpumap::new(def, cpus)?, lock),
        MapType::Xskmap | MapType::Sockmap | MapType::ReuseportSockarray => {
            guard(sockets::SocketArray::new(def)?, lock)
        }
        MapType::Sockhash => guard(sockets::SocketHash::new(def, seed)?, lock),
        MapType::Queue => guard(queue::new(def)?, lock),
        MapType::Stack => guard(stack::new(def)?, lock),
        MapType::BloomFilter => guard(bloom_filter::BloomFilter::new(def, seed)?, lock),
        MapType::Ringbuf => guard(ringbuf::RingBuf::new(def)?, lock),
        MapType::UserRingbuf => guard(user_ringbuf::UserRingBuf::new(def)?, lock),
        MapType::SkStorage
        | MapType::InodeStorage
        | MapType::TaskStorage
        | MapType::CgrpStorage => guard(storage::Storage::new(def)?, lock),
        MapType::Arena
        | MapType::StructOps
        | MapType::CgroupStorage
        | MapType::PercpuCgroupStorage
        | MapType::InsnArray
        | MapType::Rhash => Err(Errno::EOPNOTSUPP),
    }
}

/// A seed that others cannot guess.
#[cfg(feature = "std")]
fn random_seed(def: &MapDef) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(&def.name)
}

/// A seed out of the name and of where the definition lies. Where there is no system there is nothing better: whoever
/// fears chosen keys gives a seed.
#[cfg(not(feature = "std"))]
fn random_seed(def: &MapDef) -> u64 {
    let at: *const MapDef = def;
    let bytes = def.name.bytes().chain((at as usize as u64).to_le_bytes());
    // FNV-1a.
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

fn guard<K: Kind>(kind: K, spin_lock: Option<u32>) -> Result<Arc<dyn Map>, Errno> {
    Ok(Arc::new(Guarded::new(kind, spin_lock)))
}
