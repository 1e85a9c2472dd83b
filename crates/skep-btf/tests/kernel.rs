//! The running kernel's types: read, found, written, deduplicated.

use skep_btf::dedup::{census, dedup};
use skep_btf::ty::Ty;
use skep_btf::{Btf, Builder, Kind};

fn kernel() -> Option<Btf> {
    match std::fs::read("/sys/kernel/btf/vmlinux") {
        Ok(bytes) => Some(Btf::parse(bytes).unwrap()),
        Err(_) => {
            println!("skipped: needs /sys/kernel/btf/vmlinux");
            None
        }
    }
}

#[test]
fn names_are_found() {
    let Some(btf) = kernel() else { return };
    let task = btf.find(Kind::Struct, "task_struct").unwrap();
    let comm = btf.member(task, "comm").unwrap().unwrap();
    assert_eq!(btf.size_of(comm.member.ty), Ok(16));
    assert_eq!(btf.pointer_size(), usize::BITS / 8);
    assert_eq!(btf.find(Kind::Struct, "task_struct"), Some(task));
    for id in btf.ids().step_by(997) {
        let name = btf.name(id);
        assert!(
            name.is_empty() || btf.find_all(name).contains(&id),
            "{id} {name}"
        );
    }
}

#[test]
fn writing_reads_back_the_same() {
    let Some(btf) = kernel() else { return };
    let copy = Builder::from_btf(&btf).unwrap().into_btf().unwrap();
    assert_eq!(copy.len(), btf.len());
    for id in btf.ids() {
        assert_eq!(
            format!("{:?}", btf.ty(id).unwrap()),
            format!("{:?}", copy.ty(id).unwrap())
        );
    }
}

#[test]
fn two_copies_deduplicate_to_one() {
    let Some(btf) = kernel() else { return };
    let mut b = Builder::new();
    b.append(&btf).unwrap();
    b.append(&btf).unwrap();
    let twice = b.into_btf().unwrap();
    let one = dedup(&btf).unwrap().builder.into_btf().unwrap();
    let two = dedup(&twice).unwrap().builder.into_btf().unwrap();
    let (one, two, original) = (census(&one), census(&two), census(&btf));
    for (kind, count) in &original {
        if !matches!(kind, Kind::Var | Kind::DataSec) {
            assert_eq!(one.get(kind), two.get(kind), "{kind}");
            assert!(one[kind] <= *count);
        }
    }
    println!("{original:?}\n{one:?}");
}

#[test]
fn every_type_answers_every_question() {
    let Some(btf) = kernel() else { return };
    for id in btf.ids() {
        let ty = btf.ty(id).unwrap();
        let sized = !matches!(
            ty.kind(),
            Kind::Func | Kind::FuncProto | Kind::Fwd | Kind::DeclTag
        );
        if sized
            && btf.resolve(id).is_ok_and(|id| {
                !matches!(
                    btf.ty(id),
                    Ok(Ty::Void | Ty::Fwd { .. } | Ty::FuncProto { .. })
                )
            })
        {
            btf.size_of(id).unwrap();
            if !matches!(ty, Ty::DataSec { .. }) {
                btf.align_of(id).unwrap();
            }
        }
    }
}
