//! Finding types by name: a few look-ups scan, more of them build an index.
//!
//! Invariants: results come in ascending id order whichever way was taken; the index is keyed by *essential* names (without a
//! `___flavour`), so that CO-RE's search and the exact one share it; its chains cannot make building it quadratic.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Btf;
use crate::kind::Kind;
use crate::ty::TypeId;

/// So many names are searched by scanning before an index is built: a scan of a kernel's BTF costs a fraction of the index.
const SCANS_MAX: u32 = 12;

#[derive(Default)]
pub(super) struct Names {
    scans: AtomicU32,
    index: OnceLock<Index>,
}

/// Hash chains over the BTF's own types: `heads` by hash, `next` by type, both hold index + 1.
struct Index {
    heads: Box<[u32]>,
    next: Box<[u32]>,
}

/// A type's name without its flavour: `task_struct___old` means `task_struct`.
///
/// A flavour is what follows the last `___` that has a character other than `_` on both sides.
pub fn essential_name(name: &str) -> &str {
    let bytes = name.as_bytes();
    for at in (0..bytes.len().saturating_sub(4)).rev() {
        if let [before, b'_', b'_', b'_', after] = &bytes[at..at + 5]
            && *before != b'_'
            && *after != b'_'
        {
            return name.get(..at + 1).unwrap_or(name);
        }
    }
    name
}

fn hash(name: &[u8]) -> u32 {
    let hash = name.iter().fold(0x811c_9dc5_u32, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash ^ hash >> 15
}

impl Btf {
    /// The first type of this kind and name, the base's first.
    pub fn find(&self, kind: Kind, name: &str) -> Option<TypeId> {
        if let Some(base) = &self.base
            && let Some(found) = base.find(kind, name)
        {
            return Some(found);
        }
        self.own_named(name)
            .into_iter()
            .find(|&id| self.kind(id) == Ok(kind))
    }

    /// All types with this name, of whatever kind, in ascending order of their ids.
    pub fn find_all(&self, name: &str) -> Vec<TypeId> {
        let mut found = self
            .base
            .as_ref()
            .map_or_else(Vec::new, |base| base.find_all(name));
        found.extend(self.own_named(name));
        found
    }

    /// The types of this BTF, not of its base, with exactly this name.
    pub fn own_named(&self, name: &str) -> Vec<TypeId> {
        self.own_matching(name, |found| found == name)
    }

    /// The types of this BTF, not of its base, whose name without its flavour is this name without its flavour.
    pub fn own_essentially_named(&self, name: &str) -> Vec<TypeId> {
        let essential = essential_name(name);
        self.own_matching(essential, |found| essential_name(found) == essential)
    }

    /// Builds the name index now, if it is not there yet: worthwhile before many look-ups.
    pub fn index_names(&self) {
        self.names.index.get_or_init(|| self.build_index());
    }

    fn own_matching(&self, name: &str, wanted: impl Fn(&str) -> bool) -> Vec<TypeId> {
        if name.is_empty() || name.as_bytes().contains(&0) {
            return Vec::new();
        }
        let index = match self.names.index.get() {
            Some(index) => index,
            None if self.names.scans.fetch_add(1, Ordering::Relaxed) < SCANS_MAX => {
                return self.scan(name, wanted);
            }
            None => self.names.index.get_or_init(|| self.build_index()),
        };
        let mut found = Vec::new();
        let bucket = hash(essential_name(name).as_bytes()) as usize & (index.heads.len() - 1);
        let mut at = index.heads[bucket];
        while at != 0 {
            let id = TypeId(self.first_id + at - 1);
            if wanted(self.name(id)) {
                found.push(id);
            }
            at = index.next[at as usize - 1];
        }
        found
    }

    /// Finds the offsets of matching strings first, then the types that are named by one of them.
    fn scan(&self, name: &str, wanted: impl Fn(&str) -> bool) -> Vec<TypeId> {
        let mut offsets = Vec::new();
        let mut strings = Some(self);
        while let Some(btf) = strings {
            let text = btf.raw().get(btf.strings.clone()).unwrap_or_default();
            for at in memchr::memmem::find_iter(text, name.as_bytes()) {
                let offset = btf.first_string + at as u32;
                if btf.string(offset).is_some_and(&wanted) {
                    offsets.push(offset);
                }
            }
            strings = btf.base.as_deref();
        }
        offsets.sort_unstable();
        let mut found = Vec::new();
        let (Some(&lowest), Some(&highest)) = (offsets.first(), offsets.last()) else {
            return found;
        };
        let types = self.raw().get(self.types.clone()).unwrap_or_default();
        for (index, &at) in self.offsets.iter().enumerate() {
            let Some(&bytes) = types
                .get(at as usize..)
                .and_then(|record| record.first_chunk::<4>())
            else {
                break;
            };
            let offset = super::word(bytes, self.endian);
            if offset >= lowest && offset <= highest && offsets.binary_search(&offset).is_ok() {
                found.push(TypeId(self.first_id + index as u32));
            }
        }
        found
    }

    fn build_index(&self) -> Index {
        let buckets = (self.offsets.len() / 2 + 1).next_power_of_two();
        let mut heads = vec![0_u32; buckets].into_boxed_slice();
        let mut next = vec![0_u32; self.offsets.len()].into_boxed_slice();
        // From the last type to the first, so that a chain lists ids in ascending order.
        for at in (0..self.offsets.len()).rev() {
            let name = self.name(TypeId(self.first_id + at as u32));
            if !name.is_empty() {
                let bucket = hash(essential_name(name).as_bytes()) as usize & (buckets - 1);
                next[at] = heads[bucket];
                heads[bucket] = at as u32 + 1;
            }
        }
        Index { heads, next }
    }
}
