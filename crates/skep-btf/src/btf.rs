//! [`Btf`]: the bytes of one `.BTF` section and the questions that can be asked of them.
//!
//! Invariants (kept by `parse`): `offsets[i]` is where the record of type `first_id + i` starts and the whole record lies in
//! the type section; every type id in a record is below `len()`; every name offset lies in the strings (or the base's) and
//! starts a character; the strings are UTF-8 and end with a zero byte. The bytes are never copied: a 5.5 MB kernel BTF costs
//! four bytes a type on top of them.

mod ask;
mod names;
pub(crate) mod parse;
mod tags;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use skep_spec::insn::Endian;

pub use ask::{DEPTH_MAX, FoundMember};
pub use names::essential_name;

use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::{
    Composite, Encoding, Enum, Int, Linkage, Members, Params, SecVars, Ty, TypeId, Values,
};

/// Anything that owns bytes: a `Vec`, an `Arc<[u8]>`, a file mapped into memory.
pub type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// The types of one BTF, on top of those of its base if it is split BTF.
pub struct Btf {
    bytes: Bytes,
    endian: Endian,
    types: Range<usize>,
    strings: Range<usize>,
    offsets: Box<[u32]>,
    base: Option<Arc<Btf>>,
    first_id: u32,
    first_string: u32,
    pointer_size: OnceLock<u32>,
    names: names::Names,
    tags: tags::Tags,
}

impl Btf {
    /// Reads BTF from the contents of a `.BTF` section (or `/sys/kernel/btf/vmlinux`), in either byte order.
    pub fn parse(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Btf, BtfError> {
        parse::parse(Arc::new(bytes), None)
    }

    /// Reads split BTF (of a kernel module): its ids and strings continue those of `base`.
    pub fn parse_split(
        base: Arc<Btf>,
        bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    ) -> Result<Btf, BtfError> {
        parse::parse(Arc::new(bytes), Some(base))
    }

    /// The bytes that were parsed.
    pub fn raw(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// The byte order that the BTF is written in.
    pub fn endian(&self) -> Endian {
        self.endian
    }

    /// The BTF that this one continues.
    pub fn base(&self) -> Option<&Arc<Btf>> {
        self.base.as_ref()
    }

    /// One more than the highest type id: `void` and the base's types count.
    #[allow(clippy::len_without_is_empty, reason = "void is always there")]
    pub fn len(&self) -> u32 {
        self.first_id + self.offsets.len() as u32
    }

    /// Every type id but `void`, the base's first.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = TypeId> + DoubleEndedIterator + use<> {
        (1..self.len()).map(TypeId)
    }

    /// The type ids that are not the base's.
    pub fn own_ids(&self) -> impl ExactSizeIterator<Item = TypeId> + DoubleEndedIterator + use<> {
        (self.first_id..self.len()).map(TypeId)
    }

    /// How many bytes of strings the BTF has, those of its base included: where split BTF's strings start.
    pub(crate) fn strings_end(&self) -> u32 {
        self.first_string + self.strings.len() as u32
    }

    /// A 32-bit word of the file; 0 outside it, which `parse` has ruled out.
    pub(crate) fn word(&self, at: usize) -> u32 {
        match self
            .raw()
            .get(at..)
            .and_then(|rest| rest.first_chunk::<4>())
        {
            Some(&bytes) => word(bytes, self.endian),
            None => 0,
        }
    }

    /// Whether a type has a name, without reading it.
    fn is_named(&self, id: TypeId) -> bool {
        matches!(self.record(id), Ok((btf, at)) if id != TypeId::VOID && btf.word(at) != 0)
    }

    /// The string at an offset of the string section, the base's strings coming first.
    pub(crate) fn text(&self, offset: u32) -> &str {
        self.string(offset).unwrap_or("")
    }

    /// The string at an offset of the string section, if the offset lies in it.
    pub fn string(&self, offset: u32) -> Option<&str> {
        let Some(own) = offset.checked_sub(self.first_string) else {
            return self.base.as_ref()?.string(offset);
        };
        let strings = self.raw().get(self.strings.clone())?.get(own as usize..)?;
        let end = memchr::memchr(0, strings)?;
        std::str::from_utf8(&strings[..end]).ok()
    }

    /// Whether the string at an offset starts with `prefix`, without looking for its end.
    fn text_starts_with(&self, offset: u32, prefix: &str) -> bool {
        match (offset.checked_sub(self.first_string), &self.base) {
            (None, Some(base)) => base.text_starts_with(offset, prefix),
            (None, None) => false,
            (Some(own), _) => {
                let strings = self.raw().get(self.strings.clone());
                let rest = strings.and_then(|strings| strings.get(own as usize..));
                rest.is_some_and(|rest| rest.starts_with(prefix.as_bytes()))
            }
        }
    }

    /// Calls `each` on every string but the empty ones, the base's first, with its offset.
    pub(crate) fn each_string(&self, mut each: impl FnMut(u32, &str)) {
        let mut chain = vec![self];
        while let Some(base) = chain.last().and_then(|btf| btf.base.as_deref()) {
            chain.push(base);
        }
        for btf in chain.into_iter().rev() {
            let mut offset = btf.first_string;
            for text in btf
                .raw()
                .get(btf.strings.clone())
                .unwrap_or_default()
                .split(|&byte| byte == 0)
            {
                match std::str::from_utf8(text) {
                    Ok(text) if !text.is_empty() => each(offset, text),
                    _ => {}
                }
                offset = offset.wrapping_add(text.len() as u32 + 1);
            }
        }
    }

    /// The BTF (this or a base) that holds the record of `id`, and the record's offset in the bytes.
    fn record(&self, id: TypeId) -> Result<(&Btf, usize), BtfError> {
        let mut btf = self;
        loop {
            match (id.0.checked_sub(btf.first_id), &btf.base) {
                (Some(index), _) => {
                    let offset = btf.offsets.get(index as usize);
                    let offset = offset.ok_or(BtfError::NoSuchType {
                        id,
                        len: self.len(),
                    })?;
                    return Ok((btf, btf.types.start + *offset as usize));
                }
                (None, Some(base)) => btf = base,
                (None, None) => {
                    return Err(BtfError::NoSuchType {
                        id,
                        len: self.len(),
                    });
                }
            }
        }
    }

    /// The kind of a type.
    pub fn kind(&self, id: TypeId) -> Result<Kind, BtfError> {
        if id == TypeId::VOID {
            return Ok(Kind::Void);
        }
        let (btf, at) = self.record(id)?;
        Ok(kind_of(btf.word(at + 4)))
    }

    /// The name of a type; empty if it has none or does not exist.
    pub fn name(&self, id: TypeId) -> &str {
        match self.record(id) {
            Ok((btf, at)) if id != TypeId::VOID => btf.text(btf.word(at)),
            _ => "",
        }
    }

    /// The type with this id.
    pub fn ty(&self, id: TypeId) -> Result<Ty<'_>, BtfError> {
        if id == TypeId::VOID {
            return Ok(Ty::Void);
        }
        let (btf, at) = self.record(id)?;
        let Header {
            name,
            kind,
            flag,
            len,
            size,
        } = Header::read(btf, at);
        // Most types on a way have none: it is only read where it is told.
        let name = || btf.text(name);
        let target = TypeId(size);
        let more = at + 12;
        let at = more as u32;
        Ok(match kind {
            Kind::Void => Ty::Void,
            Kind::Int => {
                let word = btf.word(more);
                Ty::Int(Int {
                    name: name(),
                    size,
                    bits: word as u8,
                    offset: (word >> 16) as u8,
                    encoding: Encoding::from_bits(word >> 24 & 0xf),
                })
            }
            Kind::Ptr => Ty::Ptr { target },
            Kind::Array => Ty::Array {
                elem: TypeId(btf.word(more)),
                index: TypeId(btf.word(more + 4)),
                len: btf.word(more + 8),
            },
            Kind::Struct => Ty::Struct(Composite {
                name: name(),
                size,
                members: Members { btf, at, len, flag },
            }),
            Kind::Union => Ty::Union(Composite {
                name: name(),
                size,
                members: Members { btf, at, len, flag },
            }),
            Kind::Enum => Ty::Enum(Enum {
                name: name(),
                size,
                signed: flag,
                values: Values {
                    btf,
                    at,
                    len,
                    signed: flag,
                    wide: false,
                },
            }),
            Kind::Enum64 => Ty::Enum64(Enum {
                name: name(),
                size,
                signed: flag,
                values: Values {
                    btf,
                    at,
                    len,
                    signed: flag,
                    wide: true,
                },
            }),
            Kind::Fwd => Ty::Fwd {
                name: name(),
                union: flag,
            },
            Kind::Typedef => Ty::Typedef {
                name: name(),
                target,
            },
            Kind::Volatile => Ty::Volatile { target },
            Kind::Const => Ty::Const { target },
            Kind::Restrict => Ty::Restrict { target },
            Kind::Func => Ty::Func {
                name: name(),
                proto: target,
                linkage: Linkage::from_number(len),
            },
            Kind::FuncProto => Ty::FuncProto {
                ret: target,
                params: Params { btf, at, len, flag },
            },
            Kind::Var => Ty::Var {
                name: name(),
                target,
                linkage: Linkage::from_number(btf.word(more)),
            },
            Kind::DataSec => Ty::DataSec {
                name: name(),
                size,
                vars: SecVars { btf, at, len, flag },
            },
            Kind::Float => Ty::Float { name: name(), size },
            Kind::DeclTag => Ty::DeclTag {
                value: name(),
                target,
                component: btf.word(more) as i32,
                attribute: flag,
            },
            Kind::TypeTag => Ty::TypeTag {
                value: name(),
                target,
                attribute: flag,
            },
        })
    }
}

