//! A file as text that reads back as the same file, spans aside.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::file::{CORE_KINDS, ExternKind, File, Function, Init, Linkage, Map, RefTarget, Shape};
use crate::disasm::{self, Style};
use crate::map::flags;

/// The text of a file.
pub fn print(file: &File) -> String {
    let mut out = String::new();
    if let Some(license) = &file.license {
        let _ = writeln!(out, ".license {}", quoted(license.value.as_bytes()));
    }
    if let Some(version) = &file.kernel_version {
        let _ = writeln!(out, ".version {:#x}", version.value);
    }
    for declaration in &file.types {
        let _ = writeln!(out, "\n{}", declaration.value);
    }
    for map in &file.maps {
        let _ = writeln!(out, "\n.map {} {{", map.name);
        self::map(&mut out, map, 1);
        out.push_str("}\n");
    }
    if !file.globals.is_empty() {
        out.push('\n');
    }
    for global in &file.globals {
        let hidden = if global.is_static { "static " } else { "" };
        let _ = write!(
            out,
            ".global {} {hidden}{}",
            name(&global.section),
            global.declaration
        );
        if let Some(value) = &global.value {
            out.push_str(" = ");
            init(&mut out, value);
        }
        out.push('\n');
    }
    if !file.externs.is_empty() {
        out.push('\n');
    }
    for one in &file.externs {
        let weak = if one.weak { "weak " } else { "" };
        let kind = match one.kind {
            ExternKind::Kconfig => "kconfig",
            ExternKind::Ksym => "ksym",
            ExternKind::Kfunc => "kfunc",
        };
        let _ = writeln!(out, ".extern {weak}{kind} {}", one.declaration);
    }
    let mut section = ".text";
    for function in &file.functions {
        out.push('\n');
        if function.section != section {
            section = &function.section;
            let _ = writeln!(out, ".section {}", quoted(section.as_bytes()));
        }
        self::function(&mut out, function);
    }
    for raw in &file.raw {
        let _ = writeln!(out, "\n.raw {} {{", quoted(raw.name.as_bytes()));
        for line in raw.bytes.chunks(32) {
            out.push_str("    ");
            for byte in line {
                let _ = write!(out, "{byte:02x}");
            }
            out.push('\n');
        }
        out.push_str("}\n");
    }
    out
}

fn map(out: &mut String, map: &Map, depth: usize) {
    let pad = 4 * depth;
    let _ = writeln!(out, "{:pad$}type {}", "", map.map_type);
    for (word, shape) in [("key", &map.key), ("value", &map.value)] {
        let _ = match shape {
            Shape::None => Ok(()),
            Shape::Size(bytes) => writeln!(out, "{:pad$}{word}_size {bytes}", ""),
            Shape::Type(text) => writeln!(out, "{:pad$}{word} {text}", ""),
        };
    }
    if map.max_entries != 0 {
        let _ = writeln!(out, "{:pad$}max_entries {}", "", map.max_entries);
    }
    if map.flags != 0 {
        let mut left = map.flags;
        let mut words = Vec::new();
        for &(flag, name) in flags::ALL {
            if left & flag != 0 {
                left &= !flag;
                words.push(name.to_owned());
            }
        }
        if left != 0 {
            words.push(format!("{left:#x}"));
        }
        let _ = writeln!(out, "{:pad$}flags {}", "", words.join(" | "));
    }
    if map.map_extra != 0 {
        let _ = writeln!(out, "{:pad$}map_extra {:#x}", "", map.map_extra);
    }
    if let Some(node) = map.numa_node {
        let _ = writeln!(out, "{:pad$}numa_node {node}", "");
    }
    if map.pin_by_name {
        let _ = writeln!(out, "{:pad$}pinning by_name", "");
    }
    if let Some(inner) = &map.inner {
        let _ = writeln!(out, "{:pad$}inner {{", "");
        self::map(out, inner, depth + 1);
        let _ = writeln!(out, "{:pad$}}}", "");
    }
    for slot in &map.slots {
        let _ = writeln!(out, "{:pad$}[{}] = {}", "", slot.index, slot.target);
    }
}

