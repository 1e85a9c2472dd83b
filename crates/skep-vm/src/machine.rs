//! One run: the stack, the regions, what is left of the budget, and the slow paths of memory access.
//!
//! Invariants: `memory.depth` is the frame that runs; programs reached by tail calls stay alive in `chain` until the
//! run is over, so references to them may have the run's lifetime; the stack's bytes are zeroed before a frame shows them.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use skep_spec::context::{ContextKind, ContextLayout, Resolved};

use crate::decode::{Function, Op};
use crate::env::Env;
use crate::interp;
use crate::jit;
use crate::jit::run::Run;
use crate::memory::{
    Ctx, FRAME_GAP, FRAMES, FRAMES_MAX, Found, Memory, Place, STACK_BYTES, STACK_BYTES_ONE,
};
use crate::program::{Limits, Program};
use crate::trap::{Trap, TrapCause};
use crate::watch::{Moment, Watch};

/// Most often that one `may_goto` loop goes round in one frame (`BPF_MAX_LOOPS`).
pub(crate) const MAY_GOTO_MAX: u32 = 8 * 1024 * 1024;
/// Addresses below are a null pointer plus an offset.
pub(crate) const NULL_PAGE: u64 = 4096;
/// Instructions between two looks at the interrupt flag.
const SLICE: u64 = 1 << 16;
/// Looks at the budget, by calls of less than a slice, between two at the clock.
const LOOKS: u32 = 64;

/// The bytes of all frames.
#[repr(C, align(8))]
struct Stack<const BYTES: usize>([u8; BYTES]);

/// What a call of a BPF function saves.
#[derive(Clone, Copy)]
pub(crate) struct Saved<'p> {
    pub program: &'p Program,
    pub back: *const Op,
    pub regs: [u64; 4],
    pub may_goto: u32,
}

pub(crate) struct Machine<'p> {
    pub env: &'p dyn Env,
    pub memory: Memory<'p>,
    /// Entry `i` is written by the call that makes frame `i + 1`.
    pub saved: [MaybeUninit<Saved<'p>>; FRAMES_MAX],
    /// How deep the frames of the program that runs now may go; a tail call moves it.
    pub depth_max: usize,
    pub may_goto: u32,
    first: &'p Program,
    chain: Vec<Arc<Program>>,
    /// Set by the tail call helper; taken by the instruction that called it.
    pub tail: Option<&'p Program>,
    /// Value of r1 at the start.
    pub ctx_addr: u64,
    /// Layout of a converted context, and bytes of its slots, which start at `ctx_addr`.
    converted: Option<(&'static ContextLayout, u64)>,
    budget: Option<u64>,
    timeout: Option<Duration>,
    /// When the time is over, in nanoseconds of the environment's clock; set at the first look at it.
    deadline: Option<u64>,
    /// Looks at the budget since the last one at the clock.
    looks: u32,
    pub executed: u64,
    interrupt: Option<&'p AtomicBool>,
    /// Sees every instruction before it runs.
    pub watch: Option<&'p mut (dyn Watch + 'p)>,
    /// What compiled code sees.
    pub run: Run,
}

