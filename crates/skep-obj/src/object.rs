//! The `Object`: programs, functions, maps and symbols as plain data.
//!
//! Invariants: every index ([`FnIdx`], [`MapIdx`], [`ExternIdx`]) held inside an object that this crate
//! made is in range; instruction positions are counted in 8-byte slots from the start of their function.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use skep_btf::ext::{CoreRelo, LineInfo};
use skep_btf::{Btf, TypeId};
use skep_diag::Diagnostics;
use skep_spec::insn::{Endian, Insn};
use skep_spec::map::MapDef;
use skep_spec::program::{AttachType, ProgramType};

/// Index of a function in [`Object::functions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FnIdx(pub usize);

/// Index of a map in [`Object::maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapIdx(pub usize);

/// Index of an extern in [`Object::externs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExternIdx(pub usize);

/// How [`Object::parse`] reads a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParseOptions {
    /// Name of the object; used in messages and as a prefix by loaders.
    pub name: String,
    /// Read the `maps` sections of before BTF (`struct bpf_map_def`, iproute2's `struct bpf_elf_map`).
    pub legacy_maps: bool,
}

/// One BPF object file, as data.
#[derive(Clone, Debug)]
pub struct Object {
    /// Name given by the caller of [`Object::parse`].
    pub name: String,
    /// Byte order of instructions and data.
    pub endian: Endian,
    /// Text of the `license` section.
    pub license: Option<String>,
    /// Number of the `version` section.
    pub kern_version: Option<u32>,
    /// Entry points, in file order.
    pub programs: Vec<ProgramSpec>,
    /// Every function: those of programs and subprograms.
    pub functions: Vec<Function>,
    /// Declared maps and the maps that hold data sections.
    pub maps: Vec<MapSpec>,
    /// Symbols that something else must supply: kernel symbols, kfuncs, configuration values.
    pub externs: Vec<Extern>,
    /// The object's types.
    pub btf: Option<Arc<Btf>>,
    /// Values of `.struct_ops` sections.
    pub struct_ops: Vec<StructOps>,
    /// Sections that nothing here understands: kept whole, reported, never fatal.
    pub unknown_sections: Vec<UnknownSection>,
    /// What was noticed while reading: warnings and notes.
    pub notes: Diagnostics,
}

impl Default for Object {
    fn default() -> Object {
        Object {
            name: String::new(),
            endian: Endian::Little,
            license: None,
            kern_version: None,
            programs: Vec::new(),
            functions: Vec::new(),
            maps: Vec::new(),
            externs: Vec::new(),
            btf: None,
            struct_ops: Vec::new(),
            unknown_sections: Vec::new(),
            notes: Diagnostics::default(),
        }
    }
}

/// Equality of content: names and notes of the file are not compared, types are compared one by one.
impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        let types = |o: &Object| match &o.btf {
            Some(btf) => skep_btf::Builder::from_btf(btf).ok(),
            None => None,
        };
        let same_types = |a: &Object, b: &Object| match (types(a), types(b)) {
            (Some(a), Some(b)) => a.defs().eq(b.defs()),
            (a, b) => a.is_none() == b.is_none(),
        };
        self.endian == other.endian
            && self.license == other.license
            && self.kern_version == other.kern_version
            && self.programs == other.programs
            && self.functions == other.functions
            && self.maps == other.maps
            && self.externs == other.externs
            && self.struct_ops == other.struct_ops
            && self.unknown_sections == other.unknown_sections
            && same_types(self, other)
    }
}

impl Object {
    /// Finds a program by name.
    pub fn program(&self, name: &str) -> Option<&ProgramSpec> {
        self.programs.iter().find(|p| p.name == name)
    }

    /// Finds a program by name, to edit it.
    pub fn program_mut(&mut self, name: &str) -> Option<&mut ProgramSpec> {
        self.programs.iter_mut().find(|p| p.name == name)
    }

    /// Finds a map by name. Data sections are found by section name (`.rodata`).
    pub fn map(&self, name: &str) -> Option<&MapSpec> {
        self.maps.iter().find(|m| m.def.name == name)
    }

    /// Finds a map by name, to edit it.
    pub fn map_mut(&mut self, name: &str) -> Option<&mut MapSpec> {
        self.maps.iter_mut().find(|m| m.def.name == name)
    }

