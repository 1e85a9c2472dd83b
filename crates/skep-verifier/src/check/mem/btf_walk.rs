//! The field of a C type that an access hits: through nested structs, unions, arrays, bit-fields and flexible arrays.
//!
//! Invariant: types are hostile; the walk goes down a bounded number of levels, and each level is linear in its members.

use skep_btf::{Btf, Ty, TypeId};

use super::{EINVAL, denied};
use crate::fault::{Fault, Rule};
use crate::state::reg::Flags;

/// Structs within structs that a walk goes down.
const DEPTH_MAX: u32 = 64;
/// Dimensions of an array.
const DIMENSIONS_MAX: u32 = 32;

/// What lies at the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A number, or a part of one.
    Scalar,
    /// A pointer to that struct or union; the name of its member.
    Pointer {
        id: u32,
        flags: Flags,
        field: &'a str,
    },
    /// A pointer to something that is no struct.
    OtherPointer,
    /// A struct starts there.
    Struct { id: u32 },
}

/// What `size` bytes at `off` of type `id` are. A struct is only answered where it starts at the offset.
pub fn step<'a>(
    btf: &'a Btf,
    id: TypeId,
    off: u32,
    size: u32,
    flags: &mut Flags,
) -> Rule<Found<'a>> {
    let (mut id, mut off) = (id, off);
    for _ in 0..DEPTH_MAX {
        (id, off) = match level(btf, id, off, size, flags)? {
            Level::Found(found) => return Ok(found),
            Level::Within(id, off) => (id, off),
        };
    }
    Err(Fault::new(
        EINVAL,
        "verifier-type-too-deep",
        format!("struct {} doesn't have field at offset {off}", btf.name(id)),
    ))
}

enum Level<'a> {
    Found(Found<'a>),
    /// The access lies in that struct, at that offset of it.
    Within(TypeId, u32),
}

fn level<'a>(btf: &'a Btf, id: TypeId, off: u32, size: u32, flags: &mut Flags) -> Rule<Level<'a>> {
    let resolved = btf.resolved(id).ok();
    let Some((id, Ty::Struct(whole) | Ty::Union(whole))) = resolved else {
        let name = resolved.map_or("", |(id, _)| btf.name(id));
        return Err(Fault::new(
            EINVAL,
            "verifier-not-a-struct",
            format!("Type '{name}' is not a struct"),
        ));
    };
    let name = whole.name;
    if matches!(btf.ty(id), Ok(Ty::Union(_))) && whole.members.len() != 1 {
        // Which member is the right one only the kernel knows.
        *flags = flags.with(Flags::UNTRUSTED);
    }
    let end = u64::from(off) + u64::from(size);
    if end > u64::from(whole.size) {
        return flexible(btf, &whole, off).ok_or_else(|| {
            denied(
                "verifier-access-beyond-struct",
                format!("access beyond struct {name} at off {off} size {size}"),
            )
        });
    }
    for member in whole.members.iter() {
        let mut start = u64::from(member.bit_offset / 8);
        if end <= start {
            break;
        }
        if member.bitfield_size != 0 {
            let last = u64::from(member.bit_offset) + u64::from(member.bitfield_size);
            if u64::from(off) <= start && last.div_ceil(8) <= end {
                return Ok(Level::Found(Found::Scalar));
            }
            continue;
        }
        if u64::from(off) < start {
            break;
        }
        let Some(element) = Element::of(btf, member.ty) else {
            return Err(Fault::new(
                14,
                "verifier-field-without-size",
                format!("field {} doesn't have size", member.name),
            ));
        };
        let member_end = start + element.total;
        if u64::from(off) >= member_end {
            continue;
        }
        if element.total != element.size && element.size != 0 {
            start += (u64::from(off) - start) / element.size * element.size;
        }
        let within = u64::from(off) - start;
        return match element.ty {
            Ty::Struct(_) | Ty::Union(_) if within == 0 => {
                Ok(Level::Found(Found::Struct { id: element.id.0 }))
            }
            Ty::Struct(_) | Ty::Union(_) => Ok(Level::Within(element.id, within as u32)),
            Ty::Ptr { target } => {
                if element.size != u64::from(size) || within != 0 {
                    return Err(denied(
                        "verifier-pointer-member",
                        format!(
                            "cannot access ptr member {} with moff {start} in struct {name} with off {off} size {size}",
                            member.name
                        ),
                    ));
                }
                Ok(Level::Found(pointer(btf, target, member.name, flags)))
            }
            _ => {
                if end > member_end && !flags.has(Flags::UNTRUSTED) {
                    return Err(denied(
                        "verifier-access-beyond-member",
                        format!(
                            "access beyond the end of member {} (mend:{member_end}) in struct {name} with off {off} size {size}",
                            member.name
                        ),
                    ));
                }
                Ok(Level::Found(Found::Scalar))
            }
        };
    }
    Err(Fault::new(
        EINVAL,
        "verifier-no-field",
        format!("struct {name} doesn't have field at offset {off}"),
    ))
}

/// The type tag's flag, if the type starts with one that means something.
pub fn tag(btf: &Btf, target: TypeId) -> Flags {
    match btf.ty(target) {
        Ok(Ty::TypeTag {
            value,
            attribute: false,
            ..
        }) => match value {
            "user" => Flags::USER,
            "percpu" => Flags::PERCPU,
            "rcu" => Flags::RCU,
            _ => Flags::NONE,
        },
        _ => Flags::NONE,
    }
}

fn pointer<'a>(btf: &'a Btf, target: TypeId, field: &'a str, flags: &mut Flags) -> Found<'a> {
    match btf.resolved(target) {
        Ok((id, Ty::Struct(_) | Ty::Union(_))) => {
            *flags = flags.with(tag(btf, target));
            Found::Pointer {
                id: id.0,
                flags: *flags,
                field,
            }
        }
        _ => Found::OtherPointer,
    }
}

/// Behind its end a struct goes on if its last member is an array without a length.
fn flexible<'a>(btf: &Btf, whole: &skep_btf::ty::Composite<'_>, off: u32) -> Option<Level<'a>> {
    let last = whole.members.get(whole.members.len().checked_sub(1)?)?;
    let (_, Ty::Array { elem, len: 0, .. }) = btf.resolved(last.ty).ok()? else {
        return None;
    };
    let past = off.checked_sub(last.bit_offset / 8)?;
    match btf.resolved(elem).ok()? {
        (_, Ty::Int(_)) => Some(Level::Found(Found::Scalar)),
        (id, Ty::Struct(inner) | Ty::Union(inner)) => {
            Some(Level::Within(id, past.checked_rem(inner.size)?))
        }
        _ => None,
    }
}

/// The element type of a member, all dimensions of an array taken away.
struct Element<'a> {
    id: TypeId,
    ty: Ty<'a>,
    /// Of one element.
    size: u64,
    /// Of the whole member.
    total: u64,
}

impl<'a> Element<'a> {
    fn of(btf: &'a Btf, id: TypeId) -> Option<Element<'a>> {
        let (mut id, mut ty) = btf.resolved(id).ok()?;
        let mut count = 1_u64;
        for _ in 0..DIMENSIONS_MAX {
            let Ty::Array { elem, len, .. } = ty else {
                let size = match ty {
                    Ty::Ptr { .. } => u64::from(btf.pointer_size()),
                    _ => u64::from(btf.size_of(id).ok()?),
                };
                return Some(Element {
                    id,
                    ty,
                    size,
                    total: size.checked_mul(count)?,
                });
            };
            count = count.checked_mul(u64::from(len))?;
            (id, ty) = btf.resolved(elem).ok()?;
        }
        None
    }
}
