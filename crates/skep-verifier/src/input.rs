//! What is verified: a program's instructions, its maps and types, the kernel it is meant for, and who loads it.
//!
//! Invariant: an input is inert data; nothing in it refers to this machine. Instructions name maps by index: a
//! `ld_imm64` with `src_reg` 1 or 5 (map) has the [`MapId`] in `imm`, with 2 or 6 (map value) also the offset in the second slot's
//! `imm`; with 3 (BTF variable) the type id in `imm` and the [`BtfIdx`] in the second slot's `imm`; with 4 (function)
//! the relative slot. A call with `src_reg` 1 is a subprogram, with 2 a kfunc: `imm` is its BTF function id and `off`
//! its [`BtfIdx`]. A wide load of a descriptor that is no map's has the complement of the descriptor: see [`descriptor`].

use std::sync::Arc;

use skep_btf::{Btf, TypeId};
use skep_spec::context::{self, ContextLayout};
use skep_spec::helper::{self, Helper};
use skep_spec::insn::Insn;
use skep_spec::map::MapType;
use skep_spec::profile::Profile;
use skep_spec::program::{AttachType, ProgramType};

use crate::host::Host;

/// A map, by its place in [`Input::maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapId(pub u32);

/// The descriptor that a wide load names which is no map's: [`Input::insns`] hold its complement, so that it is never taken
/// for a map's index.
pub const fn descriptor(imm: i32) -> i32 {
    if imm < 0 { !imm } else { imm }
}

/// One of the BTFs: 0 the kernel's, then those of its modules ([`Input::btfs`]); [`BtfIdx::PROGRAM`] the program's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BtfIdx(pub u16);

impl BtfIdx {
    /// The kernel's own types (vmlinux).
    pub const KERNEL: BtfIdx = BtfIdx(0);
    /// The program's own types.
    pub const PROGRAM: BtfIdx = BtfIdx(u16::MAX);
}

/// One map.
#[derive(Clone, Debug)]
pub struct MapInfo {
    pub name: String,
    pub map_type: MapType,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
    pub map_extra: u64,
    /// Types in the program's BTF.
    pub key_type: Option<TypeId>,
    pub value_type: Option<TypeId>,
    /// The template of a map of maps.
    pub inner: Option<MapId>,
    /// The one value of a frozen, read-only map, whose contents are constants.
    pub frozen: Option<Arc<[u8]>>,
    /// For an arena: where user space sees it.
    pub user_address: u64,
}

/// Which privileges the loader has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    pub bpf: bool,
    pub perfmon: bool,
    pub net_admin: bool,
    pub sys_admin: bool,
}

impl Caps {
    /// root
    pub const ALL: Caps = Caps {
        bpf: true,
        perfmon: true,
        net_admin: true,
        sys_admin: true,
    };
    /// Nobody.
    pub const NONE: Caps = Caps {
        bpf: false,
        perfmon: false,
        net_admin: false,
        sys_admin: false,
    };
}

/// What a tracing, LSM, struct_ops or extension program is attached to.
#[derive(Clone, Debug)]
pub enum AttachTarget {
    /// A function, or `btf_trace_*` typedef, or struct_ops type of one of the input's BTFs.
    Btf { btf: BtfIdx, id: TypeId },
    /// A struct_ops member.
    StructOps { id: TypeId, member: u32 },
    /// A function of another, loaded program.
    Program(Arc<TargetProgram>),
}

/// The program that an extension replaces a function of, or that tracing looks at.
#[derive(Debug)]
pub struct TargetProgram {
    pub program_type: ProgramType,
    pub attach_type: Option<AttachType>,
    pub btf: Arc<Btf>,
    /// The function's BTF id.
    pub function: TypeId,
    pub sleepable: bool,
    pub changes_pkt_data: bool,
    pub might_sleep: bool,
}

/// Where a function starts and what type it has (`bpf_func_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncInfo {
    pub insn: usize,
    pub type_id: TypeId,
}

/// A source line (`bpf_line_info`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    pub insn: usize,
    pub file: Arc<str>,
    pub text: Arc<str>,
    pub line: u32,
    pub column: u32,
}

/// Everything that a verdict depends on.
#[derive(Clone, Debug)]
pub struct Input {
    pub name: String,
    pub insns: Vec<Insn>,
    pub program_type: ProgramType,
    pub attach_type: Option<AttachType>,
    pub target: Option<AttachTarget>,
    /// Where the program runs, if not in a kernel; `program_type` is XDP then, and its rules hold where the host has none.
    pub host: Option<Arc<Host>>,
    pub license: String,
    pub maps: Vec<MapInfo>,
    /// The kernel's BTF first, then modules'. Empty where unknown.
    pub btfs: Vec<Arc<Btf>>,
    /// The program's own.
    pub program_btf: Option<Arc<Btf>>,
    pub functions: Vec<FuncInfo>,
    pub lines: Vec<SourceLine>,
    /// `BPF_F_*` of `skep_spec::program::flags`.
    pub flags: u32,
    pub caps: Caps,
    /// The kernel whose rules hold.
    pub profile: Profile,
    /// 1: what the verifier says; 2: with every state; 4: statistics (bits, as bpf(2) takes them).
    pub log_level: u32,
    /// `major * 65536 + minor * 256` of `kern_version`, as old kprobe programs give it.
    pub kern_version: u32,
    /// CPUs of the machine the program is for.
    pub cpus: u32,
}

impl Input {
    /// A privileged GPL program without maps and types.
    pub fn new(program_type: ProgramType, insns: Vec<Insn>) -> Input {
        Input {
            name: String::new(),
            insns,
            program_type,
            attach_type: None,
            target: None,
            host: None,
            license: "GPL".into(),
            maps: Vec::new(),
            btfs: Vec::new(),
            program_btf: None,
            functions: Vec::new(),
            lines: Vec::new(),
            flags: 0,
            caps: Caps::ALL,
            profile: Profile::V6_18,
            log_level: 0,
            kern_version: 0,
            cpus: 1,
        }
    }

    /// A privileged program for that host, without maps and types.
    pub fn for_host(host: Arc<Host>, insns: Vec<Insn>) -> Input {
        Input {
            host: Some(host),
            ..Input::new(ProgramType::Xdp, insns)
        }
    }

    /// What r1 points to.
    pub fn context(&self) -> &'static ContextLayout {
        match &self.host {
            Some(host) => host.context,
            None => context::for_program(self.program_type, self.attach_type),
        }
    }

    /// What programs of this sort are called in messages.
    pub fn hook_name(&self) -> &str {
        match &self.host {
            Some(host) => &host.name,
            None => self.program_type.name(),
        }
    }

    /// The helper of that number, whether the program may call it or not.
    pub fn helper(&self, id: u32) -> Option<&Helper> {
        let own = self.host.as_ref().and_then(|host| host.helper(id));
        own.or_else(|| helper::by_id(id))
    }

    /// The BTF of that index.
    pub fn btf(&self, index: BtfIdx) -> Option<&Arc<Btf>> {
        if index == BtfIdx::PROGRAM {
            self.program_btf.as_ref()
        } else {
            self.btfs.get(usize::from(index.0))
        }
    }
}