    /// Finds the index of a map by name.
    pub fn map_index(&self, name: &str) -> Option<MapIdx> {
        self.maps
            .iter()
            .position(|m| m.def.name == name)
            .map(MapIdx)
    }

    /// Finds the index of a function by name.
    pub fn function_index(&self, name: &str) -> Option<FnIdx> {
        self.functions
            .iter()
            .position(|f| f.name == name)
            .map(FnIdx)
    }

    /// The function of an index, if in range.
    pub fn function(&self, index: FnIdx) -> Option<&Function> {
        self.functions.get(index.0)
    }
}

/// Binding of a function's symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Linkage {
    /// Visible in its object only.
    Static,
    /// Visible to the static linker; the verifier checks it on its own.
    #[default]
    Global,
    /// As global, and gives way to a global function of the same name.
    Weak,
}

/// A function: the code of a program or of a subprogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Function {
    pub name: String,
    /// ELF section that the code came from.
    pub section: String,
    pub linkage: Linkage,
    /// Instructions, one per 8-byte slot (`ld_imm64` takes two).
    pub insns: Vec<Insn>,
    /// References to symbols, in order of `at`.
    pub relocs: Vec<Reloc>,
    /// CO-RE relocations; `insn_off` counts slots from the start of the function.
    pub core: Vec<CoreRelo>,
    /// Source lines; `insn_off` counts slots from the start of the function.
    pub lines: Vec<LineInfo>,
    /// BTF `FUNC` of the function.
    pub btf_type: Option<TypeId>,
    /// CO-RE relocations that found no target: the instruction at `at` is poisoned.
    pub poisons: Vec<Poison>,
}

/// A reference from an instruction to a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reloc {
    /// Slot of the instruction in its function.
    pub at: usize,
    pub target: RelocTarget,
}

/// What an instruction refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelocTarget {
    /// `ld_imm64`: a map.
    Map(MapIdx),
    /// `ld_imm64`: an address inside the one value of a data map.
    MapValue { map: MapIdx, offset: u32 },
    /// `call`: a function of this object.
    Call(FnIdx),
    /// `ld_imm64`: the address of a function of this object (a callback).
    FuncAddr(FnIdx),
    /// `ld_imm64` of a kernel symbol, or a call of a kfunc.
    Extern(ExternIdx),
}

/// An entry point and how its section asks for it to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramSpec {
    pub name: String,
    /// Section as written, with a leading `?` if there is one.
    pub section: String,
    pub function: FnIdx,
    /// `None`: the section name is not a known `SEC()` form.
    pub program_type: Option<ProgramType>,
    pub attach_type: Option<AttachType>,
    /// What follows the form's name: `syscalls/sys_enter_openat` of `tracepoint/syscalls/sys_enter_openat`.
    pub attach_to: Option<String>,
    /// Load it with the object (false for `SEC("?...")`).
    pub autoload: bool,
    /// The section says enough to attach it without further arguments.
    pub autoattach: bool,
    pub sleepable: bool,
    /// `BPF_F_*` flags of program load that the section asks for.
    pub flags: u32,
}

/// Where a map comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MapKind {
    /// Declared in `.maps` or a legacy `maps` section.
    #[default]
    Ordinary,
    /// A `.rodata*` section.
    Rodata,
    /// A `.data*` section.
    Data,
    /// A `.bss*` section.
    Bss,
    /// Values of `.kconfig` externs.
    Kconfig,
    /// A value in a `.struct_ops*` section.
    StructOps,
    /// An arena, with the initial contents of `.addr_space.1` if there are any.
    Arena,
    /// A jump table of `.jumptables` (an `insn_array`).
    JumpTable,
}

/// Where user space keeps a pin of the map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pinning {
    #[default]
    None,
    /// In the loader's directory under the map's name (`LIBBPF_PIN_BY_NAME`).
    ByName,
    /// Another number: iproute2's object or global namespace, or a meaning of the object's own loader.
    Other(u32),
}

