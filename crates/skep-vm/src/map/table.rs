//! The hash table under every map with keys: readers take no lock, writers lock a group of buckets.
//!
//! Invariants: all elements lie in one region that is as large as the map may get, so an address once answered
//! stays valid; a chain's last link names its bucket, so a reader that an element's reuse has led into another
//! chain notices and starts again; a reader that finds nothing looks whether an element left its chain meanwhile
//! (which may have hidden the rest), so a key that stays is always found; there are more slots than `max` by one a lock, so a writer that replaces an element always finds a slot.

use super::region::{self, Region, round8};
use crate::sync::{Mutex, MutexGuard};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use skep_spec::errno::Errno;

pub(crate) use skep_spec::map::update::{EXIST, NOEXIST};

/// Marks the end of a chain; the other bits are the number of its bucket.
const END: u32 = 1 << 31;
/// Slots are numbered from 1 in links, and bit 31 is taken.
const SLOTS_MAX: u32 = 1 << 30;
const LOCKS_MAX: usize = 64;
/// Bytes before an element's key: its link and its key's hash.
const HEADER: usize = 8;

const LIVE: u8 = 1;
const REFERENCED: u8 = 2;

/// How often an insertion into a full LRU table evicts before it gives up: others may take what it freed.
const EVICTIONS_MAX: usize = 128;

/// How often a reader looks again without a lock when elements leave its chain all the time.
const RETRIES_MAX: usize = 8;

/// The lock of a group of buckets.
#[derive(Debug, Default)]
struct Stripe {
    lock: Mutex<()>,
    /// How many elements have left chains of the group.
    departures: AtomicU32,
}

/// Keys to slots; a slot holds `copies` values.
#[derive(Debug)]
pub(crate) struct Table {
    key_size: usize,
    value_size: usize,
    value_stride: usize,
    copies: usize,
    value_offset: usize,
    stride: usize,
    seed: u64,
    mask: u32,
    heads: Region,
    elements: Region,
    states: Region,
    /// Links of free slots, apart from those of chains so that a reader standing on a freed element can go on.
    free_links: Region,
    /// Tag (against reuse between load and exchange) in the upper half, slot + 1 in the lower.
    free: AtomicU64,
    fresh: AtomicU32,
    slots: u32,
    count: AtomicU32,
    max: u32,
    stripes: Box<[Stripe]>,
    /// Where the search for an element to evict goes on; `None` in tables that do not evict.
    hand: Option<Mutex<u32>>,
}

/// What a table is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub key_size: u32,
    pub value_size: u32,
    pub copies: u32,
    pub max_entries: u32,
    pub evicts: bool,
    pub seed: u64,
}

/// What [`Table::update`] is about to write to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// A slot that no reader sees yet, with whatever an element before it left.
    Fresh,
    /// The slot of the key's element, which readers see.
    InPlace,
}

impl Table {
    pub(crate) fn new(shape: Shape) -> Result<Table, Errno> {
        let buckets = shape
            .max_entries
            .checked_next_power_of_two()
            .filter(|&n| n <= SLOTS_MAX)
            .ok_or(Errno::ENOMEM)?;
        let locks = (buckets as usize).min(LOCKS_MAX);
        let slots = shape
            .max_entries
            .checked_add(locks as u32)
            .filter(|&n| n <= SLOTS_MAX)
            .ok_or(Errno::ENOMEM)?;
        let value_stride = round8(shape.value_size as usize);
        let value_offset = HEADER + round8(shape.key_size as usize);
        let values = value_stride
            .checked_mul(shape.copies as usize)
            .ok_or(Errno::ENOMEM)?;
        let stride = value_offset.checked_add(values).ok_or(Errno::ENOMEM)?;
        Ok(Table {
            key_size: shape.key_size as usize,
            value_size: shape.value_size as usize,
            value_stride,
            copies: shape.copies as usize,
            value_offset,
            stride,
            seed: shape.seed,
            mask: buckets - 1,
            heads: Region::of(buckets as usize, 4)?,
            elements: Region::of(slots as usize, stride)?,
            states: Region::of(slots as usize, 1)?,
            free_links: Region::of(slots as usize, 4)?,
            free: AtomicU64::new(0),
            fresh: AtomicU32::new(0),
            slots,
            count: AtomicU32::new(0),
            max: shape.max_entries,
            stripes: (0..locks).map(|_| Stripe::default()).collect(),
            hand: shape.evicts.then(|| Mutex::new(0)),
        })
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u32 {
        const K: u64 = 0x9e37_79b9_7f4a_7c15;
        let fold = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            product as u64 ^ (product >> 64) as u64
        };
        let (words, tail) = key.as_chunks::<8>();
        let mut h = self.seed ^ K;
        for word in words {
            h = fold(h ^ u64::from_le_bytes(*word), K);
        }
        if let Some((half, rest)) = tail.split_first_chunk::<4>() {
            h ^= u64::from(u32::from_le_bytes(*half));
            h = rest
                .iter()
                .fold(fold(h, K), |h, byte| (h ^ u64::from(*byte)).wrapping_mul(K));
        } else {
            h = tail
                .iter()
                .fold(h, |h, byte| (h ^ u64::from(*byte)).wrapping_mul(K));
        }
        let h = fold(h ^ key.len() as u64, 0xe703_7ed1_a0b4_28db);
        (h ^ (h >> 32)) as u32
    }

