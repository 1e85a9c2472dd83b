//! `skep inspect`: what an object holds, without loading it.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use skep_btf::core::Relocator;
use skep_btf::{Kind, format_c, value};
use skep_obj::{
    ExternKind, Function, InitialContents, MapKind, MapSpec, Object, Pinning, ProgramSpec,
    RelocTarget, SlotTarget,
};

use crate::exit::Failure;
use crate::output::{self, table::Table};

/// Show what an object holds: programs, maps, globals, externs, relocations, types.
#[derive(Args)]
pub struct Inspect {
    /// ELF object or text object; `-` reads standard input.
    file: String,
    /// Refuse `maps` sections of before BTF instead of reading them.
    #[arg(long)]
    no_legacy_maps: bool,
    /// List every relocation, also those of maps and calls.
    #[arg(long, short)]
    relocations: bool,
}

impl Inspect {
    pub fn run(&self, json: bool) -> Result<(), Failure> {
        let object = super::read_object(&self.file, !self.no_legacy_maps)?;
        let view = View { object: &object };
        let text = if json {
            output::json::document(&view.json())
        } else {
            view.table(self.relocations)
        };
        output::print(&text)
    }
}

struct View<'a> {
    object: &'a Object,
}

impl View<'_> {
    fn type_name(&self, ty: Option<skep_btf::TypeId>) -> String {
        match (&self.object.btf, ty) {
            (Some(btf), Some(ty)) => format_c::type_name(btf, ty),
            _ => String::new(),
        }
    }

    fn reloc_words(&self, target: RelocTarget) -> String {
        let o = self.object;
        let map = |m: skep_obj::MapIdx| o.maps.get(m.0).map_or("?", |m| m.def.name.as_str());
        let function = |f: skep_obj::FnIdx| o.functions.get(f.0).map_or("?", |f| f.name.as_str());
        match target {
            RelocTarget::Map(m) => format!("map {}", map(m)),
            RelocTarget::MapValue { map: m, offset } => format!("{}+{offset}", map(m)),
            RelocTarget::Call(f) => format!("call {}", function(f)),
            RelocTarget::FuncAddr(f) => format!("address of {}", function(f)),
            RelocTarget::Extern(e) => format!(
                "extern {}",
                o.externs.get(e.0).map_or("?", |e| e.name.as_str())
            ),
        }
    }

    /// Each CO-RE record of a function in words: slot, kind, what C would write.
    fn core_words(&self, function: &Function) -> Vec<(u32, String, String)> {
        let Some(btf) = &self.object.btf else {
            return Vec::new();
        };
        // Its own types as target: only the words are wanted.
        let targets = [Arc::clone(btf)];
        let mut relocator = Relocator::new(btf, &targets);
        let words = |relo: &skep_btf::ext::CoreRelo, relocator: &mut Relocator<'_>| match relocator
            .resolve(relo)
        {
            Ok(resolved) => resolved.what,
            Err(_) => format!("{} {}", format_c::type_name(btf, relo.type_id), relo.access),
        };
        function
            .core
            .iter()
            .map(|r| (r.insn_off, r.kind.to_string(), words(r, &mut relocator)))
            .collect()
    }

    fn table(&self, all_relocations: bool) -> String {
        let o = self.object;
        let mut out = String::new();
        let endian = if o.endian == skep_spec::insn::Endian::Little {
            "little"
        } else {
            "big"
        };
        let _ = writeln!(
            out,
            "{}: {endian}-endian, license {}{}",
            if o.name.is_empty() { "object" } else { &o.name },
            o.license
                .as_deref()
                .map_or("not given".to_owned(), |l| format!("{l:?}")),
            o.kern_version
                .map_or(String::new(), |v| format!(", kernel version {v:#x}")),
        );
        let mut section = |title: &str, table: Table| {
            let text = table.render("  ");
            if !text.is_empty() {
                let _ = write!(out, "\n{title}\n{text}");
            }
        };

        let mut table = Table::new(&[
            "name", "type", "attach", "target", ">insns", "flags", "section",
        ]);
        for p in &o.programs {
            table.row([
                p.name.clone(),
                p.program_type.map_or("?".into(), |t| t.to_string()),
                p.attach_type.map_or(String::new(), |t| t.to_string()),
                p.attach_to.clone().unwrap_or_default(),
                self.insns_of(p).to_string(),
                program_flags(p).join(" "),
                p.section.clone(),
            ]);
        }
        section("programs", table);

        let mut table = Table::new(&["name", "linkage", ">insns", "section"]);
        for (index, f) in o.functions.iter().enumerate() {
            if !o.programs.iter().any(|p| p.function.0 == index) {
                table.row([
                    f.name.clone(),
                    f.linkage.to_string(),
                    f.insns.len().to_string(),
                    f.section.clone(),
                ]);
            }
        }
        section("subprograms", table);

        let mut table = Table::new(&[
            "name", "type", ">key", ">value", ">entries", "flags", "types", "initial",
        ]);
        for m in &o.maps {
            table.row([
                m.def.name.clone(),
                m.def.map_type.to_string(),
                m.def.key_size.to_string(),
                m.def.value_size.to_string(),
                m.def.max_entries.to_string(),
                map_flags(m).join(" "),
                self.map_types(m),
                self.initial_words(m),
            ]);
        }
        section("maps", table);

        let mut table = Table::new(&["name", "section", ">offset", ">size", "type", "value"]);
        for g in o.globals() {
            let map = &o.maps[g.map.0];
            if map.kind == MapKind::Kconfig {
                continue;
            }
            table.row([
                g.name.clone(),
                map.def.name.clone(),
                g.offset.to_string(),
                g.size.to_string(),
                self.type_name(Some(g.ty)),
                self.global_value(&g, 60),
            ]);
        }
        section("globals", table);

        let mut table = Table::new(&["name", "kind", "weak", "type"]);
        for e in &o.externs {
            table.row([
                e.name.clone(),
                extern_words(&e.kind).to_owned(),
                if e.weak { "weak".into() } else { String::new() },
                self.declaration(e.btf_type),
            ]);
        }
        section("externs", table);

        let mut table = Table::new(&["name", "type", "members", "attach"]);
        for ops in &o.struct_ops {
            table.row([
                ops.name.clone(),
                self.type_name(Some(ops.type_id)),
                ops.functions
                    .iter()
                    .filter_map(|(_, f)| o.function(*f))
                    .map(|f| f.name.clone())
                    .collect::<Vec<_>>()
                    .join(" "),
                if ops.link {
                    "link".into()
                } else {
                    "map".into()
                },
            ]);
        }
        section("struct_ops", table);

        let mut table = Table::new(&["function", ">insn", "kind", "what"]);
        for f in &o.functions {
            for (at, kind, what) in self.core_words(f) {
                table.row([f.name.clone(), at.to_string(), kind, what]);
            }
        }
        section("CO-RE relocations", table);

        if all_relocations {
            let mut table = Table::new(&["function", ">insn", "target"]);
            for f in &o.functions {
                for r in &f.relocs {
                    table.row([f.name.clone(), r.at.to_string(), self.reloc_words(r.target)]);
                }
            }
            section("relocations", table);
        }

        let mut table = Table::new(&["section", ">size", ">type", ">flags"]);
        for u in &o.unknown_sections {
            table.row([
                u.name.clone(),
                u.size.to_string(),
                u.section_type.to_string(),
                format!("{:#x}", u.section_flags),
            ]);
        }
        section("sections that are not understood (kept)", table);

        match &o.btf {
            Some(btf) => {
                let kinds: Vec<String> = self
                    .type_counts()
                    .into_iter()
                    .map(|(kind, n)| format!("{n} {kind}"))
                    .collect();
                let _ = writeln!(
                    out,
                    "\nBTF: {} types ({} bytes): {}",
                    btf.len() - 1,
                    btf.raw().len(),
                    kinds.join(", ")
                );
            }
            None => out.push_str("\nno BTF types\n"),
        }
        for note in &o.notes.0 {
            let _ = writeln!(out, "{}: {}", note.severity, note.headline);
        }
        out
    }

    fn type_counts(&self) -> Vec<(Kind, usize)> {
        let Some(btf) = &self.object.btf else {
            return Vec::new();
        };
        let mut counts = vec![0usize; Kind::ALL.len()];
        for id in btf.own_ids() {
            if let Ok(kind) = btf.kind(id)
                && let Some(at) = Kind::ALL.iter().position(|&k| k == kind)
            {
                counts[at] += 1;
            }
        }
        Kind::ALL
            .iter()
            .copied()
            .zip(counts)
            .filter(|(_, n)| *n != 0)
            .collect()
    }

    fn insns_of(&self, program: &ProgramSpec) -> usize {
        // With the subprograms it reaches, as it is loaded.
        let alone = || {
            self.object
                .function(program.function)
                .map_or(0, |f| f.insns.len())
        };
        self.object
            .link(program)
            .map_or_else(|_| alone(), |linked| linked.insns.len())
    }

    fn map_types(&self, map: &MapSpec) -> String {
        if map.kind.is_data() {
            return String::new();
        }
        match (map.key_type, map.value_type) {
            (None, None) => String::new(),
            (key, value) => {
                let word = |ty| match self.type_name(ty) {
                    name if name.is_empty() => "-".to_owned(),
                    name => name,
                };
                format!("{} -> {}", word(key), word(value))
            }
        }
    }

    fn initial_words(&self, map: &MapSpec) -> String {
        match &map.initial {
            InitialContents::None => String::new(),
            InitialContents::Bytes(bytes) => format!("{} bytes", bytes.len()),
            InitialContents::Slots(slots) => {
                let words: Vec<String> = slots
                    .iter()
                    .map(|(slot, target)| format!("{slot}: {}", self.slot_name(*target)))
                    .collect();
                words.join(", ")
            }
        }
    }

    fn slot_name(&self, target: SlotTarget) -> &str {
        match target {
            SlotTarget::Map(m) => self.object.maps.get(m.0).map_or("?", |m| &m.def.name),
            SlotTarget::Program(f) => self.object.functions.get(f.0).map_or("?", |f| &f.name),
        }
    }

    fn global_value(&self, global: &skep_obj::globals::GlobalRef, chars_max: usize) -> String {
        let (Some(btf), Some(bytes)) = (&self.object.btf, self.object.global_bytes(global)) else {
            return String::new();
        };
        let text = value::format(btf, global.ty, &bytes).to_string();
        match text.char_indices().nth(chars_max) {
            Some((at, _)) => format!("{}...", &text[..at]),
            None => text,
        }
    }

    fn declaration(&self, ty: Option<skep_btf::TypeId>) -> String {
        let (Some(btf), Some(ty)) = (&self.object.btf, ty) else {
            return String::new();
        };
        let (name, target) = match btf.ty(ty) {
            Ok(skep_btf::Ty::Var { name, target, .. }) => (name, target),
            Ok(skep_btf::Ty::Func { name, proto, .. }) => (name, proto),
            _ => return String::new(),
        };
        format_c::declaration(btf, target, name).unwrap_or_default()
    }

    fn json(&self) -> Value {
        let o = self.object;
        let programs: Vec<Value> = o
            .programs
            .iter()
            .map(|p| {
                json!({
                    "name": p.name,
                    "section": p.section,
                    "type": p.program_type.map(|t| t.to_string()),
                    "attach_type": p.attach_type.map(|t| t.to_string()),
                    "attach_to": p.attach_to,
                    "insns": self.insns_of(p),
                    "autoload": p.autoload,
                    "autoattach": p.autoattach,
                    "sleepable": p.sleepable,
                    "flags": p.flags,
                })
            })
            .collect();
        let functions: Vec<Value> = o
            .functions
            .iter()
            .map(|f| {
                let relocs: Vec<Value> = f
                    .relocs
                    .iter()
                    .map(|r| json!({ "insn": r.at, "target": self.reloc_words(r.target) }))
                    .collect();
                let core: Vec<Value> = self
                    .core_words(f)
                    .into_iter()
                    .map(|(at, kind, what)| json!({ "insn": at, "kind": kind, "what": what }))
                    .collect();
                json!({
                    "name": f.name,
                    "section": f.section,
                    "linkage": f.linkage.to_string(),
                    "insns": f.insns.len(),
                    "lines": f.lines.len(),
                    "relocations": relocs,
                    "core_relocations": core,
                })
            })
            .collect();
        let globals: Vec<Value> = o
            .globals()
            .iter()
            .map(|g| {
                let value: Option<Value> = match (&o.btf, o.global_bytes(g)) {
                    (Some(btf), Some(bytes)) => {
                        serde_json::from_str(&value::format(btf, g.ty, &bytes).to_json()).ok()
                    }
                    _ => None,
                };
                json!({
                    "name": g.name,
                    "map": o.maps[g.map.0].def.name,
                    "offset": g.offset,
                    "size": g.size,
                    "type": self.type_name(Some(g.ty)),
                    "value": value,
                })
            })
            .collect();
        let externs: Vec<Value> = o
            .externs
            .iter()
            .map(|e| {
                json!({
                    "name": e.name,
                    "kind": extern_words(&e.kind),
                    "weak": e.weak,
                    "declaration": self.declaration(e.btf_type),
                })
            })
            .collect();
        let struct_ops: Vec<Value> = o
            .struct_ops
            .iter()
            .map(|s| {
                let functions: Vec<Value> = s
                    .functions
                    .iter()
                    .map(|(offset, f)| json!({ "offset": offset, "function": o.function(*f).map(|f| &f.name) }))
                    .collect();
                json!({ "name": s.name, "type": self.type_name(Some(s.type_id)), "link": s.link, "functions": functions })
            })
            .collect();
        let unknown: Vec<Value> = o
            .unknown_sections
            .iter()
            .map(|u| json!({ "name": u.name, "type": u.section_type, "flags": u.section_flags, "size": u.size }))
            .collect();
        let types: serde_json::Map<String, Value> = self
            .type_counts()
            .into_iter()
            .map(|(kind, n)| (kind.to_string(), n.into()))
            .collect();
        json!({
            "name": o.name,
            "endian": if o.endian == skep_spec::insn::Endian::Little { "little" } else { "big" },
            "license": o.license,
            "kernel_version": o.kern_version,
            "programs": programs,
            "functions": functions,
            "maps": o.maps.iter().map(|m| self.map_json(m)).collect::<Vec<_>>(),
            "globals": globals,
            "externs": externs,
            "struct_ops": struct_ops,
            "btf": o.btf.as_ref().map(|btf| json!({ "types": btf.len() - 1, "bytes": btf.raw().len(), "kinds": types })),
            "unknown_sections": unknown,
            "notes": o.notes.0.iter().map(|n| json!({ "id": n.id, "severity": n.severity.name(), "text": n.headline })).collect::<Vec<_>>(),
        })
    }

    fn map_json(&self, map: &MapSpec) -> Value {
        let slots = match &map.initial {
            InitialContents::Slots(slots) => slots
                .iter()
                .map(|(slot, t)| json!({ "key": slot, "target": self.slot_name(*t) }))
                .collect(),
            _ => Vec::new(),
        };
        json!({
            "name": map.def.name,
            "section": map.section,
            "type": map.def.map_type.to_string(),
            "key_size": map.def.key_size,
            "value_size": map.def.value_size,
            "max_entries": map.def.max_entries,
            "flags": map.def.flags,
            "flag_names": map_flags(map),
            "map_extra": map.def.map_extra,
            "numa_node": map.def.numa_node,
            "key_type": map.key_type.map(|t| self.type_name(Some(t))),
            "value_type": map.value_type.map(|t| self.type_name(Some(t))),
            "frozen": map.frozen,
            "inner": map.inner.as_ref().map(|inner| self.map_json(inner)),
            "initial_elements": slots,
            "initial_bytes": match &map.initial { InitialContents::Bytes(b) => Some(b.len()), _ => None },
        })
    }
}

