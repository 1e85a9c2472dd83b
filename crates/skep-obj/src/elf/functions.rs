//! Cuts code sections into functions.
//!
//! Invariants: the functions of a section do not overlap and cover all of its instructions; a symbol that is not at an
//! instruction, or that reaches beyond its section, is refused.

use std::collections::{BTreeMap, HashMap, HashSet};

use object::elf;
use skep_spec::insn::{self, Insn, pseudo};

use super::{File, Home, Symbol, reloc};
use crate::error::ObjError;
use crate::object::{FnIdx, Function, Linkage};

/// The functions of all code sections, and where each lies.
#[derive(Debug, Default)]
pub(super) struct Functions {
    pub list: Vec<Function>,
    /// By section: start slot of each function.
    starts: BTreeMap<usize, BTreeMap<usize, FnIdx>>,
    /// By function: ELF section and start slot.
    pub origin: Vec<(usize, usize)>,
}

impl Functions {
    /// The function that starts at a slot.
    pub fn starting_at(&self, section: usize, slot: usize) -> Option<FnIdx> {
        self.starts.get(&section)?.get(&slot).copied()
    }

    /// The function that holds a slot, and the slot's place in it.
    pub fn holding(&self, section: usize, slot: usize) -> Option<(FnIdx, usize)> {
        let (start, function) = self.starts.get(&section)?.range(..=slot).next_back()?;
        let at = slot - start;
        (at < self.list.get(function.0)?.insns.len()).then_some((*function, at))
    }
}

/// A function to be: name, linkage, length in slots if known, may be an entry point.
struct Start<'a> {
    name: String,
    symbol: Option<&'a Symbol>,
    len: usize,
}

pub(super) fn cut(file: &File<'_>) -> Result<Functions, ObjError> {
    let mut out = Functions::default();
    let by_offset = targets_by_offset(file);
    for (index, section) in file.sections.iter().enumerate() {
        if !section.is_code() || section.data.is_empty() {
            continue;
        }
        let insns = insn::decode_all(section.data, file.endian)
            .map_err(|e| ObjError::malformed(&section.name, e.offset as u64, e.why))?;
        let mut starts = symbols_of(file, index)?;
        unnamed_targets(file, index, &insns, &by_offset, &mut starts);
        starts.entry(0).or_insert_with(|| Start {
            name: section.name.clone(),
            symbol: None,
            len: 0,
        });
        unnamed_rests(insns.len(), &mut starts);
        let bounds: Vec<usize> = starts.keys().copied().chain([insns.len()]).collect();
        for ((start, what), next) in starts.into_iter().zip(&bounds[1..]) {
            if start + what.len > *next {
                return Err(ObjError::malformed(
                    &section.name,
                    start as u64 * 8,
                    format!(
                        "function `{}` of {:#x} bytes reaches into the next one",
                        what.name,
                        what.len * 8
                    ),
                ));
            }
            let function = FnIdx(out.list.len());
            out.starts.entry(index).or_default().insert(start, function);
            out.origin.push((index, start));
            let linkage = match what.symbol {
                Some(s) if s.is_local() => Linkage::Static,
                // Loaders declare hidden functions static to the kernel, weak ones too.
                Some(s) if s.is_hidden() && section.name == ".text" => Linkage::Static,
                Some(s) if s.is_weak() => Linkage::Weak,
                Some(_) => Linkage::Global,
                None if start == 0 && bounds.len() == 2 => Linkage::Global,
                None => Linkage::Static,
            };
            out.list.push(Function {
                name: what.name,
                section: section.name.clone(),
                linkage,
                insns: insns[start..*next].to_vec(),
                ..Function::default()
            });
        }
    }
    Ok(out)
}

