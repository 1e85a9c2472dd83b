//! What merges and what must not.

use std::sync::Arc;

use super::*;
use crate::build::{MemberDef, SecVarDef};
use crate::ty::{Encoding, Linkage};

/// A list node with a pointer to itself and one to a struct that is known by name only, or defined.
fn unit(b: &mut Builder, other: Option<u32>) -> TypeId {
    let int = b.add_int("int", 4, Encoding::SIGNED);
    let node = b.declare();
    let next = b.add_ptr(node);
    let other = match other {
        Some(size) => b.add_struct("other", size, [MemberDef::new("x", int, 0)]),
        None => b.add_fwd("other", false),
    };
    let other = b.add_ptr(other);
    let members = vec![
        MemberDef::new("next", next, 0),
        MemberDef::new("other", other, 8),
    ];
    b.define(
        node,
        TypeDef::Struct {
            name: "node".into(),
            size: 16,
            members,
        },
    )
    .unwrap();
    node
}

fn deduped(b: Builder) -> Btf {
    let btf = b.into_btf().unwrap();
    let once = dedup(&btf).unwrap();
    assert_eq!(once.map.len(), btf.len() as usize);
    let once = once.builder.into_btf().unwrap();
    let twice = dedup(&once).unwrap().builder.finish().unwrap();
    assert_eq!(once.raw(), twice, "deduplicating again changes nothing");
    once
}

#[test]
fn cycles_merge_and_forward_declarations_find_their_definition() {
    let mut b = Builder::new();
    unit(&mut b, None);
    unit(&mut b, Some(4));
    unit(&mut b, None);
    let btf = deduped(b);
    let counts = census(&btf);
    assert_eq!(counts.get(&Kind::Struct), Some(&2));
    assert_eq!(counts.get(&Kind::Fwd), None);
    assert_eq!(btf.len() - 1, 5);
    let node = btf.find(Kind::Struct, "node").unwrap();
    let next = btf.member(node, "next").unwrap().unwrap().member.ty;
    assert!(matches!(btf.ty(next), Ok(Ty::Ptr { target }) if target == node));
}

#[test]
fn two_definitions_of_a_name_stay_two_and_so_do_their_users() {
    let mut b = Builder::new();
    unit(&mut b, Some(4));
    unit(&mut b, Some(8));
    unit(&mut b, Some(4));
    unit(&mut b, None);
    let btf = deduped(b);
    let counts = census(&btf);
    assert_eq!(counts[&Kind::Fwd], 1);
    // `other` of 4 and 8 bytes, and a `node` for each of those and for the one that is not known.
    assert_eq!(counts[&Kind::Struct], 5);
    assert_eq!(counts[&Kind::Int], 1);
}

#[test]
fn variables_and_sections_stay() {
    let mut b = Builder::new();
    for _ in 0..2 {
        let int = b.add_int("int", 4, Encoding::SIGNED);
        let var = b.add_var("count", int, Linkage::Static);
        b.add_datasec(
            ".bss",
            4,
            [SecVarDef {
                ty: var,
                offset: 0,
                size: 4,
            }],
        );
    }
    let btf = deduped(b);
    assert_eq!(
        census(&btf),
        HashMap::from([(Kind::Int, 1), (Kind::Var, 2), (Kind::DataSec, 2)])
    );
}

#[test]
fn split_types_become_those_of_the_base() {
    let mut b = Builder::new();
    unit(&mut b, Some(4));
    let base = Arc::new(b.into_btf().unwrap());
    let mut b = Builder::with_base(base.clone());
    let node = unit(&mut b, None);
    let own = b.add_struct("own", 8, [MemberDef::new("node", node, 0)]);
    let split = b.into_btf().unwrap();
    let Deduped { builder, map } = dedup(&split).unwrap();
    assert_eq!(
        map[node.0 as usize],
        base.find(Kind::Struct, "node").unwrap()
    );
    assert_eq!(map[own.0 as usize].0, base.len());
    let split = builder.into_btf().unwrap();
    assert_eq!(split.own_ids().len(), 1);
}

#[test]
fn long_chains_do_not_take_long() {
    let mut b = Builder::new();
    for end in ["int", "long"] {
        let mut id = b.add_int(end, 4, Encoding::SIGNED);
        for _ in 0..20_000 {
            id = b.add_ptr(id);
        }
    }
    let before = std::time::Instant::now();
    let btf = b.into_btf().unwrap();
    assert_eq!(dedup(&btf).unwrap().builder.next_id().0, btf.len());
    assert!(before.elapsed().as_secs() < 20);
}
