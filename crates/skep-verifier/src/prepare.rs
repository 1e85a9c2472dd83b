//! Before and after the walk: the phases of a verification that look at the program as a whole, in the kernel's order.
//!
//! Invariant: once [`Verifier::prepare`] is through, every slot that starts an instruction can be reached over edges,
//! has a known code and lies in exactly one subprogram, and [`Shape`] does not change any more.

use skep_btf::ty::Linkage;
use skep_btf::{Ty, TypeId};
use skep_spec::insn::{Insn, class, jmp, pseudo};
use skep_spec::map::MapType;
use skep_spec::profile::Feature;
use skep_spec::program::{AttachType, ProgramType};

use crate::cfg::fastcall::{FastCall, FastCalls};
use crate::cfg::live::LiveRegisters;
use crate::cfg::scc::Loops;
use crate::cfg::stack::{self, FrameUse, Layout};
use crate::cfg::{BackEdges, CallEffects, Cfg};
use crate::check::kfunc::resolve::{Kfuncs, Special};
use crate::fault::{Fault, Rule};
use crate::input::{BtfIdx, Input, MapId, MapInfo};
use crate::structure::{self, Isa, Subprograms, Verdicts, func_info};
use crate::verifier::{Subprog, Verifier};

const EPERM: i32 = 1;
const EINVAL: i32 = 22;
const EBADF: i32 = 9;
const ENOTSUPP: i32 = 524;
/// Offsets stay below this (`BPF_MAX_VAR_OFF`).
const VAR_OFF_MAX: u32 = 1 << 29;

/// What is known of the program as a whole before the walk.
#[derive(Debug, Default)]
pub struct Shape {
    pub isa: Isa,
    pub subprograms: Subprograms,
    /// Marks by slot, summaries by subprogram.
    pub cfg: Cfg,
    pub loops: Loops,
    pub live: LiveRegisters,
    /// Spills that are taken out.
    pub fastcalls: FastCalls,
    /// What is wrong with single instructions, for when the walk reaches them.
    pub verdicts: Verdicts,
}

impl Verifier<'_> {
    /// All that is decided before the first instruction is walked.
    pub fn prepare(&mut self) -> Rule {
        let input = self.input;
        let insns = &input.insns[..];
        structure::check_flags(input.flags, &input.profile)?;
        structure::check_size(insns.len(), self.allow.bpf)?;
        if !self.platform.place.may_load() {
            // The system call fails before there is a log.
            return Err(Fault::new(EPERM, "verifier-permission", ""));
        }
        let version = input.profile.version;
        let isa = Isa::linux(version.major, version.minor);
        let callback = exception_callback(input)?;
        let subprograms = Subprograms::find(insns, self.allow.bpf, callback, |_, insn| {
            self.resolve_call(insn)
        })?;
        self.subprogs = subprograms
            .all()
            .iter()
            .map(|sub| subprog(input, sub))
            .collect();
        if self.log.level2() {
            for (number, sub) in subprograms.all().iter().enumerate() {
                self.log.line(format_args!("func#{number} @{}", sub.start));
            }
        }
        subprograms.check_jumps(insns)?;
        let starts: Vec<u32> = input
            .functions
            .iter()
            .map(|func| func.insn as u32)
            .collect();
        func_info::check(&subprograms, &starts, |number| {
            returns_scalar(input, number)
        })?;
        let mut used: Vec<MapId> = Vec::new();
        structure::check_eager(insns, &isa, |at, insn, second| {
            if !matches!(insn.src, 1 | 2 | 5 | 6) {
                return Ok(());
            }
            let map = MapId(insn.imm as u32);
            let Some(info) = input.maps.get(map.0 as usize) else {
                let fd = crate::input::descriptor(insn.imm);
                let line = format!("fd {fd} is not pointing to valid bpf_map");
                return Err(Fault::new(EBADF, "verifier-map-reference", line).at(at));
            };
            if !used.contains(&map) {
                self.check_map_program(map, &used)
                    .map_err(|fault| fault.at(at))?;
                used.push(map);
            }
            check_value_offset(info, insn, second).map_err(|fault| fault.at(at))
        })?;
        let kfuncs = &self.kfuncs;
        let mut effects = |_: usize, insn: Insn| call_effects(input, kfuncs, insn);
        let back_edges = match self.allow.bpf {
            false => BackEdges::Refused,
            true if input.profile.has(Feature::AnyBackEdge) => BackEdges::Allowed,
            true => BackEdges::ByJumps,
        };
        let cfg = Cfg::walk(insns, &subprograms, back_edges, &mut effects)?;
        for (number, sub) in self.subprogs.iter_mut().enumerate() {
            let summary = cfg.summary(number);
            sub.changes_pkt_data = summary.changes_pkt_data;
            sub.might_sleep = summary.might_sleep;
        }
        let fastcalls = match version.has("6.12") {
            true => FastCalls::find(insns, &subprograms, &mut |_, insn| fast_call(input, insn)),
            false => FastCalls::default(),
        };
        self.shape = Shape {
            isa,
            subprograms,
            cfg,
            loops: Loops::find(insns),
            fastcalls,
            live: LiveRegisters::compute(insns, &mut |at, insn| effects(at, insn).params),
            verdicts: Verdicts::of(insns, &isa),
        };
        if self.log.level2() {
            self.log_live_registers();
        }
        Ok(())
    }

    fn log_live_registers(&mut self) {
        self.log.line(format_args!("Live regs before insn:"));
        self.texts = vec![String::new(); self.insns.len()];
        let mut at = 0;
        while let Some(insn) = self.insns.get(at) {
            let live = self.shape.live.text(at);
            let text = self.insn_text(at);
            match self.shape.loops.of(at) {
                0 => self.log.line(format_args!("    {at:3}: {live} {text}")),
                number => self
                    .log
                    .line(format_args!("{number:3} {at:3}: {live} {text}")),
            }
            self.texts[at] = text;
            at += insn.slots();
        }
    }

    /// The current instruction accesses the frame of a subprogram at that offset from its r10, or above.
    #[inline]
    pub fn note_frame_access(&mut self, subprogram: usize, off: i64) {
        self.shape.fastcalls.access(subprogram, self.insn_idx, off);
    }

    /// After every path was walked: the stack of all frames that may be active at once. Says which subprograms lie on a
    /// private stack and from which a tail call can be reached.
    pub fn check_stack_depth(&mut self) -> Rule {
        for (number, sub) in self.subprogs.iter_mut().enumerate() {
            sub.stack_depth = self.shape.fastcalls.stack_bytes(number, sub.stack_depth);
        }
        let uses: Vec<FrameUse> = self
            .subprogs
            .iter()
            .map(|sub| FrameUse {
                stack_bytes: sub.stack_depth,
                is_callback: sub.is_callback || sub.is_async_callback || sub.is_exception_callback,
                is_async_callback: sub.is_async_callback || sub.is_exception_callback,
            })
            .collect();
        let input = self.input;
        let layout = Layout {
            jit: true,
            private_stack: has_private_stack(input),
        };
        let throws = &mut |_: usize, insn: Insn| kfunc_name(input, insn) == "bpf_throw";
        let depth = stack::check(self.insns, &self.shape.subprograms, &uses, layout, throws)?;
        for (sub, reachable) in self.subprogs.iter_mut().zip(depth.tail_call_reachable) {
            sub.tail_call_reachable = reachable;
        }
        self.check_kfuncs_named()
    }
}