fn init(out: &mut String, value: &Init) {
    let _ = match value {
        Init::Number(number) => write!(out, "{number}"),
        Init::Text(text) => write!(out, "{}", quoted(text)),
        Init::Address(name) => write!(out, "&{name}"),
        Init::Bytes(bytes) => {
            out.push_str("bytes \"");
            for byte in bytes {
                let _ = write!(out, "{byte:02x}");
            }
            write!(out, "\"")
        }
        Init::List(list) => {
            out.push_str("{ ");
            for (index, one) in list.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                init(out, one);
            }
            write!(out, " }}")
        }
    };
}

fn function(out: &mut String, function: &Function) {
    let linkage = match function.linkage {
        Linkage::Global => "",
        Linkage::Static => "static ",
        Linkage::Weak => "weak ",
    };
    let declaration = function.prototype.as_deref().unwrap_or(&function.name);
    let _ = writeln!(out, ".function {linkage}{declaration}");
    let mut labels = function.labels.iter().peekable();
    for (at, text) in disasm::lines(&function.insns, Style::Asm) {
        while let Some(label) = labels.next_if(|label| label.at <= at) {
            let _ = writeln!(out, "{}:", label.name);
        }
        let named = function.refs.iter().find(|one| one.at == at);
        let text = match named {
            Some(named) => reference(&named.target, function.insns[at].dst),
            None => {
                let to = function.insns[at]
                    .jump_offset()
                    .map(|offset| at as i64 + 1 + i64::from(offset));
                let label =
                    to.and_then(|to| function.labels.iter().find(|label| label.at as i64 == to));
                match (label, text.rfind(' ')) {
                    (Some(label), Some(blank)) => format!("{} {}", &text[..blank], label.name),
                    _ => text,
                }
            }
        };
        let _ = write!(out, "    {text}");
        for core in function.core.iter().filter(|core| core.at == at) {
            let kind = CORE_KINDS.get(core.kind as usize).unwrap_or(&"byte_off");
            let access = quoted(core.access.as_bytes());
            let _ = write!(
                out,
                " @core({kind}, {}, {access})",
                quoted(core.type_name.as_bytes())
            );
        }
        for line in function.lines.iter().filter(|line| line.at == at) {
            let (file, text) = (quoted(line.file.as_bytes()), quoted(line.text.as_bytes()));
            let _ = write!(
                out,
                " @line({file}, {}, {}, {text})",
                line.line, line.column
            );
        }
        out.push('\n');
    }
    for label in labels {
        let _ = writeln!(out, "{}:", label.name);
    }
}

/// The instruction that a reference stands for.
fn reference(target: &RefTarget, dst: u8) -> String {
    match target {
        RefTarget::Map(map) => format!("r{dst} = map {} ll", name(map)),
        RefTarget::MapValue { map, offset } => {
            format!("r{dst} = value {}{} ll", name(map), plus(*offset))
        }
        RefTarget::Global {
            name: global,
            offset,
        } => format!("r{dst} = global {}{} ll", name(global), plus(*offset)),
        RefTarget::Extern(one) => format!("r{dst} = extern {} ll", name(one)),
        RefTarget::FuncAddr(function) => format!("r{dst} = func {function} ll"),
        RefTarget::Call(function) => format!("call func {function}"),
        RefTarget::Kfunc(function) => format!("call kfunc {function}"),
    }
}

fn plus(offset: u32) -> String {
    if offset == 0 {
        String::new()
    } else {
        format!(" + {offset:#x}")
    }
}

/// A name, in quotes unless it is one word.
fn name(name: &str) -> String {
    let bytes = name.as_bytes();
    let plain = bytes
        .first()
        .is_some_and(|&c| super::token::is_word_start(c))
        && bytes.iter().all(|&c| super::token::is_word(c));
    if plain {
        name.to_owned()
    } else {
        quoted(bytes)
    }
}

fn quoted(text: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in text {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            0x20..=0x7e => out.push(byte as char),
            byte => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
    out
}
