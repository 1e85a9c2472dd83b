//! An object's types as the kernel takes them.
//!
//! A compiler writes what BPF_BTF_LOAD refuses: externs, and sections of kernel symbols without places. Invariant: ids stay
//! what they are, so that everything that refers to the object's types refers to these too.

use skep_btf::build::{Builder, ParamDef, SecVarDef, TypeDef};
use skep_btf::ty::{Encoding, Linkage};
use skep_btf::{Btf, BtfError, TypeId};
use skep_obj::LinkedProgram;

/// The bytes to load.
pub(super) fn loadable(btf: &Btf) -> Result<Vec<u8>, BtfError> {
    let mut builder = Builder::from_btf(btf)?;
    let defs: Vec<(TypeId, TypeDef)> = builder.defs().map(|(id, def)| (id, def.clone())).collect();
    let int = builder.add_int("int", 4, Encoding::SIGNED);
    let stand_in = builder.add_var("symbol", int, Linkage::Global);
    for (id, def) in defs {
        match def {
            TypeDef::Func {
                name,
                proto,
                linkage: Linkage::Extern,
            } => {
                name_parameters(&mut builder, proto)?;
                let linkage = Linkage::Global;
                builder.define(
                    id,
                    TypeDef::Func {
                        name,
                        proto,
                        linkage,
                    },
                )?;
            }
            TypeDef::Var {
                name,
                target,
                linkage: Linkage::Extern,
            } => {
                let linkage = Linkage::Global;
                builder.define(
                    id,
                    TypeDef::Var {
                        name,
                        target,
                        linkage,
                    },
                )?;
            }
            TypeDef::DataSec { name, vars, .. } if name == ".ksyms" => {
                let symbols = symbols(&mut builder, &vars, int, stand_in)?;
                let size = symbols.len() as u32 * 4;
                let vars = symbols;
                builder.define(id, TypeDef::DataSec { name, size, vars })?;
            }
            TypeDef::DataSec {
                name,
                size,
                mut vars,
            } => {
                vars.sort_by_key(|var| var.offset);
                builder.define(id, TypeDef::DataSec { name, size, vars })?;
            }
            _ => {}
        }
    }
    builder.finish()
}

/// The kernel wants a name for every parameter of a function.
fn name_parameters(builder: &mut Builder, proto: TypeId) -> Result<(), BtfError> {
    let Some(TypeDef::FuncProto { ret, params }) = builder.def(proto).cloned() else {
        return Ok(());
    };
    let params = params
        .into_iter()
        .enumerate()
        .map(
            |(at, param)| match param.name.is_empty() && param.ty != TypeId::VOID {
                true => ParamDef {
                    name: format!("arg{at}"),
                    ty: param.ty,
                },
                false => param,
            },
        )
        .collect();
    builder.define(proto, TypeDef::FuncProto { ret, params })
}

/// Kernel symbols have neither place nor size here: each becomes an `int` of its own, functions a variable.
fn symbols(
    builder: &mut Builder,
    vars: &[SecVarDef],
    int: TypeId,
    stand_in: TypeId,
) -> Result<Vec<SecVarDef>, BtfError> {
    let mut placed = Vec::with_capacity(vars.len());
    for (at, var) in vars.iter().enumerate() {
        let mut ty = var.ty;
        match builder.def(ty).cloned() {
            Some(TypeDef::Var { name, .. }) => {
                let (target, linkage) = (int, Linkage::Global);
                builder.define(
                    ty,
                    TypeDef::Var {
                        name,
                        target,
                        linkage,
                    },
                )?;
            }
            _ => ty = stand_in,
        }
        let offset = at as u32 * 4;
        placed.push(SecVarDef {
            ty,
            offset,
            size: 4,
        });
    }
    Ok(placed)
}

/// `bpf_func_info` records of a program; `None` if a function of it has no type.
pub(super) fn function_records(code: &LinkedProgram) -> Option<Vec<u8>> {
    let mut records = Vec::with_capacity(code.functions.len() * 8);
    for function in &code.functions {
        let start = u32::try_from(function.start).ok()?;
        records.extend(start.to_ne_bytes());
        records.extend(function.btf_type?.0.to_ne_bytes());
    }
    Some(records)
}
