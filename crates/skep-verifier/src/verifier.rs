//! The verifier's own state while it walks a program, and the small words that every rule is written in.
//!
//! Invariant: `state` is the state before (or, within a step, around) instruction `insn_idx`.

use skep_spec::insn::Insn;

use crate::check::call::global::ArgSpec;
use crate::check::kfunc::resolve::Kfuncs;
use crate::check::mem::known::Known;
use crate::explore::Explorer;
use crate::input::{Input, MapId, MapInfo};
use crate::log::Log;
use crate::record::Records;
use crate::state::State;
use crate::state::frame::Frame;
use crate::state::reg::{Flags, Kind, Reg};
use crate::verified::Stats;

/// What is remembered of one instruction over all paths.
#[derive(Clone, Copy, Debug, Default)]
pub struct InsnAux {
    /// Some path reached it.
    pub seen: bool,
    /// Which kind of pointer the access goes through ("same insn cannot be used with different pointers").
    pub pointer: Option<(Kind, Flags)>,
    /// The one map that a helper call is made with, or the fact that they differ.
    pub map: Option<Option<MapId>>,
    /// The loaded value must be probed: its address may be bad.
    pub probe: bool,
    /// What an engine may use.
    pub(crate) gathered: crate::facts::Gathered,
    /// Of a conditional jump: which ways it was walked.
    pub ways: crate::verified::Ways,
    /// Whether `bpf_loop` may be inlined here, and its callback.
    pub loop_inline: Option<(bool, u32)>,
    /// Speculation must stop here (unprivileged).
    pub nospec: bool,
    pub nospec_result: bool,
    pub alu_state: u32,
    pub alu_limit: u32,
}

/// What is known of one subprogram.
#[derive(Clone, Debug, Default)]
pub struct Subprog {
    /// First slot and one past the last.
    pub start: usize,
    pub end: usize,
    /// Bytes of stack it uses.
    pub stack_depth: u32,
    pub has_tail_call: bool,
    pub tail_call_reachable: bool,
    pub has_ld_abs: bool,
    /// A helper calls it back, now or later.
    pub is_callback: bool,
    pub is_async_callback: bool,
    pub is_exception_callback: bool,
    pub changes_pkt_data: bool,
    pub might_sleep: bool,
    /// Global: verified on its own, by its types.
    pub is_global: bool,
    /// A global function that was called.
    pub called: bool,
    /// A global function that was found safe by itself.
    pub verified: bool,
    /// What its type says of its arguments; `None` until asked.
    pub args: Option<std::rc::Rc<[ArgSpec]>>,
    /// It may read stack of its own frame that nothing has written.
    pub reads_unwritten: bool,
    /// It was called with something else than its type says.
    pub unreliable: bool,
    pub name: String,
}

/// A verification under way.
pub struct Verifier<'i> {
    pub input: &'i Input,
    /// A copy: some rules need to look at other instructions.
    pub insns: &'i [Insn],
    pub state: State,
    pub insn_idx: usize,
    pub prev_insn_idx: Option<usize>,
    pub subprogs: Vec<Subprog>,
    pub aux: Vec<InsnAux>,
    pub log: Log,
    pub explore: Explorer,
    pub stats: Stats,
    /// Special fields, as far as they were asked for.
    pub(crate) records: Records,
    /// What BTF was asked before.
    pub(crate) known: Known,
    /// What was found before the walk.
    pub shape: crate::prepare::Shape,
    /// The kernel, and where the program goes in it.
    pub platform: crate::platform::Platform<'i>,
    /// The kfuncs that the program calls.
    pub(crate) kfuncs: Kfuncs<'i>,
    /// The reference that each argument in the context of a struct_ops program comes with; 0: none.
    pub ctx_refs: Vec<u32>,
    /// Bytes of the context that were accessed, from its start.
    pub context_bytes: u32,
    /// A structure of the kernel's was passed where a function takes plain memory.
    pub(crate) typed_as_memory: bool,
    next_id: u32,
    /// Rules that privileges relax.
    pub allow: Allow,
    /// The instructions as the log prints them, where it prints them all.
    pub(crate) texts: Vec<String>,
    /// The paths walked, where someone wants to explain one.
    pub trail: Option<crate::explain::trail::Trail>,
    /// The states met, where someone wants to hold runs against them.
    pub recording: Option<crate::recording::Recording>,
}

