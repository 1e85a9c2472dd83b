//! Completes the `.BTF` and `.BTF.ext` of a compiler's object with what only its symbols know.
//!
//! Clang leaves the offsets of global variables in `DATASEC`s to relocations and their sizes at 0; extern configuration
//! values get their places here too. Invariant: the length never changes; bytes that are not BTF come back unchanged and
//! are refused by the BTF parser.

use super::{File, Home, Numbers};

/// `.BTF` or `.BTF.ext` with its relocations applied.
pub(super) fn relocated(file: &File<'_>, section: usize) -> Vec<u8> {
    let numbers = Numbers(file.endian);
    let section = &file.sections[section];
    let mut bytes = section.data.to_vec();
    for r in &section.relocs {
        // The type does not matter: compilers wrote NODYLD32, ABS32, 64_32 and (clang 10) NONE for these 32-bit fields.
        let symbol = &file.symbols[r.symbol];
        let at = usize::try_from(r.offset).unwrap_or(usize::MAX);
        if let (Home::Section(_), Some(field)) = (symbol.home, numbers.u32(&bytes, at)) {
            let value = field
                .wrapping_add(symbol.value as u32)
                .wrapping_add(r.addend as u32);
            let _ = numbers.put_u32(&mut bytes, at, value);
        }
    }
    bytes
}

/// Sets the sizes of `DATASEC`s to those of the sections, and lays out the variables of `.kconfig`.
pub(super) fn complete_datasecs(file: &File<'_>, bytes: &mut [u8]) {
    let numbers = Numbers(file.endian);
    let _ = walk(file, numbers, bytes);
}

fn walk(file: &File<'_>, numbers: Numbers, bytes: &mut [u8]) -> Option<()> {
    let header = numbers.u32(bytes, 4)? as usize;
    let types = header.checked_add(numbers.u32(bytes, 8)? as usize)?;
    let types_end = types.checked_add(numbers.u32(bytes, 12)? as usize)?;
    let strings = header.checked_add(numbers.u32(bytes, 16)? as usize)?;
    let mut at = types;
    while at < types_end {
        let name = numbers.u32(bytes, at)? as usize;
        let info = numbers.u32(bytes, at + 4)?;
        let vlen = (info & 0xffff) as usize;
        let kind = info >> 24 & 0x1f;
        if kind == 15 {
            let text = bytes.get(strings.checked_add(name)?..)?;
            let text = &text[..text.iter().position(|&b| b == 0)?];
            if text == b".kconfig" {
                let mut end = 0u32;
                for var in 0..vlen {
                    let entry = at + 12 + 12 * var;
                    let size = numbers.u32(bytes, entry + 8)?;
                    let offset = end.checked_next_multiple_of(8)?;
                    numbers.put_u32(bytes, entry + 4, offset)?;
                    end = offset.checked_add(size)?;
                }
                numbers.put_u32(bytes, at + 8, end.checked_next_multiple_of(8)?)?;
            } else if let Some(section) = file.sections.iter().find(|s| s.name.as_bytes() == text) {
                numbers.put_u32(bytes, at + 8, u32::try_from(section.size).ok()?)?;
            }
        }
        at += 12 + tail(kind, vlen)?;
    }
    Some(())
}

/// Bytes that follow a type's first three words.
fn tail(kind: u32, vlen: usize) -> Option<usize> {
    Some(match kind {
        1 | 14 | 17 => 4,
        3 => 12,
        4 | 5 | 15 | 19 => 12 * vlen,
        6 | 13 => 8 * vlen,
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}