    fn link(&self, slot: u32) -> &AtomicU32 {
        self.elements.word32(slot as usize * self.stride)
    }

    fn hash_of(&self, slot: u32) -> &AtomicU32 {
        self.elements.word32(slot as usize * self.stride + 4)
    }

    fn head(&self, bucket: u32) -> &AtomicU32 {
        self.heads.word32(bucket as usize * 4)
    }

    fn stripe(&self, bucket: u32) -> &Stripe {
        &self.stripes[bucket as usize & (self.stripes.len() - 1)]
    }

    fn lock(&self, bucket: u32) -> MutexGuard<'_, ()> {
        self.stripe(bucket)
            .lock
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Address of copy `copy` of the value in `slot`.
    #[inline]
    pub(crate) fn value(&self, slot: u32, copy: u32) -> NonNull<u8> {
        self.elements.at(self.offset(slot, copy), self.value_size)
    }

    fn offset(&self, slot: u32, copy: u32) -> usize {
        debug_assert!((copy as usize) < self.copies);
        slot as usize * self.stride + self.value_offset + copy as usize * self.value_stride
    }

    pub(crate) fn store(&self, slot: u32, copy: u32, value: &[u8]) {
        self.elements.store(self.offset(slot, copy), value);
    }

    pub(crate) fn clear(&self, slot: u32, copy: u32) {
        self.elements
            .clear(self.offset(slot, copy), self.value_stride);
    }

    /// Appends copy `copy` of the value in `slot` to `out`.
    pub(crate) fn append_value(&self, slot: u32, copy: u32, out: &mut Vec<u8>) {
        self.elements
            .append_to(self.offset(slot, copy), self.value_size, out);
    }

    pub(crate) fn append_key(&self, slot: u32, out: &mut Vec<u8>) {
        self.elements
            .append_to(slot as usize * self.stride + HEADER, self.key_size, out);
    }

