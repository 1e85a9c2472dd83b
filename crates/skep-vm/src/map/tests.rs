//! What the comparison with the kernel cannot reach: the program's side, eviction, rings, buffers, threads.

use super::*;
use crate::map::perf_event_array::CURRENT_CPU;
use crate::map::ringbuf::{BUSY, DISCARD};
use crate::map::stack_trace::{FAST_STACK_CMP, REUSE_STACKID, USER_STACK};
use skep_spec::map::{MapType, flags, update};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

fn options() -> CreateOptions {
    CreateOptions {
        cpus: 3,
        seed: Some(7),
        ..CreateOptions::default()
    }
}

#[track_caller]
fn make(kind: MapType, key: u32, value: u32, entries: u32) -> Arc<dyn Map> {
    make_with(kind, key, value, entries, 0)
}

#[track_caller]
fn make_with(kind: MapType, key: u32, value: u32, entries: u32, flags: u32) -> Arc<dyn Map> {
    let mut def = MapDef::new("map", kind, key, value, entries);
    def.flags = flags;
    create(&def, &options()).expect("a valid definition")
}

fn key(number: u32) -> [u8; 4] {
    number.to_ne_bytes()
}

/// What a program reads at a value's address.
fn peek<const N: usize>(value: NonNull<u8>) -> [u8; N] {
    let mut bytes = [0; N];
    // SAFETY: the tests only ask for as many bytes as their maps' values have.
    unsafe { region::load(value, &mut bytes) };
    bytes
}

fn read(map: &Arc<dyn Map>, key: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    map.lookup_user(key, 0, &mut out).map(|()| out)
}

fn keys(map: &Arc<dyn Map>) -> BTreeSet<Vec<u8>> {
    let mut keys = BTreeSet::new();
    map.entries(&mut |key, _| keys.insert(key.to_vec()))
        .expect("entries");
    keys
}

#[test]
fn kinds_that_are_not_there_are_refused() {
    for kind in [
        MapType::Arena,
        MapType::StructOps,
        MapType::CgroupStorage,
        MapType::InsnArray,
        MapType::Rhash,
    ] {
        let refused = create(&MapDef::new("map", kind, 4, 4, 1), &options()).map(drop);
        assert_eq!(refused, Err(Errno::EOPNOTSUPP), "{kind}");
        assert!(!is_supported(kind));
    }
    assert!(is_supported(MapType::LpmTrie));
}

#[test]
fn impossible_sizes_are_an_error_and_not_an_abort() {
    let huge = MapDef::new("map", MapType::Array, 4, i32::MAX as u32, u32::MAX);
    assert_eq!(create(&huge, &options()).map(drop), Err(Errno::ENOMEM));
    let huge = MapDef::new("map", MapType::Hash, 4, 4, 1 << 31);
    assert_eq!(create(&huge, &options()).map(drop), Err(Errno::ENOMEM));
    let huge = MapDef::new("map", MapType::Hash, 4, 4, (1 << 31) + 1);
    assert_eq!(create(&huge, &options()).map(drop), Err(Errno::E2BIG));
    // Nothing is touched before it is used, so a large map is cheap.
    let large = make(MapType::Hash, 8, 64, 1 << 24);
    assert_eq!(large.update(&[1; 8], &[2; 64], 0, 0), Ok(()));
    assert_eq!(read(&large, &[1; 8]), Ok(vec![2; 64]));
}

#[test]
fn value_bounds_are_exact() {
    for (kind, flags) in [
        (MapType::Array, 0),
        (MapType::Hash, 0),
        (MapType::LruHash, 0),
        (MapType::PercpuArray, 0),
        (MapType::PercpuHash, 0),
    ] {
        let map = make_with(kind, 4, 13, 4, flags);
        map.update(&key(1), &[9; 13], 0, 2).expect("update");
        let value = map.lookup(&key(1), 2).expect("the value");
        let start = value.as_ptr() as u64;
        for inside in 0..13 {
            assert_eq!(
                map.value_at(start + inside),
                Some((start, start + 13)),
                "{kind} +{inside}"
            );
        }
        assert_eq!(
            map.value_at(start + 13),
            None,
            "{kind}: padding is no value"
        );
        // Before the value is another's padding, or its own key.
        assert_eq!(
            map.value_at(start - 1),
            None,
            "{kind}: what is before is no value"
        );
        assert_eq!(map.value_at(0), None);
        assert_eq!(map.value_at(u64::MAX), None);
    }
}

