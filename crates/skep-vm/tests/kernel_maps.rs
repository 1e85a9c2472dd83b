//! The kernel's maps beside the engine's: the same definitions and the same operations must give the same answers.
//!
//! Invariants: what bpf(2) refuses as a whole is skipped and said; every sequence is seeded, so a failure repeats.

use std::collections::BTreeSet;
use std::sync::Arc;

use skep_linux::{Kernel, Map as KernelMap};
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, MapType, flags};
use skep_vm::map::{CreateOptions, Map, create};

/// The kernel's door, or why there is none.
fn kernel() -> Option<Kernel> {
    let probe = MapDef::new("probe", MapType::Array, 4, 4, 1);
    match KernelMap::create(&Kernel, &probe, None, None) {
        Ok(_) => Some(Kernel),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

fn options() -> CreateOptions {
    CreateOptions {
        cpus: skep_linux::map::possible_cpus(),
        ..CreateOptions::default()
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

#[test]
fn creation_is_refused_for_the_same_reasons() {
    let Some(door) = kernel() else { return };
    let kinds = [
        MapType::Array,
        MapType::PercpuArray,
        MapType::Hash,
        MapType::PercpuHash,
        MapType::LruHash,
        MapType::LruPercpuHash,
        MapType::ProgArray,
        MapType::PerfEventArray,
        MapType::CgroupArray,
        MapType::StackTrace,
        MapType::LpmTrie,
        MapType::Queue,
        MapType::Stack,
        MapType::BloomFilter,
        MapType::Ringbuf,
        MapType::UserRingbuf,
        MapType::Devmap,
        MapType::DevmapHash,
        MapType::Cpumap,
        MapType::Xskmap,
        MapType::Sockmap,
        MapType::Sockhash,
        MapType::ArrayOfMaps,
        MapType::HashOfMaps,
    ];
    let keys = [0, 1, 3, 4, 5, 8, 12, 260, 261, 512, 513];
    let values = [
        0,
        1,
        4,
        8,
        12,
        16,
        1016,
        1024,
        32 << 10,
        (32 << 10) + 1,
        4 << 20,
        (4 << 20) - 60,
    ];
    let entries = [0, 1, 2, 3, 1000, 4096, 8192, 12288];
    let flag_sets = [
        0,
        flags::NO_PREALLOC,
        flags::NO_COMMON_LRU,
        flags::RDONLY,
        flags::WRONLY,
        flags::RDONLY | flags::WRONLY,
        flags::RDONLY_PROG,
        flags::WRONLY_PROG,
        flags::RDONLY_PROG | flags::WRONLY_PROG,
        flags::STACK_BUILD_ID,
        flags::ZERO_SEED,
        flags::MMAPABLE,
        flags::PRESERVE_ELEMS,
        flags::INNER_MAP,
        flags::CLONE,
        flags::NO_PREALLOC | flags::RDONLY_PROG,
        1 << 30,
    ];
    let mut random = Random(1);
    let mut wrong = BTreeSet::new();
    let mut agreed = [0usize; 2];
    for kind in kinds {
        for _ in 0..400 {
            let mut def = MapDef::new(
                "test",
                kind,
                random.pick(&keys),
                random.pick(&values),
                random.pick(&entries),
            );
            if random.below(2) == 0 {
                // Mostly right, so that the later checks are reached.
                def.key_size = match kind {
                    MapType::Queue | MapType::Stack | MapType::BloomFilter | MapType::Ringbuf => 0,
                    MapType::LpmTrie => 8,
                    _ => 4,
                };
                def.value_size = if kind == MapType::Ringbuf {
                    0
                } else {
                    random.pick(&[4, 8, 1024])
                };
            }
            def.flags = if random.below(2) == 0 {
                0
            } else {
                random.pick(&flag_sets)
            };
            if kind == MapType::LpmTrie && random.below(4) != 0 {
                def.flags |= flags::NO_PREALLOC;
            }
            if random.below(8) == 0 {
                def.map_extra = random.pick(&[1, 15, 16, 1 << 40]);
            }
            // Megabytes of preallocated elements are the kernel's business, not this test's.
            if u64::from(def.value_size) * u64::from(def.max_entries) > 64 << 20 {
                continue;
            }
            // How many CPUs there may be depends on how the kernel was built.
            if kind == MapType::Cpumap && def.max_entries > 64 {
                continue;
            }
            // Build ids are refused by name.
            if kind == MapType::StackTrace && def.flags & flags::STACK_BUILD_ID != 0 {
                continue;
            }
            let theirs = KernelMap::create(&door, &def, None, None)
                .map(drop)
                .map_err(|error| error.errno);
            let ours = create(&def, &options()).map(drop);
            if theirs != ours {
                wrong.insert(format!("{def:?}: kernel {theirs:?}, engine {ours:?}"));
            }
            agreed[usize::from(theirs.is_ok())] += 1;
        }
    }
    let total = wrong.len();
    let some: Vec<_> = wrong.into_iter().take(40).collect();
    assert!(some.is_empty(), "{total} differ:\n{}", some.join("\n"));
    assert!(
        agreed[0] > 500 && agreed[1] > 500,
        "a test of {agreed:?} refusals and creations tests little"
    );
}

struct Pair {
    def: MapDef,
    kernel: KernelMap,
    ours: Arc<dyn Map>,
    log: Vec<String>,
}

impl Pair {
    fn new(def: MapDef) -> Pair {
        let kernel =
            KernelMap::create(&Kernel, &def, None, None).expect("the kernel makes this map");
        let ours = create(&def, &options()).expect("the engine makes this map");
        assert_eq!(
            ours.user_value_size(),
            kernel.value_bytes(),
            "bytes of a value of {def:?}"
        );
        Pair {
            def,
            kernel,
            ours,
            log: Vec::new(),
        }
    }

    #[track_caller]
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: String, theirs: &T, ours: &T) {
        self.log.push(format!("{what} -> {theirs:?}"));
        if theirs != ours {
            let mut keys = Vec::new();
            let _ = self.ours.entries(&mut |key, _| {
                keys.push(key.to_vec());
                true
            });
            self.log.push(format!("{} keys {keys:?}", keys.len()));
            let last = self.log.len().saturating_sub(30);
            panic!(
                "{:?}\n{}\nkernel {theirs:?}\nengine {ours:?}",
                self.def,
                self.log[last..].join("\n")
            );
        }
    }

    fn lookup(&mut self, key: &[u8], flags: u64) {
        let theirs = self.kernel.lookup(&Kernel, key, flags);
        let mut out = Vec::new();
        let ours = self.ours.lookup_user(key, flags, &mut out).map(|()| out);
        self.same(format!("lookup {key:?} {flags}"), &theirs, &ours);
    }

    fn take(&mut self, key: &[u8], flags: u64) {
        let theirs = self.kernel.lookup_and_delete(&Kernel, key, flags);
        let mut out = Vec::new();
        let ours = self
            .ours
            .lookup_and_delete(key, flags, &mut out)
            .map(|()| out);
        self.same(format!("lookup_and_delete {key:?} {flags}"), &theirs, &ours);
    }

    fn update(&mut self, key: &[u8], value: &[u8], flags: u64) {
        let theirs = self.kernel.update(&Kernel, key, value, flags);
        let ours = self.ours.update_user(key, value, flags);
        self.same(format!("update {key:?} {flags}"), &theirs, &ours);
    }

    fn delete(&mut self, key: &[u8]) {
        let theirs = self.kernel.delete(&Kernel, key);
        let ours = self.ours.delete_user(key);
        self.same(format!("delete {key:?}"), &theirs, &ours);
    }

    fn next_key(&mut self, key: Option<&[u8]>) {
        let theirs = self.kernel.next_key(&Kernel, key);
        let ours = our_next(&self.ours, key);
        self.same(format!("next_key {key:?}"), &theirs, &ours);
    }

    /// All keys, in any order.
    fn keys(&mut self) {
        let (mut theirs, mut ours) = (BTreeSet::new(), BTreeSet::new());
        let mut at: Option<Vec<u8>> = None;
        while let Ok(key) = self.kernel.next_key(&Kernel, at.as_deref()) {
            assert!(theirs.insert(key.clone()), "the kernel repeats {key:?}");
            at = Some(key);
        }
        let mut at: Option<Vec<u8>> = None;
        while let Ok(key) = our_next(&self.ours, at.as_deref()) {
            assert!(ours.insert(key.clone()), "the engine repeats {key:?}");
            at = Some(key);
        }
        self.same("keys".into(), &theirs, &ours);
        let mut entries = BTreeSet::new();
        self.ours
            .entries(&mut |key, _| entries.insert(key.to_vec()))
            .expect("entries");
        assert_eq!(entries, ours, "entries() and next_key() tell the same keys");
    }
}

fn our_next(map: &Arc<dyn Map>, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    map.next_key(key, &mut out).map(|()| out)
}

const UPDATE_FLAGS: [u64; 10] = [0, 0, 0, 0, 1, 2, 3, 4, 5, 1 << 32];

/// A value whose padding is zero, which the kernel may or may not copy.
fn value_for(pair: &Pair, random: &mut Random) -> Vec<u8> {
    let mut value = random.bytes(pair.ours.user_value_size());
    let size = pair.def.value_size as usize;
    if pair.def.map_type.is_per_cpu() {
        for one in value.chunks_mut(size.next_multiple_of(8)) {
            one[size..].fill(0);
        }
    }
    value
}

#[test]
fn arrays_answer_alike() {
    if kernel().is_none() {
        return;
    }
    for (seed, kind) in [MapType::Array, MapType::PercpuArray]
        .into_iter()
        .enumerate()
    {
        for value_size in [1, 4, 7, 8, 13, 64] {
            let mut random = Random(seed as u64 * 100 + u64::from(value_size));
            let mut pair = Pair::new(MapDef::new("array", kind, 4, value_size, 5));
            for _ in 0..400 {
                let key = (random.below(7) as u32).to_ne_bytes();
                match random.below(6) {
                    0 => pair.delete(&key),
                    1 => pair.next_key((random.below(5) != 0).then_some(&key[..])),
                    2 => pair.lookup(&key, random.pick(&[0, 0, 0, 4, 2])),
                    3 => pair.take(&key, random.pick(&[0, 4, 2])),
                    _ => {
                        let value = value_for(&pair, &mut random);
                        pair.update(&key, &value, random.pick(&UPDATE_FLAGS));
                    }
                }
            }
        }
    }
}

#[test]
fn hashes_answer_alike() {
    if kernel().is_none() {
        return;
    }
    let kinds = [
        (MapType::Hash, 0),
        (MapType::Hash, flags::NO_PREALLOC),
        (MapType::PercpuHash, 0),
        (MapType::PercpuHash, flags::NO_PREALLOC),
        (MapType::LruHash, 0),
        (MapType::LruPercpuHash, 0),
    ];
    for (seed, (kind, map_flags)) in kinds.into_iter().enumerate() {
        for key_size in [1, 3, 4, 8, 9, 20] {
            let evicts = matches!(kind, MapType::LruHash | MapType::LruPercpuHash);
            let mut random = Random(1000 + seed as u64 * 100 + u64::from(key_size));
            // The kernel evicts before an LRU map is full, and never the same: it is kept half empty here.
            let max_entries = if evicts { 4096 } else { 6 };
            let mut def = MapDef::new(
                "hash",
                kind,
                key_size,
                random.pick(&[1, 4, 8, 12, 40]),
                max_entries,
            );
            def.flags = map_flags;
            let mut pair = Pair::new(def);
            for step in 0..600 {
                let mut key = vec![0; key_size as usize];
                key[0] = random.below(9) as u8;
                match random.below(8) {
                    0 => pair.delete(&key),
                    1 => pair.lookup(&key, random.pick(&[0, 0, 0, 4, 2])),
                    2 => pair.take(&key, random.pick(&[0, 0, 0, 4, 2])),
                    3 if step % 20 == 0 => pair.keys(),
                    _ => {
                        let value = value_for(&pair, &mut random);
                        pair.update(&key, &value, random.pick(&UPDATE_FLAGS));
                    }
                }
            }
            pair.keys();
        }
    }
}

#[test]
fn tries_answer_alike() {
    if kernel().is_none() {
        return;
    }
    for data in [1u32, 2, 4, 16] {
        let mut random = Random(3000 + u64::from(data));
        let mut def = MapDef::new("trie", MapType::LpmTrie, 4 + data, 4, 12);
        def.flags = flags::NO_PREALLOC;
        let mut pair = Pair::new(def);
        for _ in 0..3000 {
            let prefix = random.below(u64::from(data) * 8 + 2) as u32;
            let mut key = prefix.to_ne_bytes().to_vec();
            key.extend((0..data).map(|_| random.pick(&[0u8, 0x80, 0xff, 0xc0, 0x0f])));
            match random.below(9) {
                0 | 1 => pair.delete(&key),
                2 => pair.next_key((random.below(5) != 0).then_some(&key[..])),
                3 | 4 => pair.lookup(&key, 0),
                5 => pair.take(&key, 0),
                6 => {
                    // Walk on from a key that is there.
                    if let Ok(first) = our_next(&pair.ours, Some(&key)) {
                        pair.next_key(Some(&first));
                    }
                }
                _ => {
                    let value = value_for(&pair, &mut random);
                    pair.update(&key, &value, random.pick(&UPDATE_FLAGS));
                }
            }
        }
        pair.keys();
    }
}

#[test]
fn queues_and_stacks_answer_alike() {
    if kernel().is_none() {
        return;
    }
    for kind in [MapType::Queue, MapType::Stack] {
        for value_size in [1, 4, 12] {
            let mut random = Random(4000 + u64::from(value_size));
            let mut pair = Pair::new(MapDef::new("pile", kind, 0, value_size, 3));
            for _ in 0..500 {
                match random.below(7) {
                    0 => pair.delete(&[]),
                    1 => pair.lookup(&[], random.pick(&[0, 0, 4])),
                    2 | 3 => pair.take(&[], random.pick(&[0, 0, 0, 4])),
                    4 => pair.next_key(None),
                    _ => {
                        let value = value_for(&pair, &mut random);
                        pair.update(&[], &value, random.pick(&UPDATE_FLAGS));
                    }
                }
            }
        }
    }
}

#[test]
fn a_bloom_filter_answers_alike() {
    if kernel().is_none() {
        return;
    }
    let mut pair = Pair::new(MapDef::new("bloom", MapType::BloomFilter, 0, 4, 100));
    for flags in UPDATE_FLAGS {
        pair.update(&[], &7u32.to_ne_bytes(), flags);
    }
    pair.delete(&[]);
    pair.next_key(None);
    pair.take(&[], 0);
}

#[test]
fn ring_buffers_have_no_elements() {
    if kernel().is_none() {
        return;
    }
    for kind in [MapType::Ringbuf, MapType::UserRingbuf] {
        let mut pair = Pair::new(MapDef::new("ring", kind, 0, 0, 4096));
        pair.lookup(&[], 0);
        pair.update(&[], &[], 0);
        pair.delete(&[]);
        pair.next_key(None);
        pair.take(&[], 0);
    }
}

#[test]
fn redirect_targets_answer_alike() {
    if kernel().is_none() {
        return;
    }
    // Interface 1 is the loopback device, everywhere.
    for (kind, value_size) in [
        (MapType::Devmap, 4),
        (MapType::Devmap, 8),
        (MapType::DevmapHash, 4),
        (MapType::DevmapHash, 8),
        (MapType::Cpumap, 4),
        (MapType::Cpumap, 8),
    ] {
        let mut random = Random(5000 + u64::from(value_size));
        let mut pair = Pair::new(MapDef::new("targets", kind, 4, value_size, 2));
        for _ in 0..200 {
            let key = (random.below(4) as u32).to_ne_bytes();
            match random.below(6) {
                0 => pair.delete(&key),
                1 => pair.lookup(&key, 0),
                2 if kind != MapType::DevmapHash => {
                    pair.next_key((random.below(5) != 0).then_some(&key[..]))
                }
                3 => pair.take(&key, 0),
                _ => {
                    let mut value = (random.below(2) as u32).to_ne_bytes().to_vec();
                    value.resize(value_size as usize, 0);
                    pair.update(&key, &value, random.pick(&[0, 0, 0, 1, 2, 3]));
                }
            }
        }
    }
}

#[test]
fn descriptor_arrays_answer_alike() {
    if kernel().is_none() {
        return;
    }
    for kind in [
        MapType::ProgArray,
        MapType::PerfEventArray,
        MapType::CgroupArray,
    ] {
        let mut random = Random(6000);
        let def = MapDef::new("descriptors", kind, 4, 4, 3);
        let kernel =
            KernelMap::create(&Kernel, &def, None, None).expect("the kernel makes this map");
        let closed = CreateOptions {
            perf_bytes: 0,
            ..options()
        };
        let ours = create(&def, &closed).expect("the engine makes this map");
        let mut pair = Pair {
            def,
            kernel,
            ours,
            log: Vec::new(),
        };
        for _ in 0..100 {
            let key = (random.below(5) as u32).to_ne_bytes();
            match random.below(5) {
                0 => pair.delete(&key),
                1 => pair.lookup(&key, 0),
                2 => pair.next_key((random.below(5) != 0).then_some(&key[..])),
                3 => pair.take(&key, 0),
                // No process has that many descriptors.
                _ => pair.update(
                    &key,
                    &1_000_000_000u32.to_ne_bytes(),
                    random.pick(&[0, 0, 1, 2, 3]),
                ),
            }
        }
    }
}

#[test]
fn flags_and_freezing_close_the_users_door() {
    if kernel().is_none() {
        return;
    }
    for map_flags in [
        0,
        flags::RDONLY,
        flags::WRONLY,
        flags::RDONLY_PROG,
        flags::WRONLY_PROG,
    ] {
        for kind in [MapType::Array, MapType::Hash] {
            let mut def = MapDef::new("access", kind, 4, 4, 4);
            def.flags = map_flags;
            let mut pair = Pair::new(def);
            let key = 1u32.to_ne_bytes();
            for round in 0..3 {
                pair.update(&key, &[1, 2, 3, 4], 0);
                pair.lookup(&key, 0);
                pair.next_key(Some(&key));
                pair.take(&key, 0);
                pair.delete(&key);
                if round < 2 {
                    let theirs = pair.kernel.freeze(&Kernel);
                    let ours = pair.ours.freeze();
                    pair.same("freeze".into(), &theirs, &ours);
                }
            }
        }
    }
}
