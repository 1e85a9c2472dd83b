//! What compiled code calls for all that it does not do itself.
//!
//! Invariants: a thunk is called with the [`Run`] of the machine that executes the calling code, at an operation of the
//! program in [`Run::program`]; before it, the code has stored r0 to r5 (and, if it has one, its budget) there; a thunk
//! that answers a stop other than [`stop::NONE`] has said why in the run, and the code then goes to its exit.

use crate::decode::Code;
use crate::helper::{self, Call, HelperFn};
use crate::machine::{MAY_GOTO_MAX, Machine};
use crate::memory::{FRAMES, FRAMES_MAX, Place};
use crate::program::Program;
use crate::trap::{Trap, TrapCause};

use super::run::{Answer, Run, machine, stop};

fn go(value: u64) -> Answer {
    Answer {
        value,
        stop: stop::NONE,
    }
}

#[cold]
fn end(machine: &mut Machine<'_>, trap: Trap) -> Answer {
    machine.run.trap = Some(Box::new(trap));
    Answer {
        value: 0,
        stop: stop::TRAP,
    }
}

/// Ends the run; registers are filled in where the entry ends.
#[cold]
fn refuse(machine: &mut Machine<'_>, program: &Program, pc: u64, cause: TrapCause) -> Answer {
    let trap = machine.trap(program, pc as usize, cause, &[0; 11]);
    end(machine, trap)
}

/// The machine and the program of a run.
///
/// # Safety
/// As [`machine`]; `Run::program` must be alive for as long as the machine.
unsafe fn parts<'a, 'p>(run: *mut Run) -> (&'a mut Machine<'p>, &'p Program) {
    // SAFETY: the caller's promise.
    unsafe {
        let program = &*(*run).program;
        (machine(run), program)
    }
}

/// A load that no window holds: answers what the destination register gets. `kind` is the operation's [`Code`].
///
/// # Safety
/// The module's invariants hold of `run`, here and below.
pub unsafe extern "C" fn load(run: *mut Run, addr: u64, pc: u64, kind: u64) -> Answer {
    // SAFETY: the caller's promise.
    let (machine, program) = unsafe { parts(run) };
    let is = |code: Code| kind == code as u64;
    let probe = (Code::LdProbeB as u64..=Code::LdsProbeW as u64).contains(&kind);
    let (width, signed) = shape(kind);
    let value = match machine.load_slow(program, addr, width) {
        Ok(value) => value,
        Err(_) if probe => 0,
        Err(cause) => return refuse(machine, program, pc, cause),
    };
    // A whole pointer out of a 4-byte load of a context.
    if width == 4 && value >> 32 != 0 && !probe && (is(Code::LdW) || is(Code::LdsW)) {
        return go(value);
    }
    go(match (width, signed) {
        (1, false) => u64::from(value as u8),
        (1, true) => value as i8 as u64,
        (2, false) => u64::from(value as u16),
        (2, true) => value as i16 as u64,
        (4, false) => u64::from(value as u32),
        (4, true) => value as i32 as u64,
        _ => value,
    })
}

/// Bytes of a load, and whether it extends a sign.
fn shape(kind: u64) -> (u32, bool) {
    const SHAPES: [(u32, bool); 7] = [
        (1, false),
        (2, false),
        (4, false),
        (8, false),
        (1, true),
        (2, true),
        (4, true),
    ];
    let first = if kind >= Code::LdProbeB as u64 {
        Code::LdProbeB
    } else {
        Code::LdB
    };
    let index = kind.wrapping_sub(first as u64) as usize;
    SHAPES.get(index).copied().unwrap_or((8, false))
}

/// A store that no window holds.
///
/// # Safety
/// As [`load`].
pub unsafe extern "C" fn store(
    run: *mut Run,
    addr: u64,
    pc: u64,
    width: u64,
    value: u64,
) -> Answer {
    // SAFETY: the caller's promise.
    let (machine, program) = unsafe { parts(run) };
    match machine.store_slow(program, addr, width as u32, value) {
        Ok(()) => go(0),
        Err(cause) => refuse(machine, program, pc, cause),
    }
}