#[test]
fn the_value_of_an_array_of_one_is_direct() {
    let map = make(MapType::Array, 4, 16, 1);
    let start = map.lookup(&key(0), 0).expect("value").as_ptr() as u64;
    assert_eq!(map.direct_value(0), Some(start));
    assert_eq!(map.direct_value(15), Some(start + 15));
    assert_eq!(map.direct_value(16), None);
    assert_eq!(make(MapType::Array, 4, 16, 2).direct_value(0), None);
    assert_eq!(make(MapType::Hash, 4, 16, 1).direct_value(0), None);
}

#[test]
fn who_holds_a_replaced_value_sees_the_old_one() {
    let map = make(MapType::Hash, 4, 8, 2);
    map.update(&key(1), &[1; 8], 0, 0).expect("insert");
    let old = map.lookup(&key(1), 0).expect("value");
    map.update(&key(1), &[2; 8], 0, 0).expect("replace");
    assert_eq!(peek::<8>(old), [1; 8]);
    assert_eq!(map.lookup(&key(1), 0).map(peek::<8>), Some([2; 8]));
    assert!(
        map.value_at(old.as_ptr() as u64).is_some(),
        "the old memory stays the map's"
    );
}

#[test]
fn a_full_hash_still_replaces() {
    let map = make(MapType::Hash, 4, 4, 3);
    for number in 0..3 {
        assert_eq!(map.update(&key(number), &key(number), 0, 0), Ok(()));
    }
    assert_eq!(map.update(&key(9), &key(9), 0, 0), Err(Errno::E2BIG));
    for round in 0..1000u32 {
        assert_eq!(
            map.update(&key(round % 3), &key(round), update::EXIST, 0),
            Ok(())
        );
    }
    assert_eq!(map.delete(&key(0)), Ok(()));
    assert_eq!(map.update(&key(9), &key(9), update::NOEXIST, 0), Ok(()));
    assert_eq!(
        keys(&map),
        [1, 2, 9].map(|number| key(number).to_vec()).into()
    );
}

#[test]
fn an_lru_drops_what_was_not_used() {
    for kind in [MapType::LruHash, MapType::LruPercpuHash] {
        let map = make(kind, 4, 4, 100);
        for number in 0..100 {
            map.update(&key(number), &key(number), 0, 0).expect("room");
        }
        for number in 0..50 {
            assert!(map.lookup(&key(number), 0).is_some(), "{kind} {number}");
        }
        for number in 100..150 {
            assert_eq!(
                map.update(&key(number), &key(number), update::NOEXIST, 0),
                Ok(()),
                "{kind}"
            );
        }
        let left = keys(&map);
        assert_eq!(left.len(), 100);
        assert!(
            (0..50).all(|number| left.contains(&key(number)[..])),
            "{kind}: the used ones stay"
        );
        assert!(
            (100..150).all(|number| left.contains(&key(number)[..])),
            "{kind}: the new ones are there"
        );
        // What the user looks at does not count as use.
        assert!(read(&map, &key(0)).is_ok());
        for number in 1000..10_000 {
            assert_eq!(
                map.update(&key(number), &key(number), 0, 0),
                Ok(()),
                "never full"
            );
        }
        assert_eq!(keys(&map).len(), 100);
    }
}

#[test]
fn an_lru_of_one_holds_the_newest() {
    let map = make(MapType::LruHash, 4, 4, 1);
    for number in 0..20 {
        assert_eq!(map.update(&key(number), &key(number), 0, 0), Ok(()));
        assert!(map.lookup(&key(number), 0).is_some());
    }
    assert_eq!(keys(&map), [key(19).to_vec()].into());
}