/// A map and what it starts with.
#[derive(Clone, Debug, PartialEq)]
pub struct MapSpec {
    pub def: MapDef,
    pub section: String,
    pub key_type: Option<TypeId>,
    /// For data maps the `DATASEC`.
    pub value_type: Option<TypeId>,
    pub pinning: Pinning,
    /// Shape of the inner maps of a map-in-map.
    pub inner: Option<Box<MapSpec>>,
    pub initial: InitialContents,
    /// No writes from user space after load (`.rodata`, `.kconfig`).
    pub frozen: bool,
    pub kind: MapKind,
    /// Pointers inside the initial bytes: kept, not applied.
    pub data_relocs: Vec<DataReloc>,
    /// The symbol is weak: the static linker lets a global definition win.
    pub weak: bool,
    /// Fields of a legacy definition after `map_flags` that have no place here, as found.
    pub legacy_extra: Vec<u8>,
}

/// A pointer-sized field of a data section that refers to a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataReloc {
    pub offset: u64,
    pub target: DataTarget,
}

/// What a pointer in a data section refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataTarget {
    Function(FnIdx),
    Map(MapIdx),
    MapValue {
        map: MapIdx,
        offset: u64,
    },
    Extern(ExternIdx),
    /// A slot of a function's code (jump tables).
    Code {
        function: FnIdx,
        at: usize,
    },
}

/// What a map holds before its first program runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InitialContents {
    /// Nothing, or zeroes for arrays.
    #[default]
    None,
    /// The value of key 0 (data sections).
    Bytes(Vec<u8>),
    /// Elements of a map-in-map or a program array.
    Slots(Vec<(u32, SlotTarget)>),
}

/// One initial element of a map-in-map or a program array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotTarget {
    Map(MapIdx),
    /// A program, by its function.
    Program(FnIdx),
}

/// A symbol that something else must supply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extern {
    pub name: String,
    pub kind: ExternKind,
    /// Weak: the program loads without it, and its address reads as zero.
    pub weak: bool,
    /// BTF `VAR` or `FUNC` of the declaration.
    pub btf_type: Option<TypeId>,
}

/// Who supplies an extern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExternKind {
    /// A kernel configuration value, at `offset` in the value of the `.kconfig` map.
    Kconfig { map: MapIdx, offset: u32, size: u32 },
    /// A kernel variable with a type.
    KsymTyped,
    /// The address of a kernel symbol without a type (`extern const void x __ksym`).
    KsymUntyped,
    /// A kernel function that the program calls.
    Kfunc,
    /// A function of another object: only the static linker can supply it.
    Function,
    /// A variable or map of another object: only the static linker can supply it.
    Variable,
}

/// One value of a `.struct_ops` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructOps {
    pub name: String,
    /// The map that carries the value's bytes.
    pub map: MapIdx,
    /// The `STRUCT` of the value in the object's BTF.
    pub type_id: TypeId,
    /// From `.struct_ops.link`: attached through a link.
    pub link: bool,
    /// Function pointers: byte offset in the value, and the program.
    pub functions: Vec<(u32, FnIdx)>,
}

/// A section that nothing here understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSection {
    pub name: String,
    /// `sh_type` of ELF.
    pub section_type: u32,
    /// `sh_flags` of ELF.
    pub section_flags: u64,
    pub size: u64,
    /// Contents; empty for sections without bytes in the file.
    pub data: Vec<u8>,
}

/// An instruction that CO-RE replaced because the target kernel lacks what it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// Slot of the instruction.
    pub at: usize,
    /// What is missing, by name.
    pub reason: String,
}

/// What [`Object::relocate`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreReport {
    pub applied: usize,
    /// Function name and what its poisoned instruction lacked.
    pub poisoned: Vec<(String, Poison)>,
}

/// A program with all subprograms that it reaches, in one instruction vector.
///
/// Calls between functions are resolved (`src_reg = BPF_PSEUDO_CALL`, pc-relative `imm`), as are callback
/// addresses (`src_reg = BPF_PSEUDO_FUNC`). Map references carry `src_reg = BPF_PSEUDO_MAP_FD` or
/// `BPF_PSEUDO_MAP_VALUE` and the map's index in [`Object::maps`] as `imm`; a loader writes its own number.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkedProgram {
    pub name: String,
    pub program_type: Option<ProgramType>,
    pub attach_type: Option<AttachType>,
    pub attach_to: Option<String>,
    pub license: Option<String>,
    pub kern_version: Option<u32>,
    pub insns: Vec<Insn>,
    /// In order of `start`; the first is the program itself.
    pub functions: Vec<FnRange>,
    pub map_refs: Vec<MapRef>,
    pub func_refs: Vec<FuncRef>,
    pub extern_refs: Vec<ExternRef>,
    /// `insn_off` counts slots from the start of `insns`.
    pub lines: Vec<LineInfo>,
    pub poisons: Vec<Poison>,
    pub sleepable: bool,
    pub flags: u32,
}

