//! Objects and a list of them, in a made-up kernel and a map with a lock.

use std::sync::Arc;

use skep_btf::build::TypeDef;
use skep_btf::parse_c::{CTypes, Declared};
use skep_btf::ty::Linkage;
use skep_btf::{Btf, Kind, TypeId};
use skep_spec::insn::Insn;
use skep_spec::map::MapType;
use skep_spec::program::ProgramType;

use crate::input::{Input, MapInfo};

const KERNEL: &str = "
    struct bpf_list_head { u64 a; u64 b; };
    struct bpf_list_node { u64 a[3]; };
    void *bpf_obj_new_impl(u64 local_type_id__k, void *meta__ign);
    void bpf_obj_drop_impl(void *p__alloc, void *meta__ign);
    s32 bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta__ign, u64 off);
    struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head);
";
const PROGRAM: &str = "
    struct bpf_spin_lock { u32 val; };
    struct bpf_list_head { u64 a; u64 b; };
    struct bpf_list_node { u64 a[3]; };
    struct item { u64 key; struct bpf_list_node node; };
    struct other { u64 key; struct bpf_list_node node; };
    struct value { struct bpf_spin_lock lock; struct bpf_list_head head; };
";
/// Where the list and the node lie.
const HEAD: i32 = 8;
const NODE: i32 = 8;

/// The two sets of types, and what a program is made of.
struct Bench {
    kernel: Arc<Btf>,
    program: Arc<Btf>,
}

impl Bench {
    fn new() -> Bench {
        let mut kernel = CTypes::new();
        for declared in kernel.declare(KERNEL).unwrap() {
            if let Declared::Function { name, proto } = declared {
                kernel.builder_mut().add(TypeDef::Func {
                    name,
                    proto,
                    linkage: Linkage::Global,
                });
            }
        }
        let mut program = CTypes::new();
        let declared = program.declare(PROGRAM).unwrap();
        let value = declared.iter().find_map(|declared| match declared {
            Declared::Tag { name, id } if name == "value" => Some(*id),
            _ => None,
        });
        program.builder_mut().add(TypeDef::DeclTag {
            value: "contains:item:node".into(),
            target: value.unwrap(),
            component: 1,
            attribute: false,
        });
        Bench {
            kernel: Arc::new(kernel.into_builder().into_btf().unwrap()),
            program: Arc::new(program.into_builder().into_btf().unwrap()),
        }
    }

    fn local(&self, name: &str) -> TypeId {
        self.program.find(Kind::Struct, name).unwrap()
    }

    fn call(&self, name: &str) -> Insn {
        let id = self.kernel.find(Kind::Func, name).unwrap();
        Insn::new(0x85, 0, 2, 0, id.0 as i32)
    }

    /// r6 = a new object, or the program ends.
    fn new_object(&self, name: &str) -> Vec<Insn> {
        vec![
            Insn::mov64_imm(1, self.local(name).0 as i32),
            Insn::mov64_imm(2, 0),
            self.call("bpf_obj_new_impl"),
            Insn::jmp64_imm(0x50, 0, 0, 1),
            Insn::exit(),
            Insn::mov64_reg(6, 0),
        ]
    }

    fn drop_object(&self) -> Vec<Insn> {
        vec![
            Insn::mov64_reg(1, 6),
            Insn::mov64_imm(2, 0),
            self.call("bpf_obj_drop_impl"),
        ]
    }

    /// r1 = that byte of the map's value.
    fn value(off: i32) -> Vec<Insn> {
        Insn::ld_imm64_pseudo(1, 2, 0, off).to_vec()
    }

    fn lock() -> Vec<Insn> {
        [Bench::value(0), vec![Insn::call_helper(93)]].concat()
    }

    fn unlock() -> Vec<Insn> {
        [Bench::value(0), vec![Insn::call_helper(94)]].concat()
    }

    fn push(&self) -> Vec<Insn> {
        let mut insns = Bench::value(HEAD);
        insns.extend([
            Insn::mov64_reg(2, 6),
            Insn::alu64_imm(0, 2, NODE),
            Insn::mov64_imm(3, 0),
            Insn::mov64_imm(4, 0),
            self.call("bpf_list_push_front_impl"),
        ]);
        insns
    }

    fn verdict(&self, parts: &[Vec<Insn>]) -> String {
        let mut insns = parts.concat();
        insns.extend([Insn::mov64_imm(0, 0), Insn::exit()]);
        let mut input = Input::new(ProgramType::SchedCls, insns);
        input.btfs = vec![self.kernel.clone()];
        input.program_btf = Some(self.program.clone());
        input.maps.push(MapInfo {
            name: "values".into(),
            map_type: MapType::Array,
            key_size: 4,
            value_size: 24,
            max_entries: 1,
            flags: 0,
            map_extra: 0,
            key_type: None,
            value_type: Some(self.local("value")),
            inner: None,
            frozen: None,
            user_address: 0,
        });
        match crate::verify(&input) {
            Ok(_) => String::new(),
            Err(rejection) => rejection.fault.lines.join(" | "),
        }
    }
}

#[test]
fn objects_are_owned_until_they_are_given_away() {
    let bench = Bench::new();
    let (new, drop) = (bench.new_object("item"), bench.drop_object());
    assert_eq!(bench.verdict(&[new.clone(), drop.clone()]), "");
    assert!(
        bench
            .verdict(std::slice::from_ref(&new))
            .contains("Unreleased reference")
    );
    let twice = bench.verdict(&[new.clone(), drop.clone(), drop.clone()]);
    assert_eq!(twice, "R1 must be referenced or trusted");
    let (lock, unlock, push) = (Bench::lock(), Bench::unlock(), bench.push());
    let add = [new.clone(), lock.clone(), push.clone(), unlock.clone()].concat();
    assert_eq!(bench.verdict(std::slice::from_ref(&add)), "");
    // The list owns it now, and may lose it with the lock.
    let read = vec![Insn::load(0x18, 1, 6, 0)];
    let within = [
        new.clone(),
        lock.clone(),
        push.clone(),
        read.clone(),
        unlock.clone(),
    ];
    assert_eq!(bench.verdict(&within), "");
    assert_eq!(
        bench.verdict(&[add.clone(), read]),
        "R6 invalid mem access 'scalar'"
    );
    assert_eq!(
        bench.verdict(&[
            new.clone(),
            lock.clone(),
            push.clone(),
            push.clone(),
            unlock
        ]),
        "arg#1 expected pointer to allocated object"
    );
}

#[test]
fn collections_need_their_lock_and_their_type() {
    let bench = Bench::new();
    let (new, push) = (bench.new_object("item"), bench.push());
    assert_eq!(
        bench.verdict(&[new.clone(), push.clone()]),
        "bpf_spin_lock at off=0 must be held for bpf_list_head"
    );
    let mut elsewhere = push.clone();
    elsewhere[..2].copy_from_slice(&Bench::value(16));
    assert_eq!(
        bench.verdict(&[new, Bench::lock(), elsewhere]),
        "bpf_list_head not found at offset=16"
    );
    assert_eq!(
        bench.verdict(&[bench.new_object("other"), Bench::lock(), push]),
        "operation on bpf_list_head expects arg#1 bpf_list_node at offset=8 in struct item, but arg is at offset=8 in struct other"
    );
}