fn program_flags(program: &ProgramSpec) -> Vec<String> {
    let mut out = Vec::new();
    if !program.autoload {
        out.push("not-autoloaded".into());
    }
    if program.sleepable {
        out.push("sleepable".into());
    }
    if program.flags & skep_spec::program::flags::XDP_HAS_FRAGS != 0 {
        out.push("frags".into());
    }
    out
}

fn map_flags(map: &MapSpec) -> Vec<String> {
    let mut out: Vec<String> = skep_spec::map::flags::ALL
        .iter()
        .filter(|(bit, _)| map.def.flags & bit != 0)
        .map(|(_, name)| name.trim_start_matches("BPF_F_").to_lowercase())
        .collect();
    match map.pinning {
        Pinning::None => {}
        Pinning::ByName => out.push("pin-by-name".into()),
        Pinning::Other(other) => out.push(format!("pinning-{other}")),
    }
    if map.weak {
        out.push("weak".into());
    }
    out
}

fn extern_words(kind: &ExternKind) -> &'static str {
    match kind {
        ExternKind::Kconfig { .. } => "kconfig",
        ExternKind::KsymTyped => "ksym",
        ExternKind::KsymUntyped => "ksym (untyped)",
        ExternKind::Kfunc => "kfunc",
        ExternKind::Function => "function of another object",
        ExternKind::Variable => "variable of another object",
    }
}