/// Where a function lies in [`LinkedProgram::insns`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FnRange {
    pub name: String,
    pub start: usize,
    pub len: usize,
    pub btf_type: Option<TypeId>,
    pub linkage: Linkage,
}

/// A `ld_imm64` of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapRef {
    pub at: usize,
    pub map: MapIdx,
    /// `Some`: the address of this byte of the map's one value.
    pub value_offset: Option<u32>,
}

/// A `ld_imm64` of a function's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FuncRef {
    pub at: usize,
    /// Slot of the function's first instruction.
    pub target: usize,
}

/// A use of an extern: `ld_imm64` or `call`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExternRef {
    pub at: usize,
    pub extern_: ExternIdx,
}

impl fmt::Display for Linkage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Linkage::Static => "static",
            Linkage::Global => "global",
            Linkage::Weak => "weak",
        })
    }
}

impl MapKind {
    /// The map holds a data section of the object.
    pub fn is_data(self) -> bool {
        matches!(
            self,
            MapKind::Rodata | MapKind::Data | MapKind::Bss | MapKind::Kconfig
        )
    }
}

impl Object {
    /// Makes programs of the functions that can be entry points: those that are not static, outside of `.text`.
    ///
    /// Code in `.text` is subprograms, unless the object has no other code: then what nothing calls is a program.
    pub(crate) fn find_programs(&mut self) {
        let outside = |f: &Function| f.section != ".text";
        let entries = |this: &Object, pick: &dyn Fn(usize, &Function) -> bool| -> Vec<usize> {
            let functions = this.functions.iter().enumerate();
            functions
                .filter(|&(i, f)| f.linkage != Linkage::Static && pick(i, f))
                .map(|(i, _)| i)
                .collect()
        };
        let mut found = entries(self, &|_, f| outside(f));
        if found.is_empty() && !self.functions.iter().any(outside) {
            let relocs = self.functions.iter().flat_map(|f| &f.relocs);
            let called: HashSet<usize> = relocs
                .filter_map(|r| match r.target {
                    RelocTarget::Call(f) | RelocTarget::FuncAddr(f) => Some(f.0),
                    _ => None,
                })
                .collect();
            found = entries(self, &|i, _| !called.contains(&i));
        }
        for index in found {
            let function = &self.functions[index];
            let program = ProgramSpec::of_section(&function.name, &function.section, FnIdx(index));
            self.programs.push(program);
        }
    }
}

impl ProgramSpec {
    /// A program whose settings are those that its section's name asks for.
    ///
    /// Names that only begin with a known form (`socket/2`, `xdp/drop`) count as that form, as they did before libbpf 1.0.
    pub fn of_section(name: &str, section: &str, function: FnIdx) -> ProgramSpec {
        let prefixes = section.rmatch_indices('/').map(|(at, _)| &section[..at]);
        let parsed = std::iter::once(section)
            .chain(prefixes)
            .find_map(skep_spec::section::parse);
        let form = parsed.as_ref().map(|p| p.form);
        ProgramSpec {
            name: name.to_owned(),
            section: section.to_owned(),
            function,
            program_type: form.map(|f| f.program_type),
            attach_type: form.and_then(|f| f.attach_type),
            attach_to: parsed
                .as_ref()
                .and_then(|p| p.target)
                .filter(|t| !t.is_empty())
                .map(str::to_owned),
            autoload: !section.starts_with('?'),
            autoattach: parsed.as_ref().is_some_and(|p| p.auto_attaches()),
            sleepable: form.is_some_and(|f| f.sleepable()),
            flags: parsed.as_ref().map_or(0, |p| p.program_flags()),
        }
    }
}

impl Object {
    /// Reads an object: an ELF file, by its first bytes, or else text.
    pub fn parse(bytes: &[u8], options: &ParseOptions) -> Result<Object, crate::ObjError> {
        if bytes.starts_with(b"\x7fELF") {
            return crate::elf::read(bytes, options);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => crate::text::parse(text, options),
            _ => Err(crate::ObjError::malformed(
                "ELF header",
                0,
                "neither an ELF file nor text",
            )),
        }
    }
}
