//! From a structure's members and their rules to the layout that verifier and sandbox go by, while it is compiled.
//!
//! Invariants: a layout has the members that may be accessed, in the order of their offsets, and no others; of a range
//! of bytes both ends are fields; [`check`] refuses, at compile time, rules that no layout may have.

use skep_spec::context::{Access, Field, FieldValue};

use super::describe::{Structure, StructureField, Type};

/// What programs may do with a field of a context.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub read: bool,
    pub write: bool,
}

/// How many fields the layout has.
pub const fn count(fields: &[StructureField], members: &[Member]) -> usize {
    let mut at = 0;
    let mut count = 0;
    while at < fields.len() {
        if members[at].read || members[at].write {
            count += match fields[at].ty {
                Type::Bytes { .. } => 2,
                _ => 1,
            };
        }
        at += 1;
    }
    count
}

/// The layout's fields.
pub const fn fields<const N: usize>(
    described: &[StructureField],
    members: &[Member],
) -> [Field; N] {
    let mut fields = [Field::scalar("", 0, 0); N];
    let mut at = 0;
    let mut next = 0;
    while at < described.len() {
        let (field, member) = (&described[at], members[at]);
        at += 1;
        if !member.read && !member.write {
            continue;
        }
        match *field.ty {
            Type::Bytes { .. } => {
                fields[next] = Field::pointer(field.name, field.offset, 8, FieldValue::PacketStart);
                next += 1;
                fields[next] =
                    Field::pointer(field.end, field.offset + 8, 8, FieldValue::PacketEnd);
            }
            Type::Address {
                of,
                writable,
                or_null,
            } => {
                let value = FieldValue::Memory {
                    size: of.size(),
                    writable,
                    or_null,
                };
                fields[next] = Field::pointer(field.name, field.offset, 8, value);
            }
            _ => {
                let scalar = Field::scalar(field.name, field.offset, field.ty.size());
                fields[next] = Field {
                    read: allowed(member.read),
                    write: allowed(member.write),
                    ..scalar
                };
            }
        }
        next += 1;
    }
    fields
}

const fn allowed(may: bool) -> Access {
    if may { Access::Narrow } else { Access::Denied }
}

/// Refuses what cannot be a context; in a constant, that is an error of the compiler.
pub const fn check(structure: &Structure, members: &[Member]) {
    let fields = structure.fields;
    assert!(fields.len() == members.len());
    let mut at = 0;
    let mut ranges = 0;
    let mut end = 0;
    while at < fields.len() {
        let (field, member) = (&fields[at], members[at]);
        at += 1;
        assert!(field.offset >= end, "fields out of order");
        end = field.offset + field.ty.size();
        if !member.read && !member.write {
            continue;
        }
        match field.ty {
            Type::Bytes { .. } => {
                ranges += 1;
                assert!(
                    !member.write,
                    "an address is for reading; `BytesMut` lets programs write what it leads to"
                );
            }
            Type::Address { .. } => {
                assert!(
                    !member.write,
                    "an address is for reading; `RefMut` lets programs write what it leads to"
                );
            }
            ty => {
                assert!(ty.is_plain(), "a field with gaps or addresses in it");
                assert!(
                    !member.write || ty.takes_any_bytes(),
                    "a field that programs may write must take any bytes: `u8` in place of `bool`"
                );
            }
        }
    }
    assert!(end <= structure.size);
    assert!(
        ranges <= 1,
        "more than one `Bytes`: programs could compare one's start with the other's end"
    );
}
