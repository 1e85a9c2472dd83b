//! The functions of a program: where they start and how much stack they can see; resolves what refers to them.
//!
//! Invariants: an operation of one function is reached only through its start, or else every function has a whole frame;
//! a function whose frame pointer is only ever the base of a load or store has no more stack than those touch.

use super::{Code, LoadError, Op, malformed};
use crate::memory::FRAME_BYTES;
use crate::program::Image;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

/// A function of a decoded program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function {
    /// Index of its first operation.
    pub start: usize,
    /// Bytes of its frame, a multiple of 8.
    pub stack: u32,
    /// Whether the frame must start as zeros.
    pub zeroed: bool,
}

impl Function {
    /// The frame as calls carry it: its bytes, and in the lowest bit whether they need no zeroing.
    pub fn frame(&self) -> i32 {
        self.stack as i32 | i32::from(!self.zeroed)
    }
}

/// The operation that `pc + 1 + delta` names, if there is one.
fn target(pc: usize, delta: i64, count: usize) -> Option<usize> {
    let at = i64::try_from(pc).ok()?.checked_add(1)?.checked_add(delta)?;
    usize::try_from(at).ok().filter(|at| *at < count)
}

/// Checks all control flow and finds the functions.
pub(super) fn functions(image: &Image, ops: &mut [Op]) -> Result<Vec<Function>, LoadError> {
    let count = ops.len();
    if count == 0 {
        return Err(malformed(0, "the program has no instructions"));
    }
    let mut second_half = vec![false; count];
    let mut starts = vec![0];
    let mut pc = 0;
    while pc < count {
        let wide = image.insns[pc].is_ld_imm64();
        if wide {
            second_half[pc + 1] = true;
        }
        match ops[pc].code {
            Code::Call | Code::LdFunc => match target(pc, ops[pc].imm, count) {
                Some(start) => starts.push(start),
                None => {
                    return Err(malformed(
                        pc,
                        format!(
                            "call to a function {} instructions away, outside of the program",
                            ops[pc].imm
                        ),
                    ));
                }
            },
            _ => {}
        }
        pc += if wide { 2 } else { 1 };
    }
    starts.extend(
        image
            .functions
            .iter()
            .map(|function| function.start)
            .filter(|start| *start < count),
    );
    starts.sort_unstable();
    starts.dedup();
    if let Some(start) = starts.iter().find(|start| second_half[**start]) {
        return Err(malformed(*start, "a function starts within a ld_imm64"));
    }

    let mut apart = true;
    let mut functions = Vec::with_capacity(starts.len());
    for (index, start) in starts.iter().copied().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(count);
        let mut stack = 0;
        for (pc, op) in ops.iter().copied().enumerate().take(end).skip(start) {
            if is_jump(op.code) {
                match target(pc, op.off.into(), count) {
                    Some(at) if second_half[at] => {
                        return Err(malformed(pc, "jump into the middle of a ld_imm64"));
                    }
                    Some(at) => apart &= (start..end).contains(&at),
                    None => {
                        return Err(malformed(
                            pc,
                            format!(
                                "jump out of range: {:+} from instruction {pc} of {count}",
                                op.off
                            ),
                        ));
                    }
                }
            }
            stack = stack.max(stack_use(op));
        }
        let last = if second_half[end - 1] {
            end - 2
        } else {
            end - 1
        };
        let ends = match ops[last].code {
            Code::Exit | Code::Ja => true,
            Code::Poison => !second_half[end - 1],
            _ => false,
        };
        if !ends {
            if end == count {
                return Err(malformed(
                    last,
                    "last insn is not an exit or jmp: execution would run off the end of the program",
                ));
            }
            apart = false;
        }
        functions.push(Function {
            start,
            stack: stack.next_multiple_of(8),
            zeroed: true,
        });
    }
    if !apart {
        for function in &mut functions {
            function.stack = FRAME_BYTES as u32;
        }
    }
    for (pc, op) in ops.iter_mut().enumerate() {
        match op.code {
            Code::Call => {
                let Some(callee) = target(pc, op.imm, count)
                    .and_then(|at| {
                        functions
                            .binary_search_by_key(&at, |function| function.start)
                            .ok()
                    })
                    .map(|index| functions[index])
                else {
                    return Err(malformed(pc, "call to no function"));
                };
                op.off = callee.frame();
            }
            Code::LdFunc => op.imm = target(pc, op.imm, count).unwrap_or(0) as i64,
            _ => {}
        }
    }
    Ok(functions)
}

pub(super) fn is_jump(code: Code) -> bool {
    (Code::Jeq64K as u8..=Code::MayGoto as u8).contains(&(code as u8))
}

/// How far below the frame pointer an operation makes the frame reach.
fn stack_use(op: Op) -> u32 {
    const WHOLE: u32 = FRAME_BYTES as u32;
    let code = op.code as u8;
    let is = |from: Code, to: Code| (from as u8..=to as u8).contains(&code);
    let below = || {
        if (-(WHOLE as i32)..0).contains(&op.off) {
            op.off.unsigned_abs()
        } else {
            WHOLE
        }
    };
    if is(Code::LdB, Code::LdsProbeW) || is(Code::LoadAcqB, Code::LoadAcqD) {
        return if op.src == 10 { below() } else { 0 };
    }
    if is(Code::StB, Code::StoreRelD) {
        if op.src == 10 && !is(Code::StB, Code::StD) && !is(Code::StRawB, Code::StRawD) {
            return WHOLE;
        }
        return if op.dst == 10 { below() } else { 0 };
    }
    if op.src == 10 || op.dst == 10 {
        WHOLE
    } else {
        0
    }
}
