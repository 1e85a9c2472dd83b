//! `.BTF.ext`: what BTF says about instructions: functions, source lines and CO-RE relocations, by ELF section.
//!
//! Invariants: instruction offsets are in bytes from the start of the ELF section, as on disk; strings are those of the
//! accompanying `.BTF`; records are in the order of the file.

use std::collections::HashMap;
use std::sync::Arc;

use skep_spec::insn::Endian;

use crate::btf::{Btf, parse};
use crate::build::Strings;
use crate::core::CoreKind;
use crate::error::BtfError;
use crate::ty::TypeId;

const SECTION: &str = ".BTF.ext";

/// The records about one ELF section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section<T> {
    pub name: String,
    pub records: Vec<T>,
}

/// Where a function starts, and its `FUNC` type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncInfo {
    pub insn_off: u32,
    pub type_id: TypeId,
}

/// The source line that an instruction comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineInfo {
    pub insn_off: u32,
    pub file: Arc<str>,
    /// The text of the line.
    pub line_text: Arc<str>,
    pub line: u32,
    pub col: u32,
}

/// A CO-RE relocation: what it asks of `type_id` of the local BTF, and along which access path (`0:1:2`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreRelo {
    pub insn_off: u32,
    pub type_id: TypeId,
    pub access: String,
    pub kind: CoreKind,
}

/// The contents of a `.BTF.ext` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BtfExt {
    pub func_infos: Vec<Section<FuncInfo>>,
    pub line_infos: Vec<Section<LineInfo>>,
    pub core_relos: Vec<Section<CoreRelo>>,
}

struct Reader<'a> {
    bytes: &'a [u8],
    btf: &'a Btf,
    endian: Endian,
    texts: HashMap<u32, Arc<str>>,
}

impl<'a> Reader<'a> {
    fn word(&self, at: usize) -> Result<u32, BtfError> {
        match self
            .bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk::<4>())
        {
            Some(&chunk) => Ok(crate::btf::word(chunk, self.endian)),
            None => Err(BtfError::malformed(
                SECTION,
                at,
                "the section ends within a word",
            )),
        }
    }

    fn string(&self, at: usize) -> Result<&'a str, BtfError> {
        let offset = self.word(at)?;
        self.btf.string(offset).ok_or_else(|| {
            let why = format!("refers to string offset {offset:#x}, which .BTF does not have");
            BtfError::malformed(SECTION, at, why)
        })
    }

    fn text(&mut self, at: usize) -> Result<Arc<str>, BtfError> {
        let offset = self.word(at)?;
        if let Some(text) = self.texts.get(&offset) {
            return Ok(text.clone());
        }
        let text: Arc<str> = self.string(at)?.into();
        self.texts.insert(offset, text.clone());
        Ok(text)
    }

    fn type_id(&self, at: usize) -> Result<TypeId, BtfError> {
        let id = self.word(at)?;
        if id >= self.btf.len() {
            let why = format!(
                "refers to type {id}, but the last type of .BTF is {}",
                self.btf.len() - 1
            );
            return Err(BtfError::malformed(SECTION, at, why));
        }
        Ok(TypeId(id))
    }

    fn sections<T>(
        &mut self,
        what: &str,
        span: std::ops::Range<usize>,
        record_words: usize,
        read: impl Fn(&mut Self, usize) -> Result<T, BtfError>,
    ) -> Result<Vec<Section<T>>, BtfError> {
        let mut sections = Vec::new();
        if span.is_empty() {
            return Ok(sections);
        }
        let size = self.word(span.start)? as usize;
        if size < record_words * 4 || !size.is_multiple_of(4) {
            let why = format!(
                "{what} records of {size} bytes, wanted a multiple of 4, {} or more",
                record_words * 4
            );
            return Err(BtfError::malformed(SECTION, span.start, why));
        }
        let mut at = span.start + 4;
        while at < span.end {
            let name = self.string(at)?.to_owned();
            let count = self.word(at + 4)? as usize;
            let first = at + 8;
            let end = count
                .checked_mul(size)
                .and_then(|len| len.checked_add(first))
                .filter(|&end| end <= span.end);
            let Some(end) = end else {
                let why = format!("{count} {what} records of section {name} do not fit");
                return Err(BtfError::malformed(SECTION, at + 4, why));
            };
            let mut records = Vec::with_capacity(count);
            for at in (first..end).step_by(size) {
                records.push(read(self, at)?);
            }
            sections.push(Section { name, records });
            at = end;
        }
        Ok(sections)
    }
}