#[test]
fn each_cpu_has_its_own_value() {
    for kind in [
        MapType::PercpuArray,
        MapType::PercpuHash,
        MapType::LruPercpuHash,
    ] {
        let map = make(kind, 4, 4, 2);
        assert_eq!(map.user_value_size(), 24);
        map.update(&key(1), &[5; 4], 0, 1).expect("update");
        assert_eq!(
            map.lookup(&key(1), 1).map(peek::<4>),
            Some([5; 4]),
            "{kind}"
        );
        assert_eq!(
            map.lookup(&key(1), 0).map(peek::<4>),
            Some([0; 4]),
            "{kind}: other CPUs start at zero"
        );
        assert_eq!(map.lookup_percpu(&key(1), 1).map(peek::<4>), Some([5; 4]));
        assert_eq!(
            map.lookup_percpu(&key(1), 3),
            None,
            "{kind}: there are three CPUs"
        );
        assert_eq!(map.lookup(&key(1), 99), None);
        let mut all = [0; 24];
        all[8..12].fill(5);
        assert_eq!(read(&map, &key(1)), Ok(all.to_vec()), "{kind}");
        assert_eq!(map.update_user(&key(1), &[7; 24], 0), Ok(()));
        assert_eq!(map.lookup(&key(1), 2).map(peek::<4>), Some([7; 4]));
        assert_eq!(
            map.update_user(&key(1), &[7; 4], 0),
            Err(Errno::EINVAL),
            "one value is not all of them"
        );
    }
    // A deleted element's values are not seen again.
    let map = make(MapType::PercpuHash, 4, 4, 1);
    map.update_user(&key(1), &[9; 24], 0).expect("insert");
    map.delete(&key(1)).expect("delete");
    map.update(&key(2), &[1; 4], 0, 0).expect("insert");
    assert_eq!(map.lookup(&key(2), 2).map(peek::<4>), Some([0; 4]));
}

#[test]
fn for_each_passes_over_what_its_callback_deletes() {
    let map = make(MapType::Hash, 4, 4, 64);
    for number in 0..64 {
        map.update(&key(number), &key(number), 0, 0)
            .expect("insert");
    }
    let mut seen = BTreeSet::new();
    let visited = map.for_each(0, &mut |at, value| {
        assert_eq!(peek::<4>(value), at, "key and value belong together");
        seen.insert(at.to_vec());
        for number in 0..64 {
            let _ = map.delete(&key(number));
        }
        // Replacing what is there must not go on forever either.
        let _ = map.update(
            &key(1000 + seen.len() as u32),
            &key(1000 + seen.len() as u32),
            0,
            0,
        );
        true
    });
    assert_eq!(visited, Ok(seen.len() as u64));
    assert!(seen.len() < 64, "most were deleted before their turn");
    let array = make(MapType::Array, 4, 4, 10);
    let mut left = 3;
    let stopped = array.for_each(0, &mut |_, _| {
        left -= 1;
        left > 0
    });
    assert_eq!(stopped, Ok(3), "the one that stopped counts");
    assert_eq!(
        make(MapType::Queue, 0, 4, 1).for_each(0, &mut |_, _| true),
        Err(Errno::EINVAL)
    );
}

#[test]
fn a_spin_lock_is_not_the_users() {
    let options = CreateOptions {
        spin_lock: Some(4),
        ..options()
    };
    let map =
        create(&MapDef::new("map", MapType::Hash, 4, 12, 2), &options).expect("a map with a lock");
    assert_eq!(map.update_user(&key(1), &[0xff; 12], update::LOCK), Ok(()));
    let value = map.lookup(&key(1), 0).expect("value");
    assert_eq!(peek::<12>(value)[4..8], [0; 4], "the lock is open");
    // SAFETY: inside the value of twelve bytes.
    unsafe { region::store(value.add(4), &[1, 0, 0, 0]) };
    let mut shown = vec![0xff; 12];
    shown[4..8].fill(0);
    assert_eq!(read(&map, &key(1)), Ok(shown));
    let beyond = CreateOptions {
        spin_lock: Some(12),
        ..options
    };
    let refused = create(&MapDef::new("map", MapType::Hash, 4, 12, 2), &beyond).map(drop);
    assert_eq!(refused, Err(Errno::EINVAL));
}

