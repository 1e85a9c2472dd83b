//! `lpm_trie`: values by prefix; a lookup finds the longest prefix of what it asks for.
//!
//! Invariants: a node's children lie below its prefix, on the side of the bit that follows it; a node without a
//! value has two children, so the shape depends only on what is stored; values have fixed addresses apart from nodes.

use super::kind::{ACCESS, KMALLOC_MAX, Kind, flags_fit, require};
use super::region::{Region, round8};
use super::table::{EXIST, NOEXIST};
use crate::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags};

/// Bytes of the prefix length at the start of a key.
const LENGTH: u32 = 4;
/// Bytes of data that a key may have.
const DATA_MAX: u32 = 256;
/// What the kernel's node takes beside data and value.
const NODE_HEADER: u64 = 40;

/// "No node": nodes are numbered from 1.
const NONE: u32 = 0;

#[derive(Clone, Debug)]
struct Node {
    prefix: u32,
    /// As the user gave it, with what follows the prefix.
    data: Box<[u8]>,
    children: [u32; 2],
    value: Option<u32>,
}

#[derive(Default)]
struct Trie {
    nodes: Vec<Node>,
    free_nodes: Vec<u32>,
    root: u32,
    /// Numbers of values that were given back.
    free_values: Vec<u32>,
    fresh_values: u32,
    len: u32,
}

/// A trie of prefixes.
pub(crate) struct LpmTrie {
    def: MapDef,
    stride: usize,
    values: Region,
    trie: RwLock<Trie>,
}

fn bit(data: &[u8], at: u32) -> usize {
    usize::from(
        data.get(at as usize / 8)
            .is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0),
    )
}

/// How many leading bits, at most `most`, two keys share.
fn common(a: &[u8], b: &[u8], most: u32) -> u32 {
    let mut bits = 0;
    for (x, y) in a.iter().zip(b) {
        let equal = (x ^ y).leading_zeros();
        bits += equal;
        if equal < 8 || bits >= most {
            break;
        }
    }
    bits.min(most)
}

impl Trie {
    fn node(&self, number: u32) -> &Node {
        &self.nodes[number as usize - 1]
    }

    fn node_mut(&mut self, number: u32) -> &mut Node {
        &mut self.nodes[number as usize - 1]
    }

    fn add(&mut self, node: Node) -> u32 {
        match self.free_nodes.pop() {
            Some(number) => {
                *self.node_mut(number) = node;
                number
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32
            }
        }
    }

    /// The way from the root to where `prefix` bits of `data` are or would be; the last may differ from them.
    fn path(&self, prefix: u32, data: &[u8]) -> Vec<u32> {
        let mut path = Vec::new();
        let mut at = self.root;
        while at != NONE {
            path.push(at);
            let node = self.node(at);
            let same = common(&node.data, data, node.prefix.min(prefix));
            if same < node.prefix || node.prefix == prefix {
                break;
            }
            at = node.children[bit(data, node.prefix)];
        }
        path
    }

    /// The way to the node of exactly this prefix that has a value.
    fn exact(&self, prefix: u32, data: &[u8]) -> Option<Vec<u32>> {
        let path = self.path(prefix, data);
        let node = self.node(*path.last()?);
        let found = node.prefix == prefix
            && common(&node.data, data, prefix) == prefix
            && node.value.is_some();
        found.then_some(path)
    }

    fn longest(&self, prefix: u32, data: &[u8]) -> Option<u32> {
        let (mut at, mut best) = (self.root, None);
        while at != NONE {
            let node = self.node(at);
            let same = common(&node.data, data, node.prefix.min(prefix));
            if same < node.prefix {
                break;
            }
            best = node.value.or(best);
            if node.prefix == prefix {
                break;
            }
            at = node.children[bit(data, node.prefix)];
        }
        best
    }

    /// Makes `new` what `parent` (or the root) points to instead of `old`.
    fn replace_child(&mut self, parent: Option<u32>, old: u32, new: u32) {
        match parent {
            None => self.root = new,
            Some(parent) => {
                for child in &mut self.node_mut(parent).children {
                    if *child == old {
                        *child = new;
                        return;
                    }
                }
            }
        }
    }

    /// Gives a prefix that has no value one.
    fn insert(&mut self, prefix: u32, data: &[u8], value: u32) {
        let node = Node {
            prefix,
            data: data.into(),
            children: [NONE; 2],
            value: Some(value),
        };
        let path = self.path(prefix, data);
        self.len += 1;
        let Some(&last) = path.last() else {
            self.root = self.add(node);
            return;
        };
        let (there, same) = {
            let there = self.node(last);
            (
                there.prefix,
                common(&there.data, data, there.prefix.min(prefix)),
            )
        };
        let parent = path.len().checked_sub(2).map(|at| path[at]);
        if same == there && there == prefix {
            // A node without a value is there already.
            let node = self.node_mut(last);
            node.data = data.into();
            node.value = Some(value);
        } else if same == there {
            let new = self.add(node);
            let side = bit(data, there);
            self.node_mut(last).children[side] = new;
        } else if same == prefix {
            let side = bit(&self.node(last).data, prefix);
            let new = self.add(node);
            self.node_mut(new).children[side] = last;
            self.replace_child(parent, last, new);
        } else {
            let side = bit(data, same);
            let new = self.add(node);
            let mut children = [last; 2];
            children[side] = new;
            let fork = self.add(Node {
                prefix: same,
                data: data.into(),
                children,
                value: None,
            });
            self.replace_child(parent, last, fork);
        }
    }

