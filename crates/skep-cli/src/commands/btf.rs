//! `skep btf`: the types of an object or of the kernel, as C, as a list, or as JSON.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use skep_btf::{Btf, Ty, TypeId, format_c};

use crate::exit::Failure;
use crate::output;

/// Print types: of an object file, or of the kernel (/sys/kernel/btf/vmlinux).
#[derive(Args)]
pub struct BtfCommand {
    /// ELF object, or a file that is BTF as a whole.
    file: String,
    /// Only types of this name, with `struct`, `union` or `enum` before it or not.
    #[arg(num_args = 0..=2)]
    name: Vec<String>,
    /// How to print them.
    #[arg(long, value_enum, default_value_t = Format::C)]
    format: Format,
    /// Base types of split BTF (for a module's: /sys/kernel/btf/vmlinux).
    #[arg(long, value_name = "FILE")]
    base: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Definitions that a C compiler reads.
    C,
    /// One record a line, with ids.
    Raw,
    Json,
}

impl BtfCommand {
    pub fn run(&self, json: bool) -> Result<(), Failure> {
        let rejected = |e: skep_btf::BtfError| Failure::rejected(format!("{}: {e}", self.file));
        let base = match &self.base {
            Some(base) => Some(std::sync::Arc::new(open(base, None)?)),
            None => None,
        };
        let btf = open(&self.file, base)?;
        let ids = match self.name.last() {
            Some(name) => {
                let wanted = if self.name.len() == 2 {
                    self.name[0].as_str()
                } else {
                    ""
                };
                let ids: Vec<TypeId> = btf
                    .find_all(name)
                    .into_iter()
                    .filter(|&id| is_word(&btf, id, wanted))
                    .collect();
                if ids.is_empty() {
                    return Err(Failure::usage(format!(
                        "{}: no type named `{}`",
                        self.file,
                        self.name.join(" ")
                    )));
                }
                Some(ids)
            }
            None => None,
        };
        let format = if json { Format::Json } else { self.format };
        let text = match (format, ids) {
            (Format::C, None) => format_c::dump(&btf).map_err(rejected)?,
            (Format::C, Some(ids)) => {
                let mut text = String::new();
                for id in ids {
                    let declared = format_c::declare(&btf, id).map_err(rejected)?;
                    text.push_str(declared.trim_end());
                    text.push('\n');
                }
                text
            }
            (Format::Raw, ids) => {
                let mut text = String::new();
                for id in ids.unwrap_or_else(|| btf.own_ids().collect()) {
                    raw(&btf, id, &mut text).map_err(rejected)?;
                }
                text
            }
            (Format::Json, ids) => {
                let ids = ids.unwrap_or_else(|| btf.own_ids().collect());
                let types: Result<Vec<Value>, _> =
                    ids.into_iter().map(|id| type_json(&btf, id)).collect();
                output::json::document(&json!({ "types": types.map_err(rejected)? }))
            }
        };
        output::print(&text)
    }
}

/// The types of a file: the `.BTF` section of an ELF file, or the whole file.
fn open(path: &str, base: Option<std::sync::Arc<Btf>>) -> Result<Btf, Failure> {
    let bytes = super::read_file(path)?;
    let rejected = |e: &dyn std::fmt::Display| Failure::rejected(format!("{path}: {e}"));
    let is_btf = bytes.starts_with(&[0x9f, 0xeb]) || bytes.starts_with(&[0xeb, 0x9f]);
    let missing = || {
        Failure::rejected(format!(
            "{path}: no types: compile with `clang -g`, or declare some"
        ))
    };
    let bytes = if bytes.starts_with(b"\x7fELF") {
        skep_obj::elf::btf_section(&bytes)
            .map_err(|e| Failure::of_object(path, &e))?
            .ok_or_else(missing)?
    } else if !is_btf && std::str::from_utf8(&bytes).is_ok() {
        super::read_object(path, true)?
            .btf
            .ok_or_else(missing)?
            .raw()
            .to_vec()
    } else {
        bytes
    };
    match base {
        Some(base) => Btf::parse_split(base, bytes),
        None => Btf::parse(bytes),
    }
    .map_err(|e| rejected(&e))
}