#[test]
fn read_only_for_programs_is_said() {
    assert!(!make_with(MapType::Array, 4, 4, 1, flags::RDONLY_PROG).program_writable());
    assert!(make(MapType::Array, 4, 4, 1).program_writable());
    assert!(!make(MapType::Devmap, 4, 4, 1).program_writable());
}

#[test]
fn a_bloom_filter_forgets_nothing() {
    let map = make(MapType::BloomFilter, 0, 8, 1000);
    for number in 0..1000u64 {
        assert_eq!(map.push(&number.to_ne_bytes(), 0), Ok(()));
    }
    let known = |number: u64| map.peek(&mut number.to_ne_bytes()) == Ok(());
    assert!((0..1000).all(known));
    let wrong = (1000..11_000u64).filter(|&number| known(number)).count();
    assert!(
        wrong < 1000,
        "{wrong} of 10000 are wrongly known: five hashes should do better"
    );
    let mut asked = 5u64.to_ne_bytes().to_vec();
    assert_eq!(map.lookup_user(&[], 0, &mut asked), Ok(()));
    assert_eq!(map.push(&[0; 8], update::EXIST), Err(Errno::EINVAL));
}

#[test]
fn a_queue_shows_its_values_in_order() {
    for (kind, order) in [(MapType::Queue, [2, 3, 4]), (MapType::Stack, [4, 3, 2])] {
        let map = make(kind, 0, 4, 3);
        for number in 0..3 {
            assert_eq!(map.push(&key(number), 0), Ok(()));
        }
        assert_eq!(map.push(&key(3), 0), Err(Errno::E2BIG));
        assert_eq!(map.push(&key(3), update::EXIST), Ok(()));
        assert_eq!(map.push(&key(4), update::EXIST), Ok(()));
        let mut shown = Vec::new();
        map.entries(&mut |_, value| {
            shown.push(value.to_vec());
            true
        })
        .expect("entries");
        assert_eq!(shown, order.map(|number| key(number).to_vec()), "{kind}");
        let mut out = [0xff; 4];
        for number in order {
            assert_eq!(map.peek(&mut out), Ok(()));
            assert_eq!(out, key(number));
            assert_eq!(map.pop(&mut out), Ok(()));
            assert_eq!(out, key(number), "{kind}");
        }
        out = [0xff; 4];
        assert_eq!(map.pop(&mut out), Err(Errno::ENOENT));
        assert_eq!(out, [0; 4], "an empty one clears what it could not fill");
    }
}

#[test]
fn maps_of_maps_take_only_their_templates_shape() {
    let template = MapDef::new("inner", MapType::Array, 4, 8, 2);
    let with = CreateOptions {
        inner: Some(template.clone()),
        ..options()
    };
    let outer = create(&MapDef::new("outer", MapType::ArrayOfMaps, 4, 4, 2), &with).expect("outer");
    let slots = outer.as_array_of_maps().expect("the kind");
    let inner = create(&template, &options()).expect("inner");
    assert_eq!(slots.set(1, inner.clone()), Ok(()));
    assert_eq!(slots.set(2, inner.clone()), Err(Errno::E2BIG));
    assert_eq!(
        slots.set(0, make(MapType::Array, 4, 8, 3)),
        Err(Errno::EINVAL),
        "another max_entries"
    );
    assert_eq!(
        slots.set(0, make(MapType::Hash, 4, 8, 2)),
        Err(Errno::EINVAL),
        "another kind"
    );
    assert!(
        outer
            .inner_map(&key(1))
            .is_some_and(|map| Arc::ptr_eq(&map, &inner))
    );
    assert!(outer.inner_map(&key(0)).is_none());
    assert!(
        outer.lookup(&key(1), 0).is_none(),
        "there is no value to point to"
    );
    assert_eq!(outer.update_user(&key(0), &[0; 4], 0), Err(Errno::EBADF));
    assert_eq!(keys(&outer).len(), 1);
    assert_eq!(outer.delete_user(&key(1)), Ok(()));
    assert_eq!(outer.delete_user(&key(1)), Err(Errno::ENOENT));

    let with = CreateOptions {
        inner: Some(MapDef::new("inner", MapType::Hash, 4, 8, 2)),
        ..options()
    };
    let outer = create(&MapDef::new("outer", MapType::HashOfMaps, 8, 4, 1), &with).expect("outer");
    let slots = outer.as_hash_of_maps().expect("the kind");
    assert_eq!(
        slots.set(&[1; 8], make(MapType::Hash, 4, 8, 99), update::EXIST),
        Err(Errno::ENOENT)
    );
    assert_eq!(
        slots.set(&[1; 8], make(MapType::Hash, 4, 8, 99), 0),
        Ok(()),
        "a hash may differ in max_entries"
    );
    assert_eq!(
        slots.set(&[1; 8], make(MapType::Hash, 4, 8, 2), update::NOEXIST),
        Err(Errno::EEXIST)
    );
    assert_eq!(
        slots.set(&[2; 8], make(MapType::Hash, 4, 8, 2), 0),
        Err(Errno::E2BIG)
    );
    assert_eq!(
        slots.set(&[1; 4], make(MapType::Hash, 4, 8, 2), 0),
        Err(Errno::EINVAL)
    );
    assert!(outer.inner_map(&[1; 8]).is_some());

    for (kind, errno) in [
        (MapType::ProgArray, Errno::ENOTSUPP),
        (MapType::ArrayOfMaps, Errno::EINVAL),
    ] {
        let with = CreateOptions {
            inner: Some(MapDef::new("inner", kind, 4, 4, 2)),
            ..options()
        };
        let refused = create(&MapDef::new("outer", MapType::ArrayOfMaps, 4, 4, 2), &with).map(drop);
        assert_eq!(refused, Err(errno), "{kind}");
    }
}