    /// The exact value that contains `addr`.
    #[inline]
    pub(crate) fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        let offset = self.elements.offset_of(addr)?;
        let inside = (offset % self.stride).checked_sub(self.value_offset)?;
        let inside = inside % self.value_stride.max(1);
        (inside < self.value_size).then(|| {
            let start = addr - inside as u64;
            (start, start + self.value_size as u64)
        })
    }

    /// The slot of `key`.
    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> Option<u32> {
        let hash = self.hash(key);
        let departures = &self.stripe(hash & self.mask).departures;
        for _ in 0..RETRIES_MAX {
            let before = departures.load(Ordering::Acquire);
            let found = self.find_hashed(key, hash);
            if found.is_some() {
                return found;
            }
            // Pairs with the fence of a writer that fills a slot again: who saw its bytes sees that it left.
            fence(Ordering::Acquire);
            if departures.load(Ordering::Relaxed) == before {
                return None;
            }
        }
        let _guard = self.lock(hash & self.mask);
        self.find_hashed(key, hash)
    }

    /// One walk along the chain. Sure to find what is there only if no element leaves it meanwhile.
    #[inline]
    fn find_hashed(&self, key: &[u8], hash: u32) -> Option<u32> {
        if key.len() != self.key_size {
            return None;
        }
        let bucket = hash & self.mask;
        loop {
            let mut at = self.head(bucket).load(Ordering::Acquire);
            while at != 0 && at & END == 0 {
                let slot = at - 1;
                let element = self.elements.at(slot as usize * self.stride, self.stride);
                // SAFETY: an element begins with two words, and with its key behind them; `key` has the key's size
                // (checked above); all is accessed atomically, and strides are multiples of 8.
                let (link, same) = unsafe {
                    let link = AtomicU32::from_ptr(element.as_ptr().cast());
                    let own = AtomicU32::from_ptr(element.as_ptr().add(4).cast());
                    let same = own.load(Ordering::Relaxed) == hash;
                    (link, same && region::equals(element.add(HEADER), key))
                };
                if same {
                    return Some(slot);
                }
                at = link.load(Ordering::Acquire);
            }
            if at == 0 || at & !END == bucket {
                return None;
            }
        }
    }

    /// Notes that a program used the element: it is not the next to be evicted.
    #[inline]
    pub(crate) fn touch(&self, slot: u32) {
        let state = self.states.byte(slot as usize);
        if state.load(Ordering::Relaxed) & REFERENCED == 0 {
            state.fetch_or(REFERENCED, Ordering::Relaxed);
        }
    }

    fn take_slot(&self) -> Option<u32> {
        let mut head = self.free.load(Ordering::Acquire);
        while head as u32 != 0 {
            let slot = head as u32 - 1;
            let next = self
                .free_links
                .word32(slot as usize * 4)
                .load(Ordering::Relaxed);
            let tagged = ((head >> 32).wrapping_add(1) << 32) | u64::from(next);
            match self
                .free
                .compare_exchange_weak(head, tagged, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some(slot),
                Err(now) => head = now,
            }
        }
        let bump = |fresh| (fresh < self.slots).then(|| fresh + 1);
        self.fresh
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, bump)
            .ok()
    }

    fn give_slot(&self, slot: u32) {
        self.states.byte(slot as usize).store(0, Ordering::Release);
        let mut head = self.free.load(Ordering::Relaxed);
        loop {
            self.free_links
                .word32(slot as usize * 4)
                .store(head as u32, Ordering::Relaxed);
            let tagged = ((head >> 32).wrapping_add(1) << 32) | u64::from(slot + 1);
            match self
                .free
                .compare_exchange_weak(head, tagged, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes `slot` out of its chain. The bucket's lock is held.
    fn unlink(&self, bucket: u32, slot: u32) {
        self.stripe(bucket)
            .departures
            .fetch_add(1, Ordering::Relaxed);
        let after = self.link(slot).load(Ordering::Relaxed);
        let head = self.head(bucket);
        let mut at = head.load(Ordering::Relaxed);
        if at == slot + 1 {
            // An empty head is 0 or an end mark; both read as "nothing follows".
            head.store(after, Ordering::Release);
            return;
        }
        while at != 0 && at & END == 0 {
            let link = self.link(at - 1);
            at = link.load(Ordering::Relaxed);
            if at == slot + 1 {
                link.store(after, Ordering::Release);
                return;
            }
        }
    }

    /// Puts `slot` first in its chain. The bucket's lock is held.
    fn push_front(&self, bucket: u32, slot: u32) {
        let head = self.head(bucket);
        let first = head.load(Ordering::Relaxed);
        self.link(slot).store(
            if first == 0 { END | bucket } else { first },
            Ordering::Relaxed,
        );
        head.store(slot + 1, Ordering::Release);
    }

    /// Inserts or changes the element of `key` by the kernel's rules for `flags` (0, `NOEXIST`, `EXIST`).
    ///
    /// `write` gets the slot to fill. With `in_place`, an element that exists is written where it is; else a new
    /// slot takes its place in one step, and who holds the old value's address keeps the old value.
    pub(crate) fn update(
        &self,
        key: &[u8],
        flags: u64,
        in_place: bool,
        mut write: impl FnMut(u32, Place) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        if key.len() != self.key_size {
            return Err(Errno::EINVAL);
        }
        let hash = self.hash(key);
        let bucket = hash & self.mask;
        for _ in 0..EVICTIONS_MAX {
            let guard = self.lock(bucket);
            let old = self.find_hashed(key, hash);
            match (old, flags) {
                (Some(_), NOEXIST) => return Err(Errno::EEXIST),
                (None, EXIST) => return Err(Errno::ENOENT),
                _ => {}
            }
            if let (Some(slot), true) = (old, in_place) {
                write(slot, Place::InPlace)?;
                self.touch(slot);
                return Ok(());
            }
            if old.is_none() {
                let more = |count| (count < self.max).then(|| count + 1);
                if self
                    .count
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
                    .is_err()
                {
                    drop(guard);
                    if self.hand.is_none() {
                        return Err(Errno::E2BIG);
                    }
                    self.evict();
                    continue;
                }
            }
            let Some(slot) = self.take_slot() else {
                if old.is_none() {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                }
                return Err(Errno::ENOMEM);
            };
            fence(Ordering::Release);
            if let Err(errno) = write(slot, Place::Fresh) {
                if old.is_none() {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                }
                self.give_slot(slot);
                return Err(errno);
            }
            self.hash_of(slot).store(hash, Ordering::Relaxed);
            self.elements
                .store(slot as usize * self.stride + HEADER, key);
            let state = if old.is_some() {
                LIVE | REFERENCED
            } else {
                LIVE
            };
            self.states
                .byte(slot as usize)
                .store(state, Ordering::Release);
            self.push_front(bucket, slot);
            if let Some(old) = old {
                self.unlink(bucket, old);
                self.give_slot(old);
            }
            return Ok(());
        }
        Err(Errno::ENOMEM)
    }

    /// Removes the element of `key`; `last` sees its slot before it is reused.
    pub(crate) fn remove(&self, key: &[u8], last: impl FnOnce(u32)) -> Result<(), Errno> {
        let hash = self.hash(key);
        let bucket = hash & self.mask;
        let _guard = self.lock(bucket);
        let slot = self.find_hashed(key, hash).ok_or(Errno::ENOENT)?;
        last(slot);
        self.unlink(bucket, slot);
        self.give_slot(slot);
        self.count.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    /// Runs `read` on the slot of `key` while no writer changes it.
    pub(crate) fn with_locked<T>(&self, key: &[u8], read: impl FnOnce(u32) -> T) -> Option<T> {
        let hash = self.hash(key);
        let _guard = self.lock(hash & self.mask);
        self.find_hashed(key, hash).map(read)
    }

    /// Removes one element that was not used since the hand last passed it.
    fn evict(&self) {
        let Some(hand) = &self.hand else { return };
        let mut hand = hand.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let used = self.fresh.load(Ordering::Relaxed).max(1);
        for _ in 0..2 * u64::from(used) + 1 {
            let slot = *hand % used;
            *hand = slot + 1;
            let state = self.states.byte(slot as usize);
            let bits = state.load(Ordering::Acquire);
            if bits & LIVE == 0 {
                continue;
            }
            if bits & REFERENCED != 0 {
                state.fetch_and(!REFERENCED, Ordering::Relaxed);
                continue;
            }
            let bucket = self.hash_of(slot).load(Ordering::Relaxed) & self.mask;
            let _guard = self.lock(bucket);
            let same = self.hash_of(slot).load(Ordering::Relaxed) & self.mask == bucket;
            if same && state.load(Ordering::Acquire) & LIVE != 0 {
                self.unlink(bucket, slot);
                self.give_slot(slot);
                self.count.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        }
    }

    pub(crate) fn buckets(&self) -> u32 {
        self.mask + 1
    }

    /// The elements of one bucket, first in the chain first: a snapshot.
    pub(crate) fn bucket(&self, bucket: u32, out: &mut Vec<u32>) {
        out.clear();
        if self.head(bucket).load(Ordering::Acquire) == 0 {
            return;
        }
        let _guard = self.lock(bucket);
        let mut at = self.head(bucket).load(Ordering::Acquire);
        while at != 0 && at & END == 0 {
            out.push(at - 1);
            at = self.link(at - 1).load(Ordering::Acquire);
        }
    }

    /// Appends the key after `key` in the table's order to `out`: the first, if `key` is unknown.
    pub(crate) fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        let mut from = 0;
        if let Some(key) = key {
            let hash = self.hash(key);
            let bucket = hash & self.mask;
            let _guard = self.lock(bucket);
            if let Some(slot) = self.find_hashed(key, hash) {
                let next = self.link(slot).load(Ordering::Acquire);
                if next & END == 0 && next != 0 {
                    self.append_key(next - 1, out);
                    return Ok(());
                }
                from = bucket + 1;
            }
        }
        for bucket in from..self.buckets() {
            let first = self.head(bucket).load(Ordering::Acquire);
            if first == 0 || first & END != 0 {
                continue;
            }
            let _guard = self.lock(bucket);
            let first = self.head(bucket).load(Ordering::Acquire);
            if first != 0 && first & END == 0 {
                self.append_key(first - 1, out);
                return Ok(());
            }
        }
        Err(Errno::ENOENT)
    }
}
