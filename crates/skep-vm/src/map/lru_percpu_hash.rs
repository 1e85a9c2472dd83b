//! `lru_percpu_hash`: a hash table with eviction of which each CPU has its own values.
//!
//! Invariants: those of [`super::lru_hash`]: an element leaves with the values of all CPUs.

use super::percpu_hash::PercpuHash;
use skep_spec::errno::Errno;
use skep_spec::map::MapDef;

/// A per-CPU hash table with eviction.
pub(crate) fn new(def: &MapDef, cpus: u32, seed: u64) -> Result<PercpuHash, Errno> {
    PercpuHash::with(def, cpus, true, seed)
}