#[test]
fn stacks_have_numbers() {
    let map = make(MapType::StackTrace, 4, 32, 1);
    let traces = map.as_stack_trace().expect("the kind");
    let flags = USER_STACK;
    let id = traces.id(&[1, 2, 3], flags).expect("an id");
    assert_eq!(traces.id(&[1, 2, 3], flags), Ok(id));
    assert_eq!(
        traces.id(&[9, 1, 2, 3], flags | 1),
        Ok(id),
        "one frame left out"
    );
    assert_eq!(
        traces.id(&[4, 5], flags),
        Err(Errno::EEXIST),
        "there is one bucket"
    );
    assert_eq!(
        traces.id(&[4, 5], flags | FAST_STACK_CMP),
        Err(Errno::EEXIST)
    );
    assert_eq!(
        traces.id(&[1, 2], flags | 2),
        Err(Errno::EFAULT),
        "nothing is left"
    );
    assert_eq!(traces.id(&[], flags), Err(Errno::EFAULT));
    assert_eq!(traces.id(&[1], 1 << 20), Err(Errno::EINVAL));
    let mut frames = Vec::new();
    for frame in [1u64, 2, 3, 0] {
        frames.extend_from_slice(&frame.to_ne_bytes());
    }
    assert_eq!(read(&map, &key(id)), Ok(frames));
    assert_eq!(traces.id(&[4, 5, 6, 7, 8], flags | REUSE_STACKID), Ok(id));
    let long = read(&map, &key(id)).expect("the stack");
    assert_eq!(
        long[24..],
        7u64.to_ne_bytes(),
        "as many frames as the value holds"
    );
    assert_eq!(keys(&map).len(), 1);
    assert_eq!(map.delete_user(&key(id)), Ok(()));
    assert_eq!(map.delete_user(&key(id)), Err(Errno::ENOENT));
    assert_eq!(map.delete_user(&key(1)), Err(Errno::E2BIG));
}

