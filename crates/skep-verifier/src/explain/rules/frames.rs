//! Too much stack, or too many functions on it: large frames moved into a map, calls inlined, recursion made a loop.

use skep_spec::insn::{Insn, alu, class, jmp, size};

use crate::explain::edit::Edit;
use crate::explain::{Case, Findings, calls};
use crate::input::Input;

/// `bpf_map_lookup_elem`
const LOOKUP: u32 = 1;

/// Stack of functions that call each other.
pub fn too_large(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let mut functions = calls::functions(case.input);
    functions.sort_by_key(|&function| std::cmp::Reverse(calls::depth(case.input, function)));
    for &(start, end) in functions.iter().take(3) {
        let bytes = calls::depth(case.input, (start, end));
        if bytes == 0 {
            continue;
        }
        if functions.len() > 1 {
            found
                .because
                .push((start, format!("this function uses {bytes} bytes of stack")));
        }
        found.edits.extend(scratch(case.input, (start, end)));
    }
    found.help = Some(
        "keep large objects in the value of a per-CPU array: the stack holds 512 bytes for all functions of a call \
         chain, 256 for those before a tail call"
            .into(),
    );
    found
}

/// The function's variables in the value of a per-CPU array.
pub fn scratch(input: &Input, function: (usize, usize)) -> Option<(Edit, String)> {
    let (start, end) = function;
    let body = input.insns.get(start..end)?;
    let bytes = calls::depth(input, function);
    let keeper = (6..10_u8).find(|&number| {
        body.iter()
            .all(|insn| insn.dst != number && insn.src != number)
    })?;
    let mut edits = vec![Edit::Scratch {
        bytes: u32::try_from(bytes).ok()?,
    }];
    let mut sum = None;
    let mut wide = false;
    for (at, &insn) in body.iter().enumerate() {
        if std::mem::replace(&mut wide, insn.is_ld_imm64()) {
            continue;
        }
        let mut new = insn;
        if sum.take() == Some(at) {
            new.imm = insn.imm.checked_add(bytes)?;
        } else {
            match insn.code & class::MASK {
                class::LDX if insn.src == 10 => {
                    new.src = keeper;
                    new.off = i16::try_from(i32::from(insn.off) + bytes).ok()?;
                }
                class::ST | class::STX if insn.dst == 10 => {
                    new.dst = keeper;
                    new.off = i16::try_from(i32::from(insn.off) + bytes).ok()?;
                }
                _ if insn == Insn::mov64_reg(insn.dst, 10) => {
                    let next = body.get(at + 1)?;
                    if next.code != Insn::alu64_imm(alu::ADD, 0, 0).code || next.dst != insn.dst {
                        return None;
                    }
                    new.src = keeper;
                    sum = Some(at + 1);
                }
                class::STX | class::ALU64 | class::ALU | class::JMP | class::JMP32
                    if insn.src == 10 || insn.dst == 10 =>
                {
                    return None;
                }
                _ => continue,
            }
        }
        edits.push(Edit::Replace {
            at: start + at,
            count: 1,
            insns: vec![new],
        });
    }
    // What the function is given is kept over the lookup.
    let mut given = arguments(input, function, 0);
    if start == 0 && !given.contains(&1) {
        given.push(1);
    }
    let slot = |number: u8| -8 * i16::from(number);
    let mut insns: Vec<Insn> = given
        .iter()
        .map(|&number| Insn::store_reg(size::DW, 10, slot(number), number))
        .collect();
    insns.push(Insn::store_imm(size::W, 10, -48, 0));
    insns.extend([Insn::mov64_reg(2, 10), Insn::alu64_imm(alu::ADD, 2, -48)]);
    insns.extend(Insn::ld_imm64_pseudo(
        1,
        1,
        i32::try_from(input.maps.len()).ok()?,
        0,
    ));
    insns.extend([
        Insn::call_helper(LOOKUP),
        Insn::jmp64_imm(jmp::JNE, 0, 0, 2),
        Insn::mov64_imm(0, 0),
        Insn::exit(),
        Insn::mov64_reg(keeper, 0),
    ]);
    insns.extend(
        given
            .iter()
            .map(|&number| Insn::load(size::DW, number, 10, slot(number))),
    );
    edits.push(Edit::Insert {
        before: start,
        insns,
    });
    Some((
        Edit::Several(edits),
        format!(
            "the {bytes} bytes of stack of the function at {start} in the value of a per-CPU array"
        ),
    ))
}

