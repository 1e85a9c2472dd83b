//! Deduplication: types that are the same, cycles and all, become one.
//!
//! Two types are the same if no walk along their references can tell them apart. That is the coarsest stable partition of the
//! type graph, found by refining a first one (by everything but references) until it holds; of a class that splits, the largest
//! part keeps its number, so each type is looked at a logarithmic number of times. A struct that is defined in one way only is
//! the same wherever it is named, so a forward declaration becomes that definition; if a name has several definitions, each
//! keeps its own, and so does the forward declaration.
//!
//! Invariants: variables and sections are never merged (two objects' `static int count` are two); the surviving types keep
//! their order; deduplicating again changes nothing; nothing recurses.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::btf::Btf;
use crate::build::{Builder, TypeDef};
use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::{Ty, TypeId};

/// What is left, and what each type has become.
#[derive(Clone, Debug)]
pub struct Deduped {
    /// The types that are left; finish it to have their bytes.
    pub builder: Builder,
    /// The new id of each old id.
    pub map: Vec<TypeId>,
}

/// Merges the types that are the same. Those of a base stay as they are, and the others may become one of them.
pub fn dedup(btf: &Btf) -> Result<Deduped, BtfError> {
    let mut graph = Graph::new(btf)?;
    graph.refine();
    let same = graph.representatives();

    let first = btf.base().map_or(1, |base| base.len());
    let mut map: Vec<TypeId> = (0..btf.len()).map(TypeId).collect();
    let mut next = first;
    for id in first..btf.len() {
        if same[id as usize] == id {
            map[id as usize] = TypeId(next);
            next += 1;
        }
    }
    for id in first..btf.len() {
        // The representative is in the base, before, or (of a forward declaration) after: all of those have their new id.
        map[id as usize] = map[same[id as usize] as usize];
    }
    let mut builder = match btf.base() {
        Some(base) => Builder::with_base(base.clone()),
        None => Builder::new(),
    };
    builder.set_endian(btf.endian());
    for id in (first..btf.len()).filter(|&id| same[id as usize] == id) {
        if let Some(mut def) = TypeDef::of(&btf.ty(TypeId(id))?) {
            def.for_each_id(|id| *id = map[id.0 as usize]);
            builder.add(def);
        }
    }
    Ok(Deduped { builder, map })
}

/// Types that C would take for the same by their name: `struct x`, `union x`, `enum x`.
#[derive(Default)]
struct Group {
    /// All types of the name, those that only announce it included.
    named: Vec<u32>,
    definitions: Vec<u32>,
    /// Whether the definitions differ.
    ambiguous: bool,
}

struct Graph {
    /// Where each type's references start in `targets`; one more than there are types.
    starts: Vec<u32>,
    targets: Vec<u32>,
    /// The same turned round.
    used_starts: Vec<u32>,
    users: Vec<u32>,
    /// The group of each type that has one, or `u32::MAX`.
    group_of: Vec<u32>,
    groups: Vec<Group>,
    /// Whether the type only stands for the definition of its group.
    forward: Vec<bool>,
    class: Vec<u32>,
    members: Vec<Vec<u32>>,
    place: Vec<u32>,
}

/// Marks a reference to a group in a signature, beside those to classes.
const BY_NAME: u64 = 1 << 32;

impl Graph {
    fn new(btf: &Btf) -> Result<Graph, BtfError> {
        let len = btf.len() as usize;
        let mut graph = Graph {
            starts: vec![0],
            targets: Vec::new(),
            used_starts: vec![0; len + 1],
            users: Vec::new(),
            group_of: vec![u32::MAX; len],
            groups: Vec::new(),
            forward: vec![false; len],
            class: Vec::with_capacity(len),
            members: Vec::new(),
            place: Vec::with_capacity(len),
        };
        let mut labels: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut names: HashMap<(u8, &str), u32> = HashMap::new();
        for id in (0..btf.len()).map(TypeId) {
            let ty = btf.ty(id)?;
            let label = label(id, &ty);
            let next = labels.len() as u32;
            let class = *labels.entry(label).or_insert(next);
            if class == next {
                graph.members.push(Vec::new());
            }
            graph.place.push(graph.members[class as usize].len() as u32);
            graph.members[class as usize].push(id.0);
            graph.class.push(class);
            if let Some(mut def) = TypeDef::of(&ty) {
                def.for_each_id(|id| graph.targets.push(id.0));
            }
            graph.starts.push(graph.targets.len() as u32);

            let (sort, name, forward) = match ty {
                Ty::Struct(c) => (0, c.name, false),
                Ty::Union(c) => (1, c.name, false),
                Ty::Fwd { name, union } => (u8::from(union), name, true),
                Ty::Enum(e) | Ty::Enum64(e) => (2, e.name, e.values.is_empty()),
                _ => continue,
            };
            if !name.is_empty() {
                let group = *names.entry((sort, name)).or_insert_with(|| {
                    graph.groups.push(Group::default());
                    graph.groups.len() as u32 - 1
                });
                graph.group_of[id.0 as usize] = group;
                graph.forward[id.0 as usize] = forward;
                graph.groups[group as usize].named.push(id.0);
                if !forward {
                    graph.groups[group as usize].definitions.push(id.0);
                }
            }
        }
        for &target in &graph.targets {
            graph.used_starts[target as usize + 1] += 1;
        }
        for at in 0..len {
            graph.used_starts[at + 1] += graph.used_starts[at];
        }
        let mut fill = graph.used_starts.clone();
        graph.users = vec![0; graph.targets.len()];
        for id in 0..len {
            for at in graph.starts[id]..graph.starts[id + 1] {
                let slot = &mut fill[graph.targets[at as usize] as usize];
                graph.users[*slot as usize] = id as u32;
                *slot += 1;
            }
        }
        Ok(graph)
    }

