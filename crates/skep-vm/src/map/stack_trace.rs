//! `stack_trace`: call stacks by a number that a hash of their addresses gives.
//!
//! Invariants: equal stacks get equal numbers; a stack that would overwrite another does so only if the program asked
//! for it, else it fails with `EEXIST`.

use super::array;
use super::kind::{Kind, index_of, require};
use crate::sync::RwLock;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags};

/// The part of a helper's flags that says how many frames to leave out.
pub const SKIP_MASK: u64 = 0xff;
/// `BPF_F_USER_STACK`.
pub const USER_STACK: u64 = 1 << 8;
/// `BPF_F_FAST_STACK_CMP`: compare only hashes.
pub const FAST_STACK_CMP: u64 = 1 << 9;
/// `BPF_F_REUSE_STACKID`: let a new stack take an old one's place.
pub const REUSE_STACKID: u64 = 1 << 10;
/// `BPF_F_USER_BUILD_ID` of `bpf_get_stack`.
pub const USER_BUILD_ID: u64 = 1 << 11;

/// Frames at most, as `kernel.perf_event_max_stack` has it by default.
pub const DEPTH_MAX: usize = 127;
/// Bytes of a frame with build id.
const BUILD_ID_FRAME: u32 = 32;

struct Trace {
    hash: u32,
    frames: Box<[u64]>,
}

/// Call stacks.
pub struct StackTrace {
    def: MapDef,
    buckets: u32,
    traces: RwLock<Vec<Option<Arc<Trace>>>>,
}

impl StackTrace {
    pub(crate) fn new(def: &MapDef) -> Result<StackTrace, Errno> {
        require(
            def.flags & !(flags::NUMA_NODE | flags::RDONLY | flags::WRONLY | flags::STACK_BUILD_ID)
                == 0,
        )?;
        require(def.value_size >= 8 && def.value_size.is_multiple_of(8))?;
        array::check(def, flags::STACK_BUILD_ID)?;
        let frame = if def.flags & flags::STACK_BUILD_ID != 0 {
            BUILD_ID_FRAME
        } else {
            8
        };
        require(
            def.value_size.is_multiple_of(frame) && (def.value_size / frame) as usize <= DEPTH_MAX,
        )?;
        if frame != 8 {
            // Build ids of the target's files are not modelled.
            return Err(Errno::EOPNOTSUPP);
        }
        let buckets = def
            .max_entries
            .checked_next_power_of_two()
            .ok_or(Errno::E2BIG)?;
        Ok(StackTrace {
            def: def.clone(),
            buckets,
            traces: RwLock::default(),
        })
    }

    /// Frames that a value holds.
    pub fn depth_max(&self) -> usize {
        self.def.value_size as usize / 8
    }

    /// `EINVAL` for flags that `bpf_get_stackid` does not know.
    pub fn check_flags(&self, flags: u64) -> Result<(), Errno> {
        require(flags & !(SKIP_MASK | USER_STACK | FAST_STACK_CMP | REUSE_STACKID) == 0)
    }

    /// The number of a stack (innermost frame first, nothing left out yet), by the rules of `bpf_get_stackid`.
    pub fn id(&self, frames: &[u64], flags: u64) -> Result<u32, Errno> {
        self.check_flags(flags)?;
        let skip = (flags & SKIP_MASK) as usize;
        let kept = frames
            .get(skip..)
            .filter(|kept| !kept.is_empty())
            .ok_or(Errno::EFAULT)?;
        let kept = &kept[..kept.len().min(self.depth_max())];
        let hash = kept.iter().fold(0x9e37_79b9_7f4a_7c15u64, |h, &frame| {
            let product = u128::from(h ^ frame) * 0xe703_7ed1_a0b4_28db;
            (product as u64 ^ (product >> 64) as u64).wrapping_add(1)
        });
        let hash = (hash ^ (hash >> 32)) as u32;
        let id = hash & (self.buckets - 1);
        let same = |trace: &Trace| {
            trace.hash == hash && (flags & FAST_STACK_CMP != 0 || *trace.frames == *kept)
        };
        let there = self
            .traces
            .read()
            .unwrap_or_else(|p| p.into_inner())
            .get(id as usize)
            .cloned()
            .flatten();
        match there {
            Some(trace) if same(&trace) => return Ok(id),
            Some(_) if flags & REUSE_STACKID == 0 => return Err(Errno::EEXIST),
            _ => {}
        }
        let mut traces = self
            .traces
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if traces.len() <= id as usize {
            traces.resize(id as usize + 1, None);
        }
        traces[id as usize] = Some(Arc::new(Trace {
            hash,
            frames: kept.into(),
        }));
        Ok(id)
    }
}

// SAFETY: no address is ever given out.
unsafe impl Kind for StackTrace {
    fn def(&self) -> &MapDef {
        &self.def
    }

    fn update(&self, _key: &[u8], _value: &[u8], _flags: u64, _cpu: u32) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let id = index_of(key);
        if id >= self.buckets {
            return Err(Errno::E2BIG);
        }
        let mut traces = self
            .traces
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        traces
            .get_mut(id as usize)
            .and_then(Option::take)
            .map(|_| ())
            .ok_or(Errno::ENOENT)
    }

    fn read_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        let traces = self
            .traces
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let trace = traces
            .get(index_of(key) as usize)
            .and_then(Option::as_ref)
            .ok_or(Errno::ENOENT)?;
        let from = out.len();
        for frame in &trace.frames {
            out.extend_from_slice(&frame.to_ne_bytes());
        }
        out.resize(from + self.def.value_size as usize, 0);
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        let from = match key.map(index_of) {
            Some(id) if id < self.buckets => id as usize + 1,
            _ => 0,
        };
        let traces = self
            .traces
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let next = (from..traces.len())
            .find(|&id| traces[id].is_some())
            .ok_or(Errno::ENOENT)?;
        out.extend_from_slice(&(next as u32).to_ne_bytes());
        Ok(())
    }
}
