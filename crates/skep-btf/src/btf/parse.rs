//! Parsing BTF: one walk over the type records that checks everything the rest of the crate relies on.
//!
//! Invariant: nothing is allocated but the table of record offsets, which is never larger than the type section.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use skep_spec::insn::Endian;

use super::{Btf, Bytes, names::Names, word};
use crate::error::BtfError;
use crate::kind::Kind;

const SECTION: &str = ".BTF";
const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;

/// The byte order of BTF or `.BTF.ext`, from the magic number it starts with.
pub(crate) fn endian_of(section: &'static str, bytes: &[u8]) -> Result<Endian, BtfError> {
    let Some(&magic) = bytes.first_chunk::<2>() else {
        return Err(BtfError::malformed(
            section,
            0,
            format!("{} bytes are too few for a header", bytes.len()),
        ));
    };
    if u16::from_le_bytes(magic) == MAGIC {
        Ok(Endian::Little)
    } else if u16::from_be_bytes(magic) == MAGIC {
        Ok(Endian::Big)
    } else {
        Err(BtfError::malformed(
            section,
            0,
            format!("starts with {magic:02x?}, wanted the magic number 0xeb9f"),
        ))
    }
}

fn read(bytes: &[u8], at: usize, endian: Endian) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk::<4>()
        .map(|&chunk| word(chunk, endian))
}

/// Checks a section's place in the bytes: `start` and `len` are relative to the end of the header.
pub(crate) fn span(
    section: &'static str,
    field_at: usize,
    what: &str,
    total: usize,
    header: usize,
    start: u32,
    len: u32,
) -> Result<Range<usize>, BtfError> {
    let from = header as u64 + u64::from(start);
    let to = from + u64::from(len);
    if to > total as u64 {
        let why =
            format!("the {what} reach to offset {to:#x}, but there are only {total:#x} bytes");
        return Err(BtfError::malformed(section, field_at, why));
    }
    Ok(from as usize..to as usize)
}

/// The largest reference seen in a walk, and where.
#[derive(Default)]
struct Highest {
    value: u32,
    at: usize,
}

impl Highest {
    #[inline]
    fn see(&mut self, value: u32, at: usize) {
        if value > self.value {
            *self = Highest { value, at };
        }
    }
}