/// Whether an atomic operation may access its operand; the code does it then.
///
/// # Safety
/// As [`load`].
pub unsafe extern "C" fn atomic(run: *mut Run, addr: u64, pc: u64, width: u64) -> Answer {
    // SAFETY: the caller's promise.
    let (machine, program) = unsafe { parts(run) };
    match machine.atomic(program, addr, width as u32) {
        Ok(addr) => go(addr),
        Err(cause) => refuse(machine, program, pc, cause),
    }
}

fn call_helper<'p>(
    machine: &mut Machine<'p>,
    program: &'p Program,
    pc: u64,
    helper: HelperFn,
) -> Result<u64, Box<Trap>> {
    let [_, r1, r2, r3, r4, r5, ..] = machine.run.regs;
    let regs = machine.run.regs;
    let mut call = Call {
        machine,
        program,
        pc: pc as usize,
    };
    let answer = helper(&mut call, [r1, r2, r3, r4, r5]);
    // A callback has overwritten them.
    machine.run.regs = regs;
    answer.map_err(Box::new)
}

fn helper_at(program: &Program, index: u64) -> HelperFn {
    program.helpers[index as usize].1
}

/// Calls a helper, after which windows may be wrong.
///
/// # Safety
/// As [`load`]; the arguments are in `Run::regs`, `index` is one of the program's helpers.
pub unsafe extern "C" fn helper(run: *mut Run, index: u64, pc: u64) -> Answer {
    // SAFETY: the caller's promise.
    let (machine, program) = unsafe { parts(run) };
    match call_helper(machine, program, pc, helper_at(program, index)) {
        Ok(value) => {
            machine.memory.forget();
            go(value)
        }
        Err(trap) => end(machine, *trap),
    }
}

/// Calls a helper that leaves windows as they are.
///
/// # Safety
/// As [`helper`].
pub unsafe extern "C" fn pure(run: *mut Run, index: u64, pc: u64) -> Answer {
    // SAFETY: the caller's promise.
    let (machine, program) = unsafe { parts(run) };
    match call_helper(machine, program, pc, helper_at(program, index)) {
        Ok(value) => go(value),
        Err(trap) => end(machine, *trap),
    }
}

/// Opens the frame of a function that is called; `frame` is what the operation carries. The code moves r10.
///
/// # Safety
/// As [`load`].
pub unsafe extern "C" fn enter(run: *mut Run, frame: u64, pc: u64) -> Answer {
    // SAFETY: the caller's promise.
    let (machine, program) = unsafe { parts(run) };
    open(machine, program, frame as i32, pc).map_or_else(|answer| answer, |()| go(0))
}

fn open(machine: &mut Machine<'_>, program: &Program, frame: i32, pc: u64) -> Result<(), Answer> {
    let depth = machine.memory.depth;
    if depth + 1 >= machine.depth_max {
        return Err(refuse(
            machine,
            program,
            pc,
            TrapCause::CallDepth { max: FRAMES },
        ));
    }
    machine.memory.depth = depth + 1;
    machine.open_frame(frame);
    Ok(())
}

/// Forgets windows of the frame that was just left.
///
/// # Safety
/// As [`load`].
pub unsafe extern "C" fn forget(run: *mut Run) -> Answer {
    // SAFETY: the caller's promise.
    let (machine, _) = unsafe { parts(run) };
    machine.memory.forget();
    go(0)
}

/// `callx`: answers the address of the code to call, whose frame is open then; or 0, and a helper has answered in
/// `Run::scratch`.
///
/// # Safety
/// As [`load`].
pub unsafe extern "C" fn call_x(run: *mut Run, target: u64, pc: u64) -> Answer {
    // SAFETY: the caller's promise.
    let (machine, program) = unsafe { parts(run) };
    if let Some(index) = program.function_index_at(target)
        && let Some(code) = program.code(machine.run.limited)
    {
        let address = code.function(index);
        return match open(machine, program, program.functions[index].frame(), pc) {
            Ok(()) => go(address as u64),
            Err(answer) => answer,
        };
    }
    let Some(function) = u32::try_from(target).ok().and_then(helper::by_id) else {
        return refuse(machine, program, pc, TrapCause::BadCall { target });
    };
    match call_helper(machine, program, pc, function) {
        Ok(value) => {
            machine.memory.forget();
            machine.run.scratch = value;
            go(0)
        }
        Err(trap) => end(machine, *trap),
    }
}