impl<'p> Machine<'p> {
    pub fn run(
        program: &'p Program,
        ctx: &'p mut Ctx<'_>,
        env: &'p dyn Env,
        limits: &'p Limits,
        watch: Option<&'p mut (dyn Watch + 'p)>,
        compiled: bool,
    ) -> (Result<u64, Box<Trap>>, u64) {
        if program.tail_calls {
            Self::run_in::<STACK_BYTES>(program, ctx, env, limits, watch, compiled)
        } else {
            // Only a tail call lets frames go deeper than one program's, and only this program's instructions can make one.
            Self::run_in::<STACK_BYTES_ONE>(program, ctx, env, limits, watch, compiled)
        }
    }

    /// Runs with a stack of `BYTES`, which costs time to take from the host's.
    #[inline(never)]
    fn run_in<const BYTES: usize>(
        program: &'p Program,
        ctx: &'p mut Ctx<'_>,
        env: &'p dyn Env,
        limits: &'p Limits,
        watch: Option<&'p mut (dyn Watch + 'p)>,
        compiled: bool,
    ) -> (Result<u64, Box<Trap>>, u64) {
        let mut stack = MaybeUninit::<Stack<BYTES>>::uninit();
        let bottom = stack.as_mut_ptr().expose_provenance() as u64;
        let stack_top = bottom + (BYTES - FRAME_GAP) as u64;
        let (place, r1, r2) = match ctx {
            Ctx::None => (Place::None, 0, 0),
            Ctx::Flat(bytes) => {
                let start = bytes.as_mut_ptr().expose_provenance() as u64;
                let len = bytes.len() as u64;
                (
                    Place::Flat(start..start + len, program.flat_writable),
                    start,
                    len,
                )
            }
            Ctx::Args(args) => {
                let start = args.as_mut_ptr().expose_provenance() as u64;
                (
                    Place::Flat(start..start + 8 * args.len() as u64, false),
                    start,
                    0,
                )
            }
            Ctx::Typed(context) => (
                Place::Typed {
                    layout: context.layout,
                    structure: context.structure,
                    start: context.start,
                },
                context.start,
                0,
            ),
            Ctx::Packet(packet) => {
                let r1 = packet.slots_addr();
                (Place::Packet(packet), r1, 0)
            }
            Ctx::Converted { layout, slots } => {
                let start = slots.as_mut_ptr().expose_provenance() as u64;
                (
                    Place::Converted {
                        layout,
                        slots: start..start + 8 * slots.len() as u64,
                    },
                    start,
                    0,
                )
            }
        };
        let converted = match &place {
            Place::Packet(packet) => Some((packet.layout(), 8 * packet.slot_count() as u64)),
            Place::Converted { layout, slots } => Some((*layout, slots.end - slots.start)),
            _ => None,
        };
        let mut machine = Machine {
            env,
            memory: Memory::new(stack_top, place, env.kernel_regions()),
            saved: [const { MaybeUninit::uninit() }; FRAMES_MAX],
            depth_max: FRAMES,
            may_goto: MAY_GOTO_MAX,
            first: program,
            chain: Vec::new(),
            tail: None,
            ctx_addr: r1,
            converted,
            budget: limits.insns,
            timeout: limits.timeout,
            deadline: None,
            looks: 0,
            executed: 0,
            interrupt: limits.interrupt.as_deref(),
            watch,
            run: Run::new(program),
        };
        machine.run.limited = limits.any();
        machine.run.compiled = compiled && program.is_compiled();
        if !machine.fits(program) {
            let what = match program.layout {
                Some(layout) => format!(
                    "program {} was verified for a {}, which this run does not have",
                    program.name, layout.name
                ),
                None => format!(
                    "program {} was verified for a larger context than this run has",
                    program.name
                ),
            };
            let trap = machine.trap(program, 0, TrapCause::Context(what.into()), &[0; 11]);
            return (Err(Box::new(trap)), 0);
        }
        machine.memory.remember_input();
        machine.open_frame(program.functions.first().map_or(0, Function::frame));
        let mut result = machine.start(program, [r1, r2, 0, 0, 0]);
        if !machine.memory.records.is_empty() {
            result = machine.release_records(program, result);
        }
        // A number travels in registers; with a whole trap beside it, it would be copied through memory at each return.
        (result.map_err(Box::new), machine.executed)
    }

    /// Runs the program from its start, whose frame is open; answers r0.
    fn start(&mut self, program: &'p Program, args: [u64; 5]) -> Result<u64, Trap> {
        if !self.run.compiled {
            return interp::exec(self, program, 0, args);
        }
        let Some(code) = program.code(self.run.limited) else {
            return interp::exec(self, program, 0, args);
        };
        self.run.granted = self.slice() as i64;
        self.run.left = self.run.granted;
        let result = jit::exec(self, program, code, code.start(), args);
        self.settle();
        result
    }

    /// Runs function `index` of a program, whose frame is open, until it returns; answers r0.
    pub(crate) fn call(
        &mut self,
        program: &'p Program,
        index: usize,
        args: [u64; 5],
    ) -> Result<u64, Trap> {
        if self.run.compiled
            && let Some(code) = program.code(self.run.limited)
        {
            return jit::exec(self, program, code, code.function(index), args);
        }
        interp::exec(self, program, program.functions[index].start, args)
    }

    /// Counts what compiled code ran since it was granted. It pays for a stretch at its end, and may have got something
    /// back for a jump ahead before that: then it has run less than nothing, until it pays.
    #[inline(always)]
    fn settle(&mut self) -> u64 {
        let ran = self.run.granted.wrapping_sub(self.run.left);
        self.executed = self.executed.wrapping_add(ran as u64);
        self.run.granted = self.run.left;
        ran.max(0) as u64
    }

    /// What has been executed, as far as it is known.
    fn spent(&self) -> u64 {
        (self.executed as i64).max(0) as u64
    }

    /// Whether the run has the context that a program was proven for.
    #[inline(always)]
    pub fn fits(&self, program: &Program) -> bool {
        let Some(proven) = &program.proven else {
            return true;
        };
        if proven.context_bytes == 0 {
            return true;
        }
        let (layout, bytes) = match &self.memory.place {
            Place::None => return false,
            Place::Typed { layout, .. } => (Some(*layout), u64::from(layout.size)),
            Place::Flat(range, _) => (None, range.end - range.start),
            Place::Packet(packet) => (Some(packet.layout()), 8 * packet.slot_count() as u64),
            Place::Converted { layout, slots } => (Some(*layout), slots.end - slots.start),
        };
        let same = match (program.layout, layout) {
            (Some(own), Some(layout)) => core::ptr::eq(own, layout),
            (Some(own), None) => own.kind == ContextKind::Flat,
            (None, layout) => layout.is_none(),
        };
        same && bytes >= proven.context_bytes
    }

    /// Shows the instruction to the watch; answers whether the run goes on.
    #[cold]
    pub(crate) fn show(&mut self, program: &Program, pc: usize, regs: &[u64; 11]) -> bool {
        let depth = self.memory.depth;
        let frame_tops: [u64; FRAMES_MAX] =
            core::array::from_fn(|frame| self.memory.frame_top(frame));
        let packet = match &self.memory.place {
            Place::Packet(packet) => {
                let range = packet.bytes().as_ptr_range();
                Some(range.start as u64..range.end as u64)
            }
            _ => None,
        };
        let Some(watch) = &mut self.watch else {
            return true;
        };
        watch.insn(&Moment {
            program,
            pc,
            regs,
            frame_tops: &frame_tops[..=depth.min(FRAMES_MAX - 1)],
            packet,
        })
    }

    /// Whether the caller has asked to stop.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupt
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// Gives back what the program did not.
    #[cold]
    fn release_records(
        &mut self,
        program: &'p Program,
        result: Result<u64, Trap>,
    ) -> Result<u64, Trap> {
        let mut names = Vec::new();
        for record in core::mem::take(&mut self.memory.records) {
            names.push(record.map.def().name.clone());
            (record.discard)(&*record.map, record.range.start);
        }
        let value = result?;
        let what = format!(
            "{} record(s) of {} neither submitted nor discarded",
            names.len(),
            names.join(", ")
        );
        let pc = program.ops.len().saturating_sub(1);
        Err(self.trap(
            program,
            pc,
            TrapCause::Unreleased(what.into()),
            &[value, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ))
    }

    #[cold]
    #[inline(never)]
    pub fn trap(&self, program: &Program, pc: usize, cause: TrapCause, regs: &[u64; 11]) -> Trap {
        Trap {
            pc,
            cause,
            program: program.name.clone(),
            line: program.line_at(pc).cloned(),
            regs: Box::new(*regs),
        }
    }

    /// Makes frame `memory.depth` show a function's bytes ([`crate::decode::Function::frame`]), zeroed if need be.
    #[inline(always)]
    pub fn open_frame(&mut self, frame: i32) {
        let depth = self.memory.depth;
        let bytes = frame as u32 & !7;
        let zeroed = frame & 1 == 0;
        debug_assert!(depth < FRAMES_MAX && bytes as usize <= crate::memory::FRAME_BYTES);
        // SAFETY: depth is less than FRAMES_MAX wherever it grows.
        unsafe {
            self.memory
                .frame_bytes
                .get_unchecked_mut(depth)
                .write(bytes)
        };
        if bytes != 0 && zeroed {
            let start = self.memory.frame_top(depth) - u64::from(bytes);
            // SAFETY: the frames of all depths that a run can reach (FRAMES without tail calls, else FRAMES_MAX) lie within the
            // stack of `run_in`, which outlives the machine.
            unsafe {
                core::ptr::write_bytes(
                    core::ptr::with_exposed_provenance_mut::<u8>(start as usize),
                    0,
                    bytes as usize,
                )
            };
        }
    }

    /// Keeps a program alive until the run ends.
    pub fn keep(&mut self, program: Arc<Program>) -> &'p Program {
        let pointer = Arc::as_ptr(&program);
        self.chain.push(program);
        // SAFETY: the Arc in `chain` is dropped with the machine, which does not outlive 'p; programs are immutable.
        unsafe { &*pointer }
    }

    pub fn tail_calls(&self) -> usize {
        self.chain.len()
    }

    /// How many bytes of operations may run before the next look: `SLICE` or what is left of the budget.
    #[inline(always)]
    pub fn slice(&self) -> u64 {
        match self.budget {
            None => SLICE,
            Some(budget) => budget.saturating_sub(self.spent()).min(SLICE),
        }
    }

    /// Counts what ran since the last look; an error tells to stop.
    #[cold]
    #[inline(never)]
    pub fn account(&mut self, insns: u64) -> Result<u64, TrapCause> {
        self.executed = self.executed.wrapping_add(insns);
        let insns = insns.wrapping_add(self.settle());
        if let Some(budget) = self.budget
            && self.spent() >= budget
        {
            return Err(TrapCause::Budget { insns: budget });
        }
        if self
            .interrupt
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
        {
            return Err(TrapCause::Interrupted);
        }
        if let Some(timeout) = self.timeout {
            self.look_at_clock(timeout, insns)?;
        }
        let slice = self.slice();
        self.run.granted = slice as i64;
        self.run.left = slice as i64;
        Ok(slice)
    }

    /// Ends the run if its time is over. The time starts with the first look, a slice after the run's start, so that short
    /// runs never ask for it. Calls of short functions look once in a while.
    fn look_at_clock(&mut self, timeout: Duration, insns: u64) -> Result<(), TrapCause> {
        self.looks += 1;
        if insns < SLICE && self.looks < LOOKS {
            return Ok(());
        }
        self.looks = 0;
        let now = self.env.ktime_ns();
        let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let deadline = *self.deadline.get_or_insert(now.saturating_add(nanoseconds));
        if now >= deadline {
            return Err(TrapCause::TimedOut { after: timeout });
        }
        Ok(())
    }

    pub fn find(
        &self,
        program: &Program,
        addr: u64,
        len: u64,
        write: bool,
    ) -> Result<Found, TrapCause> {
        let found = self.memory.find(&[&program.maps], addr, len, write);
        if found.is_ok() || self.chain.is_empty() {
            return found;
        }
        let maps: Vec<_> = core::iter::once(self.first)
            .chain(self.chain.iter().map(|program| &**program))
            .map(|program| &*program.maps)
            .collect();
        self.memory.find(&maps, addr, len, write)
    }

    #[inline(never)]
    pub fn load_slow(
        &mut self,
        program: &Program,
        addr: u64,
        width: u32,
    ) -> Result<u64, TrapCause> {
        if let Some((layout, slots)) = self.converted
            && width == 4
            && let Some((at, whole)) = program.context.word(addr.wrapping_sub(self.ctx_addr))
            && (at | 7) < slots
            && program.layout.is_some_and(|own| core::ptr::eq(own, layout))
        {
            let width = if whole { 8 } else { 4 };
            // SAFETY: the slot that holds these bytes is one of the context's.
            return Ok(unsafe { read(self.ctx_addr + at, width) });
        }
        let found = match self.find(program, addr, u64::from(width), false) {
            // As the kernel's fault handler has it for null pointers in its structures.
            Err(_) if program.kernel_pointers && addr < NULL_PAGE => return Ok(0),
            found => found?,
        };
        match found {
            Found::Bytes(range) => {
                self.memory.remember(&range, false);
                // SAFETY: `find` said that these bytes may be read.
                Ok(unsafe { read(addr, width) })
            }
            Found::Context(offset) => self.load_context(program, addr, offset, width),
            Found::Kernel => {
                let mut bytes = [0; 8];
                let into = &mut bytes[..width as usize];
                if self.env.read_kernel(addr, into).is_err() {
                    let what = "kernel memory that the environment refuses to read".into();
                    return Err(TrapCause::BadAccess {
                        addr,
                        len: u64::from(width),
                        write: false,
                        what,
                    });
                }
                Ok(match width {
                    1 => u64::from(bytes[0]),
                    2 => u64::from(u16::from_ne_bytes([bytes[0], bytes[1]])),
                    4 => u64::from(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])),
                    _ => u64::from_ne_bytes(bytes),
                })
            }
        }
    }

    #[inline(never)]
    pub fn store_slow(
        &mut self,
        program: &Program,
        addr: u64,
        width: u32,
        value: u64,
    ) -> Result<(), TrapCause> {
        match self.find(program, addr, u64::from(width), true)? {
            Found::Bytes(range) => {
                self.memory.remember(&range, true);
                // SAFETY: `find` said that these bytes may be written.
                unsafe { write(addr, width, value) };
                Ok(())
            }
            Found::Context(offset) => self.store_context(program, addr, offset, width, value),
            Found::Kernel => Err(TrapCause::BadAccess {
                addr,
                len: u64::from(width),
                write: true,
                what: "kernel memory is read-only".into(),
            }),
        }
    }

    /// The address of an atomic operation's operand.
    #[inline(always)]
    pub fn atomic(&mut self, program: &Program, addr: u64, width: u32) -> Result<u64, TrapCause> {
        let index = width.trailing_zeros() as usize;
        if addr & u64::from(width - 1) == 0 {
            for window in &self.memory.writable {
                if addr.wrapping_sub(window.start) < window.limits[index & 3] {
                    return Ok(addr);
                }
            }
        }
        self.atomic_slow(program, addr, width)
    }

    #[cold]
    #[inline(never)]
    fn atomic_slow(&mut self, program: &Program, addr: u64, width: u32) -> Result<u64, TrapCause> {
        let len = u64::from(width);
        match self.find(program, addr, len, true)? {
            Found::Bytes(_) if addr & (len - 1) != 0 => Err(TrapCause::Misaligned { addr, len }),
            Found::Bytes(range) => {
                self.memory.remember(&range, true);
                Ok(addr)
            }
            _ => Err(TrapCause::BadAccess {
                addr,
                len,
                write: true,
                what: "atomic operations on the context are not allowed".into(),
            }),
        }
    }

    /// `ld_abs` and `ld_ind`: a big-endian number out of the packet, at an offset from its data or, for the negative ones
    /// of classic BPF, from its headers.
    #[cold]
    pub fn load_packet(&self, offset: i32, width: u32) -> Option<u64> {
        /// `SKF_NET_OFF` and `SKF_LL_OFF` of uapi/linux/filter.h.
        const NETWORK: i64 = -0x10_0000;
        const LINK: i64 = -0x20_0000;
        let Place::Packet(packet) = &self.memory.place else {
            return None;
        };
        let (bytes, data) = packet.bytes_with_headers();
        let (data, offset) = (data as i64, i64::from(offset));
        let start = match offset {
            0.. => data + offset,
            NETWORK.. => data + i64::from(packet.skb.network_offset) + offset - NETWORK,
            LINK.. => data + i64::from(packet.skb.mac_offset) + offset - LINK,
            _ => return None,
        };
        let start = usize::try_from(start).ok()?;
        let part = bytes.get(start..start + width as usize)?;
        Some(
            part.iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        )
    }

    fn load_context(
        &self,
        program: &Program,
        addr: u64,
        offset: u32,
        width: u32,
    ) -> Result<u64, TrapCause> {
        match self.resolve(program, addr, offset, width, false)? {
            // SAFETY: `resolve` answers addresses within the context's slots.
            Slots::Part(at) => Ok(unsafe { read(at, width) }),
            // SAFETY: as above.
            Slots::Whole(at) => Ok(unsafe { read(at, 8) }),
            // SAFETY: as above, for both slots.
            Slots::Pair(at) => Ok(unsafe { read(at, 4) | read(at + 8, 4) << 32 }),
        }
    }

    fn store_context(
        &self,
        program: &Program,
        addr: u64,
        offset: u32,
        width: u32,
        value: u64,
    ) -> Result<(), TrapCause> {
        match self.resolve(program, addr, offset, width, true)? {
            // SAFETY: `resolve` answers addresses within the context's slots.
            Slots::Part(at) => unsafe { write(at, width, value) },
            // SAFETY: as above.
            Slots::Whole(at) => unsafe { write(at, 8, value) },
            // SAFETY: as above, for both slots.
            Slots::Pair(at) => unsafe {
                write(at, 4, value);
                write(at + 8, 4, value >> 32);
            },
        }
        Ok(())
    }

    fn resolve(
        &self,
        program: &Program,
        addr: u64,
        offset: u32,
        width: u32,
        write: bool,
    ) -> Result<Slots, TrapCause> {
        let refuse = |what: String| TrapCause::BadAccess {
            addr,
            len: u64::from(width),
            write,
            what: what.into(),
        };
        let (layout, start, count) = match &self.memory.place {
            Place::Packet(packet) => (packet.layout(), packet.slots_addr(), packet.slot_count()),
            Place::Converted { layout, slots } => (
                *layout,
                slots.start,
                ((slots.end - slots.start) / 8) as usize,
            ),
            _ => return Err(refuse("not a converted context".into())),
        };
        let known = if !write && program.layout.is_some_and(|own| core::ptr::eq(own, layout)) {
            program.context.read(offset, width)
        } else {
            None
        };
        let resolved = match known {
            Some(resolved) => resolved,
            None => layout
                .resolve(i64::from(offset), width, write)
                .map_err(|why| {
                    refuse(format!("{width} bytes at {}+{offset}: {why}", layout.name))
                })?,
        };
        let (at, last, slots) = match resolved {
            Resolved::Part(at) => (
                at as usize,
                (at + width - 1) as usize / 8,
                Slots::Part as fn(u64) -> Slots,
            ),
            Resolved::Slot(slot) => (8 * slot, slot, Slots::Whole as fn(u64) -> Slots),
            Resolved::Pair(slot) => (8 * slot, slot + 1, Slots::Pair as fn(u64) -> Slots),
        };
        if last >= count {
            return Err(refuse(format!(
                "offset {offset} of {}, which this run does not provide",
                layout.name
            )));
        }
        Ok(slots(start + at as u64))
    }
}

