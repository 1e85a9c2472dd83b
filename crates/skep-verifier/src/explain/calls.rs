//! Calls put amid a program as part of an edit: what they clobber is kept on the stack over them.
//!
//! Invariant: the stack slots that are used lie below everything that the function itself uses.

use skep_btf::Kind as BtfKind;
use skep_spec::insn::{Insn, alu, class, jmp, pseudo, size};

use crate::explain::Case;
use crate::input::{BtfIdx, Input};
use crate::state::reg::Kind;

/// Where the program's functions start and end, in order.
pub fn functions(input: &Input) -> Vec<(usize, usize)> {
    let len = input.insns.len();
    let called = input.insns.iter().enumerate().filter_map(|(at, insn)| {
        let address = insn.is_ld_imm64() && insn.src == pseudo::FUNC;
        (insn.is_local_call() || address)
            .then(|| usize::try_from(at as i64 + 1 + i64::from(insn.imm)).ok())
            .flatten()
    });
    let recorded = input.functions.iter().map(|function| function.insn);
    let mut starts: Vec<usize> = std::iter::once(0)
        .chain(called)
        .chain(recorded)
        .filter(|&start| start < len)
        .collect();
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).copied().chain([len]);
    starts.iter().copied().zip(ends).collect()
}

/// The function that holds the instruction.
pub fn function_of(input: &Input, insn: usize) -> (usize, usize) {
    functions(input)
        .into_iter()
        .rfind(|&(start, _)| start <= insn)
        .unwrap_or((0, input.insns.len()))
}

/// Bytes of stack that the function's own instructions reach, as far as they name them.
pub fn depth(input: &Input, (start, end): (usize, usize)) -> i32 {
    let body = input.insns.get(start..end).unwrap_or_default();
    let mut depth = 0;
    for (at, insn) in body.iter().enumerate() {
        let base = match insn.code & class::MASK {
            class::LDX => insn.src,
            class::ST | class::STX => insn.dst,
            _ => {
                let copied = *insn == Insn::mov64_reg(insn.dst, 10);
                if let Some(next) = body.get(at + 1).filter(|_| copied)
                    && next.code == Insn::alu64_imm(alu::ADD, 0, 0).code
                    && next.dst == insn.dst
                {
                    depth = depth.max(next.imm.saturating_neg());
                }
                continue;
            }
        };
        if base == 10 {
            depth = depth.max(-i32::from(insn.off));
        }
    }
    (depth + 7) & !7
}

/// Stores that keep those registers of a trail's point below the function's own stack, and loads that bring them back.
pub fn kept(case: &Case<'_>, point: usize, numbers: &[u8]) -> (Vec<Insn>, Vec<Insn>) {
    let Some(point) = case.trail.get(point) else {
        return (Vec::new(), Vec::new());
    };
    let frame = point.state.frame();
    let own = depth(case.input, function_of(case.input, point.insn));
    let used = own.max(8 * frame.stack.len() as i32);
    let live = numbers
        .iter()
        .filter(|&&number| frame.regs[usize::from(number)].kind != Kind::NotInit);
    live.enumerate()
        .map(|(rank, &number)| {
            let off = -(used + 8 * (rank as i32 + 1)) as i16;
            (
                Insn::store_reg(size::DW, 10, off, number),
                Insn::load(size::DW, number, 10, off),
            )
        })
        .unzip()
}

/// The same for what a call has just returned.
pub fn kept_result(case: &Case<'_>) -> (Insn, Insn) {
    let own = depth(case.input, function_of(case.input, case.insn));
    let used = case
        .state()
        .map_or(0, |state| 8 * state.frame().stack.len());
    let off = -(own.max(used as i32) + 56) as i16;
    (
        Insn::store_reg(size::DW, 10, off, 0),
        Insn::load(size::DW, 0, 10, off),
    )
}

/// A call of the kernel function of that name, if the kernel has it.
pub fn kfunc(input: &Input, name: &str) -> Option<Insn> {
    let (at, id) = input
        .btfs
        .iter()
        .enumerate()
        .find_map(|(at, btf)| Some((at, btf.find(BtfKind::Func, name)?)))?;
    Some(Insn {
        code: class::JMP | jmp::CALL,
        dst: 0,
        src: pseudo::KFUNC_CALL,
        off: i16::try_from(at).ok()?,
        imm: i32::try_from(id.0).ok()?,
    })
}

/// The name of the helper or kernel function that the instruction calls.
pub fn name(input: &Input, insn: usize) -> Option<&str> {
    let insn = input.insns.get(insn)?;
    if insn.is_helper_call() {
        return input.helper(insn.imm as u32).map(|helper| helper.name);
    }
    let btf = insn
        .is_kfunc_call()
        .then(|| input.btf(BtfIdx(insn.off as u16)))??;
    Some(btf.name(skep_btf::TypeId(insn.imm as u32)))
}

/// Whether a call gives a result.
pub fn returns(input: &Input, insn: usize) -> bool {
    let Some(call) = input.insns.get(insn).filter(|insn| insn.is_kfunc_call()) else {
        return true;
    };
    let Some(btf) = input.btf(BtfIdx(call.off as u16)) else {
        return true;
    };
    let Ok(skep_btf::Ty::Func { proto, .. }) = btf.ty(skep_btf::TypeId(call.imm as u32)) else {
        return true;
    };
    !matches!(btf.ty(proto), Ok(skep_btf::Ty::FuncProto { ret, .. }) if ret.0 == 0)
}
