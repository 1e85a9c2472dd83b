//! Calls, callbacks, references, locks and results, each with the kernel's words for what is wrong.

use std::sync::Arc;

use skep_btf::Builder;
use skep_btf::ty::{Encoding, Linkage};
use skep_spec::insn::{Insn, alu, jmp, size};
use skep_spec::map::MapType;
use skep_spec::program::{AttachType, ProgramType};

use crate::check::helper::format::is_valid;
use crate::input::{Input, MapInfo};

const W: u8 = size::W;
const DW: u8 = size::DW;

fn verdict(input: &Input) -> String {
    match crate::verify(input) {
        Ok(_) => String::new(),
        Err(rejection) => rejection.fault.lines.join("; "),
    }
}

fn says(program: ProgramType, insns: &[Insn]) -> String {
    verdict(&input(program, insns))
}

fn map(name: &str, map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> MapInfo {
    MapInfo {
        name: name.into(),
        map_type,
        key_size,
        value_size,
        max_entries,
        flags: 0,
        map_extra: 0,
        key_type: None,
        value_type: None,
        inner: None,
        frozen: None,
        user_address: 0,
    }
}

/// Maps: 0 a hash, 1 an array of four values, 2 a program array, 3 a ring buffer, 4 read-only text.
fn input(program: ProgramType, insns: &[Insn]) -> Input {
    let mut input = Input::new(program, insns.to_vec());
    input.maps = vec![
        map("hash", MapType::Hash, 8, 16, 8),
        map("four", MapType::Array, 4, 16, 4),
        map("next", MapType::ProgArray, 4, 4, 3),
        map("ring", MapType::Ringbuf, 0, 0, 4096),
        MapInfo {
            frozen: Some(Arc::from(&b"%d\0abc"[..])),
            flags: skep_spec::map::flags::RDONLY_PROG,
            ..map("text", MapType::Array, 4, 6, 1)
        },
    ];
    input
}

fn with_map(register: u8, map: i32) -> [Insn; 2] {
    Insn::ld_imm64_pseudo(register, 1, map, 0)
}

/// A number of four bytes on the stack at fp-8 as key in r2, the map in r1.
fn key(map: i32, number: i32) -> Vec<Insn> {
    let mut insns = vec![
        Insn::store_imm(W, 10, -8, number),
        Insn::mov64_reg(2, 10),
        Insn::alu64_imm(alu::ADD, 2, -8),
    ];
    insns.extend(with_map(1, map));
    insns
}

fn call(helper: &str) -> Insn {
    Insn::call_helper(skep_spec::helper::by_name(helper).expect("helper").id)
}

fn ends(mut insns: Vec<Insn>) -> Vec<Insn> {
    insns.push(Insn::mov64_imm(0, 0));
    insns.push(Insn::exit());
    insns
}

#[test]
fn helpers_are_known_by_number_and_licence() {
    let unknown = ends(vec![Insn::call_helper(9999)]);
    assert_eq!(
        says(ProgramType::Xdp, &unknown),
        "invalid func unknown#9999"
    );
    let elsewhere = ends(vec![Insn::mov64_imm(2, 0), call("bpf_override_return")]);
    assert_eq!(
        says(ProgramType::Xdp, &elsewhere),
        "program of this type cannot use helper bpf_override_return#58"
    );
    let mut closed = input(
        ProgramType::Kprobe,
        &ends(vec![call("bpf_get_current_task")]),
    );
    assert_eq!(verdict(&closed), "");
    closed.license = "Proprietary".into();
    assert_eq!(
        verdict(&closed),
        "cannot call GPL-restricted function from non-GPL compatible program"
    );
}

#[test]
fn arguments_are_of_the_kinds_that_the_helper_takes() {
    let mut number = vec![Insn::mov64_imm(2, 7)];
    number.extend(with_map(1, 0));
    number.push(call("bpf_map_lookup_elem"));
    assert_eq!(
        says(ProgramType::Xdp, &ends(number)),
        "R2 type=scalar expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_"
    );
    let no_map = ends(vec![Insn::mov64_imm(1, 0), call("bpf_map_lookup_elem")]);
    assert_eq!(
        says(ProgramType::Xdp, &no_map),
        "R1 type=scalar expected=map_ptr"
    );
    let mut unset = vec![Insn::mov64_reg(2, 10), Insn::alu64_imm(alu::ADD, 2, -8)];
    unset.extend(with_map(1, 0));
    unset.push(call("bpf_map_lookup_elem"));
    let mut nobody = input(ProgramType::SocketFilter, &ends(unset));
    nobody.caps = crate::input::Caps::NONE;
    assert_eq!(verdict(&nobody), "invalid read from stack R2 off=-8 size=8");
}

#[test]
fn maps_and_helpers_fit_each_other() {
    let mut insns = vec![
        Insn::store_imm(DW, 10, -8, 0),
        Insn::store_imm(DW, 10, -16, 0),
        Insn::mov64_reg(2, 10),
        Insn::alu64_imm(alu::ADD, 2, -16),
        Insn::mov64_imm(3, 0),
    ];
    insns.extend(with_map(1, 0));
    insns.push(call("bpf_map_push_elem"));
    assert_eq!(
        says(ProgramType::Xdp, &ends(insns)),
        "cannot pass map_type 1 into func bpf_map_push_elem#87"
    );
    let mut tail = vec![Insn::mov64_imm(3, 0)];
    tail.extend(with_map(2, 0));
    tail.push(call("bpf_tail_call"));
    assert_eq!(
        says(ProgramType::Xdp, &ends(tail)),
        "expected prog array map for tail call"
    );
}

#[test]
fn a_constant_index_of_an_array_finds_its_value() {
    let deref = |number| {
        let mut insns = key(1, number);
        insns.push(call("bpf_map_lookup_elem"));
        insns.push(Insn::store_imm(DW, 0, 0, 1));
        ends(insns)
    };
    assert_eq!(says(ProgramType::Xdp, &deref(3)), "");
    assert_eq!(
        says(ProgramType::Xdp, &deref(4)),
        "R0 invalid mem access 'map_value_or_null'"
    );
}

#[test]
fn what_is_reserved_is_submitted_once() {
    let reserve = |after: &[Insn]| {
        let mut insns = with_map(1, 3).to_vec();
        insns.extend([
            Insn::mov64_imm(2, 8),
            Insn::mov64_imm(3, 0),
            call("bpf_ringbuf_reserve"),
            Insn::jmp64_imm(jmp::JNE, 0, 0, 1),
            Insn::exit(),
            Insn::mov64_reg(6, 0),
        ]);
        insns.extend_from_slice(after);
        ends(insns)
    };
    let submit = [
        Insn::mov64_reg(1, 6),
        Insn::mov64_imm(2, 0),
        call("bpf_ringbuf_submit"),
    ];
    assert_eq!(says(ProgramType::Xdp, &reserve(&submit)), "");
    assert_eq!(
        says(ProgramType::Xdp, &reserve(&[])),
        "Unreleased reference id=2 alloc_insn=4; BPF_EXIT instruction in main prog would lead to reference leak"
    );
    assert_eq!(
        says(ProgramType::Xdp, &reserve(&[submit, submit].concat())),
        "R1 type=scalar expected=ringbuf_mem"
    );
    let moved = [
        Insn::mov64_reg(1, 6),
        Insn::alu64_imm(alu::ADD, 1, 4),
        Insn::mov64_imm(2, 0),
        call("bpf_ringbuf_submit"),
    ];
    assert_eq!(
        says(ProgramType::Xdp, &reserve(&moved)),
        "R1 must have zero offset when passed to release func or trusted arg to kfunc"
    );
}

#[test]
fn sizes_of_records_are_constant() {
    let mut insns = vec![call("bpf_get_prandom_u32"), Insn::mov64_reg(2, 0)];
    insns.extend(with_map(1, 3));
    insns.extend([Insn::mov64_imm(3, 0), call("bpf_ringbuf_reserve")]);
    assert_eq!(
        says(ProgramType::Xdp, &ends(insns)),
        "R2 is not a known constant'"
    );
}

#[test]
fn functions_take_registers_and_give_r0_back() {
    let insns = [
        Insn::mov64_imm(1, 5),
        Insn::call_local(1),
        Insn::exit(),
        Insn::mov64_reg(0, 1),
        Insn::exit(),
    ];
    assert_eq!(says(ProgramType::Xdp, &insns), "");
    let clobbered = [
        Insn::mov64_imm(1, 5),
        Insn::call_local(2),
        Insn::mov64_reg(0, 1),
        Insn::exit(),
        Insn::mov64_imm(0, 0),
        Insn::exit(),
    ];
    assert_eq!(says(ProgramType::Xdp, &clobbered), "R1 !read_ok");
    let stack = [
        Insn::call_local(1),
        Insn::exit(),
        Insn::mov64_reg(0, 10),
        Insn::exit(),
    ];
    assert_eq!(
        says(ProgramType::Xdp, &stack),
        "cannot return stack pointer to the caller"
    );
}

#[test]
fn no_more_than_eight_frames_are_active() {
    let chain = |calls: usize| {
        let mut insns = Vec::new();
        for _ in 0..calls {
            insns.extend([Insn::call_local(1), Insn::exit()]);
        }
        ends(insns)
    };
    assert_eq!(says(ProgramType::Xdp, &chain(7)), "");
    assert_eq!(
        says(ProgramType::Xdp, &chain(8)),
        "the call stack of 9 frames is too deep"
    );
}

/// bpf_loop over a callback that returns `result`.
fn looping(result: i32) -> Vec<Insn> {
    let [low, high] = Insn::ld_imm64_pseudo(2, 4, 6, 0);
    vec![
        Insn::mov64_imm(1, 5),
        low,
        high,
        Insn::mov64_imm(3, 0),
        Insn::mov64_imm(4, 0),
        call("bpf_loop"),
        Insn::mov64_imm(0, 0),
        Insn::exit(),
        Insn::mov64_imm(0, result),
        Insn::exit(),
    ]
}

#[test]
fn callbacks_go_on_or_stop() {
    let of_types = |insns: &[Insn]| {
        let mut types = Builder::new();
        let int = types.add_int("int", 4, Encoding::SIGNED);
        let proto = types.add_func_proto(int, &[]);
        let functions = [(0, "main"), (8, "callback")].map(|(insn, name)| {
            let type_id = types.add_func(name, proto, Linkage::Static);
            crate::input::FuncInfo { insn, type_id }
        });
        let mut input = input(ProgramType::Xdp, insns);
        input.program_btf = Some(Arc::new(types.into_btf().expect("types")));
        input.functions = functions.to_vec();
        verdict(&input)
    };
    assert_eq!(of_types(&looping(1)), "");
    assert_eq!(
        of_types(&looping(2)),
        "At callback return the register R0 has smin=2 smax=2 should have been in [0, 1]"
    );
}

#[test]
fn results_are_in_the_range_of_the_place() {
    let returns = |result: i32, attach| {
        let mut input = input(
            ProgramType::CgroupSockAddr,
            &[Insn::mov64_imm(0, result), Insn::exit()],
        );
        input.attach_type = Some(attach);
        verdict(&input)
    };
    assert_eq!(returns(1, AttachType::CgroupInet4Connect), "");
    assert_eq!(
        returns(2, AttachType::CgroupInet4Connect),
        "At program exit the register R0 has smin=2 smax=2 should have been in [0, 1]"
    );
    assert_eq!(returns(3, AttachType::CgroupInet4Bind), "");
    assert_eq!(
        returns(0, AttachType::CgroupUdp4Recvmsg),
        "At program exit the register R0 has smin=0 smax=0 should have been in [1, 1]"
    );
    let unset = [Insn::exit()];
    assert_eq!(says(ProgramType::Xdp, &unset), "R0 !read_ok");
    let mut leak = input(
        ProgramType::SocketFilter,
        &[Insn::mov64_reg(0, 1), Insn::exit()],
    );
    leak.caps = crate::input::Caps::NONE;
    assert_eq!(verdict(&leak), "R0 leaks addr as return value");
}

#[test]
fn formats_name_conversions_that_exist() {
    for (text, arguments, valid) in [
        ("%d %lu %llx", 3, true),
        ("%d", 0, false),
        ("100%%", 0, true),
        ("%s, %c", 2, true),
        ("%pI4 %pi6", 2, true),
        ("%pks %p", 2, true),
        ("%n", 1, false),
        ("%pz", 1, false),
        ("%sx", 1, false),
        ("%08x", 1, true),
        ("\u{1}", 0, false),
        ("%", 1, false),
    ] {
        assert_eq!(is_valid(text.as_bytes(), arguments), valid, "{text}");
    }
}

#[test]
fn constant_strings_end_within_their_map() {
    let compare = |offset: i32| {
        let [low, high] = Insn::ld_imm64_pseudo(3, 2, 4, offset);
        ends(vec![
            Insn::store_imm(DW, 10, -8, 0),
            Insn::mov64_reg(1, 10),
            Insn::alu64_imm(alu::ADD, 1, -8),
            Insn::mov64_imm(2, 8),
            low,
            high,
            call("bpf_strncmp"),
        ])
    };
    assert_eq!(says(ProgramType::Xdp, &compare(0)), "");
    assert_eq!(
        says(ProgramType::Xdp, &compare(3)),
        "string is not zero-terminated"
    );
    assert_eq!(
        says(ProgramType::Xdp, &compare(6)),
        "invalid access to map value pointer, value_size=6 off=6"
    );
}

#[test]
fn packets_move_under_their_pointers() {
    let insns = ends(vec![
        Insn::mov64_reg(6, 1),
        Insn::load(W, 7, 6, 0),
        Insn::load(W, 8, 6, 4),
        Insn::mov64_reg(2, 7),
        Insn::alu64_imm(alu::ADD, 2, 1),
        Insn::jmp64_reg(jmp::JGT, 2, 8, 4),
        Insn::mov64_reg(1, 6),
        Insn::mov64_imm(2, 0),
        call("bpf_xdp_adjust_head"),
        Insn::load(size::B, 0, 7, 0),
    ]);
    assert_eq!(
        says(ProgramType::Xdp, &insns),
        "R7 invalid mem access 'scalar'"
    );
}

/// A program whose function 1 is global and has this C type, called with r1 = the context's first word.
fn global(build: impl FnOnce(&mut Builder) -> skep_btf::TypeId, body: &[Insn]) -> String {
    let mut types = Builder::new();
    let int = types.add_int("int", 4, Encoding::SIGNED);
    let main = types.add_func_proto(int, &[]);
    let main = types.add_func("main", main, Linkage::Global);
    let argument = build(&mut types);
    let proto = types.add_func_proto(int, &[("argument", argument)]);
    let function = types.add_func("function", proto, Linkage::Global);
    let btf = types.into_btf().expect("types");
    let mut insns = vec![
        Insn::load(W, 1, 1, 0),
        Insn::call_local(2),
        Insn::mov64_imm(0, 0),
        Insn::exit(),
    ];
    let start = insns.len();
    insns.extend_from_slice(body);
    let mut input = input(ProgramType::SocketFilter, &insns);
    input.program_btf = Some(Arc::new(btf));
    input.functions = [(0, main), (start, function)]
        .map(|(insn, type_id)| crate::input::FuncInfo { insn, type_id })
        .to_vec();
    verdict(&input)
}

#[test]
fn global_functions_are_checked_for_any_argument_of_their_type() {
    let echo = [Insn::mov64_reg(0, 1), Insn::exit()];
    let number = |types: &mut Builder| types.add_int("int", 4, Encoding::SIGNED);
    assert_eq!(global(number, &echo), "");
    let pointer = |types: &mut Builder| {
        let int = types.add_int("int", 4, Encoding::SIGNED);
        types.add_ptr(int)
    };
    assert_eq!(
        global(pointer, &echo),
        "R1 type=scalar expected=fp; Caller passes invalid args into func#1 ('function')"
    );
    let structure = |types: &mut Builder| {
        let int = types.add_int("int", 4, Encoding::SIGNED);
        types.add_array(int, int, 2)
    };
    assert_eq!(
        global(structure, &echo),
        "Arg#0 type ARRAY in function() is not supported yet.; Caller passes invalid args into func#1 ('function')"
    );
}

#[test]
fn a_tail_call_of_nobody_keeps_to_one_map() {
    let choose = |other: i32| {
        let mut insns = vec![
            Insn::mov64_reg(6, 1),
            Insn::load(W, 7, 6, 0),
            Insn::jmp64_imm(jmp::JEQ, 7, 0, 3),
        ];
        insns.extend(with_map(2, 2));
        insns.push(Insn::ja(2));
        insns.extend(with_map(2, other));
        insns.extend([
            Insn::mov64_reg(1, 6),
            Insn::mov64_imm(3, 1),
            call("bpf_tail_call"),
        ]);
        let mut input = input(ProgramType::SocketFilter, &ends(insns));
        input.maps.push(map("others", MapType::ProgArray, 4, 4, 3));
        input
    };
    assert_eq!(verdict(&choose(5)), "");
    let nobody = |other| Input {
        caps: crate::input::Caps::NONE,
        ..choose(other)
    };
    assert_eq!(verdict(&nobody(2)), "");
    assert_eq!(verdict(&nobody(5)), "tail_call abusing map_ptr");
}

#[test]
fn maps_of_sockets_are_changed_where_sockets_may_be() {
    let delete = |program| {
        let mut insns = key(5, 0);
        insns.push(call("bpf_map_delete_elem"));
        let mut input = input(program, &ends(insns));
        input.maps.push(map("socks", MapType::Sockmap, 4, 4, 3));
        verdict(&input)
    };
    assert_eq!(delete(ProgramType::SchedCls), "");
    assert_eq!(
        delete(ProgramType::SkMsg),
        "cannot update sockmap in this context; cannot pass map_type 15 into func bpf_map_delete_elem#3"
    );
}