#[test]
fn perf_buffers_are_bounded_and_count_what_is_lost() {
    let map = make(MapType::PerfEventArray, 4, 4, 8);
    let perf = map.as_perf().expect("the kind");
    assert_eq!(
        perf.output(8, 0, &[b"x"]),
        Err(Errno::E2BIG),
        "no such index"
    );
    assert_eq!(
        perf.output(3, 3, &[b"x"]),
        Err(Errno::ENOENT),
        "there are three CPUs"
    );
    assert_eq!(
        perf.output(1, 0, &[b"x"]),
        Err(Errno::EOPNOTSUPP),
        "another CPU's buffer"
    );
    assert_eq!(perf.output(0, 0, &[&[0; 70_000]]), Err(Errno::E2BIG));
    perf.close(2).expect("it was open");
    assert_eq!(perf.close(2), Err(Errno::ENOENT));
    assert_eq!(perf.output(CURRENT_CPU, 2, &[b"x"]), Err(Errno::ENOENT));
    perf.open(2, 64).expect("cpu 2");
    assert!(!perf.wait(Duration::ZERO));
    for number in 0..10u32 {
        let result = perf.output(CURRENT_CPU, 2, &[&number.to_ne_bytes(), b"tail"]);
        // 12 bytes each: five fit into 64.
        assert_eq!(
            result,
            if number < 5 {
                Ok(())
            } else {
                Err(Errno::ENOSPC)
            },
            "{number}"
        );
    }
    assert_eq!((perf.lost(), perf.lost_on(2), perf.lost_on(0)), (5, 5, 0));
    assert!(perf.wait(Duration::ZERO));
    let mut seen = Vec::new();
    let shown = perf.drain(|cpu, record| {
        seen.push((cpu, record.to_vec()));
        seen.len() < 2
    });
    assert_eq!(shown, 2);
    perf.drain(|cpu, record| {
        seen.push((cpu, record.to_vec()));
        true
    });
    let expected: Vec<_> = (0..5u32)
        .map(|number| (2, [&number.to_ne_bytes()[..], b"tail"].concat()))
        .collect();
    assert_eq!(
        seen, expected,
        "nothing is lost or shown twice when a reader stops"
    );
    assert_eq!(perf.output(CURRENT_CPU, 2, &[b"again"]), Ok(()));
}

fn ring() -> Arc<dyn Map> {
    make(MapType::Ringbuf, 0, 0, 4096)
}

fn drained(ring: &RingBuf) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    ring.drain(|record| {
        records.push(record.to_vec());
        true
    });
    records
}

use ringbuf::RingBuf;

#[test]
fn a_ring_buffer_keeps_order_and_waits_for_the_busy() {
    let map = ring();
    let ring = map.as_ringbuf().expect("the kind");
    assert_eq!(ring.output(b"one", 0), Ok(()));
    let busy = ring.reserve(16).expect("room").as_ptr() as u64;
    let thrown = ring.reserve(8).expect("room").as_ptr() as u64;
    assert_eq!(ring.output(b"two", 0), Ok(()));
    assert!(ring.commit(thrown, true, 0));
    assert_eq!(
        drained(ring),
        [b"one".to_vec()],
        "the busy one holds the rest back"
    );
    assert_eq!(ring.query(0), 24 + 16 + 16);
    assert!(!ring.wait(Duration::ZERO));
    assert!(ring.commit(busy, false, 0));
    assert!(ring.wait(Duration::ZERO));
    assert_eq!(drained(ring), [vec![0; 16], b"two".to_vec()]);
    assert_eq!((ring.query(0), ring.query(1), ring.query(9)), (0, 4096, 0));
    assert_eq!((ring.query(2), ring.query(3)), (72, 72));
    // Not records, or no longer.
    assert!(!ring.commit(busy, false, 0));
    assert!(!ring.commit(busy + 8, false, 0));
    assert!(!ring.commit(0, false, 0));
    assert!(!ring.commit(busy + 1, false, 0));
    assert_eq!(ring.output(b"x", 4), Err(Errno::EINVAL));
    assert_eq!(BUSY & DISCARD, 0);
}

#[test]
fn a_full_ring_buffer_counts_what_it_lost() {
    let map = ring();
    let ring = map.as_ringbuf().expect("the kind");
    assert!(
        ring.reserve(4096).is_none(),
        "longer than the ring with its header"
    );
    assert!(ring.reserve(u64::MAX).is_none());
    assert!(ring.reserve(4088).is_none(), "a ring is never quite full");
    assert_eq!(ring.lost(), 3);
    for _ in 0..31 {
        assert_eq!(ring.output(&[7; 120], 0), Ok(()));
    }
    assert_eq!(ring.output(&[7; 120], 0), Err(Errno::EAGAIN));
    assert_eq!(ring.lost(), 4);
    let mut left = 3;
    let shown = ring.drain(|_| {
        left -= 1;
        left > 0
    });
    assert_eq!(shown, 3, "a reader may stop");
    assert_eq!(ring.output(&[7; 120], 0), Ok(()));
    assert_eq!(drained(ring).len(), 29);
}

