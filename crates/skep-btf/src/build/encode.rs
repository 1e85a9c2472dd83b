//! The records of `.BTF`, word by word.
//!
//! Invariant: a record has exactly the words that its kind and length prescribe, in the byte order chosen.

use skep_spec::insn::Endian;

use super::{MemberDef, Strings, TypeDef};
use crate::error::BtfError;
use crate::kind::Kind;

pub(super) struct Encoder {
    pub(super) bytes: Vec<u8>,
    pub(super) endian: Endian,
}

impl Encoder {
    pub(super) fn word(&mut self, word: u32) {
        self.bytes.extend(match self.endian {
            Endian::Little => word.to_le_bytes(),
            Endian::Big => word.to_be_bytes(),
        });
    }

    fn head(
        &mut self,
        name: u32,
        kind: Kind,
        flag: bool,
        len: usize,
        size: u32,
    ) -> Result<(), BtfError> {
        let len = u16::try_from(len).map_err(|_| {
            BtfError::unwritable(format!(
                "a {kind} with {len} entries, at most 65535 can be written"
            ))
        })?;
        self.word(name);
        self.word(u32::from(flag) << 31 | (kind as u32) << 24 | u32::from(len));
        self.word(size);
        Ok(())
    }

    pub(super) fn def(&mut self, def: &TypeDef, strings: &mut Strings) -> Result<(), BtfError> {
        match def {
            TypeDef::Int {
                name,
                size,
                bits,
                offset,
                encoding,
            } => {
                self.head(strings.add(name)?, Kind::Int, false, 0, *size)?;
                self.word(encoding.bits() << 24 | u32::from(*offset) << 16 | u32::from(*bits));
            }
            TypeDef::Ptr { target } => self.head(0, Kind::Ptr, false, 0, target.0)?,
            TypeDef::Array { elem, index, len } => {
                self.head(0, Kind::Array, false, 0, 0)?;
                for word in [elem.0, index.0, *len] {
                    self.word(word);
                }
            }
            TypeDef::Struct {
                name,
                size,
                members,
            } => self.composite(Kind::Struct, name, *size, members, strings)?,
            TypeDef::Union {
                name,
                size,
                members,
            } => self.composite(Kind::Union, name, *size, members, strings)?,
            TypeDef::Enum {
                name,
                size,
                signed,
                values,
            } => {
                self.head(strings.add(name)?, Kind::Enum, *signed, values.len(), *size)?;
                for value in values {
                    self.word(strings.add(&value.name)?);
                    self.word(value.value as u32);
                }
            }
            TypeDef::Enum64 {
                name,
                size,
                signed,
                values,
            } => {
                self.head(
                    strings.add(name)?,
                    Kind::Enum64,
                    *signed,
                    values.len(),
                    *size,
                )?;
                for value in values {
                    self.word(strings.add(&value.name)?);
                    self.word(value.value as u32);
                    self.word((value.value >> 32) as u32);
                }
            }
            TypeDef::Fwd { name, union } => {
                self.head(strings.add(name)?, Kind::Fwd, *union, 0, 0)?
            }
            TypeDef::Typedef { name, target } => {
                self.head(strings.add(name)?, Kind::Typedef, false, 0, target.0)?
            }
            TypeDef::Volatile { target } => self.head(0, Kind::Volatile, false, 0, target.0)?,
            TypeDef::Const { target } => self.head(0, Kind::Const, false, 0, target.0)?,
            TypeDef::Restrict { target } => self.head(0, Kind::Restrict, false, 0, target.0)?,
            TypeDef::Func {
                name,
                proto,
                linkage,
            } => {
                self.head(
                    strings.add(name)?,
                    Kind::Func,
                    false,
                    linkage.number() as usize,
                    proto.0,
                )?;
            }
            TypeDef::FuncProto { ret, params } => {
                self.head(0, Kind::FuncProto, false, params.len(), ret.0)?;
                for param in params {
                    self.word(strings.add(&param.name)?);
                    self.word(param.ty.0);
                }
            }
            TypeDef::Var {
                name,
                target,
                linkage,
            } => {
                self.head(strings.add(name)?, Kind::Var, false, 0, target.0)?;
                self.word(linkage.number());
            }
            TypeDef::DataSec { name, size, vars } => {
                self.head(strings.add(name)?, Kind::DataSec, false, vars.len(), *size)?;
                for var in vars {
                    for word in [var.ty.0, var.offset, var.size] {
                        self.word(word);
                    }
                }
            }
            TypeDef::Float { name, size } => {
                self.head(strings.add(name)?, Kind::Float, false, 0, *size)?
            }
            TypeDef::DeclTag {
                value,
                target,
                component,
                attribute,
            } => {
                self.head(strings.add(value)?, Kind::DeclTag, *attribute, 0, target.0)?;
                self.word(*component as u32);
            }
            TypeDef::TypeTag {
                value,
                target,
                attribute,
            } => {
                self.head(strings.add(value)?, Kind::TypeTag, *attribute, 0, target.0)?;
            }
        }
        Ok(())
    }

    fn composite(
        &mut self,
        kind: Kind,
        name: &str,
        size: u32,
        members: &[MemberDef],
        strings: &mut Strings,
    ) -> Result<(), BtfError> {
        // As the kernel requires: the flag, and with it 24-bit offsets, only where there is a bit-field.
        let flag = members.iter().any(|member| member.bitfield_size != 0);
        self.head(strings.add(name)?, kind, flag, members.len(), size)?;
        for member in members {
            if flag && member.bit_offset > 0xff_ffff {
                let why = format!(
                    "the member {name}.{} is at bit {}, beyond 24 bits",
                    member.name, member.bit_offset
                );
                return Err(BtfError::unwritable(why));
            }
            self.word(strings.add(&member.name)?);
            self.word(member.ty.0);
            self.word(u32::from(member.bitfield_size) << 24 | member.bit_offset);
        }
        Ok(())
    }
}
