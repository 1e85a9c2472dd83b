//! Special fields of map values and local types.

use std::sync::Arc;

use skep_btf::build::{MemberDef, SecVarDef};
use skep_btf::ty::{Encoding, Linkage};
use skep_btf::{Builder, TypeId};
use skep_spec::map::MapType;
use skep_spec::program::ProgramType;

use super::*;
use crate::input::MapInfo;

/// What `build` makes the value type of a map, as the verifier sees its record.
fn of_map(build: impl FnOnce(&mut Builder) -> TypeId) -> Option<Record> {
    let mut builder = Builder::new();
    let value_type = build(&mut builder);
    let btf = builder.into_btf().unwrap();
    let value_size = btf.size_of(value_type).unwrap();
    let mut input = Input::new(ProgramType::SchedCls, Vec::new());
    input.program_btf = Some(Arc::new(btf));
    input.maps.push(MapInfo {
        name: "values".into(),
        map_type: MapType::Array,
        key_size: 4,
        value_size,
        max_entries: 1,
        flags: 0,
        map_extra: 0,
        key_type: None,
        value_type: Some(value_type),
        inner: None,
        frozen: None,
        user_address: 0,
    });
    let verifier = Verifier::new(&input);
    verifier
        .map_record(MapId(0))
        .map(|record| (*record).clone())
}

fn opaque(builder: &mut Builder, kind: FieldKind, name: &str) -> TypeId {
    let byte = builder.add_int("unsigned char", 1, Encoding::UNSIGNED);
    let bytes = builder.add_array(byte, byte, kind.size());
    builder.add_struct(name, kind.size(), [MemberDef::new("bytes", bytes, 0)])
}

#[test]
fn a_nested_lock_and_a_timer() {
    let record = of_map(|builder| {
        let lock = opaque(builder, FieldKind::SpinLock, "bpf_spin_lock");
        let timer = opaque(builder, FieldKind::Timer, "bpf_timer");
        let inner = builder.add_struct("inner", 8, [MemberDef::new("lock", lock, 4)]);
        builder.add_struct(
            "value",
            40,
            [
                MemberDef::new("timer", timer, 24),
                MemberDef::new("inner", inner, 8),
            ],
        )
    })
    .unwrap();
    assert_eq!(record.fields.len(), 2);
    assert_eq!(record.find(12, FieldKind::SpinLock).unwrap().offset, 12);
    assert_eq!(record.field_at(39).unwrap().kind, FieldKind::Timer);
    assert!(record.field_at(16).is_none());
    assert!(record.find(12, FieldKind::Timer).is_none());
    assert_eq!(record.first(FieldKind::Timer).unwrap().offset, 24);
}

#[test]
fn two_locks_are_no_record() {
    let two = of_map(|builder| {
        let lock = opaque(builder, FieldKind::SpinLock, "bpf_spin_lock");
        builder.add_struct(
            "value",
            8,
            [MemberDef::new("a", lock, 0), MemberDef::new("b", lock, 4)],
        )
    });
    assert_eq!(two, None);
    let array = of_map(|builder| {
        let lock = opaque(builder, FieldKind::SpinLock, "bpf_spin_lock");
        let locks = builder.add_array(lock, lock, 2);
        builder.add_struct("value", 8, [MemberDef::new("locks", locks, 0)])
    });
    assert_eq!(array, None);
}

#[test]
fn arrays_of_kernel_pointers_repeat() {
    let record = of_map(|builder| {
        let task = builder.add_struct("task_struct", 0, []);
        let tag = builder.add_type_tag("kptr", task);
        let pointer = builder.add_ptr(tag);
        let pointers = builder.add_array(pointer, task, 3);
        builder.add_struct("value", 32, [MemberDef::new("tasks", pointers, 8)])
    })
    .unwrap();
    let offsets: Vec<u32> = record.fields.iter().map(|field| field.offset).collect();
    assert_eq!(offsets, [8, 16, 24]);
    assert!(record.find(20, FieldKind::KptrUnref).is_some());
    let target = record.fields[0].target.unwrap();
    assert_eq!(target.0, BtfIdx::PROGRAM);
}

#[test]
fn a_list_needs_a_lock_and_names_its_node() {
    let list = |locked: bool| {
        of_map(|builder| {
            let lock = opaque(builder, FieldKind::SpinLock, "bpf_spin_lock");
            let head = opaque(builder, FieldKind::ListHead, "bpf_list_head");
            let node = opaque(builder, FieldKind::ListNode, "bpf_list_node");
            builder.add_struct("item", 32, [MemberDef::new("node", node, 8)]);
            let mut members = vec![MemberDef::new("head", head, 8)];
            if locked {
                members.push(MemberDef::new("lock", lock, 0));
            }
            let value = builder.add_struct("value", 24, members);
            builder.add_decl_tag("contains:item:node", value, 0);
            let var = builder.add_var("value", value, Linkage::Global);
            builder.add_datasec(".data.A", 24, [(var, 0, 24)].map(section_var))
        })
    };
    assert_eq!(list(false), None);
    let record = list(true).unwrap();
    let head = record.first(FieldKind::ListHead).unwrap();
    assert_eq!((head.offset, head.node_offset), (8, 8));
    assert!(head.target.is_some());
}

fn section_var((ty, offset, size): (TypeId, u32, u32)) -> SecVarDef {
    SecVarDef { ty, offset, size }
}

#[test]
fn hostile_offsets_and_nesting_end() {
    // Each level lies as far into the next one as BTF can say.
    let deep = of_map(|builder| {
        let lock = opaque(builder, FieldKind::SpinLock, "bpf_spin_lock");
        let mut inner = builder.add_struct("level", 8, [MemberDef::new("lock", lock, 4)]);
        for _ in 0..9 {
            inner = builder.add_struct("level", 8, [MemberDef::new("inner", inner, (1 << 29) - 4)]);
        }
        inner
    });
    assert_eq!(deep, None);
    let many = of_map(|builder| {
        let task = builder.add_struct("task_struct", 0, []);
        let tag = builder.add_type_tag("kptr", task);
        let pointer = builder.add_ptr(tag);
        let pointers = builder.add_array(pointer, task, u32::MAX);
        builder.add_struct("value", 8, [MemberDef::new("tasks", pointers, 0)])
    });
    assert_eq!(many, None);
}
