//! `bloom_filter`: a set of values that may say "maybe" but never wrongly "no".
//!
//! Invariants: bits are only ever set; a value once pushed is always found; reading and adding take no lock.

use super::kind::{ACCESS, Kind, flags_fit, require};
use super::region::Region;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags};

/// Hash functions if `map_extra` names none.
const HASHES_DEFAULT: u32 = 5;
/// The part of `map_extra` that says how many hash functions there are.
const HASHES_MASK: u64 = 0xf;

/// A bloom filter.
pub(crate) struct BloomFilter {
    def: MapDef,
    bits: Region,
    mask: u64,
    hashes: u32,
    seed: u64,
}

impl BloomFilter {
    pub(crate) fn new(def: &MapDef, seed: u64) -> Result<BloomFilter, Errno> {
        require(def.key_size == 0 && def.value_size != 0 && def.max_entries != 0)?;
        flags_fit(def, flags::NUMA_NODE | flags::ZERO_SEED | ACCESS)?;
        require(def.map_extra & !HASHES_MASK == 0)?;
        let hashes = match (def.map_extra & HASHES_MASK) as u32 {
            0 => HASHES_DEFAULT,
            hashes => hashes,
        };
        // A filter of n entries with k hashes is best with n * k / ln 2 bits; 7/5 is near 1 / ln 2.
        let bits = u64::from(def.max_entries) * u64::from(hashes) * 7 / 5;
        let bits = bits.max(64).next_power_of_two().min(1 << 32);
        let seed = if def.flags & flags::ZERO_SEED != 0 {
            0
        } else {
            seed
        };
        Ok(BloomFilter {
            def: def.clone(),
            bits: Region::zeroed((bits / 8) as usize)?,
            mask: bits - 1,
            hashes,
            seed,
        })
    }

    /// The word and the bit in it of hash function `number`.
    fn place(&self, value: &[u8], number: u32) -> (usize, u32) {
        let mut h = self.seed ^ u64::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for part in value.chunks(8) {
            let mut word = [0u8; 8];
            word[..part.len()].copy_from_slice(part);
            let product = u128::from(h ^ u64::from_le_bytes(word)) * 0xe703_7ed1_a0b4_28db;
            h = product as u64 ^ (product >> 64) as u64;
        }
        h ^= h >> 29;
        let bit = h & self.mask;
        ((bit / 32 * 4) as usize, 1 << (bit % 32))
    }

    fn contains(&self, value: &[u8]) -> Result<(), Errno> {
        let all = (0..self.hashes).all(|number| {
            let (word, bit) = self.place(value, number);
            self.bits.word32(word).load(Ordering::Relaxed) & bit != 0
        });
        if all { Ok(()) } else { Err(Errno::ENOENT) }
    }
}

// SAFETY: no address is ever given out.
unsafe impl Kind for BloomFilter {
    fn def(&self) -> &MapDef {
        &self.def
    }

    fn update(&self, _key: &[u8], _value: &[u8], _flags: u64, _cpu: u32) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn delete(&self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn push(&self, value: &[u8], flags: u64) -> Result<(), Errno> {
        require(flags == 0)?;
        for number in 0..self.hashes {
            let (word, bit) = self.place(value, number);
            self.bits.word32(word).fetch_or(bit, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the value in `out` may be in the set; `out` stays as it is.
    fn peek(&self, out: &mut [u8]) -> Result<(), Errno> {
        self.contains(out)
    }

    /// As [`Kind::peek`]: `out` holds the value that is asked for.
    fn read_user(&self, _key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        require(out.len() == self.def.value_size as usize)?;
        self.contains(out)
    }

    fn write_user(&self, _key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.push(value, flags)
    }

    fn next_key(&self, _key: Option<&[u8]>, _out: &mut Vec<u8>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn entries(&self, _visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}
