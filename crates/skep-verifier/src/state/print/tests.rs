//! States as the kernel's log prints them.

use super::*;
use crate::state::scalar::Scalar;
use crate::state::slot::Slot;
use skep_spec::program::ProgramType;

fn text(reg: &Reg) -> String {
    let input = Input::new(ProgramType::SocketFilter, Vec::new());
    let mut out = String::new();
    write_reg(&mut out, &input, &Frame::new(1, 0, None), reg, false).unwrap();
    out
}

#[test]
fn registers() {
    assert_eq!(text(&Reg::constant(8)), "8");
    assert_eq!(text(&Reg::constant(-8_i64 as u64)), "-8");
    assert_eq!(text(&Reg::UNKNOWN), "scalar()");
    assert_eq!(text(&Reg::stack(1, -8)), "fp-8");
    assert_eq!(text(&Reg::stack(0, 0)), "fp[0]0");
    assert_eq!(text(&Reg::pointer(Kind::Ctx, Flags::NONE)), "ctx()");
    let packet = Reg {
        id: 3,
        off: 14,
        ..Reg::pointer(Kind::Packet, Flags::NONE).to(Detail::Range(20))
    };
    assert_eq!(text(&packet), "pkt(id=3,off=14,r=20)");
    let linked = Reg {
        id: 1 | LINKED_ADD,
        off: 4,
        num: Scalar::unsigned_range(0, 7),
        ..Reg::UNKNOWN
    };
    assert!(
        text(&linked).starts_with("scalar(id=1+4,"),
        "{}",
        text(&linked)
    );
}

#[test]
fn states() {
    let input = Input::new(ProgramType::SocketFilter, Vec::new());
    let mut state = State::new(0);
    state.frame_mut().regs[1] = Reg::pointer(Kind::Ctx, Flags::NONE);
    let stack = state.frame_mut().stack_mut(3);
    stack[0] = Slot {
        bytes: [SlotByte::Spill; 8],
        reg: Reg::constant(7),
    };
    stack[2].bytes[4..].fill(SlotByte::Misc);
    stack[2].bytes[0] = SlotByte::Zero;
    let mut out = String::new();
    write_frame(&mut out, &input, &state, 0, None, None, false).unwrap();
    assert_eq!(out, " R1=ctx() R10=fp0 fp-8=7 fp-24=0???mmmm");
    let mut out = String::new();
    let shown = Shown { regs: 2, slots: 4 };
    write_frame(&mut out, &input, &state, 0, Some(shown), None, false).unwrap();
    assert_eq!(out, " R1=ctx() fp-24=0???mmmm");
}
