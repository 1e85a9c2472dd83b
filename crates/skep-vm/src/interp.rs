//! The interpreter: one loop, one match, operations that were checked once.
//!
//! Invariants: `op` always points at an operation of `program.ops` that starts an instruction (the decoder checked every
//! target, and that nothing runs off the end); register numbers index the register file; memory is touched only after a
//! window or the machine said yes, except for `Raw` operations, which the decoder proved to be inside of the frame or a
//! verifier proved to be good.

use core::ptr::{with_exposed_provenance as at, with_exposed_provenance_mut as at_mut};
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::decode::{Code, Op};
use crate::helper::{Call, HelperFn};
use crate::machine::{MAY_GOTO_MAX, Machine, Saved};
use crate::memory::{FRAME_STRIDE, FRAMES, FRAMES_MAX, Place};
use crate::program::Program;
use crate::trap::{Trap, TrapCause};

const OP_BYTES: u64 = size_of::<Op>() as u64;

/// Runs a function, whose frame is open, until it returns; answers r0.
pub(crate) fn exec<'p>(
    machine: &mut Machine<'p>,
    program: &'p Program,
    start: usize,
    args: [u64; 5],
) -> Result<u64, Trap> {
    if machine.watch.is_some() {
        run::<true>(machine, program, start, args)
    } else {
        run::<false>(machine, program, start, args)
    }
}