#[test]
fn records_stay_in_one_piece_where_the_ring_wraps() {
    let map = ring();
    let ring = map.as_ringbuf().expect("the kind");
    for round in 0..2000u32 {
        let len = 1 + (round as usize * 37) % 900;
        let text = vec![round as u8; len];
        assert_eq!(ring.output(&text, 0), Ok(()), "{round}");
        let room = ring.reserve(len as u64).expect("room");
        // SAFETY: as many bytes as were reserved.
        unsafe { region::store(room, &text) };
        assert!(ring.commit(room.as_ptr() as u64, false, 0));
        assert_eq!(drained(ring), [text.clone(), text], "{round}");
    }
    assert_eq!(ring.lost(), 0);
}

#[test]
fn many_writers_and_a_reader_share_a_ring_buffer() {
    const WRITERS: u32 = 3;
    const EACH: u32 = 4000;
    let map = ring();
    let ring = map.as_ringbuf().expect("the kind");
    let mut next = [0u32; WRITERS as usize];
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for number in 0..EACH {
                    let record = [writer.to_ne_bytes(), number.to_ne_bytes()].concat();
                    while ring.output(&record, 0).is_err() {
                        std::thread::yield_now();
                    }
                }
            });
        }
        let mut left = WRITERS * EACH;
        while left > 0 {
            ring.wait(Duration::from_millis(10));
            ring.drain(|record| {
                let (writer, number) = record.split_at(4);
                let writer = kind::index_of(writer) as usize;
                assert_eq!(kind::index_of(number), next[writer], "in order, none twice");
                next[writer] += 1;
                left -= 1;
                true
            });
        }
    });
    assert_eq!(next, [EACH; WRITERS as usize]);
}

#[test]
fn a_user_ring_buffer_is_drained_once() {
    let map = make(MapType::UserRingbuf, 0, 0, 4096);
    let ring = map.as_user_ringbuf().expect("the kind");
    assert_eq!(ring.push(&[0; 4090]), Err(Errno::E2BIG));
    for number in 0..3u8 {
        assert_eq!(ring.push(&[number; 5]), Ok(()));
    }
    let mut lens = Vec::new();
    let shown = ring.drain(|addr, len| {
        assert_ne!(addr, 0);
        lens.push(len);
        assert_eq!(ring.drain(|_, _| Ok::<_, ()>(true)), Err(Errno::EBUSY));
        Ok::<_, ()>(lens.len() < 2)
    });
    assert_eq!(shown, Ok(Ok(2)));
    assert_eq!(ring.drain(|_, _| Ok::<_, ()>(true)), Ok(Ok(1)));
    assert_eq!(
        ring.drain(|_, _| Err::<bool, _>("no record, no call")),
        Ok(Ok(0))
    );
    while ring.push(&[1; 100]).is_ok() {}
    assert_eq!(ring.push(&[1; 100]), Err(Errno::ENOSPC));
}

#[test]
fn storage_belongs_to_its_owner() {
    let map = make_with(MapType::TaskStorage, 4, 8, 0, flags::NO_PREALLOC);
    let storage = map.as_storage().expect("the kind");
    assert!(storage.value_of(5, None).is_none());
    let value = storage.value_of(5, Some(&[])).expect("created");
    assert_eq!(peek::<8>(value), [0; 8]);
    assert_eq!(
        storage.value_of(5, Some(&[1; 8])),
        Some(value),
        "the initial value is for a new one"
    );
    assert_eq!(
        storage.value_of(1 << 40, Some(&[3; 8])).map(peek::<8>),
        Some([3; 8])
    );
    assert_eq!(read(&map, &key(5)), Ok(vec![0; 8]));
    assert_eq!(storage.remove(5), Ok(()));
    assert_eq!(storage.remove(5), Err(Errno::ENOENT));
    let again = storage.value_of(5, Some(&[])).expect("created");
    assert_eq!(peek::<8>(again), [0; 8]);
}