/// What a tail call comes to.
pub mod tail {
    /// It failed; r0 is in `Run::scratch`, and the program goes on.
    pub const FAILED: u64 = 0;
    /// The other program has run; r0 is in `Run::scratch`, and the function that called returns it.
    pub const DONE: u64 = 1;
}

/// `bpf_tail_call`: answers one of [`tail`], or else the address at which the other program starts, whose frame is
/// open; the code leaves its own first.
///
/// # Safety
/// As [`helper`].
pub unsafe extern "C" fn tail_call(run: *mut Run, index: u64, pc: u64) -> Answer {
    // SAFETY: the caller's promise.
    let (machine, program) = unsafe { parts(run) };
    let value = match call_helper(machine, program, pc, helper_at(program, index)) {
        Ok(value) => value,
        Err(trap) => return end(machine, *trap),
    };
    let Some(next) = machine.tail.take() else {
        machine.run.scratch = value;
        return go(tail::FAILED);
    };
    let Some(entry) = next.functions.first() else {
        return refuse(machine, next, 0, TrapCause::BadCall { target: 0 });
    };
    machine.memory.forget();
    machine.open_frame(entry.frame());
    machine.may_goto = MAY_GOTO_MAX;
    machine.depth_max = (machine.memory.depth + FRAMES).min(FRAMES_MAX);
    if let Err(cause) = machine.account(0) {
        return refuse(machine, next, 0, cause);
    }
    machine.run.program = next;
    // One run is compiled as a whole, so that a function leaves behind in r1 to r5 what it would anywhere.
    let _ = next.compile(&super::JitOptions::default());
    let limited = machine.run.limited;
    let args = [machine.ctx_addr, 0, 0, 0, 0];
    let result = match (next.code(limited), program.code(limited)) {
        // Frames lie in the same place, so one follows the other. What needs no machine has its own way to answer.
        (Some(code), Some(own)) if code.native == own.native && !code.lean => {
            return go(code.start() as u64);
        }
        (Some(code), _) => super::exec(machine, next, code, code.start(), args),
        (None, _) => crate::interp::exec(machine, next, 0, args),
    };
    match result {
        Ok(value) => {
            machine.run.program = program;
            machine.run.scratch = value;
            match machine.account(0) {
                Ok(_) => go(tail::DONE),
                Err(cause) => refuse(machine, program, pc, cause),
            }
        }
        Err(trap) => end(machine, trap),
    }
}

/// `ld_abs` and `ld_ind`: answers r0.
///
/// # Safety
/// As [`load`].
pub unsafe extern "C" fn packet(
    run: *mut Run,
    offset: u64,
    pc: u64,
    width: u64,
    r6: u64,
) -> Answer {
    // SAFETY: the caller's promise.
    let (machine, program) = unsafe { parts(run) };
    let refused = |what: &str| TrapCause::BadArgument {
        helper: "ld_abs",
        what: what.into(),
    };
    if r6 != machine.ctx_addr || !matches!(machine.memory.place, Place::Packet(_)) {
        let cause = refused("packet loads need the packet's context in r6");
        return refuse(machine, program, pc, cause);
    }
    match machine.load_packet(offset as i32, width as u32) {
        Some(value) => go(value),
        None if machine.memory.depth != machine.run.base => {
            let cause = refused("packet loads are not allowed in functions");
            refuse(machine, program, pc, cause)
        }
        None => Answer {
            value: 0,
            stop: stop::ZERO,
        },
    }
}

/// The budget's slice is used up: grants another or ends the run.
///
/// # Safety
/// As [`load`].
pub unsafe extern "C" fn account(run: *mut Run, _: u64, pc: u64) -> Answer {
    // SAFETY: the caller's promise.
    let (machine, program) = unsafe { parts(run) };
    match machine.account(0) {
        Ok(_) => go(0),
        Err(cause) => refuse(machine, program, pc, cause),
    }
}

/// An operation that cannot be run.
///
/// # Safety
/// As [`load`].
pub unsafe extern "C" fn poison(run: *mut Run, _: u64, pc: u64) -> Answer {
    // SAFETY: the caller's promise.
    let (machine, program) = unsafe { parts(run) };
    let cause = TrapCause::Poison(program.poison_at(pc as usize).into());
    refuse(machine, program, pc, cause)
}