    /// The group by which a type is referred to, if its name is enough.
    fn by_name(&self, id: u32) -> Option<u32> {
        match self.group_of[id as usize] {
            u32::MAX => None,
            group if self.groups[group as usize].ambiguous => None,
            group => Some(group),
        }
    }

    fn signature(&self, id: u32) -> Vec<u64> {
        let (from, to) = (self.starts[id as usize], self.starts[id as usize + 1]);
        let refer = |&target: &u32| match self.by_name(target) {
            Some(group) => BY_NAME | u64::from(group),
            None => u64::from(self.class[target as usize]),
        };
        self.targets[from as usize..to as usize]
            .iter()
            .map(refer)
            .collect()
    }

    fn users(&self, id: u32) -> &[u32] {
        &self.users
            [self.used_starts[id as usize] as usize..self.used_starts[id as usize + 1] as usize]
    }

    fn refine(&mut self) {
        let mut dirty: Vec<u32> = (0..self.class.len() as u32).collect();
        let mut groups: Vec<u32> = (0..self.groups.len() as u32).collect();
        while !dirty.is_empty() || !groups.is_empty() {
            let mut changed = Vec::new();
            dirty.sort_unstable_by_key(|&id| (self.class[id as usize], id));
            dirty.dedup();
            for part in dirty
                .chunk_by(|&a, &b| self.class[a as usize] == self.class[b as usize])
                .map(<[u32]>::to_vec)
                .collect::<Vec<_>>()
            {
                self.split(&part, &mut changed);
            }
            dirty.clear();
            // Which names have stopped to be enough?
            groups.extend(
                changed
                    .iter()
                    .map(|&id| self.group_of[id as usize])
                    .filter(|&group| group != u32::MAX),
            );
            groups.sort_unstable();
            groups.dedup();
            for group in std::mem::take(&mut groups) {
                let Group {
                    definitions,
                    ambiguous: false,
                    ..
                } = &self.groups[group as usize]
                else {
                    continue;
                };
                let class = definitions.first().map(|&id| self.class[id as usize]);
                if definitions
                    .iter()
                    .any(|&id| Some(self.class[id as usize]) != class)
                {
                    self.groups[group as usize].ambiguous = true;
                    for &id in &self.groups[group as usize].named {
                        dirty.extend_from_slice(self.users(id));
                    }
                }
            }
            for id in changed {
                if self.by_name(id).is_none() {
                    dirty.extend_from_slice(self.users(id));
                }
            }
        }
    }

    /// Splits a class by the signatures of those of its members whose references have changed; all others still agree.
    fn split(&mut self, part: &[u32], changed: &mut Vec<u32>) {
        let Some(&first) = part.first() else {
            return;
        };
        let class = self.class[first as usize];
        if self.members[class as usize].len() == 1 {
            return;
        }
        let mut by_signature: HashMap<Vec<u64>, usize> = HashMap::new();
        let mut parts: Vec<Vec<u32>> = Vec::new();
        for &id in part {
            let next = parts.len();
            let at = *by_signature.entry(self.signature(id)).or_insert(next);
            if at == next {
                parts.push(Vec::new());
            }
            parts[at].push(id);
            self.remove(class, id);
        }
        let rest = self.members[class as usize].len();
        let largest = (0..parts.len())
            .max_by_key(|&at| parts[at].len())
            .unwrap_or(0);
        // The others stay where they are if they are the most: nothing is done for each of them.
        if parts[largest].len() > rest {
            let kept = parts.swap_remove(largest);
            for (at, &id) in kept.iter().enumerate() {
                self.place[id as usize] = at as u32;
            }
            let rest = std::mem::replace(&mut self.members[class as usize], kept);
            if !rest.is_empty() {
                parts.push(rest);
            }
        }
        for part in parts {
            let new = self.members.len() as u32;
            for (at, &id) in part.iter().enumerate() {
                self.class[id as usize] = new;
                self.place[id as usize] = at as u32;
            }
            changed.extend_from_slice(&part);
            self.members.push(part);
        }
    }