#[test]
fn readers_always_find_what_stays_while_writers_work() {
    for (kind, entries) in [(MapType::Hash, 64), (MapType::LruHash, 4096)] {
        let map = make(kind, 4, 8, entries);
        // Keys 0 to 15 stay, though they are replaced; the others come and go.
        let value = |number: u32| u64::from(number).to_ne_bytes();
        for number in 0..16 {
            map.update(&key(number), &value(number), 0, 0)
                .expect("insert");
        }
        let done = AtomicBool::new(false);
        let found = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        while !done.load(Ordering::Relaxed) {
                            for number in 0..16 {
                                assert!(
                                    map.lookup(&key(number), 0).is_some(),
                                    "{kind}: {number} stays"
                                );
                                found.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    })
                })
                .collect();
            let writers: Vec<_> = (0..2u32)
                .map(|writer| {
                    let map = &map;
                    scope.spawn(move || {
                        for round in 0..20_000u32 {
                            let coming = 100 + writer * 1000 + round % 20;
                            assert_eq!(map.update(&key(coming), &value(coming), 0, 0), Ok(()));
                            assert_eq!(
                                map.update(&key(round % 16), &value(round % 16), 0, 0),
                                Ok(())
                            );
                            assert_eq!(map.delete(&key(coming)), Ok(()));
                        }
                    })
                })
                .collect();
            let outcomes: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
            done.store(true, Ordering::Relaxed);
            assert!(outcomes.iter().all(Result::is_ok), "no writer failed");
            assert!(
                readers.into_iter().all(|reader| reader.join().is_ok()),
                "no reader missed a key"
            );
        });
        assert!(found.load(Ordering::Relaxed) > 0);
        assert_eq!(keys(&map).len(), 16, "{kind}: what came is gone");
        for number in 0..16 {
            assert_eq!(
                map.lookup(&key(number), 0).map(peek::<8>),
                Some(value(number))
            );
        }
    }
}

#[test]
fn threads_fill_a_hash_to_its_last_entry() {
    let map = make(MapType::Hash, 4, 4, 1000);
    let full = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let (map, full) = (&map, &full);
            scope.spawn(move || {
                for number in 0..500 {
                    match map.update(&key(thread * 500 + number), &key(number), 0, 0) {
                        Ok(()) => {}
                        Err(errno) => {
                            assert_eq!(errno, Errno::E2BIG);
                            full.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(keys(&map).len(), 1000);
    assert_eq!(full.load(Ordering::Relaxed), 1000);
}

#[test]
fn an_lru_stays_full_under_threads() {
    let map = make(MapType::LruHash, 4, 4, 100);
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let map = &map;
            scope.spawn(move || {
                for number in 0..5000 {
                    let own = key(thread << 24 | number);
                    assert_eq!(map.update(&own, &own, 0, 0), Ok(()), "never fails");
                    if let Some(value) = map.lookup(&own, 0) {
                        let _ = peek::<4>(value);
                    }
                }
            });
        }
    });
    assert_eq!(keys(&map).len(), 100);
}

#[test]
fn walking_a_map_that_others_change_comes_to_an_end() {
    let map = make(MapType::Hash, 4, 4, 512);
    for number in 0..256 {
        map.update(&key(number), &key(number), 0, 0)
            .expect("insert");
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 256;
            while !done.load(Ordering::Relaxed) {
                let _ = map.update(&key(number), &key(number), 0, 0);
                let _ = map.delete(&key(number));
                number = 256 + (number + 1) % 256;
            }
        });
        for _ in 0..50 {
            let mut stayed = 0;
            let mut seen = BTreeSet::new();
            map.entries(&mut |at, value| {
                assert_eq!(at, value);
                assert!(seen.insert(at.to_vec()), "none twice");
                stayed += u32::from(kind::index_of(at) < 256);
                true
            })
            .expect("entries");
            assert_eq!(stayed, 256, "all that are there all the time");
        }
        done.store(true, Ordering::Relaxed);
    });
}