fn symbols_of<'a>(
    file: &'a File<'_>,
    index: usize,
) -> Result<BTreeMap<usize, Start<'a>>, ObjError> {
    let section = &file.sections[index];
    let here = || {
        file.symbols
            .iter()
            .filter(|s| s.home == Home::Section(index))
    };
    let typed = here().any(|s| s.kind == elf::STT_FUNC);
    let mut starts: BTreeMap<usize, Start<'a>> = BTreeMap::new();
    for symbol in here() {
        // Clang before 7 did not type its symbols; local ones without a type are labels.
        let is_function = symbol.kind == elf::STT_FUNC
            || !typed
                && symbol.kind == elf::STT_NOTYPE
                && !symbol.is_local()
                && !symbol.name.is_empty();
        if !is_function {
            continue;
        }
        let bad = |why: String| ObjError::malformed(&section.name, symbol.value, why);
        let end = symbol
            .value
            .checked_add(symbol.size)
            .filter(|&end| end <= section.data.len() as u64);
        let (Some(end), true) = (end, symbol.value < section.data.len() as u64) else {
            return Err(bad(format!(
                "function `{}` of {:#x} bytes does not lie in the section of {:#x} bytes",
                symbol.name,
                symbol.size,
                section.data.len()
            )));
        };
        if !symbol.value.is_multiple_of(8) || !end.is_multiple_of(8) {
            return Err(bad(format!(
                "function `{}` does not lie at whole instructions",
                symbol.name
            )));
        }
        let (start, end) = ((symbol.value / 8) as usize, (end / 8) as usize);
        let start_of = Start {
            name: symbol.name.clone(),
            symbol: Some(symbol),
            len: end - start,
        };
        match starts.get_mut(&start) {
            // Aliases: the one that more of the world can see gives the name.
            Some(known) if known.symbol.is_some_and(|s| s.is_local()) && !symbol.is_local() => {
                *known = start_of
            }
            Some(_) => {}
            None => {
                starts.insert(start, start_of);
            }
        }
    }
    Ok(starts)
}

/// Adds the targets of calls within the section that no symbol names (assembly; old compilers).
fn unnamed_targets(
    file: &File<'_>,
    index: usize,
    insns: &[Insn],
    by_offset: &HashMap<usize, Vec<i64>>,
    starts: &mut BTreeMap<usize, Start<'_>>,
) {
    let section = &file.sections[index];
    let relocated: HashSet<u64> = section.relocs.iter().map(|r| r.offset).collect();
    let mut add = |slot: i64| {
        if let Ok(slot) = usize::try_from(slot)
            && slot < insns.len()
        {
            starts.entry(slot).or_insert_with(|| Start {
                name: format!("{}+{:#x}", section.name, slot * 8),
                symbol: None,
                len: 0,
            });
        }
    };
    for (at, insn) in insns.iter().enumerate() {
        let is_call = insn.is_local_call();
        let is_address = insn.is_ld_imm64() && insn.src == pseudo::FUNC;
        if !relocated.contains(&(at as u64 * 8)) && (is_call || is_address) {
            add(at as i64 + 1 + i64::from(insn.imm));
        }
    }
    for slot in by_offset.get(&index).into_iter().flatten() {
        add(*slot);
    }
}

/// What lies between the end of a function whose symbol has a size and the next one is a function of its own: code that a
/// static linker left behind when another definition won.
fn unnamed_rests(slots: usize, starts: &mut BTreeMap<usize, Start<'_>>) {
    let bounds: Vec<usize> = starts.keys().copied().chain([slots]).collect();
    let rests: Vec<(usize, String)> = starts
        .iter()
        .zip(&bounds[1..])
        .filter(|((start, what), next)| what.len > 0 && *start + what.len < **next)
        .map(|((start, what), _)| (start + what.len, format!("{}.rest", what.name)))
        .collect();
    for (slot, name) in rests {
        let rest = Start {
            name,
            symbol: None,
            len: 0,
        };
        starts.insert(slot, rest);
    }
}

/// Slots that relocations against a code section's own symbol refer to, by section.
fn targets_by_offset(file: &File<'_>) -> HashMap<usize, Vec<i64>> {
    let mut out: HashMap<usize, Vec<i64>> = HashMap::new();
    for section in file.sections.iter().filter(|s| s.is_code()) {
        for r in &section.relocs {
            let symbol = &file.symbols[r.symbol];
            let Home::Section(target) = symbol.home else {
                continue;
            };
            if !symbol.is_section() || !file.sections[target].is_code() {
                continue;
            }
            let raw = usize::try_from(r.offset)
                .ok()
                .and_then(|at| section.data.get(at..)?.first_chunk::<8>());
            let Some(raw) = raw else { continue };
            let imm = i64::from(Insn::from_bytes(raw, file.endian).imm);
            let slot = match r.kind {
                reloc::R_64_32 => (symbol.value / 8) as i64 + imm + 1,
                reloc::R_64_64 => (symbol.value as i64).wrapping_add(imm) / 8,
                _ => continue,
            };
            out.entry(target).or_default().push(slot);
        }
    }
    out
}