pub(super) fn parse(owner: Bytes, base: Option<Arc<Btf>>) -> Result<Btf, BtfError> {
    let bytes: &[u8] = (*owner).as_ref();
    let endian = endian_of(SECTION, bytes)?;
    if let Some(base) = &base
        && base.endian != endian
    {
        return Err(BtfError::malformed(
            SECTION,
            0,
            "the byte order differs from the base's",
        ));
    }
    let header = |at: usize| {
        read(bytes, at, endian).ok_or_else(|| {
            BtfError::malformed(
                SECTION,
                at,
                format!("{} bytes are too few for a header", bytes.len()),
            )
        })
    };
    let first = header(0)?.to_ne_bytes();
    let first = if endian == Endian::NATIVE {
        first
    } else {
        header(0)?.swap_bytes().to_ne_bytes()
    };
    if first[2] != 1 {
        return Err(BtfError::malformed(
            SECTION,
            2,
            format!("version {}, only version 1 is known", first[2]),
        ));
    }
    let header_len = header(4)? as usize;
    if header_len < HEADER_BYTES || header_len > bytes.len() {
        let why = format!(
            "a header of {header_len} bytes, wanted {HEADER_BYTES} or more, at most {}",
            bytes.len()
        );
        return Err(BtfError::malformed(SECTION, 4, why));
    }
    let types = span(
        SECTION,
        8,
        "types",
        bytes.len(),
        header_len,
        header(8)?,
        header(12)?,
    )?;
    let strings = span(
        SECTION,
        16,
        "strings",
        bytes.len(),
        header_len,
        header(16)?,
        header(20)?,
    )?;
    if !(header(8)?).is_multiple_of(4) {
        return Err(BtfError::malformed(
            SECTION,
            8,
            "the types do not start at a multiple of 4",
        ));
    }

    let text = &bytes[strings.clone()];
    match (text.first(), text.last(), &base) {
        (Some(_), Some(0), Some(_)) | (Some(0), Some(0), None) | (None, None, Some(_)) => {}
        (Some(_), Some(0), None) => {
            return Err(BtfError::malformed(
                SECTION,
                strings.start,
                "the first string is not the empty one",
            ));
        }
        _ => {
            return Err(BtfError::malformed(
                SECTION,
                strings.end,
                "the strings do not end with a zero byte",
            ));
        }
    }
    let ascii = text.is_ascii();
    if !ascii && let Err(error) = std::str::from_utf8(text) {
        return Err(BtfError::malformed(
            SECTION,
            strings.start + error.valid_up_to(),
            "the string is not UTF-8",
        ));
    }
    let (first_id, first_string) = base
        .as_ref()
        .map_or((1, 0), |base| (base.len(), base.strings_end()));
    if first_string.checked_add(text.len() as u32).is_none() {
        return Err(BtfError::malformed(
            SECTION,
            20,
            "the strings do not fit 32 bits with those of the base",
        ));
    }

    let own_text = |name: u32| -> bool {
        ascii
            || name < first_string
            || !matches!(text.get((name - first_string) as usize), Some(0x80..=0xbf))
    };
    let walk = Walk {
        bytes: &bytes[types.clone()],
        start: types.start,
        endian,
        check_text: !ascii,
        own_text: &own_text,
    };
    let (offsets, names, ids) = walk.run()?;

    let len = u64::from(first_id) + offsets.len() as u64;
    if len > u64::from(u32::MAX) {
        return Err(BtfError::malformed(
            SECTION,
            types.start,
            "too many types with those of the base",
        ));
    }
    if u64::from(ids.value) >= len {
        let why = format!(
            "refers to type {}, but the last type is {}",
            ids.value,
            len - 1
        );
        return Err(BtfError::malformed(SECTION, ids.at, why));
    }
    let strings_end = first_string + text.len() as u32;
    if names.value >= strings_end {
        let why = format!(
            "refers to string offset {:#x}, but the strings end at {strings_end:#x}",
            names.value
        );
        return Err(BtfError::malformed(SECTION, names.at, why));
    }
    Ok(Btf {
        bytes: owner,
        endian,
        types,
        strings,
        offsets,
        base,
        first_id,
        first_string,
        pointer_size: OnceLock::new(),
        names: Names::default(),
        tags: Default::default(),
    })
}

struct Walk<'a> {
    bytes: &'a [u8],
    start: usize,
    endian: Endian,
    check_text: bool,
    own_text: &'a dyn Fn(u32) -> bool,
}

