//! Finding types by name, through two indexes that the first question builds: one of types, one of functions and variables.
//!
//! Invariants: results come in ascending id order; the indexes are keyed by *essential* names (without a `___flavour`), so that
//! CO-RE's search and the exact one share them; chains are never walked while building, so building takes linear time whatever
//! the names. Apart, because a kernel has three functions to one type, and most questions are about types: a third of the time.

use std::sync::OnceLock;

use super::Btf;
use crate::kind::Kind;
use crate::ty::TypeId;

#[derive(Default)]
pub(super) struct Names {
    types: OnceLock<Index>,
    objects: OnceLock<Index>,
}

/// Hash chains: `heads` by hash and `next` in each entry hold the place of an entry, plus one.
struct Index {
    heads: Box<[u32]>,
    entries: Box<[Entry]>,
}

struct Entry {
    id: TypeId,
    next: u32,
}

/// Whether a kind's names are those of functions, variables and sections, rather than of types.
const fn is_object(kind: Kind) -> bool {
    matches!(kind, Kind::Func | Kind::Var | Kind::DataSec | Kind::DeclTag)
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
        self.matching(is_object(kind), name, |id, found| {
            found == name && self.kind(id) == Ok(kind)
        })
        .first()
        .copied()
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
        let mut found = self.matching(false, name, |_, found| found == name);
        found.extend(self.matching(true, name, |_, found| found == name));
        found.sort_unstable();
        found
    }

    /// The types (not functions or variables) of this BTF, not of its base, whose name without its flavour is this name
    /// without its flavour.
    pub fn own_essentially_named(&self, name: &str) -> Vec<TypeId> {
        let essential = essential_name(name);
        self.matching(false, essential, |_, found| {
            essential_name(found) == essential
        })
    }

    fn matching(
        &self,
        objects: bool,
        name: &str,
        wanted: impl Fn(TypeId, &str) -> bool,
    ) -> Vec<TypeId> {
        let mut found = Vec::new();
        if name.is_empty() {
            return found;
        }
        let index = if objects {
            &self.names.objects
        } else {
            &self.names.types
        };
        let index = index.get_or_init(|| self.build_index(objects));
        let bucket = hash(essential_name(name).as_bytes()) as usize & (index.heads.len() - 1);
        let mut at = index.heads[bucket];
        while let Some(entry) = at
            .checked_sub(1)
            .and_then(|at| index.entries.get(at as usize))
        {
            if wanted(entry.id, self.name(entry.id)) {
                found.push(entry.id);
            }
            at = entry.next;
        }
        found
    }

    fn build_index(&self, objects: bool) -> Index {
        // From the last type to the first, so that a chain lists ids in ascending order.
        let mut entries = Vec::new();
        for id in self.own_ids().rev() {
            let kind = self.kind(id).unwrap_or(Kind::Void);
            if is_object(kind) == objects && self.is_named(id) {
                entries.push(Entry { id, next: 0 });
            }
        }
        let buckets = (entries.len() + 1).next_power_of_two();
        let mut heads = vec![0_u32; buckets].into_boxed_slice();
        for (at, entry) in entries.iter_mut().enumerate() {
            let bucket =
                hash(essential_name(self.name(entry.id)).as_bytes()) as usize & (buckets - 1);
            entry.next = heads[bucket];
            heads[bucket] = at as u32 + 1;
        }
        Index {
            heads,
            entries: entries.into_boxed_slice(),
        }
    }
}