    fn remove(&mut self, class: u32, id: u32) {
        let members = &mut self.members[class as usize];
        let place = self.place[id as usize] as usize;
        members.swap_remove(place);
        if let Some(&moved) = members.get(place) {
            self.place[moved as usize] = place as u32;
        }
    }

    /// For each type the one that stands for it: the first of its class, or the definition of what it only declares.
    fn representatives(&self) -> Vec<u32> {
        let first: Vec<u32> = self
            .members
            .iter()
            .map(|members| members.iter().copied().min().unwrap_or(0))
            .collect();
        let of = |id: u32| {
            if self.forward[id as usize]
                && let Some(group) = self.by_name(id)
                && let Some(&definition) = self.groups[group as usize].definitions.first()
            {
                return first[self.class[definition as usize] as usize];
            }
            first[self.class[id as usize] as usize]
        };
        (0..self.class.len() as u32).map(of).collect()
    }
}

/// Everything about a type but what it refers to.
fn label(id: TypeId, ty: &Ty<'_>) -> Vec<u8> {
    let mut out = vec![ty.kind() as u8];
    let mut word = |word: u64| out.extend(word.to_le_bytes());
    let mut texts: Vec<&str> = Vec::new();
    match *ty {
        Ty::Void
        | Ty::Ptr { .. }
        | Ty::Volatile { .. }
        | Ty::Const { .. }
        | Ty::Restrict { .. } => {}
        Ty::Int(int) => {
            let encoding = int.encoding.bits();
            word(
                u64::from(int.size) << 32
                    | u64::from(encoding) << 16
                    | u64::from(int.offset) << 8
                    | u64::from(int.bits),
            );
            texts.push(int.name);
        }
        Ty::Array { len, .. } => word(len.into()),
        Ty::Struct(composite) | Ty::Union(composite) => {
            word(u64::from(composite.size) << 32 | composite.members.len() as u64);
            texts.push(composite.name);
            for member in composite.members.iter() {
                word(u64::from(member.bitfield_size) << 32 | u64::from(member.bit_offset));
                texts.push(member.name);
            }
        }
        Ty::Enum(enumeration) | Ty::Enum64(enumeration) => {
            word(
                u64::from(enumeration.size) << 32
                    | u64::from(enumeration.signed) << 31
                    | enumeration.values.len() as u64,
            );
            texts.push(enumeration.name);
            for value in enumeration.values.iter() {
                word(value.value);
                texts.push(value.name);
            }
        }
        Ty::Fwd { name, union } => {
            word(union.into());
            texts.push(name);
        }
        Ty::Typedef { name, .. } => texts.push(name),
        Ty::Func { name, linkage, .. } => {
            word(linkage.number().into());
            texts.push(name);
        }
        Ty::FuncProto { params, .. } => {
            word(params.len() as u64);
            texts.extend(params.iter().map(|param| param.name));
        }
        Ty::Var { .. } | Ty::DataSec { .. } => word(id.0.into()),
        Ty::Float { name, size } => {
            word(size.into());
            texts.push(name);
        }
        Ty::DeclTag {
            value,
            component,
            attribute,
            ..
        } => {
            word(component as u32 as u64 | u64::from(attribute) << 32);
            texts.push(value);
        }
        Ty::TypeTag {
            value, attribute, ..
        } => {
            word(attribute.into());
            texts.push(value);
        }
    }
    for text in texts {
        out.extend(text.as_bytes());
        out.push(0);
    }
    out
}

/// How many types of each kind a BTF has: what deduplication is judged by.
pub fn census(btf: &Btf) -> HashMap<Kind, usize> {
    let mut counts = HashMap::new();
    for kind in btf.own_ids().filter_map(|id| btf.kind(id).ok()) {
        *counts.entry(kind).or_default() += 1;
    }
    counts
}