impl Verifier<'_> {
    /// A loader leaves the calls of kernel functions that it did not find without a number; none may be reached.
    fn check_kfuncs_named(&self) -> Rule {
        let nameless = |insn: &Insn| insn.is_kfunc_call() && insn.imm == 0 && insn.off == 0;
        let reached = |at: usize| self.aux.get(at).is_some_and(|aux| aux.seen);
        match (0..self.insns.len()).find(|&at| nameless(&self.insns[at]) && reached(at)) {
            None => Ok(()),
            Some(at) => {
                let line = "invalid kernel function call not eliminated in verifier pass";
                Err(Fault::new(EINVAL, "verifier-kfunc-not-found", line).at(at))
            }
        }
    }

    /// What may_goto adds to a frame: its budget, with the time at which it runs out since 6.15. A jump to the next
    /// instruction is left out.
    pub(crate) fn loop_budget_bytes(&self, sub: &Subprog) -> u32 {
        let is_loop = |insn: &Insn| insn.code == class::JMP | jmp::JCOND && insn.off != 0;
        match self.insns.get(sub.start..sub.end) {
            Some(insns) if insns.iter().any(is_loop) => {
                match self.input.profile.version.has("6.15") {
                    true => 16,
                    false => 8,
                }
            }
            _ => 0,
        }
    }
}

/// A wide load of a place in the first value of a map.
fn check_value_offset(map: &MapInfo, insn: Insn, second: Insn) -> Rule {
    if !matches!(insn.src, pseudo::MAP_VALUE | pseudo::MAP_IDX_VALUE) {
        return Ok(());
    }
    let off = second.imm as u32;
    let code = "verifier-map-value-offset";
    if off >= VAR_OFF_MAX {
        let line = format!("direct value offset of {off} is not allowed");
        return Err(Fault::new(EINVAL, code, line));
    }
    if map.map_type == MapType::Array && (off >= map.value_size || map.max_entries != 1) {
        let errno = match map.max_entries {
            1 => EINVAL,
            _ => ENOTSUPP,
        };
        let size = map.value_size;
        let line = format!("invalid access to map value pointer, value_size={size} off={off}");
        return Err(Fault::new(errno, code, line));
    }
    Ok(())
}

/// Kinds of program whose larger frames get a stack of their own (6.13).
fn has_private_stack(input: &Input) -> bool {
    let recursive = matches!(
        input.program_type,
        ProgramType::Kprobe
            | ProgramType::Tracepoint
            | ProgramType::PerfEvent
            | ProgramType::RawTracepoint
    );
    let attached = match input.program_type {
        ProgramType::Tracing => input.attach_type != Some(AttachType::TraceIter),
        _ => false,
    };
    input.profile.version.has("6.13") && (recursive || attached)
}

