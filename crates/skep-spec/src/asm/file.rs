//! What a file of assembly text says, before names become maps, types and relocations.
//!
//! Invariants: jumps are resolved, so only what crosses a function is left in [`Function::refs`]; every position `at`
//! counts slots from the start of its function and lies within it; a wide load with a reference has both slots, with
//! zero immediates where the reference decides.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use skep_diag::Span;

use crate::insn::Insn;
use crate::map::MapType;

/// A value and where it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub span: Span,
}

/// A whole object as text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct File {
    /// `.license "GPL"`
    pub license: Option<Spanned<String>>,
    /// `.version 0x60c00`
    pub kernel_version: Option<Spanned<u32>>,
    /// C declarations of types, as they were written, each with its `;`, in their order.
    pub types: Vec<Spanned<String>>,
    /// `.map`
    pub maps: Vec<Map>,
    /// `.global`
    pub globals: Vec<Global>,
    /// `.extern`
    pub externs: Vec<Extern>,
    /// `.function`, with the section that it was written in.
    pub functions: Vec<Function>,
    /// `.raw`
    pub raw: Vec<RawSection>,
}

/// `.map NAME { ... }`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Map {
    /// Its name; empty for an inner map.
    pub name: String,
    /// Where the name is.
    pub span: Span,
    /// `type hash`
    pub map_type: MapType,
    /// `key u32` or `key_size 4`
    pub key: Shape,
    /// `value struct stat` or `value_size 8`
    pub value: Shape,
    /// `max_entries 1024`
    pub max_entries: u32,
    /// `flags BPF_F_NO_PREALLOC | BPF_F_MMAPABLE`
    pub flags: u32,
    /// `map_extra 5`
    pub map_extra: u64,
    /// `numa_node 0`
    pub numa_node: Option<u32>,
    /// `pinning by_name`
    pub pin_by_name: bool,
    /// `inner { ... }`: what the values of a map of maps are like.
    pub inner: Option<Box<Map>>,
    /// `[3] = name`: maps of a map of maps, programs of a prog_array.
    pub slots: Vec<Slot>,
}

/// What a key or a value is like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Nothing is said.
    None,
    /// So many bytes.
    Size(u32),
    /// A C type: `u32`, `struct event`, `u8[16]`.
    Type(String),
}

/// One initialised element.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slot {
    /// Its key.
    pub index: u32,
    /// The map or function that it holds.
    pub target: String,
    /// Where that is written.
    pub span: Span,
}

/// `.global SECTION DECLARATION [= VALUE]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Global {
    /// The variable's name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// `.rodata`, `.data`, `.bss`, or any of these with more after a dot.
    pub section: String,
    /// Whether it is seen from other objects (not marked `static`).
    pub is_static: bool,
    /// The C declaration without `static` and value: `const char name[16]`.
    pub declaration: String,
    /// What it starts with; zeros if nothing is said.
    pub value: Option<Init>,
}

/// The value of a variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Init {
    /// `-5`
    Number(i128),
    /// `"text"`
    Text(Vec<u8>),
    /// `{ 1, 2, 3 }`, members and elements in their order.
    List(Vec<Init>),
    /// `bytes "00ff"`: the memory itself.
    Bytes(Vec<u8>),
    /// `&name`: the address of a function, map or variable.
    Address(String),
}

/// `.extern [weak] KIND DECLARATION`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extern {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// What it is.
    pub kind: ExternKind,
    /// Whether it may be missing.
    pub weak: bool,
    /// The C declaration: `u32 CONFIG_HZ`, `int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end)`.
    pub declaration: String,
}

/// What an extern is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExternKind {
    /// A value of the kernel's configuration.
    Kconfig,
    /// A variable of the kernel.
    Ksym,
    /// A function of the kernel.
    Kfunc,
}

/// `.function [static|weak] DECLARATION` and the instructions after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// The section, as `.section` names it; `.text` before any.
    pub section: String,
    /// Who sees it.
    pub linkage: Linkage,
    /// The C prototype, if more than the name is written: `int handle(struct xdp_md *ctx)`.
    pub prototype: Option<String>,
    /// Its slots.
    pub insns: Vec<Insn>,
    /// Where each slot was written.
    pub spans: Vec<Span>,
    /// What its instructions refer to by name.
    pub refs: Vec<Ref>,
    /// CO-RE relocations.
    pub core: Vec<CoreNote>,
    /// Source lines.
    pub lines: Vec<LineNote>,
    /// Labels, by position.
    pub labels: Vec<Label>,
}

/// Who sees a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Linkage {
    /// Everyone.
    #[default]
    Global,
    /// Its own object only.
    Static,
    /// Everyone, unless there is another of that name.
    Weak,
}

/// A name in an instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ref {
    /// The slot.
    pub at: usize,
    /// What it names.
    pub target: RefTarget,
    /// Where the name is written.
    pub span: Span,
}

/// What an instruction names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RefTarget {
    /// `r1 = map NAME ll`
    Map(String),
    /// `r1 = value NAME + OFFSET ll`: into the first value of a map, or into a section's map by the section's name.
    MapValue {
        /// The map, or a section such as `.rodata`.
        map: String,
        /// Byte offset.
        offset: u32,
    },
    /// `r1 = global NAME + OFFSET ll`
    Global {
        /// The variable.
        name: String,
        /// Byte offset within it.
        offset: u32,
    },
    /// `r1 = extern NAME ll`
    Extern(String),
    /// `r1 = func NAME ll`
    FuncAddr(String),
    /// `call NAME` of a function of the file.
    Call(String),
    /// `call kfunc NAME`
    Kfunc(String),
}

/// `@core(KIND, TYPE, "ACCESS")`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoreNote {
    /// The slot to patch.
    pub at: usize,
    /// The word of libbpf for the kind: `byte_off`, `field_exists`, ... and its number.
    pub kind: u32,
    /// The root type: `struct task_struct`.
    pub type_name: String,
    /// The access string: `0:1:2`.
    pub access: String,
    /// Where it is written.
    pub span: Span,
}

/// The kinds of CO-RE relocation by number, as `enum bpf_core_relo_kind` orders them, in libbpf's words.
pub const CORE_KINDS: [&str; 13] = [
    "byte_off",
    "byte_sz",
    "field_exists",
    "signed",
    "lshift_u64",
    "rshift_u64",
    "local_type_id",
    "target_type_id",
    "type_exists",
    "type_size",
    "enumval_exists",
    "enumval_value",
    "type_matches",
];

/// `@line("FILE", LINE, COLUMN, "TEXT")`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineNote {
    /// The slot from which on the line holds.
    pub at: usize,
    /// The source file.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1; 0 if unknown.
    pub column: u32,
    /// The source line's text.
    pub text: String,
}

/// A label.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// The slot that it stands before; one past the last for a label at the end.
    pub at: usize,
    /// Its name.
    pub name: String,
}

/// `.raw "SECTION" { HEX }`: a section as bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawSection {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// Its bytes.
    pub bytes: Vec<u8>,
}