impl BtfExt {
    /// Reads the contents of a `.BTF.ext` section, whose strings and types are in `btf`.
    pub fn parse(btf: &Btf, bytes: &[u8]) -> Result<BtfExt, BtfError> {
        let endian = parse::endian_of(SECTION, bytes)?;
        let mut reader = Reader {
            bytes,
            btf,
            endian,
            texts: HashMap::new(),
        };
        if let Some(&version) = bytes.get(2)
            && version != 1
        {
            return Err(BtfError::malformed(
                SECTION,
                2,
                format!("version {version}, only version 1 is known"),
            ));
        }
        let header = reader.word(4)? as usize;
        if header < 24 || header > bytes.len() {
            let why = format!(
                "a header of {header} bytes, wanted 24 or more, at most {}",
                bytes.len()
            );
            return Err(BtfError::malformed(SECTION, 4, why));
        }
        let span = |reader: &Reader<'_>, at: usize, what: &str| {
            let span = parse::span(
                SECTION,
                at,
                what,
                bytes.len(),
                header,
                reader.word(at)?,
                reader.word(at + 4)?,
            )?;
            if span.start.is_multiple_of(4) {
                Ok(span)
            } else {
                Err(BtfError::malformed(
                    SECTION,
                    at,
                    format!("the {what} do not start at a multiple of 4"),
                ))
            }
        };
        let funcs = span(&reader, 8, "function records")?;
        let lines = span(&reader, 16, "line records")?;
        let relos = if header >= 32 {
            span(&reader, 24, "CO-RE records")?
        } else {
            0..0
        };

        let func_infos = reader.sections("function", funcs, 2, |reader, at| {
            Ok(FuncInfo {
                insn_off: reader.word(at)?,
                type_id: reader.type_id(at + 4)?,
            })
        })?;
        let line_infos = reader.sections("line", lines, 4, |reader, at| {
            let place = reader.word(at + 12)?;
            Ok(LineInfo {
                insn_off: reader.word(at)?,
                file: reader.text(at + 4)?,
                line_text: reader.text(at + 8)?,
                line: place >> 10,
                col: place & 0x3ff,
            })
        })?;
        let core_relos = reader.sections("CO-RE", relos, 4, |reader, at| {
            let number = reader.word(at + 12)?;
            let kind = CoreKind::from_number(number).ok_or_else(|| {
                BtfError::malformed(
                    SECTION,
                    at + 12,
                    format!("unknown kind {number} of CO-RE relocation"),
                )
            })?;
            let (insn_off, type_id) = (reader.word(at)?, reader.type_id(at + 4)?);
            Ok(CoreRelo {
                insn_off,
                type_id,
                access: reader.string(at + 8)?.to_owned(),
                kind,
            })
        })?;
        Ok(BtfExt {
            func_infos,
            line_infos,
            core_relos,
        })
    }

    /// Writes the section; strings go into `strings`, which must then be that of the `.BTF` written with it
    /// ([`crate::Builder::finish_with`]).
    pub fn write(&self, strings: &mut Strings, endian: Endian) -> Result<Vec<u8>, BtfError> {
        let mut parts: [Vec<u32>; 3] = Default::default();
        section_words(&mut parts[0], 2, &self.func_infos, strings, |info, _| {
            Ok(vec![info.insn_off, info.type_id.0])
        })?;
        section_words(
            &mut parts[1],
            4,
            &self.line_infos,
            strings,
            |info, strings| {
                // What the word cannot hold is cut off, as compilers do.
                let place = info.line.min(0x3f_ffff) << 10 | info.col.min(0x3ff);
                Ok(vec![
                    info.insn_off,
                    strings.add(&info.file)?,
                    strings.add(&info.line_text)?,
                    place,
                ])
            },
        )?;
        section_words(
            &mut parts[2],
            4,
            &self.core_relos,
            strings,
            |relo, strings| {
                Ok(vec![
                    relo.insn_off,
                    relo.type_id.0,
                    strings.add(&relo.access)?,
                    relo.kind as u32,
                ])
            },
        )?;

        let mut words = vec![32];
        let mut from = 0_u32;
        for part in &parts {
            let len = u32::try_from(part.len() * 4)
                .ok()
                .filter(|len| from.checked_add(*len).is_some());
            let len = len.ok_or_else(|| BtfError::unwritable(".BTF.ext does not fit 4 GiB"))?;
            words.extend([from, len]);
            from += len;
        }
        words.extend(parts.concat());
        let mut bytes = match endian {
            Endian::Little => vec![0x9f, 0xeb, 1, 0],
            Endian::Big => vec![0xeb, 0x9f, 1, 0],
        };
        for word in words {
            bytes.extend(match endian {
                Endian::Little => word.to_le_bytes(),
                Endian::Big => word.to_be_bytes(),
            });
        }
        Ok(bytes)
    }
}

fn section_words<T>(
    out: &mut Vec<u32>,
    record_words: u32,
    sections: &[Section<T>],
    strings: &mut Strings,
    words: impl Fn(&T, &mut Strings) -> Result<Vec<u32>, BtfError>,
) -> Result<(), BtfError> {
    if sections.iter().all(|section| section.records.is_empty()) {
        return Ok(());
    }
    out.push(record_words * 4);
    for section in sections
        .iter()
        .filter(|section| !section.records.is_empty())
    {
        out.extend([strings.add(&section.name)?, section.records.len() as u32]);
        for record in &section.records {
            out.extend(words(record, strings)?);
        }
    }
    Ok(())
}