impl Walk<'_> {
    fn run(&self) -> Result<(Box<[u32]>, Highest, Highest), BtfError> {
        match self.endian {
            Endian::Little => self.records(u32::from_le_bytes),
            Endian::Big => self.records(u32::from_be_bytes),
        }
    }

    /// `decode` is a parameter so that each byte order gets its own loop without a branch a word.
    #[inline]
    fn records(
        &self,
        decode: impl Fn([u8; 4]) -> u32,
    ) -> Result<(Box<[u32]>, Highest, Highest), BtfError> {
        // The average record of a kernel's BTF has 19 bytes: one allocation is nearly always enough, and not too much.
        let mut offsets = Vec::with_capacity(self.bytes.len() / 18);
        let mut names = Highest::default();
        let mut ids = Highest::default();
        let mut rest = self.bytes;
        let get = |words: &[u8], at: usize| {
            words
                .get(at..)
                .and_then(|w| w.first_chunk::<4>())
                .map_or(0, |&w| decode(w))
        };
        while !rest.is_empty() {
            let at = self.bytes.len() - rest.len();
            let place = self.start + at;
            let Some((head, after)) = rest.split_at_checked(12) else {
                return Err(BtfError::malformed(
                    SECTION,
                    place,
                    "the types end within a record",
                ));
            };
            let (name, info, size) = (get(head, 0), get(head, 4), get(head, 8));
            let (len, number) = ((info & 0xffff) as usize, info >> 24 & 0x1f);
            let kind = match Kind::from_number(number) {
                Some(kind) if kind != Kind::Void => kind,
                _ => {
                    let why = format!("type {} is of the unknown kind {number}", offsets.len() + 1);
                    return Err(BtfError::malformed(SECTION, place + 4, why));
                }
            };
            // (words an item has, items, which words of an item hold a name and a type id)
            let (words, items, name_word, id_word) = match kind {
                Kind::Int | Kind::Var | Kind::DeclTag => (1, 1, None, None),
                Kind::Array => (3, 1, None, None),
                Kind::Struct | Kind::Union => (3, len, Some(0), Some(1)),
                Kind::Enum => (2, len, Some(0), None),
                Kind::Enum64 => (3, len, Some(0), None),
                Kind::FuncProto => (2, len, Some(0), Some(1)),
                Kind::DataSec => (3, len, None, Some(0)),
                _ => (0, 0, None, None),
            };
            let Some((body, after)) = after.split_at_checked(words * 4 * items) else {
                let why = format!(
                    "the types end within the {kind} of type {}",
                    offsets.len() + 1
                );
                return Err(BtfError::malformed(SECTION, place, why));
            };
            self.check(kind, size, get(body, 0), place)?;
            names.see(name, place);
            match kind {
                Kind::Int
                | Kind::Struct
                | Kind::Union
                | Kind::Enum
                | Kind::Enum64
                | Kind::DataSec
                | Kind::Float
                | Kind::Fwd => {}
                Kind::Array => {
                    ids.see(get(body, 0), place + 12);
                    ids.see(get(body, 4), place + 16);
                }
                _ => ids.see(size, place + 8),
            }
            if items > 0 && (name_word.is_some() || id_word.is_some()) {
                for (index, item) in body.chunks_exact(words * 4).enumerate() {
                    if let Some(word) = name_word {
                        names.see(get(item, word * 4), place + 12 + index * words * 4);
                    }
                    if let Some(word) = id_word {
                        ids.see(get(item, word * 4), place + 12 + (index * words + word) * 4);
                    }
                }
            }
            if self.check_text {
                let texts = std::iter::once(name).chain(
                    body.chunks_exact((words * 4).max(1))
                        .filter_map(|item| name_word.map(|word| get(item, word * 4))),
                );
                if let Some(bad) = texts.into_iter().find(|&name| !(self.own_text)(name)) {
                    let why = format!("string offset {bad:#x} lies within a character");
                    return Err(BtfError::malformed(SECTION, place, why));
                }
            }
            offsets.push(at as u32);
            rest = after;
        }
        Ok((offsets.into_boxed_slice(), names, ids))
    }

    /// Checks what makes a record of this kind unusable whatever else the BTF says.
    #[inline]
    fn check(&self, kind: Kind, size: u32, more: u32, place: usize) -> Result<(), BtfError> {
        match kind {
            Kind::Int => {
                let (bits, offset) = (more & 0xff, more >> 16 & 0xff);
                if !matches!(size, 1 | 2 | 4 | 8 | 16) || bits + offset > size * 8 {
                    let why =
                        format!("an integer of {size} bytes with {bits} bits from bit {offset} on");
                    return Err(BtfError::malformed(SECTION, place + 8, why));
                }
            }
            // `enum e;`, which is named before its values are known, has no bytes.
            Kind::Enum | Kind::Enum64 if !matches!(size, 0 | 1 | 2 | 4 | 8) => {
                return Err(BtfError::malformed(
                    SECTION,
                    place + 8,
                    format!("an enum of {size} bytes"),
                ));
            }
            _ => {}
        }
        Ok(())
    }
}