    /// Removes the node at the end of an exact path; answers its value's number.
    fn remove(&mut self, path: &[u32]) -> Option<u32> {
        let &last = path.last()?;
        let value = self.node_mut(last).value.take()?;
        self.free_values.push(value);
        self.len -= 1;
        let parent = path.len().checked_sub(2).map(|at| path[at]);
        match self.node(last).children {
            [NONE, NONE] => {
                self.replace_child(parent, last, NONE);
                self.free_nodes.push(last);
                // The parent may now be a fork with one way.
                if let Some(fork) = parent
                    && self.node(fork).value.is_none()
                {
                    let other = self
                        .node(fork)
                        .children
                        .into_iter()
                        .find(|&child| child != NONE)
                        .unwrap_or(NONE);
                    let grandparent = path.len().checked_sub(3).map(|at| path[at]);
                    self.replace_child(grandparent, fork, other);
                    self.free_nodes.push(fork);
                }
            }
            [child, NONE] | [NONE, child] => {
                self.replace_child(parent, last, child);
                self.free_nodes.push(last);
            }
            _ => {}
        }
        Some(value)
    }

    /// The first of the nodes under `at` in the order of keys: children before their parent, 0 before 1.
    fn first_under(&self, mut at: u32) -> u32 {
        loop {
            match self.node(at).children {
                [NONE, NONE] => return at,
                [NONE, child] | [child, _] => at = child,
            }
        }
    }

    /// The node with a value that comes after the end of an exact path.
    fn after(&self, path: &[u32]) -> Option<u32> {
        let mut at = path.len().checked_sub(1)?;
        while at > 0 {
            let (child, parent) = (path[at], path[at - 1]);
            let node = self.node(parent);
            if node.children[0] == child && node.children[1] != NONE {
                return Some(self.first_under(node.children[1]));
            }
            if node.value.is_some() {
                return Some(parent);
            }
            at -= 1;
        }
        None
    }
}

impl LpmTrie {
    pub(crate) fn new(def: &MapDef) -> Result<LpmTrie, Errno> {
        require(def.max_entries != 0 && def.flags & flags::NO_PREALLOC != 0)?;
        flags_fit(def, flags::NO_PREALLOC | flags::NUMA_NODE | ACCESS)?;
        require(def.key_size > LENGTH && def.key_size <= LENGTH + DATA_MAX)?;
        let value_max = KMALLOC_MAX - u64::from(DATA_MAX) - NODE_HEADER;
        require(def.value_size != 0 && u64::from(def.value_size) <= value_max)?;
        let stride = round8(def.value_size as usize);
        let values = Region::of(def.max_entries as usize + 1, stride)?;
        Ok(LpmTrie {
            def: def.clone(),
            stride,
            values,
            trie: RwLock::default(),
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Trie> {
        self.trie
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, Trie> {
        self.trie
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Prefix length and data of a key, if the length fits.
    fn split<'k>(&self, key: &'k [u8]) -> Option<(u32, &'k [u8])> {
        let (length, data) = key.split_first_chunk::<4>()?;
        let prefix = u32::from_ne_bytes(*length);
        (prefix as usize <= data.len() * 8).then_some((prefix, data))
    }
}

// SAFETY: every address lies in `values`, which neither moves nor shrinks while the map lives.
unsafe impl Kind for LpmTrie {
    fn def(&self) -> &MapDef {
        &self.def
    }

    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        let (prefix, data) = self.split(key)?;
        let value = self.read().longest(prefix, data)?;
        Some(
            self.values
                .at(value as usize * self.stride, self.def.value_size as usize),
        )
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, _cpu: u32) -> Result<(), Errno> {
        require(flags <= EXIST)?;
        let (prefix, data) = self.split(key).ok_or(Errno::EINVAL)?;
        let mut trie = self.write();
        let there = trie.exact(prefix, data);
        match (&there, flags) {
            (Some(_), NOEXIST) => return Err(Errno::EEXIST),
            (None, EXIST) => return Err(Errno::ENOENT),
            (None, _) if trie.len >= self.def.max_entries => return Err(Errno::ENOSPC),
            _ => {}
        }
        let number = trie.free_values.pop().unwrap_or_else(|| {
            trie.fresh_values += 1;
            trie.fresh_values - 1
        });
        self.values.store(number as usize * self.stride, value);
        match there.as_deref().and_then(<[u32]>::last) {
            Some(&last) => {
                let node = trie.node_mut(last);
                node.data = data.into();
                if let Some(old) = node.value.replace(number) {
                    trie.free_values.push(old);
                }
            }
            None => trie.insert(prefix, data, number),
        }
        Ok(())
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let (prefix, data) = self.split(key).ok_or(Errno::EINVAL)?;
        let mut trie = self.write();
        let path = trie.exact(prefix, data).ok_or(Errno::ENOENT)?;
        trie.remove(&path).map(|_| ()).ok_or(Errno::ENOENT)
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        let inside = self.values.offset_of(addr)? % self.stride;
        (inside < self.def.value_size as usize).then(|| {
            let start = addr - inside as u64;
            (start, start + u64::from(self.def.value_size))
        })
    }

    fn read_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        let (prefix, data) = self.split(key).ok_or(Errno::ENOENT)?;
        let trie = self.read();
        let value = trie.longest(prefix, data).ok_or(Errno::ENOENT)?;
        self.values.append_to(
            value as usize * self.stride,
            self.def.value_size as usize,
            out,
        );
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        let trie = self.read();
        if trie.root == NONE {
            return Err(Errno::ENOENT);
        }
        let path = key
            .and_then(|key| self.split(key))
            .and_then(|(prefix, data)| trie.exact(prefix, data));
        let next = match path {
            Some(path) => trie.after(&path).ok_or(Errno::ENOENT)?,
            None => trie.first_under(trie.root),
        };
        let node = trie.node(next);
        out.extend_from_slice(&node.prefix.to_ne_bytes());
        out.extend_from_slice(&node.data);
        Ok(())
    }
}