fn is_word(btf: &Btf, id: TypeId, word: &str) -> bool {
    let kind = match btf.ty(id) {
        Ok(Ty::Struct(_)) => "struct",
        Ok(Ty::Union(_)) => "union",
        Ok(Ty::Enum(_) | Ty::Enum64(_)) => "enum",
        Ok(Ty::Typedef { .. }) => "typedef",
        Ok(Ty::Func { .. }) => "func",
        Ok(Ty::Var { .. }) => "var",
        _ => "",
    };
    word.is_empty() || word == kind
}

/// One type, in the form that `bpftool btf dump` made known.
fn raw(btf: &Btf, id: TypeId, out: &mut String) -> Result<(), skep_btf::BtfError> {
    let ty = btf.ty(id)?;
    let name = btf.name(id);
    let shown = if name.is_empty() { "(anon)" } else { name };
    let _ = write!(out, "[{}] {} '{shown}'", id.0, ty.kind());
    match ty {
        Ty::Void => {}
        Ty::Int(int) => {
            let encoding = match int.encoding {
                e if e.bool => "BOOL",
                e if e.char => "CHAR",
                e if e.signed => "SIGNED",
                _ => "(none)",
            };
            let _ = write!(
                out,
                " size={} bits_offset={} nr_bits={} encoding={encoding}",
                int.size, int.offset, int.bits
            );
        }
        Ty::Array { elem, index, len } => {
            let _ = write!(
                out,
                " type_id={} index_type_id={} nr_elems={len}",
                elem.0, index.0
            );
        }
        Ty::Struct(c) | Ty::Union(c) => {
            let _ = write!(out, " size={} vlen={}", c.size, c.members.len());
            for m in c.members.iter() {
                let shown = if m.name.is_empty() { "(anon)" } else { m.name };
                let _ = write!(
                    out,
                    "\n\t'{shown}' type_id={} bits_offset={}",
                    m.ty.0, m.bit_offset
                );
                if m.bitfield_size != 0 {
                    let _ = write!(out, " bitfield_size={}", m.bitfield_size);
                }
            }
        }
        Ty::Enum(e) | Ty::Enum64(e) => {
            let encoding = if e.signed { "SIGNED" } else { "UNSIGNED" };
            let _ = write!(
                out,
                " encoding={encoding} size={} vlen={}",
                e.size,
                e.values.len()
            );
            for v in e.values.iter() {
                let _ = if e.signed {
                    write!(out, "\n\t'{}' val={}", v.name, v.value as i64)
                } else {
                    write!(out, "\n\t'{}' val={}", v.name, v.value)
                };
            }
        }
        Ty::Fwd { union, .. } => {
            let _ = write!(out, " fwd_kind={}", if union { "union" } else { "struct" });
        }
        Ty::Func { proto, linkage, .. } => {
            let _ = write!(
                out,
                " type_id={} linkage={}",
                proto.0,
                linkage_word(linkage)
            );
        }
        Ty::FuncProto { ret, params } => {
            let _ = write!(out, " ret_type_id={} vlen={}", ret.0, params.len());
            for p in params.iter() {
                let shown = if p.name.is_empty() { "(anon)" } else { p.name };
                let _ = write!(out, "\n\t'{shown}' type_id={}", p.ty.0);
            }
        }
        Ty::Var {
            target, linkage, ..
        } => {
            let _ = write!(
                out,
                " type_id={}, linkage={}",
                target.0,
                linkage_word(linkage)
            );
        }
        Ty::DataSec { size, vars, .. } => {
            let _ = write!(out, " size={size} vlen={}", vars.len());
            for v in vars.iter() {
                let _ = write!(
                    out,
                    "\n\ttype_id={} offset={} size={} (VAR '{}')",
                    v.ty.0,
                    v.offset,
                    v.size,
                    btf.name(v.ty)
                );
            }
        }
        Ty::Float { size, .. } => {
            let _ = write!(out, " size={size}");
        }
        Ty::DeclTag {
            target, component, ..
        } => {
            let _ = write!(out, " type_id={} component_idx={component}", target.0);
        }
        Ty::Ptr { target }
        | Ty::Typedef { target, .. }
        | Ty::Volatile { target }
        | Ty::Const { target }
        | Ty::Restrict { target }
        | Ty::TypeTag { target, .. } => {
            let _ = write!(out, " type_id={}", target.0);
        }
    }
    out.push('\n');
    Ok(())
}

