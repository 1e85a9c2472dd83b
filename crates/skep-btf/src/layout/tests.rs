//! Holes are seen, and C's rules of placement are followed.

use super::*;
use crate::build::{Builder, MemberDef};
use crate::ty::Encoding;

#[test]
fn holes_and_nesting_are_shown() {
    let mut b = Builder::new();
    let int = b.add_int("int", 4, Encoding::SIGNED);
    let char = b.add_int("char", 1, Encoding::SIGNED);
    let union = b.add_union(
        "",
        4,
        [MemberDef::new("a", int, 0), MemberDef::new("b", char, 0)],
    );
    let members = [
        MemberDef::new("c", char, 0),
        MemberDef::new("", union, 4),
        MemberDef::bits("low", int, 64, 3),
        MemberDef::new("d", int, 12),
    ];
    let id = b.add_struct("s", 16, members);
    let btf = b.into_btf().unwrap();
    let layout = of(&btf, id).unwrap();
    assert_eq!(
        layout.to_string(),
        "struct s, 16 bytes\n       0        1  c: char\n       1        3  (hole)\n       4        4  union {...}\n       \
         4        4    a: int\n       4        1    b: char\n     8:0   3 bits  low: int\n     8:3  29 bits  (hole)\n      12        \
         4  d: int\n"
    );
    assert_eq!(
        layout.holes().map(|hole| hole.bits).collect::<Vec<_>>(),
        [24, 29]
    );
    assert!(of(&btf, int).is_err());
}

#[test]
fn members_are_placed_as_compilers_do() {
    let mut placer = Placer::new(false, false);
    assert_eq!(placer.field(1, 1), Some(0));
    assert_eq!(placer.bitfield(4, 30), Some(32));
    assert_eq!(placer.bitfield(4, 2), Some(62));
    assert_eq!(placer.bitfield(4, 1), Some(64));
    assert_eq!(placer.bitfield(4, 0), Some(96));
    assert_eq!(placer.field(8, 8), Some(128));
    assert_eq!(placer.finish(), (24, 8));
    let mut placer = Placer::new(false, true);
    assert_eq!((placer.field(1, 1), placer.field(8, 8)), (Some(0), Some(8)));
    assert_eq!(placer.finish(), (9, 1));
    let mut placer = Placer::new(true, false);
    assert_eq!((placer.field(1, 1), placer.field(6, 2)), (Some(0), Some(0)));
    assert_eq!(placer.finish(), (6, 2));
    let mut placer = Placer::new(false, false);
    assert_eq!(placer.field(u32::MAX, 1), None);
}
