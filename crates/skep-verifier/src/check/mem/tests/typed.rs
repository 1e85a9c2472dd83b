//! Typed pointers: a small kernel with a traced function, and what programs at it may follow.

use std::sync::Arc;

use skep_btf::build::MemberDef;
use skep_btf::ty::{Encoding, Linkage};
use skep_btf::{Builder, TypeId};
use skep_spec::insn::{Insn, alu, size};
use skep_spec::program::{AttachType, ProgramType};

use crate::input::{AttachTarget, BtfIdx, Input};

const DW: u8 = size::DW;
const W: u8 = size::W;

/// `void traced(struct node *node, int number, struct node *other__nullable, void *opaque)` of a kernel in which
///
/// ```c
/// struct node { struct node *next; unsigned bits:3, more:13; struct node __rcu *safe;
///               union { struct node *this; long that; }; struct node __percpu *each; int *number; int tail[]; };
/// ```
fn kernel(attach: AttachType, insns: &[Insn]) -> Input {
    let mut types = Builder::new();
    let int = types.add_int("int", 4, Encoding::SIGNED);
    let long = types.add_int("long", 8, Encoding::SIGNED);
    let node = types.declare();
    let pointer = types.add_ptr(node);
    let rcu = types.add_type_tag("rcu", node);
    let rcu = types.add_ptr(rcu);
    let percpu = types.add_type_tag("percpu", node);
    let percpu = types.add_ptr(percpu);
    let number = types.add_ptr(int);
    let tail = types.add_array(int, int, 0);
    let either = types.add_union(
        "",
        8,
        [
            MemberDef::new("this", pointer, 0),
            MemberDef::new("that", long, 0),
        ],
    );
    let def = skep_btf::build::TypeDef::Struct {
        name: "node".into(),
        size: 48,
        members: vec![
            MemberDef::new("next", pointer, 0),
            MemberDef::bits("bits", int, 64, 3),
            MemberDef::bits("more", int, 67, 13),
            MemberDef::new("safe", rcu, 16),
            MemberDef::new("", either, 24),
            MemberDef::new("each", percpu, 32),
            MemberDef::new("number", number, 40),
            MemberDef::new("tail", tail, 48),
        ],
    };
    types.define(node, def).unwrap();
    types.add_struct(
        "node__safe_trusted",
        8,
        [MemberDef::new("next", pointer, 0)],
    );
    let opaque = types.add_ptr(TypeId::VOID);
    let proto = types.add_func_proto(
        TypeId::VOID,
        &[
            ("node", pointer),
            ("number", int),
            ("other__nullable", pointer),
            ("opaque", opaque),
        ],
    );
    let traced = types.add_func("traced", proto, Linkage::Static);
    let raw = types.add_func_proto(TypeId::VOID, &[("__data", opaque), ("node", pointer)]);
    let raw = types.add_ptr(raw);
    let raw = types.add_typedef("btf_trace_event", raw);
    let mut all = insns.to_vec();
    all.push(Insn::mov64_imm(0, 0));
    all.push(Insn::exit());
    let mut input = Input::new(ProgramType::Tracing, all);
    input.btfs = vec![Arc::new(types.into_btf().unwrap())];
    input.attach_type = Some(attach);
    input.target = Some(AttachTarget::Btf {
        btf: BtfIdx::KERNEL,
        id: if attach == AttachType::TraceRawTp {
            raw
        } else {
            traced
        },
    });
    input
}

/// What is said of a program at the traced function that has its first argument in r6 first.
fn following(insns: &[Insn]) -> String {
    let all = [&[Insn::load(DW, 6, 1, 0)], insns].concat();
    said(&kernel(AttachType::TraceFentry, &all))
}

fn said(input: &Input) -> String {
    match crate::verify(input) {
        Ok(_) => String::new(),
        Err(rejection) => rejection.fault.lines.join("; "),
    }
}

#[test]
fn fields_are_followed() {
    assert_eq!(
        following(&[
            Insn::load(DW, 6, 6, 0),
            Insn::load(DW, 6, 6, 16),
            Insn::load(W, 7, 6, 8),
            Insn::load(W, 7, 6, 48),
            Insn::load(W, 7, 6, 4000),
        ]),
        ""
    );
    assert_eq!(
        following(&[Insn::load(W, 7, 6, 0)]),
        "cannot access ptr member next with moff 0 in struct node with off 0 size 4"
    );
    assert_eq!(
        following(&[Insn::load(W, 7, 6, 12)]),
        "struct node doesn't have field at offset 12"
    );
    assert_eq!(
        following(&[Insn::alu64_imm(alu::ADD, 6, -8), Insn::load(W, 7, 6, 0)]),
        "R6 is ptr_node invalid negative access: off=-8"
    );
    assert_eq!(
        following(&[Insn::store_imm(DW, 6, 0, 0)]),
        "only read is supported"
    );
    assert_eq!(
        following(&[Insn::load(DW, 7, 6, 32), Insn::load(DW, 7, 7, 0)]),
        "R7 is ptr_node access percpu memory: off=0"
    );
    // What lies behind an int pointer is read, but never past doubt; stores go nowhere.
    assert_eq!(
        following(&[Insn::load(DW, 7, 6, 40), Insn::load(W, 7, 7, 400)]),
        ""
    );
    assert_eq!(
        following(&[Insn::load(DW, 7, 6, 40), Insn::store_imm(W, 7, 0, 0)]),
        "R7 cannot write into rdonly_untrusted_mem"
    );
}

#[test]
fn arguments_have_types() {
    let of = |insns: &[Insn]| said(&kernel(AttachType::TraceFentry, insns));
    assert_eq!(
        of(&[Insn::load(DW, 2, 1, 16), Insn::load(DW, 3, 2, 0)]),
        "R2 invalid mem access 'ptr_or_null_'"
    );
    assert_eq!(
        of(&[Insn::load(DW, 2, 1, 8), Insn::load(DW, 3, 2, 0)]),
        "R2 invalid mem access 'scalar'"
    );
    assert_eq!(
        of(&[Insn::load(DW, 2, 1, 32)]),
        "func 'traced' doesn't have 6-th argument; invalid bpf_context access off=32 size=8"
    );
    assert_eq!(
        of(&[Insn::load(W, 2, 1, 0)]),
        "func 'traced' size 4 must be 8; invalid bpf_context access off=0 size=4"
    );
    assert_eq!(
        of(&[Insn::load(W, 2, 1, 12)]),
        "func 'traced' offset 12 is not multiple of 8; invalid bpf_context access off=12 size=4"
    );
}

#[test]
fn trust_is_lost_on_the_way() {
    let of = |off| {
        let insns = [
            Insn::load(DW, 2, 1, 0),
            Insn::load(DW, 3, 2, off),
            Insn::load(DW, 4, 3, 0),
            Insn::alu64_imm(alu::MUL, 3, 2),
        ];
        said(&kernel(AttachType::TraceRawTp, &insns))
    };
    // `next` is on the list of fields that keep it, `safe` is protected by RCU and may be null.
    assert_eq!(of(0), "R3 pointer arithmetic with *= operator prohibited");
    assert_eq!(of(16), "R3 invalid mem access 'rcu_ptr_or_null_'");
}

#[test]
fn kernel_types_are_for_the_privileged_and_gpl() {
    let insns = [Insn::load(DW, 2, 1, 0), Insn::load(DW, 3, 2, 0)];
    let mut input = kernel(AttachType::TraceFentry, &insns);
    input.license = "Proprietary".into();
    assert_eq!(
        said(&input),
        "Cannot access kernel 'struct node' from non-GPL compatible program"
    );
}