fn linkage_word(linkage: skep_btf::ty::Linkage) -> String {
    use skep_btf::ty::Linkage;
    match linkage {
        Linkage::Static => "static".into(),
        Linkage::Global => "global".into(),
        Linkage::Extern => "extern".into(),
        Linkage::Other(other) => other.to_string(),
    }
}

fn type_json(btf: &Btf, id: TypeId) -> Result<Value, skep_btf::BtfError> {
    let ty = btf.ty(id)?;
    let mut out = json!({ "id": id.0, "kind": ty.kind().to_string() });
    let mut set = |key: &str, value: Value| out[key] = value;
    if !btf.name(id).is_empty() {
        set("name", btf.name(id).into());
    }
    match ty {
        Ty::Void => {}
        Ty::Int(int) => {
            set("size", int.size.into());
            set("bits", int.bits.into());
            set("bits_offset", int.offset.into());
            set("signed", int.encoding.signed.into());
            set("char", int.encoding.char.into());
            set("bool", int.encoding.bool.into());
        }
        Ty::Array { elem, index, len } => {
            set("type_id", elem.0.into());
            set("index_type_id", index.0.into());
            set("length", len.into());
        }
        Ty::Struct(c) | Ty::Union(c) => {
            set("size", c.size.into());
            let member = |m: skep_btf::ty::Member<'_>| json!({ "name": m.name, "type_id": m.ty.0, "bits_offset": m.bit_offset, "bitfield_size": m.bitfield_size });
            set("members", c.members.iter().map(member).collect());
        }
        Ty::Enum(e) | Ty::Enum64(e) => {
            set("size", e.size.into());
            set("signed", e.signed.into());
            let value = |v: skep_btf::ty::EnumValue<'_>| {
                let number = if e.signed {
                    Value::from(v.value as i64)
                } else {
                    Value::from(v.value)
                };
                json!({ "name": v.name, "value": number })
            };
            set("values", e.values.iter().map(value).collect());
        }
        Ty::Fwd { union, .. } => set("union", union.into()),
        Ty::Func { proto, linkage, .. } => {
            set("type_id", proto.0.into());
            set("linkage", linkage_word(linkage).into());
        }
        Ty::FuncProto { ret, params } => {
            set("ret_type_id", ret.0.into());
            set(
                "params",
                params
                    .iter()
                    .map(|p| json!({ "name": p.name, "type_id": p.ty.0 }))
                    .collect(),
            );
        }
        Ty::Var {
            target, linkage, ..
        } => {
            set("type_id", target.0.into());
            set("linkage", linkage_word(linkage).into());
        }
        Ty::DataSec { size, vars, .. } => {
            set("size", size.into());
            let var = |v: skep_btf::ty::SecVar| json!({ "type_id": v.ty.0, "offset": v.offset, "size": v.size });
            set("vars", vars.iter().map(var).collect());
        }
        Ty::Float { size, .. } => set("size", size.into()),
        Ty::DeclTag {
            target, component, ..
        } => {
            set("type_id", target.0.into());
            set("component", component.into());
        }
        Ty::Ptr { target }
        | Ty::Typedef { target, .. }
        | Ty::Volatile { target }
        | Ty::Const { target }
        | Ty::Restrict { target }
        | Ty::TypeTag { target, .. } => set("type_id", target.0.into()),
    }
    Ok(out)
}
