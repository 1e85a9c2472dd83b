//! What is noted of accesses, numbers, keys and stacks, and that paths which end early are counted in.

use std::sync::Arc;

use skep_btf::build::MemberDef;
use skep_btf::ty::{Encoding, Linkage};
use skep_btf::{Builder, TypeId};
use skep_spec::asm::assemble_insns;
use skep_spec::helper::ProgramSet;
use skep_spec::insn::Insn;
use skep_spec::map::MapType;
use skep_spec::profile::{Available, Profile};
use skep_spec::program::{AttachType, ProgramType};

use super::{InsnFacts, Way};
use crate::input::{AttachTarget, BtfIdx, FuncInfo, Input, MapId, MapInfo};
use crate::{Verified, verify};

/// In the text, `0x100N ll` is map N, `0x200N ll` the address of its first value.
fn asm(text: &str) -> Vec<Insn> {
    let mut insns = assemble_insns(text).unwrap_or_else(|diagnostics| panic!("{diagnostics:?}"));
    for insn in insns.iter_mut().filter(|insn| insn.is_ld_imm64()) {
        (insn.src, insn.imm) = match insn.imm {
            map @ 0x1000..0x1010 => (1, map - 0x1000),
            map @ 0x2000..0x2010 => (2, map - 0x2000),
            number => (0, number),
        };
    }
    insns
}

fn map(name: &str, map_type: MapType, key_size: u32, value_size: u32) -> MapInfo {
    MapInfo {
        name: name.into(),
        map_type,
        key_size,
        value_size,
        max_entries: if name == "single" { 1 } else { 8 },
        flags: 0,
        map_extra: 0,
        key_type: None,
        value_type: None,
        inner: None,
        frozen: None,
        user_address: 0,
    }
}

/// Map 0 is an array of one value, 1 an array of eight, 2 a hash, 3 a program array.
fn input(program: ProgramType, insns: Vec<Insn>) -> Input {
    let mut input = Input::new(program, insns);
    input.maps = vec![
        map("single", MapType::Array, 4, 64),
        map("eight", MapType::Array, 4, 64),
        map("hash", MapType::Hash, 8, 64),
        map("jumps", MapType::ProgArray, 4, 4),
    ];
    input
}

fn proof(program: ProgramType, insns: Vec<Insn>) -> Verified {
    match verify(&input(program, insns)) {
        Ok(verified) => verified,
        Err(rejection) => panic!("{rejection}"),
    }
}

