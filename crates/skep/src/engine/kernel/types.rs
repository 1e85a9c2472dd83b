//! An object's BTF as this kernel takes it, with the function and line records of one program.
//!
//! Compilers and loaders allow more in BTF than the kernel: externs, names of sections, parameters without names. What
//! the kernel refuses is replaced by something of no meaning under the same id. Invariants: type ids stay as they are in the
//! object, what is added comes after them; every function of a program has a record, in the program's order.

use std::collections::HashSet;

use skep_btf::build::{Builder, Strings, TypeDef};
use skep_btf::ty::{Encoding, Linkage};
use skep_btf::{Btf, BtfError, Kind, TypeId};
use skep_obj::{FnRange, LinkedProgram};

/// The largest line and column that a record has bits for.
const LINE_MAX: u32 = (1 << 22) - 1;
const COLUMN_MAX: u32 = (1 << 10) - 1;

/// What a program is loaded with.
pub(super) struct ProgramBtf {
    pub btf: Vec<u8>,
    /// `struct bpf_func_info`, in the kernel's bytes.
    pub func_info: Vec<u8>,
    /// `struct bpf_line_info`, in the kernel's bytes.
    pub line_info: Vec<u8>,
}

/// The object's types alone, for maps.
pub(super) fn for_maps(types: &Btf) -> Result<Vec<u8>, BtfError> {
    accepted(types, &HashSet::new())?.finish()
}

/// The object's types with the records of a program. An object without types gets those that the records need.
pub(super) fn for_program(
    types: Option<&Btf>,
    code: &LinkedProgram,
) -> Result<ProgramBtf, BtfError> {
    let functions = || code.functions.iter().enumerate();
    let is_static = |&(at, function): &(usize, &FnRange)| {
        at > 0 && function.linkage == skep_obj::Linkage::Static
    };
    let statics: HashSet<TypeId> = functions()
        .filter(is_static)
        .filter_map(|(_, function)| function.btf_type)
        .collect();
    let mut builder = match types {
        Some(types) => accepted(types, &statics)?,
        None => Builder::new(),
    };
    let mut proto = None;
    let mut func_info = Vec::new();
    for (at, function) in functions() {
        let is_func = |id: &TypeId| {
            types.is_some_and(|types| types.kind(*id).is_ok_and(|kind| kind == Kind::Func))
        };
        let id = function.btf_type.filter(is_func).unwrap_or_else(|| {
            let proto = *proto.get_or_insert_with(|| {
                let int = builder.add_int("int", 4, Encoding::SIGNED);
                builder.add_func_proto(int, &[])
            });
            // Without a prototype the verifier must look at calls, not at the function by itself.
            let linkage = if at > 0 {
                Linkage::Static
            } else {
                Linkage::Global
            };
            builder.add_func(&identifier(&function.name), proto, linkage)
        });
        words(&mut func_info, [function.start as u32, id.0]);
    }
    let mut strings = Strings::new(None);
    let line_info = line_records(code, &mut strings)?;
    Ok(ProgramBtf {
        btf: builder.finish_with(&mut strings)?,
        func_info,
        line_info,
    })
}

fn words<const N: usize>(out: &mut Vec<u8>, words: [u32; N]) {
    out.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
}

/// One record a change of line; the kernel wants one at the start of each function, in rising order.
fn line_records(code: &LinkedProgram, strings: &mut Strings) -> Result<Vec<u8>, BtfError> {
    let mut records = Vec::new();
    if code.lines.is_empty() {
        return Ok(records);
    }
    let mut last = None;
    let mut lines = code.lines.iter().peekable();
    for function in &code.functions {
        let end = (function.start + function.len) as u32;
        while let Some(line) = lines.next_if(|line| line.insn_off < end) {
            if last.is_none_or(|last| last < function.start as u32)
                && line.insn_off > function.start as u32
            {
                words(&mut records, [function.start as u32, 0, 0, 0]);
            }
            let is_second_half = code
                .insns
                .get(line.insn_off as usize)
                .is_none_or(|insn| insn.code == 0);
            if is_second_half || last.is_some_and(|last| line.insn_off <= last) {
                continue;
            }
            last = Some(line.insn_off);
            let place = line.line.min(LINE_MAX) << 10 | line.col.min(COLUMN_MAX);
            let (file, text) = (strings.add(&line.file)?, strings.add(&line.line_text)?);
            words(&mut records, [line.insn_off, file, text, place]);
        }
        if last.is_none_or(|last| last < function.start as u32) {
            last = Some(function.start as u32);
            words(&mut records, [function.start as u32, 0, 0, 0]);
        }
    }
    Ok(records)
}

/// A copy of the types under the same ids, without what the kernel refuses.
fn accepted(types: &Btf, statics: &HashSet<TypeId>) -> Result<Builder, BtfError> {
    let mut builder = Builder::new();
    // Stands for the types of externs, which may have none: comes after all others.
    let int = TypeId(types.len());
    for id in types.own_ids() {
        let nothing = TypeDef::Struct {
            name: String::new(),
            size: 0,
            members: Vec::new(),
        };
        let mut def = TypeDef::of(&types.ty(id)?).unwrap_or_else(|| nothing.clone());
        match &mut def {
            TypeDef::Func { name, linkage, .. } => {
                if *linkage != Linkage::Global || statics.contains(&id) {
                    *linkage = Linkage::Static;
                }
                *name = identifier(name);
            }
            TypeDef::FuncProto { params, .. } => {
                let count = params.len();
                for (at, param) in params.iter_mut().enumerate() {
                    // The last one of type void stands for `...` and has no name.
                    if param.name.is_empty() && !(at + 1 == count && param.ty == TypeId::VOID) {
                        param.name = format!("arg{at}");
                    }
                }
            }
            TypeDef::Var {
                name,
                target,
                linkage,
            } => {
                if *linkage == Linkage::Extern {
                    *linkage = Linkage::Global;
                }
                if types.size_of(*target).is_err() {
                    *target = int;
                }
                *name = identifier(name);
            }
            TypeDef::DataSec { size, vars, .. } => {
                let is_var = |var: TypeId| types.kind(var).is_ok_and(|kind| kind == Kind::Var);
                vars.sort_by_key(|var| var.offset);
                let mut end = 0u32;
                let fits = vars.iter().all(|var| {
                    let starts_after = var.offset >= end;
                    end = var.offset.saturating_add(var.size);
                    starts_after
                        && var.size > 0
                        && end <= *size
                        && is_var(var.ty)
                        && types.size_of(var.ty).is_ok_and(|size| size <= var.size)
                });
                if !fits || vars.is_empty() || *size == 0 {
                    def = nothing;
                }
            }
            TypeDef::Struct { name, .. }
            | TypeDef::Union { name, .. }
            | TypeDef::Enum { name, .. }
            | TypeDef::Enum64 { name, .. }
            | TypeDef::Fwd { name, .. }
            | TypeDef::Typedef { name, .. }
                if !name.is_empty() =>
            {
                *name = identifier(name);
            }
            _ => {}
        }
        builder.add(def);
    }
    builder.add_int("int", 4, Encoding::SIGNED);
    Ok(builder)
}

/// A name of the characters that the kernel allows.
fn identifier(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let mut name: String = name
        .chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .take(500)
        .collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        name.insert(0, '_');
    }
    name
}
