//! `lru_hash`: a hash table that makes room for a new key by dropping one that was not used lately.
//!
//! Invariants: an insertion never fails because the map is full; the victim is chosen by a hand that goes round the
//! elements and spares, once, each that a program looked up or changed since it last passed.

use super::hash::Hash;
use skep_spec::errno::Errno;
use skep_spec::map::MapDef;

/// A hash table with eviction.
pub(crate) fn new(def: &MapDef, seed: u64) -> Result<Hash, Errno> {
    Hash::with(def, true, seed)
}