#[test]
fn memory_is_direct_and_a_context_has_an_offset() {
    let code = asm("r6 = r1
         *(u64 *)(r10 - 8) = 5
         r2 = *(u32 *)(r6 + 12)
         r1 = 0x2000 ll
         r3 = *(u8 *)(r1 + 3)
         lock *(u64 *)(r1 + 8) += r3
         r2 = *(u32 *)(r6 + 0)
         r3 = *(u32 *)(r6 + 4)
         r1 = r2
         r1 += 14
         if r1 > r3 goto end
         r0 = *(u8 *)(r2 + 13)
      end:
         r0 = 0
         exit");
    let proof = proof(ProgramType::Xdp, code);
    let ways: Vec<Way> = proof.facts.iter().map(|fact| fact.access).collect();
    assert_eq!(ways[0], Way::Never);
    assert_eq!(ways[1], Way::Direct);
    assert_eq!(ways[2], Way::Context { offset: 12 });
    assert_eq!(ways[5..7], [Way::Direct, Way::Direct]);
    assert_eq!(ways[7], Way::Context { offset: 0 });
    assert_eq!(ways[12], Way::Direct);
    assert_eq!(proof.facts[12].packet_bytes, Some(14));
    assert_eq!(proof.facts[6].packet_bytes, None);
    assert_eq!(proof.context_bytes, 16);
}

#[test]
fn a_range_is_the_least_of_all_paths() {
    let proof = proof(
        ProgramType::Xdp,
        asm("r2 = *(u32 *)(r1 + 0)
             r3 = *(u32 *)(r1 + 4)
             r0 = r2
             r0 += 34
             if r0 > r3 goto less
             goto read
          less:
             r0 = r2
             r0 += 14
             if r0 > r3 goto end
          read:
             r0 = *(u8 *)(r2 + 13)
          end:
             r0 = 0
             exit"),
    );
    assert_eq!(proof.facts[9].packet_bytes, Some(14));
}

#[test]
fn an_instruction_with_pointers_of_two_kinds_keeps_what_both_are() {
    let proof = proof(
        ProgramType::Xdp,
        asm("r2 = *(u32 *)(r1 + 12)
             r3 = 0x2000 ll
             r3 += 8
             if r2 == 0 goto read
             *(u64 *)(r10 - 8) = 0
             r3 = r10
          read:
             r0 = *(u8 *)(r3 - 8)
             r0 = 0
             exit"),
    );
    assert_eq!(proof.facts[7].access, Way::Direct);

    assert_eq!(Way::Direct.join(Way::Other), Way::Other);
    assert_eq!(Way::Never.join(Way::Direct), Way::Direct);
    let (four, eight) = (Way::Context { offset: 4 }, Way::Context { offset: 8 });
    assert_eq!(four.join(eight), Way::Other);
    assert_eq!(four.join(four), four);
    let typed = |probe| Way::Typed { probe };
    assert_eq!(typed(false).join(typed(true)), typed(true));
    assert_eq!(typed(false).join(Way::Direct), Way::Other);
}

/// A kernel with `void traced(struct node *node)`, `struct node { struct node *next; }`.
fn traced(attach: AttachType, insns: Vec<Insn>) -> Input {
    let mut types = Builder::new();
    let node = types.declare();
    let pointer = types.add_ptr(node);
    let def = skep_btf::build::TypeDef::Struct {
        name: "node".into(),
        size: 8,
        members: vec![MemberDef::new("next", pointer, 0)],
    };
    types.define(node, def).unwrap();
    let proto = types.add_func_proto(TypeId::VOID, &[("node", pointer)]);
    let traced = types.add_func("traced", proto, Linkage::Static);
    let data = types.add_ptr(TypeId::VOID);
    let raw = types.add_func_proto(TypeId::VOID, &[("__data", data), ("node", pointer)]);
    let raw = types.add_ptr(raw);
    let raw = types.add_typedef("btf_trace_event", raw);
    let mut input = Input::new(ProgramType::Tracing, insns);
    input.btfs = vec![Arc::new(types.into_btf().unwrap())];
    input.attach_type = Some(attach);
    let id = match attach {
        AttachType::TraceRawTp => raw,
        _ => traced,
    };
    input.target = Some(AttachTarget::Btf {
        btf: BtfIdx::KERNEL,
        id,
    });
    input
}

#[test]
fn loads_through_untrusted_types_are_probed() {
    let code = "r6 = *(u64 *)(r1 + 0)\nr7 = *(u64 *)(r6 + 0)\nr8 = *(u64 *)(r7 + 0)\nr0 = 0\nexit";
    let of = |attach| {
        let proof = verify(&traced(attach, asm(code))).unwrap_or_else(|fault| panic!("{fault}"));
        [1, 2].map(|at: usize| proof.facts[at].access)
    };
    let typed = |probe| Way::Typed { probe };
    assert_eq!(of(AttachType::TraceRawTp), [typed(false), typed(true)]);
    assert_eq!(of(AttachType::TraceFentry), [typed(true), typed(true)]);
}

#[test]
fn numbers_added_to_pointers_have_a_bound() {
    let proof = proof(
        ProgramType::Xdp,
        asm("r2 = *(u32 *)(r1 + 12)
             r3 = r2
             r3 &= 7
             if r2 > 1000 goto add
             r3 = r2
             r3 &= 31
          add:
             r1 = 0x2000 ll
             r1 += r3
             r0 = *(u8 *)(r1 + 0)
             r1 -= 1
             r0 = 0
             exit"),
    );
    assert_eq!(proof.facts[8].index_max, Some(31));
    // A constant says it itself.
    assert_eq!(proof.facts[10].index_max, None);
}

#[test]
fn maps_and_keys_that_never_vary_are_known() {
    let proof_of = |text| proof(ProgramType::Xdp, asm(text));
    let known = proof_of(
        "*(u32 *)(r10 - 8) = 3
         r2 = r10
         r2 += -8
         r1 = 0x1001 ll
         call 1
         r0 = 0
         exit",
    );
    let call = known.facts[5];
    assert_eq!((call.map, call.key), (Some(MapId(1)), Some(3)));

    // One call, two keys.
    let varies = proof_of(
        "r2 = *(u32 *)(r1 + 12)
         *(u32 *)(r10 - 8) = 1
         if r2 > 7 goto look
         *(u32 *)(r10 - 8) = 2
      look:
         r2 = r10
         r2 += -8
         r1 = 0x1001 ll
         call 1
         r0 = 0
         exit",
    );
    let call = varies.facts[8];
    assert_eq!((call.map, call.key), (Some(MapId(1)), None));

    let tail = proof_of("r2 = 0x1003 ll\nr3 = 2\ncall 12\nr0 = 0\nexit");
    let call = tail.facts[3];
    assert_eq!((call.map, call.key), (Some(MapId(3)), Some(2)));
    let nothing = InsnFacts {
        reached: true,
        ..InsnFacts::default()
    };
    assert_eq!(tail.facts[4], nothing);
}

/// Whether the main function may read bytes that nothing wrote.
fn reads_unwritten(code: Vec<Insn>) -> bool {
    proof(ProgramType::Xdp, code).functions[0].reads_unwritten
}

#[test]
fn a_stack_is_cleared_only_where_unwritten_bytes_may_be_read() {
    assert!(!reads_unwritten(asm(
        "*(u64 *)(r10 - 8) = 1\nr0 = *(u64 *)(r10 - 8)\nr0 = *(u8 *)(r10 - 3)\nr0 = 0\nexit"
    )));
    assert!(reads_unwritten(asm("r0 = *(u64 *)(r10 - 8)\nr0 = 0\nexit")));
    assert!(reads_unwritten(asm(
        "*(u32 *)(r10 - 8) = 1\nr0 = *(u64 *)(r10 - 8)\nr0 = 0\nexit"
    )));
    // A call reads the key.
    let key = |written: &str| {
        asm(&format!(
            "{written}\nr2 = r10\nr2 += -8\nr1 = 0x1002 ll\ncall 1\nr0 = 0\nexit"
        ))
    };
    assert!(!reads_unwritten(key("*(u64 *)(r10 - 8) = 1")));
    assert!(reads_unwritten(key("*(u32 *)(r10 - 8) = 1")));
}

#[test]
fn what_a_call_fills_is_written_unless_it_may_fail_before() {
    let call = |id: u32, args: &str| {
        reads_unwritten(asm(&format!(
            "r6 = r1\nr2 = r10\nr2 += -8\n{args}\ncall {id}\nr0 = *(u64 *)(r10 - 8)\nr0 = 0\nexit"
        )))
    };
    // bpf_probe_read_kernel(to, 8, 0), bpf_xdp_load_bytes(ctx, 0, to, 8)
    assert!(!call(113, "r1 = r2\nr2 = 8\nr3 = 0"));
    assert!(call(189, "r3 = r2\nr2 = 0\nr4 = 8"));
    assert!(!call(189, "*(u64 *)(r10 - 8) = 1\nr3 = r2\nr2 = 0\nr4 = 8"));
}

#[test]
fn the_function_whose_stack_it_is_is_meant() {
    let code = asm("r1 = r10
         r1 += -8
         call callee
         r0 = 0
         exit
      callee:
         *(u64 *)(r10 - 8) = 0
         r0 = *(u64 *)(r1 + 0)
         exit");
    let proof = proof(ProgramType::Xdp, code);
    let flags: Vec<bool> = proof
        .functions
        .iter()
        .map(|function| function.reads_unwritten)
        .collect();
    assert_eq!(flags, [true, false]);
    assert_eq!(proof.functions[1].start, 5);
    assert_eq!(proof.functions[1].stack_bytes, 8);
}

#[test]
fn a_path_that_ends_early_still_counts() {
    // The path that writes the slot is walked first; its state covers the other before the slot is read.
    let code = "r2 = *(u32 *)(r1 + 12)
         r3 = *(u32 *)(r1 + 16)
         *(u64 *)(r10 - 16) = r2
         if r2 > 7 goto join
         *(u64 *)(r10 - 8) = r3
         goto join
      join:
         r0 = 1
         if r3 > 5 goto next
         r0 = 2
      next:
         r0 = *(u64 *)(r10 - 8)
         r0 = 0
         exit";
    let walk = |code: &str| {
        let mut input = input(ProgramType::Xdp, asm(code));
        input.flags = skep_spec::program::flags::TEST_STATE_FREQ;
        let proof = verify(&input).unwrap_or_else(|fault| panic!("{fault}"));
        (
            proof.functions[0].reads_unwritten,
            proof.stats.insns_processed,
        )
    };
    // Each instruction once, and two places where a path ends.
    assert_eq!(walk(code), (true, 14));
    let both = code.replace("if r2 > 7", "*(u64 *)(r10 - 8) = r2\nif r2 > 7");
    assert!(!walk(&both).0);
}

#[test]
fn an_inner_map_of_the_embedded_engine_may_be_shorter_than_its_template() {
    let code = asm("*(u32 *)(r10 - 8) = 3
         r2 = r10
         r2 += -8
         r1 = 0x1004 ll
         call 1
         if r0 == 0 goto end
         r1 = r0
         r2 = r10
         r2 += -8
         call 1
         r0 = *(u64 *)(r0 + 0)
      end:
         r0 = 0
         exit");
    let mut input = input(ProgramType::Xdp, code);
    input.maps.push(map("outer", MapType::ArrayOfMaps, 4, 4));
    input.maps[4].inner = Some(MapId(5));
    input.maps.push(map("inner", MapType::Array, 4, 64));
    assert!(verify(&input).is_ok());
    input.profile = Profile::embedded(Available {
        helpers: vec![1],
        kfuncs: Vec::new(),
        programs: ProgramSet::of(&[ProgramType::Xdp]),
        maps: vec![
            MapType::Array,
            MapType::ArrayOfMaps,
            MapType::Hash,
            MapType::ProgArray,
        ],
    });
    let refused = verify(&input).map(|_| ()).map_err(|why| why.to_string());
    assert_eq!(
        refused,
        Err("R0 invalid mem access 'map_value_or_null'".to_owned())
    );
}

#[test]
fn structures_passed_as_memory_are_not_plain_memory() {
    // int traced(u64 *ctx) { return reader((long *)node); }   long reader(long *memory) { return *memory; }
    let code = asm("r1 = *(u64 *)(r1 + 0)
         call reader
         r0 = 0
         exit
      reader:
         r2 = r10
         if r1 == 0 goto end
         r0 = *(u64 *)(r1 + 0)
      end:
         r0 = 0
         exit");
    let mut input = traced(AttachType::TraceRawTp, code);
    let mut types = Builder::new();
    let long = types.add_int("long", 8, Encoding::SIGNED);
    let memory = types.add_ptr(long);
    let context = types.add_ptr(TypeId::VOID);
    let main = types.add_func_proto(long, &[("ctx", context)]);
    let main = types.add_func("main", main, Linkage::Global);
    let reader = types.add_func_proto(long, &[("memory", memory)]);
    let reader = types.add_func("reader", reader, Linkage::Global);
    input.program_btf = Some(Arc::new(types.into_btf().unwrap()));
    input.functions = vec![
        FuncInfo {
            insn: 0,
            type_id: main,
        },
        FuncInfo {
            insn: 4,
            type_id: reader,
        },
    ];
    let proof = verify(&input).unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(proof.facts[6].access, Way::Other);
}