/// The address that an access of a converted context comes to.
enum Slots {
    Part(u64),
    Whole(u64),
    Pair(u64),
}

/// # Safety
/// `width` (1, 2, 4 or 8) bytes at `addr` are readable.
#[inline(always)]
unsafe fn read(addr: u64, width: u32) -> u64 {
    let addr = addr as usize;
    // SAFETY: the caller's promise; none of these needs an alignment.
    unsafe {
        match width {
            1 => u64::from(core::ptr::with_exposed_provenance::<u8>(addr).read_unaligned()),
            2 => u64::from(core::ptr::with_exposed_provenance::<u16>(addr).read_unaligned()),
            4 => u64::from(core::ptr::with_exposed_provenance::<u32>(addr).read_unaligned()),
            _ => core::ptr::with_exposed_provenance::<u64>(addr).read_unaligned(),
        }
    }
}

/// # Safety
/// `width` (1, 2, 4 or 8) bytes at `addr` are writable.
#[inline(always)]
unsafe fn write(addr: u64, width: u32, value: u64) {
    let addr = addr as usize;
    // SAFETY: the caller's promise; none of these needs an alignment.
    unsafe {
        match width {
            1 => core::ptr::with_exposed_provenance_mut::<u8>(addr).write_unaligned(value as u8),
            2 => core::ptr::with_exposed_provenance_mut::<u16>(addr).write_unaligned(value as u16),
            4 => core::ptr::with_exposed_provenance_mut::<u32>(addr).write_unaligned(value as u32),
            _ => core::ptr::with_exposed_provenance_mut::<u64>(addr).write_unaligned(value),
        }
    }
}