/// The three words every record starts with.
struct Header {
    /// Where it lies in the strings.
    name: u32,
    kind: Kind,
    flag: bool,
    len: u32,
    size: u32,
}

impl Header {
    #[inline]
    fn read(btf: &Btf, at: usize) -> Header {
        let words = btf.raw().get(at..).and_then(|rest| rest.first_chunk());
        let [name, info, size] = match words {
            Some(&[a, b, c, d, e, f, g, h, i, j, k, l]) => {
                [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(|bytes| word(bytes, btf.endian))
            }
            // `parse` has ruled it out.
            None => [0; 3],
        };
        Header {
            name,
            kind: kind_of(info),
            flag: info >> 31 != 0,
            len: info & 0xffff,
            size,
        }
    }
}

/// The kind in a record's second word, which `parse` has checked.
fn kind_of(info: u32) -> Kind {
    Kind::from_number(info >> 24 & 0x1f).unwrap_or(Kind::Void)
}

/// Reads a word in a byte order.
pub(crate) fn word(bytes: [u8; 4], endian: Endian) -> u32 {
    match endian {
        Endian::Little => u32::from_le_bytes(bytes),
        Endian::Big => u32::from_be_bytes(bytes),
    }
}

impl fmt::Debug for Btf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Btf({:?}, {} types, {} bytes)",
            self.endian,
            self.len() - 1,
            self.raw().len()
        )
    }
}