fn subprog(input: &Input, sub: &structure::Subprogram) -> Subprog {
    let mut found = Subprog {
        start: sub.start,
        end: sub.end,
        has_tail_call: sub.has_tail_call,
        has_ld_abs: sub.has_ld_abs,
        is_exception_callback: sub.is_exception_callback,
        ..Subprog::default()
    };
    let func = input.functions.iter().find(|func| func.insn == sub.start);
    if let (Some(func), Some(btf)) = (func, &input.program_btf)
        && let Ok(Ty::Func { name, linkage, .. }) = btf.ty(func.type_id)
    {
        found.name = name.to_owned();
        found.is_global = linkage == Linkage::Global;
    }
    found
}

/// Whether the function of that number returns a number of any kind.
fn returns_scalar(input: &Input, number: usize) -> bool {
    let (Some(btf), Some(func)) = (&input.program_btf, input.functions.get(number)) else {
        return false;
    };
    let Ok(Ty::Func { proto, .. }) = btf.ty(func.type_id) else {
        return false;
    };
    let Ok(Ty::FuncProto { ret, .. }) = btf.ty(proto) else {
        return false;
    };
    let mut id = ret;
    for _ in 0..32 {
        match btf.ty(id) {
            Ok(Ty::Int(_) | Ty::Enum(_) | Ty::Enum64(_)) => return true,
            Ok(
                Ty::Typedef { target, .. }
                | Ty::Const { target }
                | Ty::Volatile { target }
                | Ty::Restrict { target }
                | Ty::TypeTag { target, .. },
            ) => id = target,
            _ => return false,
        }
    }
    false
}

/// Where the function starts that the main program's type names as its exception callback.
fn exception_callback(input: &Input) -> Rule<Option<usize>> {
    let (Some(btf), Some(main)) = (&input.program_btf, input.functions.first()) else {
        return Ok(None);
    };
    let refuse = |line: String| Err(Fault::new(EINVAL, "verifier-exception-callback", line));
    let mut named = None;
    for (component, name) in btf.tagged(main.type_id, "exception_callback:") {
        if component == -1 && named.replace(name).is_some() {
            return refuse("multiple exception callback tags for main subprog".into());
        }
    }
    let Some(name) = named else {
        return Ok(None);
    };
    let is_it =
        |id: &TypeId| matches!(btf.ty(*id), Ok(Ty::Func { name: found, .. }) if found == name);
    let Some(id) = btf.ids().find(is_it) else {
        return refuse(format!(
            "exception callback '{name}' could not be found in BTF"
        ));
    };
    if !matches!(
        btf.ty(id),
        Ok(Ty::Func {
            linkage: Linkage::Global,
            ..
        })
    ) {
        return refuse(format!(
            "exception callback '{name}' must have global linkage"
        ));
    }
    match input.functions.iter().find(|func| func.type_id == id) {
        Some(func) => Ok(Some(func.insn)),
        None => refuse(format!(
            "exception callback '{name}' could not be found in BTF"
        )),
    }
}

/// The name of the kernel function that a call names; empty if it names none.
fn kfunc_name(input: &Input, insn: Insn) -> &str {
    let btf = input.btf(BtfIdx(insn.off as u16));
    btf.map_or("", |btf| btf.name(TypeId(insn.imm as u32)))
}

/// The calls that keep the argument registers; all of them are compiled in place on x86-64.
fn fast_call(input: &Input, insn: Insn) -> Option<FastCall> {
    /// bpf_get_smp_processor_id
    const GET_SMP_PROCESSOR_ID: i32 = 8;
    let params = if insn.is_helper_call() {
        (insn.imm == GET_SMP_PROCESSOR_ID).then_some(0)?
    } else if insn.is_kfunc_call() {
        match kfunc_name(input, insn) {
            "bpf_cast_to_kern_ctx" => 1,
            "bpf_rdonly_cast" => 2,
            _ => return None,
        }
    } else {
        return None;
    };
    Some(FastCall {
        params,
        inlined: true,
    })
}

/// What the walk over edges needs to know of a call.
fn call_effects(input: &Input, kfuncs: &Kfuncs<'_>, insn: Insn) -> CallEffects {
    if insn.is_helper_call() {
        let effects = CallEffects::default().with_helper_callbacks(insn.imm);
        return match input.helper(insn.imm as u32) {
            Some(helper) => CallEffects {
                might_sleep: helper.might_sleep(),
                changes_pkt_data: helper.moves_packet(),
                params: Some(helper.arguments().len() as u8),
                ..effects
            },
            None => effects,
        };
    }
    let Some(kfunc) = kfuncs.of(insn) else {
        return CallEffects::default();
    };
    CallEffects {
        might_sleep: kfunc.flags.sleepable,
        changes_pkt_data: kfunc.is(Special::XdpPullData),
        sync_callback: kfunc.is(Special::RbtreeAdd),
        async_callback: kfunc.is(Special::WqSetCallback) || kfunc.is(Special::TaskWorkAdd),
        iterator_next: kfunc.is_iter_next(),
        params: Some(kfunc.params.len() as u8),
    }
}

#[cfg(test)]
mod tests;
