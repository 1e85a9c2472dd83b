//! A kernel module's split BTF on its distilled base, and moved to another one.

mod support;

use std::sync::Arc;

use skep_btf::ty::Encoding;
use skep_btf::{Btf, Builder, Kind, format_c, split};
use support::data;

#[test]
fn a_module_moves_to_other_ids_unchanged() {
    let distilled = Arc::new(Btf::parse(data("btf_testmod.btf.base")).unwrap());
    let module = Btf::parse_split(distilled.clone(), data("btf_testmod.btf")).unwrap();
    assert_eq!(module.own_ids().next().unwrap().0, distilled.len());
    assert!(module.own_ids().len() > 500);

    let mut other = Builder::new();
    other.add_int("something else", 2, Encoding::UNSIGNED);
    other.append(&distilled).unwrap();
    let other = Arc::new(other.into_btf().unwrap());
    let moved = split::rebase(
        &other,
        Btf::parse(data("btf_testmod.btf.base")).unwrap(),
        data("btf_testmod.btf"),
    )
    .unwrap();
    assert_eq!(moved.own_ids().len(), module.own_ids().len());
    let mut structs = 0;
    for (old, new) in module.own_ids().zip(moved.own_ids()) {
        assert_eq!(module.name(old), moved.name(new));
        if module.kind(old) == Ok(Kind::Struct) {
            structs += 1;
            assert_eq!(
                format_c::declare(&module, old),
                format_c::declare(&moved, new)
            );
        }
    }
    assert!(structs > 20, "{structs} structs");
}