/// What the loader's privileges allow.
#[derive(Clone, Copy, Debug)]
pub struct Allow {
    pub ptr_leaks: bool,
    pub uninit_stack: bool,
    pub bypass_spec_v1: bool,
    pub bypass_spec_v4: bool,
    pub bpf: bool,
    pub strict_alignment: bool,
    pub test_state_freq: bool,
    pub test_reg_invariants: bool,
}

impl Allow {
    fn of(input: &Input) -> Allow {
        use skep_spec::program::flags;
        let caps = input.caps;
        let perfmon = caps.perfmon || caps.sys_admin;
        Allow {
            ptr_leaks: perfmon,
            uninit_stack: perfmon,
            bypass_spec_v1: perfmon,
            bypass_spec_v4: perfmon,
            bpf: caps.bpf || caps.sys_admin,
            strict_alignment: input.flags & flags::STRICT_ALIGNMENT != 0
                && input.flags & flags::ANY_ALIGNMENT == 0,
            test_state_freq: input.flags & flags::TEST_STATE_FREQ != 0
                && (caps.bpf || caps.sys_admin),
            test_reg_invariants: input.flags & flags::TEST_REG_INVARIANTS != 0
                && (caps.bpf || caps.sys_admin),
        }
    }
}

impl<'i> Verifier<'i> {
    /// Nothing walked yet.
    pub fn new(input: &'i Input) -> Verifier<'i> {
        Verifier {
            input,
            insns: &input.insns,
            state: State::new(0),
            insn_idx: 0,
            prev_insn_idx: None,
            subprogs: Vec::new(),
            aux: vec![InsnAux::default(); input.insns.len()],
            log: Log::new(input.log_level),
            explore: Explorer::default(),
            stats: Stats::default(),
            records: Records::new(input),
            known: Known::default(),
            shape: crate::prepare::Shape::default(),
            platform: crate::platform::Platform::of(input),
            kfuncs: Kfuncs::default(),
            ctx_refs: Vec::new(),
            context_bytes: 0,
            typed_as_memory: false,
            next_id: 0,
            allow: Allow::of(input),
            texts: Vec::new(),
            trail: None,
            recording: None,
        }
    }

    /// A fresh identity.
    pub fn new_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// No identity is above it yet.
    pub fn next_free_id(&self) -> u32 {
        self.next_id
    }

    /// The active function.
    pub fn frame(&self) -> &Frame {
        self.state.frame()
    }

    /// A register of the active function.
    pub fn reg(&self, number: u8) -> &Reg {
        &self.state.frame().regs[usize::from(number)]
    }

    /// A register of the active function, for writing.
    pub fn reg_mut(&mut self, number: u8) -> &mut Reg {
        &mut self.state.frame_mut().regs[usize::from(number)]
    }

    /// Puts `reg` there.
    pub fn set_reg(&mut self, number: u8, reg: Reg) {
        *self.reg_mut(number) = reg;
    }

    /// The map of that index.
    pub fn map(&self, map: MapId) -> &'i MapInfo {
        &self.input.maps[map.0 as usize]
    }
}

impl Verifier<'_> {
    /// Everything, in the order in which the kernel does it.
    pub fn run(&mut self) -> crate::fault::Rule {
        self.prepare()?;
        self.check_attach_target()?;
        self.check_main()?;
        self.check_global_functions()?;
        self.check_stack_depth()?;
        self.check_arena_loads()?;
        self.check_tail_call_maps()
    }
}
