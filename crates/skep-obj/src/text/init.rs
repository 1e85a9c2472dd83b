//! Initialisers of variables, as the bytes that their types make of them.
//!
//! Invariant: a value that does not fit its type is refused; addresses leave zeroes and a note of whose they are.

use skep_btf::{Btf, Ty, TypeId};
use skep_spec::asm::Init;
use skep_spec::insn::Endian;

use crate::globals;

/// Writes initialisers into bytes.
pub(super) struct Fill<'a> {
    pub btf: &'a Btf,
    pub endian: Endian,
    /// Addresses: byte offset and name.
    pub relocs: &'a mut Vec<(u64, String)>,
}

impl Fill<'_> {
    pub fn init(
        &mut self,
        ty: TypeId,
        init: &Init,
        out: &mut [u8],
        at: u64,
        depth: u32,
    ) -> Result<(), String> {
        if depth > 32 {
            return Err("nested too deeply".into());
        }
        let (_, resolved) = self.btf.resolved(ty).map_err(|e| e.to_string())?;
        match init {
            Init::Bytes(bytes) => {
                let place = out
                    .get_mut(..bytes.len())
                    .ok_or_else(|| format!("{} bytes for {}", bytes.len(), ty))?;
                place.copy_from_slice(bytes);
                Ok(())
            }
            Init::Text(text) => {
                let len = out.len();
                let place = out
                    .get_mut(..text.len())
                    .ok_or_else(|| format!("a string of {} bytes for {len}", text.len()))?;
                place.copy_from_slice(text);
                Ok(())
            }
            Init::Address(name) => {
                if !matches!(resolved, Ty::Ptr { .. }) {
                    return Err(format!("the address of `{name}` for what is not a pointer"));
                }
                self.relocs.push((at, name.clone()));
                Ok(())
            }
            Init::Number(number) => match resolved {
                Ty::Int(int) => globals::put(
                    out,
                    *number,
                    int.encoding.signed,
                    int.encoding.bool,
                    self.endian,
                ),
                Ty::Enum(e) | Ty::Enum64(e) => {
                    globals::put(out, *number, e.signed, false, self.endian)
                }
                Ty::Ptr { .. } => globals::put(out, *number, false, false, self.endian),
                other => Err(format!("a number for a {}", other.kind())),
            },
            Init::List(list) => match resolved {
                Ty::Array { elem, len, .. } => {
                    let size = self.btf.size_of(elem).map_err(|e| e.to_string())? as usize;
                    if list.len() > len as usize {
                        return Err(format!("{} elements for an array of {len}", list.len()));
                    }
                    for (index, one) in list.iter().enumerate() {
                        let place = out
                            .get_mut(index * size..(index + 1) * size)
                            .ok_or("the array is too short")?;
                        self.init(elem, one, place, at + (index * size) as u64, depth + 1)?;
                    }
                    Ok(())
                }
                Ty::Struct(c) | Ty::Union(c) => {
                    for (index, one) in list.iter().enumerate() {
                        let member = c.members.get(index).ok_or_else(|| {
                            format!("{} values for {} members", list.len(), c.members.len())
                        })?;
                        if member.bitfield_size != 0 {
                            return Err(format!(
                                "member `{}` is a bit-field: give the value as `bytes`",
                                member.name
                            ));
                        }
                        let size = self.btf.size_of(member.ty).map_err(|e| e.to_string())? as usize;
                        let start = (member.bit_offset / 8) as usize;
                        let place = out
                            .get_mut(start..)
                            .and_then(|o| o.get_mut(..size))
                            .ok_or("the struct is too short")?;
                        self.init(member.ty, one, place, at + start as u64, depth + 1)?;
                    }
                    Ok(())
                }
                other => Err(format!("a list for a {}", other.kind())),
            },
        }
    }
}
