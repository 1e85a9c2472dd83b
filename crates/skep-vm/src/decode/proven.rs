//! What a proof makes of the operations: accesses without checks, jumps that go one way, frames of the right size.
//!
//! Invariants: an operation of which the proof says nothing stays as it was; an operation that cannot be reached traps;
//! the number of operations stays, and so do all targets.

use skep_spec::context::{ContextKind, ContextLayout, Resolved};

use super::function::Function;
use super::{Code, Op};
use crate::memory::FRAME_BYTES;
use crate::program::Image;
use crate::proof::{Access, Proof};

/// Applies the proof; answers how many bytes of the context, as it lies in memory, the operations rely on.
pub(super) fn apply(
    proof: &Proof,
    image: &Image,
    ops: &mut [Op],
    functions: &mut [Function],
) -> u64 {
    let mut context_bytes = 0;
    for (pc, op) in ops.iter_mut().enumerate() {
        if op.code == Code::Poison {
            continue;
        }
        let fact = proof.of(pc);
        if !fact.reached {
            op.code = Code::Poison;
            continue;
        }
        if is(op.code, Code::Jeq64K, Code::Jset32X) {
            match (fact.next, fact.target) {
                (true, false) => op.code = Code::Nop,
                (false, true) => op.code = Code::Ja,
                _ => {}
            }
            continue;
        }
        match fact.access {
            Access::Checked => {}
            Access::Direct => direct(op),
            Access::Probe => probe(op),
            Access::Context { offset } => {
                if let Some(end) = context(op, image.layout, offset) {
                    context_bytes = context_bytes.max(end);
                }
            }
        }
    }
    for frame in &proof.frames {
        let Ok(index) = functions.binary_search_by_key(&frame.start, |function| function.start)
        else {
            continue;
        };
        let bytes = frame.bytes.next_multiple_of(8).min(FRAME_BYTES as u32);
        functions[index].stack = bytes;
        functions[index].zeroed = frame.reads_unwritten;
    }
    resize_calls(ops, functions);
    context_bytes
}

/// Calls carry the frame of whom they call.
fn resize_calls(ops: &mut [Op], functions: &[Function]) {
    for (pc, op) in ops.iter_mut().enumerate() {
        if op.code != Code::Call {
            continue;
        }
        let start = (pc as i64 + 1 + op.imm) as usize;
        if let Ok(index) = functions.binary_search_by_key(&start, |function| function.start) {
            op.off = functions[index].frame();
        }
    }
}

fn is(code: Code, from: Code, to: Code) -> bool {
    (from as u8..=to as u8).contains(&(code as u8))
}

/// Takes the checks off.
fn direct(op: &mut Op) {
    use Code::*;
    op.code = match op.code {
        LdB => LdRawB,
        LdH => LdRawH,
        LdW => LdRawW,
        LdD => LdRawD,
        LdsB => LdsRawB,
        LdsH => LdsRawH,
        LdsW => LdsRawW,
        StB => StRawB,
        StH => StRawH,
        StW => StRawW,
        StD => StRawD,
        StxB => StxRawB,
        StxH => StxRawH,
        StxW => StxRawW,
        StxD => StxRawD,
        code if is(code, AtomicAdd32, StoreRelD) => {
            op.direct = true;
            code
        }
        code => code,
    };
}

fn probe(op: &mut Op) {
    use Code::*;
    op.code = match op.code {
        LdB => LdProbeB,
        LdH => LdProbeH,
        LdW => LdProbeW,
        LdD => LdProbeD,
        LdsB => LdsProbeB,
        LdsH => LdsProbeH,
        LdsW => LdsProbeW,
        code => code,
    };
}

/// The bytes of a plain load or store, and whether it is a store.
fn shape(code: Code) -> Option<(u32, bool)> {
    use Code::*;
    Some(match code {
        LdB | LdsB => (1, false),
        LdH | LdsH => (2, false),
        LdW | LdsW => (4, false),
        LdD => (8, false),
        StB | StxB => (1, true),
        StH | StxH => (2, true),
        StW | StxW => (4, true),
        StD | StxD => (8, true),
        _ => return None,
    })
}

/// An access of the context: goes to where the field lies. Answers the end of the bytes that it then relies on; nothing
/// if it stays as it was.
fn context(op: &mut Op, layout: Option<&'static ContextLayout>, offset: u32) -> Option<u64> {
    let (width, write) = shape(op.code)?;
    let part = |op: &mut Op, at: u32, width: u32| {
        let off = i64::from(op.off) + i64::from(at) - i64::from(offset);
        op.off = i32::try_from(off).ok()?;
        direct(op);
        Some(u64::from(at) + u64::from(width))
    };
    let Some(layout) = layout else {
        return part(op, offset, width);
    };
    match layout.resolve(i64::from(offset), width, write).ok()? {
        Resolved::Part(at) => part(op, at, width),
        Resolved::Slot(slot) if layout.kind == ContextKind::Converted => {
            let at = u32::try_from(8 * slot).ok()?;
            match (width, write, op.code) {
                (8, ..) => {}
                // A whole pointer out of 4 bytes.
                (4, false, Code::LdW) => op.code = Code::LdD,
                _ => return None,
            }
            part(op, at, 8)
        }
        _ => None,
    }
}
