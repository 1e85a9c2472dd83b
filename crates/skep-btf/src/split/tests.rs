//! A small module is moved to a base with other ids; what has no match is named.

use super::*;
use crate::Kind;
use crate::build::MemberDef;
use crate::ty::Encoding;

fn module() -> (Btf, Vec<u8>) {
    let mut d = Builder::new();
    let int = d.add_int("int", 4, Encoding::SIGNED);
    let list = d.add_struct("list_head", 16, []);
    let task = d.add_fwd("task_struct", false);
    let distilled = d.into_btf().unwrap();
    let mut b = Builder::with_base(Arc::new(distilled));
    let pointer = b.add_ptr(task);
    let members = [
        MemberDef::new("list", list, 0),
        MemberDef::new("task", pointer, 16),
        MemberDef::new("n", int, 24),
    ];
    b.add_struct("mine", 32, members);
    let split = b.finish().unwrap();
    let mut d = Builder::new();
    d.add_int("int", 4, Encoding::SIGNED);
    d.add_struct("list_head", 16, []);
    d.add_fwd("task_struct", false);
    (d.into_btf().unwrap(), split)
}

#[test]
fn outlines_become_the_bases_types() {
    let mut b = Builder::new();
    b.add_fwd("task_struct", false);
    let long = b.add_int("long", 8, Encoding::SIGNED);
    b.add_struct("list_head", 8, []);
    let list = b.declare();
    let next = b.add_ptr(list);
    let members = vec![
        MemberDef::new("next", next, 0),
        MemberDef::new("prev", next, 8),
    ];
    b.define(
        list,
        TypeDef::Struct {
            name: "list_head".into(),
            size: 16,
            members,
        },
    )
    .unwrap();
    let task = b.add_struct("task_struct", 8, [MemberDef::new("state", long, 0)]);
    let int = b.add_int("int", 4, Encoding::SIGNED);
    let base = Arc::new(b.into_btf().unwrap());
    let (distilled, split) = module();
    let module = rebase(&base, distilled, split).unwrap();
    let mine = module.find(Kind::Struct, "mine").unwrap();
    let member = |name| module.member(mine, name).unwrap().unwrap().member.ty;
    assert_eq!((member("list"), member("n")), (list, int));
    assert!(matches!(module.ty(member("task")), Ok(Ty::Ptr { target }) if target == task));
}

#[test]
fn what_the_base_does_not_have_is_named() {
    let mut b = Builder::new();
    b.add_int("int", 4, Encoding::SIGNED);
    b.add_struct("list_head", 24, []);
    b.add_struct("task_struct", 24, []);
    let base = Arc::new(b.into_btf().unwrap());
    let (distilled, split) = module();
    let error = rebase(&base, distilled, split).unwrap_err().to_string();
    assert_eq!(
        error,
        ".BTF.base at offset 0x0: type 2, struct list_head of 16 bytes: the base has no such type"
    );
}