/// The loop; `WATCHED` shows every instruction to the machine's watch first.
fn run<'p, const WATCHED: bool>(
    machine: &mut Machine<'p>,
    program: &'p Program,
    start: usize,
    args: [u64; 5],
) -> Result<u64, Trap> {
    let mut program = program;
    let base = machine.memory.depth;
    let [r1, r2, r3, r4, r5] = args;
    let mut r: [u64; 11] = [
        0,
        r1,
        r2,
        r3,
        r4,
        r5,
        0,
        0,
        0,
        0,
        machine.memory.frame_top(base),
    ];
    let Some(first) = program.ops.get(start) else {
        return Err(machine.trap(
            program,
            start,
            TrapCause::BadCall {
                target: start as u64,
            },
            &r,
        ));
    };
    let mut op: *const Op = first;
    // Instructions executed are those between `anchor` and the current operation: each jump moves the anchor with it.
    let mut anchor = op as u64;
    let mut limit = machine.slice() * OP_BYTES;

    macro_rules! pc {
        () => {
            (op as usize - program.ops.as_ptr() as usize) / OP_BYTES as usize
        };
    }
    macro_rules! trap {
        ($cause:expr) => {{
            machine.executed += (op as u64).wrapping_sub(anchor) / OP_BYTES + 1;
            let cause = $cause;
            return Err(machine.trap(program, pc!(), cause, &r));
        }};
    }

    loop {
        if WATCHED && !machine.show(program, pc!(), &r) {
            trap!(TrapCause::Interrupted)
        }
        // SAFETY: the first invariant of this module.
        let i = unsafe { *op };
        // SAFETY: the decoder refuses register numbers above 10.
        unsafe {
            core::hint::assert_unchecked(i.dst < 11);
            core::hint::assert_unchecked(i.src < 11);
        }
        macro_rules! next {
            () => {{
                // SAFETY: only jumps, exits and poisons are last in a program.
                op = unsafe { op.add(1) };
                continue;
            }};
        }
        macro_rules! dst {
            () => {
                r[i.dst as usize]
            };
        }
        macro_rules! src {
            () => {
                r[i.src as usize]
            };
        }
        macro_rules! second {
            ($t:ty, K) => {
                i.imm as $t
            };
            ($t:ty, X) => {
                src!() as $t
            };
        }
        macro_rules! alu {
            ($t:ty, $form:ident, |$x:ident, $y:ident| $e:expr) => {{
                let $x = dst!() as $t;
                let $y = second!($t, $form);
                dst!() = $e as u64;
                next!()
            }};
        }
        // Moves on by `$ops` operations and one, counting what ran.
        macro_rules! go {
            ($ops:expr) => {{
                let moved = ($ops as i64 as u64).wrapping_mul(OP_BYTES);
                anchor = anchor.wrapping_add(moved);
                // SAFETY: the decoder checked the target.
                op = unsafe { op.offset($ops as isize + 1) };
                if (op as u64).wrapping_sub(anchor) > limit {
                    match machine.account((op as u64).wrapping_sub(anchor) / OP_BYTES) {
                        Ok(slice) => limit = slice * OP_BYTES,
                        Err(cause) => return Err(machine.trap(program, pc!(), cause, &r)),
                    }
                    anchor = op as u64;
                }
                continue;
            }};
        }
        macro_rules! jump {
            ($t:ty, $form:ident, |$x:ident, $y:ident| $e:expr) => {{
                let $x = dst!() as $t;
                let $y = second!($t, $form);
                if $e {
                    go!(i.off);
                }
                next!()
            }};
        }
        macro_rules! load {
            ($t:ty, $index:literal, $as:ty) => {{
                let addr = src!().wrapping_add(i.off as i64 as u64);
                let [first, second] = &machine.memory.readable;
                let value = if addr.wrapping_sub(first.start) < first.limits[$index]
                    || addr.wrapping_sub(second.start) < second.limits[$index]
                {
                    // SAFETY: a window holds all bytes of the access.
                    unsafe { at::<$t>(addr as usize).read_unaligned() }
                } else {
                    match machine.load_slow(program, addr, size_of::<$t>() as u32) {
                        // A whole pointer out of a 4-byte load of a context.
                        Ok(value) if $index == 2 && value >> 32 != 0 => {
                            dst!() = value;
                            next!()
                        }
                        Ok(value) => value as $t,
                        Err(cause) => trap!(cause),
                    }
                };
                dst!() = value as $as as u64;
                next!()
            }};
        }
        macro_rules! store {
            ($t:ty, $index:literal, $value:expr) => {{
                let addr = dst!().wrapping_add(i.off as i64 as u64);
                let value = $value as $t;
                let [first, second] = &machine.memory.writable;
                if addr.wrapping_sub(first.start) < first.limits[$index]
                    || addr.wrapping_sub(second.start) < second.limits[$index]
                {
                    // SAFETY: a window holds all bytes of the access.
                    unsafe { at_mut::<$t>(addr as usize).write_unaligned(value) };
                } else if let Err(cause) =
                    machine.store_slow(program, addr, size_of::<$t>() as u32, value as u64)
                {
                    trap!(cause)
                }
                next!()
            }};
        }
        // A pointer of the kernel's structures: what cannot be read is 0.
        macro_rules! load_probe {
            ($t:ty, $as:ty) => {{
                let addr = src!().wrapping_add(i.off as i64 as u64);
                let value = machine
                    .load_slow(program, addr, size_of::<$t>() as u32)
                    .unwrap_or(0);
                dst!() = value as $t as $as as u64;
                next!()
            }};
        }
        macro_rules! load_raw {
            ($t:ty, $as:ty) => {{
                let addr = src!().wrapping_add(i.off as i64 as u64);
                // SAFETY: the decoder made sure that these bytes are in the frame, or a proof says that they may be read.
                dst!() = unsafe { at::<$t>(addr as usize).read_unaligned() } as $as as u64;
                next!()
            }};
        }
        macro_rules! store_raw {
            ($t:ty, $value:expr) => {{
                let addr = dst!().wrapping_add(i.off as i64 as u64);
                // SAFETY: the decoder made sure that these bytes are in the frame, or a proof says that they may be written.
                unsafe { at_mut::<$t>(addr as usize).write_unaligned($value as $t) };
                next!()
            }};
        }
        // `$base` is the register with the address.
        macro_rules! atomic {
            ($atomic:ty, $width:literal, $base:expr, |$cell:ident| $e:expr) => {{
                let addr = $base.wrapping_add(i.off as i64 as u64);
                let found = if i.direct {
                    Ok(addr)
                } else {
                    machine.atomic(program, addr, $width)
                };
                match found {
                    Ok(addr) => {
                        // SAFETY: the machine found the bytes writable and aligned, or a verifier did; others may access them at
                        // the same time.
                        let $cell = unsafe { <$atomic>::from_ptr(at_mut(addr as usize)) };
                        $e
                    }
                    Err(cause) => trap!(cause),
                }
                next!()
            }};
        }
        macro_rules! fetch {
            ($atomic:ty, $t:ty, $width:literal, $method:ident) => {
                atomic!($atomic, $width, dst!(), |cell| src!() =
                    cell.$method(src!() as $t, Ordering::SeqCst) as u64)
            };
        }
        macro_rules! update {
            ($atomic:ty, $t:ty, $width:literal, $method:ident) => {
                atomic!($atomic, $width, dst!(), |cell| {
                    cell.$method(src!() as $t, Ordering::Relaxed);
                })
            };
        }
        macro_rules! cmpxchg {
            ($atomic:ty, $t:ty, $width:literal) => {
                atomic!($atomic, $width, dst!(), |cell| {
                    r[0] = match cell.compare_exchange(
                        r[0] as $t,
                        src!() as $t,
                        Ordering::SeqCst,
                        Ordering::SeqCst,
                    ) {
                        Ok(old) | Err(old) => old as u64,
                    }
                })
            };
        }
        macro_rules! load_acquire {
            ($atomic:ty, $width:literal) => {
                atomic!($atomic, $width, src!(), |cell| dst!() =
                    cell.load(Ordering::Acquire) as u64)
            };
        }
        macro_rules! store_release {
            ($atomic:ty, $t:ty, $width:literal) => {
                atomic!($atomic, $width, dst!(), |cell| cell
                    .store(src!() as $t, Ordering::Release))
            };
        }
        // Calls operation `$ops` further on, whose function has `$stack` bytes of frame.
        macro_rules! enter {
            ($ops:expr, $stack:expr) => {{
                let depth = machine.memory.depth;
                if depth + 1 >= machine.depth_max {
                    trap!(TrapCause::CallDepth { max: FRAMES })
                }
                // SAFETY: a call is never the last operation.
                let back = unsafe { op.add(1) };
                machine.saved[depth].write(Saved {
                    program,
                    back,
                    regs: [r[6], r[7], r[8], r[9]],
                    may_goto: machine.may_goto,
                });
                machine.may_goto = MAY_GOTO_MAX;
                machine.memory.depth = depth + 1;
                machine.open_frame($stack);
                r[10] = r[10].wrapping_sub(FRAME_STRIDE as u64);
                go!($ops)
            }};
        }
        macro_rules! helper_at {
            () => {
                // SAFETY: the decoder made the index.
                unsafe { program.helpers.get_unchecked(i.imm as usize) }.1
            };
        }
        macro_rules! helper {
            ($function:expr) => {{
                let helper: HelperFn = $function;
                let args = [r[1], r[2], r[3], r[4], r[5]];
                match helper(
                    &mut Call {
                        machine,
                        program,
                        pc: pc!(),
                    },
                    args,
                ) {
                    Ok(value) => r[0] = value,
                    Err(mut trap) => {
                        machine.executed += (op as u64).wrapping_sub(anchor) / OP_BYTES + 1;
                        // A trap of a callback has its own registers, which r10 shows.
                        if trap.regs[10] == 0 {
                            *trap.regs = r;
                        }
                        return Err(trap);
                    }
                }
            }};
        }

        match i.code {
            Code::Add64K => alu!(u64, K, |x, y| x.wrapping_add(y)),
            Code::Add64X => alu!(u64, X, |x, y| x.wrapping_add(y)),
            Code::Add32K => alu!(u32, K, |x, y| x.wrapping_add(y)),
            Code::Add32X => alu!(u32, X, |x, y| x.wrapping_add(y)),
            Code::Sub64K => alu!(u64, K, |x, y| x.wrapping_sub(y)),
            Code::Sub64X => alu!(u64, X, |x, y| x.wrapping_sub(y)),
            Code::Sub32K => alu!(u32, K, |x, y| x.wrapping_sub(y)),
            Code::Sub32X => alu!(u32, X, |x, y| x.wrapping_sub(y)),
            Code::Mul64K => alu!(u64, K, |x, y| x.wrapping_mul(y)),
            Code::Mul64X => alu!(u64, X, |x, y| x.wrapping_mul(y)),
            Code::Mul32K => alu!(u32, K, |x, y| x.wrapping_mul(y)),
            Code::Mul32X => alu!(u32, X, |x, y| x.wrapping_mul(y)),
            Code::Div64K => alu!(u64, K, |x, y| x.checked_div(y).unwrap_or(0)),
            Code::Div64X => alu!(u64, X, |x, y| x.checked_div(y).unwrap_or(0)),
            Code::Div32K => alu!(u32, K, |x, y| x.checked_div(y).unwrap_or(0)),
            Code::Div32X => alu!(u32, X, |x, y| x.checked_div(y).unwrap_or(0)),
            Code::Or64K => alu!(u64, K, |x, y| x | y),
            Code::Or64X => alu!(u64, X, |x, y| x | y),
            Code::Or32K => alu!(u32, K, |x, y| x | y),
            Code::Or32X => alu!(u32, X, |x, y| x | y),
            Code::And64K => alu!(u64, K, |x, y| x & y),
            Code::And64X => alu!(u64, X, |x, y| x & y),
            Code::And32K => alu!(u32, K, |x, y| x & y),
            Code::And32X => alu!(u32, X, |x, y| x & y),
            Code::Lsh64K => alu!(u64, K, |x, y| x.wrapping_shl(y as u32)),
            Code::Lsh64X => alu!(u64, X, |x, y| x.wrapping_shl(y as u32)),
            Code::Lsh32K => alu!(u32, K, |x, y| x.wrapping_shl(y)),
            Code::Lsh32X => alu!(u32, X, |x, y| x.wrapping_shl(y)),
            Code::Rsh64K => alu!(u64, K, |x, y| x.wrapping_shr(y as u32)),
            Code::Rsh64X => alu!(u64, X, |x, y| x.wrapping_shr(y as u32)),
            Code::Rsh32K => alu!(u32, K, |x, y| x.wrapping_shr(y)),
            Code::Rsh32X => alu!(u32, X, |x, y| x.wrapping_shr(y)),
            Code::Mod64K => alu!(u64, K, |x, y| x.checked_rem(y).unwrap_or(x)),
            Code::Mod64X => alu!(u64, X, |x, y| x.checked_rem(y).unwrap_or(x)),
            Code::Mod32K => alu!(u32, K, |x, y| x.checked_rem(y).unwrap_or(x)),
            Code::Mod32X => alu!(u32, X, |x, y| x.checked_rem(y).unwrap_or(x)),
            Code::Xor64K => alu!(u64, K, |x, y| x ^ y),
            Code::Xor64X => alu!(u64, X, |x, y| x ^ y),
            Code::Xor32K => alu!(u32, K, |x, y| x ^ y),
            Code::Xor32X => alu!(u32, X, |x, y| x ^ y),
            Code::Mov64K => alu!(u64, K, |_x, y| y),
            Code::Mov64X => alu!(u64, X, |_x, y| y),
            Code::Mov32K => alu!(u32, K, |_x, y| y),
            Code::Mov32X => alu!(u32, X, |_x, y| y),
            Code::Arsh64K => alu!(u64, K, |x, y| ((x as i64).wrapping_shr(y as u32)) as u64),
            Code::Arsh64X => alu!(u64, X, |x, y| ((x as i64).wrapping_shr(y as u32)) as u64),
            Code::Arsh32K => alu!(u32, K, |x, y| ((x as i32).wrapping_shr(y)) as u32),
            Code::Arsh32X => alu!(u32, X, |x, y| ((x as i32).wrapping_shr(y)) as u32),
            Code::Sdiv64K => alu!(u64, K, |x, y| sdiv64(x, y)),
            Code::Sdiv64X => alu!(u64, X, |x, y| sdiv64(x, y)),
            Code::Sdiv32K => alu!(u32, K, |x, y| sdiv32(x, y)),
            Code::Sdiv32X => alu!(u32, X, |x, y| sdiv32(x, y)),
            Code::Smod64K => alu!(u64, K, |x, y| smod64(x, y)),
            Code::Smod64X => alu!(u64, X, |x, y| smod64(x, y)),
            Code::Smod32K => alu!(u32, K, |x, y| smod32(x, y)),
            Code::Smod32X => alu!(u32, X, |x, y| smod32(x, y)),
            Code::Jeq64K => jump!(u64, K, |x, y| x == y),
            Code::Jeq64X => jump!(u64, X, |x, y| x == y),
            Code::Jeq32K => jump!(u32, K, |x, y| x == y),
            Code::Jeq32X => jump!(u32, X, |x, y| x == y),
            Code::Jne64K => jump!(u64, K, |x, y| x != y),
            Code::Jne64X => jump!(u64, X, |x, y| x != y),
            Code::Jne32K => jump!(u32, K, |x, y| x != y),
            Code::Jne32X => jump!(u32, X, |x, y| x != y),
            Code::Jgt64K => jump!(u64, K, |x, y| x > y),
            Code::Jgt64X => jump!(u64, X, |x, y| x > y),
            Code::Jgt32K => jump!(u32, K, |x, y| x > y),
            Code::Jgt32X => jump!(u32, X, |x, y| x > y),
            Code::Jge64K => jump!(u64, K, |x, y| x >= y),
            Code::Jge64X => jump!(u64, X, |x, y| x >= y),
            Code::Jge32K => jump!(u32, K, |x, y| x >= y),
            Code::Jge32X => jump!(u32, X, |x, y| x >= y),
            Code::Jlt64K => jump!(u64, K, |x, y| x < y),
            Code::Jlt64X => jump!(u64, X, |x, y| x < y),
            Code::Jlt32K => jump!(u32, K, |x, y| x < y),
            Code::Jlt32X => jump!(u32, X, |x, y| x < y),
            Code::Jle64K => jump!(u64, K, |x, y| x <= y),
            Code::Jle64X => jump!(u64, X, |x, y| x <= y),
            Code::Jle32K => jump!(u32, K, |x, y| x <= y),
            Code::Jle32X => jump!(u32, X, |x, y| x <= y),
            Code::Jsgt64K => jump!(u64, K, |x, y| (x as i64) > (y as i64)),
            Code::Jsgt64X => jump!(u64, X, |x, y| (x as i64) > (y as i64)),
            Code::Jsgt32K => jump!(u32, K, |x, y| (x as i32) > (y as i32)),
            Code::Jsgt32X => jump!(u32, X, |x, y| (x as i32) > (y as i32)),
            Code::Jsge64K => jump!(u64, K, |x, y| (x as i64) >= (y as i64)),
            Code::Jsge64X => jump!(u64, X, |x, y| (x as i64) >= (y as i64)),
            Code::Jsge32K => jump!(u32, K, |x, y| (x as i32) >= (y as i32)),
            Code::Jsge32X => jump!(u32, X, |x, y| (x as i32) >= (y as i32)),
            Code::Jslt64K => jump!(u64, K, |x, y| (x as i64) < (y as i64)),
            Code::Jslt64X => jump!(u64, X, |x, y| (x as i64) < (y as i64)),
            Code::Jslt32K => jump!(u32, K, |x, y| (x as i32) < (y as i32)),
            Code::Jslt32X => jump!(u32, X, |x, y| (x as i32) < (y as i32)),
            Code::Jsle64K => jump!(u64, K, |x, y| (x as i64) <= (y as i64)),
            Code::Jsle64X => jump!(u64, X, |x, y| (x as i64) <= (y as i64)),
            Code::Jsle32K => jump!(u32, K, |x, y| (x as i32) <= (y as i32)),
            Code::Jsle32X => jump!(u32, X, |x, y| (x as i32) <= (y as i32)),
            Code::Jset64K => jump!(u64, K, |x, y| x & y != 0),
            Code::Jset64X => jump!(u64, X, |x, y| x & y != 0),
            Code::Jset32K => jump!(u32, K, |x, y| x & y != 0),
            Code::Jset32X => jump!(u32, X, |x, y| x & y != 0),
            Code::Neg64 => {
                dst!() = dst!().wrapping_neg();
                next!()
            }
            Code::Neg32 => {
                dst!() = u64::from((dst!() as u32).wrapping_neg());
                next!()
            }
            Code::Movsx8To64 => {
                dst!() = src!() as i8 as u64;
                next!()
            }
            Code::Movsx16To64 => {
                dst!() = src!() as i16 as u64;
                next!()
            }
            Code::Movsx32To64 => {
                dst!() = src!() as i32 as u64;
                next!()
            }
            Code::Movsx8To32 => {
                dst!() = u64::from(src!() as i8 as u32);
                next!()
            }
            Code::Movsx16To32 => {
                dst!() = u64::from(src!() as i16 as u32);
                next!()
            }
            Code::Le16 => {
                dst!() = u64::from((dst!() as u16).to_le());
                next!()
            }
            Code::Le32 => {
                dst!() = u64::from((dst!() as u32).to_le());
                next!()
            }
            Code::Be16 => {
                dst!() = u64::from((dst!() as u16).to_be());
                next!()
            }
            Code::Be32 => {
                dst!() = u64::from((dst!() as u32).to_be());
                next!()
            }
            Code::Be64 => {
                dst!() = dst!().to_be();
                next!()
            }
            Code::Swap16 => {
                dst!() = u64::from((dst!() as u16).swap_bytes());
                next!()
            }
            Code::Swap32 => {
                dst!() = u64::from((dst!() as u32).swap_bytes());
                next!()
            }
            Code::Swap64 => {
                dst!() = dst!().swap_bytes();
                next!()
            }
            Code::Nop => next!(),
            Code::LdImm64 => {
                dst!() = i.imm as u64;
                anchor = anchor.wrapping_add(OP_BYTES);
                // SAFETY: both halves are followed by an operation.
                op = unsafe { op.add(2) };
            }
            Code::LdMap => {
                // SAFETY: the decoder checked the index.
                dst!() = unsafe { program.maps.as_ptr().add(i.imm as usize) } as u64;
                anchor = anchor.wrapping_add(OP_BYTES);
                // SAFETY: both halves are followed by an operation.
                op = unsafe { op.add(2) };
            }
            Code::LdFunc => {
                // SAFETY: the decoder checked the index.
                dst!() = unsafe { program.ops.as_ptr().add(i.imm as usize) } as u64;
                anchor = anchor.wrapping_add(OP_BYTES);
                // SAFETY: both halves are followed by an operation.
                op = unsafe { op.add(2) };
            }
            Code::LdB => load!(u8, 0, u8),
            Code::LdH => load!(u16, 1, u16),
            Code::LdW => load!(u32, 2, u32),
            Code::LdD => load!(u64, 3, u64),
            Code::LdsB => load!(i8, 0, i8),
            Code::LdsH => load!(i16, 1, i16),
            Code::LdsW => load!(i32, 2, i32),
            Code::LdRawB => load_raw!(u8, u8),
            Code::LdRawH => load_raw!(u16, u16),
            Code::LdRawW => load_raw!(u32, u32),
            Code::LdRawD => load_raw!(u64, u64),
            Code::LdsRawB => load_raw!(i8, i8),
            Code::LdsRawH => load_raw!(i16, i16),
            Code::LdsRawW => load_raw!(i32, i32),
            Code::LdProbeB => load_probe!(u8, u8),
            Code::LdProbeH => load_probe!(u16, u16),
            Code::LdProbeW => load_probe!(u32, u32),
            Code::LdProbeD => load_probe!(u64, u64),
            Code::LdsProbeB => load_probe!(i8, i8),
            Code::LdsProbeH => load_probe!(i16, i16),
            Code::LdsProbeW => load_probe!(i32, i32),
            Code::StB => store!(u8, 0, i.imm),
            Code::StH => store!(u16, 1, i.imm),
            Code::StW => store!(u32, 2, i.imm),
            Code::StD => store!(u64, 3, i.imm),
            Code::StxB => store!(u8, 0, src!()),
            Code::StxH => store!(u16, 1, src!()),
            Code::StxW => store!(u32, 2, src!()),
            Code::StxD => store!(u64, 3, src!()),
            Code::StRawB => store_raw!(u8, i.imm),
            Code::StRawH => store_raw!(u16, i.imm),
            Code::StRawW => store_raw!(u32, i.imm),
            Code::StRawD => store_raw!(u64, i.imm),
            Code::StxRawB => store_raw!(u8, src!()),
            Code::StxRawH => store_raw!(u16, src!()),
            Code::StxRawW => store_raw!(u32, src!()),
            Code::StxRawD => store_raw!(u64, src!()),
            Code::AtomicAdd32 => update!(AtomicU32, u32, 4, fetch_add),
            Code::AtomicOr32 => update!(AtomicU32, u32, 4, fetch_or),
            Code::AtomicAnd32 => update!(AtomicU32, u32, 4, fetch_and),
            Code::AtomicXor32 => update!(AtomicU32, u32, 4, fetch_xor),
            Code::AtomicAdd64 => update!(AtomicU64, u64, 8, fetch_add),
            Code::AtomicOr64 => update!(AtomicU64, u64, 8, fetch_or),
            Code::AtomicAnd64 => update!(AtomicU64, u64, 8, fetch_and),
            Code::AtomicXor64 => update!(AtomicU64, u64, 8, fetch_xor),
            Code::FetchAdd32 => fetch!(AtomicU32, u32, 4, fetch_add),
            Code::FetchOr32 => fetch!(AtomicU32, u32, 4, fetch_or),
            Code::FetchAnd32 => fetch!(AtomicU32, u32, 4, fetch_and),
            Code::FetchXor32 => fetch!(AtomicU32, u32, 4, fetch_xor),
            Code::Xchg32 => fetch!(AtomicU32, u32, 4, swap),
            Code::FetchAdd64 => fetch!(AtomicU64, u64, 8, fetch_add),
            Code::FetchOr64 => fetch!(AtomicU64, u64, 8, fetch_or),
            Code::FetchAnd64 => fetch!(AtomicU64, u64, 8, fetch_and),
            Code::FetchXor64 => fetch!(AtomicU64, u64, 8, fetch_xor),
            Code::Xchg64 => fetch!(AtomicU64, u64, 8, swap),
            Code::CmpXchg32 => cmpxchg!(AtomicU32, u32, 4),
            Code::CmpXchg64 => cmpxchg!(AtomicU64, u64, 8),
            Code::LoadAcqB => load_acquire!(AtomicU8, 1),
            Code::LoadAcqH => load_acquire!(AtomicU16, 2),
            Code::LoadAcqW => load_acquire!(AtomicU32, 4),
            Code::LoadAcqD => load_acquire!(AtomicU64, 8),
            Code::StoreRelB => store_release!(AtomicU8, u8, 1),
            Code::StoreRelH => store_release!(AtomicU16, u16, 2),
            Code::StoreRelW => store_release!(AtomicU32, u32, 4),
            Code::StoreRelD => store_release!(AtomicU64, u64, 8),
            Code::Ja => go!(i.off),
            Code::MayGoto => {
                if machine.may_goto == 0 {
                    go!(i.off);
                }
                machine.may_goto -= 1;
                next!()
            }
            Code::Call => enter!(i.imm, i.off),
            Code::CallPure => {
                helper!(helper_at!());
                next!()
            }
            Code::CallHelper => {
                helper!(helper_at!());
                machine.memory.forget();
                next!()
            }
            Code::CallX => {
                let target = dst!();
                if let Some(function) = program.function_at(target) {
                    // Distances between operations of one program fit.
                    let delta = function.start as i64 - pc!() as i64 - 1;
                    enter!(delta, function.frame())
                }
                // A small number is a helper's, as the conformance suite has it; addresses are never small.
                let Some(function) = u32::try_from(target).ok().and_then(crate::helper::by_id)
                else {
                    trap!(TrapCause::BadCall { target })
                };
                helper!(function);
                machine.memory.forget();
                next!()
            }
            Code::TailCall => {
                helper!(helper_at!());
                let Some(next) = machine.tail.take() else {
                    next!()
                };
                machine.executed += (op as u64).wrapping_sub(anchor) / OP_BYTES + 1;
                program = next;
                let Some(entry) = program.functions.first() else {
                    return Err(machine.trap(program, 0, TrapCause::BadCall { target: 0 }, &r));
                };
                machine.memory.forget();
                machine.open_frame(entry.frame());
                machine.may_goto = MAY_GOTO_MAX;
                machine.depth_max = (machine.memory.depth + FRAMES).min(FRAMES_MAX);
                r = [0, machine.ctx_addr, 0, 0, 0, 0, 0, 0, 0, 0, r[10]];
                op = program.ops.as_ptr();
                anchor = op as u64;
                match machine.account(0) {
                    Ok(slice) => limit = slice * OP_BYTES,
                    Err(cause) => return Err(machine.trap(program, 0, cause, &r)),
                }
            }
            Code::Exit => {
                let depth = machine.memory.depth;
                if depth == base {
                    machine.executed += (op as u64).wrapping_sub(anchor) / OP_BYTES + 1;
                    return Ok(r[0]);
                }
                machine.memory.depth = depth - 1;
                machine.memory.forget_frame();
                // SAFETY: `enter` wrote it when it made this frame.
                let saved = unsafe { machine.saved[depth - 1].assume_init_ref() };
                [r[6], r[7], r[8], r[9]] = saved.regs;
                r[10] = r[10].wrapping_add(FRAME_STRIDE as u64);
                machine.may_goto = saved.may_goto;
                program = saved.program;
                // After a tail call this crosses programs; only the difference counts.
                anchor =
                    anchor.wrapping_add((saved.back as u64).wrapping_sub(op as u64 + OP_BYTES));
                op = saved.back;
            }
            Code::Packet => {
                let offset = if i.dst == 1 {
                    src!().wrapping_add(i.imm as u64) as u32 as i32
                } else {
                    i.imm as i32
                };
                if r[6] != machine.ctx_addr || !matches!(machine.memory.place, Place::Packet(_)) {
                    let what = "packet loads need the packet's context in r6".into();
                    trap!(TrapCause::BadArgument {
                        helper: "ld_abs",
                        what
                    })
                }
                match machine.load_packet(offset, i.off as u32) {
                    Some(value) => {
                        r[0] = value;
                        next!()
                    }
                    // The kernel ends the program with 0.
                    None => {
                        r[0] = 0;
                        let depth = machine.memory.depth;
                        machine.executed += (op as u64).wrapping_sub(anchor) / OP_BYTES + 1;
                        if depth != base {
                            let what = "packet loads are not allowed in functions".into();
                            trap!(TrapCause::BadArgument {
                                helper: "ld_abs",
                                what
                            })
                        }
                        return Ok(0);
                    }
                }
            }
            Code::Poison => {
                let at = pc!();
                trap!(TrapCause::Poison(program.poison_at(at).into()))
            }
        }
    }
}

fn sdiv64(x: u64, y: u64) -> u64 {
    if y == 0 {
        0
    } else {
        (x as i64).wrapping_div(y as i64) as u64
    }
}

fn sdiv32(x: u32, y: u32) -> u32 {
    if y == 0 {
        0
    } else {
        (x as i32).wrapping_div(y as i32) as u32
    }
}

fn smod64(x: u64, y: u64) -> u64 {
    if y == 0 {
        x
    } else {
        (x as i64).wrapping_rem(y as i64) as u64
    }
}

fn smod32(x: u32, y: u32) -> u32 {
    if y == 0 {
        x
    } else {
        (x as i32).wrapping_rem(y as i32) as u32
    }
}