/// Registers that the code reads before it writes them, of those that carry arguments.
fn arguments(input: &Input, (start, end): (usize, usize), depth: u32) -> Vec<u8> {
    let mut written = [false; 16];
    let mut given = Vec::new();
    for (at, insn) in input.insns.iter().enumerate().take(end).skip(start) {
        let class = insn.code & class::MASK;
        let reads_target = match class {
            class::LDX | class::LD => false,
            class::ALU | class::ALU64 => insn.code & 0xf0 != 0xb0,
            class::JMP | class::JMP32 => !insn.is_call() && !insn.is_exit(),
            _ => true,
        };
        let reads_source = match class {
            class::LD => false,
            class::LDX | class::STX => true,
            _ => insn.is_register_form() && !insn.is_call(),
        };
        let mut read: Vec<u8> = Vec::new();
        read.extend(reads_target.then_some(insn.dst));
        read.extend(reads_source.then_some(insn.src));
        if let Some(to) = callee(input, at).filter(|_| depth < 8) {
            read.extend(arguments(input, calls::function_of(input, to), depth + 1));
        } else if insn.is_helper_call()
            && let Some(helper) = input.helper(insn.imm as u32)
        {
            read.extend(1..=helper.arguments().len().min(5) as u8);
        }
        for number in read {
            let own = (1..=5).contains(&number) && !written[usize::from(number)];
            if own && !given.contains(&number) {
                given.push(number);
            }
        }
        if insn.is_call() {
            written[1..=5].fill(true);
        } else if matches!(class, class::LDX | class::LD | class::ALU | class::ALU64) {
            written[usize::from(insn.dst & 15)] = true;
        }
    }
    given
}

/// Functions that call each other too deeply.
pub fn depth(case: &Case<'_>) -> Findings {
    let says = |part: &str| case.fault.lines.iter().any(|line| line.contains(part));
    if says("tail_calls are not allowed") {
        let mut found = too_large(case);
        found.help = Some("callers of a function that makes tail calls may use 256 bytes of stack at most: keep large objects in the value of a per-CPU array".into());
        return found;
    }
    let mut found = Findings {
        help: Some(
            "at most 8 functions may be active: inline some, and make a recursion a loop".into(),
        ),
        ..Findings::default()
    };
    for (at, insn) in case.input.insns.iter().enumerate() {
        let (start, _) = calls::function_of(case.input, at);
        let back = insn.is_local_call() && at as i64 + 1 + i64::from(insn.imm) == start as i64;
        if back {
            found
                .because
                .push((at, "the function calls itself here".into()));
            found.edits.extend(as_loop(case.input, at, start));
        }
    }
    if found.because.is_empty() {
        found.because.extend(chain(case.input));
        found.edits.extend(inlined(case.input));
    }
    found
}

/// A call that the function makes last of all, as a jump to its start.
fn as_loop(input: &Input, at: usize, start: usize) -> Option<(Edit, String)> {
    input.insns.get(at + 1).filter(|next| next.is_exit())?;
    let off = i16::try_from(start as i64 - (at as i64 + 1)).ok()?;
    Some((
        Edit::Replace {
            at,
            count: 1,
            insns: vec![Insn::ja(off)],
        },
        "a jump to the function's start in place of the call, which is the last that it does"
            .into(),
    ))
}

fn callee(input: &Input, at: usize) -> Option<usize> {
    let insn = input.insns.get(at).filter(|insn| insn.is_local_call())?;
    usize::try_from(at as i64 + 1 + i64::from(insn.imm)).ok()
}

/// The calls along the deepest chain.
fn chain(input: &Input) -> Vec<(usize, String)> {
    let functions = calls::functions(input);
    // Without recursion a chain visits each function once at most.
    let mut best: Vec<Vec<usize>> = vec![Vec::new(); functions.len()];
    for _ in 0..functions.len().min(16) {
        for rank in 0..functions.len() {
            let (start, end) = functions[rank];
            for at in start..end {
                let Some(to) = callee(input, at) else {
                    continue;
                };
                let Some(next) = functions.iter().position(|&(start, _)| start == to) else {
                    continue;
                };
                if best[next].len() + 1 > best[rank].len() && best[next].len() < 16 {
                    let mut path = vec![at];
                    path.extend(&best[next]);
                    best[rank] = path;
                }
            }
        }
    }
    let path = best.into_iter().next().unwrap_or_default();
    let calls = path.into_iter().enumerate();
    calls
        .map(|(depth, at)| {
            (
                at,
                format!("function {} of the chain is called here", depth + 2),
            )
        })
        .collect()
}

/// A function without calls and variables of its own, in place of its only call.
fn inlined(input: &Input) -> Option<(Edit, String)> {
    let functions = calls::functions(input);
    functions.iter().skip(1).find_map(|&(start, end)| {
        let body = input.insns.get(start..end)?;
        let plain = body.iter().all(|insn| {
            !insn.is_local_call()
                && (insn.is_call() || insn.is_exit() || insn.dst < 6 && insn.src < 6)
        });
        let callers: Vec<usize> = (0..input.insns.len())
            .filter(|&at| callee(input, at) == Some(start))
            .collect();
        let [call] = callers[..] else { return None };
        if !plain || !body.last()?.is_exit() {
            return None;
        }
        let len = body.len();
        let mut insns: Vec<Insn> = body.to_vec();
        insns.pop();
        for (at, insn) in insns.iter_mut().enumerate() {
            if insn.is_exit() {
                *insn = Insn::ja(i16::try_from(len - 1 - at - 1).ok()?);
            }
        }
        let grown = insns.len();
        let moved = if start > call {
            start + grown - 1
        } else {
            start
        };
        let edit = Edit::Several(vec![
            Edit::Replace {
                at: call,
                count: 1,
                insns,
            },
            Edit::Replace {
                at: moved,
                count: len,
                insns: Vec::new(),
            },
        ]);
        Some((
            edit,
            format!("the function at {start} inlined at its only call, {call}"),
        ))
    })
}
